//! From the data directory to a database that may serve.

use std::sync::Arc;

use parking_lot::Mutex;

use super::fatal::{ExitCode, die};
use super::jobs::write_now;
use super::progress::{HowFar, Progress};
use crate::config::{Config, SnapshotCompression};
use crate::metrics::Metrics;
use crate::persistence::snapshot::{Compression, SnapshotOptions};
use crate::persistence::{
    DataDir, DataDirOptions, Disk, Ledger, Origin, RealDisk, RestoreOptions, RestoreStage,
    Restored, restore_telling,
};
use crate::proto::stat::OwnerEncoding;
use crate::time::Clock;
use crate::tree::{SharedDatabase, TreeOptions};

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
}

/// Opens the directories and restores what is in them; says what was found, and ends the process
/// if it must not be served.
pub fn load(config: &Config, clock: &dyn Clock, hash_seed: u64, metrics: &Metrics) -> Loaded {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = DataDirOptions {
        data_dir: config.data_dir.clone(),
        data_log_dir: Some(config.data_log_dir.clone()),
        autocreate: config.datadir_autocreate,
    };
    let dir = DataDir::open(disk.clone(), &options)
        .unwrap_or_else(|error| die(ExitCode::UnableToAccessDatadir, &error));
    let ledger =
        Ledger::open(&dir).unwrap_or_else(|error| die(ExitCode::UnableToAccessDatadir, &error));

    let ledger = Arc::new(Mutex::new(ledger));
    let began = clock.now().mono_ms;
    let options = RestoreOptions {
        tree: TreeOptions {
            owners: owners(config),
            digest_enabled: config.digest_enabled,
            hash_seed,
        },
        max_record: max_field_bytes(config),
        db_autocreate: config.db_autocreate,
        snapshot_trust_empty: config.snapshot_trust_empty,
        force_sync: config.force_sync,
    };
    let mut snapshot_loaded = began;
    let mut progress = Progress::new(clock);
    let mut tell = |stage: RestoreStage<'_>| {
        if stage.snapshot_is_loaded {
            snapshot_loaded = clock.now().mono_ms;
            return;
        }
        let Some(HowFar { percent, seconds_left }) = progress.due(stage.done, stage.total) else {
            return;
        };
        let (file, txns) = (stage.file, stage.txns);
        let (read_mib, of_mib) = (stage.done >> 20, stage.total >> 20);
        tracing::info!(file, percent, read_mib, of_mib, txns, seconds_left, "data is being loaded");
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
    if needs_snapshot {
        // Logs without a snapshot are refused, by Apache and by us: it comes first.
        let began = clock.now().mono_ms;
        if let Err(error) = write_now(
            &*disk,
            dir.snapshot_dir(),
            &database,
            snapshot_options(config),
            &ledger,
            clock,
        ) {
            die(ExitCode::ErrorWritingSnapshot, &error);
        }
        metrics.snapshottime.record(clock.now().mono_ms - began);
    }
    if let Err(error) = dir.remove_initialize() {
        die(ExitCode::UnableToAccessDatadir, &error);
    }
    Loaded { dir: Arc::new(dir), ledger, disk, database, txns_replayed }
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

/// How the configuration has container and TTL nodes marked.
pub fn owners(config: &Config) -> OwnerEncoding {
    OwnerEncoding { extended_types: config.extended_types, emulate_353_ttl: config.emulate_353_ttl }
}

/// The longest field of any record, and the longest transaction that can be read back, in bytes.
pub fn max_field_bytes(config: &Config) -> usize {
    let sum = config.jute_max_buffer.saturating_add(config.jute_max_buffer_extrasize);
    sum.min(i32::MAX as usize)
}

/// How the configuration has snapshots written.
pub fn snapshot_options(config: &Config) -> SnapshotOptions {
    SnapshotOptions {
        digest: config.digest_enabled,
        last_zxid: config.serialize_last_processed_zxid,
        compression: match config.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gz => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
    }
}
