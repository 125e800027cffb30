//! What the four-letter words report, gathered from the running server.

use std::sync::Arc;

use crate::config::FourLetterWhitelist;
use crate::metrics::Metrics;
use crate::net::connections::Connections;
use crate::operator::four_letter_words;
use crate::status::{ClientLine, Status};
use crate::time::Clock;
use crate::tree::SharedDatabase;
use crate::watch::Watches;

/// Everything a word may ask about.
pub struct WordSources {
    /// Which words are answered.
    pub whitelist: FourLetterWhitelist,
    /// The tree.
    pub database: Arc<SharedDatabase>,
    /// The watches.
    pub watches: Arc<Watches>,
    /// The connections.
    pub connections: Arc<Connections>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When the server began to serve, milliseconds on the monotonic clock.
    pub serving_since_ms: u64,
}

impl WordSources {
    /// The text that answers `word`.
    pub fn answer(&self, word: [u8; 4]) -> Vec<u8> {
        four_letter_words::answer(word, &self.whitelist, || self.status()).into_bytes()
    }

    fn status(&self) -> Status {
        let clients = self
            .connections
            .all()
            .iter()
            .map(|connection| {
                let (received, sent) = connection.queue().counts();
                ClientLine { address: connection.peer(), received, sent }
            })
            .collect();
        let (descriptors_open, descriptors_max) = descriptors();
        let db = self.database.read();
        Status {
            clients,
            latency_ms_min: self.metrics.latency.min(),
            latency_ms_avg: self.metrics.latency.avg(),
            latency_ms_max: self.metrics.latency.max(),
            packets_received: self.metrics.packets_received.get(),
            packets_sent: self.metrics.packets_sent.get(),
            outstanding_requests: self.metrics.outstanding_requests.get(),
            last_zxid: db.last_processed(),
            // The root is counted under both its names, as Apache counts it (F-12).
            znode_count: db.tree.node_count() + 1,
            ephemerals_count: db.tree.ephemerals_count(),
            approximate_data_size: db.tree.approximate_data_size(),
            global_sessions: db.session_count(),
            digest_mismatches: db.digest_mismatches(),
            watch_count: self.watches.watch_count(),
            uptime_ms: self.clock.now().mono_ms - self.serving_since_ms,
            descriptors_open,
            descriptors_max,
            counters: vec![
                ("bytes_received_count", self.metrics.bytes_received.get()),
                ("connection_rejected", self.metrics.connection_rejected.get()),
                (
                    "sessionless_connections_expired",
                    self.metrics.sessionless_connections_expired.get(),
                ),
                ("stale_sessions_expired", self.metrics.stale_sessions_expired.get()),
                ("fsync_threshold_exceed_count", self.metrics.fsync_threshold_exceed_count.get()),
            ],
        }
    }
}

/// Open file descriptors of this process, and how many it may have.
fn descriptors() -> (Option<u64>, Option<u64>) {
    (super::jobs::open_descriptors(), rlimit::Resource::NOFILE.get_soft().ok())
}
