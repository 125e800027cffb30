//! What a server delivers, a leader has broadcast; and it is delivered once.
//!
//! ZAB (DSN 2011) section III, "Integrity: if some process delivers (v, z), then some process has
//! broadcast (v, z)"; the atomic broadcast papers add "at most once". The bytes must be a
//! transaction whose header has that zxid.

use zkserver::proto::{Epoch, Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, How, Micros, ServerEvent, TxnHash, Violation};

pub const NAME: &str = "integrity";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut broadcast: Map<Zxid, (TxnHash, Sid, Micros)> = Map::default();
    let mut trees: Map<Sid, Zxid> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let tree = trees.entry(*sid).or_default();
        match event {
            ServerEvent::Started { last_zxid, .. } => *tree = *last_zxid,
            ServerEvent::Reloaded { zxid, .. } => *tree = *zxid,
            // A server that is alone makes a zxid again that it lost before it was durable.
            ServerEvent::Proposed { zxid, txn } if zxid.epoch() == Epoch(0) => {
                broadcast.insert(*zxid, (*txn, *sid, *at));
            }
            ServerEvent::Proposed { zxid, txn } => {
                broadcast.entry(*zxid).or_insert((*txn, *sid, *at));
            }
            ServerEvent::Applied { zxid, txn, how, .. } => {
                if *zxid <= *tree {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!("{sid} delivers {zxid} again: its tree ends with {tree}"),
                    ));
                }
                *tree = *zxid;
                match broadcast.get(zxid) {
                    Some((sent, ..)) if sent == txn => {}
                    Some((_, by, since)) => {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!(
                                "{sid} delivers another {zxid} than {by} broadcast at {}",
                                At(*since)
                            ),
                        ));
                    }
                    // A leader may log what it never comes to send; as a commit it cannot be.
                    None if *how == How::CatchUp => {}
                    None => {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!("{sid} delivers {zxid}, which nobody has broadcast"),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    match run.story.unreadable.first() {
        None => Ok(()),
        Some(zxid) => {
            let committed = run.chain.commit_of(*zxid).map_or(0, |committed| committed.at);
            Err(violation(
                NAME,
                committed,
                format_args!("what was committed as {zxid} is no transaction with that zxid"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;

    #[test]
    fn what_is_delivered_was_broadcast() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn a_server_delivers_what_nobody_sent() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let zxid = play.zxid(1, 1);
        let bytes = play.set_data("/a", 1);
        let txn = play.txn(zxid, &bytes);
        play.server(2, ServerEvent::Applied { zxid, txn, how: How::Commit, digest: Some(1) });
        play.fails(check, &["server 2 delivers 0x100000001, which nobody has broadcast", " s"]);
    }

    #[test]
    fn a_server_delivers_twice() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2, 3]);
        let zxid = play.zxid(1, 1);
        play.server(3, ServerEvent::Applied { zxid, txn, how: How::Commit, digest: Some(1) });
        play.fails(check, &["server 3 delivers 0x100000001 again", " s"]);
    }
}
