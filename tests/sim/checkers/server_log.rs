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
                self.cut(*to);
            }
            ServerEvent::SnapshotInstalled { zxid } => {
                self.asked = None;
                self.begin(*zxid);
            }
            ServerEvent::Started { last_zxid, may_vote, .. } => {
                self.asked = None;
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
