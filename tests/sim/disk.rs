//! A server's disk in memory, which forgets what was not synced when the power goes.
//!
//! It keeps two worlds: what a running process sees, and what is on the platter. Between the two
//! stand unsynced sectors of 512 bytes, each with what it was before, and unsynced changes of
//! names. What always holds:
//!
//! * A power cut keeps any of the unsynced sectors, and of each directory's unsynced changes those
//!   up to some point: a file system's journal keeps their order.
//! * A killed process loses nothing: its writes are the system's by then.
//! * A sync that fails has written some sectors and forgets that the others are unsynced, as Linux
//!   does: the next one finds nothing to do (ZOOKEEPER-4882).
//! * After its last operation before a crash ([`SimDisk::die_after`]) every call fails.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use zkserver::persistence::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock};

use crate::random::Random;

const SECTOR: usize = 512;

/// The disk; clones are the same one.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    names: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    unsynced: Vec<NameChange>,
    /// Operations that still succeed; `None`: all.
    left: Option<u64>,
    /// What fails from now on, until it is repaired.
    failing: Option<Failing>,
    /// The process that had the files is gone: its handles are of no use.
    life: u64,
}

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The next write, creation or sync that needs room finds none.
    Full,
    /// Syncs fail.
    Syncs,
    /// Writes fail, some sectors of them done.
    Writes,
}

enum NameChange {
    Create(PathBuf, Arc<Mutex<Inode>>),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        let (NameChange::Create(path, _) | NameChange::Rename(_, path) | NameChange::Remove(path)) =
            self;
        path.parent()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Arc<Mutex<Inode>>>) {
        match self {
            NameChange::Create(path, inode) => {
                names.insert(path.clone(), inode.clone());
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// What a sector was when it was last durable; `None` is zeros, or not there.
type Before = Option<Box<[u8; SECTOR]>>;

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    durable_len: usize,
    dirty: BTreeMap<u32, Before>,
    /// Sectors that a failed sync forgot: they are not durable, and no sync makes them so.
    forgotten: BTreeMap<u32, Before>,
}

impl Inode {
    fn before(&self, sector: u32) -> Before {
        let from = sector as usize * SECTOR;
        let to = (from + SECTOR).min(self.durable_len).min(self.now.len());
        if from >= to {
            return None;
        }
        let mut bytes = [0; SECTOR];
        bytes[..to - from].copy_from_slice(&self.now[from..to]);
        bytes.iter().any(|byte| *byte != 0).then(|| Box::new(bytes))
    }

    fn soil(&mut self, from: usize, to: usize) {
        for sector in (from / SECTOR) as u32..to.div_ceil(SECTOR) as u32 {
            if self.dirty.contains_key(&sector) {
                continue;
            }
            let before = match self.forgotten.remove(&sector) {
                Some(before) => before,
                None => self.before(sector),
            };
            self.dirty.insert(sector, before);
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.soil(offset, end);
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
    }

    fn set_len(&mut self, size: usize) {
        let (least, most) = (size.min(self.now.len()), size.max(self.now.len()));
        self.soil(least, most);
        self.now.resize(size, 0);
    }

    fn sync(&mut self) {
        self.dirty.clear();
        self.durable_len = self.now.len();
    }

    fn fail_sync(&mut self, random: &mut Random) {
        for (sector, before) in std::mem::take(&mut self.dirty) {
            if random.coin() {
                self.forgotten.insert(sector, before);
            }
        }
    }

    /// What is left after a power cut.
    fn forget(&mut self, random: &mut Random) {
        let (was, is) = (self.durable_len, self.now.len());
        let length = match random.below(3) {
            _ if was == is => is,
            0 => was,
            1 => is,
            _ => {
                let (least, most) = (was.min(is), was.max(is));
                let within = random.between(least as u64, most as u64) as usize;
                within.next_multiple_of(SECTOR).min(most)
            }
        };
        self.now.resize(length.max(was), 0);
        // All, none, or any.
        let share = random.below(5);
        for (sector, before) in std::mem::take(&mut self.dirty) {
            if random.below(4) >= share {
                self.restore(sector, before);
            }
        }
        for (sector, before) in std::mem::take(&mut self.forgotten) {
            self.restore(sector, before);
        }
        self.now.truncate(length);
        self.durable_len = length;
    }

    fn restore(&mut self, sector: u32, before: Before) {
        let from = sector as usize * SECTOR;
        let to = (from + SECTOR).min(self.now.len());
        if from >= to {
            return;
        }
        match before {
            None => self.now[from..to].fill(0),
            Some(bytes) => self.now[from..to].copy_from_slice(&bytes[..to - from]),
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(random: Random) -> Self {
        SimDisk(Arc::new(Mutex::new(State {
            random,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            left: None,
            failing: None,
            life: 0,
        })))
    }

    /// Only so many operations succeed from now on, until [`Self::restart`].
    pub fn die_after(&self, operations: u64) {
        self.0.lock().left = Some(operations);
    }

    /// How the disk fails from now on.
    pub fn fail(&self, failing: Option<Failing>) {
        self.0.lock().failing = failing;
    }

    /// Whether nothing fails.
    pub fn is_well(&self) -> bool {
        self.0.lock().failing.is_none()
    }

    /// The process is gone, and with `power_cut` what was not synced; a new one may begin.
    pub fn restart(&self, power_cut: bool) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.left = None;
        state.life += 1;
        if !power_cut {
            return;
        }
        let changes = std::mem::take(&mut state.unsynced);
        let mut kept: BTreeMap<Option<PathBuf>, bool> = BTreeMap::new();
        for change in changes {
            let directory = change.directory().map(Path::to_owned);
            let goes_on = kept.entry(directory).or_insert(true);
            *goes_on &= state.random.below(3) > 0;
            if *goes_on {
                change.apply(&mut state.durable_names);
            }
        }
        state.names.clone_from(&state.durable_names);
        for inode in state.names.values() {
            inode.lock().forget(&mut state.random);
        }
    }

    /// Flips a bit of a file whose name begins so, among the bytes that were used; answers which.
    pub fn rot(&self, prefix: &str, random: &mut Random) -> Option<String> {
        let state = self.0.lock();
        let begins = |path: &Path| path.to_string_lossy().starts_with(prefix);
        let files: Vec<_> = state.names.iter().filter(|(path, _)| begins(path)).collect();
        if files.is_empty() {
            return None;
        }
        let (path, inode) = files[random.below(files.len() as u64) as usize];
        let bytes = &mut inode.lock().now;
        let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
        let (at, bit) = (random.below(used as u64) as usize, random.below(8));
        bytes[at] ^= 1 << bit;
        Some(format!("bit {bit} of byte {at} of {} flipped", path.display()))
    }

    /// Nothing is below `dir` any more, as if the disk was replaced.
    pub fn wipe(&self, dir: &Path) {
        let mut state = self.0.lock();
        state.names.retain(|path, _| !path.starts_with(dir));
        state.durable_names.retain(|path, _| !path.starts_with(dir));
        state.unsynced.retain(|change| !change.directory().is_some_and(|d| d.starts_with(dir)));
        state.life += 1;
    }

    /// These names are not in `dir` any more, nor do they come back.
    pub fn lose(&self, dir: &Path, names: &[&str]) {
        let state = &mut *self.0.lock();
        let is_lost = |path: &Path| {
            path.parent() == Some(dir)
                && path.file_name().is_some_and(|name| names.iter().any(|lost| *lost == name))
        };
        state.names.retain(|path, _| !is_lost(path));
        // What was still to be synced there is.
        state.unsynced.retain(|change| change.directory() != Some(dir));
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        let there = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        state.durable_names.extend(there.map(|(path, inode)| (path.clone(), inode.clone())));
    }

    /// The names there are, each with its size.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.0.lock();
        state.names.iter().map(|(path, inode)| (path.clone(), inode.lock().now.len())).collect()
    }

    fn file(&self, path: &Path, inode: Arc<Mutex<Inode>>, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(OpenFile { disk: self.clone(), path: path.to_owned(), inode, life })
    }
}

impl State {
    fn begin(&mut self, verb: &str, path: &Path) -> Result<(), DiskError> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(DiskError::new(verb, path, io::Error::other("the power is gone"))),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn needs_room(&self, verb: &str, path: &Path) -> Result<(), DiskError> {
        match self.failing {
            Some(Failing::Full) => Err(DiskError::new(verb, path, ErrorKind::StorageFull.into())),
            _ => Ok(()),
        }
    }

    fn find(&self, verb: &str, path: &Path) -> Result<Arc<Mutex<Inode>>, DiskError> {
        let found = self.names.get(path).cloned();
        found.ok_or_else(|| DiskError::new(verb, path, ErrorKind::NotFound.into()))
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }
}

struct Unlocked;

impl DiskLock for Unlocked {}

impl Disk for SimDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let mut state = self.0.lock();
        state.begin("list the directory", dir)?;
        let within = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, inode): (&PathBuf, &Arc<Mutex<Inode>>)| DirEntry {
            name: path.file_name().expect("a name").to_string_lossy().into_owned(),
            size: inode.lock().now.len() as u64,
        };
        Ok(within.map(entry).collect())
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let is_directory = path.ends_with("version-2") || path.parent().is_none();
        Ok(is_directory || self.0.lock().names.contains_key(path))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, DiskError> {
        Ok(path.to_owned())
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let mut state = self.0.lock();
        state.begin("read", path)?;
        Ok(state.find("read", path)?.lock().now.clone())
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.0.lock();
        state.begin("open", path)?;
        let inode = state.find("open", path)?;
        Ok(self.file(path, inode, state.life))
    }

    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(path)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.0.lock();
        state.begin("create", path)?;
        state.needs_room("create", path)?;
        if state.names.contains_key(path) {
            return Err(DiskError::new("create", path, ErrorKind::AlreadyExists.into()));
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        state.change(NameChange::Create(path.to_owned(), inode.clone()));
        Ok(self.file(path, inode, state.life))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        state.begin("rename", from)?;
        state.find("rename", from)?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn is_only_name(&self, path: &Path) -> Result<bool, DiskError> {
        self.0.lock().find("look at", path).map(|_| true)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        state.begin("remove", path)?;
        state.find("remove", path)?;
        state.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        state.begin("sync the directory", dir)?;
        if state.failing == Some(Failing::Syncs) {
            return Err(DiskError::new("sync the directory", dir, io::Error::other("it failed")));
        }
        let state = &mut *state;
        for change in state.unsynced.extract_if(.., |change| change.directory() == Some(dir)) {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn create_dir_all(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        self.0.lock().begin("lock", path)?;
        Ok(Some(Box::new(Unlocked)))
    }
}

struct OpenFile {
    disk: SimDisk,
    path: PathBuf,
    inode: Arc<Mutex<Inode>>,
    life: u64,
}

impl OpenFile {
    fn begin(&self, verb: &str) -> Result<parking_lot::MutexGuard<'_, State>, DiskError> {
        let mut state = self.disk.0.lock();
        if self.life != state.life {
            let gone = io::Error::other("whoever opened it is gone");
            return Err(DiskError::new(verb, &self.path, gone));
        }
        state.begin(verb, &self.path)?;
        Ok(state)
    }
}

impl DiskFile for OpenFile {
    fn size(&self) -> Result<u64, DiskError> {
        Ok(self.inode.lock().now.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        drop(self.begin("read")?);
        let inode = self.inode.lock();
        let rest = inode.now.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.begin("write to")?;
        state.needs_room("write to", &self.path)?;
        let mut inode = self.inode.lock();
        if state.failing != Some(Failing::Writes) {
            inode.write(offset as usize, bytes);
            return Ok(());
        }
        // Which sectors of it were reached nobody knows.
        let (offset, mut at) = (offset as usize, 0);
        while at < bytes.len() {
            let n = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
            if state.random.coin() {
                inode.write(offset + at, &bytes[at..at + n]);
            }
            at += n;
        }
        Err(DiskError::new("write to", &self.path, io::Error::other("it failed")))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut state = self.begin("sync")?;
        let mut inode = self.inode.lock();
        if state.failing == Some(Failing::Syncs) {
            inode.fail_sync(&mut state.random);
            return Err(DiskError::new("sync", &self.path, io::Error::other("it failed")));
        }
        inode.sync();
        Ok(())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync_data()
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        drop(self.begin("set the size of")?);
        self.inode.lock().set_len(size as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(Random::new(seed))
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_kept_lost_or_torn_by_sectors() {
        let path = Path::new("/d/f");
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let disk = disk(seed);
            let file = disk.create_new(path).unwrap();
            file.write_all_at(0, &[1; 3000]).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
            file.write_all_at(1024, &[2; 1024]).unwrap();
            disk.restart(true);
            let bytes = disk.read(path).unwrap();
            assert_eq!(bytes.len(), 3000);
            assert!(bytes[..1024].iter().chain(&bytes[2048..]).all(|byte| *byte == 1));
            let sectors: Vec<u8> = bytes[1024..2048].chunks(SECTOR).map(|s| s[0]).collect();
            assert!(bytes[1024..2048].chunks(SECTOR).all(|s| s.iter().all(|b| *b == s[0])));
            match sectors[..] {
                [2, 2] => kept += 1,
                [1, 1] => lost += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 20 && lost > 20 && torn > 20, "{kept} kept, {lost} lost, {torn} torn");
    }

    #[test]
    fn a_killed_process_loses_nothing() {
        let disk = disk(1);
        let file = disk.create_new(Path::new("/d/f")).unwrap();
        file.write_all_at(0, b"abc").unwrap();
        disk.restart(false);
        assert_eq!(disk.read(Path::new("/d/f")).unwrap(), b"abc");
        assert!(file.write_all_at(0, b"x").is_err(), "the old process writes no more");
    }

    #[test]
    fn names_are_kept_up_to_some_change_of_their_directory() {
        let names = |seed| {
            let disk = disk(seed);
            for name in ["/d/a", "/d/b", "/d/c"] {
                disk.create_new(Path::new(name)).unwrap();
            }
            disk.restart(true);
            disk.files().len()
        };
        let counts: Vec<usize> = (0..60).map(names).collect();
        assert!((0..=3).all(|n| counts.contains(&n)));
        let disk = disk(7);
        disk.create_new(Path::new("/d/tmp")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.rename(Path::new("/d/tmp"), Path::new("/d/f")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.restart(true);
        assert_eq!(disk.files()[0].0, Path::new("/d/f"));
    }

    #[test]
    fn a_failed_sync_forgets_and_the_next_one_does_not_help() {
        let lost = (0..50).filter(|seed| {
            let disk = disk(*seed);
            let file = disk.create_new(Path::new("/d/f")).unwrap();
            file.write_all_at(0, &[0; 1024]).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
            file.write_all_at(0, &[3; 1024]).unwrap();
            disk.fail(Some(Failing::Syncs));
            assert!(file.sync_data().is_err());
            disk.fail(None);
            file.sync_data().unwrap();
            assert_eq!(disk.read(Path::new("/d/f")).unwrap(), [3; 1024], "it is read, though");
            disk.restart(true);
            disk.read(Path::new("/d/f")).unwrap() != [3; 1024]
        });
        assert!(lost.count() > 10);
    }

    #[test]
    fn after_its_last_operation_everything_fails() {
        let disk = disk(1);
        let file = disk.create_new(Path::new("/d/f")).unwrap();
        disk.die_after(1);
        file.write_all_at(0, b"abc").unwrap();
        assert!(file.sync_data().is_err());
        assert!(disk.list(Path::new("/d")).is_err());
        disk.restart(true);
        assert!(disk.list(Path::new("/d")).is_ok());
    }
}
