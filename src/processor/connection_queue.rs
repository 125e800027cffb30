//! A connection's queue: what the server wants it to send, in the order it happened.
//!
//! Apply fills it while it holds the database: replies to the connection's writes, watch events,
//! the answer to its connect request, the wish that it close. The connection drains it before it
//! reads anything from the tree, so an event always goes out before a reply that shows its change
//! (C-109, C-110). The lock inside is a leaf: whoever holds it takes no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::auth::{AuthPolicy, Identities};
use crate::proto::{Acl, ConnectionId, SessionId, perms};
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

/// What a drain found besides bytes.
#[derive(Debug, Default)]
pub struct Drained {
    /// How many submissions are finished.
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    unread_event_bytes: usize,
    finished: usize,
    grant: Option<Grant>,
    close: Option<CloseReason>,
    identities: Arc<Identities>,
    stats: RequestStats,
    dead: bool,
}

/// Unread events above this many bytes end a connection: single events are never dropped.
pub const MAX_UNREAD_EVENT_BYTES: usize = 8 << 20;

impl ConnectionQueue {
    /// An empty queue of a connection with these identities.
    pub fn new(id: ConnectionId, identities: Arc<Identities>) -> Self {
        ConnectionQueue {
            id,
            filled: AtomicBool::new(false),
            state: Mutex::new(State {
                bytes: Vec::new(),
                unread_event_bytes: 0,
                finished: 0,
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
    /// for the connection's statistics; `None` if no request of a session was answered.
    pub fn reply(&self, answered: Option<&Answered>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if state.dead {
            return;
        }
        write(&mut state.bytes);
        state.finished += 1;
        state.stats.sent += 1;
        if let Some(answered) = answered {
            state.stats.answered(answered);
        }
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
        state.unread_event_bytes += frame.len();
        if state.unread_event_bytes > MAX_UNREAD_EVENT_BYTES {
            state.close.get_or_insert(CloseReason::TooManyUnreadEvents);
        }
        state.stats.sent += 1;
        self.filled.store(true, Ordering::Release);
        true
    }

    /// Gives the connection its session; the connect response is appended with it.
    pub fn grant(
        &self,
        grant: Grant,
        answered: Option<&Answered>,
        response: impl FnOnce(&mut Vec<u8>),
    ) {
        self.reply(answered, response);
        self.state.lock().grant = Some(grant);
    }

    /// Asks the connection to close once what is queued has been sent. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        self.state.lock().close.get_or_insert(reason);
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

    /// The client has read everything that was drained so far.
    pub fn all_written(&self) {
        let mut state = self.state.lock();
        state.unread_event_bytes = state.bytes.len();
    }

    /// Nothing is appended from now on.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        state.bytes = Vec::new();
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
