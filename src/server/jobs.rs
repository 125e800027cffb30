//! Slow work beside the driver, each kind on a thread of its own: snapshots, and zeros ahead of
//! the log.

#![allow(clippy::disallowed_methods, reason = "pacing is sleeping, and only snapshots are paced")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::fatal::{ExitCode, die};
use crate::metrics::Metrics;
use crate::persistence::snapshot::{
    SnapshotOptions, SnapshotWriteError, WrittenSnapshot, write_snapshot,
};
use crate::persistence::txn_log::ZeroFiller;
use crate::persistence::{Disk, RealDisk};
use crate::time::Clock;
use crate::tree::SharedDatabase;

/// Takes snapshots, one at a time.
pub struct SnapshotJobs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    database: Arc<SharedDatabase>,
    options: SnapshotOptions,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    running: Arc<AtomicBool>,
}

/// A snapshot is written at most this fast, so that the log's syncs are not held up.
const BYTES_PER_SECOND: u64 = 100 << 20;

impl SnapshotJobs {
    /// Snapshots of `database` into `dir`.
    pub fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Arc<SharedDatabase>,
        options: SnapshotOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let running = Arc::new(AtomicBool::new(false));
        SnapshotJobs { disk, dir, database, options, clock, metrics, running }
    }

    /// Begins a snapshot, unless one is being written. It shows the database as it is when the
    /// job gets hold of it, and the log is never cut by it, so nothing depends on the moment.
    pub fn take_one(&mut self) {
        if self.running.swap(true, Ordering::AcqRel) {
            tracing::warn!("a snapshot is due while the last one is still being written");
            return;
        }
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let (database, options) = (self.database.clone(), self.options);
        let (clock, running) = (self.clock.clone(), self.running.clone());
        let metrics = self.metrics.clone();
        let job = move || {
            let began = clock.now().mono_ms;
            match write_now(&*disk, &dir, &database, options) {
                Ok(snapshot) => {
                    let WrittenSnapshot { name, zxid, bytes } = snapshot;
                    let millis = clock.now().mono_ms - began;
                    metrics.snapshottime.record(millis);
                    tracing::info!(name, %zxid, bytes, millis, "snapshot written");
                }
                // The tree it showed is gone, and whatever replaced it came with its own snapshot.
                Err(SnapshotWriteError::CaptureLost(lost)) => tracing::info!("{lost}"),
                Err(error) => die(ExitCode::ErrorWritingSnapshot, &error),
            }
            running.store(false, Ordering::Release);
        };
        let spawned = thread::Builder::new().name("snapshot".into()).spawn(job);
        if let Err(error) = spawned {
            die(ExitCode::ErrorWritingSnapshot, &format!("no thread for a snapshot: {error}"));
        }
    }
}

/// Writes a snapshot on the calling thread, in pieces, keeping to the rate.
///
/// # Errors
/// The disk's.
pub fn write_now(
    disk: &dyn Disk,
    dir: &Path,
    database: &SharedDatabase,
    options: SnapshotOptions,
) -> Result<WrittenSnapshot, SnapshotWriteError> {
    let capture = database.begin_snapshot();
    write_snapshot(disk, dir, database, capture, options, |bytes| {
        thread::sleep(Duration::from_nanos(bytes * 1_000_000_000 / BYTES_PER_SECOND));
    })
}

/// A filler that writes zeros on a thread of its own, one job after the other.
pub fn zero_filler() -> ZeroFiller {
    let (jobs, waiting) = mpsc::channel::<crate::persistence::txn_log::ZeroFill>();
    let run = move || {
        for job in waiting {
            job.run();
        }
    };
    if let Err(error) = thread::Builder::new().name("zero-fill".into()).spawn(run) {
        tracing::warn!(%error, "no thread to make room ahead of the log");
    }
    Box::new(move |job| {
        // Without a thread the job is dropped, and the log grows as it is written.
        let _ = jobs.send(job);
    })
}

/// Open file descriptors of this process, where the system tells.
pub fn open_descriptors() -> Option<u64> {
    RealDisk.list(Path::new("/proc/self/fd")).ok().map(|entries| entries.len() as u64)
}
