//! How a learner is brought to where its leader is: DIFF, TRUNC or SNAP.
//!
//! A pure choice, from where the learner's log ends and from what the leader still has of its
//! history: the committed log in memory, and, for a learner that is farther behind, the log on the
//! disk.
//!
//! | the learner's last zxid `P` | what it is sent |
//! |---|---|
//! | is in the committed log | DIFF, and what is behind `P` |
//! | is behind all that was committed | TRUNC to the last that was committed; nothing yet, if the leader itself has proposed `P` |
//! | is between two committed ones of its own epoch | TRUNC to the one before, and what is behind that |
//! | is between two, the next of another epoch | SNAP: it is never cut across epochs by search |
//! | is before all that is in memory | the same three, by what the log on the disk has |
//! | is there neither | SNAP |
//!
//! A zxid with the counter 0 is no transaction's: it says that the learner has everything before
//! that epoch, and nothing of it. Such a learner gets DIFF.

use crate::proto::{Epoch, Zxid};
use crate::quorum::committed_log::CommittedLog;
use crate::quorum::effect::LogSurvey;

/// What is known of the log on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    /// Nobody has looked yet.
    NotSurveyed,
    /// What the survey found.
    Surveyed(Option<LogSurvey>),
}

/// What is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The learner keeps everything it has.
    Diff,
    /// It forgets everything behind this transaction.
    Trunc(Zxid),
}

/// How to bring a learner up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnerSync {
    /// Look into the log on the disk first.
    Survey,
    /// The header, then the committed transactions behind `after` from memory.
    FromMemory {
        /// What is sent first.
        header: Header,
        /// The last transaction the learner has, or keeps.
        after: Zxid,
    },
    /// The header, then the log on the disk behind `after`, as far as it was surveyed.
    FromDisk {
        /// What is sent first.
        header: Header,
        /// The last transaction the learner has, or keeps.
        after: Zxid,
    },
    /// The whole tree.
    Snap,
}

/// Chooses for a learner whose last transaction is `peer`.
///
/// `let_go` is the last transaction that the own log certainly has and that went to apply: as far
/// as that one a survey can look. `always_snap` is `forceSnapshotSync`.
pub fn choose(
    peer: Zxid,
    committed: &CommittedLog,
    let_go: Zxid,
    on_disk: OnDisk,
    always_snap: bool,
) -> LearnerSync {
    if always_snap {
        return LearnerSync::Snap;
    }
    let (min, max) = (committed.min(), committed.max());
    if peer > max {
        return match peer.counter() {
            0 => LearnerSync::FromMemory { header: Header::Diff, after: peer },
            _ => LearnerSync::FromMemory { header: Header::Trunc(max), after: max },
        };
    }
    if peer >= min {
        let before = committed.iter().map(|(zxid, _)| *zxid).take_while(|zxid| *zxid <= peer);
        // Empty, it begins and ends with the last that was committed.
        let at_or_before = before.last().unwrap_or(max);
        let next = committed.after(peer).next().map(|(zxid, _)| zxid.epoch());
        return match between(peer, at_or_before, next) {
            Some((header, after)) => LearnerSync::FromMemory { header, after },
            None => LearnerSync::Snap,
        };
    }
    if peer >= let_go {
        return LearnerSync::Snap;
    }
    match on_disk {
        OnDisk::NotSurveyed => LearnerSync::Survey,
        OnDisk::Surveyed(None) => LearnerSync::Snap,
        OnDisk::Surveyed(Some(LogSurvey { at_or_before, after })) => {
            match between(peer, at_or_before, Some(after.epoch())) {
                Some((header, after)) => LearnerSync::FromDisk { header, after },
                None => LearnerSync::Snap,
            }
        }
    }
}

/// For a learner that ended at `peer`, where the history has `at_or_before`, and then a transaction
/// of the epoch `next`.
fn between(peer: Zxid, at_or_before: Zxid, next: Option<Epoch>) -> Option<(Header, Zxid)> {
    if at_or_before == peer || peer.counter() == 0 {
        return Some((Header::Diff, peer));
    }
    (next == Some(peer.epoch())).then_some((Header::Trunc(at_or_before), at_or_before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn zxid(epoch: u64, counter: u64) -> Zxid {
        Zxid(epoch << 32 | counter)
    }

    /// The committed log of a leader: 1:4, 1:5, 1:6, 3:1, 3:2. It keeps five.
    fn committed() -> CommittedLog {
        let mut log = CommittedLog::new(Zxid::ZERO, 5);
        for counter in 1..=6 {
            log.push(zxid(1, counter), Bytes::new());
        }
        log.push(zxid(3, 1), Bytes::new());
        log.push(zxid(3, 2), Bytes::new());
        log
    }

    fn chosen(peer: Zxid, on_disk: OnDisk) -> LearnerSync {
        choose(peer, &committed(), zxid(3, 2), on_disk, false)
    }

    const DIFF: Header = Header::Diff;

    /// C-214
    #[test]
    fn from_memory() {
        let table = [
            (zxid(3, 2), Some((DIFF, zxid(3, 2))), "it has everything"),
            (zxid(3, 1), Some((DIFF, zxid(3, 1))), "behind by one"),
            (zxid(1, 6), Some((DIFF, zxid(1, 6))), "behind by an epoch"),
            (zxid(1, 4), Some((DIFF, zxid(1, 4))), "at the first that is held"),
            (zxid(3, 0), Some((DIFF, zxid(3, 0))), "at the beginning of an epoch"),
            (zxid(4, 0), Some((DIFF, zxid(4, 0))), "at the beginning of a later one"),
            (zxid(3, 9), Some((Header::Trunc(zxid(3, 2)), zxid(3, 2))), "ahead"),
            (zxid(4, 1), Some((Header::Trunc(zxid(3, 2)), zxid(3, 2))), "ahead in a later epoch"),
            (zxid(1, 7), None, "more of an epoch than anybody committed, and a later one follows"),
            (zxid(2, 1), None, "in an epoch of which nothing was committed"),
        ];
        for (peer, wanted, why) in table {
            let wanted = match wanted {
                Some((header, after)) => LearnerSync::FromMemory { header, after },
                None => LearnerSync::Snap,
            };
            assert_eq!(chosen(peer, OnDisk::NotSurveyed), wanted, "{why}");
        }
    }

    #[test]
    fn what_a_learner_has_too_much_within_an_epoch_is_cut() {
        let mut log = CommittedLog::new(Zxid::ZERO, 5);
        for counter in [1, 2, 5] {
            log.push(zxid(1, counter), Bytes::new());
        }
        let sync = choose(zxid(1, 3), &log, zxid(1, 5), OnDisk::NotSurveyed, false);
        let header = Header::Trunc(zxid(1, 2));
        assert_eq!(sync, LearnerSync::FromMemory { header, after: zxid(1, 2) });
    }

    /// C-214
    #[test]
    fn from_the_log_on_the_disk() {
        assert_eq!(chosen(zxid(1, 2), OnDisk::NotSurveyed), LearnerSync::Survey);
        assert_eq!(chosen(zxid(1, 2), OnDisk::Surveyed(None)), LearnerSync::Snap, "too far behind");
        let found = |at_or_before, after| OnDisk::Surveyed(Some(LogSurvey { at_or_before, after }));
        let from_disk = |header, after| LearnerSync::FromDisk { header, after };
        let exact = found(zxid(1, 2), zxid(1, 3));
        assert_eq!(chosen(zxid(1, 2), exact), from_disk(DIFF, zxid(1, 2)));
        let hole = found(zxid(1, 1), zxid(1, 3));
        let cut = from_disk(Header::Trunc(zxid(1, 1)), zxid(1, 1));
        assert_eq!(chosen(zxid(1, 2), hole), cut);
        let other_epoch = found(zxid(0, 9), zxid(1, 1));
        assert_eq!(chosen(zxid(0, 12), other_epoch), LearnerSync::Snap, "never across epochs");
        let start = found(zxid(0, 9), zxid(1, 1));
        assert_eq!(chosen(zxid(1, 0), start), from_disk(DIFF, zxid(1, 0)));
    }

    /// ZOOKEEPER-4352: an empty committed log covers nobody but who has everything.
    #[test]
    fn an_empty_committed_log_promises_nothing() {
        let empty = CommittedLog::new(zxid(1, 9), 500);
        let at = |peer| choose(peer, &empty, zxid(1, 9), OnDisk::NotSurveyed, false);
        let (header, after) = (DIFF, zxid(1, 9));
        assert_eq!(at(zxid(1, 9)), LearnerSync::FromMemory { header, after });
        assert_eq!(at(zxid(1, 8)), LearnerSync::Survey);
        let header = Header::Trunc(zxid(1, 9));
        assert_eq!(at(zxid(1, 10)), LearnerSync::FromMemory { header, after });
        assert_eq!(at(Zxid::ZERO), LearnerSync::Survey, "zero is no covering bound");
    }

    /// The own disk lags: a survey could not reach what is in memory.
    #[test]
    fn a_log_that_lags_is_not_surveyed() {
        let lagging = choose(zxid(1, 3), &committed(), zxid(1, 2), OnDisk::NotSurveyed, false);
        assert_eq!(lagging, LearnerSync::Snap);
    }

    #[test]
    fn snapshots_can_be_forced() {
        let forced = choose(zxid(3, 2), &committed(), zxid(3, 2), OnDisk::NotSurveyed, true);
        assert_eq!(forced, LearnerSync::Snap);
    }
}
