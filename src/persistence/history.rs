//! Changes of the history: it is cut, or another takes its place. Each is one step, whenever the
//! power goes.
//!
//! ```text
//! zkserver.truncating.<to>             the history ends with <to>: what is behind it is going
//! zkserver.incoming.snapshot.<zxid>    this is the history: everything else is going
//! zkserver.abandoning                  there is no history any more: everything is going
//! zkserver.going-back                  what lies aside is the history: everything else is going
//! zkserver.coming-back                 everything else is gone: what lies aside is coming back
//! zkserver.aside.<name>                was history once: for an operator to look at
//! ```
//!
//! A change is decided by one name that becomes durable: before, a start finds the old history, and
//! after it the new one, for it finishes what was begun (`finish`) before anything is read. So
//! what was cut never comes back (ZOOKEEPER-1549, ZOOKEEPER-4837), and no log is ever replayed on a
//! snapshot that it does not belong to (ZOOKEEPER-2846).
//!
//! What is no longer history is renamed, so that nobody takes it for some: neither we nor Apache
//! ZooKeeper and its tools, who look for names that begin with `log.` and `snapshot.`. The next
//! change gives it up for removal, unless we may have to go back to it (`going_back`). A truncation
//! goes from the end to the cut, synced after each name, so that even who does not finish it,
//! Apache's server, finds a history without a hole.

mod going_back;

use std::io;
use std::path::Path;

pub use self::going_back::WhatLiesAside;
use self::going_back::{carry_out_coming_back, carry_out_going_back, go_back};
use super::data_dir::{DataDir, LogFile};
use super::disk::{Disk, DiskError};
use super::epoch_files::forbid_vote;
use super::snapshot::reader::looks_complete;
use super::snapshot::{self, Compression};
use super::txn_log::{LogError, LogReader};
use super::{hex_suffix, purge};
use crate::proto::Zxid;

const TRUNCATING: &str = "zkserver.truncating.";
const INCOMING: &str = "zkserver.incoming.";
const ABANDONING: &str = "zkserver.abandoning";
const GOING_BACK: &str = "zkserver.going-back";
const COMING_BACK: &str = "zkserver.coming-back";
/// Before the name of a file that was history once.
pub(super) const ASIDE: &str = "zkserver.aside.";

/// Why the history cannot be changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum HistoryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(
        "the history in {dir} cannot be cut behind {to}: it begins later, with the snapshot \
         {oldest}; it is set aside, and with its next start this server joins without a vote and \
         is given the leader's tree"
    )]
    BeginsLater { dir: String, to: Zxid, oldest: String },
}

impl From<HistoryError> for DiskError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Disk(error) | HistoryError::Log(LogError::Disk(error)) => error,
            error => DiskError {
                what: "change the history".to_owned(),
                source: io::Error::other(error.to_string()),
            },
        }
    }
}

/// Ends the history with the last transaction that is not above `to`: cuts the log that it is in,
/// and sets aside later logs and newer snapshots. Returns where the history ends now. Nobody may be
/// writing to the log.
///
/// # Errors
/// The history begins later than `to`, or is damaged before it: then it is as it was. Or the disk's,
/// and the next start finds the old history or the new one.
pub fn truncate(dir: &DataDir, to: Zxid) -> Result<Zxid, HistoryError> {
    let _held = dir.snapshot_gate().close();
    give_up_what_lies_aside(dir)?;
    cut(dir, to)
}

/// [`truncate`] that keeps what lies aside, with nobody there who takes snapshots.
pub(super) fn cut(dir: &DataDir, to: Zxid) -> Result<Zxid, HistoryError> {
    cut_and(dir, to, set_aside)
}

/// What becomes of a file that is no history any more.
type LetGo = fn(&dyn Disk, &Path, &str) -> Result<(), DiskError>;

/// [`cut`] that lets go of what is behind `to` in that way. (A start that has to finish it sets the
/// rest aside.)
fn cut_and(dir: &DataDir, to: Zxid, let_go: LetGo) -> Result<Zxid, HistoryError> {
    let kept = kept_snapshot(dir, to)?;
    let logged = last_record(dir, to)?.map_or(Zxid::ZERO, |place| place.zxid);
    let disk = &**dir.disk();
    let mark = dir.snapshot_dir().join(format!("{TRUNCATING}{:x}", to.0));
    disk.create_new(&mark)?;
    disk.sync_dir(dir.snapshot_dir())?;
    carry_out_truncation(dir, to, &mark, let_go)?;
    let end = kept.max(logged);
    tracing::warn!(%to, %end, "the history was cut");
    Ok(end)
}

/// [`truncate`] of a history that may begin later than `to`, and then cannot be cut. Returns where the
/// history ends now, and what lies aside.
///
/// If that is the history [before a tree on trial](WhatLiesAside), it is the history again, up to
/// wherever it went. Else all of it is set aside, with the mark that its server may not vote: it would
/// be told the same at every start. The next one joins without a vote and is given the leader's tree.
///
/// # Errors
/// Those of [`truncate`].
pub(super) fn truncate_or_go_back(
    dir: &DataDir,
    to: Zxid,
    aside: WhatLiesAside,
) -> Result<(Zxid, WhatLiesAside), HistoryError> {
    let _held = dir.snapshot_gate().close();
    let begins_later = match kept_snapshot(dir, to) {
        Ok(_) if aside == WhatLiesAside::NothingOfUse => {
            give_up_what_lies_aside(dir)?;
            return Ok((cut(dir, to)?, aside));
        }
        // What is cut of a history that is on trial does not lie among the one before it.
        Ok(_) => return Ok((cut_and(dir, to, give_up)?, aside)),
        Err(error @ HistoryError::BeginsLater { .. }) => error,
        Err(error) => return Err(error),
    };
    if let WhatLiesAside::TheHistoryBefore { end } = aside
        && go_back(dir, end)?
    {
        tracing::warn!(%to, %end, "the leader's tree is given up: the history before it is back");
        return Ok((end, WhatLiesAside::NothingOfUse));
    }
    forbid_vote(&**dir.disk(), dir.snapshot_dir(), &begins_later.to_string())?;
    give_up_what_lies_aside(dir)?;
    abandon(dir)?;
    Err(begins_later)
}

/// Puts the snapshot in the place of everything there is: `unfinished`, a file in the snapshot
/// directory that is complete and synced, becomes the snapshot of `zxid`. All logs and snapshots
/// make room for it, for nothing tells that they belong to the same history: they are set aside, or,
/// if they are a tree on trial themselves, given up. The history there is ends with `end`. Returns what
/// lies aside then.
///
/// # Errors
/// The disk's: the next start finds the old history or the new one.
pub fn replace(
    dir: &DataDir,
    unfinished: &str,
    zxid: Zxid,
    aside: WhatLiesAside,
    end: Zxid,
) -> Result<WhatLiesAside, DiskError> {
    let _held = dir.snapshot_gate().close();
    let disk = &**dir.disk();
    let name = snapshot::file_name(zxid, Compression::None);
    let incoming = format!("{INCOMING}{name}");
    let is_on_trial = aside != WhatLiesAside::NothingOfUse;
    let has_history = !dir.snapshots()?.is_empty();
    if !is_on_trial {
        give_up_what_lies_aside(dir)?;
    }
    disk.rename(&dir.snapshot_dir().join(unfinished), &dir.snapshot_dir().join(&incoming))?;
    disk.sync_dir(dir.snapshot_dir())?;
    if is_on_trial {
        remove_all(dir)?;
    }
    carry_out_replacement(dir, &incoming, &name)?;
    tracing::info!(name, "a leader's snapshot took the place of the history");
    Ok(match aside {
        WhatLiesAside::NothingOfUse if has_history => WhatLiesAside::TheHistoryBefore { end },
        aside => aside,
    })
}

/// Sets everything aside: there is no history any more. Nobody may take snapshots or purge meanwhile.
///
/// # Errors
/// The disk's: the next start finds all of it or nothing.
pub(super) fn abandon(dir: &DataDir) -> Result<(), DiskError> {
    dir.disk().create_new(&dir.snapshot_dir().join(ABANDONING))?;
    dir.disk().sync_dir(dir.snapshot_dir())?;
    carry_out_abandonment(dir)
}

/// Finishes the change that a crash interrupted, if there is one.
///
/// # Errors
/// Those of [`truncate`] and [`replace`].
pub(super) fn finish(dir: &DataDir) -> Result<(), HistoryError> {
    let is_change = |name: &String| {
        [TRUNCATING, INCOMING, ABANDONING, GOING_BACK, COMING_BACK]
            .iter()
            .any(|mark| name.starts_with(mark))
    };
    let names = dir.disk().list(dir.snapshot_dir())?.into_iter().map(|entry| entry.name);
    for mark in names.filter(is_change) {
        if mark == ABANDONING {
            carry_out_abandonment(dir)?;
            tracing::warn!("the history was given up: a crash had interrupted that");
        } else if mark == GOING_BACK || mark == COMING_BACK {
            if mark == GOING_BACK {
                carry_out_going_back(dir)?;
            } else {
                carry_out_coming_back(dir)?;
            }
            tracing::warn!(
                "the history before a leader's tree is back: a crash had interrupted that"
            );
        } else if let Some(to) = hex_suffix(&mark, TRUNCATING) {
            carry_out_truncation(dir, to, &dir.snapshot_dir().join(&mark), set_aside)?;
            tracing::warn!(%to, "the history was cut: a crash had interrupted that");
        } else if let Some(name) = mark.strip_prefix(INCOMING).filter(|n| snapshot::is_file_name(n))
        {
            carry_out_replacement(dir, &mark, name)?;
            tracing::warn!(
                name,
                "a leader's snapshot took the place of the history: a crash had interrupted that"
            );
        }
    }
    Ok(())
}

/// The newest snapshot that is not above `to`.
fn kept_snapshot(dir: &DataDir, to: Zxid) -> Result<Zxid, HistoryError> {
    let snapshots = dir.snapshots()?;
    for file in snapshots.iter().rev().filter(|file| file.zxid <= to) {
        if looks_complete(&**dir.disk(), dir.snapshot_dir(), file)? {
            return Ok(file.zxid);
        }
    }
    let oldest = snapshots.first().map_or("none", |file| &file.name).to_owned();
    Err(HistoryError::BeginsLater { dir: dir.snapshot_dir().display().to_string(), to, oldest })
}

/// A record of the log.
struct Place {
    /// The log's number among the logs.
    log: usize,
    zxid: Zxid,
    /// Behind it.
    end: u64,
}

/// The last record that is not above `to`.
fn last_record(dir: &DataDir, to: Zxid) -> Result<Option<Place>, LogError> {
    let logs = dir.logs()?;
    for (log, file) in logs.iter().enumerate().rev().filter(|(_, file)| file.first <= to) {
        if let Some((zxid, end)) = last_record_in(dir, file, to)? {
            return Ok(Some(Place { log, zxid, end }));
        }
    }
    Ok(None)
}

fn last_record_in(dir: &DataDir, log: &LogFile, to: Zxid) -> Result<Option<(Zxid, u64)>, LogError> {
    let path = dir.log_dir().join(&log.name);
    // A limit is not what keeps the end of the history from being found.
    let reader = LogReader::open(&**dir.disk(), &path, i32::MAX as usize);
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(LogError::NoHeader { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut last = None;
    loop {
        match reader.next() {
            Ok(Some(record)) if record.zxid <= to => last = Some((record.zxid, record.end())),
            Ok(_) => return Ok(last),
            // What is damaged goes.
            Err(LogError::Rotten { .. }) if last.is_some_and(|(zxid, _)| zxid == to) => {
                return Ok(last);
            }
            Err(error) => return Err(error),
        }
    }
}

/// From the end to the cut; may be done again from the start at any time.
fn carry_out_truncation(
    dir: &DataDir,
    to: Zxid,
    mark: &Path,
    let_go: LetGo,
) -> Result<(), HistoryError> {
    let disk = &**dir.disk();
    let (snapshot_dir, log_dir) = (dir.snapshot_dir(), dir.log_dir());
    for file in dir.snapshots()?.iter().rev().filter(|file| file.zxid > to) {
        let_go(disk, snapshot_dir, &file.name)?;
    }
    disk.sync_dir(snapshot_dir)?;
    let logs = dir.logs()?;
    let last = last_record(dir, to)?;
    let kept = last.as_ref().map_or(0, |place| place.log + 1);
    for log in logs[kept..].iter().rev() {
        let_go(disk, log_dir, &log.name)?;
        disk.sync_dir(log_dir)?;
    }
    if let Some(Place { log, end, .. }) = last {
        let file = disk.open_for_write(&log_dir.join(&logs[log].name))?;
        file.set_len(end)?;
        file.sync_all()?;
    }
    disk.remove(mark)?;
    disk.sync_dir(snapshot_dir)?;
    Ok(())
}

/// May be done again from the start at any time.
fn carry_out_replacement(dir: &DataDir, incoming: &str, name: &str) -> Result<(), DiskError> {
    set_all_aside(dir)?;
    let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
    disk.rename(&snapshot_dir.join(incoming), &snapshot_dir.join(name))?;
    disk.sync_dir(snapshot_dir)
}

/// May be done again from the start at any time.
fn carry_out_abandonment(dir: &DataDir) -> Result<(), DiskError> {
    set_all_aside(dir)?;
    dir.disk().remove(&dir.snapshot_dir().join(ABANDONING))?;
    dir.disk().sync_dir(dir.snapshot_dir())
}

/// Gives up all logs and snapshots, as [`set_all_aside`] sets them aside.
fn remove_all(dir: &DataDir) -> Result<(), DiskError> {
    rename_all(dir, |folder, name| give_up(&**dir.disk(), folder, name))
}

/// Its bytes are given back by the next purge.
fn give_up(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), DiskError> {
    disk.rename(&dir.join(name), &dir.join(purge::removed_name(name)))
}

/// Snapshots first: on logs without a snapshot Apache's server does not start.
fn rename_all(
    dir: &DataDir,
    rename: impl Fn(&Path, &str) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let disk = &**dir.disk();
    for file in dir.snapshots()? {
        rename(dir.snapshot_dir(), &file.name)?;
    }
    disk.sync_dir(dir.snapshot_dir())?;
    for log in dir.logs()?.iter().rev() {
        rename(dir.log_dir(), &log.name)?;
    }
    disk.sync_dir(dir.log_dir())
}

fn set_all_aside(dir: &DataDir) -> Result<(), DiskError> {
    rename_all(dir, |folder, name| set_aside(&**dir.disk(), folder, name))
}

fn set_aside(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), DiskError> {
    tracing::info!(
        "{} is no longer history and is called {ASIDE}{name} now",
        dir.join(name).display()
    );
    disk.rename(&dir.join(name), &dir.join(format!("{ASIDE}{name}")))
}

/// Whether a change of the history has set something aside: then it is no wonder that there is no
/// log.
pub(super) fn lies_something_aside(dir: &DataDir) -> Result<bool, DiskError> {
    for folder in dir.both() {
        if dir.disk().list(&folder)?.iter().any(|entry| entry.name.starts_with(ASIDE)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of what was set aside only the last change's is kept.
pub(super) fn give_up_what_lies_aside(dir: &DataDir) -> Result<(), DiskError> {
    let disk = &**dir.disk();
    for folder in dir.both() {
        for entry in disk.list(&folder)? {
            if let Some(name) = entry.name.strip_prefix(ASIDE) {
                disk.rename(&folder.join(&entry.name), &folder.join(purge::removed_name(name)))?;
            }
        }
    }
    Ok(())
}
