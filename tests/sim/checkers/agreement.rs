//! What one server delivers, every server that lives on delivers.
//!
//! ZAB (DSN 2011) section III, "Agreement", with the liveness that peace allows (C-229, C-234): when
//! a run ends, every process that runs has applied all that was known committed two seconds before.

use zkserver::proto::{Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "agreement";

/// How long before the end of a run something must be committed to be everywhere at the end.
const SETTLING: Micros = 2_000_000;

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let Some((end, _)) = run.history.events.last() else { return Ok(()) };
    let Some(before) = end.checked_sub(SETTLING) else { return Ok(()) };
    if run.history.peace_at > before {
        return Ok(());
    }
    let mut trees: Map<Sid, (Zxid, Micros)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        match event {
            ServerEvent::Started { last_zxid: zxid, .. }
            | ServerEvent::Reloaded { zxid, .. }
            | ServerEvent::Applied { zxid, .. } => {
                trees.insert(*sid, (*zxid, *at));
            }
            ServerEvent::Stopped(_) | ServerEvent::Refused(_) => {
                trees.remove(sid);
            }
            _ => {}
        }
    }
    let settled = run.chain.committed().partition_point(|committed| committed.at <= before);
    let Some(last) = settled.checked_sub(1).map(|last| run.chain.committed()[last]) else {
        return Ok(());
    };
    let zxid = run.chain.entry(last.place).zxid;
    let mut servers: Vec<_> = trees.into_iter().collect();
    servers.sort();
    for (sid, (tree, since)) in servers {
        if !run.chain.contains(tree, zxid) {
            return Err(violation(
                NAME,
                *end,
                format_args!(
                    "{sid} ends with a tree of {tree} (since {}); {} knew {zxid} committed at {}",
                    At(since),
                    last.by,
                    At(last.at)
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;
    use crate::history::Stop;

    #[test]
    fn a_server_that_died_may_be_behind() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.server(3, ServerEvent::Stopped(Stop::Killed));
        play.write(1, &[1, 2]);
        play.peace_for(5_000_000);
        play.passes(check);
    }

    #[test]
    fn a_server_never_hears_of_a_transaction() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.write(1, &[1, 2]);
        play.peace_for(5_000_000);
        play.fails(check, &["server 3 ends with a tree of 0x100000001", "0x100000002", " s)"]);
    }

    #[test]
    fn a_server_ends_on_a_branch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.propose(1, &[1]);
        play.catch_up(1, play.zxid(1, 2));
        play.lead(2, 2);
        play.write(2, &[2, 3]);
        play.peace_for(5_000_000);
        play.fails(check, &["server 1 ends with a tree of 0x100000002", "server 2", "0x200000001"]);
    }
}
