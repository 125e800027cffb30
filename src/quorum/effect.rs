//! Inputs and effects: the vocabulary between the peer core and the shells around it.
//!
//! The core takes one [`Input`] at a time and answers with [`Effects`] in two lanes, each in
//! order. What the disk must do may run ahead; what a client can see happens exactly in the order
//! emitted.

use std::sync::mpsc;

use bytes::Bytes;

use crate::processor::connection_queue::CloseReason;
use crate::processor::proposal::{Proposal, Resumption};
use crate::processor::request::{Origin, Submission};
use crate::proto::{ConnectionId, SessionId, Ticket, Zxid};
use crate::session::{PagePlace, SessionsPage};

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// One connection's submissions of one socket read, in order.
    Submitted(Vec<Submission>),
    /// The disk: every append up to this ticket is durable.
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
}

/// Something the disk queue must do.
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
}

/// What a step wants done.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the disk queue.
    pub disk: Vec<DiskEffect>,
    /// For apply and the connections.
    pub client: Vec<ClientEffect>,
}

impl Effects {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.disk.is_empty() && self.client.is_empty()
    }
}
