//! What a server says of itself: plain data for words and, later, other surfaces.

use std::net::SocketAddr;

use crate::proto::Zxid;

/// A server at one moment.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Status {
    pub clients: Vec<ClientLine>,
    pub latency_ms_min: u64,
    pub latency_ms_avg: f64,
    pub latency_ms_max: u64,
    pub packets_received: u64,
    pub packets_sent: u64,
    pub outstanding_requests: u64,
    pub last_zxid: Zxid,
    /// One more than there are nodes: the root has two names (F-12).
    pub znode_count: usize,
    pub ephemerals_count: usize,
    /// Bytes of all paths and data.
    pub approximate_data_size: u64,
    pub global_sessions: usize,
    pub digest_mismatches: u64,
    /// Watches as Apache counts them: a persistent one twice.
    pub watch_count: usize,
    pub uptime_ms: u64,
    /// `None` where the system does not tell.
    pub descriptors_open: Option<u64>,
    pub descriptors_max: Option<u64>,
    /// Further counters under Apache's names.
    pub counters: Vec<(&'static str, u64)>,
}

/// A connection as `stat` lists it.
#[derive(Debug, Clone, Copy)]
pub struct ClientLine {
    /// The client's address.
    pub address: SocketAddr,
    /// Requests taken from it.
    pub received: u64,
    /// Replies and events given to it.
    pub sent: u64,
}
