//! There is at most one established leader to an epoch.
//!
//! ZAB (DSN 2011) section III and the TLA+ models' `Leadership`: "there is at most one primary to an
//! epoch". It is asked twice: of those whose NEWLEADER a quorum has acknowledged, and of those who
//! propose, established or not.

use zkserver::proto::{Epoch, Sid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "leadership";

/// Who leads an epoch, in which life of its process, since when.
type Leaders = Map<Epoch, (Sid, u32, Micros)>;

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut lives: Map<Sid, u32> = Map::default();
    let mut established = Leaders::default();
    let mut proposers = Leaders::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        match event {
            ServerEvent::Started { .. } => *lives.entry(*sid).or_default() += 1,
            ServerEvent::Established(epoch) => {
                if let Some((other, _, since)) = established.get(epoch) {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} is established as the leader of epoch {epoch}, in front of \
                             0x{:x}, as {other} was at {}",
                            epoch.start().0,
                            At(*since)
                        ),
                    ));
                }
                let life = lives.get(sid).copied().unwrap_or(0);
                established.insert(*epoch, (*sid, life, *at));
            }
            // Epoch 0 has no leader: a server that is alone goes on in it life after life.
            ServerEvent::Proposed { zxid, .. } if zxid.epoch() != Epoch(0) => {
                let life = lives.get(sid).copied().unwrap_or(0);
                let (other, whose, since) =
                    *proposers.entry(zxid.epoch()).or_insert((*sid, life, *at));
                if (other, whose) != (*sid, life) {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} (life {life}) proposes {zxid} in epoch {}, in which {other} \
                             (life {whose}) proposes since {}",
                            zxid.epoch(),
                            At(since)
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
    use zkserver::proto::ServerState;

    #[test]
    fn a_leader_to_each_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.lead(2, 2);
        play.write(2, &[1, 2, 3]);
        play.passes(check);
    }

    #[test]
    fn two_are_established_in_one_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.server(3, ServerEvent::Role(ServerState::Leading));
        play.server(3, ServerEvent::Established(Epoch(1)));
        play.fails(check, &["server 3", "server 1", "epoch 1", "0x100000000", " s"]);
    }

    #[test]
    fn two_propose_in_one_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1]);
        play.server(2, ServerEvent::Proposed { zxid: play.zxid(1, 2), txn });
        play.fails(check, &["server 2", "server 1", "0x100000002", "epoch 1"]);
    }

    #[test]
    fn a_leader_that_restarts_takes_a_new_epoch() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2]);
        play.restart(1);
        play.server(1, ServerEvent::Proposed { zxid: play.zxid(1, 2), txn });
        play.fails(check, &["server 1 (life 2)", "server 1 (life 1)", "0x100000002"]);
    }
}
