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
use super::snapshot::reader::{looks_complete, read_snapshot_telling};
use super::snapshot::{LoadedSnapshot, SnapshotError, SnapshotFile};
use super::txn_log::{LogError, LogReader, MAX_BATCH_BYTES, TornTail};
use super::{chop_command, shell_word};
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

/// A start that is refused, with what was noticed before: it may be the cause.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", self.hint())]
pub struct Refusal {
    /// Why.
    pub error: RestoreError,
    /// Sentences for the operator, to be told first.
    pub notices: Vec<String>,
    /// Whether the log was synced.
    force_sync: bool,
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
pub struct RestoreStage<'a> {
    /// The file that is being read.
    pub file: &'a str,
    /// Bytes read, of this snapshot or of all logs, with the zeros at the logs' ends.
    pub done: u64,
    /// Bytes to be read in all.
    pub total: u64,
    /// Transactions applied from the logs.
    pub txns: u64,
    /// This is the moment between snapshot and log, and the rest is empty.
    pub snapshot_is_loaded: bool,
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
    let mut notices = Vec::new();
    restore_noting(dir, options, &mut notices, tell)
        .map(|restored| Restored { notices: std::mem::take(&mut notices), ..restored })
        .map_err(|error| Refusal { error, notices, force_sync: options.force_sync })
}

/// [`restore`] without its notices, which are put in `notices` as they come.
fn restore_noting(
    dir: &DataDir,
    options: &RestoreOptions,
    notices: &mut Vec<String>,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<Restored, RestoreError> {
    let mut logs = dir.logs()?;
    let has_logs = !logs.is_empty();
    let mut unwritten = take_unwritten(dir, &mut logs, options)?;
    let (loaded, origin) = base(dir, &logs, options, notices, tell)?;
    tell(RestoreStage { file: "", done: 0, total: 0, txns: 0, snapshot_is_loaded: true });
    if let Some(path) = loaded.misread_ttl {
        return Err(RestoreError::TtlNode(path));
    }
    let from = loaded.database.last_processed();
    if !has_logs && from > Zxid::ZERO {
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
    };
    for (i, log) in logs.iter().enumerate() {
        replay.file(log, i + 1 == logs.len())?;
    }
    let Replay { database, txns, torn, tail, .. } = replay;
    refuse_less_than_a_snapshot(dir, database.last_processed())?;
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
    Ok(Restored {
        digest_mismatches: database.digest_mismatches(),
        database,
        origin,
        txns_replayed: txns,
        log_files: logs.len(),
        torn,
        damaged_snapshots,
        notices: Vec::new(),
    })
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
                tell(RestoreStage { file, done, total, txns: 0, snapshot_is_loaded: false });
            };
            let (tree, max_field) = (options.tree, options.max_record);
            match read_snapshot_telling(disk, &path, file.zxid, tree, max_field, progress) {
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

/// The transactions above the snapshot being applied.
struct Replay<'d> {
    dir: &'d DataDir,
    options: &'d RestoreOptions,
    /// Up to here the snapshot has everything.
    snapshot: Zxid,
    last: Zxid,
    database: Database,
    txns: u64,
    notices: &'d mut Vec<String>,
    torn: Option<TornTail>,
    tell: &'d mut dyn FnMut(RestoreStage<'_>),
    /// Bytes of the files before, and of all files.
    done: u64,
    total: u64,
    tail: Option<Tail>,
}

/// So many bytes of a log are applied before it is told.
const TOLD_EVERY: u64 = 1 << 20;

impl Replay<'_> {
    fn file(&mut self, log: &LogFile, is_last: bool) -> Result<(), RestoreError> {
        let path = self.dir.log_dir().join(&log.name);
        let mut reader = LogReader::open(&**self.dir.disk(), &path, self.options.max_record)?
            .as_last_file(is_last);
        let mut repeated = 0u64;
        let (mut told, mut last_record) = (0, 0);
        while let Some(record) = reader.next()? {
            last_record = record.offset;
            if record.offset >= told + TOLD_EVERY {
                told = record.offset;
                let (done, total, txns) = (self.done + told, self.total, self.txns);
                let file = &log.name;
                (self.tell)(RestoreStage { file, done, total, txns, snapshot_is_loaded: false });
            }
            if record.zxid <= self.last {
                // Below the snapshot that is how it should be. Above it, servers of 3.8 and
                // before could log one zxid twice (N-4); what came first was promised.
                repeated += u64::from(record.zxid > self.snapshot);
                continue;
            }
            let (zxid, offset) = (record.zxid, record.offset);
            self.refuse_hole(&path, offset, zxid)?;
            let txn = TxnRecord::read(record.txn, self.options.max_record).map_err(|error| {
                let last = self.last;
                RestoreError::UnreadableTxn { path: path.clone(), offset, last, error }
            })?;
            self.refuse_ttl(&txn.txn)?;
            self.database.apply(&txn, &mut ());
            self.last = zxid;
            self.txns += 1;
        }
        self.done += log.size;
        if repeated > 0 {
            self.notices.push(format!(
                "{} repeats zxids, as Apache's logs do after a request it could not decode: \
                 {repeated} skipped",
                path.display()
            ));
        }
        if is_last {
            let end = reader.end().map_or(last_record, |end| end.offset);
            self.tail = Some(Tail { path, last_record, end });
        }
        if let Some(torn) = reader.end().and_then(|end| end.torn.clone()) {
            if is_last {
                self.torn = Some(torn);
            } else {
                // What Apache's server promised behind it shows no hole.
                self.notices.push(format!(
                    "{torn}; it is left there, for Apache's server goes on in a new file"
                ));
            }
        }
        Ok(())
    }

    /// No server ever leaves a zxid out: failed requests are logged too. An epoch begins with 1,
    /// and what the one before it ended with cannot be known; but a lone server, which no election
    /// gives a new epoch, counts on into it.
    fn refuse_hole(&self, path: &Path, offset: u64, found: Zxid) -> Result<(), RestoreError> {
        let last = self.last;
        let begins_an_epoch = found.epoch() != last.epoch() && found.counter() == 1;
        let follows = found == last.next() || begins_an_epoch;
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

/// Where the records of the last log end.
struct Tail {
    path: PathBuf,
    /// Where its last record starts.
    last_record: u64,
    end: u64,
}

/// Makes durable what is going to be served.
///
/// What was read may be in the system's memory only: its writer was killed between write and sync,
/// or its sync failed, after which Linux takes the bytes for written. Served as they are and logged
/// behind, they would be missing after a power cut. So the last batch is written once more, byte
/// for byte, and synced; all before it was synced before it was written.
fn make_durable(dir: &DataDir, tail: Option<&Tail>) -> Result<(), DiskError> {
    if let Some(Tail { path, last_record, end }) = tail {
        let batch = end.saturating_sub(MAX_BATCH_BYTES as u64);
        let from = batch.min(*last_record);
        let file = dir.disk().open_for_write(path)?;
        let mut bytes = vec![0; (end - from) as usize];
        let read = file.read_at(from, &mut bytes)?;
        file.write_all_at(from, &bytes[..read])?;
        file.sync_all()?;
    }
    dir.disk().sync_dir(dir.log_dir())?;
    if dir.snapshot_dir() != dir.log_dir() {
        dir.disk().sync_dir(dir.snapshot_dir())?;
    }
    Ok(())
}
