//! The tree's digest, version 2: the sum of its nodes' digests modulo 2^64.
//!
//! A change takes the old digest of each node it touches out of the sum and puts the new one in,
//! so the sum is always that of the tree as it stands. Nodes strictly below `/zookeeper/` count
//! nothing: servers change some of them without a transaction.

use super::data_tree::DataTree;
use super::node_store::NodeStore;
use crate::proto::stat::content_crc;

/// Whether a node of that path is part of the digest.
pub(super) fn counts(path: &[u8]) -> bool {
    !path.starts_with(b"/zookeeper/")
}

/// A node's digest, computed from everything it is made of.
pub(super) fn of_node(nodes: &NodeStore, id: u32, path: &[u8]) -> u32 {
    let data = nodes.get(id).blob.data().unwrap_or_default();
    nodes.persisted(id).digest(path, data)
}

impl DataTree {
    /// Takes a node out of the sum, before it changes.
    pub(super) fn digest_out(&mut self, id: u32, path: &[u8]) {
        let digest = self.counted_digest(id, path);
        self.digest = self.digest.wrapping_sub(digest);
    }

    /// Puts a node into the sum, after it was made or changed.
    pub(super) fn digest_in(&mut self, id: u32, path: &[u8]) {
        let digest = self.counted_digest(id, path);
        self.digest = self.digest.wrapping_add(digest);
    }

    fn counted_digest(&mut self, id: u32, path: &[u8]) -> u64 {
        if !self.options.digest_enabled || !counts(path) {
            return 0;
        }
        let Some(extra) = self.nodes.extra(id) else {
            return of_node(&self.nodes, id, path).into();
        };
        // A parent's stat changes with every child: its data is read once.
        let crc = match extra.content_crc {
            Some(crc) => crc,
            None => {
                let crc = content_crc(path, self.nodes.get(id).blob.data().unwrap_or_default());
                self.nodes.extra_mut(id).content_crc = Some(crc);
                crc
            }
        };
        self.nodes.persisted(id).digest_after(crc).into()
    }
}
