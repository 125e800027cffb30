//! How a leader is established, phase by phase.
//!
//! ```text
//!  Gathering ──quorum of FOLLOWERINFO──▶ Accepting ──acceptedEpoch durable──▶ Promising
//!                                                          LEADERINFO leaves     │
//!  Broadcasting ◀─quorum of ACKs of NEWLEADER─ Synchronizing ◀─currentEpoch─ Entering ◀─┘
//!                                               durable: syncs are chosen     quorum of ACKEPOCH
//! ```
//!
//! What always holds:
//! * The new epoch is above every epoch that anybody of a quorum has promised to follow.
//! * LEADERINFO leaves only when the own promise is durable: it is built from the disk's report.
//! * No learner is synchronized before a quorum has promised, and before this server's own entry
//!   into the epoch is durable.
//! * Observers are told everything and never counted.

use std::collections::BTreeSet;

use super::broadcast::Broadcast;
use crate::proto::quorum_packet::PROTOCOL_VERSION;
use crate::proto::{Epoch, QuorumPacket, Sid};
use crate::quorum::durable::{Durable, Pending};
use crate::quorum::member::Turn;

/// How far the leader has come.
#[derive(Debug)]
pub enum Phase {
    /// Waits for a quorum of introductions.
    Gathering {
        /// Who has come.
        seen: BTreeSet<Sid>,
        /// The highest epoch that one of them, or a member without a vote, has promised to follow.
        highest: Epoch,
    },
    /// The new epoch is on its way to the disk.
    Accepting(Pending<Epoch>),
    /// Waits for a quorum of promises.
    Promising {
        /// The new epoch.
        epoch: Durable<Epoch>,
        /// Who has promised.
        promised: BTreeSet<Sid>,
    },
    /// The entry into the epoch is on its way to the disk, behind it the ensemble's first
    /// configuration, if it is to have one.
    Entering {
        /// The new epoch.
        epoch: Durable<Epoch>,
        /// `currentEpoch`.
        entry: Pending<Epoch>,
        /// The version of the first configuration.
        config: Option<Pending<i64>>,
    },
    /// Waits for a quorum that has everything.
    Synchronizing {
        /// The new epoch.
        epoch: Durable<Epoch>,
        /// Who has acknowledged NEWLEADER.
        acked: BTreeSet<Sid>,
    },
    /// It leads.
    Broadcasting(Durable<Epoch>, Box<Broadcast>),
}

impl Phase {
    /// The phase of a server that was just elected.
    pub fn gathering(turn: &Turn<'_>) -> Self {
        let member = &*turn.member;
        Phase::Gathering { seen: BTreeSet::from([member.me]), highest: member.accepted_epoch }
    }

    /// The new epoch, once it may be told.
    pub fn epoch(&self) -> Option<Durable<Epoch>> {
        match self {
            Phase::Gathering { .. } | Phase::Accepting(_) => None,
            Phase::Promising { epoch, .. }
            | Phase::Entering { epoch, .. }
            | Phase::Synchronizing { epoch, .. }
            | Phase::Broadcasting(epoch, _) => Some(*epoch),
        }
    }

    /// Whether a quorum follows the epoch, and this server durably: learners are synchronized.
    pub fn synchronizes(&self) -> bool {
        matches!(self, Phase::Synchronizing { .. } | Phase::Broadcasting(..))
    }

    /// What it waits for, in words.
    pub fn awaited(&self) -> &'static str {
        match self {
            Phase::Gathering { .. } => "no quorum has come",
            Phase::Accepting(_) => "the own disk does not take the new epoch",
            Phase::Promising { .. } => "no quorum has promised to follow the epoch",
            Phase::Entering { .. } => "the own disk does not take the entry into the epoch",
            Phase::Synchronizing { .. } => "no quorum is synchronized",
            Phase::Broadcasting(..) => "nothing",
        }
    }

    /// Goes on by one phase, if quorum or disk allow it. The last step, to `Broadcasting`, is the
    /// leader's.
    pub fn advance(&mut self, turn: &mut Turn<'_>) -> bool {
        let next = match self {
            Phase::Gathering { seen, highest } => {
                if !turn.member.configs.contains_quorum(|sid| seen.contains(&sid)) {
                    return false;
                }
                Phase::Accepting(turn.accept_epoch(highest.next()))
            }
            Phase::Accepting(pending) => {
                let Some(epoch) = turn.member.tickets.redeem(pending) else { return false };
                Phase::Promising { epoch, promised: BTreeSet::from([turn.member.me]) }
            }
            Phase::Promising { epoch, promised } => {
                if !turn.member.configs.contains_quorum(|sid| promised.contains(&sid)) {
                    return false;
                }
                let entry = turn.set_current_epoch(epoch.what());
                let config = first_config(turn, epoch.what());
                Phase::Entering { epoch: *epoch, entry, config }
            }
            Phase::Entering { epoch, entry, config } => {
                let tickets = &turn.member.tickets;
                let has_config = config.is_none_or(|config| tickets.redeem(&config).is_some());
                if tickets.redeem(entry).is_none() || !has_config {
                    return false;
                }
                let acked = BTreeSet::from([turn.member.me]);
                Phase::Synchronizing { epoch: *epoch, acked }
            }
            Phase::Synchronizing { .. } | Phase::Broadcasting(..) => return false,
        };
        *self = next;
        true
    }
}

/// A configuration that was never established gets the epoch's start as its version, where
/// configurations may change at all.
fn first_config(turn: &mut Turn<'_>, epoch: Epoch) -> Option<Pending<i64>> {
    let configs = &turn.member.configs;
    if !turn.member.options.reconfig_enabled
        || (configs.current.version, configs.last_seen.version) != (0, 0)
    {
        return None;
    }
    let mut config = (*configs.last_seen).clone();
    config.version = epoch.start().to_long();
    Some(turn.see_config(config.into()))
}

/// LEADERINFO: only a durable promise makes one.
pub fn leader_info(epoch: Durable<Epoch>) -> QuorumPacket {
    QuorumPacket::LeaderInfo { epoch: epoch.what(), protocol_version: PROTOCOL_VERSION }
}
