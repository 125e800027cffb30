//! What transactions that are prepared but not yet applied will do to the quotas' statistics.
//!
//! The statistics in the tree are those of the last transaction applied. Apache judges by them
//! alone, so requests in flight, or the parts of one multi, do not see each other and together
//! pass a hard limit; with this they do not. Kept only where quotas are enforced.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::proto::Zxid;

/// Nodes and bytes, as differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Nodes made, less nodes removed.
    pub count: i64,
    /// Bytes of data added, less bytes removed.
    pub bytes: i64,
}

/// The usage that is still to come, by quota.
#[derive(Debug)]
pub struct PendingUsage {
    /// The sum of each quota's changes, and how many they are.
    by_quota: HashMap<Box<[u8]>, (Usage, usize), FixedState>,
    order: VecDeque<Booked>,
}

#[derive(Debug)]
struct Booked {
    zxid: Zxid,
    quota: Box<[u8]>,
    usage: Usage,
}

impl PendingUsage {
    /// Nothing is pending.
    pub fn new(hash_seed: u64) -> Self {
        PendingUsage {
            by_quota: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            order: VecDeque::new(),
        }
    }

    /// Books a change of `zxid` with `quota`.
    pub fn book(&mut self, zxid: Zxid, quota: &[u8], usage: Usage) {
        let (sum, changes) = self.by_quota.entry_ref(quota).or_default();
        sum.count += usage.count;
        sum.bytes += usage.bytes;
        *changes += 1;
        self.order.push_back(Booked { zxid, quota: quota.into(), usage });
    }

    /// What transactions above `applied` will add to the statistics of `quota`.
    pub fn usage(&mut self, quota: &[u8], applied: Zxid) -> Usage {
        self.retire(applied);
        self.by_quota.get(quota).map_or(Usage::default(), |(usage, _)| *usage)
    }

    /// Forgets what the statistics contain since `applied` was applied.
    pub fn retire(&mut self, applied: Zxid) {
        while self.order.front().is_some_and(|booked| booked.zxid <= applied) {
            let booked = self.order.pop_front().expect("the front was looked at");
            self.take_out(&booked);
        }
    }

    /// Takes back whatever `zxid` has booked.
    pub fn roll_back(&mut self, zxid: Zxid) {
        while self.order.back().is_some_and(|booked| booked.zxid == zxid) {
            let booked = self.order.pop_back().expect("the back was looked at");
            self.take_out(&booked);
        }
    }

    fn take_out(&mut self, booked: &Booked) {
        let (sum, changes) =
            self.by_quota.get_mut(&booked.quota).expect("what was booked is in the sum");
        sum.count -= booked.usage.count;
        sum.bytes -= booked.usage.bytes;
        *changes -= 1;
        if *changes == 0 {
            self.by_quota.remove(&booked.quota);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Usage = Usage { count: 1, bytes: 5 };
    const LESS: Usage = Usage { count: -1, bytes: -5 };
    const NONE: Usage = Usage { count: 0, bytes: 0 };

    #[test]
    fn changes_count_until_they_are_applied_or_taken_back() {
        let mut pending = PendingUsage::new(1);
        pending.book(Zxid(1), b"/q", ONE);
        pending.book(Zxid(2), b"/q", ONE);
        pending.book(Zxid(2), b"/r", ONE);
        assert_eq!(pending.usage(b"/q", Zxid(0)), Usage { count: 2, bytes: 10 });
        pending.roll_back(Zxid(2));
        assert_eq!((pending.usage(b"/q", Zxid(0)), pending.usage(b"/r", Zxid(0))), (ONE, NONE));
        pending.roll_back(Zxid(2));
        assert_eq!(pending.usage(b"/q", Zxid(0)), ONE);
        assert_eq!(pending.usage(b"/q", Zxid(1)), NONE);
        assert!(pending.by_quota.is_empty() && pending.order.is_empty());
    }

    #[test]
    fn changes_that_cancel_each_other_go_one_by_one() {
        let mut pending = PendingUsage::new(1);
        pending.book(Zxid(1), b"/q", ONE);
        pending.book(Zxid(2), b"/q", LESS);
        assert_eq!(pending.usage(b"/q", Zxid(0)), NONE);
        assert_eq!(pending.usage(b"/q", Zxid(1)), LESS);
        assert_eq!(pending.usage(b"/q", Zxid(2)), NONE);
        assert!(pending.by_quota.is_empty());
    }
}
