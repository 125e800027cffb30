//! The door to the disk: the only place that touches files.
//!
//! Everything that is kept goes through [`Disk`], so that a simulation can put a disk of its own
//! behind it. Always true:
//!
//! * an error says what was attempted on which path; it is never swallowed and never retried –
//!   after a failed sync the kernel may have thrown the bytes away (ZOOKEEPER-4882);
//! * a name is durable only after [`Disk::sync_dir`] on its directory: creating, renaming and
//!   removing change the directory, not the file (N-21).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(target_os = "linux")]
mod direct;

/// A file system, as far as a server needs one.
pub trait Disk: Send + Sync {
    /// The regular files in `dir`, in no particular order.
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError>;
    /// Whether something of that name exists; a link that leads nowhere is an error.
    fn exists(&self, path: &Path) -> Result<bool, DiskError>;
    /// The path without symbolic links and dots: two names of one directory become equal.
    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError>;
    /// A whole small file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError>;
    /// An existing file, for reading.
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// An existing file, for reading and writing.
    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// An existing file of at least [`BLOCK_BYTES`], to be overwritten; `None` where writing and
    /// syncing it is the only way.
    fn open_write_through(
        &self,
        path: &Path,
    ) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
        let _ = path;
        Ok(None)
    }
    /// A new, empty file, for reading and writing; an existing one is an error.
    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Whether `path` is a file, not a link to one, and the only name of its content.
    fn is_only_name(&self, path: &Path) -> Result<bool, DiskError> {
        let _ = path;
        Ok(false)
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;
    /// Creates `dir` and what is missing above it.
    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError>;
    /// How much room there is where `dir` lies; `None` if this disk does not tell.
    fn room(&self, dir: &Path) -> Result<Option<Room>, DiskError> {
        let _ = dir;
        Ok(None)
    }
    /// Takes the exclusive lock on the file `path`, creating it; `None` when another holds it.
    /// The lock is let go when the value is dropped or the process ends.
    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError>;
}

/// An open file. Reads and writes name their offset, so it can be shared.
pub trait DiskFile: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> Result<u64, DiskError>;
    /// Reads as much of `buffer` as the file holds from `offset` on; fewer bytes mean its end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes all of `bytes` at `offset`, extending the file where needed.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Makes the content durable, and as much of the metadata as reading it back needs.
    fn sync_data(&self) -> Result<(), DiskError>;
    /// Makes content and metadata durable.
    fn sync_all(&self) -> Result<(), DiskError>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, size: u64) -> Result<(), DiskError>;
}

/// The unit in which a [`WriteThroughFile`] is written: what disks and file systems have today.
pub const BLOCK_BYTES: u64 = 4096;

/// A file open for overwriting; what is written is durable when the call returns.
pub trait WriteThroughFile: Send {
    /// Overwrites the file with `bytes` from `offset` on; they are durable when it returns. What
    /// follows them in the last block becomes zeros. The caller sees to it that the file reaches over
    /// that block, written before or not, so that it never grows, and that nobody else changes the
    /// blocks written to meanwhile.
    /// What others wrote and synced before stays, unless `offset` is where the last call ended.
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
}

/// A held lock; dropping it lets go.
pub trait DiskLock: Send + Sync {}

/// How large a file system is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What this process may still write.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// A file's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name within its directory. Names that are not UTF-8 are not ours and are not listed.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// What the disk could not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}")]
pub struct DiskError {
    /// The attempt and the path it was made on, as in `create /data/version-2/log.1`.
    pub what: String,
    /// What the operating system said.
    pub source: io::Error,
}

impl DiskError {
    /// The error of `verb`, done to `path`.
    pub fn new(verb: &str, path: &Path, source: io::Error) -> Self {
        DiskError { what: format!("{verb} {}", path.display()), source }
    }

    /// Whether the path did not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether there was no room for more bytes: on the disk, in the quota, in a file.
    pub fn is_no_room(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// Whether the process, or the system, has too many files open.
    pub fn is_too_many_open(&self) -> bool {
        use rustix::io::Errno;
        let code = self.source.raw_os_error();
        [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
    }
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let failed = |e| DiskError::new("list the directory", dir, e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Through a symbolic link: operators move single files to other volumes.
            let metadata = match fs::metadata(entry.path()) {
                Ok(metadata) => metadata,
                // Removed since it was listed. A link that leads nowhere is no such case: it
                // names a file that cannot be read, and that is never the same as no file (C-261).
                Err(_) if fs::symlink_metadata(entry.path()).is_err() => continue,
                Err(e) => {
                    let e = dangling(&entry.path()).unwrap_or(e);
                    return Err(DiskError::new("look at", &entry.path(), e));
                }
            };
            // Whatever has the name of a file of ours is listed, a directory too: to find that
            // it cannot be read is better than to take it for absent (C-261).
            entries.push(DirEntry { name, size: metadata.len() });
        }
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let failed = |e| DiskError::new("look for", path, e);
        if fs::exists(path).map_err(failed)? {
            return Ok(true);
        }
        // Its volume may not be mounted: what a link names is never taken for absent.
        dangling(path).map_or(Ok(false), |e| Err(failed(e)))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError> {
        fs::canonicalize(path).map_err(|e| DiskError::new("resolve", path, e))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        fs::read(path).map_err(|e| DiskError::new("read", path, e))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        RealFile::open(OpenOptions::new().read(true), "open", path)
    }

    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        RealFile::open(OpenOptions::new().read(true).write(true), "open for writing", path)
    }

    #[cfg(target_os = "linux")]
    fn open_write_through(
        &self,
        path: &Path,
    ) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
        direct::open(path)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        RealFile::open(OpenOptions::new().read(true).write(true).create_new(true), "create", path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|source| DiskError {
            what: format!("rename {} to {}", from.display(), to.display()),
            source,
        })
    }

    fn is_only_name(&self, path: &Path) -> Result<bool, DiskError> {
        let metadata =
            fs::symlink_metadata(path).map_err(|e| DiskError::new("look at", path, e))?;
        Ok(metadata.is_file() && metadata.nlink() == 1)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|e| DiskError::new("remove", path, e))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        File::open(dir)
            .and_then(|handle| handle.sync_all())
            .map_err(|e| DiskError::new("sync the directory", dir, e))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        fs::create_dir_all(dir).map_err(|e| DiskError::new("create the directory", dir, e))
    }

    fn room(&self, dir: &Path) -> Result<Option<Room>, DiskError> {
        let stat = rustix::fs::statvfs(dir)
            .map_err(|e| DiskError::new("ask for the room of", dir, e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Some(Room { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) }))
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        let failed = |e| DiskError::new("lock", path, e);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| DiskError::new("create", path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

/// The error of a link that leads nowhere, if `path`, which is not there, is one.
fn dangling(path: &Path) -> Option<io::Error> {
    let target = fs::read_link(path).ok()?;
    let what = format!("it is a link to {}, which is not there", target.display());
    Some(io::Error::other(what))
}

struct RealFile {
    file: File,
    path: PathBuf,
}

impl RealFile {
    fn open(
        options: &OpenOptions,
        verb: &str,
        path: &Path,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = options.open(path).map_err(|e| DiskError::new(verb, path, e))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> Result<u64, DiskError> {
        let metadata =
            self.file.metadata().map_err(|e| DiskError::new("look at", &self.path, e))?;
        Ok(metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(DiskError::new("read", &self.path, e)),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(|e| DiskError::new("write to", &self.path, e))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|e| DiskError::new("sync", &self.path, e))
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|e| DiskError::new("sync", &self.path, e))
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_len(size).map_err(|e| DiskError::new("set the size of", &self.path, e))
    }
}

struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

/// Other names for files, as operators make them.
#[cfg(test)]
pub(super) mod links {
    use std::fs;
    use std::io;
    use std::path::Path;

    pub(crate) fn hard(file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    pub(crate) fn symbolic(file: &Path, name: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(file, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_a_sentence() {
        let Err(error) = RealDisk.open(Path::new("/nowhere/log.1")) else {
            panic!("/nowhere must not exist")
        };
        assert!(error.is_not_found());
        assert!(error.to_string().starts_with("cannot open /nowhere/log.1: No such file"));
    }

    #[test]
    fn there_is_room_for_what_was_written_and_no_more_than_all() {
        let dir = tempfile::tempdir().unwrap();
        let room = RealDisk.room(dir.path()).unwrap().expect("the system tells");
        assert!(room.total > 0 && room.free <= room.total, "{room:?}");
        let error = RealDisk.room(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot ask for the room of /nowhere/at/all: No such")
        );
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = RealDisk.try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn reading_past_the_end_gives_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create_new(&dir.path().join("f")).unwrap();
        file.write_all_at(2, b"abc").unwrap();
        let mut buffer = [9; 10];
        assert_eq!(file.read_at(1, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..5], b"\0abc\x09");
    }
}
