//! `Syncs`: a sync is answered when a quorum has confirmed that this server still leads.
//!
//! What a client reads after a sync is at least as new as what anybody was told before it asked.
//! That everything proposed before is committed is not enough: a leader that was deposed and has
//! not noticed has nothing outstanding. So each sync also waits until a quorum has said, behind its
//! arrival, that it follows (ZOOKEEPER-1675, N-16): by its answers to a round of PINGs, or by its
//! acknowledgements of what was proposed behind the sync. Apache's leader does not ask.
//!
//! On the link nothing may be different: a learner of Apache's takes the answer at its place among
//! the commits, behind the last that was proposed when the sync came and before the next. At another
//! place it takes the next commit for somebody else's, and no client of its own is answered ever
//! after. That next commit is one of those that confirm the sync, so that none has to wait behind
//! the answer.
//!
//! Rounds are numbered. A round begins when somebody waits for it and none is under way, so that
//! many syncs share one; the regular PINGs are rounds too. Who is to be refused waits in the same way
//! (`refusals`).

use std::collections::VecDeque;

use super::learners::Learners;
use crate::proto::{LinkId, Sid, Zxid};
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
    /// The learners' syncs in the order they came.
    waiting: VecDeque<(LinkId, Asked)>,
}

/// When something has come that must know that this server leads; what came later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The next round of PINGs.
    round: u64,
    /// The last proposal. It is to be committed first.
    behind: Zxid,
}

impl Syncs {
    /// Something has come, behind everything up to `behind`, that must know that this server leads
    /// from now on.
    pub fn ask(&mut self, behind: Zxid) -> Asked {
        self.wanted = self.sent + 1;
        Asked { round: self.wanted, behind }
    }

    /// A learner's sync has come, behind everything up to `behind`.
    pub fn forwarded(&mut self, link: LinkId, behind: Zxid) {
        let asked = self.ask(behind);
        self.waiting.push_back((link, asked));
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

    /// Whether a quorum has said since that it follows.
    pub fn is_confirmed(&self, asked: Asked, committed: Zxid) -> bool {
        asked.round <= self.confirmed || asked.behind < committed
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

    /// The next learner whose sync may be answered; its link may be gone.
    pub fn pop(&mut self, committed: Zxid) -> Option<LinkId> {
        self.pop_if(|syncs, asked| {
            asked.behind <= committed && syncs.is_confirmed(asked, committed)
        })
    }

    /// The next learner whose sync must be answered before it is told that `zxid` is committed.
    pub fn pop_before(&mut self, zxid: Zxid) -> Option<LinkId> {
        self.pop_if(|_, asked| asked.behind < zxid)
    }

    fn pop_if(&mut self, may_go: impl FnOnce(&Self, Asked) -> bool) -> Option<LinkId> {
        let (link, asked) = *self.waiting.front()?;
        may_go(self, asked).then(|| self.waiting.pop_front())?;
        Some(link)
    }

    /// How many learners' syncs wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
