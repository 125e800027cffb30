//! History: what happened in one run, as those saw it who judge it afterwards.
//!
//! What always holds:
//! * Events stand in the order in which they happened; their times never go back.
//! * A server's events are what its process did or what its disk has made durable, never what it
//!   believes of others. A client's events are what went over its connection.
//! * An invocation has exactly one end – `Returned` or `Lost` – or none, if the run ended first.
//! * Transactions are named by a hash of their bytes; the bytes stand once in [`History::txns`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use zkserver::proto::{Epoch, EventType, QuorumVerifier, ServerState, SessionId, Sid, Zxid};

/// Virtual time since the run began, in microseconds.
pub type Micros = u64;

/// A hash of a transaction's bytes: header, body and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnHash(pub u64);

/// One run.
#[derive(Debug, Default)]
pub struct History {
    /// What happened, in order.
    pub events: Vec<(Micros, Event)>,
    /// Every transaction that anybody proposed, logged or applied.
    pub txns: HashMap<TxnHash, Bytes>,
    /// When chaos ends and peace begins.
    pub peace_at: Micros,
    /// The last configuration's voters and observers when the run began.
    pub voters: Vec<Sid>,
    /// Those that do not vote.
    pub observers: Vec<Sid>,
    /// Those of them that follow without a log (`syncEnabled=false`).
    pub without_a_log: Vec<Sid>,
    /// Whether sessions begin as local ones, which no transaction tells of.
    pub local_sessions: bool,
    /// The configurations by their versions, as they were first proposed; the one that the run began
    /// with at zxid 0. Empty: the majority of `voters` decides.
    pub configs: Vec<(Zxid, Arc<QuorumVerifier>)>,
    /// When a leader that a quorum of each follows brought which of them into force, by version: one
    /// that it has seen last is in force with its leadership, though its transaction was lost.
    pub enforced: Vec<(Micros, Zxid)>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// To a server.
    Server(Sid, ServerEvent),
    /// To a client.
    Client(ClientId, ClientEvent),
    /// To the world: a fault, in words.
    Fault(String),
}

/// What a server did.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// A process begins, with what it restored from its disk.
    Started {
        /// The last transaction in its tree, which equals its log.
        last_zxid: Zxid,
        /// The tree's digest.
        digest: u64,
        /// `acceptedEpoch` as it counts from now on.
        accepted: Epoch,
        /// `currentEpoch` as it counts from now on.
        current: Epoch,
        /// False if it may have forgotten what it acknowledged.
        may_vote: bool,
    },
    /// Its files of epochs are gone, or one of them: what it has promised it must find out anew.
    EpochsLost,
    /// The process does not start: it refuses what lies on its disk.
    Refused(String),
    /// The process is gone.
    Stopped(Stop),
    /// It is something else from now on.
    Role(ServerState),
    /// The file `acceptedEpoch` is durable.
    AcceptedEpoch(Epoch),
    /// The file `currentEpoch` is durable.
    CurrentEpoch(Epoch),
    /// A leader: a quorum has acknowledged its NEWLEADER, and it serves.
    Established(Epoch),
    /// Clients are served from now on, or no longer.
    Serving(bool),
    /// A leader sends this transaction to its learners, or logs it if it has none.
    Proposed {
        /// Its place.
        zxid: Zxid,
        /// What it is.
        txn: TxnHash,
    },
    /// The transaction was given to the disk queue.
    LogRequested {
        /// Its place.
        zxid: Zxid,
        /// What it is.
        txn: TxnHash,
    },
    /// The transaction is durable in the log, and the core was told so.
    Logged {
        /// Its place.
        zxid: Zxid,
        /// What it is.
        txn: TxnHash,
    },
    /// The disk is told to let the history end with that transaction, by a cut or a snapshot: a
    /// start may find it so before it is reported.
    EndRequested {
        /// The last there is then.
        zxid: Zxid,
    },
    /// The log ends behind `to`, durably.
    Truncated {
        /// The last that stays.
        to: Zxid,
    },
    /// A snapshot from the leader is what a restart begins with, durably.
    SnapshotInstalled {
        /// Its zxid.
        zxid: Zxid,
    },
    /// It knows that the transaction is committed: a leader that a quorum follows has said so, or is
    /// this server; or it was in the history with which the server begins to serve. Said once for
    /// each, in order, whatever becomes of the process.
    Committed {
        /// Its place.
        zxid: Zxid,
        /// What it is.
        txn: TxnHash,
    },
    /// It entered the tree.
    Applied {
        /// Its place.
        zxid: Zxid,
        /// What it is.
        txn: TxnHash,
        /// On which road.
        how: How,
        /// The tree's digest behind it; `None` where more was applied in the same breath (its
        /// digest was compared with the transaction's own then, see `DigestMismatch`).
        digest: Option<u64>,
    },
    /// The server itself found that its tree differs from its leader's.
    DigestMismatch,
    /// The tree was replaced by what the disk holds.
    Reloaded {
        /// The last transaction in it.
        zxid: Zxid,
        /// Its digest.
        digest: u64,
    },
    /// A link ended with these words.
    LinkEnded(String),
}

/// On which road a transaction came into the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Committed by the leader that the server follows, or that it is.
    Commit,
    /// It was durable here, and nobody whom a quorum follows had said that it is committed: a role
    /// ended, or a leader that may not be established yet synchronized this server.
    CatchUp,
}

/// How a process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Killed; its writes are the system's.
    Killed,
    /// The power went: what was not synced is gone, or some of it.
    PowerCut,
    /// Its disk failed, in these words.
    DiskFailed(String),
    /// It was told to stop, and did so in order.
    Told,
}

/// A client, which may have several sessions one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// One operation: counts from 0, over all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// What a client did or was told.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// It has a connection to a server and asks for a session, or for its old one.
    Connecting {
        /// The server.
        server: Sid,
        /// [`SessionId::NONE`] for a new one.
        session: SessionId,
        /// The last zxid it has seen.
        last_seen: Zxid,
    },
    /// It has a session.
    Connected {
        /// The server.
        server: Sid,
        /// The session.
        session: SessionId,
        /// Its negotiated timeout in milliseconds.
        timeout_ms: u32,
    },
    /// Its session is gone: the server said so.
    Expired {
        /// The session.
        session: SessionId,
    },
    /// Its connection is gone. Operations without an answer follow as `Lost`.
    Disconnected,
    /// It closes its session of its own will, and was answered.
    Closed {
        /// The session.
        session: SessionId,
    },
    /// It sent a request. Requests of one connection were sent in the order of their events.
    Invoked {
        /// The operation.
        op: OpId,
        /// The session.
        session: SessionId,
        /// The server.
        server: Sid,
        /// What is asked.
        request: Request,
    },
    /// The answer came. A request whose connection ended first is `Lost` instead.
    Returned {
        /// The operation.
        op: OpId,
        /// The header's zxid.
        zxid: Zxid,
        /// The answer, or the error's code.
        result: Result<Response, i32>,
    },
    /// Nobody knows whether it was carried out.
    Lost {
        /// The operation.
        op: OpId,
    },
    /// A watch fired.
    Event {
        /// The session.
        session: SessionId,
        /// The header's zxid.
        zxid: Zxid,
        /// What happened.
        event: EventType,
        /// To which node.
        path: Path,
    },
}

/// A node's path.
pub type Path = std::sync::Arc<str>;

/// What a node holds: the number in its first eight bytes. Every write of a run has its own; 0
/// stands for data that is shorter.
pub type Value = u64;

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// create2.
    Create {
        /// The path, without the number of a sequential node.
        path: Path,
        /// What it holds.
        value: Value,
        /// Whether it ends with the session.
        ephemeral: bool,
        /// Whether the server appends a number.
        sequential: bool,
    },
    /// createContainer, or createTTL: a node that goes by itself when nothing is below it.
    CreateReaped {
        /// The path.
        path: Path,
        /// What it holds.
        value: Value,
        /// How long after its last change, in milliseconds; `None` for a container, which goes when
        /// its last child has gone.
        ttl_ms: Option<u32>,
    },
    /// delete.
    Delete {
        /// The path.
        path: Path,
        /// The version, or -1.
        version: i32,
    },
    /// setData.
    SetData {
        /// The path.
        path: Path,
        /// What it will hold.
        value: Value,
        /// The version, or -1.
        version: i32,
    },
    /// getData.
    GetData {
        /// The path.
        path: Path,
        /// Whether a watch is left.
        watch: bool,
    },
    /// exists.
    Exists {
        /// The path.
        path: Path,
        /// Whether a watch is left.
        watch: bool,
    },
    /// getChildren2.
    GetChildren {
        /// The path.
        path: Path,
        /// Whether a watch is left.
        watch: bool,
    },
    /// sync.
    Sync {
        /// The path.
        path: Path,
    },
    /// check, within a multi only.
    Check {
        /// The path.
        path: Path,
        /// The version.
        version: i32,
    },
    /// multi: of creates, deletes, setDatas and checks.
    Multi(Vec<Request>),
    /// setWatches, after a reconnect; those that fire at once come as events before its answer.
    SetWatches {
        /// The last zxid the client has seen.
        relative: Zxid,
        /// getData.
        data: Vec<Path>,
        /// exists.
        exists: Vec<Path>,
        /// getChildren.
        children: Vec<Path>,
    },
    /// reconfig: who joins or changes (`server.N=…`), and who leaves (its id); either may be empty.
    Reconfig {
        /// The line of who joins.
        joining: Path,
        /// The id of who leaves.
        leaving: Path,
    },
    /// ping.
    Ping,
    /// closeSession.
    CloseSession,
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// A node was created.
    Created {
        /// Its path, with the number of a sequential node.
        path: Path,
        /// Its stat.
        stat: NodeStat,
    },
    /// setData, exists.
    Stat(NodeStat),
    /// getData.
    Data {
        /// What it holds.
        value: Value,
        /// Its stat.
        stat: NodeStat,
    },
    /// getChildren2.
    Children {
        /// The names, sorted.
        names: Vec<Path>,
        /// The parent's stat.
        stat: NodeStat,
    },
    /// multi that was carried out.
    Multi(Vec<Response>),
    /// multi of which a part failed: the code of each part (0 before the failing one).
    MultiFailed(Vec<i32>),
    /// Nothing more than that it is done: delete, check, sync, ping, setWatches, reconfig,
    /// closeSession.
    Done,
}

/// What of a node's stat is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeStat {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The last that changed its data.
    pub mzxid: Zxid,
    /// The last that changed its children.
    pub pzxid: Zxid,
    /// How often its data changed.
    pub version: i32,
    /// How often its children changed.
    pub cversion: i32,
    /// The session that it ends with.
    pub owner: SessionId,
    /// How many children it has.
    pub children: i32,
}

/// What a checker found.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The property: the checker's name, such as `prefix_consistency`.
    pub property: &'static str,
    /// When.
    pub at: Micros,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}.{:06} s: {}",
            self.property,
            self.at / 1_000_000,
            self.at % 1_000_000,
            self.what
        )
    }
}

impl History {
    /// Adds what happened now.
    pub fn push(&mut self, at: Micros, event: Event) {
        debug_assert!(self.events.last().is_none_or(|(last, _)| *last <= at), "time goes back");
        self.events.push((at, event));
    }

    /// The hash of a transaction, whose bytes are kept.
    pub fn txn(&mut self, bytes: &Bytes) -> TxnHash {
        let hash = TxnHash(hash(bytes));
        self.txns.entry(hash).or_insert_with(|| bytes.clone());
        hash
    }
}

/// A hash that is the same in every process.
pub fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::with_seed(5).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
