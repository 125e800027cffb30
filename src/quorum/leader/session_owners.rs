//! Which server each session belongs to.
//!
//! A session's requests come from one server at a time, the one its client is connected to. When
//! the client moves, the new server revalidates the session and owns it from then on; what still
//! comes through the old one fails with SESSIONMOVED, so that a write which was given up for lost
//! cannot overtake its repetition (C-237). The owner is not replicated: after a change of leader
//! the first that asks for the session has it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::proto::{SessionId, Sid};

/// The owners of the sessions of which one is known.
#[derive(Debug)]
pub struct SessionOwners(HashMap<SessionId, Sid, FixedState>);

impl SessionOwners {
    /// No session has one.
    pub fn new(hash_seed: u64) -> Self {
        SessionOwners(HashMap::with_hasher(FixedState::with_seed(hash_seed)))
    }

    /// The session goes on with that server.
    pub fn set(&mut self, session: SessionId, owner: Sid) {
        self.0.insert(session, owner);
    }

    /// Whether a request of the session that came through `sid` comes from where the session no
    /// longer is. Without an owner, it belongs to `sid` from here on.
    pub fn has_moved(&mut self, session: SessionId, sid: Sid) -> bool {
        *self.0.entry(session).or_insert(sid) != sid
    }

    /// The session is over.
    pub fn remove(&mut self, session: SessionId) {
        self.0.remove(&session);
    }

    /// How many sessions have one.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
