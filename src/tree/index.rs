//! From a path to a node's id, without keeping a single path.
//!
//! An entry is an id and half of its path's hash; whether an id is the right one is asked of the
//! node's names ([`NodeStore::has_path`]), and only when the half agrees. So a growing table never
//! looks at a node, and a look-up hardly ever at a wrong one.
//!
//! There are 64 tables, so that the pause in which one grows is bounded by a small part of the
//! tree. Their shares of the hashes differ by up to a factor of two: a table doubles when it is
//! full, and tables of equal shares would all do so together and then be half empty together.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::node_store::{NodeStore, ROOT};

const SHARDS: usize = 64;
/// Hashes are dealt to the shards in so many lots.
const LOTS: usize = 4096;

/// A node in the index.
#[derive(Clone, Copy)]
struct Entry {
    id: u32,
    /// The low half of the path's hash.
    hash: u32,
}

/// The ids of all nodes but the root, by path.
pub(super) struct Index {
    shards: Vec<HashTable<Entry>>,
    /// The shard of each lot.
    lots: Box<[u8]>,
    state: FixedState,
}

/// Where a path belongs.
struct Place {
    shard: usize,
    hash: u32,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Index {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            lots: (0..LOTS).map(|lot| shard_of_lot(lot) as u8).collect(),
            state: FixedState::with_seed(seed),
        }
    }

    /// Makes room for that many more nodes.
    pub(super) fn reserve(&mut self, more: usize) {
        let mut lots = [0; SHARDS];
        for &shard in &self.lots {
            lots[usize::from(shard)] += 1;
        }
        for (shard, lots) in self.shards.iter_mut().zip(lots) {
            let share = more * lots / LOTS;
            // The paths are not spread quite evenly.
            shard.reserve(share + share / 32 + 16, |entry| spread(entry.hash));
        }
    }

    /// The node with exactly that path; only the empty one names the root.
    pub(super) fn find(&self, path: &[u8], nodes: &NodeStore) -> Option<u32> {
        if path.is_empty() {
            return Some(ROOT);
        }
        let Place { shard, hash } = self.place(path);
        let is_it = |entry: &Entry| entry.hash == hash && nodes.has_path(entry.id, path);
        self.shards[shard].find(spread(hash), is_it).map(|entry| entry.id)
    }

    /// Adds a node whose path is not in the index.
    pub(super) fn insert(&mut self, path: &[u8], id: u32) {
        let Place { shard, hash } = self.place(path);
        let entry = Entry { id, hash };
        self.shards[shard].insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    /// Takes a node out, before it is freed.
    pub(super) fn remove(&mut self, path: &[u8], id: u32) {
        let Place { shard, hash } = self.place(path);
        match self.shards[shard].find_entry(spread(hash), |entry| entry.id == id) {
            Ok(found) => {
                found.remove();
            }
            Err(_) => panic!("node {id} is missing from the index"),
        }
    }

    fn place(&self, path: &[u8]) -> Place {
        let mut hasher = self.state.build_hasher();
        hasher.write(path);
        let hash = hasher.finish();
        let lot = (hash >> 32) as usize % LOTS;
        Place { shard: usize::from(self.lots[lot]), hash: hash as u32 }
    }
}

/// A table takes the low bits as the bucket and the seven highest as the tag; both come from the
/// half that is kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The shares of the shards go from one to two in equal ratios, so that at any size of the tree
/// some table has just doubled and another is about to.
fn shard_of_lot(lot: usize) -> usize {
    let part = (lot as f64 + 0.5) / LOTS as f64;
    ((1.0 + part).log2() * SHARDS as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::StatPersisted;

    #[test]
    fn shares_differ_by_a_factor_of_two() {
        let lots = |shard| (0..LOTS).filter(|&lot| shard_of_lot(lot) == shard).count();
        assert!((0..SHARDS).all(|shard| lots(shard) > 0));
        assert!(lots(0) * 2 - 8 < lots(SHARDS - 1) && lots(SHARDS - 1) < lots(0) * 2 + 8);
    }

    #[test]
    fn every_node_is_found_while_tables_grow_and_shrink() {
        let mut nodes = NodeStore::new();
        let mut index = Index::new(1);
        let path = |n: u32| format!("/node-{n}").into_bytes();
        let mut ids = Vec::new();
        for n in 0..5000 {
            let id = nodes.insert(ROOT, &path(n)[1..], None, 0, &StatPersisted::default());
            index.insert(&path(n), id);
            ids.push(id);
        }
        for n in 0..5000 {
            assert_eq!(index.find(&path(n), &nodes), Some(ids[n as usize]));
        }
        for n in (0..5000).step_by(2) {
            index.remove(&path(n), ids[n as usize]);
            nodes.remove(ids[n as usize]);
        }
        for n in 0..5000 {
            assert_eq!(index.find(&path(n), &nodes).is_some(), n % 2 == 1);
        }
        assert_eq!(index.find(b"", &nodes), Some(ROOT));
        assert_eq!(index.find(b"/", &nodes), None);
    }
}
