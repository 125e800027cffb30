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
    let name = packet.name();
    match packet {
        Proposal { zxid, .. }
        | Ack { zxid }
        | Commit { zxid }
        | Inform { zxid, .. }
        | CommitAndActivate { zxid, .. }
        | NewLeader { zxid, .. }
        | Diff { zxid }
        | Trunc { zxid }
        | Snap { zxid }
        | InformAndActivate { zxid, .. } => format!("{name} {zxid}"),
        LeaderInfo { epoch, .. } => format!("{name} of epoch {epoch}"),
        Revalidate { session, .. } | Revalidated { session, .. } => format!("{name} {session}"),
        Unknown { packet_type } => format!("a packet of type {packet_type}"),
        Request(_)
        | Ping { .. }
        | Sync
        | FollowerInfo(_)
        | ObserverInfo(_)
        | UpToDate
        | AckEpoch { .. } => name.to_owned(),
    }
}
