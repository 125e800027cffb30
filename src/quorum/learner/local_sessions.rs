//! Local sessions: those that only this server knows (`localSessionsEnabled`).
//!
//! ```text
//!   connect ─▶ local ─▶ ended here: closed, or silent for too long
//!                │ the first ephemeral
//!                └─▶ global: createSession goes to the leader in front of it
//! ```
//!
//! No transaction begins or ends a local session, and no other server resumes it (C-274). A role
//! that ends takes them along: their clients are told that they have expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::processor::request::Request;
use crate::proto::{OpCode, SessionId};
use crate::quorum::member::Turn;
use crate::session::{PagePlace, SessionTouch, SessionTracker, SessionsPage};
use crate::time::Instant;

/// Sessions that are ended in one step, at most.
const MOST_EXPIRED_PER_STEP: usize = 64;

/// The local sessions of this server.
#[derive(Debug)]
pub(super) struct LocalSessions {
    tracker: SessionTracker,
    touches: BTreeMap<SessionId, Arc<SessionTouch>>,
    /// `localSessionsUpgradingEnabled`.
    upgrades: bool,
    expired: Vec<SessionId>,
}

/// What becomes of a request of a local session.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is the leader's, like any other.
    Forward,
    /// The session has ended with it.
    Ended,
    /// The session must become global first; it is no longer local.
    Upgrade(Arc<SessionTouch>),
    /// It would have to, and may not.
    MayNot,
}

impl LocalSessions {
    /// Without sessions; `None` where they are switched off.
    pub(super) fn new(turn: &Turn<'_>) -> Option<Self> {
        let member = &*turn.member;
        member.options.local_sessions.then(|| LocalSessions {
            // It hands out no ids.
            tracker: SessionTracker::new(member.options.tick_ms, 0, turn.now.wall_ms),
            touches: BTreeMap::new(),
            upgrades: member.options.local_sessions_upgrade,
            expired: Vec::new(),
        })
    }

    /// A new session.
    pub(super) fn begin(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        now: Instant,
    ) -> Arc<SessionTouch> {
        let touch = self.tracker.track(session, timeout_ms, now);
        self.touches.insert(session, touch.clone());
        touch
    }

    /// A client comes back to its session; `None` if there is no such local one.
    pub(super) fn reopen(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        now: Instant,
    ) -> Option<Arc<SessionTouch>> {
        self.tracker.reopen(session, timeout_ms, now)
    }

    /// Fills a page up with them.
    pub(super) fn page(
        &self,
        mut page: SessionsPage,
        after: Option<PagePlace>,
        most: usize,
    ) -> SessionsPage {
        let after = after.filter(|place| !place.is_of_learner());
        let local = self.tracker.page(after, most - page.sessions.len());
        page.sessions.extend(local.sessions);
        page.next = local.next;
        page
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.touches.len()
    }

    /// Whether the session is a local one.
    pub(super) fn knows(&self, session: SessionId) -> bool {
        self.touches.contains_key(&session)
    }

    /// What becomes of a request.
    pub(super) fn judge(&mut self, request: &Request) -> Verdict {
        let session = request.session;
        let Some(touch) = self.touches.get(&session) else { return Verdict::Forward };
        match request.op {
            OpCode::CloseSession => {
                self.forget(session);
                Verdict::Ended
            }
            _ if !request.makes_ephemerals() => Verdict::Forward,
            _ if self.upgrades => {
                let touch = touch.clone();
                self.forget(session);
                Verdict::Upgrade(touch)
            }
            _ => Verdict::MayNot,
        }
    }

    /// The next session that was silent for too long.
    pub(super) fn next_expired(&mut self) -> Option<SessionId> {
        let session = self.expired.pop()?;
        tracing::info!(%session, "local session expired");
        self.forget(session);
        Some(session)
    }

    /// Looks which sessions were silent for too long. Returns how many may be ended in this step.
    pub(super) fn look(&mut self, now: Instant) -> usize {
        self.tracker.expired(now, &mut self.expired);
        self.expired.len().min(MOST_EXPIRED_PER_STEP)
    }

    /// When it wants to look next.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        if self.expired.is_empty() { self.tracker.next_deadline() } else { Some(0) }
    }

    fn forget(&mut self, session: SessionId) {
        self.tracker.remove(session);
        self.touches.remove(&session);
    }
}
