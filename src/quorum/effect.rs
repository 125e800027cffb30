//! Inputs and effects: the vocabulary between the peer core and the shells around it.
//!
//! The core takes one [`Input`] at a time and answers with [`Effects`] in three lanes, each in
//! order. What the disk must do and what goes to other servers may run ahead; what a client can see
//! happens exactly in the order emitted.

use std::sync::{Arc, mpsc};

use bytes::Bytes;

use crate::processor::commit::Committed;
use crate::processor::connection_queue::CloseReason;
use crate::processor::proposal::{Proposal, Refusal, Resumption};
use crate::processor::request::{Origin, Submission};
use crate::proto::{
    ConnectionId, Epoch, ErrorCode, LinkId, Notification, QuorumPacket, QuorumVerifier, SessionId,
    Sid, Ticket, Zxid,
};
use crate::session::{PagePlace, SessionsPage};

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// One connection's submissions of one socket read, in order.
    Submitted(Vec<Submission>),
    /// The disk: everything up to this ticket is durable.
    Persisted(Ticket),
    /// Every transaction up to this one has been applied.
    Applied(Zxid),
    /// A deadline may have passed.
    Tick,
    /// An operator asks which sessions there are, a page at a time.
    ListSessions {
        /// Where the last page ended.
        after: Option<PagePlace>,
        /// The most to list.
        most: usize,
        /// Who asks: handed through to the effect, never used by the core.
        to: mpsc::Sender<SessionsPage>,
    },
    /// A server's notification came over the election mesh, or the own one back.
    Notified {
        /// Who sent it.
        from: Sid,
        /// What it says.
        notification: Notification,
    },
    /// A connection of the election mesh came up or went down.
    Mesh {
        /// The server at its other end.
        peer: Sid,
        /// Whether it is up.
        up: bool,
    },
    /// A link is there: a learner has dialled us, or a [`LinkEffect::Dial`] succeeded.
    LinkOpened(LinkId),
    /// A packet came over a link.
    Packet {
        /// The link.
        link: LinkId,
        /// The packet.
        packet: QuorumPacket,
    },
    /// A link is gone, behind everything that came over it; also a dial that failed. Bytes that are
    /// no packet end a link in the same way.
    LinkClosed {
        /// The link.
        link: LinkId,
        /// Why, in words.
        why: String,
    },
    /// The stream behind a SNAP packet has arrived whole and lies on the disk, not yet as a
    /// snapshot ([`DiskEffect::InstallSnapshot`] makes it one).
    SnapshotArrived(LinkId),
    /// Bytes have moved over a link on which a tree or a stretch of the log is under way, so its
    /// other end is alive though no packet comes. The shell says so at least once in a tick while
    /// they move, and no more than a few times: at the learner's end when bytes of the stream behind
    /// SNAP have come; at the leader's when bytes have left from the begin of a
    /// [`ClientEffect::SendSnapshot`] or [`LinkEffect::SendLog`] until nothing of what waited behind
    /// it waits any more. Bytes that no socket takes have not left.
    BytesMoved(LinkId),
    /// What the log on the disk holds for a learner ([`LinkEffect::SurveyLog`]).
    LogSurveyed {
        /// The learner's link.
        link: LinkId,
        /// `None` if the log does not reach back so far, or holds too much.
        survey: Option<LogSurvey>,
    },
    /// The database was restored from the disk ([`ClientEffect::Reload`]).
    Reloaded(Restored),
    /// The process is told to stop: a leader gives up its leadership.
    Stop,
}

/// What the transaction log on the disk holds around a learner's last zxid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSurvey {
    /// The last transaction in it that is not above the learner's last.
    pub at_or_before: Zxid,
    /// The transaction behind that one.
    pub after: Zxid,
}

/// What a restore found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The last transaction in snapshot or log.
    pub last_zxid: Zxid,
    /// The last transactions of the log in order, for the committed log.
    pub recent: Vec<(Zxid, Bytes)>,
}

/// Something the disk queue must do. Each is reported by its ticket when it is durable.
#[derive(Debug)]
pub enum DiskEffect {
    /// Append a transaction to the log.
    Append {
        /// Reported when the transaction is durable.
        ticket: Ticket,
        /// Its id.
        zxid: Zxid,
        /// Its bytes.
        txn: Bytes,
    },
    /// The next append begins a new log file, and a snapshot is due.
    RollAndSnapshot,
    /// Cut the log behind `to` and set newer snapshots aside; the next append begins a new file. If
    /// that is not possible because the history begins with a tree on trial, the one before it is the
    /// history again.
    Truncate {
        /// Reported when nothing of what was cut or given up can come back.
        ticket: Ticket,
        /// Where to cut.
        to: Zxid,
    },
    /// The stream that arrived on `link` becomes the newest snapshot, and the logs before it are
    /// set aside: a restart begins with it.
    InstallSnapshot {
        /// Reported when a restart would find it.
        ticket: Ticket,
        /// The link it came over.
        link: LinkId,
        /// Its zxid.
        zxid: Zxid,
    },
    /// Write the file `acceptedEpoch`.
    AcceptedEpoch {
        /// Reported when it is durable.
        ticket: Ticket,
        /// Its content.
        epoch: Epoch,
    },
    /// Write the file `currentEpoch`.
    CurrentEpoch {
        /// Reported when it is durable.
        ticket: Ticket,
        /// Its content.
        epoch: Epoch,
    },
    /// Keep a configuration that was proposed (`.dynamic.next`).
    LastSeenConfig {
        /// Reported when it is durable.
        ticket: Ticket,
        /// The configuration.
        config: Arc<QuorumVerifier>,
    },
    /// A configuration is in force: write `.dynamic.<version>`, remove `.dynamic.next`.
    ActivateConfig {
        /// Reported when it is durable.
        ticket: Ticket,
        /// The configuration.
        config: Arc<QuorumVerifier>,
    },
}

/// Something for another server.
#[derive(Debug)]
pub enum LinkEffect {
    /// Send a notification over the mesh; it replaces one that still waits. To oneself it comes
    /// back as an input.
    Notify {
        /// The receiver.
        to: Sid,
        /// What to say.
        notification: Notification,
    },
    /// Connect to every member that is not connected.
    ConnectMesh,
    /// Connect to a leader. Answered by [`Input::LinkOpened`] or [`Input::LinkClosed`].
    Dial {
        /// The number of the new link.
        link: LinkId,
        /// Whom to dial.
        leader: Sid,
    },
    /// Send a packet, behind everything sent over the link before.
    Send {
        /// The link.
        link: LinkId,
        /// The packet.
        packet: QuorumPacket,
    },
    /// Send a stretch of the own log, each transaction as PROPOSAL and COMMIT, behind everything
    /// sent over the link before. It was surveyed, and stays pinned until it is sent or the link
    /// ends; if it cannot be read the link ends.
    SendLog {
        /// The link.
        link: LinkId,
        /// Transactions behind this one …
        after: Zxid,
        /// … up to this one.
        through: Zxid,
    },
    /// Look what the own log holds for a learner whose last transaction is `peer`. Answered by
    /// [`Input::LogSurveyed`]; the log from there on is pinned against purge.
    SurveyLog {
        /// The learner's link.
        link: LinkId,
        /// The learner's last zxid.
        peer: Zxid,
        /// The log must reach this transaction without a gap.
        through: Zxid,
    },
    /// End a link. What was sent before may still arrive.
    Close {
        /// The link.
        link: LinkId,
        /// Why, in words.
        why: String,
    },
}

/// Something that a client can see.
#[derive(Debug)]
pub enum ClientEffect {
    /// Apply the transaction, tell the watches, answer whoever asked.
    Commit(Proposal),
    /// Answer a sync; its body is the path to echo.
    AnswerSync(Origin, Bytes),
    /// Answer a request that waited too long with THROTTLEDOP.
    AnswerThrottled(Origin),
    /// Answer a request that failed without a transaction.
    AnswerError(Origin, ErrorCode),
    /// A session that only this server knew is over: answer whoever asked for that, and close the
    /// connection that has the session.
    EndLocalSession(SessionId, Option<Origin>),
    /// Answer the connection that resumes a session.
    Resume(Resumption),
    /// The session cannot be resumed.
    Refuse {
        /// The connection.
        connection: ConnectionId,
        /// The session it asked for.
        session: SessionId,
        /// Whether the response has the readOnly field.
        had_read_only: bool,
    },
    /// A request that is not answered because its session has ended, or that is stale: its
    /// connection closes.
    Drop(ConnectionId, CloseReason),
    /// A request in this namespace was refused: it would exceed a hard quota.
    QuotaExceeded(Box<[u8]>),
    /// The page of sessions that was asked for.
    SessionsListed {
        /// The sessions.
        page: SessionsPage,
        /// Who asked.
        to: mpsc::Sender<SessionsPage>,
    },
    /// Apply a transaction that is durable here and that no leader has committed yet: a server looks
    /// for a leader with all that it has logged. Nobody is connected who could see it.
    CatchUp {
        /// The transaction's id.
        zxid: Zxid,
        /// Header, body and digest.
        txn: Bytes,
    },
    /// Clients are served from now on.
    StartServing,
    /// Every client connection closes, and none is served; a new serving generation begins.
    StopServing,
    /// Send the tree as it is now, behind everything sent over the link before; what is sent from
    /// now on goes behind the tree. The SNAP packet carries the tree's zxid.
    SendSnapshot {
        /// The link.
        link: LinkId,
        /// The zxid that the tree must have now.
        zxid: Zxid,
    },
    /// Drop the database and restore it from the disk. Answered by [`Input::Reloaded`].
    Reload,
    /// A configuration is in force: mesh, ports and the node /zookeeper/config follow it.
    ActivateConfig(Arc<QuorumVerifier>),
}

impl From<Committed> for ClientEffect {
    fn from(committed: Committed) -> Self {
        match committed {
            Committed::Txn(proposal) => ClientEffect::Commit(proposal),
            Committed::Sync(origin, body) => ClientEffect::AnswerSync(origin, body),
            Committed::Throttled(origin) => ClientEffect::AnswerThrottled(origin),
            Committed::Error(origin, error) => ClientEffect::AnswerError(origin, error),
            Committed::EndLocalSession(session, origin) => {
                ClientEffect::EndLocalSession(session, origin)
            }
            Committed::Resume(resumption) => ClientEffect::Resume(resumption),
            Committed::Refuse(Refusal { connection, session, had_read_only }) => {
                ClientEffect::Refuse { connection, session, had_read_only }
            }
        }
    }
}

/// What a step wants done.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the disk queue.
    pub disk: Vec<DiskEffect>,
    /// For other servers.
    pub links: Vec<LinkEffect>,
    /// For apply and the connections.
    pub client: Vec<ClientEffect>,
}

impl Effects {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.disk.is_empty() && self.links.is_empty() && self.client.is_empty()
    }
}
