//! From the data directory to a database that may serve.

use std::sync::Arc;

use parking_lot::Mutex;

use super::fatal::{ExitCode, die};
use super::jobs::SnapshotWriter;
use super::options;
use super::progress::{HowFar, Progress};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::persistence::{
    DataDir, Disk, Ledger, Origin, RealDisk, RestoreStage, Restored, restore_telling,
};
use crate::time::Clock;
use crate::tree::SharedDatabase;

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
}

/// Opens the directories and restores what is in them; says what was found, and ends the process
/// if it must not be served.
pub fn load(
    config: &Config,
    clock: &Arc<dyn Clock>,
    hash_seed: u64,
    metrics: &Arc<Metrics>,
) -> Loaded {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let dir = DataDir::open(disk.clone(), &options::data_dir(config))
        .unwrap_or_else(|error| die(ExitCode::UnableToAccessDatadir, &error));
    let ledger =
        Ledger::open(&dir).unwrap_or_else(|error| die(ExitCode::UnableToAccessDatadir, &error));

    let ledger = Arc::new(Mutex::new(ledger));
    let began = clock.now().mono_ms;
    let options = options::restore(config, hash_seed);
    let mut snapshot_loaded = began;
    let mut progress = Progress::new(&**clock);
    let mut tell = |stage: RestoreStage<'_>| match stage {
        RestoreStage::SnapshotLoaded => snapshot_loaded = clock.now().mono_ms,
        RestoreStage::Reading { file, done, total, txns } => {
            let Some(HowFar { percent, seconds_left }) = progress.due(done, total) else { return };
            let (read_mib, of_mib) = (done >> 20, total >> 20);
            let what = "data is being loaded";
            tracing::info!(file, percent, read_mib, of_mib, txns, seconds_left, "{what}");
        }
    };
    let restored = restore_telling(&dir, &options, &mut tell).unwrap_or_else(|refusal| {
        // First what was noticed on the way: it may be the cause.
        for notice in &refusal.notices {
            tracing::warn!("{notice}");
        }
        die(ExitCode::UnexpectedError, &refusal)
    });
    let ended = clock.now().mono_ms;
    metrics.dbinittime.record(ended - began);
    metrics.startup_snap_load_time.record(snapshot_loaded - began);
    if restored.origin != Origin::New {
        metrics.startup_txns_loaded.record(restored.txns_replayed);
        metrics.startup_txns_load_time.record(ended - snapshot_loaded);
    }
    report(&restored, ended - began);
    if restored.origin == Origin::Amnesia {
        die(
            ExitCode::UnexpectedError,
            &"the data directory is empty and db.autocreate is off: a server without its data may \
              not serve alone; restore the data, or create a file named initialize in dataDir",
        );
    }

    if restored.origin == Origin::New {
        let path = config.data_dir.display();
        tracing::info!("{path} was empty: this is a new database, and snapshot.0 is written");
    }
    ledger.lock().note_damaged(restored.damaged_snapshots.clone());
    let needs_snapshot = restored.needs_snapshot();
    let txns_replayed = restored.txns_replayed;
    let database = Arc::new(SharedDatabase::new(restored.database));
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
    if needs_snapshot && let Err(error) = snapshots.write() {
        die(ExitCode::ErrorWritingSnapshot, &error);
    }
    if let Err(error) = dir.remove_initialize() {
        die(ExitCode::UnableToAccessDatadir, &error);
    }
    Loaded { dir: Arc::new(dir), ledger, disk, database, txns_replayed, snapshots }
}

fn report(restored: &Restored, millis: u64) {
    for notice in &restored.notices {
        tracing::warn!("{notice}");
    }
    if let Some(torn) = &restored.torn {
        tracing::warn!("{torn}; it was cut off");
    }
    if restored.digest_mismatches > 0 {
        let count = restored.digest_mismatches;
        tracing::error!(count, "transactions whose digest is not the tree's");
    }
    let db = &restored.database;
    let (name, zxid) = restored.snapshot().unwrap_or(("none", crate::proto::Zxid::ZERO));
    tracing::info!(
        snapshot = name,
        snapshot_zxid = %zxid,
        log_files = restored.log_files,
        txns_replayed = restored.txns_replayed,
        last_zxid = %db.last_processed(),
        znodes = db.tree.node_count(),
        sessions = db.session_count(),
        millis,
        "data loaded"
    );
}
