//! CatchingUp: what the tree lacks arrives and becomes durable; then this server is one of those
//! that the leader's epoch stands on.
//!
//! ```text
//! PROPOSAL, COMMIT …     logged as they are committed
//! NEWLEADER              the log is durable ─▶ currentEpoch is durable ─▶ ACK
//! PROPOSAL, COMMIT …     kept
//! UPTODATE               ACK; clients are served; what was kept is logged
//! ```
//!
//! The order is that of Apache ZooKeeper since 3.9.3, and each earlier one lost data: an epoch that
//! is durable before its transactions wins elections without them (ZOOKEEPER-4643), an ACK of
//! NEWLEADER before they are durable lets a quorum forget them (ZOOKEEPER-3911, 4646), the ACK of a
//! proposal is taken for that of NEWLEADER (ZOOKEEPER-4685), and a proposal that is forgotten at
//! NEWLEADER is missed by its COMMIT (ZOOKEEPER-4394).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::Broadcast;
use super::history::{History, Waiter};
use super::received::Received;
use super::words::unexpected;
use super::{About, Departure, Event, Next, Phase, acknowledgements, reconfiguration};
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumPacket, QuorumVerifier, Sid, Zxid};
use crate::quorum::durable::{Durable, Pending};
use crate::quorum::effect::ClientEffect;
use crate::quorum::held_packets::{HeldPackets, MOST_HELD_BYTES};
use crate::quorum::member::Turn;

/// The phase.
#[derive(Debug)]
pub(super) struct CatchingUp {
    pub(super) link: LinkId,
    epoch: Epoch,
    history: History,
    /// What came while the tree was restored, to be looked at first.
    backlog: HeldPackets,
    /// Committed behind NEWLEADER, each with who leads from there on if it is a reconfiguration: not
    /// logged before UPTODATE (C-219).
    kept: VecDeque<(Received, Option<Sid>)>,
    /// The configuration that came with NEWLEADER.
    config: Option<Arc<QuorumVerifier>>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// What was committed before the leader's epoch arrives.
    AwaitsNewLeader,
    /// NEWLEADER came: the log must become durable.
    Logs,
    /// The log is durable; `currentEpoch` must become so.
    WritesEpoch(Pending<Epoch>),
    /// NEWLEADER is acknowledged; UPTODATE is awaited.
    Acknowledged(Durable<Epoch>),
}

impl CatchingUp {
    /// The tree to start from is there, and with it what the leader has sent since.
    pub(super) fn begin(
        turn: &Turn<'_>,
        about: About,
        link: LinkId,
        epoch: Epoch,
        backlog: HeldPackets,
    ) -> Phase {
        let member = &*turn.member;
        // Who is to have its vote back must have a log.
        let logs = about.kind == LearnerType::Participant
            || member.options.observer_logs
            || !member.may_vote;
        Phase::CatchingUp(Box::new(CatchingUp {
            link,
            epoch,
            history: History::new(turn, epoch, logs),
            backlog,
            kept: VecDeque::new(),
            config: None,
            step: Step::AwaitsNewLeader,
        }))
    }

    pub(super) fn step(&mut self, turn: &mut Turn<'_>, about: About, event: Event) -> Next {
        while let Some(packet) = self.backlog.pop() {
            if let Some(next) = self.packet(turn, about, packet)? {
                return Ok(Some(next));
            }
        }
        match event {
            Event::Packet(packet) => {
                let next = self.packet(turn, about, packet)?;
                if next.is_some() {
                    return Ok(next);
                }
            }
            Event::Closed(why) => return Err(format!("the link to the leader ended: {why}").into()),
            Event::SnapshotArrived => return Err("a stream without SNAP".into()),
            Event::Persisted | Event::Tick => {}
            // Nobody is served yet.
            Event::Submitted(_) | Event::Opened | Event::Reloaded(_) => {}
        }
        self.promise(turn);
        Ok(None)
    }

    /// What was logged and not applied. What is kept was promised to nobody.
    pub(super) fn unapplied(self, turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        self.history.unapplied(turn)
    }

    fn packet(&mut self, turn: &mut Turn<'_>, about: About, packet: QuorumPacket) -> Next {
        match packet {
            QuorumPacket::Proposal { zxid, txn } => self.arrives(turn, zxid, txn)?,
            QuorumPacket::Commit { zxid } => self.committed(turn, about, zxid, None)?,
            QuorumPacket::CommitAndActivate { zxid, designated } => {
                self.committed(turn, about, zxid, Some(designated))?;
            }
            QuorumPacket::Inform { zxid, txn } if about.kind == LearnerType::Observer => {
                self.arrives(turn, zxid, txn)?;
                self.committed(turn, about, zxid, None)?;
            }
            QuorumPacket::InformAndActivate { zxid, designated, txn }
                if about.kind == LearnerType::Observer =>
            {
                self.arrives(turn, zxid, txn)?;
                self.committed(turn, about, zxid, Some(designated))?;
            }
            QuorumPacket::NewLeader { zxid, config } => self.new_leader(turn, zxid, config)?,
            QuorumPacket::UpToDate => return self.up_to_date(turn, about),
            QuorumPacket::Ping { zxid, .. } => {
                // Before it a leader takes every answer for that to NEWLEADER.
                if let Step::Acknowledged(_) = self.step {
                    let touched = Some(Vec::new());
                    turn.send(self.link, QuorumPacket::Ping { zxid, touched });
                }
            }
            // Of a version to come.
            QuorumPacket::Unknown { packet_type } => {
                tracing::warn!(packet_type, "a packet of an unknown type is ignored");
            }
            packet => return Err(unexpected("a step of synchronization", &packet)),
        }
        Ok(None)
    }

    fn arrives(&mut self, turn: &Turn<'_>, zxid: Zxid, txn: Bytes) -> Result<(), Departure> {
        if let Some(received) = self.history.arrives(turn, zxid, txn)? {
            reconfiguration::of_transaction(turn, received)?;
        }
        if self.history.unlogged_bytes() > MOST_HELD_BYTES {
            return Err("too much came that may not be logged before UPTODATE".into());
        }
        Ok(())
    }

    fn committed(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        zxid: Zxid,
        designated: Option<Sid>,
    ) -> Result<(), Departure> {
        let Some(received) = self.history.committed(zxid)? else { return Ok(()) };
        match self.step {
            Step::AwaitsNewLeader => self.log_and_commit(turn, about, received, designated),
            Step::Logs | Step::WritesEpoch(_) | Step::Acknowledged(_) => {
                self.kept.push_back((received, designated));
                Ok(())
            }
        }
    }

    fn log_and_commit(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        received: Received,
        designated: Option<Sid>,
    ) -> Result<(), Departure> {
        let zxid = received.zxid;
        let config = match designated {
            Some(_) => reconfiguration::of_transaction(turn, &received)?,
            None => None,
        };
        self.history.log(turn, zxid, received.txn.clone());
        self.history.let_commit(turn, received, Waiter::default());
        match designated {
            Some(designated) => {
                let history = &mut self.history;
                reconfiguration::activate(turn, about, history, zxid, config, designated)
            }
            None => Ok(()),
        }
    }

    fn new_leader(
        &mut self,
        turn: &mut Turn<'_>,
        zxid: Zxid,
        config: Option<Bytes>,
    ) -> Result<(), Departure> {
        let Step::AwaitsNewLeader = self.step else {
            return Err(format!("expected one NEWLEADER, got another: {zxid}").into());
        };
        let expected = self.epoch.start();
        if zxid != expected {
            return Err(format!("expected NEWLEADER {expected}, got {zxid}").into());
        }
        if let Some(text) = config {
            self.config = reconfiguration::read(turn, &text)?;
        }
        if let Some(config) = &self.config {
            reconfiguration::see(turn, config);
        }
        self.step = Step::Logs;
        Ok(())
    }

    /// Goes on from one durable thing to the next (C-217).
    fn promise(&mut self, turn: &mut Turn<'_>) {
        while let Some(_synchronized) = self.history.next_durable(turn) {}
        self.history.let_go(turn);
        if let Step::Logs = self.step
            && self.history.is_durable()
        {
            self.step = Step::WritesEpoch(match self.history.logs() {
                true => turn.set_current_epoch(self.epoch),
                false => turn.enter_without_log(self.epoch),
            });
        }
        if let Step::WritesEpoch(pending) = &self.step
            && let Some(durable) = turn.member.tickets.redeem(pending)
        {
            turn.member.has_data = true;
            turn.send(self.link, acknowledgements::new_leader(durable));
            self.step = Step::Acknowledged(durable);
        }
    }

    fn up_to_date(&mut self, turn: &mut Turn<'_>, about: About) -> Next {
        let Step::Acknowledged(epoch) = self.step else {
            return Err("expected UPTODATE after NEWLEADER was acknowledged".into());
        };
        if !turn.member.may_vote {
            // Whatever it may have forgotten, it has again: a quorum without it stands behind what
            // this leader has sent, and all of that is durable.
            turn.member.may_vote = true;
            return Err("the history is whole again: it joins with its vote".into());
        }
        // Apache's leader tells what it saw last, also when that is only proposed: its COMMIT or
        // INFORM brings it into force, nothing else (C-269). What this leader proposes has its epoch;
        // a version of the epoch's start, or of an earlier one, is in force with the leader itself.
        let config = self.config.take();
        let config = config.filter(|config| {
            let brought_by = Zxid::from_long(config.version);
            let is_proposed_here = brought_by > self.epoch.start();
            !is_proposed_here || brought_by <= self.history.last_committed()
        });
        if let Some(config) = config {
            reconfiguration::establish(turn, about, &config)?;
        }
        self.log_what_was_kept(turn, about)?;
        turn.send(self.link, acknowledgements::new_leader(epoch));
        turn.member.vote.0.peer_epoch = i64::from(self.epoch.0);
        turn.effects.client.push(ClientEffect::StartServing);
        Ok(Some(Broadcast::begin(turn, self.link, self.history.take())))
    }

    fn log_what_was_kept(&mut self, turn: &mut Turn<'_>, about: About) -> Result<(), Departure> {
        while let Some((received, designated)) = self.kept.pop_front() {
            self.log_and_commit(turn, about, received, designated)?;
        }
        let open: Vec<_> = self.history.uncommitted().cloned().collect();
        for received in open {
            if let Some(config) = reconfiguration::of_transaction(turn, &received)? {
                reconfiguration::see(turn, &config);
            }
            self.history.log(turn, received.zxid, received.txn);
        }
        Ok(())
    }
}
