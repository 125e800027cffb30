//! No server has in its tree what its own disk has not reported.
//!
//! ZOOKEEPER-4882 and 2845: a tree ahead of its log is elected for what it does not hold. Observers
//! that never log are outside (`syncEnabled=false`).

use zkserver::proto::Sid;

use super::server_log::ServerLog;
use super::{Map, Run, violation};
use crate::history::{Event, ServerEvent, Violation};

pub const NAME: &str = "no_tree_ahead_of_log";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut disks: Map<Sid, ServerLog> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let disk = disks.entry(*sid).or_default();
        disk.take(event);
        let (does, zxid) = match event {
            ServerEvent::Applied { zxid, .. } => ("applies", *zxid),
            ServerEvent::Reloaded { zxid, .. } => ("restores", *zxid),
            _ => continue,
        };
        if run.history.without_a_log.contains(sid) {
            continue;
        }
        if !run.chain.contains(disk.durable(), zxid) {
            return Err(violation(
                NAME,
                *at,
                format_args!("{sid} {does} {zxid}, its disk has reported {}", disk.durable()),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, digest};
    use super::*;
    use crate::history::How;

    #[test]
    fn log_first() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.restart(2);
        play.write(1, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn applied_while_it_is_being_written() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.propose(1, &[2, 3]);
        let zxid = play.zxid(1, 1);
        play.server(1, ServerEvent::LogRequested { zxid, txn });
        play.deliver(1, zxid, txn);
        play.fails(check, &["server 1 applies 0x100000001", "reported 0x0", " s"]);
    }

    #[test]
    fn applied_from_another_branch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.lead(3, 2);
        play.write(3, &[3]);
        let txn = play.propose(1, &[1]);
        let zxid = play.zxid(1, 2);
        let (how, digest) = (How::CatchUp, Some(digest(zxid)));
        play.server(3, ServerEvent::Applied { zxid, txn, how, digest });
        play.fails(check, &["server 3 applies 0x100000002", "reported 0x200000001", " s"]);
    }
}
