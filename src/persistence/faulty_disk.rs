//! A disk for tests that fails when told to, over real files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, RealDisk};

/// How many more operations of each kind succeed; negative from then on.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) writes_left: AtomicI64,
    pub(crate) syncs_left: AtomicI64,
    pub(crate) syncs_seen: AtomicI64,
}

impl Faults {
    fn spend(left: &AtomicI64, verb: &str, path: &Path) -> Result<(), DiskError> {
        if left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(DiskError::new(verb, path, io::Error::from(io::ErrorKind::StorageFull)))
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
        }))
    }

    pub(crate) fn fail_writes_after(&self, n: i64) {
        self.0.writes_left.store(n, Ordering::SeqCst);
    }

    pub(crate) fn fail_syncs_after(&self, n: i64) {
        self.0.syncs_left.store(n, Ordering::SeqCst);
    }

    pub(crate) fn syncs(&self) -> i64 {
        self.0.syncs_seen.load(Ordering::SeqCst)
    }

    fn wrap(
        &self,
        path: &Path,
        file: Result<Arc<dyn DiskFile>, DiskError>,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let faults = Arc::clone(&self.0);
        Ok(Arc::new(FaultyFile { file: file?, path: path.to_owned(), faults }))
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
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        RealDisk.read(path)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        RealDisk.open(path)
    }
    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.wrap(path, RealDisk.open_for_write(path))
    }
    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.wrap(path, RealDisk.create_new(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        Faults::spend(&self.0.syncs_left, "sync the directory", dir)?;
        RealDisk.sync_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        RealDisk.create_dir_all(dir)
    }
    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        RealDisk.try_lock(path)
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl FaultyFile {
    fn sync(&self) -> Result<(), DiskError> {
        self.faults.syncs_seen.fetch_add(1, Ordering::SeqCst);
        Faults::spend(&self.faults.syncs_left, "sync", &self.path)
    }
}

impl DiskFile for FaultyFile {
    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        Faults::spend(&self.faults.writes_left, "write to", &self.path)?;
        self.file.write_all_at(offset, bytes)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.sync()?;
        self.file.sync_data()
    }
    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync()?;
        self.file.sync_all()
    }
    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_len(size)
    }
}
