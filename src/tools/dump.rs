//! `zkserver log dump`: every transaction of a log in words, with the output of Apache's
//! TxnLogToolkit; in recovery mode a copy in which the checksums are right.
//!
//! The copy is complete or not there: it is written under another name, synced, then renamed.
//! Deviations from Apache: a transaction that cannot be read is told and passed over where Apache
//! ends with a stack trace, and the copy is not filled up with zeros.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use super::chop::LogCopy;
use super::raw_log::{RawLog, RawRecord, is_whole};
use super::time_zone::TimeZone;
use super::{Ended, txn_text};
use crate::persistence::txn_log::record::checksum;
use crate::persistence::{Disk, DiskError};

/// What is asked for besides the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Print all transactions, not only those with a wrong checksum.
    pub verbose: bool,
    /// Fix every checksum without asking.
    pub yes: bool,
}

/// Where a dump reads and writes.
pub struct Doors<'a> {
    /// The log's disk.
    pub disk: &'a dyn Disk,
    /// Answers of the operator.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub output: &'a mut dyn Write,
}

/// Prints the log `path`; with `recovery`, writes its copy `path.fixed`.
///
/// # Errors
/// Why it ended early.
pub fn dump(
    path: &Path,
    recovery: Option<Recovery>,
    zone: &TimeZone,
    doors: &mut Doors<'_>,
) -> Result<(), Ended> {
    let mut log = RawLog::open(doors.disk, path)?;
    writeln!(
        doors.output,
        "ZooKeeper Transactional Log File with dbid {} txnlog format version {}",
        log.database_id, log.version
    )?;
    let mut copy = recovery.map(|_| Copy::create(doors.disk, path, log.header())).transpose()?;
    let ended = transactions(&mut log, recovery, copy.as_mut(), zone, doors);
    let Some(copy) = copy else { return ended };
    if let Err(ended) = ended {
        copy.discard(doors.disk);
        return Err(ended);
    }
    let (path, fixed) = copy.finish(doors.disk)?;
    let path = path.display();
    writeln!(
        doors.output,
        "Recovery file {path} has been written with {fixed} fixed CRC error(s)"
    )?;
    Ok(())
}

fn transactions(
    log: &mut RawLog,
    recovery: Option<Recovery>,
    mut copy: Option<&mut Copy>,
    zone: &TimeZone,
    doors: &mut Doors<'_>,
) -> Result<(), Ended> {
    let mut count = 0u64;
    loop {
        let (offset, sum, txn, terminator) = match log.next()? {
            RawRecord::Record { offset, sum, txn, terminator } => (offset, sum, txn, terminator),
            RawRecord::End => break,
            RawRecord::ImpossibleLength { offset, length } => {
                doors.output.flush()?;
                return Err(Ended::failed(format!(
                    "Unreasonable length = {length} at offset {offset}"
                )));
            }
        };
        let right = u64::from(checksum(&txn));
        let mut written = sum;
        let print = |prefix: &str, output: &mut dyn Write| -> io::Result<()> {
            let mut line = prefix.as_bytes().to_vec();
            if let Err(error) = txn_text::write(&txn, zone, &mut line) {
                let length = txn.len();
                writeln!(line, "{length} bytes at offset {offset} that cannot be read: {error}")?;
            }
            output.write_all(&line)
        };
        if sum != right {
            match recovery {
                None => print("CRC ERROR - ", doors.output)?,
                Some(Recovery { yes: true, .. }) => {
                    print("CRC FIXED - ", doors.output)?;
                    written = right;
                }
                Some(Recovery { yes: false, .. }) => {
                    print("CRC ERROR - ", doors.output)?;
                    if ask_for_fix(doors)? {
                        written = right;
                    }
                }
            }
        }
        if recovery.is_none_or(|recovery| recovery.verbose) {
            print("", doors.output)?;
        }
        if !is_whole(terminator) {
            doors.output.flush()?;
            return Err(Ended::failed("Last transaction was partial.".to_owned()));
        }
        if let Some(copy) = &mut copy {
            copy.append(written, &txn, u64::from(written != sum))?;
        }
        count += 1;
    }
    writeln!(doors.output, "EOF reached after {count} txns.")?;
    Ok(())
}

/// Asks until an answer begins like one.
fn ask_for_fix(doors: &mut Doors<'_>) -> Result<bool, Ended> {
    loop {
        doors.output.write_all(b"Would you like to fix it (Yes/No/Abort) ? ")?;
        doors.output.flush()?;
        let mut line = String::new();
        if doors.input.read_line(&mut line)? == 0 {
            return Err(Ended::failed("Recovery aborted: no answer came.".to_owned()));
        }
        match line.trim_start().chars().next().map(|letter| letter.to_ascii_uppercase()) {
            Some('Y') => return Ok(true),
            Some('N') => return Ok(false),
            Some('A') => return Err(Ended { code: 0, why: "Recovery aborted.".to_owned() }),
            _ => {}
        }
    }
}

/// The copy being written.
struct Copy {
    path: PathBuf,
    unfinished: PathBuf,
    log: LogCopy,
    fixed: u64,
}

impl Copy {
    fn create(disk: &dyn Disk, log: &Path, header: Vec<u8>) -> Result<Self, Ended> {
        let path = with_suffix(log, ".fixed");
        if disk.exists(&path)? {
            let path = path.display();
            let why = format!("Recovery file {path} already exists or not writable");
            return Err(Ended::failed(why));
        }
        let unfinished = with_suffix(log, ".fixed.tmp");
        let log = LogCopy::create(disk, &unfinished, header)?;
        Ok(Copy { path, unfinished, log, fixed: 0 })
    }

    fn append(&mut self, sum: u64, txn: &[u8], fixed: u64) -> Result<(), DiskError> {
        self.fixed += fixed;
        self.log.append_with(sum, txn)
    }

    /// Makes it durable under its name; answers the name and how many checksums were fixed.
    fn finish(self, disk: &dyn Disk) -> Result<(PathBuf, u64), Ended> {
        let Copy { path, unfinished, log, fixed } = self;
        if let Err(error) = log.finish().and_then(|()| disk.rename(&unfinished, &path)) {
            let _ = disk.remove(&unfinished);
            return Err(error.into());
        }
        disk.sync_dir(super::directory_of(&path))?;
        Ok((path, fixed))
    }

    fn discard(self, disk: &dyn Disk) {
        // Why it is not wanted is what matters.
        let _ = disk.remove(&self.unfinished);
    }
}

/// `path` with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
