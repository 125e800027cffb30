//! Acknowledgements: each packet that promises something, built from the disk's proof of it.
//!
//! There is no other place in the learner that makes an ACK or ACKEPOCH, so "durable before
//! promised" needs care in one place only, [`last_zxid`].

use crate::proto::{Epoch, QuorumPacket, Zxid};
use crate::quorum::durable::Durable;
use crate::quorum::member::Member;

/// ACKEPOCH: the leader's epoch is newer than any this server has promised to follow, and now it
/// is promised.
pub(super) fn epoch(_promised: Durable<Epoch>, member: &Member) -> QuorumPacket {
    QuorumPacket::AckEpoch {
        last_zxid: last_zxid(member),
        current_epoch: Some(member.current_epoch),
    }
}

/// ACKEPOCH of an epoch that was promised before, in an earlier role, and is on the disk since: it
/// is not to be counted again.
pub(super) fn epoch_again(member: &Member) -> QuorumPacket {
    QuorumPacket::AckEpoch { last_zxid: last_zxid(member), current_epoch: None }
}

/// A member without data says -1, so that nobody counts it (C-226). A leader takes what it has
/// proposed itself, up to here, for acknowledged. It is on the disk, though no type says so: a role
/// begins when the disk has reported everything, and no transaction is given to it before this.
fn last_zxid(member: &Member) -> Zxid {
    if member.has_data { member.last_logged } else { Zxid::NO_DATA }
}

/// ACK of NEWLEADER, and of UPTODATE: `currentEpoch` is durable, and everything before it.
pub(super) fn new_leader(epoch: Durable<Epoch>) -> QuorumPacket {
    QuorumPacket::Ack { zxid: epoch.what().start() }
}

/// ACK of a proposal.
pub(super) fn proposal(logged: Durable<Zxid>) -> QuorumPacket {
    QuorumPacket::Ack { zxid: logged.what() }
}
