//! The care of the data directories, on a thread of its own: old files are removed, what is ours is
//! listed, and the room on the disk is watched.
//!
//! Nothing here may end the server or hold it up: what fails is logged, and tried again.

#![allow(clippy::disallowed_methods, reason = "what is removed is given back at a pace")]

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk_room::{FreeBytes, Reserve, Say, Watch};
use crate::config::{Config, PurgeInterval};
use crate::persistence::{DataDir, DiskError, Ledger, Purged, purge, reclaim};
use crate::proto::Zxid;
use crate::time::Clock;
use crate::tree::SharedDatabase;

/// The directories are looked at this often.
const TICK: Duration = Duration::from_secs(5);
/// Between two pieces of a removed file: 200 MB/s at most.
const PAUSE: Duration = Duration::from_micros(2500);
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

/// What the thread is told at once.
#[derive(Debug, Clone, Copy)]
pub enum Wake {
    /// A snapshot was written.
    NewSnapshot,
    /// A log was begun, and everything up to there is durable.
    NewLog(Zxid),
}

/// A hand on the care that is taken: to wake it, to end it well, and to see what was found.
pub struct Care {
    dir: Arc<DataDir>,
    ledger: Arc<Mutex<Ledger>>,
    database: Arc<SharedDatabase>,
    /// The thread's door.
    pub wake: mpsc::Sender<Wake>,
    /// Bytes free on the disks.
    pub free: Arc<FreeBytes>,
}

impl DiskCare {
    /// Begins to take care of `dir`; says what will be removed from it and what not.
    pub fn start(
        config: &Config,
        dir: Arc<DataDir>,
        ledger: Arc<Mutex<Ledger>>,
        database: Arc<SharedDatabase>,
        clock: Arc<dyn Clock>,
    ) -> Care {
        announce(config, ledger.lock().foreign_count());
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
        let (wake, woken) = mpsc::channel();
        let run = move || {
            let mut why = Some(Wake::NewSnapshot);
            loop {
                care.look(why);
                why = match woken.recv_timeout(TICK) {
                    Ok(why) => Some(why),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
            }
        };
        if let Err(error) = thread::Builder::new().name("disk-care".into()).spawn(run) {
            tracing::warn!(%error, "no thread to purge old files and to watch the disk");
        }
        Care { dir, ledger, database, wake, free }
    }

    /// Does what is due.
    fn look(&mut self, why: Option<Wake>) {
        let logged = match why {
            Some(Wake::NewLog(reached)) => reached,
            Some(Wake::NewSnapshot) | None => Zxid::ZERO,
        };
        let new_snapshot = matches!(why, Some(Wake::NewSnapshot));
        let done = self.list(logged).and_then(|()| self.purge(new_snapshot));
        let done = done.and_then(|()| self.watch_room());
        let failed = done.err().map(|error| error.to_string());
        if let Some(error) = &failed
            && self.failed != failed
        {
            tracing::warn!("the care of the data directories: {error}; it will be tried again");
        }
        self.failed = failed;
    }

    fn list(&self, logged: Zxid) -> Result<(), DiskError> {
        let reached = self.database.read().last_processed().max(logged);
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
        reclaim(&self.dir, || thread::sleep(PAUSE))?;
        if purged != Purged::default() {
            let Purged { snapshots, logs, bytes } = purged;
            tracing::info!(snapshots, logs, bytes, "old files removed");
        }
        self.list(Zxid::ZERO)
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
fn announce(config: &Config, foreign_files: usize) {
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
            let foreign = match foreign_files {
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
