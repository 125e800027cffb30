//! From a path to a node's id, without keeping a single path.
//!
//! A table holds ids only; whether an id is the right one is asked of the node's names
//! ([`NodeStore::has_path`]). A table that grows must hash every path again, which is why there
//! are 64 small ones: each pause is bounded by a sixty-fourth of the tree.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::node_store::{NodeStore, ROOT};

const SHARDS: usize = 64;

/// The ids of all nodes but the root, by path.
pub(super) struct Index {
    shards: Vec<HashTable<u32>>,
    state: FixedState,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Index {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            state: FixedState::with_seed(seed),
        }
    }

    /// Makes room for that many more nodes.
    pub(super) fn reserve(&mut self, more: usize, nodes: &NodeStore) {
        let Index { shards, state } = self;
        for shard in shards {
            // The paths are not spread quite evenly.
            shard.reserve(more / SHARDS + more / SHARDS / 16 + 16, rehash(nodes, state));
        }
    }

    /// The node with exactly that path; only the empty one names the root.
    pub(super) fn find(&self, path: &[u8], nodes: &NodeStore) -> Option<u32> {
        if path.is_empty() {
            return Some(ROOT);
        }
        let hash = hash(&self.state, path);
        self.shards[shard(hash)].find(hash, |&id| nodes.has_path(id, path)).copied()
    }

    /// Adds a node whose path is not in the index.
    pub(super) fn insert(&mut self, path: &[u8], id: u32, nodes: &NodeStore) {
        let hash = hash(&self.state, path);
        self.shards[shard(hash)].insert_unique(hash, id, rehash(nodes, &self.state));
    }

    /// Takes a node out, before it is freed.
    pub(super) fn remove(&mut self, path: &[u8], id: u32) {
        let hash = hash(&self.state, path);
        match self.shards[shard(hash)].find_entry(hash, |&other| other == id) {
            Ok(found) => {
                found.remove();
            }
            Err(_) => panic!("node {id} is missing from the index"),
        }
    }
}

fn hash(state: &FixedState, path: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(path);
    hasher.finish()
}

/// A table takes the low bits of a hash as the bucket and the 7 highest as the tag: the shard
/// must be chosen by others, or all of a shard's tags would look alike.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

fn rehash(nodes: &NodeStore, state: &FixedState) -> impl Fn(&u32) -> u64 {
    let scratch = RefCell::new(Vec::new());
    move |&id| {
        let mut path = scratch.borrow_mut();
        path.clear();
        nodes.append_path(id, &mut path);
        hash(state, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::StatPersisted;

    #[test]
    fn every_node_is_found_while_tables_grow_and_shrink() {
        let mut nodes = NodeStore::new();
        let mut index = Index::new(1);
        let path = |n: u32| format!("/node-{n}").into_bytes();
        let mut ids = Vec::new();
        for n in 0..5000 {
            let id = nodes.insert(ROOT, &path(n)[1..], None, 0, &StatPersisted::default());
            index.insert(&path(n), id, &nodes);
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
