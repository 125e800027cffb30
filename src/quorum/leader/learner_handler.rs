//! `LearnerHandler`: one learner, as its leader knows it.
//!
//! ```text
//!  Connected ─FOLLOWERINFO─▶ Introduced ─LEADERINFO─▶ Invited ─ACKEPOCH─▶ Promised
//!                                                                             │ sync chosen
//!  Serving ◀─UPTODATE─ Synced ◀─ACK of NEWLEADER─ Synchronizing ◀─NEWLEADER─ (Surveyed)
//! ```
//!
//! Every step owns what is known in it and nothing else. From the moment its sync is chosen the
//! learner is *registered*: every later proposal and commit goes to it, in order and without a gap
//! (else a commit between the choice and its acknowledgement would never reach it). While the
//! log on the disk is looked at for it they are held here, within bounds.

use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket, Sid, Zxid};
use crate::quorum::held_packets::{HeldPackets, TooMuch};
use crate::quorum::member::Turn;

/// A learner's link and how far it has come.
#[derive(Debug)]
pub struct LearnerHandler {
    link: LinkId,
    state: State,
    /// When its last packet came, something was sent that it must answer, or it took some of that.
    heard_ms: u64,
    /// The last proposal it has acknowledged before NEWLEADER.
    early: Option<Zxid>,
    /// How it is synchronized, once that is chosen.
    sync: Option<SyncKind>,
}

/// How a learner is brought to where the leader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// With what it lacks of the log (DIFF, TRUNC).
    Log,
    /// With the tree (SNAP).
    Tree,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub sid: Sid,
    /// As what it has joined: an observer acknowledges nothing.
    pub kind: LearnerType,
}

/// How far a learner has come.
#[derive(Debug)]
pub enum State {
    /// Nothing came from it yet.
    Connected,
    /// It has said who it is, and waits for the new epoch.
    Introduced(Peer),
    /// It was told the epoch.
    Invited(Peer),
    /// It follows the epoch, and ends at this zxid; it waits until the ensemble follows.
    Promised(Peer, Zxid),
    /// The log on the disk is looked at for it.
    Surveyed(Surveyed),
    /// Everything was sent, NEWLEADER behind it.
    Synchronizing(Peer),
    /// It has acknowledged NEWLEADER, and waits for UPTODATE.
    Synced(Peer),
    /// It serves.
    Serving(Serving),
}

/// A learner whose sync is not chosen to the end.
#[derive(Debug)]
pub struct Surveyed {
    /// Who it is.
    pub peer: Peer,
    /// Where it ends.
    pub last_zxid: Zxid,
    /// How far the log on the disk is looked at.
    pub through: Zxid,
    /// What goes to it behind that.
    pub held: HeldPackets,
}

/// A learner that is up to date.
#[derive(Debug)]
pub struct Serving {
    peer: Peer,
    /// The last round of PINGs that it has answered; `None` before it has acknowledged UPTODATE:
    /// until then it answers none.
    answered: Option<u64>,
    /// The last round before it was told UPTODATE.
    joined: u64,
    /// The oldest proposal it has not acknowledged, and the last one sent to it, each with the time
    /// of sending.
    oldest: Option<(Zxid, u64)>,
    newest: Option<(Zxid, u64)>,
}

/// How long a learner may be silent, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// While it is being synchronized (`initLimit`).
    pub init_ms: u64,
    /// Afterwards (`syncLimit`).
    pub sync_ms: u64,
}

impl Serving {
    /// Who it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

impl LearnerHandler {
    /// A link was opened.
    pub fn new(link: LinkId, now_ms: u64) -> Self {
        LearnerHandler { link, state: State::Connected, heard_ms: now_ms, early: None, sync: None }
    }

    /// Its link.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// How far it has come.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Who it is, once it has said so.
    pub fn peer(&self) -> Option<Peer> {
        match &self.state {
            State::Connected => None,
            State::Introduced(peer)
            | State::Invited(peer)
            | State::Promised(peer, _)
            | State::Synchronizing(peer)
            | State::Synced(peer)
            | State::Surveyed(Surveyed { peer, .. })
            | State::Serving(Serving { peer, .. }) => Some(*peer),
        }
    }

    /// When its last packet came, or something was sent that it must answer.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Since when it owes the acknowledgement of a proposal.
    pub fn owes_since_ms(&self) -> Option<u64> {
        let State::Serving(Serving { oldest, .. }) = &self.state else { return None };
        oldest.map(|(_, sent_ms)| sent_ms)
    }

    /// The last proposal that it has not acknowledged.
    pub fn owes_up_to(&self) -> Option<Zxid> {
        let State::Serving(Serving { oldest, newest, .. }) = &self.state else { return None };
        oldest.and(newest.map(|(zxid, _)| zxid))
    }

    /// Its id, if its acknowledgements may count.
    pub fn acknowledger(&self) -> Option<Sid> {
        let peer = self.peer()?;
        (peer.kind == LearnerType::Participant).then_some(peer.sid)
    }

    /// Everything was sent to it, NEWLEADER behind it.
    pub fn synchronize(&mut self, peer: Peer, sync: SyncKind, now_ms: u64) {
        self.sync = Some(sync);
        self.enter(State::Synchronizing(peer), now_ms);
    }

    /// How it is being synchronized: until it has acknowledged NEWLEADER.
    pub fn synchronizes(&self) -> Option<SyncKind> {
        self.sync.filter(|_| matches!(self.state, State::Synchronizing(_)))
    }

    /// Goes on to the next step.
    pub fn enter(&mut self, state: State, now_ms: u64) {
        self.state = state;
        self.heard_ms = now_ms;
    }

    /// A packet came, or it took bytes.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// UPTODATE goes to it; `round` is the last round of PINGs before.
    pub fn serve(&mut self, peer: Peer, round: u64, now_ms: u64) {
        let serving = Serving { peer, answered: None, joined: round, oldest: None, newest: None };
        self.enter(State::Serving(serving), now_ms);
    }

    /// Its sync is not chosen before the log on the disk was looked at.
    pub fn survey(&mut self, peer: Peer, last_zxid: Zxid, through: Zxid, now_ms: u64) {
        let surveyed = Surveyed { peer, last_zxid, through, held: HeldPackets::default() };
        self.enter(State::Surveyed(surveyed), now_ms);
    }

    /// What was held for it, if it was surveyed.
    pub fn take_surveyed(&mut self) -> Option<Surveyed> {
        match &self.state {
            State::Surveyed(_) => match std::mem::replace(&mut self.state, State::Connected) {
                State::Surveyed(surveyed) => Some(surveyed),
                _ => unreachable!("matched above"),
            },
            _ => None,
        }
    }

    /// Whether proposals and commits go to it.
    pub fn is_registered(&self) -> bool {
        match &self.state {
            State::Surveyed(_) | State::Synchronizing(_) | State::Synced(_) | State::Serving(_) => {
                true
            }
            State::Connected | State::Introduced(_) | State::Invited(_) | State::Promised(..) => {
                false
            }
        }
    }

    /// Whether it is part of a quorum that the leader hears: it takes part, and is not silent for
    /// longer than it may be. One that is being synchronized restores a tree and logs before it can
    /// say anything.
    pub fn is_heard(&self, now_ms: u64, limits: Limits) -> bool {
        let most_ms = match &self.state {
            State::Surveyed(_) | State::Synchronizing(_) => limits.init_ms.max(limits.sync_ms),
            State::Promised(..) | State::Synced(_) | State::Serving(_) => limits.sync_ms,
            State::Connected | State::Introduced(_) | State::Invited(_) => return false,
        };
        now_ms.saturating_sub(self.heard_ms) <= most_ms
    }

    /// Sends it a packet, behind everything before.
    ///
    /// # Errors
    /// Too much is held for it.
    pub fn send(&mut self, turn: &mut Turn<'_>, packet: QuorumPacket) -> Result<(), String> {
        let State::Surveyed(surveyed) = &mut self.state else {
            turn.send(self.link, packet);
            return Ok(());
        };
        let held = surveyed.held.push(packet);
        held.map_err(|TooMuch| "too much waits for it while the log is looked at".into())
    }

    /// A proposal went to it.
    pub fn proposed(&mut self, zxid: Zxid, now_ms: u64) {
        if let State::Serving(serving) = &mut self.state {
            let sent = (zxid, now_ms);
            serving.newest = Some(sent);
            serving.oldest.get_or_insert(sent);
        }
    }

    /// It has acknowledged a proposal. Of those sent meanwhile only the last is known, so that the
    /// wait for the oldest may be measured too short, and never too long.
    pub fn acknowledged(&mut self, zxid: Zxid) {
        if let State::Serving(serving) = &mut self.state
            && serving.oldest.is_some_and(|(oldest, _)| oldest <= zxid)
        {
            serving.oldest = serving.newest.filter(|(newest, _)| *newest > zxid);
        }
    }

    /// It has acknowledged a proposal before NEWLEADER, as Apache's learners of before 3.9.3 may, who
    /// do not say it again. It logs in order.
    pub fn acknowledged_early(&mut self, zxid: Zxid) {
        self.early = self.early.max(Some(zxid));
    }

    /// How far it had acknowledged what was proposed when it acknowledged NEWLEADER.
    pub fn early(&self) -> Option<Zxid> {
        self.early
    }

    /// It has acknowledged UPTODATE: from here on it answers each PING that was sent behind that.
    pub fn is_up_to_date(&mut self) {
        if let State::Serving(serving) = &mut self.state {
            serving.answered.get_or_insert(serving.joined);
        }
    }

    /// It has answered a PING.
    ///
    /// # Errors
    /// It was sent none; the last round is `sent`.
    pub fn answered_ping(&mut self, sent: u64) -> Result<(), String> {
        let State::Serving(Serving { answered: Some(answered), .. }) = &mut self.state else {
            return Ok(());
        };
        if *answered >= sent {
            return Err("expected no PING, for all were answered; got one".into());
        }
        *answered += 1;
        Ok(())
    }

    /// The last round of PINGs of which its acknowledgement is known.
    pub fn answered(&self) -> Option<u64> {
        match &self.state {
            State::Serving(serving) => serving.answered,
            _ => None,
        }
    }

    /// Why it must go, if it is silent for too long or its disk is stuck.
    pub fn overdue(&self, now_ms: u64, limits: Limits) -> Option<&'static str> {
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        match &self.state {
            State::Connected if silent_ms > limits.init_ms => Some("it did not say who it is"),
            State::Invited(_) if silent_ms > limits.init_ms => Some("it did not promise the epoch"),
            State::Synchronizing(_) if silent_ms > limits.init_ms => {
                Some("it did not acknowledge NEWLEADER within initLimit")
            }
            State::Serving(_) if silent_ms > limits.sync_ms => Some("it was silent for syncLimit"),
            State::Serving(Serving { oldest: Some((_, sent_ms)), .. })
                if now_ms.saturating_sub(*sent_ms) > limits.sync_ms =>
            {
                Some("it did not acknowledge a proposal within syncLimit")
            }
            // Others wait for us.
            _ => None,
        }
    }
}
