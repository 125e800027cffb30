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
use crate::net::Submit;
use crate::processor::request::Submission;
use crate::proto::{Ticket, Zxid};
use crate::quorum::effect::{DiskEffect, Effects, Input};
use crate::quorum::peer::QuorumPeer;
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;

/// Where the disk lane goes.
pub trait DiskDoor {
    /// Takes effects in order, and does not block. Unless the driver is `alone`, with nothing
    /// else to do: then the door may carry them out at once, and returns the ticket up to which
    /// everything is durable.
    fn carry_out(&mut self, effects: &mut Vec<DiskEffect>, alone: bool) -> Option<Ticket>;
}

/// The peer core with its doors.
pub struct Driver<D> {
    peer: QuorumPeer,
    database: Arc<SharedDatabase>,
    disk: D,
    clients: CarryOut,
    effects: Effects,
    applied: Option<Zxid>,
}

/// Inputs of one turn, at most.
const MOST_INPUTS: usize = 256;

impl<D: DiskDoor> Driver<D> {
    /// A driver of `peer`.
    pub fn new(
        peer: QuorumPeer,
        database: Arc<SharedDatabase>,
        disk: D,
        clients: CarryOut,
    ) -> Self {
        Driver { peer, database, disk, clients, effects: Effects::default(), applied: None }
    }

    /// Steps the core once for each input, then carries the effects out: first the disk's, which
    /// may run ahead, then what clients can see, in the order emitted. `more` says that further
    /// inputs wait.
    pub fn turn(&mut self, now: Instant, inputs: &mut Vec<Input>, more: bool) {
        let alone = !more && inputs.len() <= 1;
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
        if !self.effects.disk.is_empty()
            && let Some(ticket) = self.disk.carry_out(&mut self.effects.disk, alone)
        {
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

    /// When the next turn is due without any input, milliseconds on the monotonic clock.
    fn next_deadline(&self) -> Option<u64> {
        if self.applied.is_some() { Some(0) } else { self.peer.next_deadline() }
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
    fn submit(&self, submissions: Vec<Submission>) -> bool {
        if !self.inbox.submit(submissions) {
            return false;
        }
        if self.throttled {
            self.inbox.wake_before(None);
            return false;
        }
        // Whoever has the lock came by the same way, or is the thread after all: both look at the
        // inbox again when they have let go.
        let Some(mut state) = self.state.try_lock() else { return false };
        state.turn(&self.inbox, &*self.clock, &mut Vec::with_capacity(1));
        // That something was applied can wait for the next turn.
        let deadline = state.driver.peer.next_deadline();
        drop(state);
        self.inbox.wake_before(deadline);
        true
    }

    fn is_full(&self) -> bool {
        self.inbox.is_full()
    }
}
