//! `zkserver log chop`: a copy of a log up to a transaction, with the output of Apache's
//! TxnLogToolkit.
//!
//! The log itself stays as it is; the copy is `<log>.chopped<zxid, decimal>`, complete or not
//! there. Deviations from Apache: a chop that failed leaves no file and does not exit with 0.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::dump::with_suffix;
use super::raw_log::{RawLog, RawLogError, RawRecord, is_whole};
use super::{Ended, directory_of};
use crate::jute::Writer;
use crate::persistence::txn_log::record::{OVERHEAD, TERMINATOR, checksum};
use crate::persistence::{Disk, DiskError, DiskFile};
use crate::proto::Zxid;
use crate::proto::txns::TxnHeader;

/// Copies the log `path` up to `zxid`, which must be in it and not its last.
///
/// # Errors
/// Why there is no copy. What Apache says was printed already.
pub fn chop(path: &Path, zxid: Zxid, disk: &dyn Disk, output: &mut dyn Write) -> Result<(), Ended> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let unfinished = with_suffix(path, ".chopped.tmp");
    match write_copy(path, &unfinished, zxid, disk, output) {
        Ok(true) => {
            disk.rename(&unfinished, &with_suffix(path, &format!(".chopped{}", zxid.to_long())))?;
            Ok(disk.sync_dir(directory_of(path))?)
        }
        Ok(false) => {
            let _ = disk.remove(&unfinished);
            writeln!(output, "Got exception: Failed to chop {name}")?;
            Err(Ended { code: 2, why: String::new() })
        }
        Err(Ended { code, why }) => {
            let _ = disk.remove(&unfinished);
            writeln!(output, "Got exception: {why}")?;
            Err(Ended { code, why: String::new() })
        }
    }
}

/// Writes the copy; whether it is one.
fn write_copy(
    path: &Path,
    unfinished: &Path,
    zxid: Zxid,
    disk: &dyn Disk,
    output: &mut dyn Write,
) -> Result<bool, Ended> {
    let mut log = match RawLog::open(disk, path) {
        Ok(log) => log,
        Err(RawLogError::NotALog(_)) => {
            eprintln!("Invalid magic number in txn log file");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    writeln!(
        output,
        "ZooKeeper Transactional Log File with dbid {} txnlog format version {}",
        log.database_id, log.version
    )?;
    let mut copy = LogCopy::create(disk, unfinished, log.header())?;
    let (mut count, mut last, mut has_zxid) = (0u64, None, false);
    loop {
        let (sum, txn, terminator) = match log.next()? {
            RawRecord::Record { sum, txn, terminator, .. } => (sum, txn, terminator),
            RawRecord::End => {
                writeln!(output, "EOF reached after {count} txns.")?;
                return Ok(false);
            }
            RawRecord::ImpossibleLength { length, .. } => {
                return Err(Ended::failed(format!("Unreasonable length = {length}")));
            }
        };
        let right = u64::from(checksum(&txn));
        if sum != right {
            let sum = sum as i64;
            return Err(Ended::failed(format!("CRC doesn't match {sum} vs {right}")));
        }
        let Some(found) = zxid_of(&txn) else {
            return Err(Ended::failed("a record is too short for a transaction"));
        };
        if !is_whole(terminator) {
            writeln!(output, "Last transaction was partial.")?;
            return Err(Ended::failed("Last transaction was partial."));
        }
        has_zxid |= found == zxid;
        tell_gap(last, found, output)?;
        last = Some(found);
        if found.to_long() > zxid.to_long() {
            if count == 0 || !has_zxid {
                writeln!(output, "This log does not contain zxid {:x}", zxid.0)?;
                return Ok(false);
            }
            writeln!(output, "Chopping at {:x} new log has {count} records", zxid.0)?;
            copy.finish()?;
            return Ok(true);
        }
        copy.append(&txn)?;
        count += 1;
    }
}

fn tell_gap(last: Option<Zxid>, found: Zxid, output: &mut dyn Write) -> Result<(), Ended> {
    let Some(last) = last.filter(|last| last.next() != found) else { return Ok(()) };
    let kind = if found.epoch() == last.epoch() {
        "intra"
    } else if found.counter() != 1 {
        "inter"
    } else {
        return Ok(());
    };
    Ok(writeln!(output, "There is {kind}-epoch gap between {:x} and {:x}", last.0, found.0)?)
}

/// The zxid of a transaction.
pub(super) fn zxid_of(txn: &[u8]) -> Option<Zxid> {
    let field = txn.get(..TxnHeader::SIZE)?.get(12..20)?;
    Some(Zxid(u64::from_be_bytes(field.try_into().expect("8 bytes"))))
}

/// A log being written.
pub(super) struct LogCopy {
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    offset: u64,
}

/// Bytes that are written at once, at least.
const PIECE: usize = 1 << 20;

impl LogCopy {
    /// Begins the log `path`, which replaces what has that name.
    pub(super) fn create(disk: &dyn Disk, path: &Path, header: Vec<u8>) -> Result<Self, DiskError> {
        if disk.exists(path)? {
            disk.remove(path)?;
        }
        Ok(LogCopy { file: disk.create_new(path)?, buffer: header, offset: 0 })
    }

    /// Appends a transaction.
    pub(super) fn append(&mut self, txn: &[u8]) -> Result<(), DiskError> {
        self.append_with(u64::from(checksum(txn)), txn)
    }

    /// Appends a transaction under a checksum that need not be its own.
    pub(super) fn append_with(&mut self, sum: u64, txn: &[u8]) -> Result<(), DiskError> {
        self.buffer.reserve(txn.len() + OVERHEAD);
        self.buffer.put_long(sum as i64);
        self.buffer.put_buffer(Some(txn));
        self.buffer.push(TERMINATOR);
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Makes it durable, under the name it has.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        self.flush()?;
        self.file.sync_all()
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_all_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
