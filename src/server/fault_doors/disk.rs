//! A disk that is slow, full, or loses what it was to make durable.

#![allow(clippy::disallowed_methods, reason = "a slow disk is one that sleeps")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::orders::Control;
use crate::persistence::disk::{DirEntry, DiskLock};
use crate::persistence::{Disk, DiskError, DiskFile, Room, WriteThroughFile};

/// `ENOSPC`.
const NO_ROOM: i32 = 28;

/// A disk, and what is ordered of it.
pub(super) struct DoorDisk {
    real: Arc<dyn Disk>,
    control: Arc<Control>,
}

impl DoorDisk {
    /// A disk that is `real` but for its orders.
    pub(super) fn new(real: Arc<dyn Disk>, control: Arc<Control>) -> Self {
        DoorDisk { real, control }
    }

    fn file(&self, path: &Path, real: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let (path, control) = (path.to_owned(), self.control.clone());
        Arc::new(DoorFile { real, path, control, unsynced: Mutex::default() })
    }

    /// A new name needs room, too.
    fn room_for_a_name(&self, path: &Path) -> Result<(), DiskError> {
        match self.control.room() {
            Some(0) => Err(error("create", path, NO_ROOM)),
            Some(_) | None => Ok(()),
        }
    }
}

fn error(verb: &str, path: &Path, code: i32) -> DiskError {
    DiskError::new(verb, path, io::Error::from_raw_os_error(code))
}

fn take(ms: u64) {
    if ms > 0 {
        thread::sleep(Duration::from_millis(ms));
    }
}

impl Disk for DoorDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.real.list(dir)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.real.exists(path)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError> {
        self.real.canonical(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.real.read(path)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.real.open(path)
    }

    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.file(path, self.real.open_for_write(path)?))
    }

    fn open_write_through(
        &self,
        path: &Path,
    ) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
        let real = self.real.open_write_through(path)?;
        let (path, control) = (path.to_owned(), self.control.clone());
        Ok(real.map(|real| Box::new(WriteThroughDoorFile { real, path, control }) as Box<_>))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.room_for_a_name(path)?;
        Ok(self.file(path, self.real.create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.real.rename(from, to)
    }

    fn is_only_name(&self, path: &Path) -> Result<bool, DiskError> {
        self.real.is_only_name(path)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.real.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let orders = self.control.orders();
        take(orders.sync_ms);
        match orders.sync_error {
            Some(code) => Err(error("sync the directory", dir, code)),
            None => self.real.sync_dir(dir),
        }
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        self.real.create_dir_all(dir)
    }

    fn room(&self, dir: &Path) -> Result<Option<Room>, DiskError> {
        let (room, left) = (self.real.room(dir)?, self.control.room());
        Ok(room
            .map(|room| Room { free: left.map_or(room.free, |left| left.min(room.free)), ..room }))
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        if !self.real.exists(path)? {
            self.room_for_a_name(path)?;
        }
        self.real.try_lock(path)
    }
}

/// An open file on such a disk.
struct DoorFile {
    real: Arc<dyn DiskFile>,
    path: PathBuf,
    control: Arc<Control>,
    /// What stood where was written since the last sync, in the order of the writes.
    unsynced: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl DoorFile {
    /// Loses what was written since the last sync: what was there before is there again, and zeros
    /// where nothing was.
    fn lose(&self) -> Result<(), DiskError> {
        for (offset, before) in self.unsynced.lock().drain(..).rev() {
            self.real.write_all_at(offset, &before)?;
        }
        Ok(())
    }

    fn sync(&self, real: impl FnOnce() -> Result<(), DiskError>) -> Result<(), DiskError> {
        let orders = self.control.orders();
        take(orders.sync_ms);
        if let Some(code) = orders.sync_error {
            self.lose()?;
            return Err(error("sync", &self.path, code));
        }
        // Held meanwhile: what is written beside the sync is not part of it.
        let mut unsynced = self.unsynced.lock();
        real()?;
        unsynced.clear();
        Ok(())
    }
}

impl DiskFile for DoorFile {
    fn size(&self) -> Result<u64, DiskError> {
        self.real.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.real.read_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        take(self.control.orders().write_ms);
        let admitted = self.control.admit(bytes.len());
        let mut unsynced = self.unsynced.lock();
        let mut before = vec![0; admitted];
        self.real.read_at(offset, &mut before)?;
        self.real.write_all_at(offset, &bytes[..admitted])?;
        unsynced.push((offset, before));
        match admitted == bytes.len() {
            true => Ok(()),
            false => Err(error("write to", &self.path, NO_ROOM)),
        }
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.sync(|| self.real.sync_data())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync(|| self.real.sync_all())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.real.set_len(size)
    }
}

/// One whose writes are durable at once.
struct WriteThroughDoorFile {
    real: Box<dyn WriteThroughFile>,
    path: PathBuf,
    control: Arc<Control>,
}

impl WriteThroughFile for WriteThroughDoorFile {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let orders = self.control.orders();
        take(orders.write_ms + orders.sync_ms);
        if let Some(code) = orders.sync_error {
            return Err(error("write durably to", &self.path, code));
        }
        let admitted = self.control.admit(bytes.len());
        self.real.overwrite(offset, &bytes[..admitted])?;
        match admitted == bytes.len() {
            true => Ok(()),
            false => Err(error("write durably to", &self.path, NO_ROOM)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::orders::testing::Ordered;
    use super::*;
    use crate::persistence::RealDisk;

    fn disk(ordered: &Ordered) -> DoorDisk {
        DoorDisk::new(Arc::new(RealDisk), ordered.control.clone())
    }

    fn content(path: &Path) -> Vec<u8> {
        RealDisk.read(path).unwrap()
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let ordered = Ordered::new();
        let (disk, path) = (disk(&ordered), ordered.dir.path().join("f"));
        let file = disk.create_new(&path).unwrap();
        file.write_all_at(0, b"before").unwrap();
        ordered.order("disk.room=3");
        assert_eq!(disk.room(ordered.dir.path()).unwrap().unwrap().free, 3);
        let error = file.write_all_at(6, b"behind").unwrap_err();
        assert!(error.is_no_room() && error.to_string().contains("No space left"), "{error}");
        assert_eq!(content(&path), b"beforebeh");
        let overwritten = file.write_all_at(0, b"x").unwrap_err();
        assert!(overwritten.is_no_room(), "this file system never overwrites");
        for name in ["g", "lock"] {
            let path = ordered.dir.path().join(name);
            let failed = disk.create_new(&path).err().or_else(|| disk.try_lock(&path).err());
            assert!(failed.expect(name).is_no_room());
        }
        ordered.order("");
        file.write_all_at(9, b"ind").unwrap();
        assert_eq!(content(&path), b"beforebehind");
    }

    #[test]
    fn a_sync_that_fails_loses_what_it_was_to_make_durable() {
        let ordered = Ordered::new();
        let (disk, path) = (disk(&ordered), ordered.dir.path().join("f"));
        let file = disk.create_new(&path).unwrap();
        file.write_all_at(0, b"durable").unwrap();
        file.sync_data().unwrap();
        file.write_all_at(3, b"xy").unwrap();
        file.write_all_at(4, b"uvwxyz").unwrap();
        ordered.order("disk.sync=5");
        let error = file.sync_data().unwrap_err();
        assert!(error.to_string().starts_with("cannot sync ") && !error.is_no_room(), "{error}");
        assert_eq!(content(&path), b"durable\0\0\0");
        let error = disk.sync_dir(ordered.dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("Input/output error (os error 5)"), "{error}");
    }

    #[test]
    fn what_is_durable_at_once_is_as_full_and_as_broken() {
        let ordered = Ordered::new();
        let (disk, path) = (disk(&ordered), ordered.dir.path().join("f"));
        disk.create_new(&path).unwrap().write_all_at(0, &[0; 8192]).unwrap();
        let Some(mut file) = disk.open_write_through(&path).unwrap() else {
            return eprintln!("skipped: {} takes no direct writes", path.display());
        };
        file.overwrite(0, b"before").unwrap();
        ordered.order("disk.room=3");
        assert!(file.overwrite(6, b"behind").unwrap_err().is_no_room());
        assert_eq!(&content(&path)[..10], b"beforebeh\0");
        ordered.order("disk.sync=5");
        let error = file.overwrite(9, b"ind").unwrap_err();
        assert!(error.to_string().ends_with("Input/output error (os error 5)"), "{error}");
        ordered.order("");
        file.overwrite(9, b"ind").unwrap();
        assert_eq!(&content(&path)[..13], b"beforebehind\0");
    }

    #[test]
    fn a_slow_disk_takes_its_time() {
        let ordered = Ordered::new();
        let (disk, path) = (disk(&ordered), ordered.dir.path().join("f"));
        let file = disk.create_new(&path).unwrap();
        let took = |work: &dyn Fn()| {
            let began = std::time::Instant::now();
            work();
            began.elapsed().as_millis()
        };
        ordered.order("disk.write_ms=30");
        assert!(took(&|| file.write_all_at(0, b"x").unwrap()) >= 30);
        ordered.order("disk.sync_ms=40");
        assert!(took(&|| file.sync_all().unwrap()) >= 40);
        assert!(took(&|| disk.sync_dir(ordered.dir.path()).unwrap()) >= 40);
        assert_eq!(content(&path), b"x");
    }
}
