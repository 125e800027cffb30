//! `SyncRequestProcessor`: decides when the log rolls and a snapshot is taken.
//!
//! The stage writes nothing itself, and hands out no tickets: those belong to the server, whatever
//! its role.

/// When snapshots are due.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotSchedule {
    /// `snapCount`: a snapshot comes after between half of this and all of it, in transactions.
    pub snap_count: u64,
    /// `snapSizeLimitInKb` as bytes, by the same rule; `None` switches it off.
    pub snap_size_limit_bytes: Option<u64>,
}

/// The stage's state.
#[derive(Debug)]
pub struct SyncRequestProcessor {
    options: SnapshotSchedule,
    random: u64,
    txns: u64,
    bytes: u64,
    txns_due: u64,
    bytes_due: u64,
}

impl SyncRequestProcessor {
    /// A stage whose log holds `replayed_txns` transactions, `replayed_bytes` bytes, since the
    /// last snapshot. The servers of an ensemble should not take their snapshots together,
    /// hence the `seed`.
    pub fn new(
        options: SnapshotSchedule,
        seed: u64,
        replayed_txns: u64,
        replayed_bytes: u64,
    ) -> Self {
        let mut stage = SyncRequestProcessor {
            options,
            random: seed | 1,
            txns: 0,
            bytes: 0,
            txns_due: 0,
            bytes_due: 0,
        };
        stage.snapshot_begins();
        stage.txns = replayed_txns;
        stage.bytes = replayed_bytes;
        stage
    }

    /// A transaction of so many bytes goes to the log. Returns whether the log rolls and a snapshot
    /// begins after it.
    pub fn process(&mut self, txn_bytes: usize) -> bool {
        self.txns += 1;
        self.bytes += txn_bytes as u64;
        let snapshot = self.txns > self.txns_due || self.bytes > self.bytes_due;
        if snapshot {
            self.snapshot_begins();
        }
        snapshot
    }

    fn snapshot_begins(&mut self) {
        self.txns = 0;
        self.bytes = 0;
        let half = self.options.snap_count / 2;
        self.txns_due = half + self.next_random() % half.max(1);
        self.bytes_due = self.options.snap_size_limit_bytes.map_or(u64::MAX, |limit| {
            let half = limit / 2;
            half + self.next_random() % half.max(1)
        });
    }

    /// xorshift64: any spread will do.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_between_half_of_snap_count_and_all_of_it() {
        let options = SnapshotSchedule { snap_count: 100, snap_size_limit_bytes: None };
        for seed in 1..50 {
            let mut stage = SyncRequestProcessor::new(options, seed, 0, 0);
            let first = (1..200).find(|_| stage.process(100)).unwrap();
            assert!((50..=101).contains(&first), "{first}");
        }
    }

    #[test]
    fn what_was_replayed_counts() {
        let options = SnapshotSchedule { snap_count: 100, snap_size_limit_bytes: None };
        let mut stage = SyncRequestProcessor::new(options, 7, 1000, 0);
        assert!(stage.process(100));
        assert!(!stage.process(100));
    }

    #[test]
    fn bytes_count_too() {
        let options = SnapshotSchedule { snap_count: 1 << 40, snap_size_limit_bytes: Some(1000) };
        let mut stage = SyncRequestProcessor::new(options, 7, 0, 0);
        assert!((1..=12).any(|_| stage.process(100)));
    }
}
