//! What is counted of a turn: what comes in, and what is done while the database is held, for the
//! metrics to take together.

use crate::metrics::{Metrics, Namespaces, Run, Sizes};
use crate::processor::read::measure;
use crate::processor::request::{Origin, Submission};
use crate::proto::txns::{Txn, TxnHeader};
use crate::proto::{EventType, OpCode, QuorumPacket, SessionId, path};
use crate::quorum::effect::Input;
use crate::time::Instant;

/// The counts of one hold.
pub struct Counts<'a> {
    metrics: &'a Metrics,
    now: Instant,
    /// Submissions that are not finished, those of this hold among them.
    unfinished: &'a mut i64,
    finished: i64,
    committed: u64,
    sent: u64,
    watch_bytes: u64,
    sizes: Sizes,
    written: Namespaces,
    read: Namespaces,
    update_latency: Run<'a>,
    propagation_latency: Run<'a>,
}

/// The length in front of a frame is no part of its size.
const LENGTH_BYTES: usize = 4;

impl<'a> Counts<'a> {
    /// Nothing yet, in a hold at `now`.
    /// `unfinished` are the submissions that are not finished before it.
    pub fn new(metrics: &'a Metrics, now: Instant, unfinished: &'a mut i64) -> Self {
        Counts {
            metrics,
            now,
            unfinished,
            finished: 0,
            committed: 0,
            sent: 0,
            watch_bytes: 0,
            sizes: Sizes::default(),
            written: Namespaces::default(),
            read: Namespaces::default(),
            update_latency: Run::new(&metrics.updatelatency),
            propagation_latency: Run::new(&metrics.propagation_latency),
        }
    }

    /// A submission is answered, or never will be.
    pub fn finished(&mut self) {
        self.finished += 1;
    }

    /// No submission that was taken so far will be answered any more.
    pub fn abandoned(&mut self) {
        self.finished = *self.unfinished;
    }

    /// A transaction is applied.
    pub fn committed(&mut self, header: &TxnHeader, txn: &Txn<'_>) {
        self.committed += 1;
        let since_made = self.now.wall_ms.saturating_sub(header.time);
        // Clocks are set back; then it cannot be told.
        if let Ok(latency_ms) = u64::try_from(since_made) {
            self.propagation_latency.record(latency_ms);
        }
        self.written(txn);
    }

    /// What a transaction writes, by namespace: of each node its path, and its data.
    fn written(&mut self, txn: &Txn<'_>) {
        let mut count = |path: &[u8], data: Option<&[u8]>| {
            let bytes = path.len() + data.map_or(0, <[u8]>::len);
            self.written.record(path::top_namespace(path), bytes as u64);
        };
        match txn {
            Txn::Create(create) => count(create.path, create.data),
            Txn::SetData { path, data, .. } => count(path, *data),
            Txn::Delete { path } => count(path, None),
            Txn::CloseSession { paths: Some(paths) } => {
                paths.iter().for_each(|path| count(path, None));
            }
            Txn::Multi(multi) if !multi.failed() => {
                multi.parts().for_each(|(_, part)| self.written(&part));
            }
            Txn::Multi(_)
            | Txn::CloseSession { paths: None }
            | Txn::CreateSession { .. }
            | Txn::SetAcl { .. }
            | Txn::Check { .. }
            | Txn::Error { .. } => {}
        }
    }

    /// How long a request that made a transaction has taken, in milliseconds.
    pub fn update_latency_ms(&mut self, origin: &Origin) -> u64 {
        let latency_ms = self.now.mono_ms.saturating_sub(origin.received_ms);
        self.update_latency.record(latency_ms);
        latency_ms
    }

    /// How long a request that changed nothing has taken, in milliseconds.
    pub fn read_latency_ms(&mut self, received_ms: u64) -> u64 {
        let latency_ms = self.now.mono_ms.saturating_sub(received_ms);
        self.metrics.readlatency.record_many(latency_ms, 1);
        latency_ms
    }

    /// A connect response was sent.
    pub fn granted(&mut self) {
        self.sent += 1;
    }

    /// A reply in a frame of so many bytes was sent; 0 if there was nobody to send it to.
    pub fn replied(&mut self, frame_bytes: usize) {
        if frame_bytes > LENGTH_BYTES {
            self.sent += 1;
            self.sizes.record(frame_bytes - LENGTH_BYTES);
        }
    }

    /// A read was answered with that frame.
    pub fn read(&mut self, op: OpCode, body: &[u8], frame: &[u8]) {
        if let Some((path, bytes)) = measure(op, body, frame) {
            self.read.record(path::top_namespace(path), bytes);
        }
    }

    /// An event in a frame of so many bytes was sent.
    pub fn notified(&mut self, frame_bytes: usize) {
        self.sent += 1;
        self.watch_bytes += frame_bytes.saturating_sub(LENGTH_BYTES) as u64;
    }

    /// A session was ended by its timeout.
    pub fn expired(&mut self) {
        self.metrics.stale_sessions_expired.add(1);
    }

    /// A hard quota has refused a write below that first-level node.
    pub fn quota_exceeded(&mut self, namespace: &[u8]) {
        self.metrics.quota_exceeded_error_per_namespace.add(namespace, 1);
    }

    /// A change was told to so many clients.
    pub fn triggered(&mut self, event: EventType, clients: usize) {
        let summary = match event {
            _ if clients == 0 => return,
            EventType::NodeCreated => &self.metrics.node_created_watch_count,
            EventType::NodeDeleted => &self.metrics.node_deleted_watch_count,
            EventType::NodeDataChanged => &self.metrics.node_changed_watch_count,
            EventType::NodeChildrenChanged => &self.metrics.node_children_watch_count,
        };
        summary.record(clients as u64);
    }
}

impl Drop for Counts<'_> {
    /// Before any reply is sent, so that a client that asks afterwards finds itself counted.
    fn drop(&mut self) {
        let metrics = self.metrics;
        // What was abandoned does not count again when the role is done with it.
        let finished = self.finished.min(*self.unfinished);
        *self.unfinished -= finished;
        metrics.outstanding_requests.add(-finished);
        metrics.request_commit_queued.add(self.committed);
        metrics.packets_sent.add(self.sent);
        metrics.watch_bytes.add(self.watch_bytes);
        metrics.response_bytes.take(self.sizes, self.now.mono_ms * 1_000_000);
        metrics.write_per_namespace.take(&mut self.written);
        metrics.read_per_namespace.take(&mut self.read);
    }
}

/// What came in for prep.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Submissions of clients.
    pub requests: u64,
    /// Requests that learners have forwarded.
    pub forwarded: u64,
    /// Whether a session's end is among them.
    pub close_session: bool,
}

impl Arrivals {
    /// How many requests prep takes.
    pub fn for_prep(&self) -> u64 {
        self.requests + self.forwarded
    }

    /// Looks at what a turn at `now` begins with. Where it `prepares` requests, and does not forward
    /// them, it counts how long they waited.
    pub fn of(inputs: &[Input], now: Instant, metrics: &Metrics, prepares: bool) -> Self {
        let mut arrivals = Arrivals::default();
        let mut waited = Run::new(&metrics.prep_processor_queue_time_ms);
        for input in inputs {
            let submissions = match input {
                Input::Submitted(submissions) => submissions,
                Input::Packet { packet: QuorumPacket::Request(_), .. } => {
                    arrivals.forwarded += 1;
                    continue;
                }
                _ => continue,
            };
            arrivals.requests += submissions.len() as u64;
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
                        arrivals.close_session |= request.op == OpCode::CloseSession;
                        request.origin.map_or(now.mono_ms, |origin| origin.received_ms)
                    }
                };
                if prepares {
                    waited.record(now.mono_ms.saturating_sub(received_ms));
                }
            }
        }
        arrivals
    }
}
