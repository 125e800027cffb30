//! acceptedEpoch ≥ currentEpoch ≥ the epoch of what is logged, and none of them goes back.
//!
//! The TLA+ models' epoch invariants, semantics of the two files, ZOOKEEPER-4643. While a sync is
//! under way the log may be ahead of currentEpoch (its transactions are durable first); when the
//! server serves, it may not.

use zkserver::proto::{Epoch, Sid, Zxid};

use super::server_log::ServerLog;
use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "monotonic_epochs";

/// A server's two files, and what else it takes to judge them.
#[derive(Default)]
struct Epochs {
    accepted: (Epoch, Micros),
    current: (Epoch, Micros),
    serves: bool,
    log: ServerLog,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut servers: Map<Sid, Epochs> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let server = servers.entry(*sid).or_default();
        server.log.take(event);
        let judged = match event {
            ServerEvent::Started { accepted, current, may_vote, .. } => {
                server.serves = false;
                // What it lost with its disk it has said.
                let back =
                    if *may_vote { server.set(*at, Some(*accepted), Some(*current)) } else { None };
                server.accepted = (*accepted, *at);
                server.current = (*current, *at);
                back
            }
            ServerEvent::EpochsLost => {
                (server.accepted, server.current) = Default::default();
                None
            }
            ServerEvent::AcceptedEpoch(epoch) => server.set(*at, Some(*epoch), None),
            ServerEvent::CurrentEpoch(epoch) => server.set(*at, None, Some(*epoch)),
            ServerEvent::Stopped(_) => {
                server.serves = false;
                None
            }
            ServerEvent::Serving(serves) => {
                // An observer that does not log has no epoch to show, only the leader's trees.
                let shows = !run.history.without_a_log.contains(sid);
                server.serves = *serves && shows;
                server.serves.then(|| server.covers(server.log.top())).flatten()
            }
            ServerEvent::LogRequested { zxid, .. } if server.serves => server.covers(*zxid),
            ServerEvent::Proposed { zxid, .. } => server.covers(*zxid),
            _ => None,
        };
        if let Some(what) = judged {
            return Err(violation(NAME, *at, format_args!("{sid} {what}")));
        }
    }
    Ok(())
}

impl Epochs {
    fn set(
        &mut self,
        at: Micros,
        accepted: Option<Epoch>,
        current: Option<Epoch>,
    ) -> Option<String> {
        let (was_accepted, was_current) = (self.accepted, self.current);
        if let Some(epoch) = accepted {
            self.accepted = (epoch, at);
        }
        if let Some(epoch) = current {
            self.current = (epoch, at);
        }
        let back = |name: &str, was: (Epoch, Micros), is: Epoch| {
            (is < was.0).then(|| {
                format!("has {name} {is} (up to {}), at {} it had {}", end(is), At(was.1), was.0)
            })
        };
        back("acceptedEpoch", was_accepted, self.accepted.0)
            .or_else(|| back("currentEpoch", was_current, self.current.0))
            .or_else(|| {
                (self.accepted.0 < self.current.0).then(|| {
                    format!(
                        "has currentEpoch {} (since {}), and acceptedEpoch {} (since {}); its log \
                         ends with {}",
                        self.current.0,
                        At(self.current.1),
                        self.accepted.0,
                        At(self.accepted.1),
                        self.log.top()
                    )
                })
            })
    }

    fn covers(&self, zxid: Zxid) -> Option<String> {
        (zxid.epoch() > self.current.0).then(|| {
            format!(
                "serves and logs {zxid} with currentEpoch {} (since {})",
                self.current.0,
                At(self.current.1)
            )
        })
    }
}

/// The last zxid of an epoch.
fn end(epoch: Epoch) -> Zxid {
    Zxid(epoch.start().0 | u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;

    #[test]
    fn epochs_rise() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1]);
        play.follow(2, 1);
        play.lead(2, 2);
        play.write(2, &[2]);
        play.follow(1, 2);
        play.restart(1);
        play.passes(check);
    }

    #[test]
    fn an_accepted_epoch_goes_back() {
        let mut play = Play::of_three();
        play.server(2, ServerEvent::AcceptedEpoch(Epoch(5)));
        play.server(2, ServerEvent::AcceptedEpoch(Epoch(4)));
        play.fails(check, &["server 2 has acceptedEpoch 4 (up to 0x4ffffffff)", "it had 5", " s"]);
    }

    #[test]
    fn an_epoch_is_lost_with_the_process() {
        let mut play = Play::of_three();
        play.lead(1, 3);
        play.start(1, Zxid::ZERO, Epoch(2));
        play.fails(check, &["server 1 has acceptedEpoch 2", "it had 3", " s"]);
    }

    #[test]
    fn a_current_epoch_that_was_never_accepted() {
        let mut play = Play::of_three();
        play.server(3, ServerEvent::AcceptedEpoch(Epoch(1)));
        play.server(3, ServerEvent::CurrentEpoch(Epoch(2)));
        play.fails(check, &["server 3 has currentEpoch 2", "acceptedEpoch 1", "ends with 0x0"]);
    }

    #[test]
    fn a_server_serves_in_an_epoch_it_has_not_written() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1]);
        play.log(2, play.zxid(1, 1), txn);
        play.server(2, ServerEvent::Serving(true));
        play.fails(check, &["server 2 serves and logs 0x100000001 with currentEpoch 0", " s"]);
    }
}
