//! The disk thread: collects what is to be logged and drives the disk queue.
//!
//! While one batch is being synced the next one gathers, or what would be in it waits in the driver's
//! inbox (`inbox/rounds`), for which this thread keeps the time; behind a large one the thread also
//! lets others have the processor, who bring more. When
//! nothing waits behind a batch, the driver syncs it itself: that wakes no thread, and what comes
//! meanwhile is the next batch just the same. Only when it has more to prepare does the thread sync
//! beside it. (Only a server that is alone may do so: the pings of an ensemble's member must not
//! wait for its disk.) A failure of the disk ends the process: what was not reported was never
//! acknowledged, and a sync that failed is not tried again.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::disk_care::Wake;
use super::doors::DiskDoor;
use super::fatal::{ExitCode, die_of_disk};
use super::inbox::Inbox;
use super::jobs::SnapshotJobs;
use super::shared_driver::TurnInPlace;
use crate::metrics::Metrics;
use crate::persistence::{DiskRequest, Persisted, SyncQueue};
use crate::proto::Ticket;
use crate::quorum::effect::{DiskEffect, Input};
use crate::time::Instant;

/// Requests that are little: they are served sooner by a thread that runs already than by one more
/// that is woken, so the disk may wait while its thread turns the driver.
///
/// Behind a batch of more, others who want the processor run first, if there are any, and again before
/// the first request of the next batch is taken alone: what they bring is in it, too. Syncs become
/// fewer, and nobody waits where a processor is free.
const FEW_REQUESTS: usize = 8;

/// The queue in front of the disk thread.
#[derive(Debug, Default)]
pub struct DiskInbox {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<DiskRequest>,
    /// When the first of them came, milliseconds on the monotonic clock.
    since_ms: u64,
    waiting: bool,
    stopped: bool,
}

impl DiskInbox {
    fn push(&self, now_ms: u64, requests: impl Iterator<Item = DiskRequest>) {
        let mut state = self.state.lock();
        if state.requests.is_empty() {
            state.since_ms = now_ms;
        }
        state.requests.extend(requests);
        if state.waiting {
            self.filled.notify_one();
        }
    }

    /// Whether the thread waits and nothing waits for it.
    fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting && state.requests.is_empty()
    }

    /// Whether little waits for the disk, if anything.
    fn has_few(&self) -> bool {
        self.state.lock().requests.len() <= FEW_REQUESTS
    }

    /// Lets the thread finish what is queued and end.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        self.filled.notify_one();
    }

    /// Takes everything that waits, if anything comes within its `patience`.
    /// `more_come`: what is here first is hardly all.
    fn take(
        &self,
        batch: &mut Vec<DiskRequest>,
        more_come: bool,
        patience: Option<Duration>,
    ) -> Taken {
        let mut state = self.state.lock();
        let waits = state.requests.is_empty();
        while state.requests.is_empty() {
            if state.stopped {
                return Taken::Stopped;
            }
            state.waiting = true;
            let late = match patience {
                None => {
                    self.filled.wait(&mut state);
                    false
                }
                Some(patience) => self.filled.wait_for(&mut state, patience).timed_out(),
            };
            state.waiting = false;
            if late && state.requests.is_empty() {
                return Taken::NothingCame;
            }
        }
        if waits && more_come {
            MutexGuard::unlocked(&mut state, thread::yield_now);
        }
        std::mem::swap(&mut state.requests, batch);
        Taken::Batch { since_ms: state.since_ms }
    }

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.state.lock().requests.is_empty()
    }
}

/// What the thread does next.
enum Taken {
    /// It has a batch, whose first request waits since then, milliseconds on the monotonic clock.
    Batch { since_ms: u64 },
    /// Nothing came within its patience.
    NothingCame,
    /// It ends.
    Stopped,
}

/// The disk queue, driven by one thread at a time.
pub struct SharedSyncQueue {
    /// `None` once it is closed.
    queue: Mutex<Option<SyncQueue>>,
    metrics: Arc<Metrics>,
    care: mpsc::Sender<Wake>,
}

impl SharedSyncQueue {
    /// Puts the queue where thread and driver find it; `care` is told of new logs.
    pub fn new(queue: SyncQueue, metrics: Arc<Metrics>, care: mpsc::Sender<Wake>) -> Self {
        SharedSyncQueue { queue: Mutex::new(Some(queue)), metrics, care }
    }

    /// Carries the batch out, which has waited since `since_ms`, and returns the ticket up to
    /// which everything is durable. Ends the process if the disk fails.
    fn process(&self, since_ms: u64, batch: &mut Vec<DiskRequest>) -> Ticket {
        let size = batch.len();
        let mut queue = self.queue.lock();
        let queue = queue.as_mut().expect("nothing is logged after the end");
        let persisted = queue
            .process(batch)
            .unwrap_or_else(|error| die_of_disk(ExitCode::UnexpectedError, &error));
        if persisted.slow_sync {
            self.metrics.fsync_threshold_exceed_count.add(1);
            let millis = persisted.sync_nanos / 1_000_000;
            tracing::warn!(millis, "the disk was slow to sync the log");
        }
        if persisted.new_log {
            // Nobody may take care of the directory; the log is there all the same.
            let _ = self.care.send(Wake::NewLog(queue.last_zxid()));
        }
        if persisted.new_snapshot {
            let _ = self.care.send(Wake::NewSnapshot);
        }
        batch.clear();
        self.count(since_ms, size, &persisted);
        persisted.ticket
    }

    fn count(&self, since_ms: u64, requests: usize, persisted: &Persisted) {
        if persisted.txns == 0 {
            return;
        }
        let metrics = &self.metrics;
        let waited_ms = (persisted.began_nanos / 1_000_000).saturating_sub(since_ms);
        let took_ms = persisted.nanos / 1_000_000;
        let written_ms = persisted.nanos.saturating_sub(persisted.sync_nanos) / 1_000_000;
        metrics.sync_processor_request_queued.add(persisted.txns as u64);
        metrics.sync_processor_queue_size.record(requests as u64);
        metrics.sync_processor_batch_size.record(persisted.txns as u64);
        metrics.sync_process_time.record(written_ms);
        metrics.sync_processor_queue_time_ms.record(waited_ms);
        metrics.sync_processor_queue_flush_time_ms.record(took_ms);
        metrics.sync_processor_queue_and_flush_time_ms.record(waited_ms + took_ms);
        if persisted.synced {
            metrics.fsynctime.record(persisted.sync_nanos / 1_000_000);
        }
    }

    fn close(&self) {
        let queue = self.queue.lock().take();
        if let Some(Err(error)) = queue.map(SyncQueue::close) {
            die_of_disk(ExitCode::UnexpectedError, &error);
        }
    }
}

/// What the disk queue does for an effect. A snapshot that is due is not its business.
pub fn disk_request(effect: DiskEffect) -> DiskRequest {
    match effect {
        DiskEffect::Append { ticket, zxid, txn } => {
            DiskRequest::Append { ticket, zxid, bytes: txn }
        }
        DiskEffect::RollAndSnapshot => DiskRequest::Roll,
        DiskEffect::Truncate { ticket, to } => DiskRequest::Truncate { ticket, to },
        DiskEffect::InstallSnapshot { ticket, link, zxid } => {
            DiskRequest::InstallSnapshot { ticket, link, zxid }
        }
        DiskEffect::AcceptedEpoch { ticket, epoch } => DiskRequest::AcceptedEpoch { ticket, epoch },
        DiskEffect::CurrentEpoch { ticket, epoch } => DiskRequest::CurrentEpoch { ticket, epoch },
        DiskEffect::LastSeenConfig { ticket, config } => {
            DiskRequest::LastSeenConfig { ticket, config }
        }
        DiskEffect::ActivateConfig { ticket, config } => {
            DiskRequest::ActivateConfig { ticket, config }
        }
    }
}

/// The driver's door to the disk thread and to the snapshots.
pub struct ToDisk {
    /// The thread's queue.
    pub inbox: Arc<DiskInbox>,
    /// The disk queue itself.
    pub queue: Arc<SharedSyncQueue>,
    /// Where the thread reports.
    pub reports: Arc<Inbox>,
    /// Who takes snapshots.
    pub snapshots: SnapshotJobs,
    /// Whether the driver may drive the queue itself.
    pub by_driver: bool,
    /// Whether what is asked is prepared here.
    pub prepares: bool,
}

impl DiskDoor for ToDisk {
    fn prepares(&mut self, prepares: bool) {
        if self.prepares && !prepares {
            self.reports.rounds_are_over();
        }
        self.prepares = prepares;
    }

    fn carry_out(
        &mut self,
        now: Instant,
        effects: &mut Vec<DiskEffect>,
        alone: bool,
    ) -> Option<Ticket> {
        let mut snapshot = false;
        let requests = effects.drain(..).map(|effect| {
            snapshot |= matches!(effect, DiskEffect::RollAndSnapshot);
            disk_request(effect)
        });
        let ticket =
            if self.by_driver && alone && self.inbox.is_idle() && !self.reports.has_reports() {
                // Nobody but the driver fills the inbox, so the thread stays idle meanwhile; and it
                // reports before it waits, so no report of its own can come after this one.
                Some(self.queue.process(now.mono_ms, &mut requests.collect()))
            } else {
                if self.prepares {
                    // Before the thread can report that it is done.
                    self.reports.round_begins();
                }
                self.inbox.push(now.mono_ms, requests);
                None
            };
        if snapshot {
            self.snapshots.take_one();
        }
        ticket
    }
}

/// The thread: until stopped, writes, syncs and reports; then closes the log. Where its report is all
/// that the driver waits for, and the disk has little else to do, it turns it: nobody has to wake
/// for the acknowledgement.
pub fn run(queue: &SharedSyncQueue, inbox: &DiskInbox, reports: &Inbox, driver: &dyn TurnInPlace) {
    let mut batch = Vec::new();
    let (mut many, mut patience) = (false, None);
    loop {
        let waits = patience.take();
        let since_ms = match inbox.take(&mut batch, many, waits) {
            Taken::Batch { since_ms } => since_ms,
            Taken::NothingCame => {
                if reports.patience_is_over() {
                    driver.turn_in_place();
                }
                continue;
            }
            Taken::Stopped => break,
        };
        if waits.is_some() {
            reports.disk_goes_on();
        }
        many = batch.len() > FEW_REQUESTS;
        let persisted = Input::Persisted(queue.process(since_ms, &mut batch));
        let report = reports.report(persisted, inbox.is_empty());
        let only = report.only;
        patience = report.patience;
        if only && inbox.has_few() {
            driver.turn_in_place();
            continue;
        }
        if only {
            reports.wake_before(None);
        }
        if many {
            thread::yield_now();
        }
    }
    queue.close();
}

#[cfg(test)]
mod tests;
