//! A directory in memory, as the disk that readers are given.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use zkserver::persistence::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock};

/// Files by their paths; every directory exists.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryFile>>>>);

/// A file's bytes.
#[derive(Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

struct Unlocked;

impl DiskLock for Unlocked {}

impl MemoryDisk {
    /// Puts a file there.
    pub fn put(&self, path: impl Into<PathBuf>, bytes: &[u8]) {
        let file = Arc::new(MemoryFile(Mutex::new(bytes.to_vec())));
        self.0.lock().unwrap().insert(path.into(), file);
    }

    fn find(&self, path: &Path) -> Result<Arc<MemoryFile>, DiskError> {
        let found = self.0.lock().unwrap().get(path).cloned();
        found.ok_or_else(|| DiskError::new("open", path, io::ErrorKind::NotFound.into()))
    }
}

impl Disk for MemoryDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let files = self.0.lock().unwrap();
        let within = files.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, file): (&PathBuf, &Arc<MemoryFile>)| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(DirEntry { name, size: file.0.lock().unwrap().len() as u64 })
        };
        Ok(within.filter_map(entry).collect())
    }

    fn exists(&self, _: &Path) -> Result<bool, DiskError> {
        Ok(true)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError> {
        Ok(path.to_owned())
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        Ok(self.find(path)?.0.lock().unwrap().clone())
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.find(path)?)
    }

    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.find(path)?)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.put(path, b"");
        Ok(self.find(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let file = self.find(from)?;
        self.remove(from)?;
        self.0.lock().unwrap().insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.0.lock().unwrap().remove(path);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn create_dir_all(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn try_lock(&self, _: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        Ok(Some(Box::new(Unlocked)))
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> Result<u64, DiskError> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_all_at(&self, offset: u64, new: &[u8]) -> Result<(), DiskError> {
        let mut bytes = self.0.lock().unwrap();
        let end = offset as usize + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(new);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.0.lock().unwrap().resize(size as usize, 0);
        Ok(())
    }
}
