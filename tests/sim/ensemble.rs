//! The ensembles that are simulated.

use std::fmt;
use std::sync::Arc;

use zkserver::proto::membership::{Hierarchy, LearnerType, QuorumServer, ServerAddress};
use zkserver::proto::{QuorumVerifier, Sid};

use crate::random::Random;

/// Who the servers are when the run begins.
#[derive(Debug, Clone)]
pub struct Ensemble {
    /// `None`: one server that is alone.
    members: Option<Arc<QuorumVerifier>>,
}

impl Ensemble {
    /// One server that is alone.
    pub fn alone() -> Self {
        Ensemble { members: None }
    }

    /// So many voters, and observers behind them, by majority or in `groups`.
    pub fn members(voters: usize, observers: usize, groups: usize) -> Self {
        Self::weighted(voters, observers, groups, &[])
    }

    /// The same with weights: the first of each group has one, the others have those, in turn.
    fn weighted(voters: usize, observers: usize, groups: usize, weights: &[i64]) -> Self {
        let server = |n: usize| QuorumServer {
            addresses: vec![ServerAddress {
                host: format!("10.0.0.{}", n + 1),
                quorum_port: 2888,
                election_port: 3888,
            }],
            learner_type: match n < voters {
                true => LearnerType::Participant,
                false => LearnerType::Observer,
            },
            client: None,
            secure_client: None,
        };
        let sid = |n: usize| Sid(n as i64 + 1);
        let members = (0..voters + observers).map(|n| (sid(n), server(n))).collect();
        let hierarchy = (groups > 0).then(|| Hierarchy {
            groups: (0..voters).map(|n| (sid(n), (n % groups) as i64 + 1)).collect(),
            weights: (groups..voters).map(sid).zip(weights.iter().copied()).collect(),
        });
        Ensemble { members: Some(Arc::new(QuorumVerifier { members, version: 0, hierarchy })) }
    }

    /// A seed's ensemble: half with three, four in ten with five or seven, some with observers, some in
    /// groups.
    pub fn draw(random: &mut Random) -> Self {
        let voters = random.pick(&[1, 3, 3, 3, 3, 3, 5, 5, 5, 7]);
        let observers = random.pick(&[0, 0, 0, 1, 1, 2]);
        if voters == 1 {
            return Ensemble::members(1, observers.min(1), 0);
        }
        let in_groups = random.permille(150);
        let groups = if !in_groups { 0 } else { 3 };
        let weights: Vec<i64> = (0..voters).map(|_| random.pick(&[1, 1, 2, 3, 0])).collect();
        Ensemble::weighted(voters, observers, groups, &weights)
    }

    /// How many servers there are.
    pub fn size(&self) -> usize {
        self.members.as_ref().map_or(1, |members| members.members.len())
    }

    /// All of them.
    pub fn sids(&self) -> Vec<Sid> {
        (0..self.size()).map(|n| Sid(n as i64 + 1)).collect()
    }

    /// Whether it is a server that is alone.
    pub fn is_alone(&self) -> bool {
        self.members.is_none()
    }

    /// Whether groups decide.
    pub fn is_in_groups(&self) -> bool {
        self.members.as_ref().is_some_and(|members| members.hierarchy.is_some())
    }

    /// The configuration; `None` for a server that is alone.
    pub fn config(&self) -> Option<&Arc<QuorumVerifier>> {
        self.members.as_ref()
    }

    /// Those with a vote.
    pub fn voters(&self) -> Vec<Sid> {
        self.members.as_ref().map_or_else(|| vec![Sid(1)], |members| members.voters().collect())
    }

    /// Those without.
    pub fn observers(&self) -> Vec<Sid> {
        let Some(members) = &self.members else { return Vec::new() };
        members.members.keys().copied().filter(|sid| !members.is_voter(*sid)).collect()
    }
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(members) = &self.members else { return f.write_str("one server, alone") };
        write!(f, "{} voters", self.voters().len())?;
        if !self.observers().is_empty() {
            write!(f, ", {} observers", self.observers().len())?;
        }
        if members.hierarchy.is_some() {
            f.write_str(", in groups")?;
        }
        Ok(())
    }
}
