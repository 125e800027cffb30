//! Restart of an ensemble's member: its history, what it has promised, and whether it may vote.
//!
//! | found | then |
//! |---|---|
//! | epoch files missing, history of epoch 0, no member was here | they are made: the history is a standalone server's, or new |
//! | `currentEpoch` missing | it is the epoch of the last transaction; if a later one was promised, **amnesia**: it may have been that one, with a leader whose history ended with older transactions |
//! | the last transaction's epoch above `currentEpoch` | the server died between log and `currentEpoch`; the history is complete as far as it goes, so `currentEpoch` follows it, or `currentEpoch.tmp` (ZOOKEEPER-1653) |
//! | `acceptedEpoch` missing, history or `currentEpoch` of a later epoch, or a member was here | **amnesia** |
//! | `acceptedEpoch` below `currentEpoch` | **amnesia** |
//! | epochs above 0 promised, and no history | **amnesia** |
//! | nothing at all, and nobody said that this is right | **amnesia**, and no data (C-246) |
//! | the logs have a directory of their own, a member was here and not there, and there is no log | **amnesia** |
//! | rot in the log | its file is copied aside and the history cut before it: **amnesia** |
//! | an epoch file that holds no number | refused |
//!
//! With amnesia the server may have forgotten what it acknowledged. It must not help to elect a
//! leader that does not have it either, so it joins without a vote and is synchronized first. The
//! mark on the disk outlives further starts, until `currentEpoch` is written behind a
//! synchronization.

use std::path::Path;

use bytes::Bytes;

use super::refusal::{Refusal, RestoreError};
use super::{Extras, Origin, RestoreOptions, RestoreStage, Restored, restore_with};
use crate::persistence::data_dir::{DataDir, unfinished_name};
use crate::persistence::disk::{Disk, DiskError};
use crate::persistence::epoch_files::{self, EpochFile, EpochFileError};
use crate::persistence::history::{self, HistoryError};
use crate::persistence::snapshot::{FirstSnapshot, SnapshotOptions};
use crate::persistence::txn_log::LogError;
use crate::proto::{Epoch, Zxid};
use crate::tree::Database;

/// What restoring a member depends on.
#[derive(Debug, Clone, Copy)]
pub struct MemberRestoreOptions {
    /// What every restore depends on.
    pub restore: RestoreOptions,
    /// How the first snapshot of a new database is written.
    pub snapshot: SnapshotOptions,
    /// How many of the last transactions are wanted (`commitLogCount`).
    pub commit_log_count: usize,
}

impl MemberRestoreOptions {
    /// How the first snapshot of a database is written.
    pub fn first_snapshot(&self) -> FirstSnapshot {
        FirstSnapshot { tree: self.restore.tree, options: self.snapshot }
    }
}

/// A member as it was.
pub struct MemberRestored {
    /// History and database.
    pub history: HistoryRestored,
    /// The last epoch it promised to follow.
    pub accepted_epoch: Epoch,
    /// The epoch of the leader it was last synchronized with.
    pub current_epoch: Epoch,
    /// Whether it has data at all; without, nobody counts its vote (C-226).
    pub has_data: bool,
    /// False for one that may have forgotten what it acknowledged.
    pub may_vote: bool,
}

/// A history, and the database that comes of it.
pub struct HistoryRestored {
    /// Tree and sessions.
    pub database: Database,
    /// The last transaction.
    pub last_zxid: Zxid,
    /// The last transactions in order, as far as the log was read.
    pub recent: Vec<(Zxid, Bytes)>,
    /// How it came about; its database is above.
    pub report: RestoreReport,
}

/// How a restore came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// What the database was built on.
    pub origin: Origin,
    /// Transactions applied from the log.
    pub txns_replayed: u64,
    /// Log files read.
    pub log_files: usize,
    /// Transactions whose digest was not the tree's.
    pub digest_mismatches: u64,
    /// Snapshots that were tried and found damaged.
    pub damaged_snapshots: Vec<String>,
    /// Sentences for the operator.
    pub notices: Vec<String>,
}

/// Restores the history in `dir` once more, for a member that goes on: it was cut or replaced. From
/// then on snapshots may be taken again; the caller puts the database in its place first and then
/// opens the [gate](DataDir::snapshot_gate).
///
/// # Errors
/// The data cannot be read, or something durable may be missing.
pub fn restore_history(
    dir: &DataDir,
    options: &MemberRestoreOptions,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<HistoryRestored, Refusal> {
    restore_as(dir, options, false, tell)
}

/// [`restore_history`], at a start or for a member that goes on.
fn restore_as(
    dir: &DataDir,
    options: &MemberRestoreOptions,
    at_start: bool,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<HistoryRestored, Refusal> {
    let recent = options.commit_log_count;
    let extras = Extras { recent, tolerates_missing_acls: true, at_start };
    let (restored, recent) = restore_with(dir, &options.restore, extras, tell)?;
    let Restored { database, origin, txns_replayed, log_files, .. } = restored;
    let mut notices = restored.notices;
    if let Some(torn) = restored.torn {
        notices.push(format!("{torn}; it was cut off"));
    }
    let report = RestoreReport {
        origin,
        txns_replayed,
        log_files,
        digest_mismatches: restored.digest_mismatches,
        damaged_snapshots: restored.damaged_snapshots,
        notices,
    };
    Ok(HistoryRestored { last_zxid: database.last_processed(), database, recent, report })
}

/// Restores a member from `dir`; what must be durable before it takes part is when this returns.
///
/// # Errors
/// The data cannot be read, or something durable may be missing and no vote withheld makes up for
/// it.
pub fn restore_member(
    dir: &DataDir,
    options: &MemberRestoreOptions,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<MemberRestored, Refusal> {
    let mut notices = Vec::new();
    let force_sync = options.restore.force_sync;
    let mut history = loop {
        match restore_as(dir, options, true, tell) {
            Ok(history) => break history,
            Err(Refusal { error, notices: noticed, .. }) => {
                notices.extend(noticed);
                let healed = heal(dir, error).map(|notice| notices.push(notice));
                healed.map_err(|error| Refusal { error, notices: notices.clone(), force_sync })?;
            }
        }
    };
    let member = complete(dir, options, &mut history, &mut notices);
    notices.append(&mut history.report.notices);
    match member {
        Ok(Promises { accepted_epoch, current_epoch, may_vote }) => {
            history.report.notices = notices;
            let has_data = history.report.origin != Origin::Amnesia;
            Ok(MemberRestored { history, accepted_epoch, current_epoch, has_data, may_vote })
        }
        Err(error) => Err(Refusal { error, notices, force_sync }),
    }
}

/// Copies a rotten log aside and cuts the history before the rot, if that is what is wrong. The mark
/// comes first: a start that dies in between must not vote either.
fn heal(dir: &DataDir, error: RestoreError) -> Result<String, RestoreError> {
    let RestoreError::Log(LogError::Rotten { path, next, .. }) = &error else { return Err(error) };
    let to = Zxid(next.0.saturating_sub(1));
    let disk = &**dir.disk();
    epoch_files::forbid_vote(disk, dir.snapshot_dir(), &error.to_string())?;
    history::give_up_what_lies_aside(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The whole file, under a name that a truncation does not need for itself.
    copy(disk, dir.log_dir(), &name, &format!("{}rotten.{name}", history::ASIDE))?;
    match history::cut(dir, to) {
        Ok(_) => {}
        Err(HistoryError::BeginsLater { .. }) => {
            history::abandon(dir)?;
            return Ok(format!(
                "{error} — nothing is left in front of it to go back to; all of this member's history \
                 is kept aside, as {}…, and it is given its leader's tree before it votes",
                history::ASIDE
            ));
        }
        Err(error) => return Err(RestoreError::Disk(error.into())),
    }
    Ok(format!(
        "{error} — this member goes back to {to} and is synchronized before it votes; the damaged \
         log is kept as {}rotten.{name}",
        history::ASIDE
    ))
}

fn copy(disk: &dyn Disk, dir: &Path, from: &str, to: &str) -> Result<(), DiskError> {
    const PIECE: usize = 1 << 20;
    let unfinished = dir.join(unfinished_name(to));
    if disk.exists(&unfinished)? {
        disk.remove(&unfinished)?;
    }
    let (source, copy) = (disk.open(&dir.join(from))?, disk.create_new(&unfinished)?);
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    loop {
        let read = source.read_at(at, &mut piece)?;
        if read == 0 {
            break;
        }
        copy.write_all_at(at, &piece[..read])?;
        at += read as u64;
    }
    copy.sync_all()?;
    disk.rename(&unfinished, &dir.join(to))?;
    disk.sync_dir(dir)
}

struct Promises {
    accepted_epoch: Epoch,
    current_epoch: Epoch,
    may_vote: bool,
}

/// Epochs and vote, by the table at the top; and the first snapshot of a new database.
fn complete(
    dir: &DataDir,
    options: &MemberRestoreOptions,
    history: &mut HistoryRestored,
    notices: &mut Vec<String>,
) -> Result<Promises, RestoreError> {
    let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
    let accepted = EpochFile::Accepted.read(disk, snapshot_dir)?;
    let current = EpochFile::Current.read(disk, snapshot_dir)?;
    let logged = history.last_zxid.epoch();
    let has_history =
        matches!(history.report.origin, Origin::Snapshot { .. } | Origin::TrustedEmpty);
    let promised = accepted.max(current).unwrap_or_default();

    let why = if history.report.origin == Origin::Amnesia {
        Some("there is no data, and nobody said that a new database is meant".to_owned())
    } else if !has_history && promised > Epoch(0) {
        Some(format!("epoch {promised} was promised, but there is no data"))
    } else if accepted.is_none() && logged > Epoch(0) {
        Some(format!("there are transactions of epoch {logged}, but no file acceptedEpoch"))
    } else if accepted.is_none() && promised > Epoch(0) {
        Some(format!("epoch {promised} was entered, but there is no file acceptedEpoch"))
    } else if accepted.is_none() && epoch_files::was_member(disk, snapshot_dir)? {
        Some("the directory was a member's before, but there is no file acceptedEpoch".to_owned())
    } else if let (Some(accepted), Some(current)) = (accepted, current)
        && accepted < current
    {
        Some(format!("acceptedEpoch is {accepted}, below currentEpoch, which is {current}"))
    } else if let (Some(accepted), None) = (accepted, current)
        && accepted > logged
    {
        Some(format!("there is no file currentEpoch, and it may have been {accepted}"))
    } else if are_logs_lost(dir, history.last_zxid)? {
        let (dir, last) = (dir.log_dir().display(), history.last_zxid);
        Some(format!(
            "{dir} has none of this member's logs, and what came behind {last} was in them"
        ))
    } else {
        None
    };
    let mut forbidden = epoch_files::vote_forbidden(disk, snapshot_dir)?;
    if let (None, Some(why)) = (&forbidden, why) {
        epoch_files::forbid_vote(disk, snapshot_dir, &why)?;
        forbidden = Some(why);
    }
    // Only behind the mark: a directory with a snapshot looks like one that was never lost.
    if matches!(history.report.origin, Origin::New | Origin::TrustedEmpty) {
        options.first_snapshot().write(dir)?;
    }
    if history.report.origin != Origin::Amnesia {
        dir.remove_initialize()?;
    }

    let current_epoch = match current {
        Some(current) if logged <= current => current,
        Some(current) => {
            let unfinished = EpochFile::Current.read_unfinished(disk, snapshot_dir)?;
            let follows = unfinished.filter(|epoch| *epoch >= logged).unwrap_or(logged);
            notices.push(format!(
                "the last transaction {} is of a later epoch than currentEpoch, which is {current}: \
                 the server died before it wrote that; it is {follows} now",
                history.last_zxid
            ));
            EpochFile::Current.write(disk, snapshot_dir, follows)?;
            follows
        }
        None => {
            EpochFile::Current.write(disk, snapshot_dir, logged)?;
            logged
        }
    };
    let accepted_epoch = accepted.unwrap_or_default().max(current_epoch);
    if accepted.is_some_and(|accepted| accepted < current_epoch) && forbidden.is_none() {
        let why = format!(
            "the last transaction {} is of a later epoch than acceptedEpoch, which is {}",
            history.last_zxid,
            accepted.unwrap_or_default()
        );
        epoch_files::forbid_vote(disk, snapshot_dir, &why)?;
        forbidden = Some(why);
    }
    // Only behind the mark. A leader of this very epoch would have it promise nothing, and give it its
    // vote back: the next start must not miss the file again.
    if accepted != Some(accepted_epoch) {
        EpochFile::Accepted.write(disk, snapshot_dir, accepted_epoch)?;
    }
    // Only behind the files: a new member that dies here is a new one still. And first where the logs
    // are: whoever has the other mark has this one, or has lost it.
    epoch_files::mark_member(disk, dir.log_dir())?;
    epoch_files::mark_member(disk, snapshot_dir)?;
    if let Some(why) = &forbidden {
        notices.push(format!(
            "this member may have forgotten what it acknowledged: {why}; it joins without a vote \
             and is synchronized first"
        ));
    }
    Ok(Promises { accepted_epoch, current_epoch, may_vote: forbidden.is_none() })
}

/// Whether a directory that is the logs' own is another one than this member had, or was emptied.
fn are_logs_lost(dir: &DataDir, last: Zxid) -> Result<bool, DiskError> {
    let (disk, of_snapshots, of_logs) = (&**dir.disk(), dir.snapshot_dir(), dir.log_dir());
    Ok(of_logs != of_snapshots
        && last > Zxid::ZERO
        && epoch_files::was_member(disk, of_snapshots)?
        && !epoch_files::was_member(disk, of_logs)?
        && dir.logs()?.is_empty())
}

impl From<EpochFileError> for RestoreError {
    fn from(error: EpochFileError) -> Self {
        match error {
            EpochFileError::Disk(error) => RestoreError::Disk(error),
            error @ EpochFileError::NotANumber { .. } => RestoreError::Epoch(error),
        }
    }
}
