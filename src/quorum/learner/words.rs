//! Words for what came instead of what was expected.

use super::Departure;
use crate::proto::QuorumPacket;

/// The leader sent what does not belong here.
pub(super) fn unexpected(expected: &str, got: &QuorumPacket) -> Departure {
    format!("expected {expected}, got {}", name(got)).into()
}

/// A packet's name, with what tells it from others of its kind.
pub(super) fn name(packet: &QuorumPacket) -> String {
    use QuorumPacket::*;
    match packet {
        Request(_) => "REQUEST".into(),
        Proposal { zxid, .. } => format!("PROPOSAL {zxid}"),
        Ack { zxid } => format!("ACK {zxid}"),
        Commit { zxid } => format!("COMMIT {zxid}"),
        Ping { .. } => "PING".into(),
        Revalidate { session, .. } => format!("REVALIDATE {session}"),
        Revalidated { session, .. } => format!("REVALIDATE answer {session}"),
        Sync => "SYNC".into(),
        Inform { zxid, .. } => format!("INFORM {zxid}"),
        CommitAndActivate { zxid, .. } => format!("COMMITANDACTIVATE {zxid}"),
        NewLeader { zxid, .. } => format!("NEWLEADER {zxid}"),
        FollowerInfo(_) => "FOLLOWERINFO".into(),
        ObserverInfo(_) => "OBSERVERINFO".into(),
        UpToDate => "UPTODATE".into(),
        Diff { zxid } => format!("DIFF {zxid}"),
        Trunc { zxid } => format!("TRUNC {zxid}"),
        Snap { zxid } => format!("SNAP {zxid}"),
        LeaderInfo { epoch, .. } => format!("LEADERINFO of epoch {epoch}"),
        AckEpoch { .. } => "ACKEPOCH".into(),
        InformAndActivate { zxid, .. } => format!("INFORMANDACTIVATE {zxid}"),
        Unknown { packet_type } => format!("the unknown type {packet_type}"),
    }
}
