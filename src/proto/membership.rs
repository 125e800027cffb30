//! Who the members are and what a quorum of them is.

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
    /// A name or an address, IPv6 without its brackets.
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

/// Groups of weighted servers (`QuorumHierarchical`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchy {
    /// The group of each server.
    pub groups: BTreeMap<Sid, i64>,
    /// The weights that are not 1.
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
            Some(hierarchy) => {
                let mut groups: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
                for sid in self.voters() {
                    let Some(group) = hierarchy.groups.get(&sid) else { continue };
                    let (all, with) = groups.entry(*group).or_default();
                    *all += hierarchy.weight(sid);
                    *with += if has(sid) { hierarchy.weight(sid) } else { 0 };
                }
                groups.retain(|_, (all, _)| *all > 0);
                let with = groups.values().filter(|(all, with)| *with > all / 2).count();
                with > groups.len() / 2
            }
        }
    }
}

impl Hierarchy {
    /// A server's weight.
    pub fn weight(&self, sid: Sid) -> i64 {
        self.weights.get(&sid).copied().unwrap_or(1)
    }
}
