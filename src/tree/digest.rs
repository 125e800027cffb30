//! The tree's digest, version 2: the sum of its nodes' digests modulo 2^64.
//!
//! Each node keeps its part. A change takes the old part of each node it touches out of the sum and
//! puts the new one in, so the sum is always that of the tree as it stands. Nodes strictly below
//! `/zookeeper/` count nothing: servers change some of them without a transaction.

use super::data_tree::DataTree;
use crate::proto::stat::content_crc;

/// Whether a node of that path is part of the digest.
pub(super) fn counts(path: &[u8]) -> bool {
    !path.starts_with(b"/zookeeper/")
}

impl DataTree {
    /// Brings a node's part of the sum up to date, after it was made or changed.
    pub(super) fn digest_changed(&mut self, id: u32, path: &[u8]) {
        if !self.options.digest_enabled || !counts(path) {
            return;
        }
        let crc = self.content_crc(id, path);
        let digest = self.nodes.persisted(id).digest_after(crc);
        self.replace_digest(id, digest);
    }

    /// Takes a node out of the sum, before it goes.
    pub(super) fn digest_out(&mut self, id: u32) {
        self.replace_digest(id, 0);
    }

    fn replace_digest(&mut self, id: u32, digest: u32) {
        let before = self.nodes.get_mut(id).blob.replace_digest(digest);
        self.digest = self.digest.wrapping_sub(before.into()).wrapping_add(digest.into());
    }

    /// A parent's stat changes with every child: its data is read once.
    fn content_crc(&mut self, id: u32, path: &[u8]) -> u32 {
        let of_content =
            |tree: &DataTree| content_crc(path, tree.nodes.get(id).blob.data().unwrap_or_default());
        match self.nodes.extra(id) {
            None => of_content(self),
            Some(extra) => extra.content_crc.unwrap_or_else(|| {
                let crc = of_content(self);
                self.nodes.extra_mut(id).content_crc = Some(crc);
                crc
            }),
        }
    }
}
