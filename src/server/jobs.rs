//! Slow work beside the driver, each kind on a thread of its own: snapshots, and zeros ahead of
//! the log.

#![allow(clippy::disallowed_methods, reason = "pacing is sleeping, and only snapshots are paced")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk_care::Wake;
use super::fatal::{ExitCode, die, die_of_disk};
use super::progress::{HowFar, Progress};
use crate::metrics::Metrics;
use crate::persistence::snapshot::{
    Piece, SnapshotOptions, SnapshotWriteError, WrittenSnapshot, file_name,
    write_snapshot_with_pass,
};
use crate::persistence::snapshot_gate::SnapshotGate;
use crate::persistence::txn_log::ZeroFiller;
use crate::persistence::{Disk, Ledger, RealDisk};
use crate::time::Clock;
use crate::tree::SharedDatabase;

/// Takes snapshots beside the service, one at a time.
pub struct SnapshotJobs {
    writer: SnapshotWriter,
    /// Whoever takes care of the directory is told.
    care: mpsc::Sender<Wake>,
    /// Whether one is being written.
    running: Arc<AtomicBool>,
}

impl SnapshotJobs {
    /// None under way; `care` is told of each that is written.
    pub fn new(writer: SnapshotWriter, care: mpsc::Sender<Wake>) -> Self {
        SnapshotJobs { writer, care, running: Arc::default() }
    }

    /// Begins a snapshot, unless one is being written. It shows the database as it is when the
    /// job gets hold of it, and the log is never cut by it, so nothing depends on the moment.
    pub fn take_one(&mut self) {
        if self.running.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "a snapshot is due, but the one before is still being written: this one is left \
                 out, and a restart would replay more of the log (see snapCount and the disk)"
            );
            return;
        }
        let (writer, care, running) =
            (self.writer.clone(), self.care.clone(), self.running.clone());
        let job = move || {
            match writer.write() {
                Ok((snapshot, millis)) => {
                    let WrittenSnapshot { name, zxid, bytes } = snapshot;
                    tracing::info!(name, %zxid, bytes, millis, "snapshot written");
                    // Nobody may take care of the directory; the snapshot is there all the same.
                    let _ = care.send(Wake::NewSnapshot);
                }
                // The tree it showed is gone, and whatever replaced it came with its own snapshot.
                Err(SnapshotWriteError::CaptureLost(lost)) => tracing::info!("{lost}"),
                Err(SnapshotWriteError::HistoryChanged(lost)) => tracing::info!("{lost}"),
                Err(SnapshotWriteError::Disk(error)) => {
                    die_of_disk(ExitCode::ErrorWritingSnapshot, &error)
                }
            }
            running.store(false, Ordering::Release);
        };
        let spawned = thread::Builder::new().name("snapshot".into()).spawn(job);
        if let Err(error) = spawned {
            die(ExitCode::ErrorWritingSnapshot, &format!("no thread for a snapshot: {error}"));
        }
    }
}

/// What it takes to write a snapshot.
#[derive(Clone)]
pub struct SnapshotWriter {
    /// Where they are written …
    pub disk: Arc<dyn Disk>,
    /// … and in which directory.
    pub dir: PathBuf,
    /// What they show.
    pub database: Arc<SharedDatabase>,
    /// What they look like.
    pub options: SnapshotOptions,
    /// What they pass to become history.
    pub gate: SnapshotGate,
    /// Each is entered here.
    pub ledger: Arc<Mutex<Ledger>>,
    /// To tell how long they take.
    pub clock: Arc<dyn Clock>,
    /// Where that is counted.
    pub metrics: Arc<Metrics>,
}

/// A snapshot is written at most this fast, so that the log's syncs are not held up.
const BYTES_PER_SECOND: u64 = 100 << 20;

impl SnapshotWriter {
    /// Writes a snapshot on the calling thread, in pieces, keeping to the rate; says how far it is
    /// if that takes long. It is entered in the ledger before. Returns how many milliseconds it
    /// took, too.
    ///
    /// # Errors
    /// The disk's; or the tree was replaced meanwhile.
    pub fn write(&self) -> Result<(WrittenSnapshot, u64), SnapshotWriteError> {
        let SnapshotWriter { disk, dir, database, options, gate, ledger, clock, metrics } = self;
        let began_ms = clock.now().mono_ms;
        let pass = gate.pass();
        let capture = database.begin_snapshot();
        let name = file_name(capture.zxid(), options.compression);
        if let Err(error) = ledger.lock().announce_snapshot(&**disk, name) {
            tracing::warn!("{error}: this snapshot will count as somebody else's");
        }
        let total = content_bytes(database);
        let (mut content, mut progress) = (0, Progress::new(&**clock));
        let pace = |piece: Piece| {
            thread::sleep(Duration::from_nanos(piece.stored * 1_000_000_000 / BYTES_PER_SECOND));
            content += piece.content;
            if let Some(HowFar { percent, seconds_left }) = progress.due(content, total) {
                let (written_mib, of_mib) = (content >> 20, total >> 20);
                let what = "a snapshot is being written";
                tracing::info!(percent, written_mib, of_mib, seconds_left, "{what}");
            }
        };
        let snapshot =
            write_snapshot_with_pass(&**disk, dir, database, capture, *options, Some(&pass), pace)?;
        let millis = clock.now().mono_ms - began_ms;
        metrics.snapshottime.record(millis);
        Ok((snapshot, millis))
    }
}

/// About how many bytes a snapshot of the database has before it is compressed.
fn content_bytes(database: &SharedDatabase) -> u64 {
    /// Two lengths, the index of the ACL, the stat.
    const BESIDE_PATH_AND_DATA: u64 = 4 + 4 + 8 + 60;
    let db = database.read();
    db.tree.approximate_data_size()
        + db.tree.node_count() as u64 * BESIDE_PATH_AND_DATA
        + db.session_count() as u64 * 12
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
