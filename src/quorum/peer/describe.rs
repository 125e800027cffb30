//! What a peer tells of itself, for words and metrics. Nothing depends on it.

use super::{Kind, QuorumPeer, Role};
use crate::status::{MemberStatus, Stage, ZabState};
use crate::time::Instant;

impl QuorumPeer {
    /// What it does and how far it has come; `None` for a server that is alone.
    pub fn stage(&self) -> Option<Stage> {
        let Kind::Member(_, role) = &self.0 else { return None };
        let zab = match role {
            Role::Leaving(_) | Role::Looking(_) => ZabState::Election,
            Role::Leading(leader) => leader.zab_state(),
            Role::Learning(learner) => learner.zab_state(),
        };
        Some(Stage { state: role.state(), zab })
    }

    /// A number that is another when a leader's learners have come, gone, or come further.
    pub fn learners_mark(&self) -> u64 {
        match &self.0 {
            Kind::Member(_, Role::Leading(leader)) => leader.learners_mark(),
            _ => 0,
        }
    }

    /// All of it; `None` for a server that is alone. What a shell knows better, since when and by
    /// which means, is left to that.
    pub fn describe(&self, now: Instant) -> Option<MemberStatus> {
        let Kind::Member(member, role) = &self.0 else { return None };
        let (mut learners, mut pending_syncs, mut local_sessions) = (Vec::new(), 0, 0);
        let leader = match role {
            Role::Leaving(_) | Role::Looking(_) => None,
            Role::Leading(leader) => {
                learners = leader.describe_learners(&member.configs, now.mono_ms);
                pending_syncs = leader.pending_syncs();
                local_sessions = leader.local_sessions();
                Some(member.me)
            }
            Role::Learning(learner) => {
                local_sessions = learner.local_sessions();
                Some(learner.leader())
            }
        };
        Some(MemberStatus {
            at_ms: now.mono_ms,
            sid: member.me,
            stage: self.stage()?,
            sync: None,
            leader,
            accepted_epoch: member.accepted_epoch,
            current_epoch: member.current_epoch,
            last_logged: member.last_logged,
            last_committed: member.committed.max(),
            round: member.round,
            may_vote: member.may_vote,
            config: member.configs.current.clone(),
            local_sessions,
            election_ms: None,
            serving_since_ms: None,
            pending_syncs,
            learners,
        })
    }
}
