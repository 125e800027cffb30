//! The gate that a snapshot passes to become part of the history.
//!
//! A snapshot is written beside everything else, and may be finished when the history that it shows
//! has been cut or replaced: then it would bring back what was cut (ZOOKEEPER-1549,
//! ZOOKEEPER-4837). So who takes one gets a pass first and shows it when the file gets its name.
//! A change of the history ends all passes, and none is given before the tree follows it.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// The gate of one data directory; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct SnapshotGate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Counts the changes.
    history: u64,
    closed: bool,
}

/// What a snapshot needs to get its name.
#[derive(Debug, Clone)]
pub struct SnapshotPass {
    gate: SnapshotGate,
    history: u64,
}

/// Files get no names and lose none through anybody else while this is held.
pub(super) struct Held<'a>(
    #[allow(dead_code, reason = "held, not looked at")] MutexGuard<'a, State>,
);

/// The history was cut or replaced while a snapshot of it was being taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history was cut or replaced while a snapshot of it was being taken")]
pub struct HistoryChanged;

impl SnapshotGate {
    /// A pass for a snapshot. To be taken before the tree is captured.
    pub fn pass(&self) -> SnapshotPass {
        SnapshotPass { gate: self.clone(), history: self.0.lock().history }
    }

    /// The tree is again what the files say: snapshots of it may pass.
    pub fn open(&self) {
        let mut state = self.0.lock();
        state.history += 1;
        state.closed = false;
    }

    /// Closes the gate: the history is being changed, and the tree does not follow yet.
    pub(super) fn close(&self) -> Held<'_> {
        let mut state = self.0.lock();
        state.history += 1;
        state.closed = true;
        Held(state)
    }

    /// Keeps everybody from the gate for a while.
    pub(super) fn hold(&self) -> Held<'_> {
        Held(self.0.lock())
    }
}

impl SnapshotPass {
    /// Enters the gate.
    pub(super) fn enter(&self) -> Result<Held<'_>, HistoryChanged> {
        let state = self.gate.0.lock();
        if state.closed || state.history != self.history {
            return Err(HistoryChanged);
        }
        Ok(Held(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_ends_with_the_history_it_was_given_for() {
        let gate = SnapshotGate::default();
        let before = gate.pass();
        assert!(before.enter().is_ok() && before.enter().is_ok());
        drop(gate.close());
        let meanwhile = gate.pass();
        assert!(before.enter().is_err() && meanwhile.enter().is_err());
        gate.open();
        assert!(before.enter().is_err() && meanwhile.enter().is_err(), "the tree was another");
        assert!(gate.pass().enter().is_ok());
    }
}
