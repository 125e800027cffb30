//! From the data directory to a database that may serve, or that a member may begin with.

use std::sync::Arc;

use parking_lot::Mutex;

use super::fatal::{ExitCode, die, die_of_disk};
use super::jobs::SnapshotWriter;
use super::member::{self, Beginning, StartError, Started};
use super::options;
use super::progress::{HowFar, Progress};
use crate::config::{Config, EnsembleConfig};
use crate::metrics::Metrics;
use crate::persistence::snapshot::{FirstSnapshot, SnapshotWriteError};
use crate::persistence::{
    DataDir, DataDirError, Disk, Ledger, Origin, Refusal, RestoreError, RestoreReport,
    RestoreStage, Restored, restore_telling, shell_word,
};
use crate::proto::{Sid, Zxid};
use crate::quorum::member::Member;
use crate::time::Clock;
use crate::tree::{Database, SharedDatabase};

/// A database with the directory it came from.
pub struct Loaded {
    /// The directories, locked for this process.
    pub dir: Arc<DataDir>,
    /// Which of the files in them are ours.
    pub ledger: Arc<Mutex<Ledger>>,
    /// The disk they are on.
    pub disk: Arc<dyn Disk>,
    /// The database.
    pub database: Arc<SharedDatabase>,
    /// Transactions replayed on top of the snapshot.
    pub txns_replayed: u64,
    /// Writes snapshots of it.
    pub snapshots: SnapshotWriter,
    /// The member that begins with it; `None` for a server that is alone.
    pub member: Option<Box<Member>>,
    /// What a member's disk queue writes first, if it has no data.
    pub first_snapshot: Option<FirstSnapshot>,
}

/// What was read.
struct Read {
    database: Database,
    member: Option<Box<Member>>,
    report: RestoreReport,
    needs_snapshot: bool,
    first_snapshot: Option<FirstSnapshot>,
}

/// Opens the directories and restores what is in them; says what was found, and ends the process
/// if it must not be served. `member` is who the server is, if it is not alone.
pub fn load(
    config: &Config,
    member: Option<(Sid, &EnsembleConfig)>,
    (disk, clock): (Arc<dyn Disk>, &Arc<dyn Clock>),
    hash_seed: u64,
    metrics: &Arc<Metrics>,
) -> Loaded {
    let dir = DataDir::open(disk.clone(), &options::data_dir(config)).unwrap_or_else(no_data_dir);
    let ledger = Ledger::open(&dir)
        .unwrap_or_else(|error| die_of_disk(ExitCode::UnableToAccessDatadir, &error));
    let ledger = Arc::new(Mutex::new(ledger));

    let began = clock.now().mono_ms;
    let mut snapshot_loaded = began;
    let mut progress = Progress::new(&**clock);
    let mut tell = |stage: RestoreStage<'_>| {
        if let RestoreStage::SnapshotLoaded = stage {
            snapshot_loaded = clock.now().mono_ms;
        }
        telling(&mut progress, stage);
    };
    let read = match member {
        None => read_alone(config, &dir, hash_seed, &mut tell),
        Some((me, ensemble)) => read_member(config, me, ensemble, &dir, hash_seed, &mut tell),
    };
    let Read { database, member, report, needs_snapshot, first_snapshot } = read;
    let ended = clock.now().mono_ms;
    metrics.dbinittime.record(ended - began);
    metrics.startup_snap_load_time.record(snapshot_loaded - began);
    if report.origin != Origin::New {
        metrics.startup_txns_loaded.record(report.txns_replayed);
        metrics.startup_txns_load_time.record(ended - snapshot_loaded);
    }
    tell_of(&report, &database, ended - began);
    if let Some(member) = &member {
        let (accepted_epoch, current_epoch) = (member.accepted_epoch.0, member.current_epoch.0);
        tracing::info!(accepted_epoch, current_epoch, "what this server has promised");
    } else if report.origin == Origin::Amnesia {
        die(
            ExitCode::UnexpectedError,
            &"the data directory is empty and db.autocreate is off: a server without its data may \
              not serve alone; restore the data, or create a file named initialize in dataDir",
        );
    }
    if report.origin == Origin::New {
        let path = config.data_dir.display();
        tracing::info!("{path} was empty: this is a new database, and snapshot.0 is written");
    }
    ledger.lock().note_damaged(report.damaged_snapshots);
    let database = Arc::new(SharedDatabase::new(database));
    let snapshots = SnapshotWriter {
        disk: disk.clone(),
        dir: dir.snapshot_dir().to_owned(),
        database: database.clone(),
        options: options::snapshot(config),
        gate: dir.snapshot_gate().clone(),
        ledger: ledger.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    // Logs without a snapshot are refused, by Apache and by us: it comes first.
    match needs_snapshot.then(|| snapshots.write()) {
        Some(Err(SnapshotWriteError::Disk(error))) => {
            die_of_disk(ExitCode::ErrorWritingSnapshot, &error)
        }
        Some(Err(error)) => die(ExitCode::ErrorWritingSnapshot, &error),
        Some(Ok(_)) | None => {}
    }
    if member.is_none()
        && let Err(error) = dir.remove_initialize()
    {
        die_of_disk(ExitCode::UnableToAccessDatadir, &error);
    }
    let txns_replayed = report.txns_replayed;
    let dir = Arc::new(dir);
    Loaded { dir, ledger, disk, database, txns_replayed, snapshots, member, first_snapshot }
}

fn read_alone(
    config: &Config,
    dir: &DataDir,
    hash_seed: u64,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Read {
    let restored =
        restore_telling(dir, &options::restore(config, hash_seed), tell).unwrap_or_else(refused);
    let needs_snapshot = restored.needs_snapshot();
    let Restored { database, origin, txns_replayed, log_files, torn, mut notices, .. } = restored;
    notices.extend(torn.map(|torn| format!("{torn}; it was cut off")));
    let report = RestoreReport {
        origin,
        txns_replayed,
        log_files,
        digest_mismatches: restored.digest_mismatches,
        damaged_snapshots: restored.damaged_snapshots,
        notices,
    };
    Read { database, member: None, report, needs_snapshot, first_snapshot: None }
}

fn read_member(
    config: &Config,
    me: Sid,
    ensemble: &EnsembleConfig,
    dir: &DataDir,
    hash_seed: u64,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Read {
    let beginning = Beginning {
        me,
        config: Arc::new(ensemble.members.clone()),
        // Without reconfigEnabled Apache ZooKeeper writes nothing beside the configuration, and
        // heeds nothing there but what the file names.
        config_file: None,
        options: options::member(config, ensemble, options::policy(config), hash_seed),
        restore: options::member_restore(config, ensemble, hash_seed),
        schedule: options::snapshot_schedule(config),
        seed: hash_seed,
    };
    match member::start(dir, beginning, tell) {
        Ok(Started { member, database, report, first_snapshot }) => {
            let member = Some(Box::new(member));
            Read { database, member, report, needs_snapshot: false, first_snapshot }
        }
        Err(StartError::Restore(refusal)) => refused_member(dir, refusal),
        Err(StartError::Disk(error)) => die_of_disk(ExitCode::UnexpectedError, &error),
        Err(error @ StartError::Config { .. }) => die(ExitCode::InvalidInvocation, &error),
    }
}

fn no_data_dir<T>(error: DataDirError) -> T {
    match error {
        DataDirError::Disk(error) => die_of_disk(ExitCode::UnableToAccessDatadir, &error),
        DataDirError::NotWritable { source, .. } if source.is_no_room() => {
            die_of_disk(ExitCode::UnableToAccessDatadir, &source)
        }
        error => die(ExitCode::UnableToAccessDatadir, &error),
    }
}

/// First what was noticed on the way: it may be the cause.
pub(super) fn refused<T>(refusal: Refusal) -> T {
    tell_notices(&refusal.notices);
    match refusal.error {
        RestoreError::Disk(error) => die_of_disk(ExitCode::UnexpectedError, &error),
        _ => die(ExitCode::UnexpectedError, &refusal),
    }
}

/// Whatever a member has lost, the others have. The epoch files stay, so that it knows that it has
/// lost something, and is synchronized before it votes.
fn refused_member<T>(dir: &DataDir, refusal: Refusal) -> T {
    let is_damage = !matches!(
        refusal.error,
        RestoreError::Disk(_) | RestoreError::Epoch(_) | RestoreError::TtlNode(_)
    );
    if !is_damage {
        return refused(refusal);
    }
    tell_notices(&refusal.notices);
    let (snapshots, logs) = (shell_word(dir.snapshot_dir()), shell_word(dir.log_dir()));
    die(
        ExitCode::UnexpectedError,
        &format!(
            "{refusal}; or, if the other members hold a quorum, this one can get everything from \
             them, and needs only its epoch files: mkdir {snapshots}/aside; mv \
             {snapshots}/snapshot.* {logs}/log.* {snapshots}/aside/"
        ),
    )
}

/// What a restore has noticed.
pub(super) fn tell_notices(notices: &[String]) {
    for notice in notices {
        tracing::warn!("{notice}");
    }
}

/// A word of how far a restore is, if it takes long.
pub(super) fn telling(progress: &mut Progress<'_>, stage: RestoreStage<'_>) {
    let RestoreStage::Reading { file, done, total, txns } = stage else { return };
    let Some(HowFar { percent, seconds_left }) = progress.due(done, total) else { return };
    let (read_mib, of_mib) = (done >> 20, total >> 20);
    let what = "data is being loaded";
    tracing::info!(file, percent, read_mib, of_mib, txns, seconds_left, "{what}");
}

fn tell_of(report: &RestoreReport, db: &Database, millis: u64) {
    tell_notices(&report.notices);
    if report.digest_mismatches > 0 {
        let count = report.digest_mismatches;
        tracing::error!(count, "transactions whose digest is not the tree's");
    }
    let (name, zxid) = match &report.origin {
        Origin::Snapshot { name, zxid } => (name.as_str(), *zxid),
        Origin::TrustedEmpty | Origin::New | Origin::Amnesia => ("none", Zxid::ZERO),
    };
    tracing::info!(
        snapshot = name,
        snapshot_zxid = %zxid,
        log_files = report.log_files,
        txns_replayed = report.txns_replayed,
        last_zxid = %db.last_processed(),
        znodes = db.tree.node_count(),
        sessions = db.session_count(),
        millis,
        "data loaded"
    );
}
