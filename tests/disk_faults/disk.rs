//! A disk in memory that fails as disks fail, and forgets what was not synced when the power goes.
//!
//! It keeps two worlds: what a running process sees, and what is on the platter. Between the two
//! stand unsynced sectors of 512 bytes and unsynced changes of names. A power cut keeps any subset
//! of either; a killed process loses nothing, for its writes are the system's by then. A sync that
//! fails has written some sectors and forgets the rest, as Linux does: the next one finds nothing to
//! do (ZOOKEEPER-4882).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use zkserver::persistence::disk::{
    BLOCK_BYTES, DirEntry, Disk, DiskError, DiskFile, DiskLock, WriteThroughFile,
};
use zkserver::time::{Clock, Instant};

use crate::random::Random;

const SECTOR: usize = 512;

/// What can be asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Write,
    SetLen,
    Sync,
    SyncDir,
    Create,
    Open,
    Rename,
    Remove,
    List,
    Read,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing of it was done.
    Fails,
    /// Of a write, a beginning was done; of anything else, nothing.
    Short,
    /// Of a write, any sectors; of anything else, nothing.
    Torn,
    /// The power goes in the middle of it.
    PowerCut,
    /// The process is killed before it.
    Kill,
}

/// A fault to come.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The operations it can hit.
    pub hits: Vec<Op>,
    /// Which of them it hits first, from 0.
    pub at: u64,
    /// Whether all later ones fail too.
    pub for_ever: bool,
    pub how: How,
    pub kind: ErrorKind,
}

/// The disk; clones are the same one. It is the clock, too: time passes in its syncs.
#[derive(Clone)]
pub struct FaultDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    fault: Option<Fault>,
    /// Operations that the fault could have hit.
    seen: u64,
    /// Whether the fault has hit.
    hit: bool,
    /// The process is dead or the machine off: everything fails.
    off: bool,
    power_cut: bool,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced: Vec<NameChange>,
    inodes: Vec<Inode>,
    nanos: u64,
    sync_nanos: u64,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        let (NameChange::Create(path, _) | NameChange::Rename(_, path) | NameChange::Remove(path)) =
            self;
        path.parent() == Some(dir)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Create(path, inode) => {
                names.insert(path.clone(), *inode);
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

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    /// Brings the sectors that `reaches` says yes to, and the length, to the platter.
    fn sync(&mut self, mut reaches: impl FnMut() -> bool) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            if reaches() {
                self.copy(sector);
            }
        }
    }

    fn copy(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.now.len()).min(self.durable.len());
        if from < to {
            self.durable[from..to].copy_from_slice(&self.now[from..to]);
        }
    }

    /// What is left after a power cut.
    fn forget(&mut self, random: &mut Random) {
        let (was, is) = (self.durable.len(), self.now.len());
        let length = match random.below(3) {
            _ if was == is => is,
            0 => was,
            1 => is,
            _ => {
                let (least, most) = (was.min(is), was.max(is));
                let within = least + random.below((most - least) as u64 + 1) as usize;
                within.next_multiple_of(SECTOR).min(most)
            }
        };
        self.durable.resize(length, 0);
        // All, none, or any.
        let share = random.below(5);
        for sector in std::mem::take(&mut self.dirty) {
            if random.below(4) < share {
                self.copy(sector);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl FaultDisk {
    pub fn new(random: Random, sync_nanos: u64) -> Self {
        FaultDisk(Arc::new(Mutex::new(State {
            random,
            fault: None,
            seen: 0,
            hit: false,
            off: false,
            power_cut: false,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            inodes: Vec::new(),
            nanos: 0,
            sync_nanos,
        })))
    }

    /// From now on, this will happen.
    pub fn plan(&self, fault: Option<Fault>) {
        let mut state = self.0.lock();
        (state.fault, state.seen, state.hit) = (fault, 0, false);
    }

    /// Whether the planned fault has happened.
    pub fn has_hit(&self) -> bool {
        self.0.lock().hit
    }

    /// The process is gone, and with `power_cut` what was not synced; a new one may begin.
    pub fn restart(&self, power_cut: bool) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.off = false;
        if !std::mem::take(&mut state.power_cut) && !power_cut {
            return;
        }
        for change in std::mem::take(&mut state.unsynced) {
            if state.random.below(2) == 0 {
                change.apply(&mut state.durable_names);
            }
        }
        state.names.clone_from(&state.durable_names);
        for inode in &mut state.inodes {
            inode.forget(&mut state.random);
        }
    }

    /// Flips a bit of any file that has bytes; answers which.
    pub fn flip_a_bit(&self) -> Option<String> {
        let mut state = self.0.lock();
        let state = &mut *state;
        let files: Vec<_> =
            state.names.iter().filter(|(_, inode)| !state.inodes[**inode].now.is_empty()).collect();
        if files.is_empty() {
            return None;
        }
        let (path, inode) = files[state.random.below(files.len() as u64) as usize];
        let Inode { now: bytes, durable, .. } = &mut state.inodes[*inode];
        // Most bytes of a log are zeros that were never used: half of the flips hit what was.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1);
        let within = if state.random.below(4) > 0 { used } else { bytes.len() };
        let (at, bit) = (state.random.below(within as u64) as usize, state.random.below(8));
        bytes[at] ^= 1 << bit;
        durable.clone_from(bytes);
        Some(format!("bit {bit} of byte {at} of {}", path.display()))
    }

    /// The names there are.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    fn file(&self, path: &Path, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(OpenFile { disk: self.clone(), path: path.to_owned(), inode })
    }
}

impl State {
    /// Takes note of an operation: an error if it fails, [`How`] if it fails in the middle.
    fn begin(&mut self, op: Op, verb: &str, path: &Path) -> Result<Option<How>, DiskError> {
        if self.off {
            return Err(DiskError::new(verb, path, io::Error::other("nobody is there any more")));
        }
        let Some(fault) = self.fault.as_ref().filter(|fault| fault.hits.contains(&op)) else {
            return Ok(None);
        };
        let number = self.seen;
        self.seen += 1;
        if number < fault.at || (number > fault.at && !fault.for_ever) {
            return Ok(None);
        }
        self.hit = true;
        match fault.how {
            How::Short | How::Torn if op == Op::Write => Ok(Some(fault.how)),
            How::Fails if op == Op::Sync => Ok(Some(fault.how)),
            How::PowerCut => {
                (self.off, self.power_cut) = (true, true);
                Ok(Some(How::PowerCut))
            }
            How::Kill => {
                self.off = true;
                Err(self.failure(verb, path))
            }
            How::Fails | How::Short | How::Torn => Err(self.failure(verb, path)),
        }
    }

    fn failure(&self, verb: &str, path: &Path) -> DiskError {
        let kind = self.fault.as_ref().map_or(ErrorKind::Other, |fault| fault.kind);
        DiskError::new(verb, path, kind.into())
    }

    /// An operation that is done as a whole, or not at all: a power cut may come on either side.
    fn whole(&mut self, op: Op, verb: &str, path: &Path) -> Result<bool, DiskError> {
        match self.begin(op, verb, path)? {
            None => Ok(true),
            Some(_) if self.random.below(2) == 0 => Err(self.failure(verb, path)),
            Some(_) => Ok(false),
        }
    }

    fn find(&mut self, verb: &str, path: &Path) -> Result<usize, DiskError> {
        let found = self.names.get(path).copied();
        found.ok_or_else(|| DiskError::new(verb, path, ErrorKind::NotFound.into()))
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }
}

struct Unlocked;

impl DiskLock for Unlocked {}

impl Disk for FaultDisk {
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let mut state = self.0.lock();
        state.whole(Op::List, "list the directory", dir)?;
        let within = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, inode): (&PathBuf, &usize)| DirEntry {
            name: path.file_name().expect("a name").to_string_lossy().into_owned(),
            size: state.inodes[*inode].now.len() as u64,
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
        state.whole(Op::Read, "read", path)?;
        let inode = state.find("read", path)?;
        Ok(state.inodes[inode].now.clone())
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.0.lock();
        state.whole(Op::Open, "open", path)?;
        let inode = state.find("open", path)?;
        Ok(self.file(path, inode))
    }

    fn open_for_write(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(path)
    }

    fn open_write_through(
        &self,
        path: &Path,
    ) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
        let mut state = self.0.lock();
        state.whole(Op::Open, "open", path)?;
        let inode = state.find("open", path)?;
        let file = OpenFile { disk: self.clone(), path: path.to_owned(), inode };
        Ok(Some(Box::new(WriteThroughOpenFile(file))))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.0.lock();
        if !state.off && state.names.contains_key(path) {
            return Err(DiskError::new("create", path, ErrorKind::AlreadyExists.into()));
        }
        let survives = state.whole(Op::Create, "create", path)?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(NameChange::Create(path.to_owned(), inode));
        if !survives {
            return Err(state.failure("create", path));
        }
        Ok(self.file(path, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        let survives = state.whole(Op::Rename, "rename", from)?;
        state.find("rename", from)?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        if survives { Ok(()) } else { Err(state.failure("rename", from)) }
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        let survives = state.whole(Op::Remove, "remove", path)?;
        state.find("remove", path)?;
        state.change(NameChange::Remove(path.to_owned()));
        if survives { Ok(()) } else { Err(state.failure("remove", path)) }
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.0.lock();
        let survives = state.whole(Op::SyncDir, "sync the directory", dir)?;
        let state = &mut *state;
        for change in state.unsynced.extract_if(.., |change| change.is_in(dir)) {
            change.apply(&mut state.durable_names);
        }
        if survives { Ok(()) } else { Err(state.failure("sync the directory", dir)) }
    }

    fn create_dir_all(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, DiskError> {
        self.0.lock().whole(Op::Create, "lock", path)?;
        Ok(Some(Box::new(Unlocked)))
    }
}

struct OpenFile {
    disk: FaultDisk,
    path: PathBuf,
    inode: usize,
}

impl DiskFile for OpenFile {
    fn size(&self) -> Result<u64, DiskError> {
        let state = self.disk.0.lock();
        Ok(state.inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut state = self.disk.0.lock();
        state.whole(Op::Read, "read", &self.path)?;
        let rest = state.inodes[self.inode].now.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.disk.0.lock();
        let how = state.begin(Op::Write, "write to", &self.path)?;
        let state = &mut *state;
        let (offset, inode) = (offset as usize, &mut state.inodes[self.inode]);
        match how {
            None => {
                inode.write(offset, bytes);
                return Ok(());
            }
            Some(How::Torn | How::PowerCut) => {
                // Which sectors of it were reached nobody knows.
                let mut at = 0;
                while at < bytes.len() {
                    let n = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
                    if state.random.below(2) == 0 {
                        inode.write(offset + at, &bytes[at..at + n]);
                    }
                    at += n;
                }
            }
            Some(_) => {
                let n = state.random.below(bytes.len() as u64 + 1) as usize;
                inode.write(offset, &bytes[..n]);
            }
        }
        Err(state.failure("write to", &self.path))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut state = self.disk.0.lock();
        let how = state.begin(Op::Sync, "sync", &self.path)?;
        let state = &mut *state;
        state.nanos += state.sync_nanos;
        let (random, inode) = (&mut state.random, &mut state.inodes[self.inode]);
        match how {
            None => {
                inode.sync(|| true);
                Ok(())
            }
            // What is still dirty is decided when the machine comes back.
            Some(How::PowerCut) => Err(state.failure("sync", &self.path)),
            Some(_) => {
                inode.sync(|| random.below(2) == 0);
                Err(state.failure("sync", &self.path))
            }
        }
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync_data()
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        let mut state = self.disk.0.lock();
        let survives = state.whole(Op::SetLen, "set the size of", &self.path)?;
        let inode = &mut state.inodes[self.inode];
        inode.now.resize(size as usize, 0);
        if survives { Ok(()) } else { Err(state.failure("set the size of", &self.path)) }
    }
}

/// One that is written in whole blocks, past the cache.
struct WriteThroughOpenFile(OpenFile);

impl WriteThroughFile for WriteThroughOpenFile {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let begin = offset - offset % BLOCK_BYTES;
        let end = (offset + bytes.len() as u64).next_multiple_of(BLOCK_BYTES);
        assert!(end <= self.0.size()?, "it never grows");
        let mut blocks = vec![0; (end - begin) as usize];
        let (before, rest) = blocks.split_at_mut((offset - begin) as usize);
        self.0.read_at(begin, before)?;
        rest[..bytes.len()].copy_from_slice(bytes);
        self.0.write_all_at(begin, &blocks)?;
        self.0.sync_data()
    }
}

impl Clock for FaultDisk {
    fn now(&self) -> Instant {
        let mono_ms = self.0.lock().nanos / 1_000_000;
        Instant { mono_ms, wall_ms: mono_ms as i64 }
    }

    fn nanos(&self) -> u64 {
        self.0.lock().nanos
    }
}
