//! A disk for tests that fails when told to, over real files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, RealDisk, Room, WriteThroughFile,
};

/// How many more operations of each kind succeed; negative from then on.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) writes_left: AtomicI64,
    pub(crate) syncs_left: AtomicI64,
    pub(crate) syncs_seen: AtomicI64,
    /// Longer writes fail.
    longest_write: AtomicUsize,
    /// Whether the disk fails, where else it is full.
    broken: AtomicBool,
    /// Whether files are only written by way of the cache.
    cached: AtomicBool,
    /// Bytes written back that were lost, and how many open files have been told so: as Linux
    /// does it, each once.
    losses: AtomicI64,
    dirs_synced: Mutex<Vec<PathBuf>>,
    /// What it says is free; nothing if that is negative.
    free: AtomicI64,
}

impl Faults {
    fn spend(&self, left: &AtomicI64, verb: &str, path: &Path) -> Result<(), DiskError> {
        if left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(self.error(verb, path))
    }

    fn error(&self, verb: &str, path: &Path) -> DiskError {
        let full = !self.broken.load(Ordering::SeqCst);
        let kind = if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        DiskError::new(verb, path, io::Error::from(kind))
    }
}

/// [`RealDisk`] with [`Faults`].
#[derive(Debug, Clone)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Faults>);

impl FaultyDisk {
    /// One on which everything works for now.
    pub(crate) fn new() -> Self {
        FaultyDisk(Arc::new(Faults {
            writes_left: AtomicI64::new(i64::MAX),
            syncs_left: AtomicI64::new(i64::MAX),
            syncs_seen: AtomicI64::new(0),
            longest_write: AtomicUsize::new(usize::MAX),
            broken: AtomicBool::new(false),
            cached: AtomicBool::new(false),
            losses: AtomicI64::new(0),
            dirs_synced: Mutex::default(),
            free: AtomicI64::new(-1),
        }))
    }

    pub(crate) fn fail_writes_after(&self, n: i64) {
        self.0.writes_left.store(n, Ordering::SeqCst);
    }

    pub(crate) fn fail_syncs_after(&self, n: i64) {
        self.0.syncs_left.store(n, Ordering::SeqCst);
    }

    /// Writes of more bytes fail.
    pub(crate) fn fail_writes_longer_than(&self, bytes: usize) {
        self.0.longest_write.store(bytes, Ordering::SeqCst);
    }

    /// From now on what fails fails because the disk is broken, not full.
    pub(crate) fn break_down(&self) {
        self.0.broken.store(true, Ordering::SeqCst);
    }

    /// From now on no file can be opened so that its writes are durable at once.
    pub(crate) fn cache_all_writes(&self) {
        self.0.cached.store(true, Ordering::SeqCst);
    }

    /// The system loses bytes that were written: the next sync of each open file fails, once.
    pub(crate) fn lose_written_bytes(&self) {
        self.0.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on it says that so many bytes are free.
    pub(crate) fn has_free(&self, bytes: u64) {
        self.0.free.store(bytes as i64, Ordering::SeqCst);
    }

    /// The directories that were synced, in order.
    pub(crate) fn dirs_synced(&self) -> Vec<PathBuf> {
        self.0.dirs_synced.lock().clone()
    }

    pub(crate) fn syncs(&self) -> i64 {
        self.0.syncs_seen.load(Ordering::SeqCst)
    }

    fn wrap<F>(&self, path: &Path, file: F) -> FaultyFile<F> {
        let faults = Arc::clone(&self.0);
        let told = AtomicI64::new(faults.losses.load(Ordering::SeqCst));
        FaultyFile { file, path: path.to_owned(), faults, told }
    }
}

impl Disk for FaultyDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        RealDisk.list(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        RealDisk.exists(path)
    }
    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError> {
        RealDisk.canonical(path)
    }
    fn is_only_name(&self, path: &Path) -> Result<bool, DiskError> {
        RealDisk.is_only_name(path)
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        RealDisk.read(path)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        RealDisk.open(path)
    }
    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(self.wrap(path, RealDisk.open_for_write(path)?)))
    }
    fn open_write_through(
        &self,
        path: &Path,
    ) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
        if self.0.cached.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let file = RealDisk.open_write_through(path)?;
        Ok(file.map(|file| Box::new(self.wrap(path, file)) as Box<dyn WriteThroughFile>))
    }
    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(self.wrap(path, RealDisk.create_new(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.0.spend(&self.0.syncs_left, "sync the directory", dir)?;
        self.0.dirs_synced.lock().push(dir.to_owned());
        RealDisk.sync_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        RealDisk.create_dir_all(dir)
    }
    fn room(&self, _: &Path) -> Result<Option<Room>, DiskError> {
        let free = u64::try_from(self.0.free.load(Ordering::SeqCst));
        Ok(free.ok().map(|free| Room { free, total: u64::MAX }))
    }
    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        RealDisk.try_lock(path)
    }
}

struct FaultyFile<F> {
    file: F,
    path: PathBuf,
    faults: Arc<Faults>,
    told: AtomicI64,
}

impl<F> FaultyFile<F> {
    fn admit(&self, bytes: &[u8]) -> Result<(), DiskError> {
        if bytes.len() > self.faults.longest_write.load(Ordering::SeqCst) {
            return Err(self.faults.error("write to", &self.path));
        }
        self.faults.spend(&self.faults.writes_left, "write to", &self.path)
    }

    fn sync(&self, verb: &str) -> Result<(), DiskError> {
        self.faults.syncs_seen.fetch_add(1, Ordering::SeqCst);
        let losses = self.faults.losses.load(Ordering::SeqCst);
        if self.told.swap(losses, Ordering::SeqCst) < losses {
            return Err(self.faults.error(verb, &self.path));
        }
        self.faults.spend(&self.faults.syncs_left, verb, &self.path)
    }
}

impl WriteThroughFile for FaultyFile<Box<dyn WriteThroughFile>> {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.admit(bytes)?;
        self.sync("write durably to")?;
        self.file.overwrite(offset, bytes)
    }
}

impl DiskFile for FaultyFile<Arc<dyn DiskFile>> {
    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.admit(bytes)?;
        self.file.write_all_at(offset, bytes)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.sync("sync")?;
        self.file.sync_data()
    }
    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync("sync")?;
        self.file.sync_all()
    }
    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_len(size)
    }
}
