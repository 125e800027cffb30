//! The packets between a leader and its learners.

use bytes::Bytes;

use super::{Epoch, SessionId, Sid, Zxid};

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
    /// Who asks: scheme and id, each as its bytes. Empty for the learner's own requests.
    pub auth: Vec<(Bytes, Bytes)>,
}

/// How a learner introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnerInfo {
    /// The last epoch it promised to follow.
    pub accepted_epoch: Epoch,
    /// Its id; `None` from servers before 3.4 that do not say.
    pub sid: Option<Sid>,
    /// Its protocol version; 0x10000 is what everybody speaks.
    pub protocol_version: i32,
    /// The version of its current configuration; 0 where it does not say.
    pub config_version: i64,
}
