//! Writes log files: appends batches, makes room ahead of them, begins new files.
//!
//! A file is created under the zxid of its first record, with its header, its first zeros and its
//! name durable before any record is written to it. From then on it is only appended to, by this
//! writer, past the page cache as long as that only overwrites zeros; the zeros that are left when it
//! is finished are cut off. After an error the writer may not be used again.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::reader::{LogError, LogReader};
use super::record::FILE_HEADER;
use super::zero_fill::{FillOutcome, PendingFill, ZEROS, ZeroFiller, warn_of_no_room};
use crate::persistence::disk::{BLOCK_BYTES, Disk, DiskError, DiskFile, WriteThroughFile};
use crate::proto::Zxid;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogWriterOptions {
    /// The most zeros added at once ahead of the records, in bytes (`preAllocSize`); 0 is off.
    pub pre_alloc_bytes: u64,
    /// Whether bytes are synced (`forceSync`).
    pub sync: bool,
}

/// Zeros a new file begins with, at most: little, because the first record waits for them.
const FIRST_ZEROS: u64 = 256 << 10;
/// Zeros added at once: what so many appends take as they have been of late. A fill that is large for
/// what is logged keeps the disk from many a sync; one that is small comes too often.
const STEP_APPENDS: u64 = 64;
/// Zeros added at once, at least and at most: each time the file's map changes, and a sync that comes
/// then waits for the file system's journal.
const STEP: RangeInclusive<u64> = 1 << 20..=4 << 20;

/// What became of appended records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// They are durable.
    Durably,
    /// They are when [`LogWriter::sync`] has returned.
    ToBeSynced,
}

/// Appends to the log in one directory.
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: LogWriterOptions,
    filler: ZeroFiller,
    current: Option<CurrentFile>,
}

struct CurrentFile {
    file: Arc<dyn DiskFile>,
    /// The same file, opened once more for the fills.
    fill_file: Arc<dyn DiskFile>,
    /// The same file, opened for what overwrites zeros; `None` where that is not to be had.
    durable: Option<Box<dyn WriteThroughFile>>,
    /// Whether something was written that is to be synced.
    unsynced: bool,
    /// Behind the last record.
    end: u64,
    /// Behind the zeros; never below `end`. What lies between is zeros and durable as long as there
    /// is `durable`.
    filled: u64,
    fill: Option<PendingFill>,
    /// The moving mean of an append's length.
    append_bytes: u64,
    /// Cleared when zeros could not be written.
    may_fill: bool,
}

impl LogWriter {
    /// A writer into `dir` that begins a new file with its first record.
    pub fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        options: LogWriterOptions,
        filler: ZeroFiller,
    ) -> Self {
        LogWriter { disk, dir, options, filler, current: None }
    }

    /// Makes ready for `bytes` of records, the first of which has the zxid `first`: there is a file, and
    /// no fill under way where they go.
    ///
    /// # Errors
    /// The disk's.
    pub fn make_ready(&mut self, first: Zxid, bytes: usize) -> Result<(), DiskError> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create(first)?,
        };
        current.settle_fill(bytes as u64)?;
        self.current = Some(current);
        Ok(())
    }

    /// Appends the framed records that it was [made ready](Self::make_ready) for. Even if they are
    /// durable, [`sync`](Self::sync) comes next: it also tells of a fill that failed.
    ///
    /// # Errors
    /// The disk's.
    ///
    /// # Panics
    /// When nothing was made ready.
    #[must_use = "what it returns tells whether the time was a sync's"]
    pub fn append(&mut self, records: &[u8]) -> Result<Appended, DiskError> {
        let mut current = self.current.take().expect("made ready");
        let appended = current.write(records)?;
        self.current = Some(current);
        self.fill_ahead();
        Ok(appended)
    }

    /// Makes durable what was appended and is not yet.
    ///
    /// # Errors
    /// The disk's, also those of a fill that has ended; the bytes may be lost, and a second
    /// attempt may lie about it.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.unsynced {
            current.file.sync_data()?;
            current.unsynced = false;
        }
        current.settle_fill(0)
    }

    /// Bytes in the current file up to the end of its records; 0 when the next record begins a
    /// new one.
    pub fn file_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.end)
    }

    /// Finishes the current file: the zeros left are cut off, and the next record begins a new
    /// file. Everything appended must have been synced; without `forceSync` it is synced here, so
    /// that a power cut can only tear the last file.
    ///
    /// # Errors
    /// The disk's.
    pub fn roll(&mut self) -> Result<(), DiskError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.finish_fill()?;
        debug_assert!(!(self.options.sync && current.unsynced), "a file is finished unsynced");
        if current.filled > current.end {
            current.file.set_len(current.end)?;
        }
        if !self.options.sync {
            current.file.sync_all()?;
            self.disk.sync_dir(&self.dir)?;
        }
        // Else not synced: should the zeros be back after a power cut, they are as good as none.
        Ok(())
    }

    /// Finishes the current file, durably.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(&mut self) -> Result<(), DiskError> {
        let file = self.current.as_ref().map(|current| Arc::clone(&current.file));
        self.roll()?;
        file.map_or(Ok(()), |file| file.sync_all())
    }

    /// Whether the next append begins a new file.
    pub fn is_between_files(&self) -> bool {
        self.current.is_none()
    }

    fn create(&mut self, first: Zxid) -> Result<CurrentFile, DiskError> {
        let path = self.dir.join(super::file_name(first));
        if self.disk.exists(&path)? {
            // What a start leaves that died before its first record was durable.
            self.refuse_records_in(&path)?;
            self.disk.remove(&path)?;
        }
        let file = self.disk.create_new(&path)?;
        let fill_file = self.disk.open_for_write(&path)?;
        file.write_all_at(0, &FILE_HEADER)?;
        let end = FILE_HEADER.len() as u64;
        let zeros = self.options.pre_alloc_bytes.min(FIRST_ZEROS) as usize;
        let may_fill = match file.write_all_at(end, &ZEROS[..zeros]) {
            Ok(()) => zeros > 0,
            Err(error) if error.is_no_room() => {
                warn_of_no_room(&error);
                false
            }
            Err(error) => return Err(error),
        };
        let mut durable = None;
        if self.options.sync {
            file.sync_all()?;
            self.disk.sync_dir(&self.dir)?;
            if may_fill && zeros as u64 >= BLOCK_BYTES {
                durable = self.disk.open_write_through(&path)?;
            }
        }
        Ok(CurrentFile {
            file,
            fill_file,
            durable,
            unsynced: false,
            end,
            filled: end + zeros as u64,
            fill: None,
            append_bytes: 0,
            may_fill,
        })
    }

    fn refuse_records_in(&self, path: &std::path::Path) -> Result<(), DiskError> {
        let refusal = |what: String| DiskError::new("create", path, io::Error::other(what));
        let records = match LogReader::open(&*self.disk, path, i32::MAX as usize) {
            Ok(mut reader) => reader.next().map(|record| record.is_some()),
            Err(LogError::NoHeader { .. }) => Ok(false),
            Err(e) => Err(e),
        };
        match records {
            Ok(false) => Ok(()),
            Ok(true) => Err(refusal("a log of that name holds transactions already".to_owned())),
            Err(LogError::Disk(e)) => Err(e),
            Err(e) => Err(refusal(e.to_string())),
        }
    }

    /// Hands out the next fill when less than half a step of zeros is left.
    fn fill_ahead(&mut self) {
        let Some(current) = &mut self.current else { return };
        let step = (current.append_bytes * STEP_APPENDS).clamp(*STEP.start(), *STEP.end());
        let step = step.next_multiple_of(BLOCK_BYTES).min(self.options.pre_alloc_bytes);
        if !current.may_fill || current.fill.is_some() || current.filled - current.end >= step / 2 {
            return;
        }
        let (from, to) = (current.filled, current.filled + step);
        let file = Arc::clone(&current.fill_file);
        let (job, pending) = PendingFill::new(file, from, to, self.options.sync);
        current.fill = Some(pending);
        (self.filler)(job);
    }
}

impl CurrentFile {
    fn write(&mut self, records: &[u8]) -> Result<Appended, DiskError> {
        let end = self.end + records.len() as u64;
        let appended = match &mut self.durable {
            Some(durable) if end.next_multiple_of(BLOCK_BYTES) <= self.filled => {
                durable.overwrite(self.end, records)?;
                Appended::Durably
            }
            Some(_) | None => {
                self.file.write_all_at(self.end, records)?;
                self.unsynced = true;
                Appended::ToBeSynced
            }
        };
        // An eighth of what it is now: the last dozen or so count.
        self.append_bytes = (self.append_bytes * 7 + records.len() as u64) / 8;
        self.end = end;
        self.filled = self.filled.max(end);
        Ok(appended)
    }

    /// Takes note of an ended fill; waits for one that `bytes` more would reach into.
    fn settle_fill(&mut self, bytes: u64) -> Result<(), DiskError> {
        let Some(fill) = &self.fill else { return Ok(()) };
        let outcome = if self.end + bytes > fill.from { Some(fill.wait()) } else { fill.poll() };
        outcome.map_or(Ok(()), |outcome| self.fill_ended(outcome))
    }

    fn finish_fill(&mut self) -> Result<(), DiskError> {
        let Some(fill) = &self.fill else { return Ok(()) };
        let outcome = fill.wait();
        self.fill_ended(outcome)
    }

    fn fill_ended(&mut self, outcome: FillOutcome) -> Result<(), DiskError> {
        let fill = self.fill.take().expect("a fill that ended was pending");
        match outcome {
            FillOutcome::Filled => {
                self.filled = fill.to;
                Ok(())
            }
            FillOutcome::NotWritten => {
                self.may_fill = false;
                // Behind `end` there may be no zeros now: nothing is overwritten any more.
                self.durable = None;
                // Some zeros may have been written: remembered, to be cut off in the end.
                self.filled = fill.to;
                Ok(())
            }
            FillOutcome::Failed(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;
    use crate::persistence::faulty_disk::FaultyDisk;
    use crate::persistence::txn_log::{ZeroFill, record};

    fn records(zxids: std::ops::RangeInclusive<u64>, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for zxid in zxids {
            let mut txn = vec![0xaa; size];
            txn[12..20].copy_from_slice(&zxid.to_be_bytes());
            record::append(&txn, &mut out);
        }
        out
    }

    fn count(path: &std::path::Path) -> usize {
        let mut reader = LogReader::open(&RealDisk, path, 1 << 30).unwrap();
        let mut n = 0;
        while reader.next().unwrap().is_some() {
            n += 1;
        }
        assert_eq!(reader.end().unwrap().torn, None);
        n
    }

    const OPTIONS: LogWriterOptions = LogWriterOptions { pre_alloc_bytes: 64 << 20, sync: true };

    fn append(log: &mut LogWriter, first: u64, records: &[u8]) -> Result<Appended, DiskError> {
        log.make_ready(Zxid(first), records.len())?;
        log.append(records)
    }

    /// A record of which so few zeros are left that more are asked for.
    const ASKS_FOR_A_FILL: usize = 150 << 10;

    /// A filler that keeps jobs for the test to run.
    fn kept() -> (ZeroFiller, std::sync::mpsc::Receiver<ZeroFill>) {
        let (send, receive) = std::sync::mpsc::channel();
        (Box::new(move |job| send.send(job).unwrap()), receive)
    }

    #[test]
    fn a_batch_that_reaches_a_fill_in_flight_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (filler, jobs) = kept();
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
        append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
        let job = jobs.try_recv().unwrap();
        // Within the first zeros: no waiting, though the fill has not run.
        append(&mut log, 2, &records(2..=2, 1000)).unwrap();
        let (written, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let (log, written) = (&mut log, written);
            scope.spawn(move || {
                append(log, 3, &records(3..=3, 300 << 10)).unwrap();
                written.send(()).unwrap();
            });
            assert!(wait.try_recv().is_err());
            job.run();
            wait.recv().unwrap();
        });
        log.sync().unwrap();
        assert_eq!(count(&dir.path().join("log.1")), 3);
    }

    #[test]
    fn a_batch_larger_than_everything_filled_extends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let run = Box::new(ZeroFill::run);
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
        append(&mut log, 1, &records(1..=9, 1 << 20)).unwrap();
        append(&mut log, 10, &records(10..=18, 1 << 20)).unwrap();
        assert_eq!(count(&dir.path().join("log.1")), 18);
        log.sync().unwrap();
        log.close().unwrap();
        let size = RealDisk.list(dir.path()).unwrap()[0].size;
        assert_eq!(size, 16 + 18 * ((1 << 20) + 13));
    }

    #[test]
    fn no_room_for_zeros_is_no_failure_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let faults = disk.clone();
        let filler: ZeroFiller = Box::new(move |job| {
            faults.fail_writes_after(0);
            job.run();
            faults.fail_writes_after(i64::MAX);
        });
        let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
        for zxid in 1..=40 {
            append(&mut log, zxid, &records(zxid..=zxid, 10 << 10)).unwrap();
            log.sync().unwrap();
        }
        log.close().unwrap();
        assert_eq!(count(&dir.path().join("log.1")), 40);
    }

    #[test]
    fn a_new_log_without_room_for_zeros_takes_records() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        disk.fail_writes_longer_than(10 << 10);
        let run = Box::new(ZeroFill::run);
        let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, run);
        append(&mut log, 1, &records(1..=9, 1000)).unwrap();
        log.sync().unwrap();
        log.close().unwrap();
        assert_eq!(count(&dir.path().join("log.1")), 9);
        assert_eq!(RealDisk.list(dir.path()).unwrap()[0].size, 16 + 9 * 1013);
    }

    #[test]
    fn a_disk_that_fails_a_write_of_zeros_fails_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        disk.break_down();
        let faults = disk.clone();
        let filler: ZeroFiller = Box::new(move |job| {
            faults.fail_writes_after(0);
            job.run();
            faults.fail_writes_after(i64::MAX);
        });
        let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
        append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
        assert!(log.sync().is_err(), "known before anything is acknowledged");
    }

    #[test]
    fn a_fill_does_not_hear_of_the_logs_lost_bytes_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        disk.cache_all_writes();
        let faults = disk.clone();
        let (filler, jobs) = kept();
        let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
        append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
        faults.lose_written_bytes();
        // The fill syncs between the log's write and its sync. That it is told as well is known
        // only when it has reported.
        let job = jobs.try_recv().unwrap();
        let outcome = job.run_unreported();
        assert!(outcome.is_err());
        assert!(log.sync().is_err(), "the log must be told itself");
    }

    #[test]
    fn a_failed_sync_of_zeros_fails_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let faults = disk.clone();
        let filler: ZeroFiller = Box::new(move |job| {
            faults.fail_syncs_after(0);
            job.run();
            faults.fail_syncs_after(i64::MAX);
        });
        let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
        append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
        assert!(append(&mut log, 2, &records(2..=2, 100)).is_err());
    }

    #[test]
    fn a_log_that_never_got_a_record_gives_way_and_one_with_records_does_not() {
        let dir = tempfile::tempdir().unwrap();
        for leftover in [&b""[..], &FILE_HEADER[..7], &FILE_HEADER, &[0; 700]] {
            let path = dir.path().join("log.1");
            RealDisk.create_new(&path).unwrap().write_all_at(0, leftover).unwrap();
            let run = Box::new(ZeroFill::run);
            let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
            append(&mut log, 1, &records(1..=1, 100)).unwrap();
            log.close().unwrap();
            assert_eq!(count(&path), 1);
            let run = Box::new(ZeroFill::run);
            let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
            let error = append(&mut log, 1, &records(1..=1, 100)).unwrap_err();
            assert!(error.to_string().contains("holds transactions already"), "{error}");
            RealDisk.remove(&path).unwrap();
        }
    }
    /// What the log has appended and how: of each record whether it was durable at once.
    fn append_each(disk: &FaultyDisk, dir: &std::path::Path, lengths: &[usize]) -> Vec<bool> {
        let run = Box::new(ZeroFill::run);
        let mut log = LogWriter::new(Arc::new(disk.clone()), dir.to_owned(), OPTIONS, run);
        let append = |(zxid, length): (u64, &usize)| {
            let appended = append(&mut log, zxid, &records(zxid..=zxid, *length)).unwrap();
            log.sync().unwrap();
            appended == Appended::Durably
        };
        let how = (1..).zip(lengths).map(append).collect();
        log.close().unwrap();
        how
    }

    #[test]
    fn what_lies_within_the_zeros_is_durable_at_once_and_the_files_are_the_same() {
        let lengths = [100, 5000, 4096 - 13, 40, 3 << 20, 100, 5 << 20, 100, 70_000, 41];
        let (direct, cached) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = FaultyDisk::new();
        let how = append_each(&disk, direct.path(), &lengths);
        disk.cache_all_writes();
        assert_eq!(append_each(&disk, cached.path(), &lengths), [false; 10]);
        if how[0] {
            let over = |n: usize| lengths[n] > 2 << 20;
            assert_eq!(how, (0..10).map(|n| !over(n)).collect::<Vec<_>>());
        } else {
            eprintln!("skipped: {} takes no direct writes", direct.path().display());
        }
        let content = |dir: &tempfile::TempDir| RealDisk.read(&dir.path().join("log.1")).unwrap();
        assert!(content(&direct) == content(&cached));
        assert_eq!(count(&direct.path().join("log.1")), 10);
    }

    #[test]
    fn behind_zeros_that_were_not_written_nothing_is_taken_for_a_zero() {
        let dir = tempfile::tempdir().unwrap();
        let dropped: ZeroFiller = Box::new(drop);
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, dropped);
        for zxid in 1..=40 {
            let appended = append(&mut log, zxid, &records(zxid..=zxid, 10 << 10)).unwrap();
            assert!(zxid < 20 || appended == Appended::ToBeSynced);
            log.sync().unwrap();
        }
        log.close().unwrap();
        assert_eq!(count(&dir.path().join("log.1")), 40);
    }

    #[test]
    fn zeros_are_added_by_how_much_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let (filler, jobs) = kept();
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
        let mut zxids = 1..;
        let mut next_fill = |length: usize| loop {
            let zxid = zxids.next().unwrap();
            append(&mut log, zxid, &records(zxid..=zxid, length)).unwrap();
            if let Ok(job) = jobs.try_recv() {
                let (from, to) = job.range();
                job.run();
                return to - from;
            }
        };
        assert_eq!(next_fill(1000), 1 << 20);
        next_fill(30_000);
        let step = next_fill(30_000);
        assert!((3 << 19..=30_013 * 64 + BLOCK_BYTES).contains(&step), "{step}");
        next_fill(1 << 20);
        assert_eq!(next_fill(1 << 20), 4 << 20);
        next_fill(100);
        assert_eq!(next_fill(100), 1 << 20);
    }
}
