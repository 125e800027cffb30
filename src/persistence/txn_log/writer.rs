//! Writes log files: appends batches, makes room ahead of them, begins new files.
//!
//! A file gets its name, the zxid of its first record, when that comes; it is one that was made while the
//! one before was written (`next_file`), or a new one. Its header, its first zeros and its name are durable
//! before any record is written to it. From then on it is only appended to, by this
//! writer, past the page cache as long as that only overwrites zeros; the zeros that are left when it
//! is finished are cut off. After an error the writer may not be used again.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::next_file::NextFile;
use super::reader::{LogError, LogReader};
use super::record::FILE_HEADER;
use super::zero_fill::{
    FillOutcome, PendingFill, ZeroFiller, fill_log, warn_of_no_room, write_zeros,
};
use crate::persistence::disk::{BLOCK_BYTES, Disk, DiskError, DiskFile, WriteThroughFile};
use crate::proto::Zxid;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogWriterOptions {
    /// The most zeros added at once ahead of the records, also the most that a file made in advance has, in
    /// bytes (`preAllocSize`); 0 is off.
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
/// Zeros added at once to the next file, at least and at most: little, because the log's syncs wait for the disk
/// meanwhile; more where much is logged, because larger pieces take less work.
const PIECE: RangeInclusive<u64> = 64 << 10..=1 << 20;

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
    /// The file that comes after; between files the one to be taken, if it is there. `None` before the
    /// first, when it could not be made, and when the current one finds no room.
    next: Option<NextFile>,
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
        LogWriter { disk, dir, options, filler, current: None, next: None }
    }

    /// Makes ready for `bytes` of records, the first of which has the zxid `first`: there is a file, and
    /// no fill under way where they go.
    ///
    /// # Errors
    /// The disk's, also those of what was made in advance.
    pub fn make_ready(&mut self, first: Zxid, bytes: usize) -> Result<(), DiskError> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create(first)?,
        };
        current.settle_fill(bytes as u64)?;
        self.current = Some(current);
        self.settle_next()?;
        Ok(())
    }

    /// Takes note of what has become of the next file. Where this one finds no room it gives its own back.
    fn settle_next(&mut self) -> Result<(), DiskError> {
        let has_room = self.current.as_ref().is_none_or(|current| current.may_fill);
        match self.next.take() {
            Some(next) if !has_room => next.discard(),
            Some(mut next) => {
                self.next = next.settle()?.then_some(next);
                Ok(())
            }
            None => Ok(()),
        }
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
        self.make_next();
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
        self.next.take().map_or(Ok(()), NextFile::discard)?;
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
        let least = self.options.pre_alloc_bytes.min(FIRST_ZEROS);
        let made = match self.next.take() {
            Some(next) => next.becomes(&path, least)?,
            None => None,
        };
        let (filled, may_fill) = match made {
            Some(filled) => (filled, true),
            None => self.create_new(&path)?,
        };
        let file = self.disk.open_for_write(&path)?;
        let fill_file = self.disk.open_for_write(&path)?;
        let mut durable = None;
        if self.options.sync {
            self.disk.sync_dir(&self.dir)?;
            if may_fill && filled >= BLOCK_BYTES {
                durable = self.disk.open_write_through(&path)?;
            }
        }
        self.next = Some(NextFile::new(Arc::clone(&self.disk), &self.dir, self.options.sync));
        Ok(CurrentFile {
            file,
            fill_file,
            durable,
            unsynced: false,
            end: FILE_HEADER.len() as u64,
            filled,
            fill: None,
            append_bytes: 0,
            may_fill,
        })
    }

    /// Creates a file with its header and its first zeros. Returns where those end, and whether they are
    /// there.
    fn create_new(&self, path: &Path) -> Result<(u64, bool), DiskError> {
        let file = self.disk.create_new(path)?;
        file.write_all_at(0, &FILE_HEADER)?;
        let end = FILE_HEADER.len() as u64;
        let filled = end + self.options.pre_alloc_bytes.min(FIRST_ZEROS);
        let may_fill = match write_zeros(&*file, end, filled) {
            Ok(()) => filled > end,
            Err(error) if error.is_no_room() => {
                warn_of_no_room(&error);
                false
            }
            Err(error) => return Err(error),
        };
        if self.options.sync {
            file.sync_all()?;
        }
        Ok((filled, may_fill))
    }

    fn refuse_records_in(&self, path: &Path) -> Result<(), DiskError> {
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
        let (file, sync) = (Arc::clone(&current.fill_file), self.options.sync);
        let write = move |from, to| fill_log(&*file, from, to, sync);
        let (job, pending) = PendingFill::new(from, to, write);
        current.fill = Some(pending);
        (self.filler)(job);
    }

    /// Hands out what the next file is to have by now.
    fn make_next(&mut self) {
        let (Some(current), Some(next)) = (&self.current, &mut self.next) else { return };
        let piece = (current.append_bytes * STEP_APPENDS).clamp(*PIECE.start(), *PIECE.end());
        if let Some(job) = next.next_piece(current.end, piece, self.options.pre_alloc_bytes) {
            (self.filler)(job);
        }
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
mod tests;
