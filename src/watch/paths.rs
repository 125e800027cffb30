//! One shard of the watched paths: each with its watchers.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use std::hash::BuildHasher;

use super::Kinds;
use super::id_set::IdSet;
use super::slab::Slab;

/// A path's watchers: the connection's slot above the four bits of its [`Kinds`].
pub(super) type Watchers = IdSet<4>;

/// A watcher as an element of [`Watchers`].
pub(super) fn watcher(slot: u32, kinds: Kinds) -> u32 {
    slot << 4 | kinds.bits()
}

/// The slot and the kinds of a watcher.
pub(super) fn slot_and_kinds(watcher: u32) -> (u32, Kinds) {
    (watcher >> 4, Kinds::from_bits(watcher))
}

#[derive(Debug)]
pub(super) struct WatchedPath {
    pub(super) path: Box<[u8]>,
    pub(super) watchers: Watchers,
}

// A million distinct watches pay for every word here.
const _: () = assert!(size_of::<Option<WatchedPath>>() == 32);

/// Paths by text and by index. A path is here only while it has a watcher.
#[derive(Debug, Default)]
pub(super) struct PathShard {
    paths: Slab<WatchedPath>,
    by_text: HashTable<u32>,
}

impl PathShard {
    pub(super) fn find(&self, hash: u64, path: &[u8]) -> Option<u32> {
        let has_text = |index: &u32| self.paths.get(*index).is_some_and(|p| *p.path == *path);
        self.by_text.find(hash, has_text).copied()
    }

    pub(super) fn find_or_insert(&mut self, hasher: &FixedState, hash: u64, path: &[u8]) -> u32 {
        let paths = &mut self.paths;
        let text = |index: &u32| &*paths.get(*index).expect("the index names living paths").path;
        let rehash = |index: &u32| hasher.hash_one(text(index));
        match self.by_text.entry(hash, |index| text(index) == path, rehash) {
            TableEntry::Occupied(found) => *found.get(),
            TableEntry::Vacant(vacant) => {
                let new = WatchedPath { path: path.into(), watchers: Watchers::default() };
                let index = paths.insert(new);
                vacant.insert(index);
                index
            }
        }
    }

    /// The watchers of a path found before, under the same lock.
    pub(super) fn watchers(&self, index: u32) -> &Watchers {
        &self.paths.get(index).expect("the path was found under this lock").watchers
    }

    /// The same, to be changed; `None` if the path is gone.
    pub(super) fn watchers_mut(&mut self, index: u32) -> Option<&mut Watchers> {
        self.paths.get_mut(index).map(|watched| &mut watched.watchers)
    }

    /// Forgets the path if nobody watches it any more.
    pub(super) fn remove_if_unwatched(&mut self, hasher: &FixedState, index: u32) {
        let Some(watched) = self.paths.get(index).filter(|w| w.watchers.is_empty()) else { return };
        let hash = hasher.hash_one(&*watched.path);
        let entry = self.by_text.find_entry(hash, |other| *other == index);
        entry.expect("a living path is in the index").remove();
        self.paths.remove(index);
        if self.by_text.is_empty() {
            self.by_text = HashTable::new();
        }
    }

    /// The paths from the index `first` on, with their indexes.
    pub(super) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &WatchedPath)> {
        self.paths.iter_from(first)
    }
}
