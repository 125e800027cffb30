//! The driver's inbox: two lanes that never block whoever fills them.
//!
//! ```text
//! first   what the disk and slow jobs report; votes; ACK, PING and the handshake of learners,
//!         and whether sessions are alive; on a learner everything that its leader says
//! then    what clients ask for, here or through a learner; that a learner's link is gone
//! ```
//!
//! Each lane keeps the order in which things came. So of one learner's link its REQUESTs keep their
//! order, and are taken before the link's end; what it acknowledges may overtake them. And of a
//! leader's link everything keeps its order. However much comes first, clients get a share of each
//! turn.
//!
//! The bound stands at admission: a connection looks whether the inbox is full before it reads on;
//! a learner's link is always read, and ends when too many of its REQUESTs wait.
//!
//! The driver's thread waits here; but whoever submits while it waits, and nothing else does, is
//! told so, and may turn the driver in its place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::processor::request::Submission;
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{LinkId, QuorumPacket};
use crate::quorum::effect::Input;
use crate::time::Clock;

/// Bytes of submissions above which the inbox calls itself full.
const FULL_BYTES: usize = 16 << 20;

/// Submissions of one turn, at most, in bytes; the last message may pass it.
const MOST_BYTES: usize = 256 << 10;

/// A learner's REQUESTs may wait up to so many bytes.
const MOST_BYTES_OF_A_LINK: usize = 64 << 20;

/// More REQUESTs of a learner wait than may: this one is not taken, and its link must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST_BYTES_OF_A_LINK} bytes of its requests wait")]
pub struct TooManyRequests;

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
    /// With their weights.
    then: VecDeque<(Input, usize)>,
    /// The weight of the REQUESTs that wait, by learner's link.
    requests: BTreeMap<LinkId, usize>,
    /// The driver's thread waits, until that many milliseconds on the monotonic clock.
    waiting: Option<u64>,
    /// It is to look again, though nothing may be here for it.
    woken: bool,
    stopped: bool,
}

impl Lanes {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.then.is_empty()
    }

    /// One of the link's REQUESTs no longer waits.
    #[cold]
    fn forget_request(&mut self, link: LinkId, weight: usize) {
        let waiting = self.requests.get_mut(&link).expect("what waits was counted");
        *waiting -= weight;
        if *waiting == 0 {
            self.requests.remove(&link);
        }
    }
}

/// Where an input waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    First,
    Then,
    /// A REQUEST of that link, of that weight: behind what others have asked for.
    Request(LinkId, usize),
}

impl Lane {
    fn of(input: &Input) -> Self {
        match input {
            Input::Persisted(_)
            | Input::Applied(_)
            | Input::Tick
            | Input::Notified { .. }
            | Input::Mesh { .. }
            | Input::LinkOpened(_)
            | Input::SnapshotArrived(_)
            | Input::BytesMoved(_)
            | Input::LogSurveyed { .. }
            | Input::Reloaded(_)
            | Input::Stop => Lane::First,
            Input::Submitted(_) | Input::ListSessions { .. } => Lane::Then,
            Input::Packet { link, packet: QuorumPacket::Request(request) }
                if link.is_accepted() =>
            {
                Lane::Request(*link, weight(request))
            }
            Input::Packet { .. } => Lane::First,
            Input::LinkClosed { link, .. } if link.is_accepted() => Lane::Then,
            Input::LinkClosed { .. } => Lane::First,
        }
    }
}

/// Bytes that a REQUEST keeps alive.
fn weight(request: &ForwardedRequest) -> usize {
    const FIXED: usize = 128;
    FIXED + request.body.len() + request.auth.wire().len()
}

impl Inbox {
    /// Adds what another server says, or what was found out about it, in its lane.
    ///
    /// # Errors
    /// A REQUEST that is too much. Nothing may be pushed behind it but the link's end.
    pub fn push(&self, input: Input) -> Result<(), TooManyRequests> {
        let lane = Lane::of(&input);
        let mut lanes = self.lanes.lock();
        match lane {
            Lane::First => lanes.first.push_back(input),
            Lane::Then => lanes.then.push_back((input, 0)),
            Lane::Request(link, weight) => {
                let waiting = lanes.requests.entry(link).or_default();
                if *waiting + weight > MOST_BYTES_OF_A_LINK {
                    return Err(TooManyRequests);
                }
                *waiting += weight;
                lanes.then.push_back((input, weight));
            }
        }
        self.wake_if(lanes.waiting.is_some());
        Ok(())
    }

    /// Adds an operator's question behind what clients have asked so far.
    pub fn ask(&self, question: Input) {
        let mut lanes = self.lanes.lock();
        lanes.then.push_back((question, 0));
        self.wake_if(lanes.waiting.is_some());
    }

    /// Adds a report of the disk.
    pub fn push_first(&self, input: Input) {
        let mut lanes = self.lanes.lock();
        lanes.first.push_back(input);
        self.wake_if(lanes.waiting.is_some());
    }

    /// Adds what a client asks for. True if the thread waits and nothing else is here: then it
    /// is not woken, and somebody else must turn the driver or have turned it since, and look
    /// whether to [wake](Self::wake_before) the thread.
    pub fn submit(&self, submissions: Vec<Submission>) -> bool {
        let weight = submissions.iter().map(Submission::weight).sum();
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let mut lanes = self.lanes.lock();
        let only = lanes.is_empty() && lanes.waiting.is_some() && !lanes.woken;
        lanes.then.push_back((Input::Submitted(submissions), weight));
        if !only {
            self.wake_if(lanes.waiting.is_some());
        }
        only
    }

    /// Whether so much waits that only connections with nothing unfinished may submit.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > FULL_BYTES
    }

    /// Has the thread look at the inbox if there is something for it, or if it would wait for
    /// longer than until `deadline`. Where it does not wait, it may have asked already when it is
    /// due, before that was changed: it asks again.
    pub fn wake_before(&self, deadline: Option<u64>) {
        let mut lanes = self.lanes.lock();
        let until = lanes.waiting.unwrap_or(u64::MAX);
        let sleeps_on = deadline.is_some_and(|at| at < until);
        if sleeps_on || !lanes.is_empty() {
            lanes.woken = true;
            self.wake_if(lanes.waiting.is_some());
        }
    }

    /// Wakes the driver for good: it takes what is left and ends.
    pub fn stop(&self) {
        let mut lanes = self.lanes.lock();
        lanes.stopped = true;
        self.wake_if(lanes.waiting.is_some());
    }

    /// Waits until something is here, or has been said to be due by then, `deadline` in
    /// milliseconds on the monotonic clock; `None` waits for ever. Returns false once the inbox
    /// is stopped and empty.
    pub fn wait(&self, deadline: Option<u64>, clock: &dyn Clock) -> bool {
        let mut lanes = self.lanes.lock();
        while lanes.is_empty() && !lanes.woken {
            if lanes.stopped {
                return false;
            }
            lanes.waiting = Some(deadline.unwrap_or(u64::MAX));
            let timed_out = match deadline {
                Some(deadline) => {
                    let patience = deadline.saturating_sub(clock.now().mono_ms);
                    self.filled.wait_for(&mut lanes, Duration::from_millis(patience)).timed_out()
                }
                None => {
                    self.filled.wait(&mut lanes);
                    false
                }
            };
            lanes.waiting = None;
            if timed_out {
                break;
            }
        }
        lanes.woken = false;
        true
    }

    /// Moves at most `most` inputs to `inputs` and returns whether more wait.
    pub fn take(&self, inputs: &mut Vec<Input>, most: usize) -> bool {
        let mut lanes = self.lanes.lock();
        let share = lanes.then.len().min(most / 4);
        while inputs.len() < most - share
            && let Some(input) = lanes.first.pop_front()
        {
            inputs.push(input);
        }
        let (mut taken, mut of_links) = (0, 0);
        while inputs.len() < most
            && taken < MOST_BYTES
            && let Some((input, weight)) = lanes.then.pop_front()
        {
            if let Input::Packet { link, .. } = &input {
                lanes.forget_request(*link, weight);
                of_links += weight;
            }
            inputs.push(input);
            taken += weight;
        }
        self.bytes.fetch_sub(taken - of_links, Ordering::Relaxed);
        !lanes.is_empty()
    }

    /// Bytes that were taken and wait elsewhere still count as here, or count no longer.
    pub fn hold(&self, before: usize, after: usize) {
        // In this order, so that the sum never falls below zero.
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.lock().is_empty()
    }

    /// Whether reports of the disk wait.
    pub fn has_reports(&self) -> bool {
        !self.lanes.lock().first.is_empty()
    }

    fn wake_if(&self, waiting: bool) {
        if waiting {
            self.filled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
