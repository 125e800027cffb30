//! The watching connections: each with the paths it watches.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use std::hash::BuildHasher;

use super::id_set::IdSet;
use super::slab::Slab;
use crate::proto::ConnectionId;

const SHARD_BITS: u32 = 4;
const SHARDS: usize = 1 << SHARD_BITS;
/// A slot fits above the four bits of the kinds.
const SLOT_LIMIT: u32 = 1 << 28;

/// A connection's watched paths; elements are [`PathRef`]s.
type Paths = IdSet<0>;

/// Connections by id and by slot. A slot is a small number that stands for the connection in the
/// path's sets; it is valid as long as the connection watches anything.
///
/// Locks here are taken while a path shard is locked, never the other way round.
#[derive(Debug)]
pub(super) struct Connections {
    hasher: FixedState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    watching: Slab<Watching>,
    by_id: HashTable<u32>,
}

#[derive(Debug)]
struct Watching {
    id: ConnectionId,
    paths: Paths,
}

// A connection with a single watch pays for every word here.
const _: () = assert!(size_of::<Option<Watching>>() == 24);

/// A watched path's place, for the connection's set: 1 more than its index in the shard, and the
/// shard in the highest bits, so that sorted ones come shard by shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathRef(u32);

impl PathRef {
    const INDEX_BITS: u32 = 32 - SHARD_BITS;

    pub(super) fn new(shard: usize, index: u32) -> Self {
        assert!(index < (1 << Self::INDEX_BITS) - 1, "a shard has fewer than 2^28 paths");
        PathRef((shard as u32) << Self::INDEX_BITS | (index + 1))
    }

    pub(super) fn shard(self) -> usize {
        (self.0 >> Self::INDEX_BITS) as usize
    }

    pub(super) fn index(self) -> u32 {
        (self.0 & ((1 << Self::INDEX_BITS) - 1)) - 1
    }
}

impl Connections {
    pub(super) fn new(hasher: FixedState) -> Self {
        Connections { hasher, shards: Default::default() }
    }

    /// Notes that the connection watches the path, and gives its slot.
    pub(super) fn add(&self, id: ConnectionId, path: PathRef) -> u32 {
        let (number, hash) = self.place(id);
        let mut shard = self.shards[number].lock();
        let index = shard.find(hash, id).unwrap_or_else(|| shard.insert(&self.hasher, hash, id));
        shard.watching(index).paths.insert(path.0);
        slot(number, index)
    }

    /// The connection's slot, if it watches anything.
    pub(super) fn slot(&self, id: ConnectionId) -> Option<u32> {
        let (number, hash) = self.place(id);
        let index = self.shards[number].lock().find(hash, id)?;
        Some(slot(number, index))
    }

    /// Whose slot it is. The slot must have been found in a path's set under that path's lock.
    pub(super) fn id(&self, slot: u32) -> ConnectionId {
        self.shards[slot as usize % SHARDS].lock().watching(slot >> SHARD_BITS).id
    }

    /// The connection no longer watches the path: returns who it is, and gives its slot up if
    /// that was its last. The slot must have been found as for [`id`](Self::id).
    pub(super) fn forget(&self, slot: u32, path: PathRef) -> ConnectionId {
        let mut shard = self.shards[slot as usize % SHARDS].lock();
        let index = slot >> SHARD_BITS;
        let watching = shard.watching(index);
        let id = watching.id;
        // While the connection is being removed its set is gone already, and its slot not yet.
        if watching.paths.remove(path.0) && watching.paths.is_empty() {
            shard.remove(&self.hasher, index);
        }
        id
    }

    /// Takes a connection's paths away and returns them with its slot, which stays reserved until
    /// [`release`](Self::release).
    pub(super) fn take(&self, id: ConnectionId) -> Option<(u32, Vec<PathRef>)> {
        let (number, hash) = self.place(id);
        let mut shard = self.shards[number].lock();
        let index = shard.find(hash, id)?;
        let paths = std::mem::take(&mut shard.watching(index).paths);
        Some((slot(number, index), paths.iter().map(PathRef).collect()))
    }

    /// Gives the slot of a taken connection up, once no path's set contains it.
    pub(super) fn release(&self, slot: u32) {
        let mut shard = self.shards[slot as usize % SHARDS].lock();
        let index = slot >> SHARD_BITS;
        let is_done = shard.watching(index).paths.is_empty();
        assert!(is_done, "a connection sets no watch while its watches are being removed");
        shard.remove(&self.hasher, index);
    }

    /// How many connections watch anything.
    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().watching.len()).sum()
    }

    fn place(&self, id: ConnectionId) -> (usize, u64) {
        let hash = self.hasher.hash_one(id);
        // Not the bits that the tables use: those are the highest and the lowest.
        ((hash >> 32) as usize % SHARDS, hash)
    }
}

impl Shard {
    fn find(&self, hash: u64, id: ConnectionId) -> Option<u32> {
        let is_it = |index: &u32| self.watching.get(*index).is_some_and(|w| w.id == id);
        self.by_id.find(hash, is_it).copied()
    }

    fn insert(&mut self, hasher: &FixedState, hash: u64, id: ConnectionId) -> u32 {
        let index = self.watching.insert(Watching { id, paths: Paths::default() });
        let watching = &self.watching;
        self.by_id.insert_unique(hash, index, |index| {
            hasher.hash_one(watching.get(*index).expect("the index names living slots").id)
        });
        index
    }

    fn remove(&mut self, hasher: &FixedState, index: u32) {
        let hash = hasher.hash_one(self.watching(index).id);
        let entry = self.by_id.find_entry(hash, |other| *other == index);
        entry.expect("a living slot is in the index").remove();
        self.watching.remove(index);
        if self.by_id.is_empty() {
            self.by_id = HashTable::new();
        }
    }

    fn watching(&mut self, index: u32) -> &mut Watching {
        self.watching.get_mut(index).expect("a slot lives as long as a path's set contains it")
    }
}

fn slot(shard: usize, index: u32) -> u32 {
    assert!(index < SLOT_LIMIT >> SHARD_BITS, "fewer than 2^28 connections watch");
    index << SHARD_BITS | shard as u32
}
