//! `RequestThrottler`: lets requests into the chain in their order, a limited number at a time.
//!
//! It stands between the inbox and prep, and only where the configuration asks for it. What always
//! holds:
//! - What is let in keeps the order in which it came.
//! - Once a request of a connection was dropped, all its later ones are: never is one skipped and
//!   the next executed. The server closes such a connection.
//! - A request that waited too long is let in with a mark: it takes its place in the order, is not
//!   executed, and is told so (THROTTLEDOP). Beginning and end of a session are never marked.
//! - The end of a session is never stale.
//!
//! Reads are answered by their connections and never come here.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::request::Submission;
use crate::config::RequestThrottle;
use crate::proto::{ConnectionId, OpCode, SessionId};

/// What the throttler asks about the clients.
pub trait Clients {
    /// Whether the connection is still there.
    fn is_open(&self, connection: ConnectionId) -> bool;
    /// Whether the connection is gone and no request of it can still come.
    fn has_said_its_last(&self, connection: ConnectionId) -> bool;
    /// The session's timeout in milliseconds; `None` if it is not known.
    fn session_timeout_ms(&self, session: SessionId) -> Option<i32>;
}

/// What was counted in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// `throttled_ops`: requests that got the mark.
    pub throttled: u64,
    /// `stale_requests`: requests let in although stale.
    pub stale: u64,
    /// `stale_requests_dropped`.
    pub dropped: u64,
    /// `request_throttle_wait_count`: whether something has to wait.
    pub waits: u64,
}

/// The requests that wait.
#[derive(Debug)]
pub struct RequestThrottler {
    options: RequestThrottle,
    waiting: VecDeque<Submission>,
    waiting_bytes: usize,
    /// Connections of which a request was dropped, as long as more of them may come.
    invalid: HashSet<ConnectionId, FixedState>,
}

impl RequestThrottler {
    /// A throttler, or `None` if nothing is asked of it.
    pub fn new(options: RequestThrottle, hash_seed: u64) -> Option<Self> {
        if options.max_requests == 0 && options.throttled_op_wait_ms == 0 {
            return None;
        }
        Some(RequestThrottler {
            options,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            invalid: HashSet::with_hasher(FixedState::with_seed(hash_seed)),
        })
    }

    /// Adds requests behind those that wait.
    pub fn push(&mut self, submissions: Vec<Submission>) {
        self.waiting_bytes += submissions.iter().map(Submission::weight).sum::<usize>();
        self.waiting.extend(submissions);
    }

    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// After how long to try again if nothing else happens, in milliseconds.
    pub fn stall_time_ms(&self) -> u64 {
        self.options.stall_time_ms.into()
    }

    /// How many requests may be let in while `in_process` are under way.
    pub fn room(&self, in_process: usize) -> usize {
        match self.options.max_requests {
            0 => usize::MAX,
            most => (most as usize).saturating_sub(in_process),
        }
    }

    /// Moves to `out` what may be let in while `in_process` requests are under way.
    pub fn admit(
        &mut self,
        now_ms: u64,
        in_process: usize,
        clients: &impl Clients,
        out: &mut Vec<Submission>,
    ) -> Counted {
        let mut counted = Counted::default();
        let mut room = self.room(in_process);
        while let Some(submission) = self.waiting.front() {
            let connection = submission.connection();
            let is_invalid = connection.is_some_and(|id| self.invalid.contains(&id));
            let is_stale = !is_invalid && self.is_stale(submission, now_ms, clients);
            let drops = self.options.drop_stale && self.options.max_requests > 0;
            if is_invalid || is_stale && drops {
                if let Some(connection) = connection {
                    self.invalid.insert(connection);
                    out.push(Submission::Dropped(connection));
                }
                counted.dropped += u64::from(is_stale);
                self.pop();
                continue;
            }
            if room == 0 {
                counted.waits = 1;
                break;
            }
            room -= 1;
            counted.stale += u64::from(is_stale);
            let Some(mut submission) = self.pop() else { break };
            if let Submission::Request(request) = &mut submission
                && request.op != OpCode::CloseSession
                && self.options.throttled_op_wait_ms > 0
                && let Some(origin) = request.origin
                && now_ms.saturating_sub(origin.received_ms)
                    > u64::from(self.options.throttled_op_wait_ms)
            {
                request.throttled = true;
                counted.throttled += 1;
            }
            out.push(submission);
        }
        if self.waiting.is_empty() && !self.invalid.is_empty() {
            self.invalid.retain(|connection| !clients.has_said_its_last(*connection));
        }
        counted
    }

    fn pop(&mut self) -> Option<Submission> {
        let submission = self.waiting.pop_front()?;
        self.waiting_bytes -= submission.weight();
        Some(submission)
    }

    fn is_stale(&self, submission: &Submission, now_ms: u64, clients: &impl Clients) -> bool {
        let (connection, received_ms, timeout_ms) = match submission {
            Submission::Request(request) => match request.origin {
                Some(origin) if request.op != OpCode::CloseSession => (
                    origin.connection,
                    origin.received_ms,
                    self.options
                        .stale_latency_check
                        .then(|| clients.session_timeout_ms(request.session))
                        .flatten(),
                ),
                _ => return false,
            },
            Submission::Connect(attempt) => {
                (attempt.connection, attempt.received_ms, Some(attempt.timeout_ms))
            }
            Submission::Dropped(_) => return false,
        };
        if self.options.stale_connection_check && !clients.is_open(connection) {
            return true;
        }
        let age_ms = now_ms.saturating_sub(received_ms);
        self.options.stale_latency_check && timeout_ms.is_some_and(|ms| age_ms > ms.max(0) as u64)
    }
}

#[cfg(test)]
mod tests;
