//! What a leader tells of itself and of its learners.

use super::Leader;
use super::epoch::Phase;
use super::learner_handler::{LearnerHandler, State};
use crate::quorum::configs::Configs;
use crate::status::{LearnerStatus, ZabState};

impl Leader {
    /// How far it has come.
    pub fn zab_state(&self) -> ZabState {
        match &self.phase {
            Phase::Gathering { .. }
            | Phase::Accepting(_)
            | Phase::Promising { .. }
            | Phase::Entering { .. } => ZabState::Discovery,
            Phase::Synchronizing { .. } => ZabState::Synchronization,
            Phase::Broadcasting(..) => ZabState::Broadcast,
        }
    }

    /// Syncs that learners wait for.
    pub fn pending_syncs(&self) -> usize {
        self.broadcast().map_or(0, |broadcast| broadcast.pending_syncs())
    }

    /// Sessions that only this server knows.
    pub fn local_sessions(&self) -> usize {
        self.broadcast().map_or(0, |broadcast| broadcast.local_sessions())
    }

    /// A number that is another when learners have come, gone, or come further.
    pub fn learners_mark(&self) -> u64 {
        self.learners.iter().fold(0, |mark: u64, handler| {
            let step = zab_state(handler) as u64 * 2 + u64::from(is_synced(handler));
            mark.wrapping_mul(31).wrapping_add(handler.link().0 ^ (step << 40))
        })
    }

    /// Its learners, in the order in which they came.
    pub fn describe_learners(&self, configs: &Configs, now_ms: u64) -> Vec<LearnerStatus> {
        let describe = |handler: &LearnerHandler| {
            let peer = handler.peer();
            let oldest_ms = handler.owes_since_ms();
            LearnerStatus {
                link: handler.link(),
                address: None,
                peer: peer.map(|peer| (peer.sid, peer.kind)),
                votes: peer.is_some_and(|peer| configs.current.is_voter(peer.sid)),
                zab: zab_state(handler),
                sync: None,
                is_synced: is_synced(handler),
                queued_bytes: 0,
                silent_ms: now_ms.saturating_sub(handler.heard_ms()),
                unacknowledged: handler.owes_up_to(),
                unacknowledged_ms: oldest_ms.map_or(0, |since| now_ms.saturating_sub(since)),
            }
        };
        self.learners.iter().map(describe).collect()
    }
}

fn zab_state(handler: &LearnerHandler) -> ZabState {
    match handler.state() {
        State::Connected | State::Introduced(_) | State::Invited(_) | State::Promised(..) => {
            ZabState::Discovery
        }
        State::Surveyed(_) | State::Synchronizing(_) | State::Synced(_) => {
            ZabState::Synchronization
        }
        State::Serving(_) => ZabState::Broadcast,
    }
}

fn is_synced(handler: &LearnerHandler) -> bool {
    matches!(handler.state(), State::Synced(_) | State::Serving(_))
}
