//! The disk thread: collects what is to be logged and drives the disk queue.
//!
//! While one batch is being synced the next one gathers; that is all the batching there is. A
//! failure of the disk ends the process: what was not reported was never acknowledged, and a
//! sync that failed is not tried again.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::driver::DiskDoor;
use super::fatal::{ExitCode, die};
use super::inbox::Inbox;
use super::jobs::SnapshotJobs;
use crate::metrics::Metrics;
use crate::persistence::{DiskRequest, SyncQueue};
use crate::quorum::effect::{DiskEffect, Input};

/// The queue in front of the disk thread.
#[derive(Debug, Default)]
pub struct DiskInbox {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<DiskRequest>,
    waiting: bool,
    stopped: bool,
}

impl DiskInbox {
    fn push(&self, requests: impl Iterator<Item = DiskRequest>) {
        let mut state = self.state.lock();
        state.requests.extend(requests);
        if state.waiting {
            self.filled.notify_one();
        }
    }

    /// Lets the thread finish what is queued and end.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        self.filled.notify_one();
    }

    /// Takes everything that waits; false once stopped and empty.
    fn take(&self, batch: &mut Vec<DiskRequest>) -> bool {
        let mut state = self.state.lock();
        while state.requests.is_empty() {
            if state.stopped {
                return false;
            }
            state.waiting = true;
            self.filled.wait(&mut state);
            state.waiting = false;
        }
        std::mem::swap(&mut state.requests, batch);
        true
    }
}

/// The driver's door to the disk thread and to the snapshots.
pub struct ToDisk {
    /// The thread's queue.
    pub inbox: Arc<DiskInbox>,
    /// Who takes snapshots.
    pub snapshots: SnapshotJobs,
}

impl DiskDoor for ToDisk {
    fn carry_out(&mut self, effects: &mut Vec<DiskEffect>) {
        let mut snapshot = false;
        self.inbox.push(effects.drain(..).map(|effect| match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                DiskRequest::Append { ticket, zxid, bytes: txn }
            }
            DiskEffect::RollAndSnapshot => {
                snapshot = true;
                DiskRequest::Roll
            }
        }));
        if snapshot {
            self.snapshots.take_one();
        }
    }
}

/// The thread: until stopped, writes, syncs and reports; then closes the log.
pub fn run(mut queue: SyncQueue, inbox: &DiskInbox, reports: &Inbox, metrics: &Metrics) {
    let mut batch = Vec::new();
    while inbox.take(&mut batch) {
        match queue.process(&mut batch) {
            Ok(persisted) => {
                reports.push_first(Input::Persisted(persisted.ticket));
                if persisted.slow_sync {
                    metrics.fsync_threshold_exceed_count.add(1);
                    let millis = persisted.sync_nanos / 1_000_000;
                    tracing::warn!(millis, "the disk was slow to sync the log");
                }
            }
            Err(error) => die(ExitCode::UnexpectedError, &error),
        }
        batch.clear();
    }
    if let Err(error) = queue.close() {
        die(ExitCode::UnexpectedError, &error);
    }
}
