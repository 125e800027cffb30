//! Who the members are and what a quorum of them is.

mod reconfig;
mod server_line;
mod text;

pub use reconfig::{ReconfigRules, reconfig};
pub use text::MAX_CONFIG_TEXT;

use std::collections::BTreeMap;

use super::Sid;

/// Whether a member has a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnerType {
    /// It votes, acknowledges, and may lead.
    Participant,
    /// It is told what was committed.
    Observer,
}

/// One of a member's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an address, IPv6 without its brackets and with all eight groups, as Java has it.
    pub host: String,
    /// Where a leader takes its learners.
    pub quorum_port: u16,
    /// Where elections are held.
    pub election_port: u16,
}

/// A member: a `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumServer {
    /// Its addresses, at least one.
    pub addresses: Vec<ServerAddress>,
    /// Whether it has a vote.
    pub learner_type: LearnerType,
    /// Where clients reach it (host and port), where the line says so.
    pub client: Option<(String, u16)>,
    /// Where clients reach it by TLS, where the line says so (3.10).
    pub secure_client: Option<(String, u16)>,
}

/// A configuration of the ensemble (`QuorumVerifier`): its members, its version, and what a quorum
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumVerifier {
    /// The members by id.
    pub members: BTreeMap<Sid, QuorumServer>,
    /// 0 before it was ever established, then a zxid.
    pub version: i64,
    /// Groups and weights; `None` where the majority of the participants decides.
    pub hierarchy: Option<Hierarchy>,
}

/// Groups of weighted servers (`QuorumHierarchical`). Every participant is in one group, and every
/// server in a group has a weight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchy {
    /// The group of each server. It may name others than participants: their weight, which they
    /// never bring in, counts in their group's.
    pub groups: BTreeMap<Sid, i64>,
    /// The weights, none of them negative.
    pub weights: BTreeMap<Sid, i64>,
}

impl QuorumVerifier {
    /// Whether `sid` has a vote.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.members.get(&sid).is_some_and(|server| server.learner_type == LearnerType::Participant)
    }

    /// The participants, in the order of their ids.
    pub fn voters(&self) -> impl Iterator<Item = Sid> + '_ {
        self.members
            .iter()
            .filter(|(_, server)| server.learner_type == LearnerType::Participant)
            .map(|(&sid, _)| sid)
    }

    /// A server's weight: 1 unless a hierarchy says otherwise; a server of weight 0 is never elected
    /// (C-227).
    pub fn weight(&self, sid: Sid) -> i64 {
        self.hierarchy.as_ref().map_or(1, |hierarchy| hierarchy.weight(sid))
    }

    /// Whether those for whom `has` holds are a quorum: more than half of the participants, or more
    /// than half of the groups that have weight, each with more than half of its weight (C-228).
    pub fn contains_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        match &self.hierarchy {
            None => {
                let (all, with) = self
                    .voters()
                    .fold((0_usize, 0), |(all, with), sid| (all + 1, with + usize::from(has(sid))));
                with > all / 2
            }
            Some(hierarchy) => hierarchy.contains_quorum(|sid| self.is_voter(sid) && has(sid)),
        }
    }

    /// Whether both have the same members and the same quorums, whatever their versions.
    pub fn has_same_members(&self, other: &QuorumVerifier) -> bool {
        self.members == other.members && self.hierarchy == other.hierarchy
    }

    /// Whether a member has more than one address, which `multiAddress.enabled` must allow.
    pub fn has_several_addresses(&self) -> bool {
        self.members.values().any(|server| server.addresses.len() > 1)
    }
}

impl Hierarchy {
    /// A server's weight.
    pub fn weight(&self, sid: Sid) -> i64 {
        self.weights.get(&sid).copied().unwrap_or(1)
    }

    fn contains_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        // Weights may be as large as their fields: their sums are not.
        let mut groups: BTreeMap<i64, (i128, i128)> = BTreeMap::new();
        for (&sid, &group) in &self.groups {
            let weight = i128::from(self.weight(sid));
            let (all, with) = groups.entry(group).or_default();
            *all += weight;
            *with += if has(sid) { weight } else { 0 };
        }
        groups.retain(|_, (all, _)| *all > 0);
        let with = groups.values().filter(|(all, with)| *with > all / 2).count();
        with > groups.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> QuorumVerifier {
        QuorumVerifier::parse(text.as_bytes()).unwrap()
    }

    fn ensemble(participants: i64, more: &str) -> QuorumVerifier {
        let line = |n| format!("server.{n}=h{n}:1:2\n");
        parsed(&((1..=participants).map(line).collect::<String>() + more))
    }

    fn is_quorum(verifier: &QuorumVerifier, sids: &[i64]) -> bool {
        verifier.contains_quorum(|sid| sids.contains(&sid.0))
    }

    #[test]
    fn a_majority_is_more_than_half_of_those_who_vote() {
        let four = ensemble(4, "server.9=h:1:2:observer");
        assert!(is_quorum(&four, &[1, 2, 4]));
        assert!(!is_quorum(&four, &[1, 2]) && !is_quorum(&four, &[1, 2, 9, 10]));
        assert!(is_quorum(&ensemble(1, ""), &[1]) && !is_quorum(&ensemble(1, ""), &[]));
    }

    /// C-228
    #[test]
    fn a_hierarchical_quorum_is_most_groups_with_most_of_their_weight() {
        let nine = ensemble(9, "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9");
        assert!(is_quorum(&nine, &[1, 2, 4, 5]));
        assert!(!is_quorum(&nine, &[1, 2, 4, 7]), "a majority in one group only");
        assert!(!is_quorum(&nine, &[1, 2, 3]), "one group of three");
        let weighted = ensemble(9, "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\nweight.1=3");
        assert!(is_quorum(&weighted, &[1, 4, 5]), "three of the five of its group");
        assert!(!is_quorum(&weighted, &[2, 3, 4, 5]));
    }

    #[test]
    fn a_group_without_weight_does_not_count() {
        let groups = "group.1=1:2:3\ngroup.2=4:5\nweight.4=0\nweight.5=0\n";
        let five = ensemble(5, groups);
        assert!(is_quorum(&five, &[1, 2]), "one group of one");
        assert!(!is_quorum(&five, &[3, 4, 5]));
        assert!(!is_quorum(&ensemble(1, "group.1=1\nweight.1=0"), &[1]), "no group has weight");
    }

    #[test]
    fn weight_that_nobody_brings_in_counts_against_its_group() {
        let with_observer = ensemble(2, "server.3=h:1:2:observer\ngroup.1=1:2:3\nweight.3=2");
        assert!(!is_quorum(&with_observer, &[1, 2, 3]), "two of four");
        let huge = ensemble(3, &format!("group.1=1:2:3\nweight.1={0}\nweight.2={0}", i64::MAX));
        assert!(is_quorum(&huge, &[1, 2]) && !is_quorum(&huge, &[1]));
    }
}
