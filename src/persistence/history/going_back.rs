//! Going back: a leader's tree that turns out to be of no use is given up for the history before it.
//!
//! A tree is **on trial** until `currentEpoch` is written: until then its server has promised nothing
//! on the ground of it, for it acknowledges NEWLEADER behind that. If its leader is never followed by
//! a quorum, a later one may say to cut the history in front of the tree, where there is nothing
//! left to cut. What the tree took the place of lies aside, and becomes the history again, as if the
//! tree had never come.
//!
//! What always holds:
//! * What comes back ends exactly where the history before the tree ended, and has no hole: that is
//!   read before anything is given up. Files that lie aside are nobody's business, and an operator who
//!   was short of room may have removed some; with less, an acknowledgement would be forgotten.
//! * The end is known only to the process that took the tree. A start ends every trial: nobody knows
//!   what another server has made of the directory meanwhile.

use std::path::Path;

use super::{ASIDE, COMING_BACK, GOING_BACK, remove_all};
use crate::persistence::data_dir::DataDir;
use crate::persistence::disk::{Disk, DiskError};
use crate::persistence::restore::follows;
use crate::persistence::snapshot::reader::looks_complete;
use crate::persistence::snapshot::{self, SnapshotFile};
use crate::persistence::txn_log::{self, LogError, LogReader};
use crate::proto::Zxid;

/// What a truncation can count on that cannot cut the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatLiesAside {
    /// Nothing, or what is for an operator to look at.
    NothingOfUse,
    /// The history in whose place a leader's tree came that is on trial.
    TheHistoryBefore {
        /// Its last transaction.
        end: Zxid,
    },
}

/// Makes what lies aside the history again, if it is whole and ends with `end`. False if it is not:
/// then everything is as it was.
///
/// # Errors
/// The disk's: the next start finds the tree's history or the one before.
pub(super) fn go_back(dir: &DataDir, end: Zxid) -> Result<bool, DiskError> {
    if let Err(why) = read_aside(dir, end)? {
        tracing::warn!(%end, why, "what lies aside is not the history before the leader's tree");
        return Ok(false);
    }
    dir.disk().create_new(&dir.snapshot_dir().join(GOING_BACK))?;
    dir.disk().sync_dir(dir.snapshot_dir())?;
    carry_out_going_back(dir)?;
    Ok(true)
}

/// Everything else goes. May be done again from the start at any time.
pub(super) fn carry_out_going_back(dir: &DataDir) -> Result<(), DiskError> {
    remove_all(dir)?;
    let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
    disk.rename(&snapshot_dir.join(GOING_BACK), &snapshot_dir.join(COMING_BACK))?;
    disk.sync_dir(snapshot_dir)?;
    carry_out_coming_back(dir)
}

/// Everything else is gone. May be done again from the start at any time. Logs first: on a snapshot
/// without them Apache's server would start with less than there was.
pub(super) fn carry_out_coming_back(dir: &DataDir) -> Result<(), DiskError> {
    let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
    come_back(disk, dir.log_dir(), |name| txn_log::zxid_of_name(name).is_some())?;
    come_back(disk, snapshot_dir, snapshot::is_file_name)?;
    disk.remove(&snapshot_dir.join(COMING_BACK))?;
    disk.sync_dir(snapshot_dir)
}

fn come_back(disk: &dyn Disk, dir: &Path, is_one: impl Fn(&str) -> bool) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        if let Some(name) = entry.name.strip_prefix(ASIDE).filter(|name| is_one(name)) {
            tracing::info!("{} is history again", dir.join(name).display());
            disk.rename(&dir.join(&entry.name), &dir.join(name))?;
        }
    }
    disk.sync_dir(dir)
}

/// Reads what lies aside, from its newest snapshot that was written to its end. In words why it is not
/// a history up to `end`. (That the snapshot is sound shows when it is loaded.)
fn read_aside(dir: &DataDir, end: Zxid) -> Result<Result<(), String>, DiskError> {
    let disk = &**dir.disk();
    let mut newest: Option<Zxid> = None;
    for mut entry in disk.list(dir.snapshot_dir())? {
        let Some(name) = entry.name.strip_prefix(ASIDE).map(str::to_owned) else { continue };
        let aside = std::mem::replace(&mut entry.name, name);
        let Some(file) = snapshot::file_of(entry) else { continue };
        let zxid = file.zxid;
        if looks_complete(disk, dir.snapshot_dir(), &SnapshotFile { name: aside, ..file })? {
            newest = newest.max(Some(zxid));
        }
    }
    let Some(mut last) = newest else { return Ok(Err("it has no snapshot".to_owned())) };
    let mut logs = Vec::new();
    for entry in disk.list(dir.log_dir())? {
        let first = entry.name.strip_prefix(ASIDE).and_then(txn_log::zxid_of_name);
        logs.extend(first.map(|first| (first, entry.name)));
    }
    logs.sort();
    let needed = logs.iter().rposition(|(first, _)| *first <= last.next()).unwrap_or(0);
    for (_, name) in &logs[needed..] {
        match read_log(disk, &dir.log_dir().join(name), &mut last) {
            Ok(None) => {}
            Ok(Some(why)) => return Ok(Err(why)),
            Err(LogError::Disk(error)) => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(if last == end { Ok(()) } else { Err(format!("it ends with {last}")) })
}

/// Reads on from `last` to the log's last record; in words why there may be less than there was.
fn read_log(disk: &dyn Disk, path: &Path, last: &mut Zxid) -> Result<Option<String>, LogError> {
    // A limit is not what keeps the end of the history from being found.
    let mut reader = LogReader::open(disk, path, i32::MAX as usize)?;
    while let Some(record) = reader.next()? {
        let zxid = record.zxid;
        if zxid > *last && !follows(zxid, *last) {
            return Ok(Some(format!("{} goes on with {zxid} behind {last}", path.display())));
        }
        *last = zxid.max(*last);
    }
    Ok(None)
}
