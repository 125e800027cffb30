//! Waiting: the clients' requests that are under way, by session, in the order they came.
//!
//! What always holds: the requests of a session are answered in that order. A transaction that
//! overtakes a sync answers it first: a quorum has acknowledged the transaction, which the leader
//! proposed after the sync reached it, so by now the leader is confirmed, and everything that was
//! outstanding then is committed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::history::{History, Waiter};
use super::received::{Received, What};
use crate::processor::proposal::{NewSession, Refusal};
use crate::processor::request::Origin;
use crate::proto::{ErrorCode, OpCode, SessionId};

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By session, in the order they came; never an empty one.
    queues: BTreeMap<SessionId, VecDeque<Asked>>,
    /// How many there are.
    count: usize,
    /// The syncs that the leader has not answered, in the order they were forwarded.
    syncs: VecDeque<(SessionId, u64)>,
    next_sync: u64,
}

/// A request under way.
#[derive(Debug)]
enum Asked {
    /// It waits for its transaction.
    Request(Origin),
    /// It waits for its session's first transaction.
    NewSession(Origin, NewSession),
    /// It waits for SYNC; its body is the path to echo.
    Sync { number: u64, origin: Origin, body: Bytes, confirmed: bool },
    /// It waits for whatever is before it.
    Decided(Origin, Decision),
}

/// What was decided here about a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    /// It waited too long.
    Throttled,
    /// It fails.
    Fails(ErrorCode),
    /// It ends its local session.
    Ends(SessionId),
}

impl Waiting {
    /// A request is forwarded, to come back as a transaction.
    pub(super) fn for_transaction(&mut self, session: SessionId, origin: Origin) {
        self.push(session, Asked::Request(origin));
    }

    /// The beginning of a session is forwarded.
    pub(super) fn for_new_session(&mut self, session: SessionId, origin: Origin, new: NewSession) {
        self.push(session, Asked::NewSession(origin, new));
    }

    /// A sync is forwarded.
    pub(super) fn for_sync(&mut self, session: SessionId, origin: Origin, body: Bytes) {
        let number = self.next_sync;
        self.next_sync += 1;
        self.syncs.push_back((session, number));
        self.push(session, Asked::Sync { number, origin, body, confirmed: false });
    }

    /// A request that is not forwarded is answered in its place.
    pub(super) fn for_turn(
        &mut self,
        history: &mut History,
        session: SessionId,
        origin: Origin,
        decision: Decision,
    ) {
        self.push(session, Asked::Decided(origin, decision));
        self.go_on(history, session);
    }

    /// A transaction is committed: who waits for it here, if anybody does. Who asked before and
    /// waits for no transaction is answered.
    pub(super) fn take(&mut self, history: &mut History, received: &Received) -> Waiter {
        let session = received.session;
        let Some(queue) = self.queues.get(&session) else { return Waiter::default() };
        let at = queue.iter().position(Asked::is_for_a_transaction);
        let Some(at) = at.filter(|at| queue[*at].is_for(received)) else {
            return Waiter::default();
        };
        for _ in 0..at {
            self.answer_first(history, session);
        }
        match self.pop(session) {
            Some(Asked::Request(origin)) => Waiter { origin: Some(origin), new_session: None },
            Some(Asked::NewSession(origin, new)) if received.what == What::CreateSession => {
                Waiter { origin: Some(origin), new_session: Some(new) }
            }
            Some(Asked::NewSession(origin, NewSession { had_read_only, .. })) => {
                let connection = origin.connection;
                history.refuse(Refusal { connection, session, had_read_only });
                Waiter::default()
            }
            Some(Asked::Sync { .. } | Asked::Decided(..)) | None => {
                unreachable!("it was found to wait for a transaction")
            }
        }
    }

    /// Answers whoever of the session waits for nothing any more.
    pub(super) fn go_on(&mut self, history: &mut History, session: SessionId) {
        while self.queues.get(&session).and_then(VecDeque::front).is_some_and(Asked::is_ready) {
            self.answer_first(history, session);
        }
    }

    /// SYNC came: the oldest sync may be answered, behind what its session wrote before.
    ///
    /// # Errors
    /// If no sync is open.
    pub(super) fn synced(&mut self, history: &mut History) -> Result<(), String> {
        let oldest = self.syncs.pop_front();
        let (session, oldest) = oldest.ok_or("expected no SYNC, for none is open")?;
        for asked in self.queues.get_mut(&session).into_iter().flatten() {
            if let Asked::Sync { number, confirmed, .. } = asked
                && *number == oldest
            {
                *confirmed = true;
            }
        }
        self.go_on(history, session);
        Ok(())
    }

    /// Whether a request of the session is under way.
    pub(super) fn knows(&self, session: SessionId) -> bool {
        self.queues.contains_key(&session)
    }

    /// How many requests are under way.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn push(&mut self, session: SessionId, asked: Asked) {
        self.count += 1;
        self.queues.entry(session).or_default().push_back(asked);
    }

    fn pop(&mut self, session: SessionId) -> Option<Asked> {
        let queue = self.queues.get_mut(&session)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&session);
        }
        self.count -= usize::from(first.is_some());
        first
    }

    /// Answers the session's first, which waits for no transaction.
    fn answer_first(&mut self, history: &mut History, session: SessionId) {
        match self.pop(session) {
            Some(Asked::Sync { origin, body, .. }) => history.answer_sync(origin, body),
            Some(Asked::Decided(origin, Decision::Throttled)) => history.answer_throttled(origin),
            Some(Asked::Decided(origin, Decision::Fails(error))) => {
                history.answer_error(origin, error);
            }
            Some(Asked::Decided(origin, Decision::Ends(session))) => {
                history.end_local_session(session, Some(origin));
            }
            Some(Asked::Request(_) | Asked::NewSession(..)) | None => {
                unreachable!("only what waits for no transaction is answered here")
            }
        }
    }
}

impl Asked {
    fn is_for_a_transaction(&self) -> bool {
        match self {
            Asked::Request(_) | Asked::NewSession(..) => true,
            Asked::Sync { .. } | Asked::Decided(..) => false,
        }
    }

    /// Whether it may be answered as soon as nothing is before it.
    fn is_ready(&self) -> bool {
        match self {
            Asked::Request(_) | Asked::NewSession(..) => false,
            Asked::Sync { confirmed, .. } => *confirmed,
            Asked::Decided(..) => true,
        }
    }

    /// Whether this is its transaction. The end of an expired session has no number, and must not
    /// be taken for what a client asked under the number 0.
    fn is_for(&self, received: &Received) -> bool {
        match (self, received.what) {
            (Asked::Request(_), What::CreateSession) => false,
            (Asked::Request(origin), What::CloseSession) => {
                origin.xid == received.cxid && origin.op == OpCode::CloseSession
            }
            (Asked::Request(origin), What::Failed | What::Reconfig | What::Other) => {
                origin.xid == received.cxid
            }
            (Asked::NewSession(..), what) => {
                received.cxid == 0 && matches!(what, What::CreateSession | What::Failed)
            }
            (Asked::Sync { .. } | Asked::Decided(..), _) => false,
        }
    }
}
