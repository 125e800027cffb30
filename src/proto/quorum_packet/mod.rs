//! The packets between a leader and its learners.
//!
//! ```text
//! type int, zxid long, data buffer, authinfo vector<Id>
//! ```
//!
//! One follows another without a frame. Data and authinfo are null where they are not used,
//! and authinfo is for a REQUEST alone.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use write::TAIL;

use bytes::Bytes;

use super::{AuthInfo, Epoch, SessionId, Sid, Zxid};

/// Which end of a link has sent the bytes: two types of packets mean a question from one side and
/// its answer from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The leader, or an observer master.
    Leader,
    /// A learner.
    Learner,
}

/// The highest number of a type, which is INFORMANDACTIVATE's.
const LAST_TYPE: i32 = 19;

/// The protocol version that everybody speaks.
pub const PROTOCOL_VERSION: i32 = 0x10000;

/// A packet of the quorum protocol. The transactions in it are the bytes that the log has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuorumPacket {
    /// REQUEST: a learner forwards what a client, or the learner itself, asks for.
    Request(ForwardedRequest),
    /// PROPOSAL: to be logged and acknowledged.
    Proposal {
        /// The transaction's id.
        zxid: Zxid,
        /// Header, body and digest.
        txn: Bytes,
    },
    /// ACK of a proposal, or of NEWLEADER and UPTODATE with the epoch's start as zxid.
    Ack {
        /// What is acknowledged.
        zxid: Zxid,
    },
    /// COMMIT: the oldest pending proposal, which is this one, may be applied.
    Commit {
        /// The transaction's id.
        zxid: Zxid,
    },
    /// PING.
    Ping {
        /// The last zxid the leader proposed; a learner echoes it.
        zxid: Zxid,
        /// A learner's answer: the sessions touched since the last one, with their timeouts in
        /// milliseconds. The leader's question has none.
        touched: Option<Vec<(SessionId, i32)>>,
    },
    /// REVALIDATE, a learner's question: may this session go on with me?
    Revalidate {
        /// The session.
        session: SessionId,
        /// The timeout its client negotiated, in milliseconds.
        timeout_ms: i32,
    },
    /// REVALIDATE, the leader's answer.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it is alive.
        valid: bool,
    },
    /// SYNC: everything that was outstanding when the learner's oldest open sync reached the
    /// leader has been committed.
    Sync,
    /// INFORM: a transaction that is committed, for observers.
    Inform {
        /// The transaction's id.
        zxid: Zxid,
        /// Header, body and digest.
        txn: Bytes,
    },
    /// COMMITANDACTIVATE: a COMMIT of a reconfiguration.
    CommitAndActivate {
        /// The transaction's id.
        zxid: Zxid,
        /// Who leads from here on.
        designated: Sid,
    },
    /// NEWLEADER: the learner has everything it was to be sent.
    NewLeader {
        /// The epoch's start.
        zxid: Zxid,
        /// The configuration the leader saw last, as text; none from 3.4.
        config: Option<Bytes>,
    },
    /// FOLLOWERINFO, a participant's first packet.
    FollowerInfo(LearnerInfo),
    /// OBSERVERINFO, an observer's first packet.
    ObserverInfo(LearnerInfo),
    /// UPTODATE: the learner may serve.
    UpToDate,
    /// DIFF: the transactions after what the learner has follow.
    Diff {
        /// The last zxid of the leader, for information.
        zxid: Zxid,
    },
    /// TRUNC: the learner must forget what it has after this.
    Trunc {
        /// The last zxid it keeps.
        zxid: Zxid,
    },
    /// SNAP: a whole tree follows as a stream.
    Snap {
        /// The zxid of the tree.
        zxid: Zxid,
    },
    /// LEADERINFO: the new epoch.
    LeaderInfo {
        /// The epoch the leader proposes.
        epoch: Epoch,
        /// The leader's protocol version; ours is 0x10000.
        protocol_version: i32,
    },
    /// ACKEPOCH: the learner has promised not to follow an older epoch.
    AckEpoch {
        /// The last zxid the learner has logged.
        last_zxid: Zxid,
        /// The learner's `currentEpoch`; `None` (-1 on the wire) if it had promised before, and is
        /// not to be counted again.
        current_epoch: Option<Epoch>,
    },
    /// INFORMANDACTIVATE: an INFORM of a reconfiguration.
    InformAndActivate {
        /// The transaction's id.
        zxid: Zxid,
        /// Who leads from here on.
        designated: Sid,
        /// Header, body and digest.
        txn: Bytes,
    },
    /// A type that this version does not know: to be logged, and ignored.
    Unknown {
        /// The type's number.
        packet_type: i32,
    },
}

/// What a learner forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// The session that asks.
    pub session: SessionId,
    /// The client's xid; 0 for the learner's own requests.
    pub cxid: i32,
    /// The operation; unknown ones travel too.
    pub op: i32,
    /// The record after the client's header.
    pub body: Bytes,
    /// Who asks. Nobody for the learner's own requests.
    pub auth: AuthInfo,
}

/// How a learner introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnerInfo {
    /// The last epoch it promised to follow.
    pub accepted_epoch: Epoch,
    /// Its id; `None` from those before 3.4 that do not say.
    pub sid: Option<Sid>,
    /// Its protocol version; [`PROTOCOL_VERSION`] since 3.4, 1 where it does not say.
    pub protocol_version: i32,
    /// The version of its current configuration; 0 where it does not say.
    pub config_version: i64,
}

impl QuorumPacket {
    /// About so many bytes the packet keeps alive, for bounds on what waits.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 128;
        let more = match self {
            QuorumPacket::Request(request) => request.body.len() + request.auth.wire().len(),
            QuorumPacket::Proposal { txn, .. }
            | QuorumPacket::Inform { txn, .. }
            | QuorumPacket::InformAndActivate { txn, .. } => txn.len(),
            QuorumPacket::Ping { touched: Some(sessions), .. } => size_of_val(&sessions[..]),
            QuorumPacket::NewLeader { config: Some(text), .. } => text.len(),
            QuorumPacket::Ack { .. }
            | QuorumPacket::Commit { .. }
            | QuorumPacket::Ping { touched: None, .. }
            | QuorumPacket::Revalidate { .. }
            | QuorumPacket::Revalidated { .. }
            | QuorumPacket::Sync
            | QuorumPacket::CommitAndActivate { .. }
            | QuorumPacket::NewLeader { config: None, .. }
            | QuorumPacket::FollowerInfo(_)
            | QuorumPacket::ObserverInfo(_)
            | QuorumPacket::UpToDate
            | QuorumPacket::Diff { .. }
            | QuorumPacket::Trunc { .. }
            | QuorumPacket::Snap { .. }
            | QuorumPacket::LeaderInfo { .. }
            | QuorumPacket::AckEpoch { .. }
            | QuorumPacket::Unknown { .. } => 0,
        };
        FIXED + more
    }

    /// The number of its type.
    pub fn packet_type(&self) -> i32 {
        match self {
            QuorumPacket::Request(_) => 1,
            QuorumPacket::Proposal { .. } => 2,
            QuorumPacket::Ack { .. } => 3,
            QuorumPacket::Commit { .. } => 4,
            QuorumPacket::Ping { .. } => 5,
            QuorumPacket::Revalidate { .. } | QuorumPacket::Revalidated { .. } => 6,
            QuorumPacket::Sync => 7,
            QuorumPacket::Inform { .. } => 8,
            QuorumPacket::CommitAndActivate { .. } => 9,
            QuorumPacket::NewLeader { .. } => 10,
            QuorumPacket::FollowerInfo(_) => 11,
            QuorumPacket::UpToDate => 12,
            QuorumPacket::Diff { .. } => 13,
            QuorumPacket::Trunc { .. } => 14,
            QuorumPacket::Snap { .. } => 15,
            QuorumPacket::ObserverInfo(_) => 16,
            QuorumPacket::LeaderInfo { .. } => 17,
            QuorumPacket::AckEpoch { .. } => 18,
            QuorumPacket::InformAndActivate { .. } => 19,
            QuorumPacket::Unknown { packet_type } => *packet_type,
        }
    }

    /// Its name, as Apache's log has it.
    pub fn name(&self) -> &'static str {
        name_of(self.packet_type())
    }
}

/// The name of a type's number.
fn name_of(packet_type: i32) -> &'static str {
    const NAMES: [&str; LAST_TYPE as usize] = [
        "REQUEST",
        "PROPOSAL",
        "ACK",
        "COMMIT",
        "PING",
        "REVALIDATE",
        "SYNC",
        "INFORM",
        "COMMITANDACTIVATE",
        "NEWLEADER",
        "FOLLOWERINFO",
        "UPTODATE",
        "DIFF",
        "TRUNC",
        "SNAP",
        "OBSERVERINFO",
        "LEADERINFO",
        "ACKEPOCH",
        "INFORMANDACTIVATE",
    ];
    let known = usize::try_from(packet_type).ok().and_then(|n| NAMES.get(n.checked_sub(1)?));
    known.copied().unwrap_or("UNKNOWN")
}
