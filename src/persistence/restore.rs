//! Restart: from the files back to the database that was promised.
//!
//! ```text
//! snapshots, newest first ──▶ the first that is whole ──▶ database at its zxid
//!                                                              │ every logged transaction
//! logs from there on ─────────────────────────────────────────▶│ above it, in order
//!                                                              ▼
//!                                                   the torn tail is cut off
//! ```
//!
//! Refused is whatever could mean that something durable is missing: no snapshot usable though
//! there are some, logs without any, a file that cannot be read, rot, a hole in the zxids. What
//! is merely odd is passed on as a notice.

mod member;
mod recent;
mod refusal;
mod replay;

pub use self::member::{
    HistoryRestored, MemberRestoreOptions, MemberRestored, RestoreReport, restore_history,
    restore_member,
};
use self::recent::Recent;
pub(super) use self::recent::follows;
pub use self::refusal::{Refusal, RestoreError};
use self::replay::{Replay, Tail};
use super::data_dir::{DataDir, LogFile};
use super::disk::DiskError;
use super::history;
use super::snapshot::reader::looks_complete;
use super::snapshot::{LoadedSnapshot, SnapshotError, SnapshotFile, read_snapshot};
use super::txn_log::{LogError, LogReader, MAX_BATCH_BYTES, TornTail};
use crate::proto::Zxid;
use crate::tree::{Database, TreeOptions};
use bytes::Bytes;

/// What restoring depends on.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions {
    /// How the tree is kept.
    pub tree: TreeOptions,
    /// The largest transaction and snapshot field, in bytes: `jute.maxbuffer` plus its extrasize.
    pub max_record: usize,
    /// Whether an empty directory may become an empty database (`db.autocreate`).
    pub db_autocreate: bool,
    /// Whether logs are accepted without a snapshot (`snapshot.trust.empty`): an upgrade from
    /// 3.4, which wrote none of an empty tree.
    pub snapshot_trust_empty: bool,
    /// Whether the log was synced (`forceSync`): if not, a power cut explains what is missing.
    pub force_sync: bool,
}

/// The database, and how it came about.
pub struct Restored {
    /// Tree, sessions, last zxid.
    pub database: Database,
    /// What it was built on.
    pub origin: Origin,
    /// Transactions applied from the log.
    pub txns_replayed: u64,
    /// Log files read.
    pub log_files: usize,
    /// What was cut off the last log.
    pub torn: Option<TornTail>,
    /// Transactions whose digest was not the tree's.
    pub digest_mismatches: u64,
    /// The snapshots that were tried before that one and found damaged.
    pub damaged_snapshots: Vec<String>,
    /// Sentences for the operator.
    pub notices: Vec<String>,
}

/// What a restored database was built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This snapshot.
    Snapshot {
        /// Its name.
        name: String,
        /// Its zxid.
        zxid: Zxid,
    },
    /// An empty tree that the operator vouched for, and the logs.
    TrustedEmpty,
    /// Nothing, and that is right: a new database.
    New,
    /// Nothing, and nobody said that this is right. The data may have been lost: such a server
    /// has the zxid -1 and may follow, but must not vote (C-246).
    Amnesia,
}

impl Restored {
    /// Whether a snapshot of the database must be durable before anything is logged: the
    /// directory's next restart would refuse its logs otherwise.
    pub fn needs_snapshot(&self) -> bool {
        matches!(self.origin, Origin::New | Origin::TrustedEmpty)
    }

    /// The snapshot it was built on, with its zxid.
    pub fn snapshot(&self) -> Option<(&str, Zxid)> {
        match &self.origin {
            Origin::Snapshot { name, zxid } => Some((name, *zxid)),
            Origin::TrustedEmpty | Origin::New | Origin::Amnesia => None,
        }
    }
}

/// Snapshots that are tried, at most.
const CANDIDATES: usize = 100;

/// Restores the database from `dir`, and cuts a torn tail off its last log.
///
/// # Errors
/// The data cannot be read, or something durable may be missing.
pub fn restore(dir: &DataDir, options: &RestoreOptions) -> Result<Restored, Refusal> {
    restore_telling(dir, options, &mut |_| ())
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy)]
pub enum RestoreStage<'a> {
    /// Snapshot or logs are being read.
    Reading {
        /// The file that is being read.
        file: &'a str,
        /// Bytes read, of this snapshot or of all logs, with the zeros at the logs' ends.
        done: u64,
        /// Bytes to be read in all.
        total: u64,
        /// Transactions applied from the logs.
        txns: u64,
    },
    /// The snapshot is loaded, if there is one, and the logs are next.
    SnapshotLoaded,
}

/// [`restore`]; `tell` hears of its progress at every MiB or so.
///
/// # Errors
/// Those of [`restore`].
pub fn restore_telling(
    dir: &DataDir,
    options: &RestoreOptions,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<Restored, Refusal> {
    let extras = Extras { at_start: true, ..Extras::default() };
    restore_with(dir, options, extras, tell).map(|(restored, _)| restored)
}

/// What a member wants beside.
#[derive(Debug, Clone, Copy, Default)]
struct Extras {
    /// How many of the last transactions.
    recent: usize,
    /// Whether ACL lists may be missing: behind a leader's tree they come with the transactions
    /// that follow it.
    tolerates_missing_acls: bool,
    /// Whether the process begins with it. A tree that a leader has just sent has no log.
    at_start: bool,
}

/// [`restore_telling`], with the last transactions.
#[allow(clippy::type_complexity)]
fn restore_with(
    dir: &DataDir,
    options: &RestoreOptions,
    extras: Extras,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<(Restored, Vec<(Zxid, Bytes)>), Refusal> {
    let mut notices = Vec::new();
    let restored = restore_noting(dir, options, extras, &mut notices, tell);
    match restored {
        Ok((restored, recent)) => Ok((Restored { notices, ..restored }, recent)),
        Err(error) => Err(Refusal { error, notices, force_sync: options.force_sync }),
    }
}

/// [`restore_with`] without its notices, which are put in `notices` as they come.
#[allow(clippy::type_complexity)]
fn restore_noting(
    dir: &DataDir,
    options: &RestoreOptions,
    extras: Extras,
    notices: &mut Vec<String>,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<(Restored, Vec<(Zxid, Bytes)>), RestoreError> {
    let mut logs = dir.logs()?;
    let has_logs = !logs.is_empty();
    let mut unwritten = take_unwritten(dir, &mut logs, options)?;
    let (loaded, origin) = base(dir, &logs, options, notices, tell)?;
    tell(RestoreStage::SnapshotLoaded);
    if let Some(path) = loaded.misread_ttl {
        return Err(RestoreError::TtlNode(path));
    }
    let from = loaded.database.last_processed();
    if extras.at_start && !has_logs && from > Zxid::ZERO && !history::lies_something_aside(dir)? {
        notices.push(format!(
            "there is no log at all in {}, though the snapshot is of {from}: whatever came behind \
             it is not served; unless that is right, stop, see that dataLogDir is right and its \
             volume mounted, and start again before clients write",
            dir.log_dir().display()
        ));
    }
    // The file that a later transaction can be in begins at or before it; earlier ones are done.
    let first = logs.iter().rposition(|log| log.first <= from.next()).unwrap_or(0);
    logs.drain(..first);
    let mut replay = Replay {
        dir,
        options,
        snapshot: from,
        last: from,
        database: loaded.database,
        txns: 0,
        notices,
        torn: None,
        tell,
        done: 0,
        total: logs.iter().map(|log| log.size).sum(),
        tail: None,
        recent: Recent::new(extras.recent),
    };
    for (i, log) in logs.iter().enumerate() {
        replay.file(log, i + 1 == logs.len())?;
    }
    let Replay { database, txns, torn, tail, recent, .. } = replay;
    refuse_less_than_a_snapshot(dir, database.last_processed())?;
    match database.tree.missing_acl() {
        Some((path, index)) if !extras.tolerates_missing_acls => {
            return Err(RestoreError::AclMissing { path, index });
        }
        Some((path, index)) => notices.push(format!(
            "the ACL of {} is missing (list {index}): nobody may touch the node until a \
             transaction brings it",
            path.escape_ascii()
        )),
        None => {}
    }
    if let (Some((at, digest)), 0, true) = (loaded.digest, txns, options.tree.digest_enabled)
        && at == from
        && digest != database.tree.digest()
    {
        notices.push(format!("the digest of the tree at {from} is not the one in its snapshot"));
    }
    // Only now: a start that is refused changes nothing.
    remove(dir, &mut unwritten, notices)?;
    if let Some(torn) = &torn {
        cut(dir, torn)?;
    }
    let newer = dir.snapshots()?.into_iter().filter(|file| file.zxid > from);
    let damaged_snapshots = newer.map(|file| file.name).collect();
    let is_empty = matches!(origin, Origin::New | Origin::Amnesia);
    if options.force_sync && !is_empty {
        make_durable(dir, tail.as_ref())?;
    }
    let recent = recent.up_to(database.last_processed());
    let restored = Restored {
        digest_mismatches: database.digest_mismatches(),
        database,
        origin,
        txns_replayed: txns,
        log_files: logs.len(),
        torn,
        damaged_snapshots,
        notices: Vec::new(),
    };
    Ok((restored, recent))
}

/// The database that the logs are applied to.
fn base(
    dir: &DataDir,
    logs: &[LogFile],
    options: &RestoreOptions,
    notices: &mut Vec<String>,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<(LoadedSnapshot, Origin), RestoreError> {
    let snapshots = dir.snapshots()?;
    if !snapshots.is_empty() {
        let first_log = logs.first().map(|log| log.first);
        return newest_usable(dir, &snapshots, first_log, options, notices, tell);
    }
    let empty = LoadedSnapshot {
        database: Database::new(options.tree),
        digest: None,
        last_zxid: None,
        misread_ttl: None,
    };
    if !logs.is_empty() {
        if !options.snapshot_trust_empty {
            return Err(RestoreError::LogsWithoutSnapshot {
                snapshot_dir: dir.snapshot_dir().to_owned(),
                log_dir: dir.log_dir().to_owned(),
                first: logs[0].first,
            });
        }
        return Ok((empty, Origin::TrustedEmpty));
    }
    let meant = options.db_autocreate || dir.is_initialize_asked()?;
    Ok((empty, if meant { Origin::New } else { Origin::Amnesia }))
}

/// The newest snapshot that is whole, read; damaged ones before it are named in `notices`.
fn newest_usable(
    dir: &DataDir,
    snapshots: &[SnapshotFile],
    first_log: Option<Zxid>,
    options: &RestoreOptions,
    notices: &mut Vec<String>,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<(LoadedSnapshot, Origin), RestoreError> {
    let disk = &**dir.disk();
    let mut tried = 0;
    let mut newest = None;
    for file in snapshots.iter().rev() {
        let path = dir.snapshot_dir().join(&file.name);
        let problem = if !looks_complete(disk, dir.snapshot_dir(), file)? {
            format!("the snapshot {} was not written to its end", path.display())
        } else if tried == CANDIDATES {
            break;
        } else {
            tried += 1;
            let progress = &mut |done, total| {
                let file = &file.name;
                tell(RestoreStage::Reading { file, done, total, txns: 0 });
            };
            let (tree, max_field) = (options.tree, options.max_record);
            match read_snapshot(disk, &path, file.zxid, tree, max_field, progress) {
                // Its writer had all transactions up to the name's; this says that it had not.
                Ok(LoadedSnapshot { last_zxid: Some(told), .. }) if told < file.zxid => {
                    format!(
                        "the snapshot {} is damaged: it says that it ends with {told}",
                        path.display()
                    )
                }
                Ok(loaded) => {
                    let origin = Origin::Snapshot { name: file.name.clone(), zxid: file.zxid };
                    if let Some(told) = loaded.last_zxid.filter(|told| *told != file.zxid) {
                        notices.push(format!(
                            "{} ends with {told}, later than its name: Apache ZooKeeper wrote it \
                             while requests came in; the log makes up for that",
                            file.name
                        ));
                    }
                    return Ok((loaded, origin));
                }
                Err(SnapshotError::Disk(e)) => return Err(e.into()),
                Err(e @ SnapshotError::Damaged { .. }) => e.to_string(),
            }
        };
        newest.get_or_insert_with(|| problem.clone());
        notices.push(format!("{problem}; an older one is tried"));
    }
    Err(RestoreError::NoUsableSnapshot {
        dir: dir.snapshot_dir().to_owned(),
        count: snapshots.len(),
        newest: newest.unwrap_or_default(),
        first_log,
    })
}

/// Takes the logs behind the last one that was written to off the list, to be removed: they were
/// created, and then their writer died (ZOOKEEPER-1621). Kept, they would hide from a later start
/// what the log before goes on to. The last may lack its header as well; a second one without is
/// not explained by that, and refuses the start when it is read.
fn take_unwritten(
    dir: &DataDir,
    logs: &mut Vec<LogFile>,
    options: &RestoreOptions,
) -> Result<Vec<LogFile>, RestoreError> {
    let count = logs.len();
    let mut written = count;
    while written > 0 {
        let path = dir.log_dir().join(&logs[written - 1].name);
        match LogReader::open(&**dir.disk(), &path, options.max_record) {
            Ok(mut reader) => {
                if is_written(&mut reader)? {
                    break;
                }
                written -= 1;
            }
            Err(LogError::NoHeader { .. }) if written < count => break,
            Err(LogError::NoHeader { .. }) => written -= 1,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(logs.split_off(written))
}

/// Whether there is a record, or what is left of one.
fn is_written(reader: &mut LogReader) -> Result<bool, DiskError> {
    match reader.next() {
        Ok(Some(_)) => return Ok(true),
        Ok(None) => {}
        Err(LogError::Disk(e)) => return Err(e),
        Err(_) => return Ok(true),
    }
    Ok(reader.end().is_some_and(|end| end.torn.is_some()))
}

/// A snapshot's name alone, whatever became of the file, shows that its zxid was reached.
fn refuse_less_than_a_snapshot(dir: &DataDir, reached: Zxid) -> Result<(), RestoreError> {
    match dir.snapshots()?.last() {
        Some(newest) if newest.zxid > reached => Err(RestoreError::SnapshotAhead {
            path: dir.snapshot_dir().join(&newest.name),
            zxid: newest.zxid,
            log_dir: dir.log_dir().to_owned(),
            reached,
        }),
        _ => Ok(()),
    }
}

/// Removes logs that were never written to.
fn remove(
    dir: &DataDir,
    logs: &mut Vec<LogFile>,
    notices: &mut Vec<String>,
) -> Result<(), DiskError> {
    if logs.is_empty() {
        return Ok(());
    }
    for log in logs.drain(..) {
        let path = dir.log_dir().join(&log.name);
        dir.disk().remove(&path)?;
        notices.push(format!("removed {}: it was created and never written", path.display()));
    }
    dir.disk().sync_dir(dir.log_dir())
}

/// Cuts the last file behind its last whole record.
fn cut(dir: &DataDir, torn: &TornTail) -> Result<(), DiskError> {
    let file = dir.disk().open_for_write(&torn.path)?;
    file.set_len(torn.offset)?;
    file.sync_all()
}

/// Makes durable what is going to be served.
///
/// What was read may be in the system's memory only: its writer was killed between write and sync,
/// or its sync failed, after which Linux takes the bytes for written. Served as they are and logged
/// behind, they would be missing after a power cut. So the last batch is written once more, byte
/// for byte, and synced; all before it was synced before it was written. Zeros behind it are cut off: they
/// are the room that its writer had made.
fn make_durable(dir: &DataDir, tail: Option<&Tail>) -> Result<(), DiskError> {
    if let Some(Tail { path, last_record, end }) = tail {
        let batch = end.saturating_sub(MAX_BATCH_BYTES as u64);
        let from = batch.min(*last_record);
        let file = dir.disk().open_for_write(path)?;
        let mut bytes = vec![0; (end - from) as usize];
        let read = file.read_at(from, &mut bytes)?;
        file.write_all_at(from, &bytes[..read])?;
        if file.size()? > *end {
            file.set_len(*end)?;
        }
        file.sync_all()?;
    }
    dir.disk().sync_dir(dir.log_dir())?;
    if dir.snapshot_dir() != dir.log_dir() {
        dir.disk().sync_dir(dir.snapshot_dir())?;
    }
    Ok(())
}
