//! Stretches of the log, read for a learner that lags too far for memory.
//!
//! What always holds:
//! * Only what is asked for is looked at: it is durable, and the log's writer is behind it. The last
//!   file may be written to, and finished, meanwhile.
//! * What is given out has no gap; where the log has one, or was cut, there is an error and never a
//!   transaction too few (ZOOKEEPER-2846).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::data_dir::{DataDir, LogFile};
use super::disk::{Disk, DiskError};
use super::pins::Pin;
use super::restore::follows;
use super::txn_log::{LogError, LogReader, record};
use crate::proto::Zxid;

/// What the log holds around a learner's last zxid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSurvey {
    /// The last transaction in it that is not above the learner's last.
    pub at_or_before: Zxid,
    /// The transaction behind that one.
    pub after: Zxid,
}

/// Why a stretch of the log cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LogRangeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the log does not lead from {after} to {through}: behind {last} comes {}", name(*found))]
    Gap { after: Zxid, through: Zxid, last: Zxid, found: Option<Zxid> },
}

fn name(zxid: Option<Zxid>) -> String {
    zxid.map_or_else(|| "nothing".to_owned(), |zxid| zxid.to_string())
}

impl From<DiskError> for LogRangeError {
    fn from(error: DiskError) -> Self {
        LogRangeError::Log(LogError::Disk(error))
    }
}

/// How much of the log is sent to one learner at most, in bytes: the newest snapshot's size
/// times `factor` (`snapshotSizeFactor`); 0 is no limit. `None`: nothing is read from the disk.
///
/// # Errors
/// The disk's.
pub fn log_size_limit(dir: &DataDir, factor: f64) -> Result<Option<u64>, DiskError> {
    if factor < 0.0 {
        return Ok(None);
    }
    if factor == 0.0 {
        return Ok(Some(u64::MAX));
    }
    let newest = dir.snapshots()?.last().map_or(0, |file| file.size);
    Ok(Some((newest as f64 * factor) as u64))
}

/// So much of the first file may be read to find a learner's place, in bytes, even if less may be sent:
/// a moment's work, which may save a tree.
const PASSED_OVER_BYTES_MAX: u64 = 64 << 20;

/// Looks what the log holds for a learner whose last transaction is `peer`: something if it has a
/// transaction at or before that one and leads from there to `through` without a gap, in at most
/// `size_limit` bytes behind it, and not far more before it. To be called under a [pin](DataDir::pins) of `peer`. No
/// transaction is larger than `max_record` bytes.
///
/// # Errors
/// The log cannot be read.
pub fn survey_log(
    dir: &DataDir,
    peer: Zxid,
    through: Zxid,
    size_limit: u64,
    max_record: usize,
) -> Result<Option<LogSurvey>, LogError> {
    let mut logs = dir.logs()?;
    let Some(first) = logs.iter().rposition(|log| log.first <= peer) else { return Ok(None) };
    logs.drain(..first);
    // Of the first file the learner has a part, and the last one may end in zeros.
    let between = logs.get(1..logs.len() - 1).unwrap_or_default();
    if between.iter().fold(0_u64, |sum, log| sum.saturating_add(log.size)) > size_limit {
        return Ok(None);
    }
    let (mut before, mut behind) = (0, 0);
    let mut records = Records::new(dir, logs, max_record);
    let (mut at_or_before, mut last) = (None, Zxid::ZERO);
    let mut after = None;
    while let Some((zxid, txn)) = records.next()? {
        if zxid <= last {
            // A zxid that comes again, as in the logs of Apache's 3.8 and before.
            continue;
        }
        let size = (txn.len() + record::OVERHEAD) as u64;
        if zxid <= peer {
            at_or_before = Some(zxid);
            before += size;
            if before > size_limit.max(PASSED_OVER_BYTES_MAX) {
                return Ok(None);
            }
        } else {
            let follows = at_or_before.is_some() && follows(zxid, last);
            behind += size;
            if !follows || zxid > through || behind > size_limit {
                return Ok(None);
            }
            after.get_or_insert(zxid);
        }
        last = zxid;
        if last == through {
            break;
        }
    }
    let survey = |(at_or_before, after)| LogSurvey { at_or_before, after };
    Ok(at_or_before.zip(after).filter(|_| last == through).map(survey))
}

/// The transactions of a stretch, oldest first. They are pinned until it is dropped.
pub struct LogRange {
    records: Records,
    after: Zxid,
    through: Zxid,
    last: Zxid,
    _pin: Pin,
}

impl LogRange {
    /// The transactions behind `after` up to `through`, which must be durable. `after` must be in
    /// the log, as a survey found it. No transaction is larger than `max_record` bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(
        dir: &DataDir,
        after: Zxid,
        through: Zxid,
        max_record: usize,
    ) -> Result<Self, LogRangeError> {
        let pin = dir.pins().pin(after);
        let mut logs = dir.logs()?;
        let first = logs.iter().rposition(|log| log.first <= after).unwrap_or(0);
        logs.drain(..first);
        let records = Records::new(dir, logs, max_record);
        Ok(LogRange { records, after, through, last: after, _pin: pin })
    }

    fn read_next(&mut self) -> Result<Option<(Zxid, Bytes)>, LogRangeError> {
        let (after, through, last) = (self.after, self.through, self.last);
        if last >= through {
            return Ok(None);
        }
        loop {
            let found = self.records.next()?;
            let gap = |found| LogRangeError::Gap { after, through, last, found };
            let Some((zxid, txn)) = found else { return Err(gap(None)) };
            if zxid <= last {
                continue;
            }
            if !follows(zxid, last) || zxid > through {
                return Err(gap(Some(zxid)));
            }
            self.last = zxid;
            return Ok(Some((zxid, Bytes::copy_from_slice(txn))));
        }
    }
}

impl Iterator for LogRange {
    type Item = Result<(Zxid, Bytes), LogRangeError>;

    /// Do not go on behind an error.
    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// The records of some files, one file open at a time.
struct Records {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Those that were not opened yet, the next one last.
    files: Vec<LogFile>,
    max_record: usize,
    reader: Option<LogReader>,
}

impl Records {
    fn new(dir: &DataDir, mut files: Vec<LogFile>, max_record: usize) -> Self {
        files.reverse();
        let (disk, dir) = (dir.disk().clone(), dir.log_dir().to_owned());
        Records { disk, dir, files, max_record, reader: None }
    }

    fn next(&mut self) -> Result<Option<(Zxid, &[u8])>, LogError> {
        loop {
            let has_next = match &mut self.reader {
                Some(reader) => reader.has_next()?,
                None => false,
            };
            if has_next {
                break;
            }
            let Some(file) = self.files.pop() else { return Ok(None) };
            let path = self.dir.join(&file.name);
            self.reader = match LogReader::open(&*self.disk, &path, self.max_record) {
                Ok(reader) => Some(reader.as_live_log()),
                // It was begun and has no transaction yet.
                Err(LogError::NoHeader { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        Ok(reader.next()?.map(|record| (record.zxid, record.txn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::restore_tests::{Home, creates};

    const MAX: usize = 1 << 20;

    /// Logs of 1 to 6 and 7 to 9, and one that goes on in the next epoch.
    fn home() -> (Home, DataDir) {
        let home = Home::new();
        home.log(&creates(1..=6));
        home.log(&creates(7..=9));
        home.log(&creates([0xa, 0x1_0000_0001, 0x1_0000_0002]));
        let dir = home.open().unwrap();
        (home, dir)
    }

    fn survey(dir: &DataDir, peer: u64, through: u64) -> Option<(u64, u64)> {
        let survey = survey_log(dir, Zxid(peer), Zxid(through), u64::MAX, MAX).unwrap();
        survey.map(|survey| (survey.at_or_before.0, survey.after.0))
    }

    fn range(dir: &DataDir, after: u64, through: u64) -> Result<Vec<u64>, String> {
        let range = LogRange::new(dir, Zxid(after), Zxid(through), MAX).unwrap();
        range.map(|txn| txn.map(|(zxid, _)| zxid.0).map_err(|e| e.to_string())).collect()
    }

    /// What lies behind a learner's last transaction comes from the log, over files and epochs.
    #[test]
    fn a_survey_finds_the_place_and_a_range_gives_what_follows() {
        let (_home, dir) = home();
        assert_eq!(survey(&dir, 3, 9), Some((3, 4)));
        assert_eq!(survey(&dir, 6, 0x1_0000_0002), Some((6, 7)));
        assert_eq!(survey(&dir, 0xf, 0x1_0000_0001), Some((0xa, 0x1_0000_0001)), "it has more");
        assert_eq!(range(&dir, 5, 9).unwrap(), [6, 7, 8, 9]);
        assert_eq!(range(&dir, 8, 0x1_0000_0001).unwrap(), [9, 0xa, 0x1_0000_0001]);
        assert!(range(&dir, 9, 9).unwrap().is_empty());
    }

    #[test]
    fn a_log_that_begins_later_or_ends_earlier_is_of_no_use() {
        let (home, dir) = home();
        assert_eq!(survey(&dir, 0, 9), None, "it begins with 1");
        assert_eq!(survey(&dir, 3, 0x1_0000_0003), None, "it ends before");
        assert_eq!(survey(&dir, 3, 0xb), None, "it has another epoch's there");
        drop(home);
    }

    #[test]
    fn what_the_learner_has_of_a_file_does_not_count() {
        let (_home, dir) = home();
        let with = |peer, through, limit| {
            survey_log(&dir, Zxid(peer), Zxid(through), limit, MAX).unwrap().is_some()
        };
        let size = |zxids: &[u64]| {
            let txns = creates(zxids.iter().copied());
            txns.iter().map(|txn| (txn.len() + record::OVERHEAD) as u64).sum::<u64>()
        };
        let two = size(&[8, 9]);
        assert!(with(7, 9, two) && !with(7, 9, two - 1));
        let between = dir.logs().unwrap()[1].size;
        assert!(with(5, 0x1_0000_0002, between), "it lacks less");
        assert!(!with(5, 0x1_0000_0002, between - 1), "a file between is not read to be counted");
    }

    /// ZOOKEEPER-2846: where a transaction is missing the log ends.
    #[test]
    fn a_gap_is_never_passed_over() {
        let home = Home::new();
        home.log(&creates(1..=4));
        home.log(&creates(6..=9));
        let dir = home.open().unwrap();
        assert_eq!(survey(&dir, 3, 9), None);
        assert_eq!(survey(&dir, 7, 9), Some((7, 8)));
        let error = range(&dir, 3, 9).unwrap_err();
        assert_eq!(error, "the log does not lead from 0x3 to 0x9: behind 0x4 comes 0x6");
        let error = range(&dir, 8, 0x10).unwrap_err();
        assert_eq!(error, "the log does not lead from 0x8 to 0x10: behind 0x9 comes nothing");
    }

    #[test]
    fn a_repeated_zxid_comes_once() {
        let home = Home::new();
        home.log(&creates([1, 2, 2, 3, 3, 2, 4]));
        let dir = home.open().unwrap();
        assert_eq!(survey(&dir, 1, 4), Some((1, 2)));
        assert_eq!(range(&dir, 1, 4).unwrap(), [2, 3, 4]);
    }

    #[test]
    fn a_file_that_is_finished_while_it_is_read_gives_all_it_has() {
        let home = Home::new();
        let name = home.log(&creates(1..=9000));
        let file = home.file(&name);
        let end = file.size().unwrap() - 700;
        file.set_len(end + (4 << 20)).unwrap();
        let dir = home.open().unwrap();
        let mut range = LogRange::new(&dir, Zxid(1), Zxid(9000), MAX).unwrap();
        assert_eq!(range.next().unwrap().unwrap().0, Zxid(2));
        file.set_len(end).unwrap();
        assert_eq!(range.map(Result::unwrap).last().unwrap().0, Zxid(9000));
        assert_eq!(survey(&dir, 8999, 9000), Some((8999, 9000)));
    }

    #[test]
    fn the_limit_follows_the_newest_snapshot() {
        let home = Home::new();
        home.log(&creates(1..=6));
        let dir = home.open().unwrap();
        assert_eq!(log_size_limit(&dir, -0.1).unwrap(), None);
        assert_eq!(log_size_limit(&dir, 0.0).unwrap(), Some(u64::MAX));
        assert_eq!(log_size_limit(&dir, 0.5).unwrap(), Some(0));
        let name = home.snapshot(&creates(1..=5));
        let size = home.file(&name).size().unwrap();
        assert_eq!(log_size_limit(&dir, 0.5).unwrap(), Some(size / 2));
    }
}
