//! `zkserver log chop --in-place`: makes a directory's history end with a transaction.
//!
//! It is the last resort of a server that refuses to start: damage, or a hole, that no backup
//! mends. Everything behind the transaction is lost to the server, and nothing to the operator:
//!
//! ```text
//! log.42      rewritten up to the transaction; as it was in aside.log.42
//! log.99      later logs: renamed to aside.log.99
//! snapshot.98 snapshots of a later state, in the same directory: renamed to aside.snapshot.98
//! ```
//!
//! Each step leaves a directory on which the server starts with this history or refuses as
//! before: what is later goes first, the log itself last, in one rename.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::chop::{LogCopy, zxid_of};
use super::raw_log::{RawLog, RawLogError, RawRecord, is_whole};
use super::{Ended, directory_of};
use crate::persistence::snapshot;
use crate::persistence::txn_log::{self, record};
use crate::persistence::{Disk, DiskError};
use crate::proto::Zxid;

/// Makes the history end with `zxid`, which lies in the log `path` or just before it. The
/// directory must be locked by the caller.
///
/// # Errors
/// Why nothing, or not everything, was done.
pub fn chop_in_place(
    path: &Path,
    zxid: Zxid,
    disk: &dyn Disk,
    output: &mut dyn Write,
) -> Result<(), Ended> {
    let dir = directory_of(path);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(first) = txn_log::zxid_of_name(name) else {
        let why = format!("{} has not the name of a log, log.<zxid>", path.display());
        return Err(Ended { code: 2, why });
    };
    // Cleared away by the next start, should we die here.
    let unfinished = dir.join(format!("tmp.{name}"));
    let kept = keep(path, first, &unfinished, zxid, disk)?;
    let mut aside = Aside { disk, dir, output };
    aside.later_than(first, zxid)?;
    if kept == 0 {
        aside.rename(name)?;
    } else {
        aside.copy(name)?;
        disk.rename(&unfinished, path)?;
    }
    disk.sync_dir(dir)?;
    writeln!(output, "{name} ends with 0x{:x} now and has {kept} records", zxid.0)?;
    Ok(())
}

/// Writes what is kept of the log to `unfinished`; how many records that is. Without any there is
/// no file.
fn keep(
    path: &Path,
    first: Zxid,
    unfinished: &Path,
    zxid: Zxid,
    disk: &dyn Disk,
) -> Result<u64, Ended> {
    let nothing_kept = zxid < first;
    let mut log = match RawLog::open(disk, path) {
        Ok(log) => log,
        Err(RawLogError::Disk(error)) => return Err(error.into()),
        // Whatever it is, it gives way as a whole.
        Err(_) if nothing_kept => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut copy = LogCopy::create(disk, unfinished, log.header())?;
    let (mut count, mut last) = (0u64, None);
    while let RawRecord::Record { sum, txn, terminator, .. } = log.next()? {
        let fits = sum == u64::from(record::checksum(&txn)) && is_whole(terminator);
        let Some(found) = zxid_of(&txn).filter(|found| fits && *found <= zxid) else { break };
        copy.append(&txn)?;
        count += 1;
        last = last.max(Some(found));
    }
    if count > 0 && last == Some(zxid) {
        copy.finish()?;
        return Ok(count);
    }
    drop(copy);
    disk.remove(unfinished)?;
    if count == 0 && nothing_kept {
        return Ok(0);
    }
    let path = path.display();
    let why = match last {
        Some(last) => format!(
            "{path} cannot be chopped at 0x{:x}: its last sound record before that is 0x{:x}; \
             chop there",
            zxid.0, last.0
        ),
        None => format!(
            "{path} cannot be chopped at 0x{:x}: it has no sound record up to there; chop at \
             0x{:x} to put it aside as a whole",
            zxid.0,
            first.0.saturating_sub(1)
        ),
    };
    Err(Ended { code: 2, why })
}

/// Puts files aside, durably in the end, and says so.
struct Aside<'a, 'o> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    output: &'o mut dyn Write,
}

impl Aside<'_, '_> {
    /// Logs behind `first` and snapshots of a state behind `zxid`, the newest first: at no moment
    /// is there a gap before a file that still has its name.
    fn later_than(&mut self, first: Zxid, zxid: Zxid) -> Result<(), Ended> {
        let mut later = Vec::new();
        for entry in self.disk.list(self.dir)? {
            let log = txn_log::zxid_of_name(&entry.name).filter(|log| *log > first);
            let snapshot = snapshot::zxid_of_name(&entry.name).filter(|at| *at > zxid);
            if let Some(at) = log.or(snapshot) {
                later.push((at, entry.name));
            }
        }
        later.sort();
        for (_, name) in later.iter().rev() {
            self.rename(name)?;
        }
        // Durable before the log gives way, or a power cut could bring them back behind it.
        Ok(self.disk.sync_dir(self.dir)?)
    }

    fn rename(&mut self, name: &str) -> Result<(), Ended> {
        let to = self.free_name(name)?;
        self.disk.rename(&self.dir.join(name), &to)?;
        self.tell(name, &to)
    }

    /// Leaves the file where it is and a copy aside.
    fn copy(&mut self, name: &str) -> Result<(), Ended> {
        const PIECE: usize = 1 << 20;
        let to = self.free_name(name)?;
        let unfinished = self.dir.join(format!("tmp.aside.{name}"));
        if self.disk.exists(&unfinished)? {
            self.disk.remove(&unfinished)?;
        }
        let (from, copy) =
            (self.disk.open(&self.dir.join(name))?, self.disk.create_new(&unfinished)?);
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let read = from.read_at(offset, &mut buffer)?;
            if read == 0 {
                break;
            }
            copy.write_all_at(offset, &buffer[..read])?;
            offset += read as u64;
        }
        copy.sync_all()?;
        self.disk.rename(&unfinished, &to)?;
        self.disk.sync_dir(self.dir)?;
        self.tell(name, &to)
    }

    fn tell(&mut self, name: &str, to: &Path) -> Result<(), Ended> {
        let to = to.file_name().unwrap_or_default().to_string_lossy();
        Ok(writeln!(self.output, "{name} as it was: {to}")?)
    }

    /// `aside.<name>`: a name that neither this server nor Apache's takes for one of its files, nor
    /// either's purge. With a number if there is one already.
    fn free_name(&self, name: &str) -> Result<PathBuf, DiskError> {
        let mut to = self.dir.join(format!("aside.{name}"));
        let mut number = 2;
        while self.disk.exists(&to)? {
            to = self.dir.join(format!("aside.{name}.{number}"));
            number += 1;
        }
        Ok(to)
    }
}
