//! `KeeperException.Code`: what a reply's `err` field can say.

/// An error code a server can send. Zero, no error, is the absence of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorCode {
    /// Never sent on purpose.
    SystemError = -1,
    /// In a failed multi: not executed because another part failed.
    RuntimeInconsistency = -2,
    /// The request's body could not be decoded, or names an unknown watch type or mode.
    MarshallingError = -5,
    /// The operation is unknown, or switched off.
    Unimplemented = -6,
    /// Path, flags or ttl refused.
    BadArguments = -8,
    /// No quorum of the new configuration is in sync.
    NewConfigNoQuorum = -13,
    /// Another reconfiguration is not committed yet.
    ReconfigInProgress = -14,
    /// The node does not exist.
    NoNode = -101,
    /// The caller's identities lack a permission.
    NoAuth = -102,
    /// The expected version is not the node's.
    BadVersion = -103,
    /// An ephemeral node may have no children.
    NoChildrenForEphemerals = -108,
    /// The node exists already.
    NodeExists = -110,
    /// The node has children.
    NotEmpty = -111,
    /// The session is unknown or being closed.
    SessionExpired = -112,
    /// The ACL is empty, null, or names what no provider accepts.
    InvalidAcl = -114,
    /// Authentication failed; the connection is closed after it.
    AuthFailed = -115,
    /// The session belongs to another server; the connection is closed instead of answering.
    SessionMoved = -118,
    /// A write or sync on a read-only server.
    NotReadOnly = -119,
    /// An ephemeral node of a local session that may not become global.
    EphemeralOnLocalSession = -120,
    /// checkWatches or removeWatches found none.
    NoWatcher = -121,
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123,
    /// SASL is required and was not done.
    SessionClosedRequireSaslAuth = -124,
    /// A hard quota would be exceeded.
    QuotaExceeded = -125,
    /// The request waited too long before it was processed.
    ThrottledOp = -127,
}

impl ErrorCode {
    /// The code's number.
    pub fn code(self) -> i32 {
        self as i32
    }
}
