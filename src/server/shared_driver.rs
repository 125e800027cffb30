//! The driver behind its lock, with its inbox: whoever has the lock turns it.
//!
//! Under load that is its own thread, [`SharedDriver::run`]. When nothing is going on, it is whoever
//! brings the only input: the task of the connection with a request, that of the link over which
//! something came, the disk's thread with its report. What follows is done before any other thread
//! has woken.

use std::sync::Arc;

use parking_lot::Mutex;

use super::doors::{DiskDoor, JobsDoor, LinkDoor};
use super::driver::Driver;
use super::inbox::Inbox;
use super::throttle::Throttle;
use crate::net::Submit;
use crate::processor::connections::Connection;
use crate::processor::request::Submission;
use crate::quorum::effect::Input;
use crate::time::Clock;

/// Inputs of one turn, at most.
const MOST_INPUTS: usize = 256;
/// Who turns in the thread's place takes on what came meanwhile only for so long: it has others to
/// serve, and the disk may be slow.
const MOST_NANOS_IN_PLACE: u64 = 300_000;

/// The driver with its inbox: one thread at a time takes from the one and turns the other.
///
/// Inputs are taken only under the driver's lock, so their order stays whoever turns. Clients'
/// requests go through the throttle, if there is one; then only the thread turns.
pub struct SharedDriver<D, L, J, C> {
    state: Mutex<State<D, L, J, C>>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    throttled: bool,
}

struct State<D, L, J, C> {
    driver: Driver<D, L, J, C>,
    throttle: Option<Throttle>,
}

impl<D: DiskDoor, L: LinkDoor, J: JobsDoor, C: Connection> State<D, L, J, C> {
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

impl<D: DiskDoor, L: LinkDoor, J: JobsDoor, C: Connection> SharedDriver<D, L, J, C> {
    /// Puts the driver where its thread and the connections find it.
    pub fn new(
        driver: Driver<D, L, J, C>,
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

/// Turns the driver in its thread's place.
pub trait TurnInPlace: Send + Sync {
    /// To be called by whoever was told by the inbox that it has brought the only input, and by
    /// nobody who holds a lock. Takes on what comes meanwhile, for a moment; the thread does the
    /// rest.
    fn turn_in_place(&self);
}

impl<D, L, J, C> TurnInPlace for SharedDriver<D, L, J, C>
where
    D: DiskDoor + Send,
    L: LinkDoor + Send,
    J: JobsDoor + Send,
    C: Connection + Send + Sync,
{
    fn turn_in_place(&self) {
        if self.throttled {
            self.inbox.wake_before(None);
            return;
        }
        // If somebody has the lock it is the thread, which has begun to turn at its deadline.
        let Some(mut state) = self.state.try_lock() else { return self.inbox.wake_before(None) };
        let mut inputs = Vec::with_capacity(4);
        let begin = self.clock.nanos();
        loop {
            state.turn(&self.inbox, &*self.clock, &mut inputs);
            let is_done = self.inbox.has_nothing_to_take() && !state.driver.has_effects();
            if is_done || self.clock.nanos() - begin > MOST_NANOS_IN_PLACE {
                break;
            }
        }
        // That something was applied can wait for the next turn; what is to be done cannot.
        let deadline = match state.driver.has_effects() {
            true => Some(0),
            false => state.driver.peer().next_deadline(),
        };
        drop(state);
        self.inbox.wake_before(deadline);
    }
}

impl<D, L, J, C> Submit for SharedDriver<D, L, J, C>
where
    D: DiskDoor + Send,
    L: LinkDoor + Send,
    J: JobsDoor + Send,
    C: Connection + Send + Sync,
{
    fn submit(&self, submissions: Vec<Submission>) {
        if self.inbox.submit(submissions) {
            self.turn_in_place();
        }
    }

    fn is_full(&self) -> bool {
        self.inbox.is_full()
    }
}

#[cfg(test)]
mod tests;
