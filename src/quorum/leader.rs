//! `Leader`: the role of a server that was elected, from the first FOLLOWERINFO to its end.
//!
//! What always holds:
//! * It is established by quorums, phase by phase (`epoch`), and leaves when one does not come in
//!   time, or is no longer heard.
//! * A learner is registered for everything that follows in the very step that chooses its sync, and
//!   logging a transaction is one step with sending it: nothing falls between (TLA+ 1 and 2).
//! * UPTODATE goes to a learner behind every COMMIT up to the leader's commit point (TLA+ 3).
//! * A packet that no honest learner sends ends that link, with what was expected and what came, and
//!   disturbs nobody else.

mod broadcast;
mod describe;
mod epoch;
mod forwarding;
mod learner_handler;
mod learner_sync;
mod learners;
mod liveness;
mod packets;
mod proposals;
mod reconfig;
mod refusals;
mod session_owners;
mod synchronize;
mod syncs;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;

use bytes::Bytes;

use self::broadcast::{Broadcast, Road, ping};
use self::epoch::{Phase, leader_info};
use self::learner_handler::{Limits, State};
use self::learners::Learners;
use self::liveness::{Beat, Heart};
use self::packets::Trouble;
use self::proposals::Proposals;
use super::effect::{ClientEffect, Input};
use super::member::{Outcome, Turn};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, Notification, QuorumPacket, Sid, Zxid};

/// The role.
#[derive(Debug)]
pub struct Leader {
    phase: Phase,
    learners: Learners,
    proposals: Proposals,
    heart: Heart,
    limits: Limits,
    /// Who has elected it and, as far as it knows, supports nobody else.
    backers: BTreeSet<Sid>,
    /// Until then the phase must be over, unless it is the last.
    wait_until_ms: u64,
    serves: bool,
}

impl Leader {
    /// The role of a server that was elected by these.
    pub fn new(turn: &mut Turn<'_>, backers: BTreeSet<Sid>) -> Self {
        let (now_ms, options) = (turn.now.mono_ms, &turn.member.options);
        let limits = liveness::limits(options);
        let patience_ms = options.max_time_to_wait_for_epoch_ms.unwrap_or(u64::MAX);
        let (tick_ms, last_logged) = (options.tick_ms, turn.member.last_logged);
        // Who is a quorum of its own waits for nobody.
        let mut phase = Phase::gathering(turn);
        phase.advance(turn);
        Leader {
            phase,
            learners: Learners::default(),
            proposals: Proposals::new(last_logged),
            heart: Heart::new(tick_ms, now_ms),
            limits,
            backers,
            wait_until_ms: now_ms.saturating_add(limits.init_ms.min(patience_ms)),
            serves: false,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, turn: &mut Turn<'_>, input: Input) -> Outcome {
        match self.take(turn, input).and_then(|()| self.go_on(turn)) {
            Ok(()) => Outcome::Stay,
            Err(outcome) => outcome,
        }
    }

    /// Ends the role: closes its links. Returns what was logged and not applied, in order.
    pub fn leave(mut self, turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        self.learners.close_all(turn, "this server does not lead any more");
        // What is in force does not wait for its transaction.
        let activations = self.proposals.activations().map(ClientEffect::ActivateConfig);
        turn.effects.client.extend(activations);
        self.proposals.into_unapplied()
    }

    /// Whether this leader, whose epoch does not stand yet, waits for a quorum in vain: so many of
    /// those who elected it have said since, the last one by `notification`, that in that round they
    /// support another. A better vote may reach them a moment after they have given theirs; without
    /// this, whoever they elected first would wait for them until initLimit is over.
    pub fn is_forsaken(&mut self, turn: &Turn<'_>, from: Sid, notification: &Notification) -> bool {
        let (me, round) = (turn.member.me, turn.member.vote.1);
        let counts = notification.round == round && turn.member.configs.is_voter(from);
        if !counts || matches!(self.phase, Phase::Broadcasting(..)) {
            return false;
        }
        match notification.vote.leader == me {
            true => self.backers.insert(from),
            false => self.backers.remove(&from),
        };
        let has_come = |sid| self.learners.iter().any(|l| l.peer().is_some_and(|p| p.sid == sid));
        let may_come = |sid| sid == me || self.backers.contains(&sid) || has_come(sid);
        !turn.member.configs.contains_quorum(may_come)
    }

    /// When it wants a tick.
    pub fn next_deadline(&self) -> Option<u64> {
        let phase = match &self.phase {
            Phase::Broadcasting(_, broadcast) => broadcast.next_deadline(),
            _ => Some(self.wait_until_ms),
        };
        phase.into_iter().chain([self.heart.next_ms()]).min()
    }

    /// Whether clients are served (by it, or were).
    pub fn serves(&self) -> bool {
        self.serves
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        self.broadcast().map_or(0, Broadcast::in_process)
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        self.broadcast().map_or((0, 0), Broadcast::change_records)
    }

    fn broadcast(&self) -> Option<&Broadcast> {
        match &self.phase {
            Phase::Broadcasting(_, broadcast) => Some(broadcast),
            _ => None,
        }
    }

    /// The chain, once there is one, and the road of its proposals.
    fn established(&mut self) -> Option<(&mut Broadcast, Road<'_>)> {
        let Leader { phase, learners, proposals, limits, .. } = self;
        let road = Road { learners, proposals, limits: *limits };
        match phase {
            Phase::Broadcasting(_, broadcast) => Some((broadcast, road)),
            _ => None,
        }
    }

    fn take(&mut self, turn: &mut Turn<'_>, input: Input) -> Result<(), Outcome> {
        match input {
            Input::Submitted(submissions) => {
                if let Some((broadcast, mut road)) = self.established() {
                    broadcast.submitted(turn, &mut road, submissions);
                }
            }
            Input::Applied(zxid) => {
                if let Some((broadcast, _)) = self.established() {
                    broadcast.applied(zxid);
                }
            }
            Input::ListSessions { after, most, to } => {
                if let Some(broadcast) = self.broadcast() {
                    let page = broadcast.sessions().page(after, most);
                    turn.effects.client.push(ClientEffect::SessionsListed { page, to });
                }
            }
            Input::LinkOpened(link) => self.opened(turn, link),
            Input::Packet { link, packet } => {
                let Some(handler) = self.learners.get_mut(link) else { return Ok(()) };
                handler.heard(turn.now.mono_ms);
                match self.packet(turn, link, packet) {
                    Ok(()) => {}
                    Err(Trouble::Link(why)) => self.learners.drop(turn, link, why),
                    Err(Trouble::Leadership(outcome)) => return Err(outcome),
                }
            }
            Input::LinkClosed { link, why } => self.learners.closed(link, &why),
            Input::BytesMoved(link) => self.moved(turn, link),
            Input::LogSurveyed { link, survey } => self.surveyed(turn, link, survey),
            Input::Stop => return Err(Outcome::leave("leadership released")),
            Input::Persisted(_)
            | Input::Tick
            | Input::Notified { .. }
            | Input::Mesh { .. }
            | Input::SnapshotArrived(_)
            | Input::Reloaded(_) => {}
        }
        Ok(())
    }

    fn opened(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        if link.is_accepted() {
            self.learners.opened(link, turn.now.mono_ms);
        } else {
            turn.close(link, "this server leads and needs no leader");
        }
    }

    /// A learner takes what it is synchronized with: however long that lasts, it is not silent, and
    /// if it is to make the epoch stand it is waited for.
    fn moved(&mut self, turn: &Turn<'_>, link: LinkId) {
        let now_ms = turn.now.mono_ms;
        let Some(handler) = self.learners.get_mut(link) else { return };
        let State::Synchronizing(peer) = *handler.state() else { return };
        handler.heard(now_ms);
        if let Phase::Synchronizing { .. } = &self.phase
            && Self::is_voter(turn, peer)
        {
            self.wait_until_ms = now_ms.saturating_add(self.limits.init_ms);
        }
    }

    /// What follows from the input, the disk's reports and the time.
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Result<(), Outcome> {
        while self.phase.advance(turn) {
            self.wait_until_ms = turn.now.mono_ms.saturating_add(self.limits.init_ms);
        }
        self.invite(turn);
        if self.phase.synchronizes() {
            self.synchronize_promised(turn);
        }
        let has_lost_its_vote = self.establish(turn);
        self.up_to_date(turn);
        if has_lost_its_vote {
            return Err(Outcome::leave("this server has no vote in the configuration in force"));
        }
        if let Some((broadcast, mut road)) = self.established() {
            broadcast.due(turn, &mut road);
            broadcast.advance(turn, &mut road);
            if let Some(vote) = broadcast.successor(road.proposals) {
                let why = format!("by a reconfiguration {} leads", vote.leader);
                return Err(Outcome::Leave { why, successor: Some(vote) });
            }
            if broadcast.is_exhausted() {
                return Err(Outcome::leave("the zxid's counter ends: a new epoch is needed"));
            }
        } else if turn.now.mono_ms >= self.wait_until_ms {
            let awaited = self.phase.awaited();
            return Err(Outcome::leave(format!("{awaited} within initLimit")));
        }
        // What was just let go may be what a learner's tree waited for.
        if self.phase.synchronizes() {
            self.synchronize_promised(turn);
        }
        match self.heart.beat(turn.now.mono_ms) {
            Some(beat) => self.beat(turn, beat),
            None => Ok(()),
        }
    }

    /// Tells the epoch to everybody who waits for it.
    fn invite(&mut self, turn: &mut Turn<'_>) {
        let Some(epoch) = self.phase.epoch() else { return };
        for handler in self.learners.iter_mut() {
            if let State::Introduced(peer) = *handler.state() {
                handler.enter(State::Invited(peer), turn.now.mono_ms);
                turn.send(handler.link(), leader_info(epoch));
            }
        }
    }

    /// Begins to lead, when quorums of the configuration in force and of the one seen last have
    /// everything; that one is in force from here on. Whether this server may not lead in it: a
    /// leader before it proposed that, and this one has brought it to its end (C-270).
    fn establish(&mut self, turn: &mut Turn<'_>) -> bool {
        let Phase::Synchronizing { epoch, acked } = &self.phase else { return false };
        if !turn.member.configs.contains_quorum(|sid| acked.contains(&sid)) {
            return false;
        }
        let epoch = *epoch;
        turn.member.vote.0.peer_epoch = epoch.what().0.into();
        self.phase = Phase::Broadcasting(epoch, Box::new(Broadcast::new(turn, epoch.what())));
        if turn.member.options.reconfig_enabled
            && let Some(config) = turn.member.configs.proposed().cloned()
        {
            let stays = reconfig::stays(&config, turn.member);
            turn.activate_config(config);
            if !stays {
                return true;
            }
        }
        if turn.member.options.leader_serves {
            self.serves = true;
            turn.effects.client.push(ClientEffect::StartServing);
        }
        false
    }

    /// Tells everybody who has everything that it may serve.
    fn up_to_date(&mut self, turn: &mut Turn<'_>) {
        let Phase::Broadcasting(_, broadcast) = &self.phase else { return };
        let round = broadcast.round();
        for handler in self.learners.iter_mut() {
            if let State::Synced(peer) = *handler.state() {
                handler.serve(peer, round, turn.now.mono_ms);
                turn.send(handler.link(), QuorumPacket::UpToDate);
                if peer.kind == LearnerType::Participant {
                    // It was sent them with its sync, and is to acknowledge them from here on.
                    for (zxid, _) in self.proposals.outstanding() {
                        handler.proposed(zxid, turn.now.mono_ms);
                    }
                    handler.early().into_iter().for_each(|zxid| handler.acknowledged(zxid));
                }
            }
        }
    }

    fn beat(&mut self, turn: &mut Turn<'_>, beat: Beat) -> Result<(), Outcome> {
        let (now_ms, limits) = (turn.now.mono_ms, self.limits);
        self.learners.drop_overdue(turn, limits);
        let stuck = self.proposals.oldest_not_durable_ms();
        if stuck.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > limits.sync_ms) {
            return Err(Outcome::leave("the own disk is stuck for syncLimit"));
        }
        match &self.phase {
            Phase::Synchronizing { epoch, .. } => ping(turn, &self.learners, epoch.what().start()),
            Phase::Broadcasting(..) => {
                if beat == Beat::Full && !self.hears_a_quorum(turn) {
                    return Err(Outcome::leave("no quorum was heard for syncLimit"));
                }
                if let Some((broadcast, mut road)) = self.established() {
                    broadcast.ping(turn, &mut road);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn hears_a_quorum(&self, turn: &Turn<'_>) -> bool {
        let (now_ms, me) = (turn.now.mono_ms, turn.member.me);
        turn.member.configs.contains_quorum(|sid| {
            sid == me
                || self.learners.iter().any(|handler| {
                    handler.acknowledger() == Some(sid) && handler.is_heard(now_ms, self.limits)
                })
        })
    }

    /// Whether that learner has a vote, here and now.
    fn is_voter(turn: &Turn<'_>, peer: learner_handler::Peer) -> bool {
        peer.kind == LearnerType::Participant && turn.member.configs.is_voter(peer.sid)
    }
}

#[cfg(test)]
mod tests;
