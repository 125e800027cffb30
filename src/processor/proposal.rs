//! A proposal: a transaction that was prepared and has its place in the order.

use std::sync::Arc;

use bytes::Bytes;

use super::connection_queue::Grant;
use super::request::Origin;
use crate::proto::{ConnectionId, SessionId, Zxid};
use crate::session::SessionTouch;

/// A prepared transaction, from prep to its apply.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Its place in the order.
    pub zxid: Zxid,
    /// Header, body and digest: what the log keeps and the tree applies.
    pub txn: Bytes,
    /// The session it is done for.
    pub session: SessionId,
    /// Who waits for the answer.
    pub origin: Option<Origin>,
    /// For a new session: what its connection needs once the session exists.
    pub new_session: Option<NewSession>,
}

/// What a connection is told when its session exists.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// Whether the response has the readOnly field.
    pub had_read_only: bool,
    /// Where the connection leaves the moment of its last request.
    pub touch: Arc<SessionTouch>,
}

/// A session that goes on with another connection.
#[derive(Debug, Clone)]
pub struct Resumption {
    /// The connection.
    pub connection: ConnectionId,
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// Whether the response has the readOnly field.
    pub had_read_only: bool,
    /// The session.
    pub grant: Grant,
}

/// A session that cannot go on with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The connection.
    pub connection: ConnectionId,
    /// The session it asked for.
    pub session: SessionId,
    /// Whether the response has the readOnly field.
    pub had_read_only: bool,
}
