//! If a primary broadcasts a before b, then a server that delivers b has delivered a before it.
//!
//! ZAB (DSN 2011) section III, "Local primary order". Within an epoch zxids count by one from 1.

use zkserver::proto::{Epoch, Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "local_primary_order";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut last_proposed: Map<Epoch, (Zxid, Sid, Micros)> = Map::default();
    let mut proposed_behind: Map<Zxid, (Zxid, Sid, Micros)> = Map::default();
    let mut trees: Map<Sid, Zxid> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let tree = trees.entry(*sid).or_default();
        match event {
            ServerEvent::Started { last_zxid, .. } => {
                *tree = *last_zxid;
                // A server that is alone goes on in epoch 0, behind what it finds.
                if last_zxid.epoch() == Epoch(0) && last_proposed.contains_key(&Epoch(0)) {
                    last_proposed.insert(Epoch(0), (*last_zxid, *sid, *at));
                }
            }
            ServerEvent::Reloaded { zxid, .. } => *tree = *zxid,
            ServerEvent::Proposed { zxid, .. } => {
                let epoch = zxid.epoch();
                let (last, by, since) =
                    last_proposed.get(&epoch).copied().unwrap_or((epoch.start(), *sid, *at));
                if *zxid != last.next() {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} proposes {zxid} behind {last}, which {by} proposed at {}",
                            At(since)
                        ),
                    ));
                }
                last_proposed.insert(epoch, (*zxid, *sid, *at));
                proposed_behind.insert(*zxid, (last, *sid, *at));
            }
            ServerEvent::Applied { zxid, .. } => {
                if let Some((last, by, since)) = proposed_behind.get(zxid)
                    && last.counter() != 0
                    && last != tree
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} delivers {zxid} behind {tree}; {by} broadcast it behind {last} \
                             at {}",
                            At(*since)
                        ),
                    ));
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
    fn in_the_order_of_the_primary() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2, 3]);
        play.lead(3, 2);
        play.write(3, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn a_primary_leaves_a_number_out() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2]);
        play.server(1, ServerEvent::Proposed { zxid: play.zxid(1, 3), txn });
        play.fails(check, &["server 1 proposes 0x100000003 behind 0x100000001", " s"]);
    }

    #[test]
    fn a_server_leaves_a_transaction_out() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        let txn = play.write(1, &[1, 2]);
        let zxid = play.zxid(1, 3);
        play.server(3, ServerEvent::Applied { zxid, txn, how: How::Commit, digest: Some(0) });
        play.fails(check, &["server 3 delivers 0x100000003 behind 0x100000001", "server 1", " s"]);
    }
}
