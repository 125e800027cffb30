//! `Learner`: the role of a server that follows a leader, with a vote or without.
//!
//! ```text
//! Connecting ─▶ Discovery ─▶ Choosing ───────▶ CatchingUp ──────────▶ Broadcast
//!     ▲  link     │ the epoch   │ DIFF, TRUNC,    │ committed, logged,    │ PROPOSAL, COMMIT, INFORM;
//!     └───────────┘ is promised │ SNAP: a tree    │ NEWLEADER, UPTODATE   │ clients are served
//!       not led there yet       │ to start from
//! ```
//!
//! What always holds:
//! * A phase knows what belongs to it: before LEADERINFO there is no epoch to misread.
//! * Whatever is acknowledged is durable: an ACK can only be built from the disk's report
//!   (`acknowledgements`).
//! * Nothing is acknowledged before NEWLEADER (C-218), and NEWLEADER only when everything that
//!   was committed before it is durable, and then `currentEpoch` (C-217).
//! * What the leader sends is believed only as far as it fits: each transaction follows the one
//!   before (C-233), each COMMIT is for the oldest proposal. A leader that sends anything else is
//!   left with words.
//! * A leader that is silent is left, too; while a tree comes in, it is not.

use bytes::Bytes;

use self::broadcast::Broadcast;
use self::catching_up::CatchingUp;
use self::choosing::Choosing;
use self::connecting::Connecting;
use self::discovery::Discovery;
use super::effect::{ClientEffect, Input, Restored};
use super::member::{Outcome, Turn};
use crate::processor::request::Submission;
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, Notification, QuorumPacket, Sid, Vote, Zxid};
use crate::session::SessionsPage;
use crate::status::ZabState;

mod acknowledgements;
mod broadcast;
mod catching_up;
mod choosing;
mod connecting;
mod discovery;
mod forwarding;
mod history;
mod local_sessions;
mod received;
mod reconfiguration;
mod waiting;
mod words;

/// The role of a follower or an observer.
#[derive(Debug)]
pub struct Learner {
    about: About,
    phase: Phase,
    /// The last of its links that ended without its doing.
    gone: Option<LinkId>,
    /// When something was last heard of the leader, on the monotonic clock.
    heard_ms: u64,
    /// How long a leader may be silent before it serves, and after, in milliseconds.
    patience_ms: Patience,
}

/// Whom it follows, and as what.
#[derive(Debug, Clone, Copy)]
struct About {
    leader: Sid,
    kind: LearnerType,
}

#[derive(Debug, Clone, Copy)]
struct Patience {
    until_served: u64,
    served: u64,
}

/// How far it has come.
#[derive(Debug)]
enum Phase {
    Connecting(Connecting),
    Discovery(Discovery),
    Choosing(Choosing),
    CatchingUp(Box<CatchingUp>),
    Broadcast(Box<Broadcast>),
}

/// What concerns a learner, of what can happen.
#[derive(Debug)]
enum Event {
    Opened,
    Packet(QuorumPacket),
    SnapshotArrived,
    Closed(String),
    Submitted(Vec<Submission>),
    Persisted,
    Reloaded(Restored),
    Tick,
}

/// Why the role ends.
#[derive(Debug)]
struct Departure {
    why: String,
    successor: Option<Vote>,
}

/// How a phase goes on: `None` in itself.
type Next = Result<Option<Phase>, Departure>;

impl Learner {
    /// The role of a server that found a leader: dials it.
    pub fn new(turn: &mut Turn<'_>, leader: Sid, kind: LearnerType) -> Self {
        let member = &*turn.member;
        let sync_ms = member.ticks(member.options.sync_limit);
        // The leader says nothing while it waits for others to acknowledge NEWLEADER.
        let until_served = member.ticks(member.options.init_limit).max(sync_ms);
        Learner {
            about: About { leader, kind },
            phase: Phase::Connecting(Connecting::new(turn, leader)),
            gone: None,
            heard_ms: turn.now.mono_ms,
            patience_ms: Patience { until_served, served: sync_ms },
        }
    }

    /// Takes one input.
    pub fn step(&mut self, turn: &mut Turn<'_>, input: Input) -> Outcome {
        if let Input::ListSessions { after, most, to } = input {
            let page = match &self.phase {
                Phase::Broadcast(phase) => phase.sessions(after, most),
                _ => SessionsPage::default(),
            };
            turn.effects.client.push(ClientEffect::SessionsListed { page, to });
            return Outcome::Stay;
        }
        if let Input::BytesMoved(link) = input {
            // A tree takes its time.
            if self.link() == Some(link) {
                self.heard_ms = turn.now.mono_ms;
            }
            return Outcome::Stay;
        }
        let Some(event) = self.event(input) else { return Outcome::Stay };
        match event {
            Event::Opened | Event::Packet(_) | Event::SnapshotArrived => {
                self.heard_ms = turn.now.mono_ms;
            }
            Event::Closed(_) => self.gone = self.link(),
            Event::Submitted(_) | Event::Persisted | Event::Reloaded(_) | Event::Tick => {}
        }
        if let Err(Departure { why, successor }) = self.go_on(turn, event) {
            return Outcome::Leave { why, successor };
        }
        match self.silent_at_ms() {
            Some(deadline) if deadline <= turn.now.mono_ms => {
                let silence = turn.now.mono_ms - self.heard_ms;
                Outcome::leave(format!("nothing heard of the leader for {silence} ms"))
            }
            _ => Outcome::Stay,
        }
    }

    /// Ends the role: closes its link, with the words that say why. Returns what was logged and not
    /// applied, in order.
    pub fn leave(self, turn: &mut Turn<'_>, why: &str) -> Vec<(Zxid, Bytes)> {
        if let Some(link) = self.link().filter(|link| self.gone != Some(*link)) {
            turn.close(link, format!("the leader is left: {why}"));
        }
        match self.phase {
            Phase::Connecting(_) | Phase::Discovery(_) | Phase::Choosing(_) => Vec::new(),
            Phase::CatchingUp(phase) => phase.unapplied(turn),
            Phase::Broadcast(phase) => phase.unapplied(turn),
        }
    }

    /// When it wants a tick.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.phase {
            Phase::Connecting(phase) => Some(phase.next_deadline()),
            Phase::Broadcast(phase) => {
                [phase.next_deadline(), self.silent_at_ms()].into_iter().flatten().min()
            }
            _ => self.silent_at_ms(),
        }
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        matches!(self.phase, Phase::Broadcast(_))
    }

    /// What it is.
    pub fn kind(&self) -> LearnerType {
        self.about.kind
    }

    /// Whom it follows.
    pub fn leader(&self) -> Sid {
        self.about.leader
    }

    /// Whether its leader, which has not answered yet, says by `notification` that it supports
    /// another server, or follows it already, in the round of the election that it won here or in a
    /// later one.
    pub fn is_let_down(&self, from: Sid, notification: &Notification, round: i64) -> bool {
        matches!(self.phase, Phase::Connecting(_))
            && from == self.about.leader
            && notification.vote.leader != from
            && notification.round >= round
    }

    /// How far it has come.
    pub fn zab_state(&self) -> ZabState {
        match &self.phase {
            Phase::Connecting(_) | Phase::Discovery(_) => ZabState::Discovery,
            Phase::Choosing(_) | Phase::CatchingUp(_) => ZabState::Synchronization,
            Phase::Broadcast(_) => ZabState::Broadcast,
        }
    }

    /// Sessions that only this server knows.
    pub fn local_sessions(&self) -> usize {
        match &self.phase {
            Phase::Broadcast(phase) => phase.local_sessions(),
            _ => 0,
        }
    }

    /// Requests that were forwarded and are not finished yet.
    pub fn in_process(&self) -> usize {
        match &self.phase {
            Phase::Broadcast(phase) => phase.in_process(),
            _ => 0,
        }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>, event: Event) -> Result<(), Departure> {
        let (about, mut event) = (self.about, event);
        loop {
            let next = match &mut self.phase {
                Phase::Connecting(phase) => phase.step(turn, about, event),
                Phase::Discovery(phase) => phase.step(turn, about, event),
                Phase::Choosing(phase) => phase.step(turn, about, event),
                Phase::CatchingUp(phase) => phase.step(turn, about, event),
                Phase::Broadcast(phase) => phase.step(turn, about, event),
            };
            let Some(phase) = next? else { return Ok(()) };
            self.phase = phase;
            // The new phase may have something to do at once.
            event = Event::Tick;
        }
    }

    /// When the leader has been silent for too long.
    fn silent_at_ms(&self) -> Option<u64> {
        let patience_ms = match &self.phase {
            // Dialling has its own limit.
            Phase::Connecting(_) => return None,
            Phase::Discovery(_) | Phase::Choosing(_) | Phase::CatchingUp(_) => {
                self.patience_ms.until_served
            }
            Phase::Broadcast(_) => self.patience_ms.served,
        };
        Some(self.heard_ms.saturating_add(patience_ms))
    }

    fn link(&self) -> Option<LinkId> {
        match &self.phase {
            Phase::Connecting(phase) => phase.link(),
            Phase::Discovery(phase) => Some(phase.link),
            Phase::Choosing(phase) => Some(phase.link),
            Phase::CatchingUp(phase) => Some(phase.link),
            Phase::Broadcast(phase) => Some(phase.link),
        }
    }

    /// What an input means here; nothing if it is about a link of an earlier attempt.
    fn event(&self, input: Input) -> Option<Event> {
        let ours = |link| Some(link) == self.link();
        match input {
            Input::LinkOpened(link) => ours(link).then_some(Event::Opened),
            Input::Packet { link, packet } => ours(link).then_some(Event::Packet(packet)),
            Input::SnapshotArrived(link) => ours(link).then_some(Event::SnapshotArrived),
            Input::LinkClosed { link, why } => ours(link).then_some(Event::Closed(why)),
            Input::Submitted(submissions) => Some(Event::Submitted(submissions)),
            Input::Persisted(_) => Some(Event::Persisted),
            Input::Reloaded(restored) => Some(Event::Reloaded(restored)),
            Input::Tick => Some(Event::Tick),
            // Only a leader has learners, and something to give up; the rest is the peer's.
            Input::LogSurveyed { .. } | Input::Stop => None,
            Input::Notified { .. } | Input::Mesh { .. } => None,
            Input::Applied(_) | Input::ListSessions { .. } | Input::BytesMoved(_) => None,
        }
    }
}

impl<S: Into<String>> From<S> for Departure {
    fn from(why: S) -> Self {
        Departure { why: why.into(), successor: None }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
