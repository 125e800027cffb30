//! `Standalone`: the role of a server that is alone, a quorum of one.
//!
//! Its chain is Prep → Sync → Commit → Final. A transaction is committed when the own disk has
//! reported it, in the order it was proposed. It owns the sessions: it hands their ids out,
//! decides who may resume one, and ends those that are silent for too long.

use std::sync::Arc;

use bytes::Bytes;

use super::effect::{ClientEffect, DiskEffect, Effects, Input};
use crate::auth::Identities;
use crate::jute::Writer;
use crate::processor::commit::CommitProcessor;
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::container_manager::{ContainerManager, ContainerOptions};
use crate::processor::prep::{PrepOptions, PrepRequestProcessor};
use crate::processor::proposal::{NewSession, Proposal, Resumption};
use crate::processor::request::{ConnectAttempt, Origin, Request, Submission};
use crate::processor::sync::SyncRequestProcessor;
use crate::proto::stat::OwnerEncoding;
use crate::proto::{OpCode, SessionId, Ticket};
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::Database;

/// Sessions that are ended in one step, at most.
const MOST_EXPIRED_PER_STEP: usize = 64;
/// Containers and TTL nodes deleted in one step, at most, however fast they may go.
const MOST_DELETIONS_PER_STEP: usize = 64;

/// The role's state: its stages and its sessions.
#[derive(Debug)]
pub struct Standalone {
    prep: PrepRequestProcessor,
    sync: SyncRequestProcessor,
    commit: CommitProcessor<Ticket>,
    /// The last one given out.
    ticket: Ticket,
    sessions: SessionTracker,
    containers: ContainerManager,
    owners: OwnerEncoding,
    expired: Vec<SessionId>,
    nobody: Arc<Identities>,
    started: bool,
}

impl Standalone {
    /// The role over a restored database. Every session in it gets its full timeout from `now`
    /// on: a restart may prolong a session, never shorten it.
    pub fn new(
        now: Instant,
        prep: PrepOptions,
        sync: SyncRequestProcessor,
        mut sessions: SessionTracker,
        containers: ContainerOptions,
        db: &Database,
    ) -> Self {
        for (id, timeout_ms) in db.sessions() {
            sessions.track(id, timeout_ms, now);
        }
        Standalone {
            containers: ContainerManager::new(containers, now),
            owners: prep.owners,
            prep: PrepRequestProcessor::new(prep, db),
            sync,
            commit: CommitProcessor::new(Ticket::default()),
            ticket: Ticket::default(),
            sessions,
            expired: Vec::new(),
            nobody: Arc::new(Identities::default()),
            started: false,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, now: Instant, input: Input, db: &Database, effects: &mut Effects) {
        match input {
            Input::Submitted(submissions) => {
                for submission in submissions {
                    match submission {
                        Submission::Request(request) => self.request(now, request, db, effects),
                        Submission::Connect(attempt) => self.connect(now, attempt, db, effects),
                        Submission::Dropped(connection) => {
                            let reason = CloseReason::StaleRequest;
                            effects.client.push(ClientEffect::Drop(connection, reason));
                        }
                    }
                }
            }
            Input::Persisted(ticket) => self.commit.is_safe(ticket),
            Input::Applied(zxid) => self.prep.retire(zxid),
            Input::Tick => {}
            Input::ListSessions { after, most, to } => {
                let page = self.sessions.page(after, most);
                effects.client.push(ClientEffect::SessionsListed { page, to });
            }
            Input::Stop => {}
            Input::Notified { .. }
            | Input::Mesh { .. }
            | Input::LinkOpened(_)
            | Input::Packet { .. }
            | Input::LinkClosed { .. }
            | Input::SnapshotArrived(_)
            | Input::LogSurveyed { .. }
            | Input::Reloaded(_) => unreachable!("a server that is alone has no peers"),
        }
        if !self.started {
            self.started = true;
            self.close_orphans(now, db, effects);
        }
        self.expire(now, db, effects);
        self.sweep_containers(now, db, effects);
        self.let_go(effects);
    }

    /// Requests that were taken and are not let go yet.
    pub fn in_process(&self) -> usize {
        self.commit.len()
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        let retired = self.prep.retired();
        (retired + self.prep.outstanding() as u64, retired)
    }

    /// When the next session may have to end.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.started {
            return Some(0);
        }
        if !self.expired.is_empty() {
            return Some(0);
        }
        [self.sessions.next_deadline(), self.containers.next_deadline()].into_iter().flatten().min()
    }

    fn request(&mut self, now: Instant, request: Request, db: &Database, effects: &mut Effects) {
        let origin = request.origin;
        // From the moment its end is prepared a session's requests are dropped, and its connection
        // with them (C-024).
        if let Some(origin) = origin
            && !self.sessions.is_usable(request.session)
        {
            let reason = CloseReason::SessionExpired;
            effects.client.push(ClientEffect::Drop(origin.connection, reason));
            return;
        }
        match (request.op, origin) {
            (_, Some(origin)) if request.throttled => {
                self.commit.throttled(self.ticket, origin);
            }
            (OpCode::Sync, Some(origin)) => {
                self.commit.sync(self.ticket, origin, request.body);
            }
            (OpCode::CloseSession, _) => self.close_session(now, request, db, effects),
            _ => {
                let proposal = self.prep.prepare(now, &request, db, &self.sessions);
                self.propose(proposal, effects);
                let refused = self.prep.take_quota_refusals();
                effects.client.extend(refused.map(ClientEffect::QuotaExceeded));
            }
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        attempt: ConnectAttempt,
        db: &Database,
        effects: &mut Effects,
    ) {
        let ConnectAttempt { connection, session, timeout_ms, had_read_only, .. } = attempt;
        if session != SessionId::NONE {
            match self.sessions.reopen(session, timeout_ms, now) {
                Some(touch) => {
                    let grant = Grant { session, touch };
                    let resumption = Resumption { connection, timeout_ms, had_read_only, grant };
                    self.commit.resume(self.ticket, resumption);
                }
                None => {
                    let refusal = ClientEffect::Refuse { connection, session, had_read_only };
                    effects.client.push(refusal);
                }
            }
            return;
        }
        let session = self.sessions.create_id();
        let touch = self.sessions.track(session, timeout_ms, now);
        let op = OpCode::CreateSession;
        let mut body = Vec::with_capacity(4);
        body.put_int(timeout_ms);
        let request = Request {
            session,
            xid: 0,
            op,
            body: body.into(),
            identities: attempt.identities,
            origin: Some(Origin { connection, xid: 0, op, received_ms: attempt.received_ms }),
            throttled: false,
        };
        let mut proposal = self.prep.prepare(now, &request, db, &self.sessions);
        proposal.new_session = Some(NewSession { timeout_ms, had_read_only, touch });
        self.propose(proposal, effects);
    }

    /// Every later request of the session fails from here on, so no ephemeral of it can slip in
    /// behind the list that prep makes (C-092).
    fn close_session(
        &mut self,
        now: Instant,
        request: Request,
        db: &Database,
        effects: &mut Effects,
    ) {
        self.sessions.set_closing(request.session);
        let proposal = self.prep.prepare(now, &request, db, &self.sessions);
        self.sessions.remove(request.session);
        self.propose(proposal, effects);
    }

    fn propose(&mut self, proposal: Proposal, effects: &mut Effects) {
        self.ticket = self.ticket.next();
        let snapshot = self.sync.process(proposal.txn.len());
        effects.disk.push(DiskEffect::Append {
            ticket: self.ticket,
            zxid: proposal.zxid,
            txn: proposal.txn.clone(),
        });
        if snapshot {
            effects.disk.push(DiskEffect::RollAndSnapshot);
        }
        self.commit.propose(self.ticket, proposal);
    }

    fn let_go(&mut self, effects: &mut Effects) {
        while let Some(committed) = self.commit.pop() {
            effects.client.push(committed.into());
        }
    }

    /// Deletes the containers and TTL nodes that are due, each judged again as it will be found
    /// (N-19): a write in between saves it.
    fn sweep_containers(&mut self, now: Instant, db: &Database, effects: &mut Effects) {
        for _ in 0..MOST_DELETIONS_PER_STEP {
            let Some(path) = self.containers.next(now, &db.tree) else { return };
            let Some(node) = self.prep.node(&path, db) else { continue };
            let owner = self.owners.decode(node.stat.ephemeral_owner);
            let (stat, children) = (node.stat, node.num_children);
            if !self.containers.is_due(now.wall_ms, owner, stat.cversion, stat.mtime, children) {
                continue;
            }
            let request = Request {
                session: SessionId::NONE,
                xid: 0,
                op: OpCode::DeleteContainer,
                body: path.into(),
                identities: self.nobody.clone(),
                origin: None,
                throttled: false,
            };
            let proposal = self.prep.prepare(now, &request, db, &self.sessions);
            self.propose(proposal, effects);
        }
    }

    /// Ends the sessions whose time is over, a few in a step: when thousands go at once, others
    /// are served in between.
    fn expire(&mut self, now: Instant, db: &Database, effects: &mut Effects) {
        self.sessions.expired(now, &mut self.expired);
        for _ in 0..MOST_EXPIRED_PER_STEP {
            let Some(session) = self.expired.pop() else { return };
            tracing::info!(%session, "session expired");
            self.end(now, session, db, effects);
        }
    }

    /// Ends sessions that own ephemerals but are not in the table: what a snapshot taken by
    /// Apache while sessions closed may hold. Apache removes such nodes without a transaction;
    /// here the removal has a place in the order.
    fn close_orphans(&mut self, now: Instant, db: &Database, effects: &mut Effects) {
        let orphans: Vec<_> = db
            .tree
            .ephemeral_owners()
            .filter(|(owner, _)| db.session_timeout(*owner).is_none())
            .collect();
        for (session, nodes) in orphans {
            tracing::warn!(%session, nodes, "ephemeral nodes of an unknown session are removed");
            self.end(now, session, db, effects);
        }
    }

    fn end(&mut self, now: Instant, session: SessionId, db: &Database, effects: &mut Effects) {
        let request = Request {
            session,
            xid: 0,
            op: OpCode::CloseSession,
            body: Bytes::new(),
            identities: self.nobody.clone(),
            origin: None,
            throttled: false,
        };
        self.close_session(now, request, db, effects);
    }
}

#[cfg(test)]
mod tests;
