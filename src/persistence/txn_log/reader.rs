//! Reads one log file, record by record, up to its end or its damage.
//!
//! Memory is bounded by a chunk and the largest record allowed; a length is believed only as far
//! as the file reaches. Where records stop, the reader knows why: a clean end, a torn tail, or
//! rot, which is an error (see [`super::damage`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damage::{self, Defect, Verdict};
use super::record::{FILE_HEADER, MAGIC, OVERHEAD, PREFIX, TERMINATOR, checksum, prefix};
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::Zxid;

/// The records of one file.
pub struct LogReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    size: u64,
    max_record: usize,
    /// Bytes of the file from `offset` on; those before `start` were given out.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    last: Option<Zxid>,
    end: Option<LogEnd>,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Where it starts in the file.
    pub offset: u64,
    /// The transaction's zxid.
    pub zxid: Zxid,
    /// The transaction: header, body, optional digest.
    pub txn: &'a [u8],
}

impl LogRecord<'_> {
    /// Where the next record starts in the file.
    pub fn end(&self) -> u64 {
        self.offset + (self.txn.len() + OVERHEAD) as u64
    }
}

/// Where and how the records of a file end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The offset behind the last record.
    pub offset: u64,
    /// What lies there, unless it is zeros or nothing.
    pub torn: Option<TornTail>,
}

/// A record that was still being written when the server died: it was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the record starts.
    pub offset: u64,
    /// How it is known to be torn, in words.
    pub why: String,
}

impl std::fmt::Display for TornTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the last record of {} at offset {} was never completely written: {}",
            self.path.display(),
            self.offset,
            self.why
        )
    }
}

/// Why a log file cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LogError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file was created and nothing more: fewer bytes than a header, or zeros only.
    #[error("the log {} of {size} bytes has no header", path.display())]
    NoHeader { path: PathBuf, size: u64 },
    #[error("{} is not a transaction log: it does not begin with ZKLG", path.display())]
    NotALog { path: PathBuf },
    /// Something that was durable once has changed.
    #[error("the log {} is damaged at offset {offset}: {what}", path.display())]
    Rotten { path: PathBuf, offset: u64, what: String },
}

/// How much is read at once.
const CHUNK: usize = 1 << 20;

impl LogReader {
    /// Opens the log file `path`. A transaction of more than `max_record` bytes
    /// (`jute.maxbuffer` plus its extrasize) is taken for damage, as in Java.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not begin as a log does.
    pub fn open(disk: &dyn Disk, path: &Path, max_record: usize) -> Result<Self, LogError> {
        let file = disk.open(path)?;
        let size = file.size()?;
        let mut header = [0; FILE_HEADER.len()];
        let read = file.read_at(0, &mut header)?;
        let mut reader = LogReader {
            file,
            path: path.to_owned(),
            size,
            max_record,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            last: None,
            end: None,
        };
        let never_written = header == [0; 16] && damage::zeros_from(&*reader.file, 0, size)?;
        if read < header.len() || never_written {
            return Err(LogError::NoHeader { path: reader.path, size });
        }
        if !header.starts_with(MAGIC) {
            return Err(LogError::NotALog { path: reader.path });
        }
        reader.offset = header.len() as u64;
        Ok(reader)
    }

    /// The next record, or `None` at the end; then [`end`](Self::end) tells more.
    ///
    /// # Errors
    /// Rot, or a file that cannot be read. Do not go on after an error.
    // Not an `Iterator`: a record borrows the reader's buffer.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<LogRecord<'_>>, LogError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let Some(length) = self.next_length()? else { return Ok(None) };
        let offset = self.offset;
        let (start, end) = (self.start + PREFIX, self.start + PREFIX + length);
        self.start += length + OVERHEAD;
        self.offset += (length + OVERHEAD) as u64;
        let txn = &self.buffer[start..end];
        let Some(zxid) = txn.get(12..20).and_then(|field| field.try_into().ok()) else {
            let what = format!("a record of {length} bytes is too short for a transaction");
            return Err(LogError::Rotten { path: self.path.clone(), offset, what });
        };
        let zxid = Zxid(u64::from_be_bytes(zxid));
        self.last = Some(zxid);
        Ok(Some(LogRecord { offset, zxid, txn }))
    }

    /// Where the records end, once [`next`](Self::next) has said so.
    pub fn end(&self) -> Option<&LogEnd> {
        self.end.as_ref()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the transaction at `start`, complete in the buffer and with the right
    /// checksum; `None` at the end.
    fn next_length(&mut self) -> Result<Option<usize>, LogError> {
        self.fill(PREFIX)?;
        let Some((sum, length)) = prefix(&self.buffer[self.start..]) else {
            return self.stop(Defect::PrefixCut);
        };
        if length == 0 {
            return self.stop(Defect::LengthZero);
        }
        let Some(n) = usize::try_from(length).ok().filter(|&n| n <= self.max_record) else {
            return self.stop(Defect::LengthImpossible(length));
        };
        if ((n + OVERHEAD) as u64) > self.size - self.offset {
            return self.stop(Defect::CutOff);
        }
        self.fill(n + OVERHEAD)?;
        let record = &self.buffer[self.start..self.start + n + OVERHEAD];
        if record[PREFIX + n] != TERMINATOR {
            return self.stop(Defect::NoTerminator);
        }
        if sum != u64::from(checksum(&record[PREFIX..PREFIX + n])) {
            return self.stop(Defect::WrongChecksum { length: n });
        }
        Ok(Some(n))
    }

    /// Decides what the end at `offset` is.
    fn stop(&mut self, defect: Defect) -> Result<Option<usize>, LogError> {
        let (path, offset) = (self.path.clone(), self.offset);
        let place = damage::Place {
            file: &*self.file,
            size: self.size,
            offset,
            max_record: self.max_record,
            last: self.last,
        };
        let torn = match damage::judge(&place, defect)? {
            Verdict::CleanEnd => None,
            Verdict::Torn(why) => Some(TornTail { path, offset, why }),
            Verdict::Rotten(what) => return Err(LogError::Rotten { path, offset, what }),
        };
        self.end = Some(LogEnd { offset, torn });
        Ok(None)
    }

    /// Sees to it that `wanted` bytes from `start` on are in the buffer, if the file has them.
    fn fill(&mut self, wanted: usize) -> Result<(), LogError> {
        let have = self.buffer.len() - self.start;
        let left = self.size - self.offset;
        if have >= wanted || have as u64 >= left {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let target = usize::try_from(left).unwrap_or(usize::MAX).min(wanted.max(CHUNK));
        self.buffer.resize(target, 0);
        let at = self.offset + have as u64;
        let read = self.file.read_at(at, &mut self.buffer[have..])?;
        if have + read < target {
            let source = std::io::Error::other("the file became shorter while it was read");
            return Err(DiskError::new("read", &self.path, source).into());
        }
        Ok(())
    }
}
