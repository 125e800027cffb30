//! The request throttler between the inbox and the driver, with what it must know of the clients.

use std::sync::Arc;

use super::inbox::Inbox;
use crate::metrics::Metrics;
use crate::net::client_connection::ClientConnection;
use crate::processor::connections::Connections;
use crate::processor::request_throttler::{Clients, RequestThrottler};
use crate::proto::{ConnectionId, SessionId};
use crate::quorum::effect::Input;
use crate::time::Instant;
use crate::tree::SharedDatabase;

/// A throttler at work. Where the configuration asks for none, there is none of these either.
pub struct Throttle {
    throttler: RequestThrottler,
    known: Known,
    metrics: Arc<Metrics>,
}

struct Known {
    connections: Arc<Connections<ClientConnection>>,
    database: Arc<SharedDatabase>,
    inbox: Arc<Inbox>,
}

impl Clients for Known {
    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.read().contains(connection)
    }

    /// A connection submits its last before it leaves the registry.
    fn has_said_its_last(&self, connection: ConnectionId) -> bool {
        !self.is_open(connection) && self.inbox.is_empty()
    }

    fn session_timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.database.read().session_timeout(session)
    }
}

impl Throttle {
    /// A throttle in front of the driver that `inbox` feeds.
    pub fn new(
        throttler: RequestThrottler,
        connections: Arc<Connections<ClientConnection>>,
        database: Arc<SharedDatabase>,
        inbox: Arc<Inbox>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Throttle { throttler, known: Known { connections, database, inbox }, metrics }
    }

    /// When the driver's next turn is due without any input, if without a throttle it is due at
    /// `deadline`, in milliseconds on the monotonic clock.
    pub fn next_deadline(
        &self,
        deadline: Option<u64>,
        in_process: usize,
        now: Instant,
    ) -> Option<u64> {
        if !self.throttler.is_waiting() {
            return deadline;
        }
        if self.throttler.room(in_process) > 0 {
            return Some(0);
        }
        let stalled = now.mono_ms.saturating_add(self.throttler.stall_time_ms());
        Some(deadline.map_or(stalled, |deadline| deadline.min(stalled)))
    }

    /// Takes the clients' requests out of `inputs` and puts in what may be let in by now.
    pub fn pass(&mut self, inputs: &mut Vec<Input>, in_process: usize, now: Instant) {
        let before = self.throttler.waiting_bytes();
        for input in inputs.iter_mut() {
            if let Input::Submitted(submissions) = input {
                self.throttler.push(std::mem::take(submissions));
            }
        }
        inputs.retain(|input| !matches!(input, Input::Submitted(s) if s.is_empty()));
        let mut admitted = Vec::new();
        let counted = self.throttler.admit(now.mono_ms, in_process, &self.known, &mut admitted);
        if !admitted.is_empty() {
            inputs.push(Input::Submitted(admitted));
        }
        self.known.inbox.hold(before, self.throttler.waiting_bytes());
        self.metrics.throttled_ops.add(counted.throttled);
        self.metrics.stale_requests.add(counted.stale);
        self.metrics.stale_requests_dropped.add(counted.dropped);
        self.metrics.request_throttle_wait_count.add(counted.waits);
    }
}
