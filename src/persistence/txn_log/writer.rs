//! Writes log files: appends batches, makes room ahead of them, begins new files.
//!
//! A file is created under the zxid of its first record, with its header, its first zeros and its
//! name durable before any record is written to it. From then on it is only appended to, by this
//! writer; the zeros that are left when it is finished are cut off. After an error the writer may
//! not be used again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::reader::{LogError, LogReader};
use super::record::FILE_HEADER;
use super::zero_fill::{FillOutcome, PendingFill, ZEROS, ZeroFiller};
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::Zxid;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogWriterOptions {
    /// The most zeros kept ahead of the records, in bytes (`preAllocSize`); 0 is off.
    pub pre_alloc_bytes: u64,
    /// Whether bytes are synced (`forceSync`).
    pub sync: bool,
}

/// Zeros a new file begins with, at most: little, because the first record waits for them.
const FIRST_ZEROS: u64 = 256 << 10;
/// Zeros added at once, at most.
const STEP: u64 = 4 << 20;

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
    /// Behind the last record.
    end: u64,
    /// Behind the zeros; never below `end`.
    filled: u64,
    fill: Option<PendingFill>,
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

    /// Appends framed records, the first of which has the zxid `first`, in one write. They are
    /// durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The disk's.
    pub fn append(&mut self, first: Zxid, records: &[u8]) -> Result<(), DiskError> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create(first)?,
        };
        current.settle_fill(records.len() as u64)?;
        current.file.write_all_at(current.end, records)?;
        current.end += records.len() as u64;
        current.filled = current.filled.max(current.end);
        self.current = Some(current);
        self.fill_ahead();
        Ok(())
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// The disk's; the bytes may be lost, and a second attempt may lie about it.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.current.as_ref().map_or(Ok(()), |current| current.file.sync_data())
    }

    /// Bytes in the current file up to the end of its records; 0 when the next record begins a
    /// new one.
    pub fn file_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.end)
    }

    /// Finishes the current file: the zeros left are cut off, and the next record begins a new
    /// file. Everything appended must have been synced.
    ///
    /// # Errors
    /// The disk's.
    pub fn roll(&mut self) -> Result<(), DiskError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.finish_fill()?;
        if current.filled > current.end {
            current.file.set_len(current.end)?;
        }
        // Not synced: should the zeros be back after a power cut, they are as good as none.
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

    fn create(&mut self, first: Zxid) -> Result<CurrentFile, DiskError> {
        let path = self.dir.join(super::file_name(first));
        if self.disk.exists(&path)? {
            // What a start leaves that died before its first record was durable.
            self.refuse_records_in(&path)?;
            self.disk.remove(&path)?;
        }
        let file = self.disk.create_new(&path)?;
        let zeros = self.options.pre_alloc_bytes.min(FIRST_ZEROS) as usize;
        file.write_all_at(0, &[&FILE_HEADER[..], &ZEROS[..zeros]].concat())?;
        if self.options.sync {
            file.sync_all()?;
            self.disk.sync_dir(&self.dir)?;
        }
        let end = FILE_HEADER.len() as u64;
        let filled = end + zeros as u64;
        Ok(CurrentFile { file, end, filled, fill: None, may_fill: zeros > 0 })
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
        let step = self.options.pre_alloc_bytes.min(STEP);
        if !current.may_fill || current.fill.is_some() || current.filled - current.end >= step / 2 {
            return;
        }
        let (from, to) = (current.filled, current.filled + step);
        let file = Arc::clone(&current.file);
        let (job, pending) = PendingFill::new(file, from, to, self.options.sync);
        current.fill = Some(pending);
        (self.filler)(job);
    }
}

impl CurrentFile {
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
                // Some zeros may have been written: remembered, to be cut off in the end.
                self.filled = fill.to;
                Ok(())
            }
            FillOutcome::SyncFailed(error) => Err(error),
        }
    }
}
