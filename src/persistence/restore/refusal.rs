//! Why a start is refused, with what helps: each sentence ends with one command or one key.

use std::path::{Path, PathBuf};

use crate::jute::JuteError;
use crate::persistence::disk::DiskError;
use crate::persistence::epoch_files::EpochFileError;
use crate::persistence::txn_log::LogError;
use crate::persistence::{chop_command, shell_word};
use crate::proto::Zxid;

/// A start that is refused, with what was noticed before: it may be the cause.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", self.hint())]
pub struct Refusal {
    /// Why.
    pub error: RestoreError,
    /// Sentences for the operator, to be told first.
    pub notices: Vec<String>,
    /// Whether the log was synced.
    pub(super) force_sync: bool,
}

impl Refusal {
    fn hint(&self) -> &'static str {
        use LogError::{NoHeader, NotALog, Rotten};
        match &self.error {
            RestoreError::Log(Rotten { .. } | NoHeader { .. } | NotALog { .. })
            | RestoreError::Hole { .. }
            | RestoreError::SnapshotAhead { .. }
                if !self.force_sync =>
            {
                " (forceSync=no is configured: a power cut or a crash of the system can have \
                 caused this)"
            }
            _ => "",
        }
    }
}

/// Why a server must not start on this data.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RestoreError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Epoch(EpochFileError),
    #[error(
        "none of the {count} snapshots in {} is usable; the newest: {newest}; {}",
        dir.display(), instead_of_snapshots(dir, *first_log)
    )]
    NoUsableSnapshot { dir: PathBuf, count: usize, newest: String, first_log: Option<Zxid> },
    #[error(
        "{} holds transactions but {} holds no snapshot; {}",
        log_dir.display(), snapshot_dir.display(), without_snapshot(*first)
    )]
    LogsWithoutSnapshot { snapshot_dir: PathBuf, log_dir: PathBuf, first: Zxid },
    #[error(
        "{} shows that the data went up to {zxid}, but with the logs in {} it ends at {reached}; \
         restore the missing logs or a snapshot that is whole, or, if losing everything above \
         {reached} is acceptable: {}",
        path.display(), log_dir.display(), aside_command(path)
    )]
    SnapshotAhead { path: PathBuf, zxid: Zxid, log_dir: PathBuf, reached: Zxid },
    #[error(
        "transactions are missing: {path} continues at offset {offset} with {found}, but the last \
         one before is {last}; find the log that held them, or, if losing everything{from} is \
         acceptable: {command}",
        path = path.display(), from = from_on(*found, *last), command = chop_command(path, *last)
    )]
    Hole { path: PathBuf, offset: u64, last: Zxid, found: Zxid },
    #[error(
        "{} holds at offset {offset} a transaction that cannot be read: {error}; if a newer \
         version wrote it, start that one, or, if losing it and everything behind is acceptable: {}",
        path.display(), chop_command(path, *last)
    )]
    UnreadableTxn { path: PathBuf, offset: u64, last: Zxid, error: JuteError },
    #[error(
        "{} is a TTL node, and extendedTypesEnabled is off: it would be taken for an ephemeral \
         and be lost; set extendedTypesEnabled=true",
        .0.escape_ascii()
    )]
    TtlNode(Vec<u8>),
    #[error(
        "the ACL of {} is missing: neither the snapshot nor the log defines list {index}; move \
         the newest snapshot aside to start from the one before",
        path.escape_ascii()
    )]
    AclMissing { path: Vec<u8>, index: i64 },
}

/// The command that puts a snapshot aside, under a name that nobody takes for one.
fn aside_command(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("mv {} {}", shell_word(path), shell_word(&path.with_file_name(format!("aside.{name}"))))
}

/// Whether logs that begin with `first` are the whole history.
fn is_beginning(first: Zxid) -> bool {
    first.counter() == 1 && first.epoch().0 <= 1
}

/// What to do if all snapshots in `dir` are damaged and the first log begins with `first`.
fn instead_of_snapshots(dir: &Path, first: Option<Zxid>) -> String {
    match first {
        Some(first) if is_beginning(first) => {
            let word = shell_word(dir);
            format!(
                "restore one from a backup; the logs go back to the first transaction: without a \
                 backup set snapshot.trust.empty=true for one start after: mkdir {word}/aside && \
                 mv {word}/snapshot.* {word}/aside/"
            )
        }
        Some(first) => format!(
            "restore a snapshot from a backup; the logs begin with {first} and are of no use \
             without one"
        ),
        None => "restore a snapshot from a backup; there is no log either".to_owned(),
    }
}

/// What is lost without the transactions between `last` and `found`.
fn from_on(found: Zxid, last: Zxid) -> String {
    if last == Zxid::ZERO { String::new() } else { format!(" from {found} on") }
}

/// What to do about logs without a snapshot, the first of which begins with `first`.
fn without_snapshot(first: Zxid) -> String {
    if is_beginning(first) {
        return "if the logs are those of an upgrade from 3.4, set snapshot.trust.empty=true for \
                one start"
            .to_owned();
    }
    format!(
        "the logs begin with {first}, so they continue one: see that dataDir is right and its \
         volume mounted, or restore a snapshot from a backup"
    )
}
