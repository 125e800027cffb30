//! The committed log: the last transactions that were committed, for learners that lag a little.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::proto::Zxid;

/// The last committed transactions in memory, oldest first, without a gap.
///
/// Its bounds always describe what it really holds (ZOOKEEPER-4352): empty, it says that everything
/// it could hold is before `last`. Every transaction that is applied enters it, whatever the road
/// (ZOOKEEPER-4925).
#[derive(Debug)]
pub struct CommittedLog {
    txns: VecDeque<(Zxid, Bytes)>,
    bytes: usize,
    last: Zxid,
    most: usize,
}

/// More bytes are not kept, whatever their number.
const MOST_BYTES: usize = 64 << 20;

impl CommittedLog {
    /// A log behind `last` that keeps at most `most` transactions (`commitLogCount`).
    pub fn new(last: Zxid, most: usize) -> Self {
        CommittedLog { txns: VecDeque::new(), bytes: 0, last, most }
    }

    /// What a restore found: a history that ends with `last`, and the end of its log, which leads up
    /// to there.
    pub fn restored(last: Zxid, recent: Vec<(Zxid, Bytes)>, most: usize) -> Self {
        let bytes = recent.iter().map(|(_, txn)| txn.len()).sum();
        let mut log = CommittedLog { txns: recent.into(), bytes, last, most };
        log.trim();
        log
    }

    /// The next committed transaction.
    ///
    /// # Panics
    /// If it is not behind the last one.
    pub fn push(&mut self, zxid: Zxid, txn: Bytes) {
        assert!(zxid > self.last, "{zxid} was committed after {}", self.last);
        self.last = zxid;
        self.bytes += txn.len();
        self.txns.push_back((zxid, txn));
        self.trim();
    }

    fn trim(&mut self) {
        while self.txns.len() > self.most || self.bytes > MOST_BYTES {
            let Some((_, txn)) = self.txns.pop_front() else { break };
            self.bytes -= txn.len();
        }
    }

    /// The first transaction held; the last committed one if none is.
    pub fn min(&self) -> Zxid {
        self.txns.front().map_or(self.last, |(zxid, _)| *zxid)
    }

    /// The last committed transaction.
    pub fn max(&self) -> Zxid {
        self.last
    }

    /// What it holds, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &(Zxid, Bytes)> {
        self.txns.iter()
    }

    /// What it holds behind `zxid`.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = &(Zxid, Bytes)> {
        let from = self.txns.partition_point(|(held, _)| *held <= zxid);
        self.txns.range(from..)
    }
}
