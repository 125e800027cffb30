//! `Learner`: stub.

use bytes::Bytes;

use super::effect::Input;
use super::member::{Outcome, Turn};
use crate::proto::membership::LearnerType;
use crate::proto::{Sid, Zxid};

/// The role of a follower or an observer.
#[derive(Debug)]
pub struct Learner {}

impl Learner {
    /// The role of a server that found a leader: dials it.
    pub fn new(_turn: &mut Turn<'_>, _leader: Sid, _kind: LearnerType) -> Self {
        todo!()
    }

    /// Takes one input.
    pub fn step(&mut self, _turn: &mut Turn<'_>, _input: Input) -> Outcome {
        todo!()
    }

    /// Ends the role: closes its link. Returns what was logged and not applied, in order.
    pub fn leave(self, _turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        todo!()
    }

    /// When it wants a tick.
    pub fn next_deadline(&self) -> Option<u64> {
        todo!()
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        todo!()
    }

    /// What it is.
    pub fn kind(&self) -> LearnerType {
        todo!()
    }

    /// Requests that were forwarded and are not finished yet.
    pub fn in_process(&self) -> usize {
        todo!()
    }
}
