//! Whoever has written currentEpoch e has the history with which the leader of epoch e began.
//!
//! ZAB (DSN 2011), phase 2: a follower takes up epoch and initial history in one step. On a disk
//! that is an order, history first (C-217): where the epoch came first, a crash in between leaves a
//! server that wins elections without the history (ZOOKEEPER-3911, 4643, 4646, 4785).

use zkserver::proto::{Epoch, ServerState, Sid, Zxid};

use super::server_log::ServerLog;
use super::{At, Map, Run, Set, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "initial_history";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut disks: Map<Sid, ServerLog> = Map::default();
    let mut leads: Set<Sid> = Set::default();
    let mut begun: Map<Epoch, (Zxid, Sid, Micros)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let disk = disks.entry(*sid).or_default();
        disk.take(event);
        match event {
            ServerEvent::Role(ServerState::Leading) => {
                leads.insert(*sid);
            }
            ServerEvent::Role(_) | ServerEvent::Stopped(_) => {
                leads.remove(sid);
            }
            ServerEvent::CurrentEpoch(epoch) if leads.contains(sid) => {
                begun.entry(*epoch).or_insert((disk.top(), *sid, *at));
            }
            ServerEvent::CurrentEpoch(epoch) => {
                // An observer that does not log has nothing to show.
                if run.history.without_a_log.contains(sid) {
                    continue;
                }
                let Some((history, leader, since)) = begun.get(epoch) else { continue };
                if !run.chain.contains(disk.durable(), *history) {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} has written currentEpoch {epoch} and its disk has {}; {leader} \
                             began that epoch with {history} at {}",
                            disk.durable(),
                            At(*since)
                        ),
                    ));
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
    fn history_then_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.write(1, &[1, 2]);
        play.follow(3, 1);
        play.lead(3, 2);
        play.write(3, &[3, 2]);
        play.follow(1, 3);
        play.passes(check);
    }

    #[test]
    fn epoch_then_history() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.lead(1, 2);
        play.server(3, ServerEvent::Role(ServerState::Following));
        play.server(3, ServerEvent::CurrentEpoch(Epoch(2)));
        play.follow(3, 1);
        play.fails(check, &["server 3 has written currentEpoch 2", "0x0", "0x100000001", " s"]);
    }

    #[test]
    fn the_history_is_requested_and_not_durable() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2]);
        play.lead(2, 2);
        play.server(3, ServerEvent::Role(ServerState::Following));
        let zxid = play.zxid(1, 1);
        play.server(3, ServerEvent::LogRequested { zxid, txn });
        play.server(3, ServerEvent::CurrentEpoch(Epoch(2)));
        play.fails(
            check,
            &["server 3 has written currentEpoch 2", "server 2 began", "0x100000001"],
        );
    }
}
