//! A primary broadcasts only when it has delivered everything that was delivered of earlier epochs.
//!
//! ZAB (DSN 2011) section III, "Primary integrity": "if a primary of epoch e broadcasts b, and some
//! process delivers a of an earlier epoch, then that primary has delivered a before it broadcasts
//! b". Also what is delivered later, by whomever, must have been in that primary's tree.

use std::collections::BTreeMap;

use zkserver::proto::{Epoch, Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, How, Micros, ServerEvent, Violation};

pub const NAME: &str = "primary_integrity";

/// What a primary had delivered when it first broadcast.
struct Base {
    tree: Zxid,
    sid: Sid,
    at: Micros,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut trees: Map<Sid, Zxid> = Map::default();
    let mut bases: BTreeMap<Epoch, Base> = BTreeMap::new();
    // The last delivered of each epoch, by whom, when.
    let mut delivered: BTreeMap<Epoch, (Zxid, Sid, Micros)> = BTreeMap::new();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let tree = trees.entry(*sid).or_default();
        match event {
            ServerEvent::Started { last_zxid, .. } => *tree = *last_zxid,
            ServerEvent::Reloaded { zxid, .. } => *tree = *zxid,
            ServerEvent::Proposed { zxid, .. } if !bases.contains_key(&zxid.epoch()) => {
                let last = delivered.range(..zxid.epoch()).next_back();
                if let Some((_, (missed, by, since))) = last
                    && !run.chain.contains(*tree, *missed)
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} broadcasts {zxid} over a tree of {tree}, but {by} delivered \
                             {missed} at {}",
                            At(*since)
                        ),
                    ));
                }
                bases.insert(zxid.epoch(), Base { tree: *tree, sid: *sid, at: *at });
            }
            ServerEvent::Applied { zxid, how, .. } => {
                *tree = *zxid;
                if *how == How::CatchUp {
                    continue;
                }
                let last = delivered.entry(zxid.epoch()).or_insert((*zxid, *sid, *at));
                if *zxid > last.0 {
                    *last = (*zxid, *sid, *at);
                }
                for base in bases.range(zxid.epoch().next()..).map(|(_, base)| base) {
                    // Where it lies before the tree's end, prefix_consistency judges.
                    if *zxid > base.tree {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!(
                                "{sid} delivers {zxid}, which {} had not when it first broadcast \
                                 over a tree of {} at {}",
                                base.sid,
                                base.tree,
                                At(base.at)
                            ),
                        ));
                    }
                }
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

    #[test]
    fn a_primary_that_has_everything() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.follow(3, 1);
        play.lead(3, 2);
        play.write(3, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn a_primary_that_lacks_something() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        play.lead(3, 2);
        play.write(3, &[3]);
        play.fails(
            check,
            &["server 3 broadcasts 0x200000001 over a tree of 0x100000001", "0x100000002", " s"],
        );
    }

    #[test]
    fn something_is_delivered_that_a_primary_lacked() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        let late = play.propose(1, &[1, 2]);
        play.lead(3, 2);
        play.write(3, &[3]);
        let zxid = play.zxid(1, 2);
        play.server(2, ServerEvent::Applied { zxid, txn: late, how: How::Commit, digest: Some(0) });
        play.fails(
            check,
            &["server 2 delivers 0x100000002, which server 3 had not", "0x100000001", " s"],
        );
    }
}
