//! One server's log, as its disk has it.
//!
//! Followed from what was requested, what the disk reported, and what a start found again.

use zkserver::proto::{Epoch, Zxid};

use crate::history::ServerEvent;

/// A log: what stands in it above the snapshot it begins with.
#[derive(Debug, Default)]
pub struct ServerLog {
    /// The snapshot from a leader that it begins with, or nothing.
    base: Zxid,
    /// What was given to the disk, in order.
    entries: Vec<Zxid>,
    /// The last that is durable, and the core knows.
    durable: Zxid,
    /// Where it was told to end, which was not reported yet.
    asked: Option<Zxid>,
    /// What was durable when its disk lost some of it, and a start admitted that.
    forgotten: Zxid,
    /// What stood there before the tree that it begins with, while that is on trial: until the epoch of
    /// its leader is entered, or the server stops, a cut in front of the tree finds this again.
    before_the_tree: Option<(Zxid, Vec<Zxid>)>,
}

impl ServerLog {
    /// Takes what happened to the server; most of it is not about the log.
    pub fn take(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::LogRequested { zxid, .. } => self.entries.push(*zxid),
            ServerEvent::Logged { zxid, .. } => self.durable = *zxid,
            ServerEvent::EndRequested { zxid } => self.asked = Some(*zxid),
            ServerEvent::Truncated { to } => {
                self.asked = None;
                match self.before_the_tree.take_if(|_| *to < self.base) {
                    Some((base, entries)) => {
                        (self.base, self.entries) = (base, entries);
                        self.durable = self.top();
                    }
                    None => self.cut(*to),
                }
            }
            ServerEvent::SnapshotInstalled { zxid } => {
                self.asked = None;
                let before = (self.base, std::mem::take(&mut self.entries));
                self.before_the_tree.get_or_insert(before);
                self.begin(*zxid);
            }
            ServerEvent::CurrentEpoch(_) => self.before_the_tree = None,
            ServerEvent::Started { last_zxid, may_vote, .. } => {
                self.asked = None;
                self.before_the_tree = None;
                if !may_vote {
                    self.forgotten = self.forgotten.max(self.durable);
                }
                self.cut(*last_zxid);
                // An epoch's first zxid is no transaction: the log then ends before it.
                if self.top() != *last_zxid && last_zxid.counter() != 0 {
                    self.begin(*last_zxid);
                }
                self.durable = self.top();
            }
            _ => {}
        }
    }

    /// The last transaction that was given to the disk.
    pub fn top(&self) -> Zxid {
        self.entries.last().copied().unwrap_or(self.base)
    }

    /// The last transaction of earlier epochs that was given to the disk: with it the epoch begins.
    pub fn before(&self, epoch: Epoch) -> Zxid {
        let earlier = |zxid: &&Zxid| zxid.epoch() < epoch;
        self.entries.iter().rev().find(earlier).copied().unwrap_or(self.base)
    }

    /// The last transaction that is durable, and the server knows.
    pub fn durable(&self) -> Zxid {
        self.durable
    }

    /// The last transaction that was durable once, though rot or a wiped disk took it since. What was
    /// acknowledged of it still counts with the leader.
    pub fn forgotten(&self) -> Zxid {
        self.forgotten
    }

    /// Whether a start may find that end, though more was durable: the server was told to cut, and
    /// stopped before it heard that it was done.
    pub fn may_end_with(&self, zxid: Zxid) -> bool {
        self.asked == Some(zxid)
    }

    fn cut(&mut self, to: Zxid) {
        while self.entries.last().is_some_and(|last| *last > to) {
            self.entries.pop();
        }
        self.durable = self.durable.min(self.top());
    }

    fn begin(&mut self, zxid: Zxid) {
        self.entries.clear();
        self.base = zxid;
        self.durable = zxid;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(zxid: u64) -> ServerEvent {
        ServerEvent::SnapshotInstalled { zxid: Zxid(zxid) }
    }

    fn log() -> ServerLog {
        let mut log = ServerLog::default();
        for zxid in [1, 2, 3].map(Zxid) {
            log.take(&ServerEvent::LogRequested { zxid, txn: crate::history::TxnHash(zxid.0) });
            log.take(&ServerEvent::Logged { zxid, txn: crate::history::TxnHash(zxid.0) });
        }
        log
    }

    /// Found by seeds 400035295 and 400057205, which a model that cut such a log called violations.
    #[test]
    fn a_cut_in_front_of_a_tree_on_trial_finds_the_log_before_it() {
        let mut log = log();
        for event in [installed(9), installed(12), ServerEvent::Truncated { to: Zxid(2) }] {
            log.take(&event);
        }
        assert_eq!((log.top(), log.durable()), (Zxid(3), Zxid(3)), "all of it");
        log.take(&ServerEvent::Truncated { to: Zxid(2) });
        assert_eq!((log.top(), log.durable()), (Zxid(2), Zxid(2)));
    }

    #[test]
    fn a_cut_behind_the_tree_leaves_it_there() {
        let mut log = log();
        let entered = ServerEvent::CurrentEpoch(Epoch(1));
        for event in [installed(9), ServerEvent::Truncated { to: Zxid(9) }, entered] {
            log.take(&event);
        }
        log.take(&ServerEvent::Truncated { to: Zxid(2) });
        assert_eq!(log.top(), Zxid(9), "it counts now, and there is no way back");
    }
}
