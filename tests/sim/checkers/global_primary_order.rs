//! What an earlier primary broadcast is delivered before what a later one did.
//!
//! ZAB (DSN 2011) section III, "Global primary order": of a from epoch e and b from a later epoch, a
//! server that delivers both delivers a first. And whoever delivers b has, of each earlier epoch,
//! what b's primary had, neither more nor less.

use zkserver::proto::{Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "global_primary_order";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut trees: Map<Sid, Zxid> = Map::default();
    // What stood before the first transaction of each epoch, at whom it was seen first, when.
    let mut crossings: Map<Zxid, (Zxid, Sid, Micros)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let tree = trees.entry(*sid).or_default();
        match event {
            ServerEvent::Started { last_zxid, .. } => *tree = *last_zxid,
            ServerEvent::Reloaded { zxid, .. } => *tree = *zxid,
            ServerEvent::Applied { zxid, .. } => {
                if zxid.epoch() < tree.epoch() {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} delivers {zxid} of epoch {} behind {tree} of epoch {}",
                            zxid.epoch(),
                            tree.epoch()
                        ),
                    ));
                }
                if zxid.epoch() > tree.epoch() && tree.counter() != 0 {
                    let first = *crossings.entry(*zxid).or_insert((*tree, *sid, *at));
                    if first.0 != *tree {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!(
                                "{sid} steps from {tree} to {zxid}, {} from {} at {}",
                                first.1,
                                first.0,
                                At(first.2)
                            ),
                        ));
                    }
                }
                *tree = *zxid;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;
    use crate::history::How;

    #[test]
    fn epoch_after_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.lead(2, 4);
        play.write(2, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn an_earlier_epoch_comes_later() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 3]);
        let late = play.propose(1, &[1, 3]);
        play.lead(3, 2);
        play.write(3, &[1, 3]);
        let zxid = play.zxid(1, 2);
        play.server(3, ServerEvent::Applied { zxid, txn: late, how: How::Commit, digest: Some(0) });
        play.fails(check, &["server 3 delivers 0x100000002 of epoch 1", "0x200000001", " s"]);
    }

    #[test]
    fn two_servers_cross_at_different_places() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        let last = play.propose(1, &[1]);
        let zxid = play.zxid(1, 2);
        play.server(
            1,
            ServerEvent::Applied { zxid, txn: last, how: How::CatchUp, digest: Some(0) },
        );
        play.lead(2, 2);
        play.write(2, &[2, 3, 1]);
        play.fails(check, &["server 1 steps from 0x100000002 to 0x200000001", "server 2", " s"]);
    }
}
