//! If one server delivers a before b, then every server that delivers b delivers a before it.
//!
//! ZAB (DSN 2011) section III, "Total order", and C-220: whatever the acknowledgements' order,
//! commits are in the order of zxids. Judged by the servers' deliveries alone: each transaction has
//! the same one in front of it, and zxids rise.

use zkserver::proto::{Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "total_order";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    // What was delivered right before each, by whom first, when.
    let mut before: Map<Zxid, (Zxid, Sid, Micros)> = Map::default();
    let mut trees: Map<Sid, Zxid> = Map::default();
    let mut known: Map<Sid, Zxid> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        match event {
            ServerEvent::Started { last_zxid, .. } => {
                trees.insert(*sid, *last_zxid);
            }
            ServerEvent::Reloaded { zxid, .. } => {
                trees.insert(*sid, *zxid);
            }
            ServerEvent::Committed { zxid, .. } => {
                let last = known.entry(*sid).or_default();
                if *zxid <= *last {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!("{sid} knows {zxid} committed behind {last}"),
                    ));
                }
                *last = *zxid;
            }
            ServerEvent::Applied { zxid, .. } => {
                let tree = trees.entry(*sid).or_default();
                if *zxid <= *tree {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!("{sid} delivers {zxid} behind {tree}"),
                    ));
                }
                // An epoch's first zxid is no transaction; it tells nothing of what is before.
                if tree.counter() != 0 {
                    let (other, by, since) = *before.entry(*zxid).or_insert((*tree, *sid, *at));
                    if other != *tree {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!(
                                "{sid} delivers {zxid} right behind {tree}, {by} behind {other} \
                                 at {}",
                                At(since)
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

    fn applied(play: &mut Play, server: i64, zxid: Zxid) {
        let bytes = play.set_data("/a", 1);
        let txn = play.txn(zxid, &bytes);
        play.server(server, ServerEvent::Applied { zxid, txn, how: How::Commit, digest: Some(1) });
    }

    #[test]
    fn one_order() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        play.restart(2);
        play.lead(1, 2);
        play.follow(3, 1);
        play.write(1, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn against_the_order_of_zxids() {
        let mut play = Play::of_three();
        applied(&mut play, 1, Zxid(0x1_0000_0002));
        applied(&mut play, 1, Zxid(0x1_0000_0001));
        play.fails(check, &["server 1 delivers 0x100000001 behind 0x100000002", " s"]);
    }

    #[test]
    fn two_servers_have_another_before_it() {
        let mut play = Play::of_three();
        applied(&mut play, 1, Zxid(0x1_0000_0001));
        applied(&mut play, 1, Zxid(0x1_0000_0002));
        applied(&mut play, 1, Zxid(0x1_0000_0003));
        applied(&mut play, 2, Zxid(0x1_0000_0001));
        applied(&mut play, 2, Zxid(0x1_0000_0003));
        play.fails(check, &["server 2 delivers 0x100000003", "0x100000001", "server 1", " s"]);
    }

    #[test]
    fn commits_out_of_order() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2]);
        let zxid = play.zxid(1, 1);
        play.server(1, ServerEvent::Committed { zxid, txn });
        play.fails(check, &["server 1 knows 0x100000001 committed behind 0x100000001"]);
    }
}
