//! A log file as Apache's TxnLogToolkit walks through it: record by record, judging nothing.
//!
//! The server's own reader ([`LogReader`](crate::persistence::txn_log::LogReader)) stops where a
//! server must stop; this one goes on over wrong checksums, so that an operator sees what is
//! there. No length is believed further than the file reaches.

use std::path::Path;
use std::sync::Arc;

use crate::persistence::txn_log::record::{FILE_HEADER, MAGIC, PREFIX, TERMINATOR, prefix};
use crate::persistence::{Disk, DiskError, DiskFile};

/// The records of one file.
pub struct RawLog {
    file: Arc<dyn DiskFile>,
    size: u64,
    offset: u64,
    /// The header's version.
    pub version: i32,
    /// The header's database id.
    pub database_id: i64,
}

/// What stands where a record should.
pub enum RawRecord {
    /// Checksum field, transaction, and whether the byte that ends a record follows.
    Record {
        /// Where it starts in the file.
        offset: u64,
        /// The checksum field.
        sum: u64,
        /// The bytes of the transaction.
        txn: Vec<u8>,
        /// The byte behind it; `None` if the file ends before.
        terminator: Option<u8>,
    },
    /// Zeros, or the end of the file, even in the middle of a record.
    End,
    /// A length that no record can have.
    ImpossibleLength {
        /// Where the record would start in the file.
        offset: u64,
        /// Its length field.
        length: i32,
    },
}

/// Why a file is no log.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RawLogError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the file ends within its header")]
    NoHeader,
    #[error("Invalid magic number for {0}")]
    NotALog(String),
}

impl RawLog {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no log.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, RawLogError> {
        let file = disk.open(path)?;
        let size = file.size()?;
        let mut header = [0; FILE_HEADER.len()];
        if file.read_at(0, &mut header)? < header.len() {
            return Err(RawLogError::NoHeader);
        }
        if !header.starts_with(MAGIC) {
            let name = path.file_name().unwrap_or(path.as_os_str());
            return Err(RawLogError::NotALog(name.to_string_lossy().into_owned()));
        }
        let [_, _, _, _, version @ .., _, _, _, _, _, _, _, _] = header;
        let [.., a, b, c, d, e, f, g, h] = header;
        Ok(RawLog {
            file,
            size,
            offset: header.len() as u64,
            version: i32::from_be_bytes(version),
            database_id: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        })
    }

    /// The header as it stands in the file.
    pub fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&self.version.to_be_bytes());
        header.extend_from_slice(&self.database_id.to_be_bytes());
        header
    }

    /// What comes next.
    ///
    /// # Errors
    /// The disk's.
    pub fn next(&mut self) -> Result<RawRecord, DiskError> {
        let offset = self.offset;
        let mut head = [0; PREFIX];
        let read = self.file.read_at(offset, &mut head)?;
        let Some((sum, length)) = prefix(&head[..read]) else { return Ok(RawRecord::End) };
        let Ok(n) = usize::try_from(length) else {
            return Ok(RawRecord::ImpossibleLength { offset, length });
        };
        let start = offset + PREFIX as u64;
        if n == 0 || n as u64 > self.size.saturating_sub(start) {
            return Ok(RawRecord::End);
        }
        let mut txn = vec![0; n + 1];
        let read = self.file.read_at(start, &mut txn)?;
        if read < n {
            return Ok(RawRecord::End);
        }
        let terminator = txn.pop().filter(|_| read > n);
        self.offset = start + n as u64 + 1;
        Ok(RawRecord::Record { offset, sum, txn, terminator })
    }
}

/// Whether a record ends as one must.
pub fn is_whole(terminator: Option<u8>) -> bool {
    terminator == Some(TERMINATOR)
}
