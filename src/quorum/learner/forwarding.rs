//! Forwarding: what this server's clients want of the leader.
//!
//! A write travels as REQUEST and comes back as a transaction, by its session and number; a sync
//! comes back as SYNC, which carries nothing: answers have the order of the questions. Nothing is
//! sent twice: when the link is lost, whoever waits loses its connection, and does not know (C-237).
//!
//! Whether a session goes on here is the leader's to say (REVALIDATE), too; only local sessions are
//! this server's own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Departure;
use super::history::{History, Waiter};
use super::local_sessions::{LocalSessions, Verdict};
use super::received::{Received, What};
use super::waiting::{Decision, Waiting};
use crate::jute::Writer;
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::proposal::{NewSession, Refusal, Resumption};
use crate::processor::request::{ConnectAttempt, Origin, Request, Submission};
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{AuthInfo, ErrorCode, LinkId, OpCode, QuorumPacket, SessionId};
use crate::quorum::effect::ClientEffect;
use crate::quorum::member::Turn;
use crate::session::{LearnerSessionTracker, PagePlace, SessionTouch, SessionsPage};

/// What was forwarded, and the sessions that are served here.
#[derive(Debug)]
pub(super) struct Forwarding {
    tracker: LearnerSessionTracker,
    local: Option<LocalSessions>,
    waiting: Waiting,
    /// Connections whose sessions the leader was asked about, in that order.
    revalidations: BTreeMap<SessionId, VecDeque<ConnectAttempt>>,
    /// How many there are.
    asked: usize,
}

impl Forwarding {
    /// Nobody waits, and no session is served.
    pub(super) fn new(turn: &Turn<'_>) -> Self {
        Forwarding {
            // The top byte names the server; ids above are cut, as Apache cuts them.
            tracker: LearnerSessionTracker::new(turn.member.me.0 as u8, turn.now.wall_ms),
            local: LocalSessions::new(turn),
            waiting: Waiting::default(),
            revalidations: BTreeMap::new(),
            asked: 0,
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
            Submission::Connect(attempt) => self.connect(turn, link, history, attempt),
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
        let waiter = self.waiting.take(history, received);
        if let Some(new) = &waiter.new_session {
            self.tracker.serve(session, new.touch.clone());
        }
        waiter
    }

    /// A transaction of `session` was let commit: those who only waited behind it are answered.
    pub(super) fn after_commit(&mut self, history: &mut History, session: SessionId) {
        self.waiting.go_on(history, session);
    }

    /// SYNC came.
    ///
    /// # Errors
    /// If no sync is open.
    pub(super) fn synced(&mut self, history: &mut History) -> Result<(), String> {
        self.waiting.synced(history)
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
        self.asked -= 1;
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

    /// The sessions that are served here, those that only this server knows behind the others.
    pub(super) fn sessions(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        let page = match after {
            Some(place) if !place.is_of_learner() => SessionsPage::default(),
            _ => self.tracker.page(after, most),
        };
        match &self.local {
            Some(local) if page.next.is_none() => local.page(page, after, most),
            _ => page,
        }
    }

    /// How many sessions only this server knows.
    pub(super) fn local_sessions(&self) -> usize {
        self.local.as_ref().map_or(0, LocalSessions::count)
    }

    /// Ends local sessions that were silent for too long.
    pub(super) fn expire(&mut self, turn: &Turn<'_>, history: &mut History) {
        let Some(local) = &mut self.local else { return };
        for _ in 0..local.look(turn.now) {
            if let Some(session) = local.next_expired() {
                history.end_local_session(session, None);
            }
        }
    }

    /// When a local session may have to end.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.local.as_ref()?.next_deadline()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.asked
    }

    fn connect(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        history: &mut History,
        attempt: ConnectAttempt,
    ) {
        let ConnectAttempt { connection, session, timeout_ms, had_read_only, .. } = attempt;
        let now = turn.now;
        if session == SessionId::NONE {
            let session = self.create_id(turn);
            match &mut self.local {
                Some(local) => {
                    let grant = Grant { session, touch: local.begin(session, timeout_ms, now) };
                    history.resume(Resumption { connection, timeout_ms, had_read_only, grant });
                }
                None => {
                    let op = OpCode::CreateSession;
                    let received_ms = attempt.received_ms;
                    let touch = Arc::new(SessionTouch::new(now.mono_ms, timeout_ms));
                    let new = NewSession { timeout_ms, had_read_only, touch };
                    let origin = Origin { connection, xid: 0, op, received_ms };
                    self.waiting.for_new_session(session, origin, new);
                    turn.send(link, create_session(session, timeout_ms));
                }
            }
            return;
        }
        let local = self.local.as_mut();
        if let Some(touch) = local.and_then(|local| local.reopen(session, timeout_ms, now)) {
            let grant = Grant { session, touch };
            history.resume(Resumption { connection, timeout_ms, had_read_only, grant });
            return;
        }
        turn.send(link, QuorumPacket::Revalidate { session, timeout_ms });
        self.asked += 1;
        self.revalidations.entry(session).or_default().push_back(attempt);
    }

    /// An id that no session has of which this server knows.
    fn create_id(&mut self, turn: &Turn<'_>) -> SessionId {
        let (waiting, local) = (&self.waiting, &self.local);
        self.tracker.create_id(|id| {
            turn.db.session_timeout(id).is_some()
                || waiting.knows(id)
                || local.as_ref().is_some_and(|local| local.knows(id))
        })
    }

    fn request(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        history: &mut History,
        request: Request,
    ) {
        let session = request.session;
        let origin = request.origin.expect("a learner asks for nothing of its own this way");
        if request.throttled {
            self.waiting.for_turn(history, session, origin, Decision::Throttled);
            return;
        }
        if request.op == OpCode::Sync {
            self.waiting.for_sync(session, origin, request.body.clone());
            turn.send(link, QuorumPacket::Request(forwarded(request)));
            return;
        }
        let verdict = self.local.as_mut().map(|local| local.judge(&request));
        match verdict.unwrap_or(Verdict::Forward) {
            Verdict::Forward => {}
            Verdict::Upgrade(touch) => {
                turn.send(link, create_session(session, touch.timeout_ms()));
                self.tracker.serve(session, touch);
            }
            Verdict::Ended => {
                self.waiting.for_turn(history, session, origin, Decision::Ends(session));
                return;
            }
            Verdict::MayNot => {
                let fails = Decision::Fails(ErrorCode::EphemeralOnLocalSession);
                self.waiting.for_turn(history, session, origin, fails);
                return;
            }
        }
        self.waiting.for_transaction(session, origin);
        turn.send(link, QuorumPacket::Request(forwarded(request)));
    }
}

/// A request as it travels.
fn forwarded(request: Request) -> ForwardedRequest {
    ForwardedRequest {
        session: request.session,
        cxid: request.xid,
        op: request.op.to_int(),
        auth: request.identities.info().clone(),
        body: request.body,
    }
}

/// The beginning of a global session, as it travels.
fn create_session(session: SessionId, timeout_ms: i32) -> QuorumPacket {
    let mut body = Vec::with_capacity(4);
    body.put_int(timeout_ms);
    let (op, body, auth) = (OpCode::CreateSession.to_int(), body.into(), AuthInfo::default());
    QuorumPacket::Request(ForwardedRequest { session, cxid: 0, op, body, auth })
}
