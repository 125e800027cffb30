//! The driver's inbox: two lanes that never block whoever fills them.
//!
//! Reports of the disk come first, then what clients ask for, in the order it came. The bound
//! stands at admission: a connection looks whether the inbox is full before it reads on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::net::Submit;
use crate::processor::request::Submission;
use crate::quorum::effect::Input;

/// Bytes of submissions above which the inbox calls itself full.
const FULL_BYTES: usize = 16 << 20;

/// Submissions of one turn, at most, in bytes; the last message may pass it.
const MOST_BYTES: usize = 256 << 10;

/// The queue in front of the driver.
#[derive(Debug, Default)]
pub struct Inbox {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lanes {
    first: VecDeque<Input>,
    then: VecDeque<(Input, usize)>,
    waiting: bool,
    stopped: bool,
}

impl Inbox {
    /// Adds an operator's question behind what clients have asked so far.
    pub fn ask(&self, question: Input) {
        let mut lanes = self.lanes.lock();
        lanes.then.push_back((question, 0));
        self.wake(lanes.waiting);
    }

    /// Adds a report of the disk.
    pub fn push_first(&self, input: Input) {
        let mut lanes = self.lanes.lock();
        lanes.first.push_back(input);
        self.wake(lanes.waiting);
    }

    /// Wakes the driver for good: it takes what is left and ends.
    pub fn stop(&self) {
        let mut lanes = self.lanes.lock();
        lanes.stopped = true;
        self.wake(lanes.waiting);
    }

    /// Moves at most `most` inputs to `inputs`, waiting up to `patience` for the first; `None`
    /// waits for ever. Returns false once the inbox is stopped and empty.
    pub fn take(&self, inputs: &mut Vec<Input>, most: usize, patience: Option<Duration>) -> bool {
        let mut lanes = self.lanes.lock();
        while lanes.first.is_empty() && lanes.then.is_empty() {
            if lanes.stopped {
                return false;
            }
            lanes.waiting = true;
            let timed_out = match patience {
                Some(patience) => self.filled.wait_for(&mut lanes, patience).timed_out(),
                None => {
                    self.filled.wait(&mut lanes);
                    false
                }
            };
            lanes.waiting = false;
            if timed_out {
                return true;
            }
        }
        while inputs.len() < most
            && let Some(input) = lanes.first.pop_front()
        {
            inputs.push(input);
        }
        let mut taken = 0;
        while inputs.len() < most
            && taken < MOST_BYTES
            && let Some((input, weight)) = lanes.then.pop_front()
        {
            inputs.push(input);
            taken += weight;
        }
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        true
    }

    /// Bytes that were taken and wait elsewhere still count as here, or count no longer.
    pub fn hold(&self, before: usize, after: usize) {
        // In this order, so that the sum never falls below zero.
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Whether reports of the disk wait.
    pub fn has_reports(&self) -> bool {
        !self.lanes.lock().first.is_empty()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let lanes = self.lanes.lock();
        lanes.first.is_empty() && lanes.then.is_empty()
    }

    fn wake(&self, waiting: bool) {
        if waiting {
            self.filled.notify_one();
        }
    }
}

impl Submit for Inbox {
    fn submit(&self, submissions: Vec<Submission>) {
        let weight = submissions.iter().map(Submission::weight).sum();
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let mut lanes = self.lanes.lock();
        lanes.then.push_back((Input::Submitted(submissions), weight));
        self.wake(lanes.waiting);
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > FULL_BYTES
    }
}
