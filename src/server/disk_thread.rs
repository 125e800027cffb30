//! The disk thread: collects what is to be logged and drives the disk queue.
//!
//! While one batch is being synced the next one gathers; behind a large one the thread also lets others
//! have the processor, who bring more. When
//! nothing waits behind a batch, the driver syncs it itself: that wakes no thread, and what comes
//! meanwhile is the next batch just the same. Only when it has more to prepare does the thread sync
//! beside it. (Only a server that is alone may do so: the pings of an ensemble's member must not
//! wait for its disk.) A failure of the disk ends the process: what was not reported was never
//! acknowledged, and a sync that failed is not tried again.

use std::sync::{Arc, mpsc};
use std::thread;

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

    /// Takes everything that waits and tells since when it does; `None` once stopped and empty.
    /// `more_come`: what is here first is hardly all.
    fn take(&self, batch: &mut Vec<DiskRequest>, more_come: bool) -> Option<u64> {
        let mut state = self.state.lock();
        let waits = state.requests.is_empty();
        while state.requests.is_empty() {
            if state.stopped {
                return None;
            }
            state.waiting = true;
            self.filled.wait(&mut state);
            state.waiting = false;
        }
        if waits && more_come {
            MutexGuard::unlocked(&mut state, thread::yield_now);
        }
        std::mem::swap(&mut state.requests, batch);
        Some(state.since_ms)
    }
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
}

impl DiskDoor for ToDisk {
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
    let mut many = false;
    while let Some(since_ms) = inbox.take(&mut batch, many) {
        many = batch.len() > FEW_REQUESTS;
        let only = reports.report(Input::Persisted(queue.process(since_ms, &mut batch)));
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
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::persistence::RealDisk;
    use crate::proto::Zxid;
    use crate::proto::txns::TxnHeader;
    use crate::server::clock::RealClock;
    use crate::time::Clock;

    /// Takes note of how many requests wait for the disk whenever it is turned.
    struct Turned {
        disk: Arc<DiskInbox>,
        reports: Arc<Inbox>,
        saw: Mutex<Vec<usize>>,
    }

    impl TurnInPlace for Turned {
        fn turn_in_place(&self) {
            self.saw.lock().push(self.disk.state.lock().requests.len());
            // What it did not take is for the driver's thread.
            self.reports.wake_before(None);
        }
    }

    fn appends(zxids: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = DiskRequest> {
        zxids.map(|zxid| {
            let mut bytes = vec![0; TxnHeader::SIZE];
            bytes[12..20].copy_from_slice(&zxid.to_be_bytes());
            DiskRequest::Append { ticket: Ticket(zxid), zxid: Zxid(zxid), bytes: bytes.into() }
        })
    }

    /// Runs the thread over a request and so many more, which come while that one is at the disk. Answers
    /// how many waited whenever it turned the driver, and the last report.
    fn run_with(more: u64) -> (Vec<usize>, Ticket) {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
        let inbox = Arc::new(DiskInbox::default());
        inbox.push(0, appends(1..=1));
        let mut behind = Some(inbox.clone());
        // Room ahead is asked for in the middle of a batch.
        let filler = Box::new(move |_| {
            if let Some(inbox) = behind.take() {
                inbox.push(0, appends(2..=1 + more));
                inbox.stop();
            }
        });
        let (disk, path, options) = (Arc::new(RealDisk), dir.path().to_owned(), Default::default());
        let queue = SyncQueue::new(disk, path, Zxid::ZERO, options, clock.clone(), filler);
        let (care, _cared_for) = mpsc::channel();
        let queue = SharedSyncQueue::new(queue, Arc::new(Metrics::new(1)), care);
        let reports = Arc::new(Inbox::default());
        let driver =
            Turned { disk: inbox.clone(), reports: reports.clone(), saw: Mutex::default() };
        let mut inputs = Vec::new();
        thread::scope(|scope| {
            // The driver's thread, which has nothing to do but wait.
            scope.spawn(|| {
                while reports.wait(None, &*clock) {
                    reports.take(&mut inputs, 10);
                }
            });
            while !reports.is_waited_on() {
                thread::yield_now();
            }
            run(&queue, &inbox, &reports, &driver);
            while !reports.is_empty() {
                thread::yield_now();
            }
            reports.stop();
        });
        let Some(Input::Persisted(last)) = inputs.last() else { panic!("nothing was reported") };
        (driver.saw.into_inner(), *last)
    }

    #[test]
    fn its_thread_turns_the_driver_while_few_wait_and_wakes_it_when_many_do() {
        let few = FEW_REQUESTS as u64;
        for _ in 0..20 {
            let (saw, last) = run_with(few);
            assert_eq!((saw[0], last), (few as usize, Ticket(1 + few)));
            let (saw, last) = run_with(few + 1);
            assert!(saw.iter().all(|waiting| *waiting == 0), "{saw:?}");
            assert_eq!(last, Ticket(2 + few));
        }
    }
}
