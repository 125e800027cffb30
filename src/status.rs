//! What a server says of itself: plain data for words and, later, other surfaces.

mod gauges;
mod member;
mod request_stats;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use gauges::gauges;
pub use member::{LearnerStatus, MemberStatus, Stage, SyncMode, ZabState};
pub use request_stats::{Answered, RequestStats};

use crate::proto::{SessionId, Zxid};

/// A server at one moment.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Status {
    pub connections: usize,
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
    /// Bytes of the last, the smallest and the largest reply, -1 before the first.
    pub reply_bytes_last: i64,
    pub reply_bytes_min: i64,
    pub reply_bytes_max: i64,
    /// Watches as Apache counts them: a persistent one twice.
    pub watch_count: usize,
    pub uptime_ms: u64,
    /// Bytes of the last, the smallest and the largest proposal of a leader, -1 before the first.
    pub proposal_bytes_last: i64,
    pub proposal_bytes_min: i64,
    pub proposal_bytes_max: i64,
    /// What a member of an ensemble is; `None` for a server that is alone.
    pub member: Option<Arc<MemberStatus>>,
}

/// A connection as `stat` and `cons` list it.
#[derive(Debug, Clone, Copy)]
pub struct ClientLine {
    /// The client's address.
    pub address: SocketAddr,
    /// Java's `SelectionKey` bits: 1 if it is read, and 4 if bytes wait to be written.
    pub interest_ops: u8,
    /// Requests taken and not answered yet.
    pub queued: usize,
    /// What was asked and answered.
    pub stats: RequestStats,
    /// When it was accepted, milliseconds since 1970.
    pub established_wall_ms: i64,
    /// Its session and that one's timeout in milliseconds, once it has one.
    pub session: Option<(SessionId, i32)>,
}

/// What `dump` tells.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// The sessions that only this server knows, each with the moment at which it expires if it stays
    /// silent, milliseconds since 1970; `None` where there can be none.
    pub local_sessions: Option<Vec<(i64, SessionId)>>,
    /// The sessions; where there can be local ones, the global ones.
    pub sessions: TrackedSessions,
    /// The sessions that own ephemerals, each with their paths.
    pub ephemerals: Vec<(SessionId, Vec<Vec<u8>>)>,
    /// The connections, each with the moment at which it is closed if it stays silent,
    /// milliseconds since 1970. [`SessionId::NONE`] stands for no session yet.
    pub connections: Vec<(i64, SocketAddr, SessionId)>,
}

/// The sessions, as the server knows them that tells of them.
#[derive(Debug, Clone)]
pub enum TrackedSessions {
    /// Those that can expire here, each with the moment at which it does if it stays silent,
    /// milliseconds since 1970.
    Expiring(Vec<(i64, SessionId)>),
    /// Those that the leader looks after, each with its timeout in milliseconds.
    Led(Vec<(SessionId, i32)>),
}

impl Default for TrackedSessions {
    fn default() -> Self {
        TrackedSessions::Expiring(Vec::new())
    }
}

/// A path and the sessions whose connections watch its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedPath {
    /// The path as the watch named it.
    pub path: Box<[u8]>,
    /// One for each connection; a connection without a session is [`SessionId::NONE`].
    pub sessions: Vec<SessionId>,
}

/// What `conf` tells; names and units are `zoo.cfg`'s.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Settings {
    /// The port that is really listened on.
    pub client_port: u16,
    /// Absolute, `version-2` included.
    pub data_dir: PathBuf,
    /// Absolute, `version-2` included.
    pub data_log_dir: PathBuf,
    pub tick_time_ms: u32,
    pub max_client_cnxns: u32,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    /// `None` for the server's own choice.
    pub client_port_listen_backlog: Option<u32>,
    /// 0 for a server that is alone.
    pub server_id: i64,
    /// What only a member of an ensemble has.
    pub ensemble: Option<EnsembleSettings>,
}

/// What `conf` tells of a member besides what it knows of its fellows.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct EnsembleSettings {
    pub init_limit_ticks: u64,
    pub sync_limit_ticks: u64,
    /// `localSessionsEnabled`.
    pub local_sessions: bool,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirSizes {
    /// All files where snapshots lie.
    pub data: u64,
    /// All files where logs lie. The same files, if it is the same directory.
    pub log: u64,
}

/// File descriptors of the process; `None` where the system does not tell.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Descriptors {
    pub open: Option<u64>,
    pub max: Option<u64>,
}
