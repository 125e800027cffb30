//! The data directories: where snapshots and logs lie, who may use them, what is in them.
//!
//! ```text
//! dataDir/initialize            an operator's word that an empty database is meant
//! dataDir/version-2/            snapshot.<zxid>
//! dataLogDir/version-2/         log.<zxid>; dataDir's own when no other is given
//! …/version-2/zkserver.lock     held while a server runs
//! …/version-2/tmp.*             being written; of no meaning after a restart
//! ```
//!
//! Epoch files lie beside the snapshots ([`epoch_files`](super::epoch_files)), and for moments the
//! marks of a change of the history ([`history`]).
//!
//! Whoever holds a [`DataDir`] is alone in both directories (C-263), can write to them, and has
//! them to itself: neither holds the other's kind of file (C-258).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskError, DiskLock};
use super::history;
use super::pins::Pins;
use super::snapshot::{self, SnapshotFile};
use super::snapshot_gate::SnapshotGate;
use super::txn_log;
use crate::proto::Zxid;

/// Where the data is to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirOptions {
    /// `dataDir`.
    pub data_dir: PathBuf,
    /// `dataLogDir`; `None` is `dataDir`.
    pub data_log_dir: Option<PathBuf>,
    /// Whether missing directories are created (`datadir.autocreate`).
    pub autocreate: bool,
}

/// The directories of a running server.
pub struct DataDir {
    disk: Arc<dyn Disk>,
    snapshot_dir: PathBuf,
    log_dir: PathBuf,
    pins: Pins,
    snapshot_gate: SnapshotGate,
    _locks: Vec<Box<dyn DiskLock>>,
}

/// A log file's name and what the name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The name in the log directory.
    pub name: String,
    /// The zxid in the name: that of the first record.
    pub first: Zxid,
    /// Bytes, unused room included.
    pub size: u64,
}

/// Why the directories cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DataDirError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "the directory {} does not exist, and datadir.autocreate is off; mount or create it",
        .0.display()
    )]
    Missing(PathBuf),
    #[error("{} is a file, not a directory; dataDir and dataLogDir must name directories", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "the directory {} cannot be written to: {source}; see whose it is, and how it is mounted",
        dir.display()
    )]
    NotWritable { dir: PathBuf, source: DiskError },
    #[error(
        "another server is using the directory {}: it holds {LOCK}; stop it, or give this one a \
         dataDir of its own",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "the snapshot directory {} holds the log {name}: dataDir and dataLogDir may be mixed up; \
         set them right, or move the logs to dataLogDir",
        dir.display()
    )]
    LogAmongSnapshots { dir: PathBuf, name: String },
    #[error(
        "the log directory {} holds the snapshot {name}: dataDir and dataLogDir may be mixed up; \
         set them right, or move the snapshots to dataDir",
        dir.display()
    )]
    SnapshotAmongLogs { dir: PathBuf, name: String },
}

const VERSION: &str = "version-2";
/// Held while a server runs.
pub const LOCK: &str = "zkserver.lock";
const INITIALIZE: &str = "initialize";
/// Begins the name of every file that is not finished. Apache ZooKeeper ignores such names.
const UNFINISHED: &str = "tmp.";

/// The name under which the file `name` is written before it is finished.
pub(super) fn unfinished_name(name: &str) -> String {
    format!("{UNFINISHED}{name}")
}

impl DataDir {
    /// Opens the directories, alone, clears away what an earlier run did not finish writing, and
    /// finishes a change of the history that it had begun.
    ///
    /// # Errors
    /// They are missing, in use, not writable, or mixed up.
    pub fn open(disk: Arc<dyn Disk>, options: &DataDirOptions) -> Result<Self, DataDirError> {
        let log_parent = options.data_log_dir.as_ref().unwrap_or(&options.data_dir);
        let snapshot_dir = versioned(&*disk, &options.data_dir, options.autocreate)?;
        let log_dir = versioned(&*disk, log_parent, options.autocreate)?;
        let (pins, snapshot_gate) = Default::default();
        let mut dir =
            DataDir { disk, snapshot_dir, log_dir, pins, snapshot_gate, _locks: Vec::new() };
        for path in dir.both() {
            let lock = dir.disk.try_lock(&path.join(LOCK)).map_err(|source| {
                match source.source.kind() {
                    std::io::ErrorKind::NotADirectory => DataDirError::NotADirectory(path.clone()),
                    _ => DataDirError::NotWritable { dir: path.clone(), source },
                }
            })?;
            dir._locks.push(lock.ok_or_else(|| DataDirError::InUse(path.clone()))?);
            dir.clear_unfinished(&path)?;
            dir.probe(&path).map_err(|source| DataDirError::NotWritable { dir: path, source })?;
        }
        dir.refuse_mixed_up()?;
        history::finish(&dir).map_err(DiskError::from)?;
        Ok(dir)
    }

    /// The door to the disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where snapshots and epoch files lie.
    pub fn snapshot_dir(&self) -> &Path {
        &self.snapshot_dir
    }

    /// Where logs lie.
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// What of the logs somebody reads.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// What a snapshot passes to get its name.
    pub fn snapshot_gate(&self) -> &SnapshotGate {
        &self.snapshot_gate
    }

    /// The snapshots, oldest first, usable or not. Of two with the same zxid, which show the same
    /// database, the plain one counts as the newer: it is read faster.
    ///
    /// # Errors
    /// The disk's.
    pub fn snapshots(&self) -> Result<Vec<SnapshotFile>, DiskError> {
        let entries = self.disk.list(&self.snapshot_dir)?;
        let mut files: Vec<_> = entries.into_iter().filter_map(snapshot::file_of).collect();
        files.sort_by_key(|file| (file.zxid, file.compression == snapshot::Compression::None));
        Ok(files)
    }

    /// The logs, oldest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn logs(&self) -> Result<Vec<LogFile>, DiskError> {
        let entries = self.disk.list(&self.log_dir)?;
        let mut files: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| {
                let first = txn_log::zxid_of_name(&entry.name)?;
                Some(LogFile { name: entry.name, first, size: entry.size })
            })
            .collect();
        files.sort_by(|a, b| (a.first, &a.name).cmp(&(b.first, &b.name)));
        Ok(files)
    }

    /// Whether an `initialize` file says that an empty database is meant. Apache's server looks
    /// beside the logs while its script writes beside the snapshots; both are looked at here.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_initialize_asked(&self) -> Result<bool, DiskError> {
        for path in self.initialize_files() {
            if self.disk.exists(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the `initialize` file: to be called when the database it asked for is durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_initialize(&self) -> Result<(), DiskError> {
        for path in self.initialize_files() {
            if self.disk.exists(&path)? {
                self.disk.remove(&path)?;
                self.disk.sync_dir(parent(&path))?;
            }
        }
        Ok(())
    }

    fn initialize_files(&self) -> impl Iterator<Item = PathBuf> {
        self.both().into_iter().map(|dir| parent(&dir).join(INITIALIZE))
    }

    /// The two directories, or the one that is both.
    pub(super) fn both(&self) -> Vec<PathBuf> {
        let mut dirs = vec![self.snapshot_dir.clone()];
        if self.log_dir != self.snapshot_dir {
            dirs.push(self.log_dir.clone());
        }
        dirs
    }

    fn clear_unfinished(&self, dir: &Path) -> Result<(), DiskError> {
        for entry in self.disk.list(dir)? {
            if entry.name.starts_with(UNFINISHED) {
                self.disk.remove(&dir.join(entry.name))?;
            }
        }
        Ok(())
    }

    /// A directory that cannot be written to is better found now than with the first write.
    fn probe(&self, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(unfinished_name("probe"));
        self.disk.create_new(&path)?;
        self.disk.remove(&path)
    }

    fn refuse_mixed_up(&self) -> Result<(), DataDirError> {
        if self.log_dir == self.snapshot_dir {
            return Ok(());
        }
        for entry in self.disk.list(&self.snapshot_dir)? {
            if txn_log::zxid_of_name(&entry.name).is_some() {
                let (dir, name) = (self.snapshot_dir.clone(), entry.name);
                return Err(DataDirError::LogAmongSnapshots { dir, name });
            }
        }
        for entry in self.disk.list(&self.log_dir)? {
            if let Some(SnapshotFile { name, .. }) = snapshot::file_of(entry) {
                return Err(DataDirError::SnapshotAmongLogs { dir: self.log_dir.clone(), name });
            }
        }
        Ok(())
    }
}

/// `version-2` below `dir`, created if it may be, under its one true name.
fn versioned(disk: &dyn Disk, dir: &Path, autocreate: bool) -> Result<PathBuf, DataDirError> {
    let path = dir.join(VERSION);
    let no_dir = |error: DiskError| match error.source.kind() {
        std::io::ErrorKind::NotADirectory => DataDirError::NotADirectory(dir.to_owned()),
        _ => error.into(),
    };
    // A name is durable when its directory is synced: so with each level that is created.
    let mut missing = Vec::new();
    for level in path.ancestors().filter(|level| !level.as_os_str().is_empty()) {
        if disk.exists(level).map_err(no_dir)? {
            break;
        }
        missing.push(level);
    }
    if !missing.is_empty() && !autocreate {
        return Err(DataDirError::Missing(path));
    }
    if !missing.is_empty() {
        disk.create_dir_all(&path).map_err(no_dir)?;
    }
    for level in missing {
        let above = level.parent().filter(|above| !above.as_os_str().is_empty());
        disk.sync_dir(above.unwrap_or(Path::new(".")))?;
    }
    Ok(disk.canonical(&path)?)
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a canonical path below version-2 has a parent")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;
    use crate::persistence::faulty_disk::FaultyDisk;

    fn options(root: &Path, log: Option<&str>) -> DataDirOptions {
        DataDirOptions {
            data_dir: root.join("data"),
            data_log_dir: log.map(|name| root.join(name)),
            autocreate: true,
        }
    }

    fn open(options: &DataDirOptions) -> Result<DataDir, DataDirError> {
        DataDir::open(Arc::new(RealDisk), options)
    }

    fn touch(path: PathBuf) {
        RealDisk.create_new(&path).unwrap();
    }

    fn error_of(result: Result<DataDir, DataDirError>) -> String {
        result.err().expect("the directories must be refused").to_string()
    }

    #[test]
    fn missing_directories_are_created_or_refused() {
        let root = tempfile::tempdir().unwrap();
        let no = DataDirOptions { autocreate: false, ..options(root.path(), Some("log")) };
        assert!(error_of(open(&no)).ends_with("datadir.autocreate is off; mount or create it"));
        open(&options(root.path(), Some("log"))).unwrap();
        open(&no).unwrap();
    }

    #[test]
    fn every_level_that_is_created_is_made_durable() {
        let root = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let options =
            DataDirOptions { data_dir: root.path().join("a/b"), ..options(root.path(), None) };
        DataDir::open(Arc::new(disk.clone()), &options).unwrap();
        let synced = ["a/b", "a", ""].map(|level| root.path().join(level));
        assert_eq!(disk.dirs_synced(), synced);
    }

    #[test]
    fn what_is_no_directory_is_refused_in_plain_words() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path().join("data"));
        let error = error_of(open(&options(root.path(), None)));
        assert!(error.contains("data is a file, not a directory; "), "{error}");
        RealDisk.remove(&root.path().join("data")).unwrap();
        RealDisk.create_dir_all(&root.path().join("data")).unwrap();
        let link = root.path().join("data/version-2");
        std::os::unix::fs::symlink("/nowhere/at/all", link).unwrap();
        let error = error_of(open(&options(root.path(), None)));
        assert!(error.contains("version-2: it is a link to "), "{error}");
        assert!(error.ends_with("/nowhere/at/all, which is not there"), "{error}");
    }

    #[test]
    fn a_second_server_is_refused_even_if_it_shares_one_directory() {
        let root = tempfile::tempdir().unwrap();
        let first = open(&options(root.path(), Some("log"))).unwrap();
        let same = open(&options(root.path(), Some("log")));
        assert!(error_of(same).starts_with("another server is using the directory "));
        let shares_log =
            DataDirOptions { data_dir: root.path().join("b"), ..options(root.path(), Some("log")) };
        assert!(error_of(open(&shares_log)).starts_with("another server is using the directory "));
        drop(first);
        open(&options(root.path(), Some("log"))).unwrap();
    }

    #[test]
    fn mixed_up_directories_are_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(open(&options(root.path(), Some("log"))).unwrap());
        touch(root.path().join("data/version-2/log.1"));
        let error = error_of(open(&options(root.path(), Some("log"))));
        assert!(error.contains("holds the log log.1"), "{error}");
        open(&options(root.path(), None)).unwrap();
        let swapped = DataDirOptions {
            data_dir: root.path().join("log"),
            ..options(root.path(), Some("data"))
        };
        drop(open(&swapped).unwrap());
        touch(root.path().join("data/version-2/snapshot.2.gz"));
        let error = error_of(open(&swapped));
        assert!(error.contains("holds the snapshot snapshot.2.gz"), "{error}");
    }

    #[test]
    fn one_directory_by_two_names_is_one() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(&options(root.path(), Some("data/../data"))).unwrap();
        assert_eq!(dir.log_dir(), dir.snapshot_dir());
    }

    #[test]
    fn files_are_listed_by_zxid_and_what_was_unfinished_is_cleared_away() {
        let root = tempfile::tempdir().unwrap();
        drop(open(&options(root.path(), None)).unwrap());
        let dir = root.path().join("data/version-2");
        for name in [
            "log.10",
            "log.9",
            "log.",
            "log.x",
            "log.1.bak",
            "snapshot.a",
            "snapshot.100000000",
            "snapshot.9.snappy",
            "snapshot.9.zip",
            "tmp.snapshot.b",
            "acceptedEpoch",
        ] {
            touch(dir.join(name));
        }
        let opened = open(&options(root.path(), None)).unwrap();
        let logs: Vec<_> = opened.logs().unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(logs, ["log.9", "log.10"]);
        let snapshots: Vec<_> =
            opened.snapshots().unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(snapshots, ["snapshot.9.snappy", "snapshot.a", "snapshot.100000000"]);
        assert!(!dir.join("tmp.snapshot.b").exists());
    }

    #[test]
    fn initialize_is_found_beside_either_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(&options(root.path(), Some("log"))).unwrap();
        assert!(!dir.is_initialize_asked().unwrap());
        for beside in ["data", "log"] {
            touch(root.path().join(beside).join("initialize"));
            assert!(dir.is_initialize_asked().unwrap());
            dir.remove_initialize().unwrap();
            assert!(!dir.is_initialize_asked().unwrap());
        }
    }
}
