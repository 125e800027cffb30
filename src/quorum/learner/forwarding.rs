//! Forwarding: what this server's clients want of the leader, and who waits for what.
//!
//! A write travels as REQUEST and comes back as a transaction, by its session and number; a sync
//! comes back as SYNC, which carries nothing: answers have the order of the questions. Nothing is
//! sent twice: when the link is lost, whoever waits loses its connection, and does not know (C-237).
//!
//! What always holds: the requests of a session are answered in the order they came. A transaction
//! that overtakes a sync answers it first: a quorum has acknowledged the transaction, which the
//! leader proposed after the sync reached it, so by now it has been confirmed as well.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::Departure;
use super::history::{History, Waiter};
use super::received::{Received, What};
use crate::jute::Writer;
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::proposal::{NewSession, Refusal, Resumption};
use crate::processor::request::{ConnectAttempt, Origin, Request, Submission};
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{LinkId, OpCode, QuorumPacket, SessionId};
use crate::quorum::effect::ClientEffect;
use crate::quorum::member::Turn;
use crate::session::{LearnerSessionTracker, PagePlace, SessionTouch, SessionsPage};

/// What was forwarded, and the sessions that are served here.
#[derive(Debug)]
pub(super) struct Forwarding {
    tracker: LearnerSessionTracker,
    /// By session, in the order it came; never an empty one.
    waiting: BTreeMap<SessionId, VecDeque<Waiting>>,
    /// How many there are.
    count: usize,
    /// The syncs that the leader has not answered, in the order they were forwarded.
    syncs: VecDeque<(SessionId, u64)>,
    next_sync: u64,
    /// Connections whose sessions the leader was asked about, in that order.
    revalidations: BTreeMap<SessionId, VecDeque<ConnectAttempt>>,
}

#[derive(Debug)]
enum Waiting {
    /// For its transaction.
    Request(Origin),
    /// For its session's first transaction.
    NewSession(Origin, NewSession),
    /// For SYNC; its body is the path to echo.
    Sync { number: u64, origin: Origin, body: Bytes, confirmed: bool },
    /// For whatever is before it.
    Throttled(Origin),
}

impl Forwarding {
    /// Nobody waits, and no session is served.
    pub(super) fn new(turn: &Turn<'_>) -> Self {
        Forwarding {
            // The top byte names the server; ids above are cut, as Apache cuts them.
            tracker: LearnerSessionTracker::new(turn.member.me.0 as u8, turn.now.wall_ms),
            waiting: BTreeMap::new(),
            count: 0,
            syncs: VecDeque::new(),
            next_sync: 0,
            revalidations: BTreeMap::new(),
        }
    }

    /// A connection wants something.
    pub(super) fn submitted(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        history: &mut History,
        submission: Submission,
    ) {
        match submission {
            Submission::Connect(attempt) => self.connect(turn, link, attempt),
            Submission::Request(request) => self.request(turn, link, history, request),
            Submission::Dropped(connection) => {
                let reason = CloseReason::StaleRequest;
                turn.effects.client.push(ClientEffect::Drop(connection, reason));
            }
        }
    }

    /// A transaction is committed: who waits for it here, if anybody does.
    pub(super) fn waiter(&mut self, history: &mut History, received: &Received) -> Waiter {
        let session = received.session;
        if received.what == What::CloseSession {
            self.tracker.remove(session);
        }
        let Some(queue) = self.waiting.get(&session) else { return Waiter::default() };
        let at = queue.iter().position(Waiting::is_for_a_transaction);
        let Some(at) = at.filter(|at| queue[*at].is_for(received)) else {
            return Waiter::default();
        };
        for _ in 0..at {
            self.answer_first(history, session);
        }
        match self.take_first(session) {
            Some(Waiting::Request(origin)) => Waiter { origin: Some(origin), new_session: None },
            Some(Waiting::NewSession(origin, new)) if received.what == What::CreateSession => {
                self.tracker.serve(session, new.touch.clone());
                Waiter { origin: Some(origin), new_session: Some(new) }
            }
            Some(Waiting::NewSession(origin, NewSession { had_read_only, .. })) => {
                let connection = origin.connection;
                history.refuse(Refusal { connection, session, had_read_only });
                Waiter::default()
            }
            Some(Waiting::Sync { .. } | Waiting::Throttled(_)) | None => {
                unreachable!("it was found to wait for a transaction")
            }
        }
    }

    /// A transaction of `session` has been let commit: those who only waited behind it are answered.
    pub(super) fn after_commit(&mut self, history: &mut History, session: SessionId) {
        while self.first(session).is_some_and(Waiting::is_ready) {
            self.answer_first(history, session);
        }
    }

    /// SYNC came: the oldest sync may be answered, behind what its session wrote before.
    ///
    /// # Errors
    /// If no sync is open.
    pub(super) fn synced(&mut self, history: &mut History) -> Result<(), Departure> {
        let Some((session, number)) = self.syncs.pop_front() else {
            return Err("expected no SYNC, for none is open".into());
        };
        let of_session = self.waiting.get_mut(&session).into_iter().flatten();
        for waiting in of_session {
            if let Waiting::Sync { number: at, confirmed, .. } = waiting
                && *at == number
            {
                *confirmed = true;
            }
        }
        self.after_commit(history, session);
        Ok(())
    }

    /// The leader has judged a session.
    ///
    /// # Errors
    /// If nobody asked for it.
    pub(super) fn revalidated(
        &mut self,
        turn: &mut Turn<'_>,
        history: &mut History,
        session: SessionId,
        valid: bool,
    ) -> Result<(), Departure> {
        let asked = self.revalidations.get_mut(&session).and_then(VecDeque::pop_front);
        let Some(ConnectAttempt { connection, timeout_ms, had_read_only, .. }) = asked else {
            return Err(format!("expected no REVALIDATE answer for {session}, got one").into());
        };
        if self.revalidations.get(&session).is_some_and(VecDeque::is_empty) {
            self.revalidations.remove(&session);
        }
        self.count -= 1;
        if !valid {
            history.refuse(Refusal { connection, session, had_read_only });
            return Ok(());
        }
        let touch = Arc::new(SessionTouch::new(turn.now.mono_ms, timeout_ms));
        self.tracker.serve(session, touch.clone());
        let grant = Grant { session, touch };
        history.resume(Resumption { connection, timeout_ms, had_read_only, grant });
        Ok(())
    }

    /// The sessions touched since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<(SessionId, i32)> {
        self.tracker.take_touched()
    }

    /// The sessions that are served here.
    pub(super) fn sessions(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        self.tracker.page(after, most)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.count
    }

    fn connect(&mut self, turn: &mut Turn<'_>, link: LinkId, attempt: ConnectAttempt) {
        let ConnectAttempt { connection, session, timeout_ms, had_read_only, .. } = attempt;
        if session != SessionId::NONE {
            turn.send(link, QuorumPacket::Revalidate { session, timeout_ms });
            self.count += 1;
            self.revalidations.entry(session).or_default().push_back(attempt);
            return;
        }
        let db = turn.db;
        let waiting = &self.waiting;
        let session = self
            .tracker
            .create_id(|id| db.session_timeout(id).is_some() || waiting.contains_key(&id));
        let op = OpCode::CreateSession;
        let origin = Origin { connection, xid: 0, op, received_ms: attempt.received_ms };
        let touch = Arc::new(SessionTouch::new(turn.now.mono_ms, timeout_ms));
        let new = NewSession { timeout_ms, had_read_only, touch };
        self.wait(session, Waiting::NewSession(origin, new));
        let mut body = Vec::with_capacity(4);
        body.put_int(timeout_ms);
        let (op, body, auth) = (op.to_int(), body.into(), Vec::new());
        let request = ForwardedRequest { session, cxid: 0, op, body, auth };
        turn.send(link, QuorumPacket::Request(request));
    }

    fn request(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        history: &mut History,
        request: Request,
    ) {
        let session = request.session;
        match request.origin {
            Some(origin) if request.throttled => {
                self.wait(session, Waiting::Throttled(origin));
                self.after_commit(history, session);
                return;
            }
            Some(origin) if request.op == OpCode::Sync => {
                let number = self.next_sync;
                self.next_sync += 1;
                self.syncs.push_back((session, number));
                let body = request.body.clone();
                self.wait(session, Waiting::Sync { number, origin, body, confirmed: false });
            }
            Some(origin) => self.wait(session, Waiting::Request(origin)),
            None => {}
        }
        turn.send(link, QuorumPacket::Request(forwarded(request)));
    }

    fn wait(&mut self, session: SessionId, waiting: Waiting) {
        self.count += 1;
        self.waiting.entry(session).or_default().push_back(waiting);
    }

    fn first(&self, session: SessionId) -> Option<&Waiting> {
        self.waiting.get(&session)?.front()
    }

    fn take_first(&mut self, session: SessionId) -> Option<Waiting> {
        let queue = self.waiting.get_mut(&session)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&session);
        }
        self.count -= usize::from(first.is_some());
        first
    }

    /// Answers the session's first, which waits for no transaction.
    fn answer_first(&mut self, history: &mut History, session: SessionId) {
        match self.take_first(session) {
            Some(Waiting::Sync { origin, body, .. }) => history.answer_sync(origin, body),
            Some(Waiting::Throttled(origin)) => history.answer_throttled(origin),
            Some(Waiting::Request(_) | Waiting::NewSession(..)) | None => {
                unreachable!("only what waits for no transaction is answered here")
            }
        }
    }
}

impl Waiting {
    fn is_for_a_transaction(&self) -> bool {
        match self {
            Waiting::Request(_) | Waiting::NewSession(..) => true,
            Waiting::Sync { .. } | Waiting::Throttled(_) => false,
        }
    }

    /// Whether it may be answered as soon as nothing is before it.
    fn is_ready(&self) -> bool {
        match self {
            Waiting::Request(_) | Waiting::NewSession(..) => false,
            Waiting::Sync { confirmed, .. } => *confirmed,
            Waiting::Throttled(_) => true,
        }
    }

    /// Whether this is its transaction. The end of an expired session has no number, and must not
    /// be taken for what a client asked under the number 0.
    fn is_for(&self, received: &Received) -> bool {
        match (self, received.what) {
            (Waiting::Request(_), What::CreateSession) => false,
            (Waiting::Request(origin), What::CloseSession) => {
                origin.xid == received.cxid && origin.op == OpCode::CloseSession
            }
            (Waiting::Request(origin), What::Failed | What::Reconfig | What::Other) => {
                origin.xid == received.cxid
            }
            (Waiting::NewSession(..), what) => {
                received.cxid == 0 && matches!(what, What::CreateSession | What::Failed)
            }
            (Waiting::Sync { .. } | Waiting::Throttled(_), _) => false,
        }
    }
}

/// A request as it travels.
fn forwarded(request: Request) -> ForwardedRequest {
    let identities = request.identities.iter();
    let auth = identities.map(|identity| {
        (Bytes::copy_from_slice(identity.scheme()), Bytes::copy_from_slice(identity.id()))
    });
    ForwardedRequest {
        session: request.session,
        cxid: request.xid,
        op: request.op.to_int(),
        auth: auth.collect(),
        body: request.body,
    }
}
