//! A request on its way from a connection to the leader's prep.

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Identities;
use crate::jute::Reader;
use crate::proto::requests::{CreateRequest, MultiPart};
use crate::proto::{ConnectionId, OpCode, SessionId};

/// Who waits for the answer, and how it must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The connection that asked.
    pub connection: ConnectionId,
    /// The number it gave the request.
    pub xid: i32,
    /// What it asked for: create and create2 make the same transaction and differ in the reply.
    pub op: OpCode,
    /// When the request came, milliseconds on the monotonic clock.
    pub received_ms: u64,
}

/// A write, a sync, or the end of a session.
#[derive(Debug, Clone)]
pub struct Request {
    /// The session that asks.
    pub session: SessionId,
    /// The request's xid; 0 for the server's own.
    pub xid: i32,
    /// What is asked for.
    pub op: OpCode,
    /// The record after the header, not decoded yet.
    pub body: Bytes,
    /// Who the connection was when the request came.
    pub identities: Arc<Identities>,
    /// `None` for the server's own requests, such as the close of an expired session.
    pub origin: Option<Origin>,
    /// It waited too long: it is answered in its place with THROTTLEDOP and not executed.
    pub throttled: bool,
}

impl Request {
    /// Whether it makes a node that belongs to its session. In a multi the flags decide, but for a
    /// container's (F-2). What cannot be read is prep's to refuse.
    pub fn makes_ephemerals(&self) -> bool {
        let mut r = Reader::unlimited(&self.body);
        match self.op {
            op @ (OpCode::Create | OpCode::Create2) => {
                CreateRequest::read(op, &mut r).is_ok_and(|create| is_ephemeral(create.flags))
            }
            OpCode::Multi => {
                while let Ok(Some(part)) = MultiPart::read(&mut r) {
                    if let MultiPart::Create(op, create) = part
                        && op != OpCode::CreateContainer
                        && is_ephemeral(create.flags)
                    {
                        return true;
                    }
                }
                false
            }
            _ => false,
        }
    }
}

/// EPHEMERAL, or EPHEMERAL_SEQUENTIAL.
fn is_ephemeral(flags: i32) -> bool {
    matches!(flags, 1 | 3)
}

/// A connection's wish for a session, after its password was checked.
#[derive(Debug, Clone)]
pub struct ConnectAttempt {
    /// The connection.
    pub connection: ConnectionId,
    /// [`SessionId::NONE`] for a new session.
    pub session: SessionId,
    /// The negotiated timeout, in milliseconds.
    pub timeout_ms: i32,
    /// Whether the request had the readOnly field.
    pub had_read_only: bool,
    /// Who connects.
    pub identities: Arc<Identities>,
    /// When the request came, milliseconds on the monotonic clock.
    pub received_ms: u64,
}

/// What a connection hands to the server.
#[derive(Debug, Clone)]
pub enum Submission {
    /// A session is asked for.
    Connect(ConnectAttempt),
    /// A request of an established session.
    Request(Request),
    /// In place of one that was dropped: its connection must close.
    Dropped(ConnectionId),
}

impl Submission {
    /// The connection that submitted it; `None` for the server's own.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Submission::Connect(attempt) => Some(attempt.connection),
            Submission::Request(request) => request.origin.map(|origin| origin.connection),
            Submission::Dropped(connection) => Some(*connection),
        }
    }

    /// Bytes the submission keeps alive, for the bound at admission. Its identities count, since
    /// a list that stands for them becomes part of the transaction.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 128;
        match self {
            Submission::Connect(_) | Submission::Dropped(_) => FIXED,
            Submission::Request(request) => FIXED + request.body.len() + request.identities.bytes(),
        }
    }
}
