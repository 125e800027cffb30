//! A connection's queue: what the server wants it to send, in the order it happened.
//!
//! Apply fills it while it holds the database: replies to the connection's writes, watch events,
//! the answer to its connect request, the wish that it close. The connection drains it before it
//! reads anything from the tree, so an event always goes out before a reply that shows its change
//! (C-109, C-110). The lock inside is a leaf: whoever holds it takes no other.
//!
//! It also holds *deferred reads*: small reads without a watch that a client pipelined between its
//! writes. Such a
//! read must see the write before it and not the one behind it. Were it kept in the connection, the
//! writes behind it could not be submitted before the first is durable, and a mixed pipeline would
//! pay for one sync per write. So it waits here, and whoever finishes the write before it answers
//! it at once, between the two applies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::auth::{AuthPolicy, Identities};
use bytes::Bytes;

use crate::proto::{Acl, ConnectionId, OpCode, SessionId, perms};
use crate::session::SessionTouch;
use crate::status::{Answered, RequestStats};

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed its session; the reply goes out first.
    SessionClosed,
    /// The session was not touched for its timeout.
    SessionExpired,
    /// The session was resumed by another connection.
    SessionTakenOver,
    /// The session could not be resumed; the refusal goes out first.
    SessionRefused,
    /// The client does not read its events.
    TooManyUnreadEvents,
    /// No session was asked for in time.
    NoHandshake,
    /// A request of it was stale and was dropped; later ones must not be executed.
    StaleRequest,
    /// Too much waits for clients that asked for words and do not read the answers.
    TooManyUnreadAnswers,
    /// A reply grew beyond what is kept for one connection.
    ReplyTooLarge,
    /// This server does not serve, or has ceased to: it has no leader that it follows.
    NotServing,
    /// The server stops.
    ServerStops,
}

/// A session given to the connection.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The session.
    pub session: SessionId,
    /// Where to leave the moment of each request.
    pub touch: Arc<SessionTouch>,
}

/// A read that waits for the submission before it.
#[derive(Debug, Clone)]
pub struct DeferredRead {
    /// How many submissions came before it.
    pub after: u64,
    /// Its xid.
    pub xid: i32,
    /// What is read.
    pub op: OpCode,
    /// The record after the header.
    pub body: Bytes,
    /// The session that reads.
    pub session: SessionId,
    /// Who the connection was when the read came.
    pub identities: Arc<Identities>,
    /// When the read came, milliseconds on the monotonic clock.
    pub received_ms: u64,
}

/// Everything before the read is finished already: nobody would answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingToWaitFor;

/// What a drain found besides bytes.
#[derive(Debug, Default)]
pub struct Drained {
    /// How many submissions and deferred reads are finished.
    pub finished: usize,
    /// The connection's session, if it was just given one.
    pub grant: Option<Grant>,
    /// That the connection must close after what was drained.
    pub close: Option<CloseReason>,
}

/// The queue of one connection.
#[derive(Debug)]
pub struct ConnectionQueue {
    id: ConnectionId,
    filled: AtomicBool,
    /// Bytes that were drained and that the client has not taken yet.
    unsent: AtomicUsize,
    state: Mutex<State>,
}

impl State {
    /// Drops what waits and takes no more.
    fn give_up(&mut self) {
        self.dead = true;
        self.bytes = Vec::new();
        self.deferred = VecDeque::new();
    }
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// Bytes of events since the client had nothing left to read.
    event_bytes: usize,
    finished: usize,
    /// Submissions finished since the connection began.
    submissions_finished: u64,
    deferred: VecDeque<DeferredRead>,
    grant: Option<Grant>,
    close: Option<CloseReason>,
    identities: Arc<Identities>,
    stats: RequestStats,
    dead: bool,
}

/// More unread bytes of events than this end the connection: single events are never dropped.
const MAX_UNREAD_EVENT_BYTES: usize = 8 << 20;

impl ConnectionQueue {
    /// An empty queue of a connection with these identities.
    pub fn new(id: ConnectionId, identities: Arc<Identities>) -> Self {
        ConnectionQueue {
            id,
            filled: AtomicBool::new(false),
            unsent: AtomicUsize::new(0),
            state: Mutex::new(State {
                bytes: Vec::new(),
                event_bytes: 0,
                finished: 0,
                submissions_finished: 0,
                deferred: VecDeque::new(),
                grant: None,
                close: None,
                identities,
                stats: RequestStats::default(),
                dead: false,
            }),
        }
    }

    /// The connection's id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Whether a drain would find something.
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Appends the reply to a submission, which is finished with it. `answered` is what it means
    /// for the connection's statistics; `None` if no request of a session was answered. Returns
    /// the reply's size in bytes.
    pub fn reply(&self, answered: Option<&Answered>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.finish(None, answered, write)
    }

    /// Gives the connection its session; the connect response is appended with it.
    pub fn grant(
        &self,
        grant: Grant,
        answered: Option<&Answered>,
        response: impl FnOnce(&mut Vec<u8>),
    ) {
        self.finish(Some(grant), answered, response);
    }

    fn finish(
        &self,
        grant: Option<Grant>,
        answered: Option<&Answered>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let mut state = self.state.lock();
        if state.dead {
            return 0;
        }
        let before = state.bytes.len();
        write(&mut state.bytes);
        let size = state.bytes.len() - before;
        state.finished += 1;
        state.submissions_finished += 1;
        if grant.is_some() {
            state.grant = grant;
        }
        state.stats.sent += 1;
        if let Some(answered) = answered {
            state.stats.answered(answered);
        }
        self.filled.store(true, Ordering::Release);
        size
    }

    /// Leaves a read to whoever finishes the submission before it.
    ///
    /// # Errors
    /// That submission is finished by now.
    pub fn defer(&self, read: DeferredRead) -> Result<(), NothingToWaitFor> {
        let mut state = self.state.lock();
        if state.dead || state.submissions_finished >= read.after {
            return Err(NothingToWaitFor);
        }
        state.deferred.push_back(read);
        Ok(())
    }

    /// The next deferred read whose turn it is. Whoever takes it answers it with
    /// [`answer_deferred`](Self::answer_deferred) before anything else is applied.
    pub fn next_deferred(&self) -> Option<DeferredRead> {
        let mut state = self.state.lock();
        let due = state.deferred.front()?.after <= state.submissions_finished;
        if due { state.deferred.pop_front() } else { None }
    }

    /// Appends the reply to a deferred read.
    pub fn answer_deferred(&self, answered: &Answered, frame: &[u8]) {
        let mut state = self.state.lock();
        if state.dead {
            return;
        }
        state.bytes.extend_from_slice(frame);
        state.finished += 1;
        state.stats.sent += 1;
        state.stats.answered(answered);
        self.filled.store(true, Ordering::Release);
    }

    /// Appends an event, if the connection may read a node with that ACL (CVE-2024-23944).
    /// Returns whether it was appended.
    pub fn event(&self, frame: &[u8], acl: &[Acl], policy: &AuthPolicy) -> bool {
        let mut state = self.state.lock();
        if state.dead || !policy.allows(acl, perms::READ, &state.identities) {
            return false;
        }
        state.bytes.extend_from_slice(frame);
        // Of what waits only events count, since replies have bounds of their own. How many of the
        // bytes that were drained are events is not known; at most those since nothing waited.
        state.event_bytes += frame.len();
        let waiting = state.bytes.len() + self.unsent.load(Ordering::Relaxed);
        if waiting.min(state.event_bytes) > MAX_UNREAD_EVENT_BYTES {
            state.close.get_or_insert(CloseReason::TooManyUnreadEvents);
            state.give_up();
        }
        state.stats.sent += 1;
        self.filled.store(true, Ordering::Release);
        true
    }

    /// Asks the connection to close once what is queued has been sent. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        if state.dead && state.close.is_none() && state.bytes.is_empty() {
            return;
        }
        state.close.get_or_insert(reason);
        self.filled.store(true, Ordering::Release);
    }

    /// Has the connection close once what is queued by now has been sent, and takes nothing more.
    pub fn sever(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        if state.dead {
            return;
        }
        state.dead = true;
        state.deferred = VecDeque::new();
        state.close.get_or_insert(reason);
        self.filled.store(true, Ordering::Release);
    }

    /// Replaces the identities by which events are filtered from now on.
    pub fn set_identities(&self, identities: Arc<Identities>) {
        self.state.lock().identities = identities;
    }

    /// Moves everything out, bytes to the end of `out`.
    pub fn drain(&self, out: &mut Vec<u8>) -> Drained {
        if !self.filled.swap(false, Ordering::AcqRel) {
            return Drained::default();
        }
        let mut state = self.state.lock();
        if out.is_empty() {
            std::mem::swap(out, &mut state.bytes);
        } else {
            out.append(&mut state.bytes);
        }
        Drained {
            finished: std::mem::take(&mut state.finished),
            grant: state.grant.take(),
            close: state.close.take(),
        }
    }

    /// So many drained bytes wait for the client to take them.
    pub fn set_unsent(&self, bytes: usize) {
        if self.unsent.swap(bytes, Ordering::Relaxed) > 0 && bytes == 0 {
            let mut state = self.state.lock();
            state.event_bytes = state.bytes.len();
        }
    }

    /// The connection is over: nothing is kept, and nothing is appended from now on.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.give_up();
        state.finished = 0;
        state.grant = None;
        state.close = None;
        self.filled.store(false, Ordering::Release);
    }

    /// Counts requests that came, and replies that went by another road than this queue:
    /// `answered` are those of them that the statistics know.
    pub fn count(&self, received: u64, sent: u64, answered: Option<&Answered>) {
        let mut state = self.state.lock();
        state.stats.received += received;
        state.stats.sent += sent;
        if let Some(answered) = answered {
            state.stats.answered(answered);
        }
    }

    /// The connection's requests so far, or since the last reset.
    pub fn stats(&self) -> RequestStats {
        self.state.lock().stats
    }

    /// Forgets what was counted.
    pub fn reset_stats(&self) {
        self.state.lock().stats.reset();
    }
}

#[cfg(test)]
mod tests;
