//! Which snapshots and logs zkserver wrote itself: of old files it may remove those unasked.
//!
//! ```text
//! version-2/zkserver.files      a name a line; in both directories, if they are two
//! ```
//!
//! What always holds:
//! * A file that was there when the directory was opened, and is not on the list, is somebody
//!   else's for as long as the process lives: it was there before zkserver came, or was written
//!   while the directory was back with Apache ZooKeeper, or put there by hand.
//! * A file that appears later is ours, for the directory is locked.
//! * Whatever goes wrong with the list (lost, cut, not written in time before a crash) makes fewer
//!   files ours, never more.
//!
//! A snapshot is listed before it is there, a log when a transaction in it is durable: an empty one
//! would be begun anew, under its old name, by whoever has the directory next. A snapshot that Apache
//! ZooKeeper's start puts in the place of ours shows the same tree, and stays listed.
//!
//! It also remembers, not beyond the process, which snapshots the start found damaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::data_dir::{DataDir, unfinished_name};
use super::disk::{Disk, DiskError};
use super::epoch_files::write_whole;
use super::{snapshot, txn_log};
use crate::proto::Zxid;

const NAME: &str = "zkserver.files";
const HEAD: &str =
    "# Written by zkserver. Unless autopurge.purgeInterval is set it removes no other file.\n";

/// The lists of a data directory.
#[derive(Debug)]
pub struct Ledger {
    snapshots: List,
    /// Of the log directory, if it is another one.
    logs: Option<List>,
    damaged_snapshots: BTreeSet<String>,
}

/// The list of one directory.
#[derive(Debug)]
struct List {
    dir: PathBuf,
    foreign: BTreeSet<String>,
    /// What the file says.
    written: BTreeSet<String>,
    /// The last snapshot that was announced, there or not.
    announced: Option<String>,
    /// No log that begins later was listed yet.
    reached: Zxid,
}

impl Ledger {
    /// Reads the lists. To be called before anything is written to the directory. A list that
    /// cannot be read is as good as none.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn open(dir: &DataDir) -> Result<Self, DiskError> {
        let snapshots = List::open(&**dir.disk(), dir.snapshot_dir())?;
        let one = dir.log_dir() == dir.snapshot_dir();
        let logs = (!one).then(|| List::open(&**dir.disk(), dir.log_dir())).transpose()?;
        Ok(Ledger { snapshots, logs, damaged_snapshots: BTreeSet::new() })
    }

    /// Whether zkserver wrote the snapshot called `name`.
    pub fn is_our_snapshot(&self, name: &str) -> bool {
        !self.snapshots.foreign.contains(name)
    }

    /// Remembers that these snapshots were read and found damaged.
    pub fn note_damaged(&mut self, snapshots: Vec<String>) {
        self.damaged_snapshots.extend(snapshots);
    }

    /// Whether the snapshot called `name` is known to be damaged.
    pub fn is_damaged(&self, name: &str) -> bool {
        self.damaged_snapshots.contains(name)
    }

    /// Whether zkserver wrote the log called `name`.
    pub fn is_our_log(&self, name: &str) -> bool {
        !self.logs.as_ref().unwrap_or(&self.snapshots).foreign.contains(name)
    }

    /// The files that somebody else wrote.
    pub fn foreign_count(&self) -> usize {
        self.snapshots.foreign.len() + self.logs.as_ref().map_or(0, |list| list.foreign.len())
    }

    /// Lists the snapshot `name`, which is about to be written.
    ///
    /// # Errors
    /// The disk's.
    pub fn announce_snapshot(&mut self, disk: &dyn Disk, name: String) -> Result<(), DiskError> {
        self.damaged_snapshots.remove(&name);
        if !self.is_our_snapshot(&name) {
            return Ok(());
        }
        self.snapshots.announced = Some(name);
        self.snapshots.update(disk, Zxid::ZERO)
    }

    /// Writes the lists, if they changed; everything up to `reached` is durable.
    ///
    /// # Errors
    /// The disk's. The lists are as they were, or as they should be.
    pub fn update(&mut self, disk: &dyn Disk, reached: Zxid) -> Result<(), DiskError> {
        self.snapshots.update(disk, reached)?;
        self.logs.as_mut().map_or(Ok(()), |list| list.update(disk, reached))
    }
}

impl List {
    fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, DiskError> {
        let path = dir.join(NAME);
        let text = disk.read(&path).unwrap_or_else(|error| {
            if !error.is_not_found() {
                tracing::warn!("{error}: all files here count as somebody else's");
            }
            Vec::new()
        });
        let listed: BTreeSet<String> =
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        let (written, foreign) = data_files(disk, dir, Zxid(u64::MAX))?
            .into_iter()
            .partition(|name| listed.contains(name));
        Ok(List { dir: dir.to_owned(), foreign, written, announced: None, reached: Zxid::ZERO })
    }

    fn update(&mut self, disk: &dyn Disk, reached: Zxid) -> Result<(), DiskError> {
        self.reached = self.reached.max(reached);
        let there = data_files(disk, &self.dir, self.reached)?;
        let there = there.into_iter().chain(self.announced.clone());
        let ours: BTreeSet<_> = there.filter(|name| !self.foreign.contains(name)).collect();
        if ours == self.written {
            return Ok(());
        }
        let mut text = HEAD.to_owned();
        for name in &ours {
            text.push_str(name);
            text.push('\n');
        }
        write_whole(disk, &self.dir, &unfinished_name(NAME), NAME, text.as_bytes())?;
        self.written = ours;
        Ok(())
    }
}

/// The snapshots in `dir`, and the logs that begin at or before `reached`.
fn data_files(disk: &dyn Disk, dir: &Path, reached: Zxid) -> Result<BTreeSet<String>, DiskError> {
    let is_data = |name: &str| {
        snapshot::is_file_name(name)
            || txn_log::zxid_of_name(name).is_some_and(|first| first <= reached)
    };
    let names = disk.list(dir)?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| is_data(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::persistence::data_dir::DataDirOptions;
    use crate::persistence::disk::RealDisk;

    fn open(root: &Path, log_dir: Option<&str>) -> DataDir {
        let data_log_dir = log_dir.map(|name| root.join(name));
        let options =
            DataDirOptions { data_dir: root.join("data"), data_log_dir, autocreate: true };
        DataDir::open(Arc::new(RealDisk), &options).unwrap()
    }

    fn touch(dir: &Path, name: &str) {
        RealDisk.create_new(&dir.join(name)).unwrap();
    }

    #[test]
    fn what_was_there_is_foreign_and_what_comes_is_ours_beyond_a_restart() {
        for log_dir in [None, Some("log")] {
            let root = tempfile::tempdir().unwrap();
            let dir = open(root.path(), log_dir);
            touch(dir.snapshot_dir(), "snapshot.0");
            touch(dir.log_dir(), "log.1");
            let mut ledger = Ledger::open(&dir).unwrap();
            assert!(!ledger.is_our_snapshot("snapshot.0") && !ledger.is_our_log("log.1"));
            assert_eq!(ledger.foreign_count(), 2);
            touch(dir.snapshot_dir(), "snapshot.5.gz");
            for name in ["log.6", "log.9"] {
                touch(dir.log_dir(), name);
            }
            assert!(ledger.is_our_snapshot("snapshot.5.gz") && ledger.is_our_log("log.9"));
            ledger.update(&RealDisk, Zxid(8)).unwrap();
            drop(dir);
            // Somebody else has it for a while.
            let dir = open(root.path(), log_dir);
            touch(dir.snapshot_dir(), "snapshot.8");
            let ledger = Ledger::open(&dir).unwrap();
            assert!(ledger.is_our_snapshot("snapshot.5.gz") && ledger.is_our_log("log.6"));
            assert!(!ledger.is_our_snapshot("snapshot.8"), "it was not listed");
            assert!(!ledger.is_our_log("log.9"), "nothing in it was durable when it was listed");
            assert!(!ledger.is_our_snapshot("snapshot.0") && !ledger.is_our_log("log.1"));
        }
    }

    #[test]
    fn a_snapshot_is_listed_before_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(root.path(), None);
        let mut ledger = Ledger::open(&dir).unwrap();
        ledger.announce_snapshot(&RealDisk, "snapshot.5".to_owned()).unwrap();
        ledger.update(&RealDisk, Zxid(5)).unwrap();
        touch(dir.snapshot_dir(), "snapshot.5");
        touch(dir.snapshot_dir(), "snapshot.6");
        let mut ledger = Ledger::open(&dir).unwrap();
        assert!(ledger.is_our_snapshot("snapshot.5") && !ledger.is_our_snapshot("snapshot.6"));
        // It takes the place of somebody else's, which showed the same.
        ledger.announce_snapshot(&RealDisk, "snapshot.6".to_owned()).unwrap();
        assert!(!Ledger::open(&dir).unwrap().is_our_snapshot("snapshot.6"));
    }

    #[test]
    fn without_its_list_nothing_is_ours() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(root.path(), None);
        let mut ledger = Ledger::open(&dir).unwrap();
        touch(dir.log_dir(), "log.1");
        ledger.update(&RealDisk, Zxid(1)).unwrap();
        let list = dir.log_dir().join(NAME);
        let text = String::from_utf8(RealDisk.read(&list).unwrap()).unwrap();
        assert_eq!(text, format!("{HEAD}log.1\n"));
        assert!(Ledger::open(&dir).unwrap().is_our_log("log.1"));
        RealDisk.open_for_write(&list).unwrap().write_all_at(0, &[0xff; 100]).unwrap();
        assert!(!Ledger::open(&dir).unwrap().is_our_log("log.1"));
        RealDisk.remove(&list).unwrap();
        assert!(!Ledger::open(&dir).unwrap().is_our_log("log.1"));
    }

    #[test]
    fn the_list_is_written_when_it_changes_and_forgets_what_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(root.path(), None);
        let mut ledger = Ledger::open(&dir).unwrap();
        let list = dir.log_dir().join(NAME);
        ledger.update(&RealDisk, Zxid(1)).unwrap();
        assert!(!RealDisk.exists(&list).unwrap(), "there is nothing to list");
        touch(dir.log_dir(), "log.1");
        touch(dir.log_dir(), "snapshot.1");
        ledger.update(&RealDisk, Zxid(1)).unwrap();
        RealDisk.remove(&dir.log_dir().join("log.1")).unwrap();
        ledger.update(&RealDisk, Zxid(1)).unwrap();
        assert_eq!(RealDisk.read(&list).unwrap(), format!("{HEAD}snapshot.1\n").as_bytes());
    }
}
