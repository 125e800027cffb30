//! `Syncs`: a sync is answered when a quorum has confirmed that this server still leads.
//!
//! What a client reads after a sync is at least as new as what anybody was told before it asked.
//! That everything proposed before is committed is not enough: a leader that was deposed and has
//! not noticed has nothing outstanding. So each sync also waits for a round of PINGs that was sent
//! behind its arrival and that a quorum has answered (ZOOKEEPER-1675, N-16). Apache's leader does
//! not ask.
//!
//! On the link nothing may be different: a learner of Apache's takes the answer at its place among
//! the commits, behind the last that was proposed when the sync came and before the next. At another
//! place it takes the next commit for somebody else's, and no client of its own is answered ever
//! after. So what is committed while a learner's sync waits for its round waits here, for that
//! learner, behind the answer.
//!
//! Rounds are numbered, and serve whoever must know that this server leads (`refusals`). A round begins when somebody waits for it and none is under way, so that
//! many syncs share one; the regular PINGs are rounds too.

use std::collections::{BTreeMap, VecDeque};

use super::learners::Learners;
use crate::proto::{LinkId, QuorumPacket, Sid, Zxid};
use crate::quorum::configs::Configs;

/// Rounds, and who waits for them.
#[derive(Debug, Default)]
pub struct Syncs {
    /// The last round that was sent.
    sent: u64,
    /// The last round that a quorum has answered.
    confirmed: u64,
    /// The last round that somebody waits for.
    wanted: u64,
    /// The learners' syncs in the order they came; every learner's answers keep that order.
    waiting: VecDeque<Waiting>,
    /// By learner, of those that wait.
    lanes: BTreeMap<LinkId, Lane>,
}

/// What waits for one learner.
#[derive(Debug, Default)]
struct Lane {
    /// What each of its syncs stands behind.
    syncs: VecDeque<Zxid>,
    /// What was committed behind the first of those.
    commits: VecDeque<(Zxid, QuorumPacket)>,
}

#[derive(Debug)]
struct Waiting {
    link: LinkId,
    round: u64,
    /// To be committed first.
    behind: Zxid,
}

impl Syncs {
    /// Something has come that must know that this server leads from now on: the round it waits for.
    pub fn ask(&mut self) -> u64 {
        self.wanted = self.sent + 1;
        self.wanted
    }

    /// A learner's sync has come, behind everything up to `behind`.
    pub fn forwarded(&mut self, link: LinkId, behind: Zxid) {
        let round = self.ask();
        self.waiting.push_back(Waiting { link, round, behind });
        self.lanes.entry(link).or_default().syncs.push_back(behind);
    }

    /// Whether the news of a commit must wait for the answer to a sync of that learner; it is kept
    /// then, and comes with the answer.
    pub fn holds(&mut self, link: LinkId, zxid: Zxid, packet: &QuorumPacket) -> bool {
        let Some(lane) = self.lanes.get_mut(&link) else { return false };
        let holds = lane.syncs.front().is_some_and(|behind| *behind < zxid);
        if holds {
            lane.commits.push_back((zxid, packet.clone()));
        }
        holds
    }

    /// Whether a round should begin.
    pub fn wants_a_round(&self) -> bool {
        self.wanted > self.sent && self.confirmed == self.sent
    }

    /// A round begins: every learner that serves is sent a PING.
    pub fn begin_round(&mut self) {
        self.sent += 1;
    }

    /// The last round that was sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a quorum has answered that round.
    pub fn is_confirmed(&self, round: u64) -> bool {
        round <= self.confirmed
    }

    /// Counts the answers.
    pub fn count(&mut self, me: Sid, configs: &Configs, learners: &Learners) {
        while self.confirmed < self.sent {
            let next = self.confirmed + 1;
            let answered = |sid| {
                sid == me
                    || learners.iter().any(|handler| {
                        handler.acknowledger() == Some(sid)
                            && handler.answered().is_some_and(|round| round >= next)
                    })
            };
            if !configs.contains_quorum(answered) {
                return;
            }
            self.confirmed = next;
        }
    }

    /// The next learner whose sync may be answered, and what has waited behind that; its link may be
    /// gone.
    pub fn pop(&mut self, committed: Zxid) -> Option<(LinkId, Vec<QuorumPacket>)> {
        let Waiting { link, round, behind } = *self.waiting.front()?;
        if round > self.confirmed || behind > committed {
            return None;
        }
        self.waiting.pop_front();
        let lane = self.lanes.get_mut(&link).expect("every waiting sync has its lane");
        lane.syncs.pop_front();
        let next = lane.syncs.front().copied();
        let count = lane.commits.partition_point(|(zxid, _)| next.is_none_or(|next| *zxid <= next));
        let commits = lane.commits.drain(..count).map(|(_, packet)| packet).collect();
        if next.is_none() {
            self.lanes.remove(&link);
        }
        Some((link, commits))
    }

    /// How many learners' syncs wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
