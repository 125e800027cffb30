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

use std::path::{Path, PathBuf};

use super::data_dir::{DataDir, LogFile};
use super::disk::DiskError;
use super::snapshot::reader::looks_complete;
use super::snapshot::{Compression, LoadedSnapshot, SnapshotError, SnapshotFile, read_snapshot};
use super::txn_log::{LogError, LogReader, TornTail};
use crate::jute::JuteError;
use crate::proto::Zxid;
use crate::proto::txns::{CreateKind, Txn, TxnRecord};
use crate::tree::{Database, TreeOptions};

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

/// Why a server must not start on this data.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RestoreError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("none of the {count} snapshots in {} is usable; the newest: {newest}", dir.display())]
    NoUsableSnapshot { dir: PathBuf, count: usize, newest: String },
    #[error(
        "{} holds transactions but {} holds no snapshot; if the logs are those of an upgrade from \
         3.4, set snapshot.trust.empty=true for one start",
        log_dir.display(), snapshot_dir.display()
    )]
    LogsWithoutSnapshot { snapshot_dir: PathBuf, log_dir: PathBuf },
    #[error(
        "the newest snapshot {} is compressed, which is not supported yet; let its writer take \
         one with snapshot.compression.method unset",
        .0.display()
    )]
    Compressed(PathBuf),
    #[error(
        "transactions are missing: {} continues at offset {offset} with {found}, but the last one \
         before is {last}",
        path.display()
    )]
    Hole { path: PathBuf, offset: u64, last: Zxid, found: Zxid },
    #[error("{} holds at offset {offset} a transaction that cannot be read: {error}", path.display())]
    UnreadableTxn { path: PathBuf, offset: u64, error: JuteError },
    #[error(
        "{} is a TTL node, and extendedTypesEnabled is off: it would be taken for an ephemeral \
         and be lost",
        .0.escape_ascii()
    )]
    TtlNode(Vec<u8>),
    #[error(
        "the ACL of {} is missing: neither the snapshot nor the log defines list {index}",
        path.escape_ascii()
    )]
    AclMissing { path: Vec<u8>, index: i64 },
}

/// Snapshots that are tried, at most.
const CANDIDATES: usize = 100;

/// Restores the database from `dir`, and cuts a torn tail off its last log.
///
/// # Errors
/// The data cannot be read, or something durable may be missing.
pub fn restore(dir: &DataDir, options: &RestoreOptions) -> Result<Restored, RestoreError> {
    let mut notices = Vec::new();
    let mut logs = dir.logs()?;
    let headerless = drop_headerless_last(dir, &mut logs, options)?;
    let (loaded, origin) = base(dir, &logs, options, &mut notices)?;
    if let Some(path) = loaded.misread_ttl {
        return Err(RestoreError::TtlNode(path));
    }
    let from = loaded.database.last_processed();
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
    };
    let last = last_with_records(dir, &logs, options)?;
    for (i, log) in logs.iter().enumerate() {
        replay.file(log, i >= last)?;
    }
    let Replay { database, txns, mut notices, torn, .. } = replay;
    if let Some((path, index)) = database.tree.missing_acl() {
        return Err(RestoreError::AclMissing { path, index });
    }
    if let (Some((at, digest)), 0, true) = (loaded.digest, txns, options.tree.digest_enabled)
        && at == from
        && digest != database.tree.digest()
    {
        notices.push(format!("the digest of the tree at {from} is not the one in its snapshot"));
    }
    // Only now: a start that is refused changes nothing.
    if let Some(path) = headerless {
        dir.disk().remove(&path)?;
        dir.disk().sync_dir(dir.log_dir())?;
        notices.push(format!("removed {}: it was created and never written", path.display()));
    }
    if let Some(torn) = &torn {
        cut(dir, torn, &logs[last + 1..])?;
    }
    Ok(Restored {
        digest_mismatches: database.digest_mismatches(),
        database,
        origin,
        txns_replayed: txns,
        log_files: logs.len(),
        torn,
        notices,
    })
}

/// The database that the logs are applied to.
fn base(
    dir: &DataDir,
    logs: &[LogFile],
    options: &RestoreOptions,
    notices: &mut Vec<String>,
) -> Result<(LoadedSnapshot, Origin), RestoreError> {
    let snapshots = dir.snapshots()?;
    if !snapshots.is_empty() {
        return newest_usable(dir, &snapshots, options, notices);
    }
    let empty = LoadedSnapshot {
        database: Database::new(options.tree),
        digest: None,
        last_zxid: None,
        misread_ttl: None,
    };
    if hold_txns(dir, logs, options)? {
        if !options.snapshot_trust_empty {
            return Err(RestoreError::LogsWithoutSnapshot {
                snapshot_dir: dir.snapshot_dir().to_owned(),
                log_dir: dir.log_dir().to_owned(),
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
    options: &RestoreOptions,
    notices: &mut Vec<String>,
) -> Result<(LoadedSnapshot, Origin), RestoreError> {
    let disk = &**dir.disk();
    let mut tried = 0;
    let mut newest = None;
    for file in snapshots.iter().rev() {
        let path = dir.snapshot_dir().join(&file.name);
        let problem = if !looks_complete(disk, dir.snapshot_dir(), file)? {
            format!("the snapshot {} was not written to its end", path.display())
        } else if file.compression != Compression::None {
            return Err(RestoreError::Compressed(path));
        } else if tried == CANDIDATES {
            break;
        } else {
            tried += 1;
            match read_snapshot(disk, &path, file.zxid, options.tree, options.max_record) {
                Ok(loaded) => {
                    let origin = Origin::Snapshot { name: file.name.clone(), zxid: file.zxid };
                    if loaded.last_zxid.is_some_and(|told| told != file.zxid) {
                        notices.push(format!("{} tells of another zxid than its name", file.name));
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
    })
}

/// Takes the last log off the list, to be removed, if it is one that a start created and did not
/// come to write a header to (ZOOKEEPER-1621). A second one is not explained by that, and refuses
/// the start when it is read.
fn drop_headerless_last(
    dir: &DataDir,
    logs: &mut Vec<LogFile>,
    options: &RestoreOptions,
) -> Result<Option<PathBuf>, RestoreError> {
    let Some(last) = logs.last() else { return Ok(None) };
    let path = dir.log_dir().join(&last.name);
    match LogReader::open(&**dir.disk(), &path, options.max_record) {
        Err(LogError::NoHeader { .. }) => {
            logs.pop();
            Ok(Some(path))
        }
        Ok(_) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn hold_txns(
    dir: &DataDir,
    logs: &[LogFile],
    options: &RestoreOptions,
) -> Result<bool, RestoreError> {
    for log in logs {
        let path = dir.log_dir().join(&log.name);
        if LogReader::open(&**dir.disk(), &path, options.max_record)?.next()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which of the logs is the last that records were written to: a file is created only when
/// everything in those before it is durable.
fn last_with_records(
    dir: &DataDir,
    logs: &[LogFile],
    options: &RestoreOptions,
) -> Result<usize, RestoreError> {
    for (i, log) in logs.iter().enumerate().rev() {
        let path = dir.log_dir().join(&log.name);
        let mut reader = match LogReader::open(&**dir.disk(), &path, options.max_record) {
            Ok(reader) => reader,
            Err(LogError::Disk(e)) => return Err(e.into()),
            // The start is refused when its turn comes.
            Err(_) => return Ok(i),
        };
        let holds_a_record = match reader.next() {
            Ok(record) => record.is_some(),
            Err(LogError::Disk(e)) => return Err(e.into()),
            Err(_) => true,
        };
        // What is left of a record is one that was written.
        if holds_a_record || reader.end().is_some_and(|end| end.torn.is_some()) {
            return Ok(i);
        }
    }
    Ok(0)
}

/// The transactions above the snapshot being applied.
struct Replay<'d> {
    dir: &'d DataDir,
    options: &'d RestoreOptions,
    /// Up to here the snapshot has everything.
    snapshot: Zxid,
    last: Zxid,
    database: Database,
    txns: u64,
    notices: Vec<String>,
    torn: Option<TornTail>,
}

impl Replay<'_> {
    fn file(&mut self, log: &LogFile, is_last: bool) -> Result<(), RestoreError> {
        let path = self.dir.log_dir().join(&log.name);
        let mut reader = LogReader::open(&**self.dir.disk(), &path, self.options.max_record)?
            .as_last_file(is_last);
        let mut repeated = 0u64;
        while let Some(record) = reader.next()? {
            if record.zxid <= self.last {
                // Below the snapshot that is how it should be. Above it, servers of 3.8 and
                // before could log one zxid twice (N-4); what came first was promised.
                repeated += u64::from(record.zxid > self.snapshot);
                continue;
            }
            let (zxid, offset) = (record.zxid, record.offset);
            self.refuse_hole(&path, offset, zxid)?;
            let txn = TxnRecord::read(record.txn, self.options.max_record).map_err(|error| {
                RestoreError::UnreadableTxn { path: path.clone(), offset, error }
            })?;
            self.refuse_ttl(&txn.txn)?;
            self.database.apply(&txn, &mut ());
            self.last = zxid;
            self.txns += 1;
        }
        if repeated > 0 {
            self.notices.push(format!(
                "{} repeats zxids, as Apache's logs do after a request it could not decode: \
                 {repeated} skipped",
                path.display()
            ));
        }
        if let Some(torn) = reader.end().and_then(|end| end.torn.clone()) {
            if is_last {
                self.torn = Some(torn);
            } else {
                // Apache's server leaves it there and goes on in a new file; what it promised
                // shows no hole.
                self.notices.push(torn.to_string());
            }
        }
        Ok(())
    }

    /// No server ever leaves a zxid out: failed requests are logged too. An epoch begins with 1;
    /// only what the one before it ended with cannot be known.
    fn refuse_hole(&self, path: &Path, offset: u64, found: Zxid) -> Result<(), RestoreError> {
        let last = self.last;
        let follows =
            if found.epoch() == last.epoch() { found == last.next() } else { found.counter() == 1 };
        if follows {
            return Ok(());
        }
        Err(RestoreError::Hole { path: path.to_owned(), offset, last, found })
    }

    fn refuse_ttl(&self, txn: &Txn<'_>) -> Result<(), RestoreError> {
        if self.options.tree.owners.extended_types {
            return Ok(());
        }
        let ttl_path = |txn: &Txn<'_>| match txn {
            Txn::Create(create) if matches!(create.kind, CreateKind::Ttl(_)) => {
                Some(create.path.to_vec())
            }
            _ => None,
        };
        let path = match txn {
            Txn::Multi(multi) if !multi.failed() => {
                multi.parts().find_map(|(_, txn)| ttl_path(&txn))
            }
            txn => ttl_path(txn),
        };
        path.map_or(Ok(()), |path| Err(RestoreError::TtlNode(path)))
    }
}

/// Cuts the last file with records behind the last whole one. The logs behind it, created and
/// never written, go first: transactions to come would be looked for in them.
fn cut(dir: &DataDir, torn: &TornTail, behind: &[LogFile]) -> Result<(), DiskError> {
    for log in behind {
        dir.disk().remove(&dir.log_dir().join(&log.name))?;
    }
    if !behind.is_empty() {
        dir.disk().sync_dir(dir.log_dir())?;
    }
    let file = dir.disk().open_for_write(&torn.path)?;
    file.set_len(torn.offset)?;
    file.sync_all()
}
