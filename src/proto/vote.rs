//! Votes, and the notifications that carry them between servers during an election.

use bytes::Bytes;

use super::Sid;

/// What a server does, as its notifications tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
    /// It follows one without a vote.
    Observing,
}

/// A candidate with its claim. The fields are signed, as they travel and as they are compared: a
/// server that may not be elected has [`Sid::NOBODY`] and `i64::MIN` in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The server that should lead.
    pub leader: Sid,
    /// The last zxid it has logged; -1 for a server without data.
    pub zxid: i64,
    /// Its `currentEpoch`.
    pub peer_epoch: i64,
}

/// What a server tells the others of its vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What the sender does.
    pub state: ServerState,
    /// Its vote.
    pub vote: Vote,
    /// The round in which it gave that vote (`electionEpoch`, the logical clock).
    pub round: i64,
    /// The form it has on the wire: 0 for those of before 3.5, 2 for ours.
    pub version: i32,
    /// The sender's current configuration as text, if it tells.
    pub config: Option<Bytes>,
}
