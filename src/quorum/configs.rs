//! The configurations a member goes by: the one in force, and the one it saw proposed last.

use std::sync::Arc;

use crate::proto::{QuorumVerifier, Sid};

/// The two slots every member has.
#[derive(Debug, Clone)]
pub struct Configs {
    /// In force: committed, or what the member started with.
    pub current: Arc<QuorumVerifier>,
    /// Proposed last; never older than the current one.
    pub last_seen: Arc<QuorumVerifier>,
}

impl Configs {
    /// A member that knows of no other configuration than `current`.
    pub fn new(current: Arc<QuorumVerifier>) -> Self {
        Configs { last_seen: current.clone(), current }
    }

    /// Those that must agree: the one in force, and the one seen last if that is newer (C-269).
    pub fn relevant(&self) -> impl Iterator<Item = &QuorumVerifier> + '_ {
        let newer = (self.last_seen.version > self.current.version).then_some(&*self.last_seen);
        [Some(&*self.current), newer].into_iter().flatten()
    }

    /// Whether those for whom `has` holds are a quorum of every relevant configuration.
    pub fn contains_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        self.relevant().all(|config| config.contains_quorum(&has))
    }

    /// Whether `sid` has a vote in any relevant configuration.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.relevant().any(|config| config.is_voter(sid))
    }

    /// Everybody with a vote in any relevant configuration, each once.
    pub fn voters(&self) -> Vec<Sid> {
        let mut voters: Vec<Sid> = self.relevant().flat_map(QuorumVerifier::voters).collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }
}
