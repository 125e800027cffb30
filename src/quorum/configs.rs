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
        [Some(&self.current), self.proposed()].into_iter().flatten().map(|config| &**config)
    }

    /// The one seen last, if it is newer than the one in force.
    pub fn proposed(&self) -> Option<&Arc<QuorumVerifier>> {
        (self.last_seen.version > self.current.version).then_some(&self.last_seen)
    }

    /// Whether those for whom `has` holds are a quorum of every relevant configuration.
    pub fn contains_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        self.relevant().all(|config| config.contains_quorum(&has))
    }

    /// Whether those for whom `has` holds are a quorum of any relevant configuration: enough to be
    /// followed by, not to lead.
    pub fn contains_any_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        self.relevant().any(|config| config.contains_quorum(&has))
    }

    /// Whether `sid` has a vote in any relevant configuration.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.relevant().any(|config| config.is_voter(sid))
    }

    /// Whether any relevant configuration lists `sid`, with a vote or without.
    pub fn is_member(&self, sid: Sid) -> bool {
        self.relevant().any(|config| config.members.contains_key(&sid))
    }

    /// Everybody with a vote in any relevant configuration, each once.
    pub fn voters(&self) -> Vec<Sid> {
        let mut voters: Vec<Sid> = self.relevant().flat_map(QuorumVerifier::voters).collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(sids: &[i64], version: i64) -> Arc<QuorumVerifier> {
        let line = |n: &i64| format!("server.{n}=h{n}:1:2\n");
        let text = sids.iter().map(line).collect::<String>() + &format!("version={version:x}");
        Arc::new(QuorumVerifier::parse(text.as_bytes()).unwrap())
    }

    fn is_quorum(configs: &Configs, sids: &[i64]) -> bool {
        configs.contains_quorum(|sid| sids.contains(&sid.0))
    }

    #[test]
    fn a_newer_configuration_must_agree_too() {
        let mut configs = Configs::new(config(&[1, 2, 3], 5));
        assert!(is_quorum(&configs, &[1, 2]));
        configs.last_seen = config(&[3, 4, 5], 6);
        assert!(!is_quorum(&configs, &[1, 2]) && !is_quorum(&configs, &[4, 5]));
        assert!(is_quorum(&configs, &[1, 3, 4]), "each has two of them");
        assert!(configs.contains_any_quorum(|sid| sid.0 >= 4), "of those that are proposed");
        assert!(!configs.contains_any_quorum(|sid| sid == Sid(3)), "of none");
        assert_eq!(configs.voters(), [1, 2, 3, 4, 5].map(Sid), "each once");
        assert!(configs.is_voter(Sid(1)) && configs.is_voter(Sid(5)));
    }

    #[test]
    fn one_that_is_not_newer_does_not_count() {
        let mut configs = Configs::new(config(&[1, 2, 3], 5));
        configs.last_seen = config(&[3, 4, 5], 5);
        assert!(is_quorum(&configs, &[1, 2]) && !is_quorum(&configs, &[4, 5]));
        assert!(!configs.is_voter(Sid(5)));
    }
}
