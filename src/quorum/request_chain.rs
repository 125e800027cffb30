//! `RequestChain`: from what a client asks to what is proposed, wherever requests are prepared.
//!
//! Whoever hands out zxids, a leader or a server that is alone, also owns the sessions and deletes
//! what has had its time. The chain decides what becomes of a request and prepares it; how a
//! proposal becomes safe is its owner's business.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::effect::ClientEffect;
use crate::auth::Identities;
use crate::jute::Writer;
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::container_manager::{ContainerManager, ContainerOptions};
use crate::processor::prep::{PrepOptions, PrepRequestProcessor};
use crate::processor::proposal::{NewSession, Proposal, Refusal, Resumption};
use crate::processor::request::{ConnectAttempt, Origin, Request, Submission};
use crate::proto::stat::OwnerEncoding;
use crate::proto::{ConnectionId, ErrorCode, OpCode, SessionId};
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::Database;

/// Sessions that are ended in one step, at most.
const MOST_EXPIRED_PER_STEP: usize = 64;
/// Containers and TTL nodes deleted in one step, at most, however fast they may go.
const MOST_DELETIONS_PER_STEP: usize = 64;

/// Prep with what it judges by: the sessions, and the containers' time.
#[derive(Debug)]
pub struct RequestChain {
    /// The stage that hands out zxids.
    pub prep: PrepRequestProcessor,
    /// The global sessions.
    pub sessions: SessionTracker,
    containers: ContainerManager,
    owners: OwnerEncoding,
    expired: Vec<SessionId>,
    nobody: Arc<Identities>,
    /// The first thing it does is to end what nobody will end.
    orphans_closed: bool,
    /// No zxid has a higher counter.
    last_counter: Option<u32>,
    /// Those of the sessions that only this server knows.
    local: Option<LocalSessionIds>,
}

/// The sessions that no transaction begins or ends (C-274).
#[derive(Debug)]
struct LocalSessionIds {
    ids: BTreeSet<SessionId>,
    /// `localSessionsUpgradingEnabled`.
    upgrades: bool,
    /// They were silent for too long.
    expired: Vec<SessionId>,
}

/// What becomes of a submission.
#[derive(Debug)]
pub enum Taken {
    /// A transaction has its place in the order.
    Propose(Proposal),
    /// To be answered behind everything proposed before.
    Sync(Origin, Bytes),
    /// To be answered with THROTTLEDOP behind everything proposed before.
    Throttled(Origin),
    /// A session to be resumed behind everything proposed before.
    Resume(Resumption),
    /// A local session becomes global in front of the request that needs it so (C-275).
    Upgrade(Box<[Proposal; 2]>),
    /// A request that fails without a transaction, behind everything proposed before.
    Fail(Origin, ErrorCode),
    /// A local session ends, behind everything proposed before.
    EndLocalSession(SessionId, Origin),
    /// A session that cannot be resumed.
    Refuse(Refusal),
    /// A connection to be closed.
    Drop(ConnectionId, CloseReason),
}

impl RequestChain {
    /// The chain over a database that has everything up to its zxid and nothing else. Every session
    /// in it gets its full timeout from `now` on: a restart, or a new leader, may prolong a session,
    /// never shorten it (C-030, C-027).
    pub fn new(
        now: Instant,
        prep: PrepOptions,
        mut sessions: SessionTracker,
        containers: ContainerOptions,
        db: &Database,
    ) -> Self {
        for (id, timeout_ms) in db.sessions() {
            sessions.track(id, timeout_ms, now);
        }
        RequestChain {
            containers: ContainerManager::new(containers, now),
            owners: prep.owners,
            prep: PrepRequestProcessor::new(prep, db),
            sessions,
            expired: Vec::new(),
            nobody: Arc::new(Identities::default()),
            orphans_closed: false,
            last_counter: None,
            local: None,
        }
    }

    /// Hands out no counter above `last` of its epoch.
    pub fn with_last_counter(mut self, last: u32) -> Self {
        self.last_counter = Some(last);
        self
    }

    /// New sessions of own clients are local. They become global with their first ephemeral, if
    /// `upgrades`; else they may have none.
    pub fn with_local_sessions(mut self, upgrades: bool) -> Self {
        self.local = Some(LocalSessionIds { ids: BTreeSet::new(), upgrades, expired: Vec::new() });
        self
    }

    /// Whether only this server knows the session: no other may resume it.
    pub fn is_local(&self, session: SessionId) -> bool {
        self.local.as_ref().is_some_and(|local| local.ids.contains(&session))
    }

    /// How many sessions only this server knows.
    pub fn local_sessions(&self) -> usize {
        self.local.as_ref().map_or(0, |local| local.ids.len())
    }

    /// The local sessions that were silent for too long, since the last call.
    pub fn expired_local_sessions(&mut self) -> Vec<SessionId> {
        self.local.as_mut().map_or(Vec::new(), |local| std::mem::take(&mut local.expired))
    }

    /// Whether the next zxid would be one that is not handed out (ZOOKEEPER-1277, C-223).
    pub fn is_exhausted(&self) -> bool {
        self.last_counter.is_some_and(|last| self.prep.last_zxid().counter() >= last)
    }

    /// What becomes of a submission of a connection of this server.
    pub fn submitted(&mut self, now: Instant, submission: Submission, db: &Database) -> Taken {
        match submission {
            Submission::Request(request) => self.request(now, request, db),
            Submission::Connect(attempt) => self.connect(now, attempt, db),
            Submission::Dropped(connection) => Taken::Drop(connection, CloseReason::StaleRequest),
        }
    }

    /// The namespaces in which requests were refused for their quota, since the last call.
    pub fn quota_refusals(&mut self) -> impl Iterator<Item = ClientEffect> + '_ {
        self.prep.take_quota_refusals().map(ClientEffect::QuotaExceeded)
    }

    /// Proposes what is due without anybody asking: the end of silent sessions, the deletion of
    /// containers.
    pub fn due(&mut self, now: Instant, db: &Database, mut propose: impl FnMut(Proposal)) {
        self.close_orphans(now, db, &mut propose);
        self.expire(now, db, &mut propose);
        self.sweep_containers(now, db, &mut propose);
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.orphans_closed || !self.expired.is_empty() {
            return Some(0);
        }
        [self.sessions.next_deadline(), self.containers.next_deadline()].into_iter().flatten().min()
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        let retired = self.prep.retired();
        (retired + self.prep.outstanding() as u64, retired)
    }

    fn request(&mut self, now: Instant, request: Request, db: &Database) -> Taken {
        // From the moment its end is prepared a session's requests are dropped, and its connection
        // with them (C-024).
        if let Some(origin) = request.origin
            && !self.sessions.is_usable(request.session)
        {
            return Taken::Drop(origin.connection, CloseReason::SessionExpired);
        }
        match (request.op, request.origin) {
            (_, Some(origin)) if request.throttled => Taken::Throttled(origin),
            (OpCode::Sync, Some(origin)) => Taken::Sync(origin, request.body),
            (_, Some(origin)) if self.is_local(request.session) => {
                self.of_local_session(now, request, origin, db)
            }
            _ => Taken::Propose(self.prepare(now, &request, db)),
        }
    }

    fn of_local_session(
        &mut self,
        now: Instant,
        request: Request,
        origin: Origin,
        db: &Database,
    ) -> Taken {
        let session = request.session;
        let ends = request.op == OpCode::CloseSession;
        if !ends && !request.makes_ephemerals() {
            return Taken::Propose(self.prepare(now, &request, db));
        }
        let Some(local) = &mut self.local else { unreachable!("it has a local session") };
        if !ends && !local.upgrades {
            return Taken::Fail(origin, ErrorCode::EphemeralOnLocalSession);
        }
        if !ends && self.prep.last_zxid().next().counter() >= self.last_counter.unwrap_or(u32::MAX)
        {
            // There is one zxid left, and this needs two.
            return Taken::Drop(origin.connection, CloseReason::StaleRequest);
        }
        local.ids.remove(&session);
        if ends {
            self.sessions.remove(session);
            return Taken::EndLocalSession(session, origin);
        }
        let mut body = Vec::with_capacity(4);
        body.put_int(self.sessions.timeout_ms(session).unwrap_or_default());
        let create = self.own(session, OpCode::CreateSession, body.into());
        let create = self.prepare(now, &create, db);
        Taken::Upgrade(Box::new([create, self.prepare(now, &request, db)]))
    }

    /// Prepares a write, or the end of a session.
    pub fn prepare(&mut self, now: Instant, request: &Request, db: &Database) -> Proposal {
        if request.op != OpCode::CloseSession {
            return self.prep.prepare(now, request, db, &self.sessions);
        }
        // Every later request of the session fails from here on, so no ephemeral of it can slip in
        // behind the list that prep makes (C-092).
        self.sessions.set_closing(request.session);
        let proposal = self.prep.prepare(now, request, db, &self.sessions);
        self.sessions.remove(request.session);
        proposal
    }

    fn connect(&mut self, now: Instant, attempt: ConnectAttempt, db: &Database) -> Taken {
        let ConnectAttempt { connection, session, timeout_ms, had_read_only, .. } = attempt;
        if session != SessionId::NONE {
            return match self.sessions.reopen(session, timeout_ms, now) {
                Some(touch) => {
                    let grant = Grant { session, touch };
                    Taken::Resume(Resumption { connection, timeout_ms, had_read_only, grant })
                }
                None => Taken::Refuse(Refusal { connection, session, had_read_only }),
            };
        }
        let session = self.sessions.create_id();
        let touch = self.sessions.track(session, timeout_ms, now);
        if let Some(local) = &mut self.local {
            local.ids.insert(session);
            let grant = Grant { session, touch };
            return Taken::Resume(Resumption { connection, timeout_ms, had_read_only, grant });
        }
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
        Taken::Propose(proposal)
    }

    /// Deletes the containers and TTL nodes that are due, each judged again as it will be found
    /// (N-19): a write in between saves it.
    fn sweep_containers(
        &mut self,
        now: Instant,
        db: &Database,
        propose: &mut impl FnMut(Proposal),
    ) {
        for _ in 0..MOST_DELETIONS_PER_STEP {
            if self.is_exhausted() {
                return;
            }
            let Some(path) = self.containers.next(now, &db.tree) else { return };
            let Some(node) = self.prep.node(&path, db) else { continue };
            let owner = self.owners.decode(node.stat.ephemeral_owner);
            let (stat, children) = (node.stat, node.num_children);
            if !self.containers.is_due(now.wall_ms, owner, stat.cversion, stat.mtime, children) {
                continue;
            }
            let request = self.own(SessionId::NONE, OpCode::DeleteContainer, path.into());
            propose(self.prep.prepare(now, &request, db, &self.sessions));
        }
    }

    /// Ends the sessions whose time is over, a few in a step: when thousands go at once, others
    /// are served in between.
    fn expire(&mut self, now: Instant, db: &Database, propose: &mut impl FnMut(Proposal)) {
        self.sessions.expired(now, &mut self.expired);
        for _ in 0..MOST_EXPIRED_PER_STEP {
            if self.is_exhausted() {
                return;
            }
            let Some(session) = self.expired.pop() else { return };
            tracing::info!(%session, "session expired");
            if let Some(local) = &mut self.local
                && local.ids.remove(&session)
            {
                self.sessions.remove(session);
                local.expired.push(session);
                continue;
            }
            propose(self.end(now, session, db));
        }
    }

    /// Ends sessions that own ephemerals but are not in the table: what a snapshot taken by
    /// Apache while sessions closed may hold. Apache removes such nodes without a transaction;
    /// here the removal has a place in the order.
    fn close_orphans(&mut self, now: Instant, db: &Database, propose: &mut impl FnMut(Proposal)) {
        if std::mem::replace(&mut self.orphans_closed, true) {
            return;
        }
        let orphans: Vec<_> = db
            .tree
            .ephemeral_owners()
            .filter(|(owner, _)| db.session_timeout(*owner).is_none())
            .collect();
        for (session, nodes) in orphans {
            tracing::warn!(%session, nodes, "ephemeral nodes of an unknown session are removed");
            propose(self.end(now, session, db));
        }
    }

    fn end(&mut self, now: Instant, session: SessionId, db: &Database) -> Proposal {
        let request = self.own(session, OpCode::CloseSession, Bytes::new());
        self.prepare(now, &request, db)
    }

    /// A request that nobody made.
    fn own(&self, session: SessionId, op: OpCode, body: Bytes) -> Request {
        let identities = self.nobody.clone();
        Request { session, xid: 0, op, body, identities, origin: None, throttled: false }
    }

    /// Replaces the containers' options.
    #[cfg(test)]
    pub(super) fn sweep_by(&mut self, options: ContainerOptions, now: Instant) {
        self.containers = ContainerManager::new(options, now);
    }
}
