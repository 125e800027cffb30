//! Every metric that something counts: its name, its kind and its meaning.
//!
//! A [`Metrics`] is a value owned by a server. Whoever counts has the field, so that nothing is
//! looked up; whoever reads asks for [`Metrics::samples`], where each has its name, kind and
//! meaning, which are those of its field. What is the case now and need not be counted, such as
//! the number of nodes, is no part of it.
//!
//! Counting is done in four ways, by how often it happens:
//!
//! * Seldom, or by one thread only: [`Counter`], [`Basic`], [`Advanced`].
//! * By every client's task with every read from its socket: [`HotCounter`], [`HotAdvanced`],
//!   which have a copy for each thread, so that threads do not wait for each other's cache lines.
//! * For each of the other servers: [`ByServer`].
//! * By every request: collected first, as [`Sizes`], [`Namespaces`] and [`Run`]s, and taken
//!   together.
//!
//! Nothing here reads a clock.

mod by_server;
mod count_set;
mod counter;
mod per_thread;
mod run;
mod sample;
mod sets;
mod sizes;
mod summary;

pub use by_server::ByServer;
pub use count_set::CountSet;
pub use counter::{Counter, HotCounter, Level};
pub use run::Run;
pub use sample::{Digest, Kind, Sample, Value};
pub use sets::{BasicSet, Namespaces};
pub use sizes::{ReplySizes, Sizes};
pub use summary::{Advanced, Basic, HotAdvanced};

use sample::Metric;

/// Makes the struct, and the list of what it holds. `listed` are told by their names; `parts` are
/// what gauges are made of that others tell.
macro_rules! metrics {
    (
        listed { $( $(#[doc = $help:literal])+ $name:ident: $type:ty, )+ }
        parts { $( $(#[doc = $part_help:literal])+ $part:ident: $part_type:ty, )+ }
    ) => {
        /// What a server counts.
        #[derive(Debug)]
        pub struct Metrics {
            $( $(#[doc = $help])+ pub $name: $type, )+
            $( $(#[doc = $part_help])+ pub $part: $part_type, )+
        }

        impl Metrics {
            /// Nothing counted yet. `seed` keeps clients from choosing names that collide.
            pub fn new(seed: u64) -> Self {
                Metrics {
                    $( $name: <$type>::new(seed), )+
                    $( $part: <$part_type>::new(seed), )+
                }
            }

            /// Everything by its name, at this moment.
            pub fn samples(&self) -> Vec<Sample> {
                let mut samples = Vec::new();
                $( self.$name.sample(
                    stringify!($name), concat!($($help),+).trim_ascii(), &mut samples,
                ); )+
                samples
            }

            /// What `srst` does: everything begins anew, as in Apache ZooKeeper, but for what
            /// stands for a present state.
            pub fn reset(&self) {
                $( self.$name.reset(); )+
                $( self.$part.reset(); )+
            }
        }
    };
}

metrics! {
    listed {
        /// Bytes read from clients.
        bytes_received_count: HotCounter,
        /// Bytes of replies to clients' requests, without the four that tell a reply's length.
        response_bytes: ReplySizes,
        /// Bytes of watch events sent to clients, without the four that tell an event's length.
        watch_bytes: Counter,
        /// Connect requests taken.
        connection_request_count: Counter,
        /// Connections closed at accept or at their connect request: too many of one address or in
        /// all, no file descriptor left, or the connection throttle.
        connection_rejected: Counter,
        /// Connections that the client closed, or that broke, without a closeSession.
        connection_drop_count: Counter,
        /// Connections closed because no session was asked for in time.
        sessionless_connections_expired: Counter,
        /// Sessions ended by their timeout.
        stale_sessions_expired: Counter,
        /// Clients that named this ensemble (ensembleAuthName).
        ensemble_auth_success: Counter,
        /// Clients that named another ensemble, and were cut off.
        ensemble_auth_fail: Counter,
        /// Clients that used the scheme `ensemble` without a name, or where there is none to compare.
        ensemble_auth_skip: Counter,
        /// Requests that came to prep.
        prep_processor_request_queued: Counter,
        /// Change records made by prep, for transactions that are not applied yet.
        outstanding_changes_queued: Counter,
        /// Change records retired, their transactions being applied.
        outstanding_changes_removed: Counter,
        /// Transactions given to the disk queue.
        sync_processor_request_queued: Counter,
        /// Transactions that were committed.
        request_commit_queued: Counter,
        /// Syncs of the log that took longer than fsync.warningthresholdms.
        fsync_threshold_exceed_count: KeptCounter,
        /// Requests let in although their clients can hardly wait for them any more.
        stale_requests: Counter,
        /// Such requests that were dropped.
        stale_requests_dropped: Counter,
        /// Requests that waited too long to be admitted, and were told so.
        throttled_ops: Counter,
        /// Times that requests had to wait for others to finish.
        request_throttle_wait_count: Counter,
        /// Connections closed because too many large requests were under way.
        large_requests_rejected: Counter,
        /// Writes refused by a hard quota, by the first-level node.
        quota_exceeded_error_per_namespace: CountSet,
        /// Clients whose certificate was refused: none have one.
        auth_failed_count: Counter,
        /// Transactions this server has proposed as a leader.
        proposal_count: Counter,
        /// Transactions committed by this server as a leader.
        commit_count: Counter,
        /// Learners that this server as a leader synchronized by the transactions they lack.
        diff_count: Counter,
        /// Learners that this server as a leader synchronized by a snapshot.
        snap_count: Counter,
        /// Proposals that came from the leader, since clients are served.
        learner_proposal_received_count: Counter,
        /// Commits that came from the leader, since clients are served.
        learner_commit_received_count: Counter,
        /// Times of looking for a leader.
        looking_count: Counter,
        /// Sessions that learners asked this server as their leader about.
        revalidate_count: Counter,
        /// Sessions that clients came back to with another connection.
        connection_revalidate_count: Counter,
        /// Milliseconds from the start of loading the data to its end.
        dbinittime: Basic,
        /// Milliseconds it took to read the snapshot at start.
        startup_snap_load_time: Basic,
        /// Transactions replayed from the log at start.
        startup_txns_loaded: Basic,
        /// Milliseconds it took to replay them.
        startup_txns_load_time: Basic,
        /// Milliseconds of writing a snapshot.
        snapshottime: Basic,
        /// Milliseconds of syncing the log, for each batch; of a direct write, all of it.
        fsynctime: Basic,
        /// Requests in prep's queue, whenever it takes some.
        prep_processor_queue_size: Basic,
        /// Milliseconds in which the requests that prep took together were prepared.
        prep_process_time: Basic,
        /// Requests in the disk queue, whenever it takes some.
        sync_processor_queue_size: Basic,
        /// Transactions that were written and synced together.
        sync_processor_batch_size: Basic,
        /// Milliseconds of writing a batch to the log, what `fsynctime` has not counted.
        sync_process_time: Basic,
        /// Clients told when a node was created, where any was.
        node_created_watch_count: Basic,
        /// Clients told when a node was deleted, where any was.
        node_deleted_watch_count: Basic,
        /// Clients told when a node's data changed, where any was.
        node_changed_watch_count: Basic,
        /// Clients told when a node's children changed, where any was.
        node_children_watch_count: Basic,
        /// Milliseconds from the moment at which this server looked for a leader to the one at
        /// which it took up its role, leader or follower.
        election_time: Basic,
        /// Milliseconds from the leader's epoch to UPTODATE, as a follower.
        follower_sync_time: Basic,
        /// The same as an observer.
        observer_sync_time: Basic,
        /// Milliseconds without a served client, from the loss of a leader, or the start, to the
        /// broadcast.
        unavailable_time: Basic,
        /// The same where this server leads afterwards.
        leader_unavailable_time: Basic,
        /// Learners under synchronization by transactions, whenever one begins or is through.
        inflight_diff_count: Basic,
        /// Learners under synchronization by a snapshot, whenever one begins or is through.
        inflight_snap_count: Basic,
        /// Requests for the leader, whenever a learner forwards some.
        learner_request_processor_queue_size: Basic,
        /// Milliseconds from the receipt of a request that changes nothing to its reply.
        readlatency: HotAdvanced,
        /// Milliseconds from the receipt of a request that makes a transaction to its reply.
        updatelatency: Advanced,
        /// Milliseconds from the making of a transaction to its apply.
        propagation_latency: Advanced,
        /// Milliseconds from the making of a transaction to its arrival here, as a follower.
        proposal_latency: Advanced,
        /// Milliseconds from the making of a transaction to its acknowledgement, when it is durable
        /// here.
        proposal_ack_creation_latency: Advanced,
        /// Milliseconds from the making of a transaction to its commit's arrival here, as a learner.
        commit_propagation_latency: Advanced,
        /// Milliseconds from the making of a transaction to a quorum of acknowledgements, as a
        /// leader.
        quorum_ack_latency: Advanced,
        /// Milliseconds from a request's receipt to its preparation.
        prep_processor_queue_time_ms: Advanced,
        /// Milliseconds in which a closeSession, and what was taken with it, was prepared.
        close_session_prep_time: Advanced,
        /// Milliseconds that the oldest transaction of a batch waited to be written.
        sync_processor_queue_time_ms: Advanced,
        /// Milliseconds of writing a batch to the log and syncing it.
        sync_processor_queue_flush_time_ms: Advanced,
        /// The two together.
        sync_processor_queue_and_flush_time_ms: Advanced,
        /// Bytes read below a first-level node, for each read: path, stat, data or names.
        read_per_namespace: BasicSet,
        /// Bytes written below a first-level node, for each write: path and data.
        write_per_namespace: BasicSet,
        /// Packets given to a learner's link together.
        learner_handler_qp_size: ByServer<Basic>,
        /// Milliseconds from the making of a transaction to a server's acknowledgement, for each
        /// thousandth transaction whose commit did not come first.
        ack_latency: ByServer<Advanced>,
    }
    parts {
        /// Requests, words and handshakes taken from clients.
        packets_received: HotCounter,
        /// Replies, events and answers to words given to clients.
        packets_sent: HotCounter,
        /// Submissions whose replies are not out yet.
        outstanding_requests: Level,
        /// Bytes of proposals since this server leads.
        proposal_bytes: ReplySizes,
    }
}

impl Metrics {
    /// From a request's receipt to its reply, in milliseconds: all of them together.
    pub fn latency(&self) -> Digest {
        self.readlatency.digest().and(self.updatelatency.digest())
    }

    /// A transaction of so many bytes was proposed; the later, the higher is `at`.
    pub fn proposed(&self, bytes: usize, at: u64) {
        let mut sizes = Sizes::default();
        sizes.record(bytes);
        self.proposal_bytes.take(sizes, at);
    }

    /// This server begins to lead: the sizes of its proposals are told from there on.
    pub fn begins_to_lead(&self) {
        self.proposal_bytes.reset();
    }
}

/// A [`Counter`] that `srst` leaves alone, as Apache ZooKeeper does.
#[derive(Debug, Default)]
pub struct KeptCounter(Counter);

impl KeptCounter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.add(n);
    }
}

impl Metric for KeptCounter {
    fn new(_: u64) -> Self {
        KeptCounter::default()
    }

    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>) {
        self.0.sample(name, help, to);
    }

    fn reset(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counted_is_told_by_its_name() {
        let metrics = Metrics::new(7);
        metrics.bytes_received_count.add(3);
        metrics.fsynctime.record(9);
        let samples = metrics.samples();
        let of = |name| samples.iter().find(|sample| sample.name == name).unwrap();
        assert_eq!(of("bytes_received_count").value, Value::Integer(3));
        assert_eq!(of("bytes_received_count").kind, Kind::Counter);
        assert_eq!(of("bytes_received_count").help, "Bytes read from clients.");
        let Value::Digest(fsynctime) = of("fsynctime").value else { panic!("a summary") };
        assert_eq!((fsynctime.count, fsynctime.sum), (1, 9));
        assert_eq!(of("updatelatency").kind, Kind::Advanced);
    }

    #[test]
    fn a_reset_keeps_what_is_the_case() {
        let metrics = Metrics::new(7);
        metrics.packets_received.add(3);
        metrics.outstanding_requests.add(2);
        metrics.fsync_threshold_exceed_count.add(1);
        metrics.readlatency.record_many(4, 3);
        metrics.updatelatency.record(8);
        assert_eq!(metrics.latency().avg(), 5.0);
        metrics.reset();
        assert_eq!((metrics.packets_received.get(), metrics.latency().count), (0, 0));
        assert_eq!(metrics.outstanding_requests.get(), 2);
        assert_eq!(metrics.fsync_threshold_exceed_count.0.get(), 1);
    }
}
