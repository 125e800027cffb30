//! The driver: turn after turn, inputs into the core and effects out of it.
//!
//! A [`Driver`] is a synchronous value; a simulation would call [`Driver::turn`] itself. In
//! production it is a [`SharedDriver`]: whoever has the lock turns it. Under load that is its own
//! thread, [`SharedDriver::run`]. When nothing is going on, it is the task of the connection that
//! brings the only request: what it wrote is answered before any other thread has woken.

use std::sync::Arc;

use parking_lot::Mutex;

use super::carry_out::CarryOut;
use super::inbox::Inbox;
use super::throttle::Throttle;
use crate::metrics::{Metrics, Run};
use crate::net::Submit;
use crate::processor::request::Submission;
use crate::proto::{OpCode, SessionId, Ticket, Zxid};
use crate::quorum::effect::{DiskEffect, Effects, Input};
use crate::quorum::peer::QuorumPeer;
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;

/// Where the disk lane goes.
pub trait DiskDoor {
    /// Takes effects in order, and does not block. Unless the driver is `alone`, with nothing
    /// behind what it does: then the door may carry them out at once, and returns the ticket up
    /// to which everything is durable.
    fn carry_out(
        &mut self,
        now: Instant,
        effects: &mut Vec<DiskEffect>,
        alone: bool,
    ) -> Option<Ticket>;
}

/// The peer core with its doors.
pub struct Driver<D> {
    peer: QuorumPeer,
    database: Arc<SharedDatabase>,
    disk: D,
    clients: CarryOut,
    effects: Effects,
    applied: Option<Zxid>,
    metrics: Arc<Metrics>,
    /// Only for measuring: what is decided is decided by the turn's moment.
    clock: Arc<dyn Clock>,
    /// What was counted of the change records so far: made, and retired.
    change_records: (u64, u64),
}

/// Inputs of one turn, at most.
const MOST_INPUTS: usize = 256;
/// A connection's task takes on what came meanwhile only for so long: its own client may have asked
/// for something else, and the disk may be slow.
const MOST_NANOS_OF_A_TASK: u64 = 300_000;

impl<D: DiskDoor> Driver<D> {
    /// A driver of `peer`.
    pub fn new(
        peer: QuorumPeer,
        database: Arc<SharedDatabase>,
        disk: D,
        clients: CarryOut,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Driver {
            peer,
            database,
            disk,
            clients,
            effects: Effects::default(),
            applied: None,
            metrics,
            clock,
            change_records: (0, 0),
        }
    }

    /// Steps the core once for each input, then carries the effects out: first the disk's, which
    /// may run ahead, then what clients can see, in the order emitted. `more` says that further
    /// inputs wait.
    pub fn turn(&mut self, now: Instant, inputs: &mut Vec<Input>, more: bool) {
        let alone = !more;
        let mut now = now;
        let mut arrivals = Arrivals::default();
        arrivals.look_at(inputs, now, &self.metrics);
        {
            // The driver is the only writer, so readers may come along.
            let db = self.database.read();
            if let Some(zxid) = self.applied.take() {
                self.peer.step(now, Input::Applied(zxid), &db, &mut self.effects);
            }
            for input in inputs.drain(..) {
                self.peer.step(now, input, &db, &mut self.effects);
            }
            if self.peer.next_deadline().is_some_and(|deadline| deadline <= now.mono_ms) {
                self.peer.step(now, Input::Tick, &db, &mut self.effects);
            }
        }
        self.count_preparation(now, &arrivals);
        if !self.effects.disk.is_empty()
            && let Some(ticket) = self.disk.carry_out(now, &mut self.effects.disk, alone)
        {
            // What the clients see next waited for the disk.
            now = self.clock.now();
            let db = self.database.read();
            self.peer.step(now, Input::Persisted(ticket), &db, &mut self.effects);
        }
        if !self.effects.client.is_empty() {
            self.applied = self.clients.carry_out(&mut self.effects.client, now);
        }
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        self.peer.in_process()
    }

    fn count_preparation(&mut self, now: Instant, arrivals: &Arrivals) {
        let metrics = &self.metrics;
        let (made, retired) = self.peer.change_records();
        metrics.outstanding_changes_queued.add(made - self.change_records.0);
        metrics.outstanding_changes_removed.add(retired - self.change_records.1);
        self.change_records = (made, retired);
        if arrivals.requests == 0 {
            return;
        }
        metrics.prep_processor_request_queued.add(arrivals.requests);
        metrics.prep_processor_queue_size.record(arrivals.requests);
        // Both moments are cut to whole milliseconds: too short as often as too long.
        let took_ms = (self.clock.nanos() / 1_000_000).saturating_sub(now.mono_ms);
        metrics.prep_process_time.record(took_ms);
        if arrivals.close_session {
            metrics.close_session_prep_time.record(took_ms);
        }
    }

    /// When the next turn is due without any input, milliseconds on the monotonic clock.
    fn next_deadline(&self) -> Option<u64> {
        if self.applied.is_some() { Some(0) } else { self.peer.next_deadline() }
    }
}

/// What came in for prep.
#[derive(Debug, Default)]
struct Arrivals {
    requests: u64,
    close_session: bool,
}

impl Arrivals {
    fn look_at(&mut self, inputs: &[Input], now: Instant, metrics: &Metrics) {
        let mut waited = Run::new(&metrics.prep_processor_queue_time_ms);
        for input in inputs {
            let Input::Submitted(submissions) = input else { continue };
            self.requests += submissions.len() as u64;
            for submission in submissions {
                let received_ms = match submission {
                    Submission::Connect(attempt) => {
                        if attempt.session != SessionId::NONE {
                            metrics.connection_revalidate_count.add(1);
                        }
                        attempt.received_ms
                    }
                    Submission::Dropped(_) => continue,
                    Submission::Request(request) => {
                        self.close_session |= request.op == OpCode::CloseSession;
                        request.origin.map_or(now.mono_ms, |origin| origin.received_ms)
                    }
                };
                waited.record(now.mono_ms.saturating_sub(received_ms));
            }
        }
    }
}

/// The driver with its inbox: one thread at a time takes from the one and turns the other.
///
/// Inputs are taken only under the driver's lock, so their order stays whoever turns. Clients'
/// requests go through the throttle, if there is one; then only the thread turns.
pub struct SharedDriver<D> {
    state: Mutex<State<D>>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    throttled: bool,
}

struct State<D> {
    driver: Driver<D>,
    throttle: Option<Throttle>,
}

impl<D: DiskDoor> State<D> {
    fn turn(&mut self, inbox: &Inbox, clock: &dyn Clock, inputs: &mut Vec<Input>) {
        let more = inbox.take(inputs, MOST_INPUTS);
        let now = clock.now();
        if let Some(throttle) = &mut self.throttle {
            throttle.pass(inputs, self.driver.in_process(), now);
        }
        self.driver.turn(now, inputs, more);
    }

    fn next_deadline(&self, clock: &dyn Clock) -> Option<u64> {
        let deadline = self.driver.next_deadline();
        match &self.throttle {
            None => deadline,
            Some(throttle) => {
                throttle.next_deadline(deadline, self.driver.in_process(), clock.now())
            }
        }
    }
}

impl<D: DiskDoor + Send> SharedDriver<D> {
    /// Puts the driver where its thread and the connections find it.
    pub fn new(
        driver: Driver<D>,
        throttle: Option<Throttle>,
        inbox: Arc<Inbox>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let throttled = throttle.is_some();
        SharedDriver { state: Mutex::new(State { driver, throttle }), inbox, clock, throttled }
    }

    /// The thread: turns whenever something waits or is due, until the inbox is stopped.
    pub fn run(&self) {
        let mut inputs = Vec::with_capacity(MOST_INPUTS);
        loop {
            let deadline = self.state.lock().next_deadline(&*self.clock);
            if !self.inbox.wait(deadline, &*self.clock) {
                return;
            }
            self.state.lock().turn(&self.inbox, &*self.clock, &mut inputs);
        }
    }
}

impl<D: DiskDoor + Send> Submit for SharedDriver<D> {
    fn submit(&self, submissions: Vec<Submission>) {
        if !self.inbox.submit(submissions) {
            return;
        }
        if self.throttled {
            self.inbox.wake_before(None);
            return;
        }
        // Whoever has the lock came by the same way, or is the thread after all: both look at the
        // inbox again when they have let go.
        let Some(mut state) = self.state.try_lock() else { return };
        let mut inputs = Vec::with_capacity(1);
        let begin = self.clock.nanos();
        loop {
            state.turn(&self.inbox, &*self.clock, &mut inputs);
            if self.inbox.is_empty() || self.clock.nanos() - begin > MOST_NANOS_OF_A_TASK {
                break;
            }
        }
        // That something was applied can wait for the next turn.
        let deadline = state.driver.peer.next_deadline();
        drop(state);
        self.inbox.wake_before(deadline);
    }

    fn is_full(&self) -> bool {
        self.inbox.is_full()
    }
}
