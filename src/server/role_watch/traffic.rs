//! What goes to and fro between a leader and its learners, counted.
//!
//! Latencies begin with the time that the leader stamped on the transaction, as in Apache ZooKeeper:
//! where clocks differ between servers, so do they.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::metrics::{Advanced, Metrics};
use crate::proto::txns::TxnHeader;
use crate::proto::{LinkId, QuorumPacket, ServerState, Sid, Ticket, Zxid};
use crate::quorum::effect::{ClientEffect, DiskEffect, LinkEffect};
use crate::status::{MemberStatus, Stage, SyncMode, ZabState};
use crate::time::Instant;

/// Of so many transactions one has its acknowledgements measured (`leader.ackLoggingFrequency`).
const ACKS_MEASURED_OF: u64 = 1000;

/// Counts packets and transactions of the present role.
#[derive(Debug)]
pub(super) struct Traffic {
    metrics: Arc<Metrics>,
    /// Proposed and not committed, each with the time of its making.
    open: VecDeque<(Zxid, i64)>,
    /// On their way to the disk, likewise.
    to_disk: VecDeque<(Ticket, Zxid, i64)>,
    /// Who is at the links of a leader.
    sids: BTreeMap<LinkId, Sid>,
    /// How those are synchronized that have not acknowledged NEWLEADER.
    syncs: BTreeMap<LinkId, SyncMode>,
    /// How all of them were, those included that have.
    last_syncs: BTreeMap<LinkId, SyncMode>,
    /// How this server is.
    own_sync: Option<SyncMode>,
    /// Packets of this turn by link.
    packets: Vec<(LinkId, u64)>,
}

impl Traffic {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Traffic {
            metrics,
            open: VecDeque::new(),
            to_disk: VecDeque::new(),
            sids: BTreeMap::new(),
            syncs: BTreeMap::new(),
            last_syncs: BTreeMap::new(),
            own_sync: None,
            packets: Vec::new(),
        }
    }

    /// Nothing of a role's traffic is the next one's.
    pub(super) fn role_ends(&mut self) {
        *self = Traffic::new(self.metrics.clone());
    }

    /// A packet came.
    pub(super) fn arrives(
        &mut self,
        stage: Stage,
        link: LinkId,
        packet: &QuorumPacket,
        now: Instant,
    ) {
        let metrics = &self.metrics;
        let leads = stage.state == ServerState::Leading;
        match packet {
            QuorumPacket::Proposal { zxid, txn } if !leads && stage.zab == ZabState::Broadcast => {
                metrics.learner_proposal_received_count.add(1);
                let Some(made_ms) = time_of(txn) else { return };
                since(made_ms, now, &metrics.proposal_latency);
                self.open.push_back((*zxid, made_ms));
            }
            QuorumPacket::Commit { zxid } | QuorumPacket::CommitAndActivate { zxid, .. }
                if !leads && stage.zab == ZabState::Broadcast =>
            {
                metrics.learner_commit_received_count.add(1);
                while let Some((_, made_ms)) = self.open.pop_front_if(|(open, _)| *open <= *zxid) {
                    since(made_ms, now, &metrics.commit_propagation_latency);
                }
            }
            QuorumPacket::Inform { txn, .. } | QuorumPacket::InformAndActivate { txn, .. }
                if !leads && stage.zab == ZabState::Broadcast =>
            {
                metrics.learner_commit_received_count.add(1);
                if let Some(made_ms) = time_of(txn) {
                    since(made_ms, now, &metrics.commit_propagation_latency);
                }
            }
            QuorumPacket::Diff { .. } if !leads => self.own_sync = Some(SyncMode::Diff),
            QuorumPacket::Trunc { .. } if !leads => self.own_sync = Some(SyncMode::Trunc),
            QuorumPacket::Snap { .. } if !leads => self.own_sync = Some(SyncMode::Snap),
            QuorumPacket::Revalidate { .. } if leads => metrics.revalidate_count.add(1),
            QuorumPacket::Ack { zxid } if leads => {
                // The first is that of NEWLEADER, if it is not one of Apache's from before 3.9.3.
                if let Some(mode) = self.syncs.remove(&link) {
                    self.sync_moves(mode);
                } else if let Some(sid) = self.sids.get(&link) {
                    self.acknowledged(*sid, *zxid, now);
                }
            }
            _ => {}
        }
    }

    /// A link is gone.
    pub(super) fn closed(&mut self, link: LinkId) {
        self.sids.remove(&link);
        if let Some(mode) = self.syncs.remove(&link) {
            self.sync_moves(mode);
        }
    }

    /// Transactions are given to the log.
    pub(super) fn logged(&mut self, stage: Stage, effects: &[DiskEffect]) {
        let leads = stage.state == ServerState::Leading;
        if !leads && stage.state != ServerState::Following {
            return;
        }
        for effect in effects {
            let DiskEffect::Append { ticket, zxid, txn } = effect else { continue };
            let Some(made_ms) = time_of(txn) else { continue };
            self.to_disk.push_back((*ticket, *zxid, made_ms));
            if leads {
                self.open.push_back((*zxid, made_ms));
                self.metrics.proposal_count.add(1);
                self.metrics.proposed(txn.len(), ticket.0);
            }
        }
    }

    /// Everything up to that ticket is durable here.
    pub(super) fn durable(&mut self, stage: Stage, me: Sid, ticket: Ticket, now: Instant) {
        while let Some((_, zxid, made_ms)) = self.to_disk.pop_front_if(|(of, ..)| *of <= ticket) {
            since(made_ms, now, &self.metrics.proposal_ack_creation_latency);
            if stage.state == ServerState::Leading {
                self.acknowledged(me, zxid, now);
            }
        }
    }

    /// Everything up to that transaction is committed.
    pub(super) fn committed(&mut self, stage: Stage, through: Zxid, now: Instant) {
        if stage.state != ServerState::Leading {
            return;
        }
        while let Some((_, made_ms)) = self.open.pop_front_if(|(zxid, _)| *zxid <= through) {
            self.metrics.commit_count.add(1);
            since(made_ms, now, &self.metrics.quorum_ack_latency);
        }
    }

    /// A leader sends packets and trees.
    pub(super) fn sent(&mut self, links: &[LinkEffect], clients: &[ClientEffect]) {
        let mut next = 0;
        for effect in links {
            if let LinkEffect::Close { link, .. } = effect {
                // The core, which wanted it, is not told.
                self.closed(*link);
            }
            let LinkEffect::Send { link, packet } = effect else { continue };
            // What all are told goes to one after the other, over and over.
            let known = self.packets.len();
            let of_link = (0..known).map(|i| (next + i) % known);
            let at = of_link.into_iter().find(|at| self.packets[*at].0 == *link);
            let at = at.unwrap_or_else(|| {
                self.packets.push((*link, 0));
                known
            });
            self.packets[at].1 += 1;
            next = at + 1;
            match packet {
                QuorumPacket::Diff { .. } => self.sync_begins(*link, SyncMode::Diff),
                QuorumPacket::Trunc { .. } => self.sync_begins(*link, SyncMode::Trunc),
                _ => {}
            }
        }
        for (link, count) in self.packets.drain(..) {
            if let Some(sid) = self.sids.get(&link) {
                self.metrics.learner_handler_qp_size.record(sid.0, count);
            }
        }
        for effect in clients {
            if let ClientEffect::SendSnapshot { link, .. } = effect {
                self.sync_begins(*link, SyncMode::Snap);
            }
        }
    }

    /// How this server is synchronized, as far as its leader has said.
    pub(super) fn own_sync(&self) -> Option<SyncMode> {
        self.own_sync
    }

    /// How a learner has been synchronized.
    pub(super) fn sync_of(&self, link: LinkId) -> Option<SyncMode> {
        self.last_syncs.get(&link).copied()
    }

    /// Says how learners are synchronized, or this server is, and hears who the learners are.
    pub(super) fn tell(&mut self, status: &mut MemberStatus) {
        let known = status.learners.iter().filter_map(|at| Some((at.link, at.peer?.0)));
        self.sids = known.collect();
        for learner in &mut status.learners {
            learner.sync = self.syncs.get(&learner.link).copied();
        }
        self.last_syncs.retain(|link, _| status.learners.iter().any(|at| at.link == *link));
        if status.stage.zab == ZabState::Synchronization {
            status.sync = self.own_sync;
        }
    }

    fn acknowledged(&self, sid: Sid, zxid: Zxid, now: Instant) {
        if !zxid.0.is_multiple_of(ACKS_MEASURED_OF) {
            return;
        }
        if let Ok(at) = self.open.binary_search_by_key(&zxid, |(zxid, _)| *zxid)
            && let Ok(latency_ms) = u64::try_from(now.wall_ms.saturating_sub(self.open[at].1))
        {
            self.metrics.ack_latency.record(sid.0, latency_ms);
        }
    }

    fn sync_begins(&mut self, link: LinkId, mode: SyncMode) {
        self.syncs.insert(link, mode);
        self.last_syncs.insert(link, mode);
        match mode {
            SyncMode::Snap => self.metrics.snap_count.add(1),
            SyncMode::Diff | SyncMode::Trunc => self.metrics.diff_count.add(1),
        }
        self.sync_moves(mode);
    }

    /// One of that kind has begun, or is through.
    fn sync_moves(&self, mode: SyncMode) {
        let snaps = self.syncs.values().filter(|mode| **mode == SyncMode::Snap).count();
        match mode {
            SyncMode::Snap => self.metrics.inflight_snap_count.record(snaps as u64),
            SyncMode::Diff | SyncMode::Trunc => {
                self.metrics.inflight_diff_count.record((self.syncs.len() - snaps) as u64);
            }
        }
    }
}

/// When the leader made a transaction, milliseconds since 1970.
fn time_of(txn: &[u8]) -> Option<i64> {
    txn.get(TxnHeader::TIME_BYTES)?.try_into().ok().map(i64::from_be_bytes)
}

/// Clocks are set back, and differ; then it cannot be told.
fn since(made_ms: i64, now: Instant, latency: &Advanced) {
    if let Ok(latency_ms) = u64::try_from(now.wall_ms.saturating_sub(made_ms)) {
        latency.record(latency_ms);
    }
}
