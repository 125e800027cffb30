//! `FastLeaderElection`: stub.

use super::member::Turn;
use crate::proto::{Notification, ServerState, Sid, Vote};

/// An election under way.
#[derive(Debug)]
pub struct FastLeaderElection {}

/// How an election ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elected {
    /// The vote it ended with.
    pub vote: Vote,
    /// Its round.
    pub round: i64,
}

impl FastLeaderElection {
    /// Begins a new round: tells everybody the own vote.
    pub fn new(_turn: &mut Turn<'_>) -> Self {
        todo!()
    }

    /// A notification came.
    pub fn notified(
        &mut self,
        _turn: &mut Turn<'_>,
        _from: Sid,
        _n: Notification,
    ) -> Option<Elected> {
        todo!()
    }

    /// A connection of the mesh came up or went down ([`Member::connected`] knows already).
    ///
    /// [`Member::connected`]: super::member::Member::connected
    pub fn mesh_changed(&mut self, _turn: &mut Turn<'_>) -> Option<Elected> {
        todo!()
    }

    /// A deadline may have passed.
    pub fn tick(&mut self, _turn: &mut Turn<'_>) -> Option<Elected> {
        todo!()
    }

    /// When it wants a tick, on the monotonic clock in milliseconds.
    pub fn next_deadline(&self) -> u64 {
        todo!()
    }
}

/// Answers a notification as a server that is not looking.
pub fn answer(_turn: &mut Turn<'_>, _state: ServerState, _from: Sid, _n: &Notification) {
    todo!()
}
