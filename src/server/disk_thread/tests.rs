//! When the thread turns the driver, and how long it waits for company.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::persistence::RealDisk;
use crate::processor::request::{Request, Submission};
use crate::proto::txns::TxnHeader;
use crate::proto::{OpCode, SessionId, Zxid};
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
    let driver = Turned { disk: inbox.clone(), reports: reports.clone(), saw: Mutex::default() };
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

const PATIENCE_MS: u64 = 60_000;

/// Who meets so often in a row does not do so by chance.
const ENOUGH: u64 = 5;

/// A leader's driver: it gives the disk what is asked.
struct Leads {
    disk: Arc<DiskInbox>,
    reports: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    last: Mutex<u64>,
    /// Whose requests the disk has, with their tickets.
    written: Mutex<VecDeque<(u64, usize)>>,
    /// How many requests of each client are durable.
    answers: [AtomicU64; 2],
    /// How many times in a row requests of both were given to the disk at once.
    together: AtomicU64,
}

impl TurnInPlace for Leads {
    fn turn_in_place(&self) {
        let mut inputs = Vec::new();
        if let Some(mut last) = self.last.try_lock() {
            while self.reports.take(&mut inputs, 10) || !inputs.is_empty() {
                self.turn(&mut last, &mut inputs);
            }
        }
        self.reports.wake_before(None);
    }
}

impl Leads {
    fn turn(&self, last: &mut u64, inputs: &mut Vec<Input>) {
        let mut written = self.written.lock();
        let before = *last;
        for input in inputs.drain(..) {
            match input {
                Input::Submitted(submissions) => {
                    let [Submission::Request(request)] = &*submissions else { panic!() };
                    *last += 1;
                    written.push_back((*last, request.session.0 as usize));
                }
                Input::Persisted(durable) => {
                    while let Some((_, client)) = written.pop_front_if(|(it, _)| *it <= durable.0) {
                        self.answers[client].fetch_add(1, Ordering::Release);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        if *last > before {
            self.reports.round_begins();
            self.disk.push(0, appends(before + 1..=*last));
            let times = self.together.load(Ordering::Relaxed);
            let met = *last > before + 1;
            let times = if met {
                times + 1
            } else if times < ENOUGH {
                0
            } else {
                times
            };
            self.together.store(times, Ordering::Relaxed);
        }
    }

    /// Whether what the client asks is durable in time.
    fn is_answered(&self, client: usize) -> bool {
        let before = self.answers[client].load(Ordering::Acquire);
        let request = Submission::Request(Request {
            session: SessionId(client as i64),
            xid: 1,
            op: OpCode::SetData,
            body: Bytes::new(),
            identities: Arc::default(),
            origin: None,
            throttled: false,
        });
        if self.reports.submit(vec![request]) {
            self.turn_in_place();
        }
        let late = self.clock.now().mono_ms + PATIENCE_MS;
        while self.answers[client].load(Ordering::Acquire) == before {
            if self.clock.now().mono_ms > late {
                return false;
            }
            thread::yield_now();
        }
        true
    }
}

#[test]
fn clients_that_write_in_turns_meet_and_one_who_stays_away_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
    let (disk, path, options) = (Arc::new(RealDisk), dir.path().to_owned(), Default::default());
    let queue = SyncQueue::new(disk, path, Zxid::ZERO, options, clock.clone(), Box::new(|_| ()));
    let (care, _cared_for) = mpsc::channel();
    let queue = SharedSyncQueue::new(queue, Arc::new(Metrics::new(1)), care);
    let driver = Leads {
        disk: Arc::default(),
        reports: Arc::new(Inbox::in_rounds(clock.clone())),
        clock: clock.clone(),
        last: Mutex::new(0),
        written: Mutex::default(),
        answers: Default::default(),
        together: AtomicU64::new(0),
    };
    let have_met = || driver.together.load(Ordering::Relaxed) >= ENOUGH;
    let late = clock.now().mono_ms + PATIENCE_MS;
    let mut all_answered = true;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut inputs = Vec::new();
            while driver.reports.wait(None, &*clock) {
                let mut last = driver.last.lock();
                driver.reports.take(&mut inputs, 10);
                driver.turn(&mut last, &mut inputs);
            }
        });
        scope.spawn(|| run(&queue, &driver.disk, &driver.reports, &driver));
        let one = scope.spawn(|| {
            while !have_met() && clock.now().mono_ms < late {
                if !driver.is_answered(1) {
                    return false;
                }
            }
            true
        });
        while all_answered && !one.is_finished() {
            all_answered = driver.is_answered(0);
        }
        all_answered =
            one.join().unwrap() && (0..20).all(|_| driver.is_answered(0)) && all_answered;
        driver.disk.stop();
        driver.reports.stop();
    });
    assert!(all_answered, "something that was asked was left lying");
    assert!(have_met(), "they have never met");
}
