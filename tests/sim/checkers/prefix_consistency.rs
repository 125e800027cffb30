//! Of two servers' delivered sequences, one is a prefix of the other.
//!
//! The TLA+ models' `PrefixConsistency`; with it, that a zxid names one transaction behind one
//! history, in every log. Delivered is what was committed and applied, and what stands in the tree
//! when a server begins to serve.

use zkserver::proto::{Sid, Zxid};

use super::chain::Committed;
use super::{At, Map, Run, violation};
use crate::history::{Event, How, ServerEvent, Violation};

pub const NAME: &str = "prefix_consistency";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let conflict = run.chain.conflict.clone();
    let mut trees: Map<Sid, Zxid> = Map::default();
    for (at, event) in &run.history.events {
        if conflict.as_ref().is_some_and(|conflict| conflict.at <= *at) {
            break;
        }
        let Event::Server(sid, event) = event else { continue };
        let tree = trees.entry(*sid).or_default();
        match event {
            ServerEvent::Started { last_zxid, .. } => *tree = *last_zxid,
            ServerEvent::Reloaded { zxid, .. } => *tree = *zxid,
            ServerEvent::Applied { zxid, txn, how, .. } => {
                let Some(place) = run.chain.place(*zxid) else {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!("{sid} applies {zxid}, which is in nobody's log"),
                    ));
                };
                let entry = run.chain.entry(place);
                if entry.txn != *txn {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} applies another transaction {zxid} than {} logged at {}",
                            entry.by,
                            At(entry.at)
                        ),
                    ));
                }
                let before = run.chain.entry(entry.previous).zxid;
                if run.chain.at_or_before(*tree) != Some(entry.previous) {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} applies {zxid} behind {tree}; it was logged behind {before}, \
                             first by {} at {}",
                            entry.by,
                            At(entry.at)
                        ),
                    ));
                }
                *tree = *zxid;
                if *how == How::Commit {
                    is_committed(run, *sid, *at, *zxid, "applies as committed")?;
                }
            }
            ServerEvent::Serving(true) => {
                is_committed(run, *sid, *at, *tree, "serves with a tree that ends with")?;
            }
            _ => {}
        }
    }
    conflict.map_or(Ok(()), Err)
}

fn is_committed(run: &Run<'_>, sid: Sid, at: u64, zxid: Zxid, does: &str) -> Result<(), Violation> {
    if zxid.counter() == 0 {
        return Ok(());
    }
    let instead = match run.chain.commit_of(zxid) {
        Some(Committed { at: since, .. }) if *since <= at => return Ok(()),
        Some(Committed { by, at: since, .. }) => {
            format!("which {by} was the first to know committed, at {}", At(*since))
        }
        None => String::from("which was never committed"),
    };
    Err(violation(NAME, at, format_args!("{sid} {does} {zxid}, {instead}")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;

    #[test]
    fn one_server_may_be_behind_another() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        play.write(1, &[1, 2]);
        play.passes(check);
    }

    #[test]
    fn what_was_lost_with_its_leader_is_no_conflict() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.propose(1, &[1]);
        play.lead(2, 2);
        play.write(2, &[2, 3]);
        play.cut(1, play.zxid(1, 1));
        play.follow(1, 2);
        play.passes(check);
    }

    #[test]
    fn a_server_leaves_one_out() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        play.write(1, &[1, 2, 3]);
        play.fails(check, &["server 3 logs 0x100000003 behind 0x100000001", "0x100000002", " s"]);
    }

    #[test]
    fn a_zxid_has_two_transactions() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.propose(1, &[1]);
        let other = play.set_data("/other", 77);
        let zxid = play.zxid(1, 1);
        let txn = play.txn(zxid, &other);
        play.server(2, ServerEvent::LogRequested { zxid, txn });
        play.fails(check, &["server 2 logs another transaction 0x100000001", "server 1", " s"]);
    }

    #[test]
    fn two_branches_are_committed() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1]);
        play.lead(2, 2);
        play.write(2, &[2, 3]);
        play.fails(check, &["server 2 commits 0x200000001", "0x100000002", "server 1"]);
    }

    #[test]
    fn a_server_serves_what_was_never_committed() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.propose(1, &[1, 2]);
        play.restart(2);
        play.server(2, ServerEvent::Serving(true));
        play.fails(check, &["server 2 serves", "0x100000001", "never committed"]);
    }
}
