//! What a member of an ensemble says of its role and, if it leads, of its learners.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumVerifier, ServerState, Sid, Zxid};

/// How far a member has come with the others (Apache's `ZabState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZabState {
    /// It looks for a leader.
    Election,
    /// The epoch is agreed upon.
    Discovery,
    /// The histories are made one.
    Synchronization,
    /// Transactions are proposed and committed; clients are served.
    Broadcast,
}

/// How a learner is brought to where its leader is (Apache's `SyncMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SyncMode {
    Diff,
    Snap,
    Trunc,
}

/// What a member does, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What it does.
    pub state: ServerState,
    /// How far it has come.
    pub zab: ZabState,
}

/// A member of an ensemble at one moment. Moments are milliseconds on the monotonic clock.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// The moment that all of this is about.
    pub at_ms: u64,
    /// Its id.
    pub sid: Sid,
    /// What it does.
    pub stage: Stage,
    /// How it is being synchronized, if it is and that is known.
    pub sync: Option<SyncMode>,
    /// The server that leads it, itself included; `None` while it looks for one.
    pub leader: Option<Sid>,
    /// The last epoch it has promised to follow.
    pub accepted_epoch: Epoch,
    /// The epoch whose leader it was last synchronized with.
    pub current_epoch: Epoch,
    /// The last transaction it has logged, or is logging.
    pub last_logged: Zxid,
    /// The last transaction it knows to be committed.
    pub last_committed: Zxid,
    /// The round of elections it is in.
    pub round: i64,
    /// Whether it may vote, if the configuration gives it a vote: not while it may have forgotten
    /// what it acknowledged.
    pub may_vote: bool,
    /// The configuration in force.
    pub config: Arc<QuorumVerifier>,
    /// How many sessions only this server knows.
    pub local_sessions: usize,
    /// How long the last election took, in milliseconds.
    pub election_ms: Option<u64>,
    /// Since when it serves as what it is now.
    pub serving_since_ms: Option<u64>,
    /// Syncs that learners wait for, at a leader.
    pub pending_syncs: usize,
    /// A leader's learners, in the order in which they came.
    pub learners: Vec<LearnerStatus>,
}

/// A learner, as its leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnerStatus {
    /// Its link.
    pub link: LinkId,
    /// Where the link comes from, where that is known.
    pub address: Option<SocketAddr>,
    /// Who it is and what it is, once it has said so.
    pub peer: Option<(Sid, LearnerType)>,
    /// Whether the configuration in force gives it a vote.
    pub votes: bool,
    /// How far it has come; never `Election`.
    pub zab: ZabState,
    /// How it is being synchronized.
    pub sync: Option<SyncMode>,
    /// Whether it has acknowledged that it has everything (NEWLEADER).
    pub is_synced: bool,
    /// How many bytes wait to be sent to it.
    pub queued_bytes: u64,
    /// For how long nothing was heard of it, in milliseconds.
    pub silent_ms: u64,
    /// The last transaction it was sent a proposal of and has not acknowledged …
    pub unacknowledged: Option<Zxid>,
    /// … and for how long it owes the oldest acknowledgement, in milliseconds; 0 for none.
    pub unacknowledged_ms: u64,
}

impl MemberStatus {
    /// What it does and how far it has come as Apache prints it, such as `following - broadcast`.
    pub fn peer_state(&self) -> String {
        let state = match self.stage.state {
            ServerState::Looking => "looking",
            ServerState::Following => "following",
            ServerState::Leading => "leading",
            ServerState::Observing => "observing",
        };
        peer_state(state, self.stage.zab, self.sync)
    }

    /// Whether words are answered in full: Apache's server answers them from the broadcast on.
    pub fn is_running(&self) -> bool {
        self.stage.zab == ZabState::Broadcast
    }

    /// Apache's name of the role.
    pub fn mode(&self) -> &'static str {
        match self.stage.state {
            ServerState::Looking => "looking",
            ServerState::Following => "follower",
            ServerState::Leading => "leader",
            ServerState::Observing => "observer",
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.stage.state == ServerState::Leading
    }

    /// How many of the learners have everything, by what they are: followers with a vote or without,
    /// those without, observers.
    pub fn synced(&self) -> (usize, usize, usize) {
        let count = |wanted: &dyn Fn(&LearnerStatus, LearnerType) -> bool| {
            let is = |learner: &&LearnerStatus| {
                let kind = learner.peer.map(|(_, kind)| kind);
                learner.is_synced && kind.is_some_and(|kind| wanted(learner, kind))
            };
            self.learners.iter().filter(is).count()
        };
        (
            count(&|_, kind| kind == LearnerType::Participant),
            count(&|learner, kind| kind == LearnerType::Participant && !learner.votes),
            count(&|_, kind| kind == LearnerType::Observer),
        )
    }
}

impl LearnerStatus {
    /// What it does, in the words in which it would tell itself: `following - broadcast`.
    pub fn peer_state(&self) -> String {
        let state = match self.peer {
            None => "connecting",
            Some((_, LearnerType::Participant)) => "following",
            Some((_, LearnerType::Observer)) => "observing",
        };
        peer_state(state, self.zab, self.sync)
    }
}

fn peer_state(state: &str, zab: ZabState, sync: Option<SyncMode>) -> String {
    let zab = match zab {
        ZabState::Election => return state.to_owned(),
        ZabState::Discovery => "discovery",
        ZabState::Synchronization => "synchronization",
        ZabState::Broadcast => "broadcast",
    };
    match sync {
        None => format!("{state} - {zab}"),
        Some(SyncMode::Diff) => format!("{state} - {zab} - diff"),
        Some(SyncMode::Snap) => format!("{state} - {zab} - snap"),
        Some(SyncMode::Trunc) => format!("{state} - {zab} - trunc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_in_apaches_words() {
        assert_eq!(peer_state("looking", ZabState::Election, None), "looking");
        assert_eq!(peer_state("leading", ZabState::Broadcast, None), "leading - broadcast");
        assert_eq!(peer_state("leading", ZabState::Discovery, None), "leading - discovery");
        let snap = Some(SyncMode::Snap);
        assert_eq!(
            peer_state("observing", ZabState::Synchronization, snap),
            "observing - synchronization - snap"
        );
    }
}
