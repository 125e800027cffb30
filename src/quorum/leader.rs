//! `Leader`: stub.

use bytes::Bytes;

use super::effect::Input;
use super::member::{Outcome, Turn};
use crate::proto::Zxid;

/// The role.
#[derive(Debug)]
pub struct Leader {}

impl Leader {
    /// The role of a server that was elected.
    pub fn new(_turn: &mut Turn<'_>) -> Self {
        todo!()
    }

    /// Takes one input.
    pub fn step(&mut self, _turn: &mut Turn<'_>, _input: Input) -> Outcome {
        todo!()
    }

    /// Ends the role: closes its links. Returns what was logged and not applied, in order.
    pub fn leave(self, _turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        todo!()
    }

    /// When it wants a tick.
    pub fn next_deadline(&self) -> Option<u64> {
        todo!()
    }

    /// Whether clients are served (by it, or were).
    pub fn serves(&self) -> bool {
        todo!()
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        todo!()
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        todo!()
    }
}
