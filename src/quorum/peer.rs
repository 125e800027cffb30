//! `QuorumPeer`: one server as a member of its ensemble, whatever its role.

use super::effect::{Effects, Input};
use super::standalone::Standalone;
use crate::time::Instant;
use crate::tree::Database;

/// What the peer is at the moment. A transition consumes the old role.
#[derive(Debug)]
pub enum Role {
    /// The only member: leader, follower and quorum in one.
    Standalone(Box<Standalone>),
}

/// The peer core: no sockets, files, clock, randomness, locks or `async`.
#[derive(Debug)]
pub struct QuorumPeer {
    role: Role,
}

impl QuorumPeer {
    /// A peer that starts in `role`.
    pub fn new(role: Role) -> Self {
        QuorumPeer { role }
    }

    /// Takes one input; what is to be done is appended to `effects`.
    pub fn step(&mut self, now: Instant, input: Input, db: &Database, effects: &mut Effects) {
        match &mut self.role {
            Role::Standalone(standalone) => standalone.step(now, input, db, effects),
        }
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        match &self.role {
            Role::Standalone(standalone) => standalone.in_process(),
        }
    }

    /// When the peer wants a [`Input::Tick`], on the monotonic clock in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.role {
            Role::Standalone(standalone) => standalone.next_deadline(),
        }
    }
}
