//! The last transactions of the log, collected while it is read: no second reading for them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::proto::Zxid;

/// The end of the history, without a gap.
#[derive(Debug, Default)]
pub(super) struct Recent {
    most: usize,
    bytes: usize,
    txns: VecDeque<(Zxid, Bytes)>,
}

/// More bytes are not kept, whatever their number.
const MOST_BYTES: usize = 64 << 20;

impl Recent {
    /// Keeps the last `most` transactions.
    pub(super) fn new(most: usize) -> Self {
        Recent { most, ..Recent::default() }
    }

    /// The next record. One that comes again is left out.
    pub(super) fn push(&mut self, zxid: Zxid, txn: &[u8]) {
        if self.most == 0 {
            return;
        }
        if let Some(&(last, _)) = self.txns.back() {
            if zxid <= last {
                return;
            }
            if !follows(zxid, last) {
                self.forget();
            }
        }
        self.bytes += txn.len();
        self.txns.push_back((zxid, Bytes::copy_from_slice(txn)));
        while self.txns.len() > self.most || self.bytes > MOST_BYTES {
            let Some((_, txn)) = self.txns.pop_front() else { break };
            self.bytes -= txn.len();
        }
    }

    /// What was kept, if it leads up to `last`.
    pub(super) fn up_to(mut self, last: Zxid) -> Vec<(Zxid, Bytes)> {
        if self.txns.back().is_some_and(|(zxid, _)| *zxid != last) {
            self.forget();
        }
        self.txns.into()
    }

    fn forget(&mut self) {
        self.txns.clear();
        self.bytes = 0;
    }
}

/// Whether `zxid` can come right behind `last`: no server ever leaves one out, and an epoch begins
/// with 1. What the epoch before ended with cannot be known.
pub(crate) fn follows(zxid: Zxid, last: Zxid) -> bool {
    zxid == last.next() || (zxid.epoch() > last.epoch() && zxid.counter() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: usize, zxids: &[u64], last: u64) -> Vec<u64> {
        let mut recent = Recent::new(most);
        for &zxid in zxids {
            recent.push(Zxid(zxid), b"txn");
        }
        recent.up_to(Zxid(last)).iter().map(|(zxid, _)| zxid.0).collect()
    }

    #[test]
    fn the_last_ones_without_a_gap_are_kept() {
        assert_eq!(of(3, &[1, 2, 3, 4, 4, 3, 5], 5), [3, 4, 5]);
        assert_eq!(of(9, &[1, 2, 4, 5], 5), [4, 5]);
        assert_eq!(of(9, &[1, 2, 0x1_0000_0001, 0x3_0000_0001], 0x3_0000_0001).len(), 4);
        assert_eq!(of(9, &[1, 0x1_0000_0002], 0x1_0000_0002), [0x1_0000_0002]);
        assert!(of(9, &[1, 2], 9).is_empty(), "the snapshot goes further");
        assert!(of(0, &[1], 1).is_empty());
    }

    #[test]
    fn their_bytes_are_bounded() {
        let mut recent = Recent::new(100);
        let large = vec![0; 20 << 20];
        for zxid in 1..=8 {
            recent.push(Zxid(zxid), &large);
        }
        assert_eq!(recent.up_to(Zxid(8)).len(), 3);
    }
}
