//! Purge: removes snapshots that are older than the newest few, and logs that only those need.
//!
//! ```text
//!   log.1        log.5            log.b               log.12
//!      snapshot.4      snapshot.8        snapshot.f         snapshot.15   snapshot.1a
//!   ▒▒▒▒▒▒▒▒▒▒▒ ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│        └ the oldest kept of three
//!                               └ the log with the greatest zxid not above it, and all later ones
//! ```
//!
//! What always holds:
//! * A start from any snapshot that is kept finds all logs it needs, at every moment of the purge
//!   and after a power cut in it: snapshots go first, oldest first, and are gone for good before
//!   the first log goes.
//! * Snapshots count as kept only if they are whole: written to their end, as far as a short look
//!   tells, and not found damaged by the start. With fewer than were asked for nothing goes
//!   (Apache ZooKeeper then removes the logs before the oldest). Two files of one zxid count once.
//! * What is written meanwhile is not touched: it is newer than what was looked at, or not yet
//!   under its own name.
//! * A file loses its name at once and its bytes little by little ([`reclaim`]): to free 150 MB in
//!   one call holds up the journal of the file system, and every sync of the log with it. A file
//!   that has another name, an operator's backup by hard link, keeps its bytes.
//! * Logs that somebody reads are pinned ([`Pins`](super::pins::Pins)) and stay.

use std::path::Path;

use super::data_dir::{DataDir, LogFile};
use super::disk::{Disk, DiskError};
use super::ledger::Ledger;
use super::snapshot::SnapshotFile;
use super::snapshot::reader::{is_whole, looks_complete};
use crate::proto::Zxid;

/// Before the name of a file that is being removed.
const REMOVED: &str = "zkserver.removed.";
/// Bytes given back at once. A file system that tells its disk of each piece (`discard`) keeps it from all
/// else meanwhile (docs/benchmarks.md).
const PIECE: u64 = 512 << 10;

/// What a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Snapshot files.
    pub snapshots: usize,
    /// Log files.
    pub logs: usize,
    /// Their sizes together.
    pub bytes: u64,
}

/// Removes what only snapshots older than the newest `retain` need; with `only_ours` no file that
/// somebody else wrote.
///
/// # Errors
/// The disk's. What was removed until then is not needed either.
pub fn purge(
    dir: &DataDir,
    ledger: &Ledger,
    retain: usize,
    only_ours: bool,
) -> Result<Purged, DiskError> {
    // Nobody cuts the history meanwhile, or begins to read what goes.
    let _held = dir.snapshot_gate().hold();
    let pins = dir.pins().hold();
    let (mut snapshots, mut logs) = superfluous(dir, ledger, retain)?;
    if let Some(pinned) = pins.lowest() {
        let all = dir.logs()?;
        let needed = all.iter().rposition(|log| log.first <= pinned).unwrap_or(0);
        logs.truncate(needed);
    }
    if only_ours {
        snapshots.retain(|file| ledger.is_our_snapshot(&file.name));
        logs.retain(|file| ledger.is_our_log(&file.name));
    }
    let mut purged = Purged::default();
    for file in &snapshots {
        take_name(dir.disk().as_ref(), dir.snapshot_dir(), &file.name)?;
        purged.snapshots += 1;
        purged.bytes += file.size;
    }
    if !snapshots.is_empty() {
        dir.disk().sync_dir(dir.snapshot_dir())?;
    }
    for file in &logs {
        take_name(dir.disk().as_ref(), dir.log_dir(), &file.name)?;
        purged.logs += 1;
        purged.bytes += file.size;
    }
    if !logs.is_empty() {
        dir.disk().sync_dir(dir.log_dir())?;
    }
    Ok(purged)
}

/// The snapshots and logs that are not needed, in the order in which they may go.
pub(super) fn superfluous(
    dir: &DataDir,
    ledger: &Ledger,
    retain: usize,
) -> Result<(Vec<SnapshotFile>, Vec<LogFile>), DiskError> {
    assert!(retain > 0, "a purge keeps a snapshot, or there is no way back");
    // The logs first: whatever is begun later is not among them.
    let mut logs = dir.logs()?;
    let mut snapshots = dir.snapshots()?;
    let Some(oldest_kept) = oldest_kept(dir, ledger, &snapshots, retain)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    snapshots.retain(|file| file.zxid < oldest_kept);
    let needed = logs.iter().rposition(|log| log.first <= oldest_kept).unwrap_or(0);
    logs.truncate(needed);
    Ok((snapshots, logs))
}

/// The zxid of the last of the newest `retain` whole snapshots.
fn oldest_kept(
    dir: &DataDir,
    ledger: &Ledger,
    snapshots: &[SnapshotFile],
    retain: usize,
) -> Result<Option<Zxid>, DiskError> {
    let disk = &**dir.disk();
    let (mut kept, mut last) = (0, None);
    for file in snapshots.iter().rev() {
        if last == Some(file.zxid) || ledger.is_damaged(&file.name) {
            continue;
        }
        // Ours have their names only when they are whole.
        let whole = match ledger.is_our_snapshot(&file.name) {
            true => looks_complete(disk, dir.snapshot_dir(), file)?,
            false => is_whole(disk, dir.snapshot_dir(), file)?,
        };
        if whole {
            kept += 1;
            last = Some(file.zxid);
        }
        if kept == retain {
            return Ok(last);
        }
    }
    Ok(None)
}

/// What the file `name` is called until its bytes are given back.
pub(super) fn removed_name(name: &str) -> String {
    format!("{REMOVED}{name}")
}

/// Takes the file's name, unless somebody was faster.
fn take_name(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), DiskError> {
    match disk.rename(&dir.join(name), &dir.join(removed_name(name))) {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

/// Gives back the room of what purges set aside, a piece at a time; calls `pace` after each.
///
/// # Errors
/// The disk's. What is left is found again next time.
pub fn reclaim(dir: &DataDir, mut pace: impl FnMut()) -> Result<(), DiskError> {
    let disk = dir.disk().as_ref();
    for folder in dir.both() {
        for entry in disk.list(&folder)?.iter().filter(|entry| entry.name.starts_with(REMOVED)) {
            let path = folder.join(&entry.name);
            if disk.is_only_name(&path)? {
                let file = disk.open_for_write(&path)?;
                let mut left = entry.size.next_multiple_of(PIECE);
                while left > PIECE {
                    left -= PIECE;
                    file.set_len(left)?;
                    pace();
                }
            }
            disk.remove(&path)?;
            pace();
        }
    }
    Ok(())
}
