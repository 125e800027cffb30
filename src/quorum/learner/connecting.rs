//! Connecting: dials the leader until a link is there.
//!
//! The leader may need a moment longer than we to know that it leads, so a link that it ends
//! before it says anything counts as a dial that failed.

use super::discovery::Discovery;
use super::{About, Event, Next, Phase};
use crate::proto::{LinkId, Sid};
use crate::quorum::effect::LinkEffect;
use crate::quorum::member::Turn;

/// Attempts, at most …
const ATTEMPTS: u32 = 5;
/// … but as many as fit into so much time, in milliseconds, while the mesh has a connection with the
/// leader: it lives. An Apache ZooKeeper that has only just been started takes longer to listen than
/// five attempts last, and we are sooner done with the election than it is.
const PATIENCE_MS: u64 = 2_000;

/// The phase.
#[derive(Debug)]
pub(super) struct Connecting {
    retries: Retries,
    dial: Dial,
}

/// What is left of the patience for dialling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    attempts_left: u32,
    /// Until then they do not count, if the leader lives.
    patient_until_ms: u64,
    /// No later than this, on the monotonic clock.
    until_ms: u64,
}

#[derive(Debug)]
enum Dial {
    UnderWay(LinkId),
    PausesUntil(u64),
}

impl Connecting {
    pub(super) fn new(turn: &mut Turn<'_>, leader: Sid) -> Self {
        let member = &*turn.member;
        let limit = match member.options.connect_to_learner_master_limit {
            0 => member.options.init_limit,
            limit => limit,
        };
        let until_ms = turn.now.mono_ms.saturating_add(member.ticks(limit));
        let patient_until_ms = turn.now.mono_ms.saturating_add(PATIENCE_MS);
        let retries = Retries { attempts_left: ATTEMPTS - 1, patient_until_ms, until_ms };
        Connecting { retries, dial: Dial::UnderWay(dial(turn, leader)) }
    }

    /// The next attempt, a moment after one that failed.
    pub(super) fn again(turn: &Turn<'_>, about: About, retries: Retries, why: &str) -> Next {
        let lives = turn.member.connected.contains(&about.leader);
        let counts = !lives || turn.now.mono_ms >= retries.patient_until_ms;
        let Some(attempts_left) = retries.attempts_left.checked_sub(u32::from(counts)) else {
            return Err(format!("the leader cannot be reached: {why}").into());
        };
        tracing::debug!(why, attempts_left, "the leader is dialled again");
        let pause_ms = turn.member.options.leader_connect_delay_ms;
        Ok(Some(Phase::Connecting(Connecting {
            retries: Retries { attempts_left, ..retries },
            dial: Dial::PausesUntil(turn.now.mono_ms.saturating_add(pause_ms)),
        })))
    }

    pub(super) fn step(&mut self, turn: &mut Turn<'_>, about: About, event: Event) -> Next {
        match (event, &self.dial) {
            (Event::Opened, Dial::UnderWay(link)) => {
                return Ok(Some(Discovery::begin(turn, about, *link, self.retries)));
            }
            (Event::Closed(why), Dial::UnderWay(_)) => {
                return Connecting::again(turn, about, self.retries, &why);
            }
            _ => {}
        }
        if turn.now.mono_ms >= self.retries.until_ms {
            return Err("the leader cannot be reached in time".into());
        }
        if matches!(self.dial, Dial::PausesUntil(at) if at <= turn.now.mono_ms) {
            self.dial = Dial::UnderWay(dial(turn, about.leader));
        }
        Ok(None)
    }

    /// The link that is being dialled.
    pub(super) fn link(&self) -> Option<LinkId> {
        match self.dial {
            Dial::UnderWay(link) => Some(link),
            Dial::PausesUntil(_) => None,
        }
    }

    pub(super) fn next_deadline(&self) -> u64 {
        match self.dial {
            Dial::UnderWay(_) => self.retries.until_ms,
            Dial::PausesUntil(at) => at.min(self.retries.until_ms),
        }
    }
}

fn dial(turn: &mut Turn<'_>, leader: Sid) -> LinkId {
    let link = turn.member.dial();
    turn.effects.links.push(LinkEffect::Dial { link, leader });
    link
}
