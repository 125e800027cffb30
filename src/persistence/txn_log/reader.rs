//! Reads one log file, record by record, up to its end or its damage.
//!
//! Memory is bounded by a chunk and the largest record allowed; a length is believed only as far
//! as the file reaches. Where records stop, the reader knows why: a clean end, a torn tail, or
//! rot, which is an error (see `damage`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damage::{self, Defect, Verdict};
use super::record::{FILE_HEADER, MAGIC, OVERHEAD, PREFIX, TERMINATOR, checksum, prefix};
use crate::persistence::chop_command;
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
    is_last_file: bool,
    is_live: bool,
    /// The length of the next record, where that was looked at already.
    peeked: Option<usize>,
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

/// A record that was still being written when the server died: it was never acknowledged, nor
/// was anything behind it.
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
            "what lies in {} from offset {} on was never completely written and nobody was told \
             of it: {}",
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
    #[error(
        "the log {} of {size} bytes has no header; restore it from a backup, or, if losing \
         everything from {} on is acceptable: {}",
        path.display(), first_of(path), chop_before(path, first_of(path))
    )]
    NoHeader { path: PathBuf, size: u64 },
    #[error(
        "{} is not a transaction log: it does not begin with ZKLG; restore it from a backup, or, \
         if losing everything from {} on is acceptable: {}",
        path.display(), first_of(path), chop_before(path, first_of(path))
    )]
    NotALog { path: PathBuf },
    /// Something that was durable once has changed; `next` is the zxid that should come there.
    #[error(
        "the log {path} is damaged at offset {offset}: {what}; restore this file from a backup, \
         or, if losing everything from {next} on is acceptable: {command}",
        path = path.display(), command = chop_before(path, *next)
    )]
    Rotten { path: PathBuf, offset: u64, next: Zxid, what: String },
}

/// The first zxid in a log, by its name.
fn first_of(path: &Path) -> Zxid {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(super::zxid_of_name).unwrap_or(Zxid::ZERO.next())
}

/// The command that ends the history before `next`.
fn chop_before(path: &Path, next: Zxid) -> String {
    chop_command(path, Zxid(next.0.saturating_sub(1)))
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
        LogReader::over(disk.open(path)?, path, max_record)
    }

    /// Says whether it is known that no later file holds records. Only then can the last batch
    /// of this file have been lost in a power cut.
    pub fn as_last_file(mut self, is_last: bool) -> Self {
        self.is_last_file = is_last;
        self
    }

    /// Says that somebody may be writing to the file, and finish it: the zeros at its end may go.
    pub fn as_live_log(mut self) -> Self {
        self.is_live = true;
        self
    }

    pub(super) fn over(
        file: Arc<dyn DiskFile>,
        path: &Path,
        max_record: usize,
    ) -> Result<Self, LogError> {
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
            is_last_file: false,
            is_live: false,
            peeked: None,
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
        let length = match self.peeked.take() {
            Some(length) => length,
            None => match self.next_length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let offset = self.offset;
        let (start, end) = (self.start + PREFIX, self.start + PREFIX + length);
        self.start += length + OVERHEAD;
        self.offset += (length + OVERHEAD) as u64;
        let txn = &self.buffer[start..end];
        let Some(zxid) = txn.get(12..20).and_then(|field| field.try_into().ok()) else {
            let what = format!("a record of {length} bytes is too short for a transaction");
            return Err(self.rotten(offset, what));
        };
        let zxid = Zxid(u64::from_be_bytes(zxid));
        self.last = Some(zxid);
        Ok(Some(LogRecord { offset, zxid, txn }))
    }

    /// Whether [`next`](Self::next) will give a record.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    pub fn has_next(&mut self) -> Result<bool, LogError> {
        if self.peeked.is_none() && self.end.is_none() {
            self.peeked = self.next_length()?;
        }
        Ok(self.peeked.is_some())
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
        let Some(record) = self.buffer.get(self.start..self.start + n + OVERHEAD) else {
            return self.stop(Defect::CutOff);
        };
        let fits = sum == u64::from(checksum(&record[PREFIX..PREFIX + n]));
        match record[PREFIX + n] {
            TERMINATOR if fits => Ok(Some(n)),
            TERMINATOR => self.stop(Defect::WrongChecksum { length: n }),
            terminator if fits => self.stop(Defect::NoTerminator { length: n, terminator }),
            terminator => self.stop(Defect::NothingFits { length: n, terminator }),
        }
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
            is_last_file: self.is_last_file,
        };
        let torn = match damage::judge(&place, defect)? {
            Verdict::CleanEnd => None,
            Verdict::Torn(why) => Some(TornTail { path, offset, why }),
            Verdict::Rotten(what) => return Err(self.rotten(offset, what)),
        };
        self.end = Some(LogEnd { offset, torn });
        Ok(None)
    }

    fn rotten(&self, offset: u64, what: String) -> LogError {
        let next = self.last.map_or_else(|| first_of(&self.path), Zxid::next);
        LogError::Rotten { path: self.path.clone(), offset, next, what }
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
        let now = if self.is_live && have + read < target { self.file.size()? } else { self.size };
        if now < self.size {
            // What was read stays.
            self.size = now.max(self.offset + (have + read) as u64);
            self.buffer.truncate(have + read);
            return Ok(());
        }
        if have + read < target {
            let source = std::io::Error::other("the file became shorter while it was read");
            return Err(DiskError::new("read", &self.path, source).into());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::persistence::txn_log::record;

    pub(in super::super) struct BytesFile(pub(in super::super) Vec<u8>);

    impl DiskFile for BytesFile {
        fn size(&self) -> Result<u64, DiskError> {
            Ok(self.0.len() as u64)
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
        fn write_all_at(&self, _: u64, _: &[u8]) -> Result<(), DiskError> {
            unreachable!("a reader does not write")
        }
        fn sync_data(&self) -> Result<(), DiskError> {
            unreachable!("a reader does not sync")
        }
        fn sync_all(&self) -> Result<(), DiskError> {
            unreachable!("a reader does not sync")
        }
        fn set_len(&self, _: u64) -> Result<(), DiskError> {
            unreachable!("a reader does not cut")
        }
    }

    /// How reading a file ended.
    #[derive(Debug, PartialEq)]
    enum Ended {
        Clean,
        /// The torn tail starts here.
        Torn(u64),
        /// The damage starts here.
        Rotten(u64),
        NoHeader,
        NotALog,
    }
    use Ended::*;

    /// The zxids read from a file of these bytes, and how it ended.
    fn read(bytes: &[u8]) -> (Vec<u64>, Ended) {
        let mut zxids = Vec::new();
        let file = Arc::new(BytesFile(bytes.to_vec()));
        let mut reader = match LogReader::over(file, Path::new("log.1"), 1 << 20) {
            Ok(reader) => reader,
            Err(LogError::NoHeader { .. }) => return (zxids, NoHeader),
            Err(LogError::NotALog { .. }) => return (zxids, NotALog),
            Err(e) => panic!("{e}"),
        };
        loop {
            match reader.next() {
                Ok(Some(record)) => zxids.push(record.zxid.0),
                Ok(None) => break,
                Err(LogError::Rotten { offset, .. }) => return (zxids, Rotten(offset)),
                Err(e) => panic!("{e}"),
            }
        }
        let end = reader.end().unwrap().clone();
        (zxids, end.torn.map_or(Clean, |torn| Torn(torn.offset)))
    }

    /// A record with `zxid`, its transaction `size` bytes without a zero sector in it.
    fn record_of(zxid: u64, size: usize) -> Vec<u8> {
        let mut txn: Vec<u8> = (0..size).map(|i| (i % 251) as u8 | 1).collect();
        txn[12..20].copy_from_slice(&zxid.to_be_bytes());
        let mut out = Vec::new();
        record::append(&txn, &mut out);
        out
    }

    /// A log of records of these sizes, zxids from 1, and the offset of the last one.
    fn log_of(sizes: &[usize], padding: usize) -> (Vec<u8>, usize) {
        let mut bytes = FILE_HEADER.to_vec();
        let mut last = bytes.len();
        for (i, &size) in sizes.iter().enumerate() {
            last = bytes.len();
            bytes.extend(record_of(i as u64 + 1, size));
        }
        bytes.resize(bytes.len() + padding, 0);
        (bytes, last)
    }

    #[test]
    fn zeros_or_nothing_end_the_log() {
        for padding in [0, 1, 11, 12, 13, 512, 70_000] {
            assert_eq!(read(&log_of(&[48, 99], padding).0), (vec![1, 2], Clean), "{padding} zeros");
        }
        assert_eq!(read(&FILE_HEADER), (vec![], Clean));
    }

    #[test]
    fn records_larger_than_a_chunk_are_read() {
        let sizes = [CHUNK, 100, CHUNK - 13, CHUNK - 12, 32];
        assert_eq!(read(&log_of(&sizes, 5000).0), (vec![1, 2, 3, 4, 5], Clean));
    }

    #[test]
    fn a_record_cut_at_any_byte_is_torn() {
        let (bytes, last) = log_of(&[48, 99], 0);
        for cut in last + 1..bytes.len() {
            // The checksum begins with zeros; so few of them are no record yet.
            let expected = if cut <= last + 4 { Clean } else { Torn(last as u64) };
            assert_eq!(read(&bytes[..cut]), (vec![1], expected), "cut at {cut}");
        }
    }

    #[test]
    fn a_header_that_never_was_and_one_of_another_file() {
        assert_eq!(read(b""), (vec![], NoHeader));
        assert_eq!(read(&FILE_HEADER[..15]), (vec![], NoHeader));
        assert_eq!(read(&[0; 4096]), (vec![], NoHeader));
        assert_eq!(read(b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0"), (vec![], NotALog));
    }

    #[test]
    fn impossible_lengths_are_rot() {
        for length in [-1, -2, i32::MIN, (1 << 20) + 1, i32::MAX] {
            let (mut bytes, last) = log_of(&[48, 99], 1000);
            bytes[last + 8..last + 12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(read(&bytes), (vec![1], Rotten(last as u64)), "length {length}");
        }
    }

    #[test]
    fn a_flipped_bit_before_the_terminator_is_rot() {
        for padding in [0, 2000] {
            let (whole, last) = log_of(&[48, 99, 60], padding);
            let first = last - 99 - 13;
            for at in [first, last] {
                let size = if at == first { 99 } else { 60 };
                for bit in 0..(12 + size) * 8 {
                    let mut bytes = whole.clone();
                    bytes[at + bit / 8] ^= 1 << (bit % 8);
                    let (_, ended) = read(&bytes);
                    assert_eq!(ended, Rotten(at as u64), "bit {bit} of the record at {at}");
                }
            }
        }
    }

    #[test]
    fn a_terminator_that_is_another_byte_is_rot_wherever_it_is() {
        // 0 too, when something was written behind it.
        for terminator in [0, b'A', 0xff] {
            let (mut bytes, last) = log_of(&[48, 99], 1000);
            bytes[last + 12 + 99] = terminator;
            let ended = if terminator == 0 { Torn(last as u64) } else { Rotten(last as u64) };
            assert_eq!(read(&bytes), (vec![1], ended));
            let (mut bytes, last) = log_of(&[48, 99], 1000);
            bytes[last - 1] = terminator;
            assert_eq!(read(&bytes), (vec![], Rotten(16)));
        }
    }

    #[test]
    fn a_terminator_alone_in_a_sector_that_was_not_written_is_torn() {
        let (mut bytes, last) = log_of(&[48, 1024 - 77 - 12], 1000);
        assert_eq!(last, 77);
        assert_eq!(bytes[1024], TERMINATOR);
        bytes[1024] = 0;
        assert_eq!(read(&bytes), (vec![1], Torn(last as u64)));
        bytes[1024] = b'A';
        assert_eq!(read(&bytes), (vec![1], Rotten(last as u64)));
    }

    #[test]
    fn an_append_that_stopped_half_way_is_torn() {
        // Apache's server writes through a buffer, and can be killed between two writes; a disk
        // that runs full may take any number of bytes. The first four are zeros in every record.
        let (whole, last) = log_of(&[48, 99], 1000);
        for stopped in last + 5..=last + 12 + 99 {
            let mut bytes = whole.clone();
            bytes[stopped..].fill(0);
            assert_eq!(read(&bytes), (vec![1], Torn(last as u64)), "stopped at {stopped}");
        }
    }

    #[test]
    fn a_record_with_any_sector_unwritten_is_torn() {
        // From 77 bytes into a sector over three more.
        let (whole, last) = log_of(&[48, 1700], 4096);
        let end = last + 1700 + 13;
        for sector in last / 512..=(end - 1) / 512 {
            let mut bytes = whole.clone();
            bytes[(sector * 512).max(last)..(sector + 1) * 512].fill(0);
            assert_eq!(read(&bytes), (vec![1], Torn(last as u64)), "sector {sector}");
        }
        // The same, but a later record is whole: these bytes were durable once.
        let (whole, last) = log_of(&[48, 1700, 50], 4096);
        let first = last - 1700 - 13;
        for sector in first / 512..(last / 512) {
            let mut bytes = whole.clone();
            bytes[(sector * 512).max(first)..(sector + 1) * 512].fill(0);
            assert_eq!(read(&bytes), (vec![1], Rotten(first as u64)), "sector {sector}");
        }
    }

    #[test]
    fn a_prefix_that_straddles_sectors_is_torn_with_either_of_them_unwritten() {
        for into_prefix in 5..12 {
            let gap = 1024 - into_prefix - 16 - 13;
            let (whole, last) = log_of(&[gap, 300], 4096);
            assert_eq!(last, 1024 - into_prefix);
            let mut bytes = whole.clone();
            bytes[1024..1536].fill(0);
            assert_eq!(read(&bytes), (vec![1], Torn(last as u64)), "{into_prefix}: second sector");
            let mut bytes = whole;
            bytes[last..1024].fill(0);
            assert_eq!(read(&bytes), (vec![1], Torn(last as u64)), "{into_prefix}: first sector");
        }
    }

    #[test]
    fn a_zero_length_in_a_sector_that_was_written_is_rot() {
        let (mut bytes, last) = log_of(&[48, 99], 1000);
        bytes[last..last + 12].fill(0);
        assert_eq!(read(&bytes), (vec![1], Rotten(last as u64)));
        let (mut bytes, last) = log_of(&[48, 99], 5000);
        bytes[last + 12 + 99 + 3000] = 7;
        let end = (last + 12 + 99 + 1) as u64;
        assert_eq!(read(&bytes), (vec![1, 2], Torn(end)), "a byte in a later sector");
    }

    #[test]
    fn a_length_promises_no_memory() {
        let (mut bytes, last) = log_of(&[48, 99], 0);
        bytes[last + 8..last + 12].copy_from_slice(&(1i32 << 20).to_be_bytes());
        bytes[last + 20] ^= 1;
        assert_eq!(read(&bytes), (vec![1], Torn(last as u64)));
    }
}
