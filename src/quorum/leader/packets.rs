//! What a leader makes of a learner's packets.
//!
//! | packet | when it is expected |
//! |---|---|
//! | FOLLOWERINFO, OBSERVERINFO | first of all |
//! | ACKEPOCH | after LEADERINFO |
//! | ACK | after NEWLEADER, UPTODATE or a PROPOSAL; of what is committed already it means nothing |
//! | PING, REQUEST, REVALIDATE | after UPTODATE |
//!
//! Anything else ends the link.

use super::Leader;
use super::epoch::Phase;
use super::learner_handler::{Peer, State};
use crate::proto::membership::LearnerType;
use crate::proto::quorum_packet::{LearnerInfo, PROTOCOL_VERSION};
use crate::proto::{Epoch, LinkId, QuorumPacket, Zxid};
use crate::quorum::member::{Outcome, Turn};

/// An elected server has missed at most so many epochs that others have promised to follow: in each
/// of them somebody was elected, and a quorum came to it. A million of those take months.
const MOST_EPOCHS_MISSED: u32 = 1 << 20;

/// Why a packet was not taken.
#[derive(Debug)]
pub enum Trouble {
    /// Its sender is wrong: the link ends.
    Link(String),
    /// This server should not lead.
    Leadership(Outcome),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Link(why)
    }
}

impl Leader {
    /// A packet came over the link of a learner.
    pub(super) fn packet(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        packet: QuorumPacket,
    ) -> Result<(), Trouble> {
        match packet {
            QuorumPacket::FollowerInfo(info) => {
                self.introduced(turn, link, LearnerType::Participant, &info)
            }
            QuorumPacket::ObserverInfo(info) => {
                self.introduced(turn, link, LearnerType::Observer, &info)
            }
            QuorumPacket::AckEpoch { last_zxid, current_epoch } => {
                self.promised(turn, link, last_zxid, current_epoch)
            }
            QuorumPacket::Ack { zxid } => self.acknowledged(turn, link, zxid),
            QuorumPacket::Ping { touched, .. } => {
                let round = self.broadcast().map_or(0, |broadcast| broadcast.round());
                match self.state(link)? {
                    State::Serving(_) => {}
                    // What it should leave unanswered, and is no harm.
                    State::Synchronizing(_) | State::Synced(_) => return Ok(()),
                    other => return Err(unexpected(other, "PING")),
                }
                if let Some(handler) = self.learners.get_mut(link) {
                    handler.answered_ping(round)?;
                }
                if let Some((broadcast, _)) = self.established() {
                    broadcast.touched(turn, &touched.unwrap_or_default());
                }
                Ok(())
            }
            QuorumPacket::Request(request) => {
                let peer = self.serving(link, "REQUEST")?;
                if let Some((broadcast, mut road)) = self.established()
                    && !broadcast.is_exhausted()
                {
                    broadcast.forwarded(turn, &mut road, (link, peer), request)?;
                }
                Ok(())
            }
            QuorumPacket::Revalidate { session, timeout_ms } => {
                let peer = self.serving(link, "REVALIDATE")?;
                if let Some((broadcast, road)) = self.established() {
                    broadcast.revalidate(turn, &road, (link, peer), (session, timeout_ms));
                }
                Ok(())
            }
            // A later version may say more than we know, but first it says who it is.
            QuorumPacket::Unknown { .. } => match self.state(link)? {
                state @ State::Connected => Err(unexpected(state, "a packet of an unknown type")),
                _ => Ok(()),
            },
            QuorumPacket::Proposal { .. }
            | QuorumPacket::Commit { .. }
            | QuorumPacket::Revalidated { .. }
            | QuorumPacket::Sync
            | QuorumPacket::Inform { .. }
            | QuorumPacket::CommitAndActivate { .. }
            | QuorumPacket::NewLeader { .. }
            | QuorumPacket::UpToDate
            | QuorumPacket::Diff { .. }
            | QuorumPacket::Trunc { .. }
            | QuorumPacket::Snap { .. }
            | QuorumPacket::LeaderInfo { .. }
            | QuorumPacket::InformAndActivate { .. } => {
                Err(unexpected(self.state(link)?, "a packet that only leaders send"))
            }
        }
    }

    fn state(&self, link: LinkId) -> Result<&State, Trouble> {
        let found = self.learners.get(link).map(|handler| handler.state());
        found.ok_or_else(|| Trouble::Link("the link is gone".into()))
    }

    fn serving(&self, link: LinkId, what: &str) -> Result<Peer, Trouble> {
        let state = self.state(link)?;
        match state {
            State::Serving(serving) => Ok(serving.peer()),
            other => Err(unexpected(other, what)),
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO.
    fn introduced(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        kind: LearnerType,
        info: &LearnerInfo,
    ) -> Result<(), Trouble> {
        if !matches!(self.state(link)?, State::Connected) {
            return Err(unexpected(self.state(link)?, "FOLLOWERINFO or OBSERVERINFO"));
        }
        let me = turn.member.me;
        let Some(sid) = info.sid else {
            return Err(Trouble::Link("expected a server's id, got none".into()));
        };
        if sid == me {
            return Err(Trouble::Link(format!("expected another server than {me}, got it")));
        }
        if info.protocol_version < PROTOCOL_VERSION {
            let got = info.protocol_version;
            return Err(Trouble::Link(format!("expected protocol 0x10000, got {got:#x}")));
        }
        // Whoever knows a newer configuration must not be led by one who does not (C-232).
        let member = &*turn.member;
        let (own, theirs) = (member.configs.current.version, info.config_version);
        if theirs > own {
            return Err(Trouble::Link(format!(
                "expected a configuration of version {own:x} or older, got {theirs:x}"
            )));
        }
        // Nobody could take a promise back, and behind the last epoch there is none: whoever is
        // believed in a jump to there ends the ensemble.
        let most = member.accepted_epoch.0.saturating_add(MOST_EPOCHS_MISSED);
        let most = most.min(Epoch::LAST.0 - 1);
        if info.accepted_epoch.0 > most {
            let got = info.accepted_epoch;
            return Err(Trouble::Link(format!("expected an epoch of at most {most}, got {got}")));
        }
        let peer = Peer { sid, kind };
        self.learners.replace(turn, sid, link);
        if let Some(handler) = self.learners.get_mut(link) {
            handler.enter(State::Introduced(peer), turn.now.mono_ms);
        }
        let is_voter = Self::is_voter(turn, peer);
        match &mut self.phase {
            Phase::Gathering { seen, highest } => {
                // Observers' too: they would not follow an epoch below. Who is no member may wait
                // until the ensemble has come as far.
                if turn.member.configs.is_member(sid) {
                    *highest = info.accepted_epoch.max(*highest);
                }
                if is_voter {
                    seen.insert(sid);
                }
            }
            // It may never follow this epoch, and nobody else would bring it back.
            _ if is_voter && info.accepted_epoch > turn.member.accepted_epoch => {
                let why = format!("{sid} has promised to follow epoch {}", info.accepted_epoch);
                return Err(Trouble::Leadership(Outcome::leave(why)));
            }
            _ => {}
        }
        Ok(())
    }

    /// ACKEPOCH.
    fn promised(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        last_zxid: Zxid,
        current_epoch: Option<Epoch>,
    ) -> Result<(), Trouble> {
        let State::Invited(peer) = *self.state(link)? else {
            return Err(unexpected(self.state(link)?, "ACKEPOCH"));
        };
        let has_data = last_zxid != Zxid::NO_DATA;
        let member = &*turn.member;
        let own = (member.current_epoch, member.last_logged);
        if let Phase::Promising { promised, .. } = &mut self.phase
            && let Some(current_epoch) = current_epoch
            && has_data
            && peer.kind == LearnerType::Participant
        {
            if Self::is_voter(turn, peer) && (current_epoch, last_zxid) > own {
                let why = format!(
                    "{} is ahead: epoch {current_epoch}, {last_zxid}; here epoch {}, {}",
                    peer.sid, own.0, own.1
                );
                return Err(Trouble::Leadership(Outcome::leave(why)));
            }
            promised.insert(peer.sid);
        }
        if let Some(handler) = self.learners.get_mut(link) {
            let last_zxid = if has_data { last_zxid } else { Zxid::ZERO };
            handler.enter(State::Promised(peer, last_zxid), turn.now.mono_ms);
        }
        Ok(())
    }

    /// ACK.
    fn acknowledged(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        zxid: Zxid,
    ) -> Result<(), Trouble> {
        let start = self.phase.epoch().map(|epoch| epoch.what().start());
        let Some(handler) = self.learners.get_mut(link) else { return Ok(()) };
        match *handler.state() {
            // It is not taken for that of NEWLEADER, and means nothing before that (ZOOKEEPER-4685).
            State::Synchronizing(_) if Some(zxid) != start => {
                if zxid <= self.proposals.last() {
                    handler.acknowledged_early(zxid);
                }
            }
            State::Synchronizing(peer) => {
                if let (Some(sid), Some(early)) = (handler.acknowledger(), handler.early()) {
                    self.proposals.ack_through(sid, early);
                }
                handler.enter(State::Synced(peer), turn.now.mono_ms);
                if let Phase::Synchronizing { acked, .. } = &mut self.phase
                    && peer.kind == LearnerType::Participant
                {
                    acked.insert(peer.sid);
                }
            }
            State::Synced(_) => {}
            State::Serving(_) if zxid.counter() == 0 => {
                if Some(zxid) == start {
                    handler.is_up_to_date();
                }
            }
            State::Serving(_) if zxid > self.proposals.last() => {
                let last = self.proposals.last();
                return Err(Trouble::Link(format!("expected no ACK above {last}, got {zxid}")));
            }
            State::Serving(_) => {
                handler.acknowledged(zxid);
                if let Some(sid) = handler.acknowledger() {
                    self.proposals.ack(sid, zxid);
                }
            }
            _ => return Err(unexpected(handler.state(), "ACK")),
        }
        Ok(())
    }
}

/// What was expected in that state, and what came.
fn unexpected(state: &State, got: &str) -> Trouble {
    let expected = match state {
        State::Connected => "FOLLOWERINFO or OBSERVERINFO",
        State::Introduced(_) | State::Promised(..) | State::Surveyed(_) => "nothing",
        State::Invited(_) => "ACKEPOCH",
        State::Synchronizing(_) => "ACK of NEWLEADER",
        State::Synced(_) => "ACK",
        State::Serving(_) => "ACK, PING, REQUEST or REVALIDATE",
    };
    Trouble::Link(format!("expected {expected}, got {got}"))
}
