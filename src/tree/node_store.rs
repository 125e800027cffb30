//! Where the nodes are: 64 bytes each, under 32-bit ids, named by their place below a parent.
//!
//! ```text
//! NodeRecord (64 B)                              Extra (56 B), few nodes have one
//! czxid mzxid ctime mtime              4 × 8     pzxid, ephemeralOwner          2 × 8
//! blob ──▶ digest, name length, name, data 16    cversion, aversion             2 × 4
//! parent version extra acl             4 × 4     CRC of path and data (or none)     8
//!                  └──────────────────────────▶  children ──▶ ids                  24
//! ```
//!
//! A node without an `Extra` is a leaf whose pzxid is its czxid, and whose cversion, aversion and
//! owner are 0: what a million plain leaves are. No path is stored; it is the names on the way up
//! to the root, which alone is its own parent.

use super::blob::Blob;
use super::id_set::{IdSet, Iter};
use super::slab::{Slab, Slot};
use crate::proto::{StatPersisted, Zxid};

/// The root's id: it is made first and never removed.
pub(super) const ROOT: u32 = 0;

/// A node. Its fields are as `StatPersisted` names them.
pub(super) struct NodeRecord {
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) blob: Blob,
    pub(super) parent: u32,
    pub(super) version: i32,
    /// One more than the place in the side table, or 0.
    extra: u32,
    /// An id of the ACL cache.
    pub(super) acl: u32,
}

const _: () = assert!(size_of::<Slot<NodeRecord>>() == 64, "a node is one cache line");
const _: () = assert!(size_of::<Slot<Extra>>() == 56);

/// What few nodes need.
pub(super) struct Extra {
    pub(super) pzxid: Zxid,
    pub(super) owner: i64,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    /// The part of the digest that a change of the stat does not touch; none until it is needed.
    pub(super) content_crc: Option<u32>,
    pub(super) children: IdSet,
}

/// All nodes.
pub(super) struct NodeStore {
    nodes: Slab<NodeRecord>,
    extras: Slab<Extra>,
}

impl NodeStore {
    /// Only the root, with empty data and a stat of zeros.
    pub(super) fn new() -> Self {
        let mut store = NodeStore { nodes: Slab::new(), extras: Slab::new() };
        let root = store.insert(ROOT, b"", Some(b""), 0, &StatPersisted::default());
        assert!(root == ROOT, "the root is the first node");
        store
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every id given out so far is below this.
    pub(super) fn limit(&self) -> u32 {
        self.nodes.limit()
    }

    /// The node with that id; it must be there.
    pub(super) fn get(&self, id: u32) -> &NodeRecord {
        &self.nodes[id]
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut NodeRecord {
        &mut self.nodes[id]
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.nodes.get(id).is_some()
    }

    /// Makes a node. The parent's children are not told ([`add_child`](Self::add_child)).
    pub(super) fn insert(
        &mut self,
        parent: u32,
        name: &[u8],
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> u32 {
        let id = self.nodes.insert(NodeRecord {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            blob: Blob::new(name, data),
            parent,
            version: stat.version,
            extra: 0,
            acl,
        });
        self.set_rare(id, stat);
        id
    }

    /// Sets the fields that a plain leaf has not.
    fn set_rare(&mut self, id: u32, stat: &StatPersisted) {
        let plain = stat.pzxid == stat.czxid
            && stat.cversion == 0
            && stat.aversion == 0
            && stat.ephemeral_owner == 0;
        if plain && self.nodes[id].extra == 0 {
            return;
        }
        let extra = self.extra_mut(id);
        extra.pzxid = stat.pzxid;
        extra.owner = stat.ephemeral_owner;
        extra.cversion = stat.cversion;
        extra.aversion = stat.aversion;
    }

    /// Sets the whole stat.
    pub(super) fn set_persisted(&mut self, id: u32, stat: &StatPersisted) {
        self.set_rare(id, stat);
        let node = &mut self.nodes[id];
        node.czxid = stat.czxid;
        node.mzxid = stat.mzxid;
        node.ctime = stat.ctime;
        node.mtime = stat.mtime;
        node.version = stat.version;
    }

    /// Frees a node that has no children left.
    pub(super) fn remove(&mut self, id: u32) {
        assert!(id != ROOT, "the root is never removed");
        assert!(self.children(id).len() == 0, "a node is removed while it has children");
        let node = self.nodes.remove(id);
        if node.extra != 0 {
            self.extras.remove(node.extra - 1);
        }
    }

    pub(super) fn extra(&self, id: u32) -> Option<&Extra> {
        match self.nodes[id].extra {
            0 => None,
            place => Some(&self.extras[place - 1]),
        }
    }

    /// The node's rare fields, made on first use.
    pub(super) fn extra_mut(&mut self, id: u32) -> &mut Extra {
        let node = &mut self.nodes[id];
        if node.extra == 0 {
            let place = self.extras.insert(Extra {
                pzxid: node.czxid,
                owner: 0,
                cversion: 0,
                aversion: 0,
                content_crc: None,
                children: IdSet::new(),
            });
            node.extra = place + 1;
        }
        &mut self.extras[node.extra - 1]
    }

    pub(super) fn add_child(&mut self, parent: u32, child: u32) {
        self.extra_mut(parent).children.insert(child);
    }

    pub(super) fn remove_child(&mut self, parent: u32, child: u32) {
        let removed = self.extra_mut(parent).children.remove(child);
        assert!(removed, "a node is missing among its parent's children");
    }

    pub(super) fn children(&self, id: u32) -> Iter<'_> {
        static NONE: IdSet = IdSet::new();
        self.extra(id).map_or(&NONE, |extra| &extra.children).iter()
    }

    /// Sets the data, and forgets what was computed from the old one.
    pub(super) fn set_data(&mut self, id: u32, data: Option<&[u8]>) {
        let node = &mut self.nodes[id];
        node.blob.set_data(data);
        if node.extra != 0 {
            self.extras[node.extra - 1].content_crc = None;
        }
    }

    pub(super) fn owner(&self, id: u32) -> i64 {
        self.extra(id).map_or(0, |extra| extra.owner)
    }

    pub(super) fn persisted(&self, id: u32) -> StatPersisted {
        let node = &self.nodes[id];
        let (pzxid, cversion, aversion, ephemeral_owner) = match self.extra(id) {
            None => (node.czxid, 0, 0, 0),
            Some(extra) => (extra.pzxid, extra.cversion, extra.aversion, extra.owner),
        };
        StatPersisted {
            czxid: node.czxid,
            mzxid: node.mzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        }
    }

    /// Whether the node's path is `path`. Nothing is built: the names are taken off its end.
    pub(super) fn has_path(&self, mut id: u32, path: &[u8]) -> bool {
        let mut rest = path;
        while id != ROOT {
            let node = &self.nodes[id];
            let Some(before) = rest.strip_suffix(node.blob.name()) else { return false };
            let Some(before) = before.strip_suffix(b"/") else { return false };
            rest = before;
            id = node.parent;
        }
        rest.is_empty()
    }

    /// Bytes of the node's path; 0 for the root.
    pub(super) fn path_length(&self, mut id: u32) -> usize {
        let mut length = 0;
        while id != ROOT {
            let node = &self.nodes[id];
            length += 1 + node.blob.name().len();
            id = node.parent;
        }
        length
    }

    /// Appends the node's path; nothing for the root.
    pub(super) fn append_path(&self, mut id: u32, out: &mut Vec<u8>) {
        let mut end = out.len() + self.path_length(id);
        out.resize(end, 0);
        while id != ROOT {
            let node = &self.nodes[id];
            let name = node.blob.name();
            let start = end - name.len();
            out[start..end].copy_from_slice(name);
            out[start - 1] = b'/';
            end = start - 1;
            id = node.parent;
        }
    }

    /// The node's path; empty for the root.
    pub(super) fn path(&self, id: u32) -> Vec<u8> {
        let mut path = Vec::new();
        self.append_path(id, &mut path);
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_leaf_needs_no_extra() {
        let mut store = NodeStore::new();
        let stat = StatPersisted { czxid: Zxid(7), pzxid: Zxid(7), ..Default::default() };
        let leaf = store.insert(ROOT, b"a", None, 0, &stat);
        assert!(store.extra(leaf).is_none());
        assert_eq!(store.persisted(leaf), stat);
        let stat = StatPersisted { ephemeral_owner: 5, ..stat };
        let ephemeral = store.insert(ROOT, b"b", None, 0, &stat);
        assert_eq!(store.persisted(ephemeral), stat);
        store.remove(ephemeral);
        assert_eq!(store.extras.len(), 0);
    }

    #[test]
    fn paths_are_built_and_compared_from_the_names() {
        let mut store = NodeStore::new();
        let a = store.insert(ROOT, b"a", None, 0, &StatPersisted::default());
        let ab = store.insert(a, b"bc", None, 0, &StatPersisted::default());
        assert_eq!((store.path(ROOT), store.path(ab)), (b"".to_vec(), b"/a/bc".to_vec()));
        assert!(store.has_path(ab, b"/a/bc") && store.has_path(ROOT, b""));
        for other in [&b""[..], b"/a", b"/a/b", b"a/bc", b"/a/a/bc", b"/abc", b"//a/bc", b"/a/bc/"]
        {
            assert!(!store.has_path(ab, other), "{}", other.escape_ascii());
        }
    }
}
