//! The care of the data directories, on a thread of its own: old files are removed, what is ours is
//! listed, and the room on the disk is watched.
//!
//! Nothing here may end the server or hold it up: what fails is logged, and tried again.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk_room::{FreeBytes, Reserve, Say, Watch};
use crate::config::{Config, PurgeInterval};
use crate::persistence::{DataDir, DiskError, Ledger, Purged, purge};
use crate::time::Clock;
use crate::tree::SharedDatabase;

/// The directories are looked at this often.
const TICK: Duration = Duration::from_secs(5);
/// At the end the list of our files is waited for this long; a purge may be under way.
const PATIENCE: Duration = Duration::from_millis(500);

/// Takes care of the data directories.
pub struct DiskCare {
    dir: Arc<DataDir>,
    ledger: Arc<Mutex<Ledger>>,
    database: Arc<SharedDatabase>,
    clock: Arc<dyn Clock>,
    free: Arc<FreeBytes>,
    interval: PurgeInterval,
    retain: usize,
    reserve: Reserve,
    /// When the next purge is due, milliseconds on the monotonic clock.
    next_purge_ms: u64,
    watch_data: Watch,
    watch_log: Watch,
    /// What failed last; said once.
    failed: Option<String>,
}

/// Tells the thread that a snapshot was written.
pub type SnapshotWritten = mpsc::Sender<()>;

/// A hand on the care that is taken: to end it well, and to see what was found.
pub struct Care {
    dir: Arc<DataDir>,
    ledger: Arc<Mutex<Ledger>>,
    database: Arc<SharedDatabase>,
    /// Bytes free on the disks.
    pub free: Arc<FreeBytes>,
}

impl DiskCare {
    /// Begins to take care of `dir`; says what will be removed from it and what not.
    pub fn start(
        config: &Config,
        dir: Arc<DataDir>,
        ledger: Ledger,
        database: Arc<SharedDatabase>,
        clock: Arc<dyn Clock>,
    ) -> (Care, SnapshotWritten) {
        announce(config, &ledger);
        let ledger = Arc::new(Mutex::new(ledger));
        let free = Arc::new(FreeBytes::default());
        let mut care = DiskCare {
            dir: dir.clone(),
            ledger: ledger.clone(),
            database: database.clone(),
            next_purge_ms: clock.now().mono_ms,
            clock,
            free: free.clone(),
            interval: config.purge_interval,
            retain: config.snap_retain_count as usize,
            reserve: Reserve::from_mb(config.disk_reserve_mb),
            watch_data: Watch::default(),
            watch_log: Watch::default(),
            failed: None,
        };
        let (written, wake) = mpsc::channel();
        let run = move || {
            care.look(true);
            loop {
                match wake.recv_timeout(TICK) {
                    Ok(()) => care.look(true),
                    Err(RecvTimeoutError::Timeout) => care.look(false),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("disk-care".into()).spawn(run) {
            tracing::warn!(%error, "no thread to purge old files and to watch the disk");
        }
        (Care { dir, ledger, database, free }, written)
    }

    /// Does what is due; `new_snapshot` says that there may be one more than at the last time.
    fn look(&mut self, new_snapshot: bool) {
        let done = self.list().and_then(|()| self.purge(new_snapshot));
        let done = done.and_then(|()| self.watch_room());
        let failed = done.err().map(|error| error.to_string());
        if let Some(error) = &failed
            && self.failed != failed
        {
            tracing::warn!("the care of the data directories: {error}; it will be tried again");
        }
        self.failed = failed;
    }

    fn list(&self) -> Result<(), DiskError> {
        let reached = self.database.read().last_processed();
        self.ledger.lock().update(&**self.dir.disk(), reached)
    }

    fn purge(&mut self, new_snapshot: bool) -> Result<(), DiskError> {
        let now_ms = self.clock.now().mono_ms;
        let only_ours = match self.interval {
            PurgeInterval::Unset if new_snapshot => true,
            PurgeInterval::EveryMs(ms) if now_ms >= self.next_purge_ms => {
                self.next_purge_ms = now_ms.saturating_add(ms);
                false
            }
            PurgeInterval::Unset | PurgeInterval::Never | PurgeInterval::EveryMs(_) => {
                return Ok(());
            }
        };
        let purged = purge(&self.dir, &self.ledger.lock(), self.retain, only_ours)?;
        if purged != Purged::default() {
            let Purged { snapshots, logs, bytes } = purged;
            tracing::info!(snapshots, logs, bytes, "old files removed");
        }
        self.list()
    }

    fn watch_room(&mut self) -> Result<(), DiskError> {
        let disk = self.dir.disk();
        let (snapshot_dir, log_dir) = (self.dir.snapshot_dir(), self.dir.log_dir());
        let newest_snapshot = self.dir.snapshots()?.last().map_or(0, |file| file.size);
        let data = disk.room(snapshot_dir)?;
        let one = snapshot_dir == log_dir;
        let log = if one { data } else { disk.room(log_dir)? };
        if let Some(room) = data {
            let reserve = self.reserve.bytes(room, newest_snapshot);
            say(&mut self.watch_data, snapshot_dir, room.free, reserve);
        }
        if let Some(room) = log.filter(|_| !one) {
            let reserve = self.reserve.bytes(room, 0);
            say(&mut self.watch_log, log_dir, room.free, reserve);
        }
        let short = self.watch_data.is_short() || self.watch_log.is_short();
        self.free.set(data.map(|room| room.free), log.map(|room| room.free), short);
        Ok(())
    }
}

impl Care {
    /// Lists what was written last: what is not listed counts as somebody else's.
    pub fn end(&self) {
        let reached = self.database.read().last_processed();
        if let Some(mut ledger) = self.ledger.try_lock_for(PATIENCE)
            && let Err(error) = ledger.update(&**self.dir.disk(), reached)
        {
            tracing::warn!(%error, "the list of our files is not complete");
        }
    }
}

/// Says what becomes of old files, at start.
fn announce(config: &Config, ledger: &Ledger) {
    let retain = config.snap_retain_count;
    match config.purge_interval {
        PurgeInterval::Never => {
            tracing::info!("old snapshots and logs are never removed (autopurge.purgeInterval=0)");
        }
        PurgeInterval::EveryMs(_) => tracing::info!(
            "old snapshots and logs are removed now and then (autopurge.purgeInterval); the newest \
             {retain} snapshots stay, with the logs behind them"
        ),
        PurgeInterval::Unset => {
            let foreign = match ledger.foreign_count() {
                0 => String::new(),
                n => format!("; {n} that others wrote stay for ever"),
            };
            tracing::info!(
                "old snapshots and logs that zkserver wrote are removed; the newest {retain} \
                 snapshots stay, with the logs behind them{foreign}; autopurge.purgeInterval=0 \
                 keeps everything, as Apache ZooKeeper does by default"
            );
        }
    }
}

/// Speaks of the room in `dir`, if there is something to say.
fn say(watch: &mut Watch, dir: &std::path::Path, free: u64, reserve: Option<u64>) {
    let Some(reserve) = reserve else { return };
    let (dir, mib) = (dir.display(), |bytes: u64| bytes >> 20);
    match watch.judge(free, reserve) {
        Some(Say::Short) => tracing::warn!(
            "only {} MiB are free for {dir}, less than the reserve of {} MiB (diskReserveInMb); \
             when nothing is left the server stops",
            mib(free),
            mib(reserve)
        ),
        Some(Say::Enough) => {
            tracing::info!("{} MiB are free for {dir}, which is enough again", mib(free));
        }
        None => {}
    }
}
