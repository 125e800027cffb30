//! `DataTree`: the nodes as they stand, as readers see them.
//!
//! Reading takes a shared reference and never panics, whatever the path. How a tree changes is in
//! `apply`; the two primitives below it, [`link`](DataTree::link) and
//! [`unlink`](DataTree::unlink), keep the tables of this file in step with the nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::acl_cache::{AclCache, MISSING_ACL, NULL_ACL};
use super::capture::Walk;
use super::id_set::IdSet;
use super::index::Index;
use super::node_store::{NodeStore, ROOT};
use super::quota::Quotas;
use crate::proto::stat::{NodeOwner, OwnerEncoding};
use crate::proto::{Acl, AclList, SessionId, Stat, StatPersisted, acl, path, perms};

/// What a tree depends on besides its transactions.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions {
    /// How container and TTL markers are told from session ids.
    pub owners: OwnerEncoding,
    /// Whether the digest is kept (`digest.enabled`).
    pub digest_enabled: bool,
    /// Seeds the hash tables. Nothing but speed and the order of unordered lists depends on it.
    pub hash_seed: u64,
}

/// The znodes.
pub struct DataTree {
    pub(super) options: TreeOptions,
    pub(super) nodes: NodeStore,
    pub(super) index: Index,
    pub(super) acls: AclCache,
    /// The ACL index that a snapshot gave to a node but did not define.
    pub(super) missing_acls: HashMap<u32, i64, FixedState>,
    ephemerals: HashMap<SessionId, IdSet, FixedState>,
    ephemerals_count: usize,
    /// Containers and TTL nodes.
    perishable: BTreeSet<u32>,
    pub(super) quotas: Quotas,
    /// Bytes of all paths and data.
    data_size: u64,
    pub(super) digest: u64,
    /// The snapshots being taken.
    pub(super) captures: Vec<Arc<Mutex<Walk>>>,
}

impl DataTree {
    /// A tree with nothing but the reserved nodes.
    pub fn new(options: TreeOptions) -> Self {
        let mut tree = DataTree::only_root(options);
        tree.digest_changed(ROOT, b"");
        tree.add_reserved_nodes();
        tree
    }

    /// A tree whose digest does not even count its root yet: what a load starts with.
    pub(super) fn only_root(options: TreeOptions) -> Self {
        let state = FixedState::with_seed(options.hash_seed);
        DataTree {
            options,
            nodes: NodeStore::new(),
            index: Index::new(options.hash_seed),
            acls: AclCache::new(options.hash_seed),
            missing_acls: HashMap::with_hasher(state.clone()),
            ephemerals: HashMap::with_hasher(state),
            ephemerals_count: 0,
            perishable: BTreeSet::new(),
            quotas: Quotas::default(),
            data_size: 0,
            digest: 0,
            captures: Vec::new(),
        }
    }

    /// Adds what is missing of `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`; a
    /// snapshot of 3.4 lacks the last. They are no transaction's work: their parents' counters
    /// stay (C-055).
    pub(super) fn add_reserved_nodes(&mut self) {
        let zero = StatPersisted::default();
        for path in [path::ZOOKEEPER, path::QUOTA] {
            self.add_reserved(path, NULL_ACL, &zero);
        }
        if self.find(path::CONFIG).is_none() {
            let mut read_only = Vec::new();
            acl::write_acl_vector(&[Acl::new(perms::READ, b"world", b"anyone")], &mut read_only);
            let read_only = self.acls.acquire(&read_only).expect("an ACL list just encoded");
            let stat = StatPersisted { aversion: -1, ..zero };
            self.add_reserved(path::CONFIG, read_only, &stat);
        }
    }

    fn add_reserved(&mut self, path: &[u8], acl: u32, stat: &StatPersisted) {
        if self.find(path).is_some() {
            return;
        }
        let (parent, name) = path::split(path).expect("a reserved path has a slash");
        let parent = self.find(parent).expect("a reserved node's parent was added before it");
        let id = self.link(path, parent, name, Some(b""), acl, stat);
        self.digest_changed(id, path);
    }

    /// The node at `path`; `/` and the empty path both name the root. Any bytes may be asked for.
    pub fn node(&self, path: &[u8]) -> Option<Node<'_>> {
        Some(Node { tree: self, id: self.find(path::canonical(path))? })
    }

    /// The id at `path`, where only the empty path names the root.
    pub(super) fn find(&self, path: &[u8]) -> Option<u32> {
        self.index.find(path, &self.nodes)
    }

    /// The sum of the nodes' digests; 0 while digests are switched off.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many nodes there are. (`zk_znode_count` is one more, F-12.)
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes are ephemeral.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals_count
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// The list with that encoding, if a node has it.
    pub fn acl_list(&self, encoded: &[u8]) -> Option<&AclList> {
        self.acls.in_use(encoded)
    }

    /// How many different ACL lists are in use.
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }

    /// The paths of a session's ephemerals, in no particular order.
    pub fn ephemerals_of(&self, session: SessionId) -> Vec<Vec<u8>> {
        let ids = self.ephemeral_ids(session);
        ids.into_iter().flatten().map(|id| self.nodes.path(id)).collect()
    }

    pub(super) fn ephemeral_ids(
        &self,
        session: SessionId,
    ) -> Option<impl Iterator<Item = u32> + '_> {
        Some(self.ephemerals.get(&session)?.iter())
    }

    /// The sessions that own ephemerals, and how many: whether such a session exists is another
    /// question (C-250).
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = (SessionId, usize)> + '_ {
        self.ephemerals.iter().map(|(&session, ids)| (session, ids.len()))
    }

    /// The containers and TTL nodes, each with its place: who stopped at a place goes on with the
    /// next one, whatever has come or gone meanwhile.
    pub fn perishable_from(&self, place: u32) -> impl Iterator<Item = (u32, Node<'_>)> {
        self.perishable.range(place..).map(|&id| (id, Node { tree: self, id }))
    }

    /// How many nodes are below `path`, at any depth (getAllChildrenNumber): a walk.
    pub fn descendants(&self, path: &[u8]) -> Option<usize> {
        let top = self.find(path::canonical(path))?;
        if top == ROOT {
            return Some(self.nodes.len() - 1);
        }
        let mut count = 0;
        let mut waiting = vec![top];
        while let Some(id) = waiting.pop() {
            let children = self.nodes.children(id);
            count += children.len();
            waiting.extend(children);
        }
        Some(count)
    }

    /// How many nodes have an ACL that their snapshot named but did not contain, and that no
    /// transaction has replaced since. They refuse everyone.
    pub fn missing_acls(&self) -> usize {
        self.missing_acls.len()
    }

    /// One node whose ACL is missing, with the index that its snapshot did not define.
    pub fn missing_acl(&self) -> Option<(Vec<u8>, i64)> {
        let (&id, &index) = self.missing_acls.iter().next()?;
        Some((self.nodes.path(id), index))
    }

    /// Makes a node below `parent` and enters it everywhere but in the digest. The ACL's user was
    /// counted before.
    pub(super) fn link(
        &mut self,
        path: &[u8],
        parent: u32,
        name: &[u8],
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> u32 {
        let id = self.nodes.insert(parent, name, data, acl, stat);
        self.index.insert(path, id);
        self.nodes.add_child(parent, id);
        self.data_size += (path.len() + data.unwrap_or_default().len()) as u64;
        self.enter_owner(id, stat.ephemeral_owner);
        id
    }

    /// Removes a childless node from everywhere but the digest.
    pub(super) fn unlink(&mut self, id: u32, path: &[u8]) {
        let owner = self.nodes.owner(id);
        self.leave_owner(id, owner);
        let node = self.nodes.get(id);
        let (parent, acl) = (node.parent, node.acl);
        self.data_size -= (path.len() + node.blob.data().unwrap_or_default().len()) as u64;
        self.index.remove(path, id);
        self.nodes.remove_child(parent, id);
        self.nodes.remove(id);
        self.release_acl(id, acl);
    }

    /// Replaces a node's data, everywhere but in the digest.
    pub(super) fn replace_data(&mut self, id: u32, data: Option<&[u8]>) {
        let before = self.nodes.get(id).blob.data().unwrap_or_default().len() as u64;
        self.data_size = self.data_size - before + data.unwrap_or_default().len() as u64;
        self.nodes.set_data(id, data);
    }

    /// Gives a node another list, whose user was counted before.
    pub(super) fn replace_acl(&mut self, id: u32, acl: u32) {
        let before = std::mem::replace(&mut self.nodes.get_mut(id).acl, acl);
        self.release_acl(id, before);
    }

    fn release_acl(&mut self, id: u32, acl: u32) {
        if acl == MISSING_ACL {
            self.missing_acls.remove(&id);
        }
        self.acls.release(acl);
    }

    pub(super) fn enter_owner(&mut self, id: u32, owner: i64) {
        match self.options.owners.decode(owner) {
            NodeOwner::None => {}
            NodeOwner::Container | NodeOwner::Ttl(_) => drop(self.perishable.insert(id)),
            NodeOwner::Session(session) => {
                self.ephemerals.entry(SessionId(session)).or_default().insert(id);
                self.ephemerals_count += 1;
            }
        }
    }

    fn leave_owner(&mut self, id: u32, owner: i64) {
        let removed = match self.options.owners.decode(owner) {
            NodeOwner::None => true,
            NodeOwner::Container | NodeOwner::Ttl(_) => self.perishable.remove(&id),
            NodeOwner::Session(session) => {
                let session = SessionId(session);
                let removed = self.ephemerals.get_mut(&session).is_some_and(|ids| ids.remove(id));
                if self.ephemerals.get(&session).is_some_and(IdSet::is_empty) {
                    self.ephemerals.remove(&session);
                }
                self.ephemerals_count -= usize::from(removed);
                removed
            }
        };
        assert!(removed, "a node is missing among its owner's");
    }

    pub(super) fn stat(&self, id: u32) -> Stat {
        Node { tree: self, id }.stat()
    }

    pub(super) fn name_of(&self, id: u32) -> &[u8] {
        self.nodes.get(id).blob.name()
    }
}

/// A node, borrowed from the tree.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tree: &'t DataTree,
    id: u32,
}

impl<'t> Node<'t> {
    /// The data; null and empty differ (C-056).
    pub fn data(&self) -> Option<&'t [u8]> {
        self.tree.nodes.get(self.id).blob.data()
    }

    /// The last component of the path; empty for the root.
    pub fn name(&self) -> &'t [u8] {
        self.tree.nodes.get(self.id).blob.name()
    }

    /// The path, built from the names; empty for the root.
    pub fn path(&self) -> Vec<u8> {
        self.tree.nodes.path(self.id)
    }

    /// The stat as clients see it.
    pub fn stat(&self) -> Stat {
        let data_length = self.data().unwrap_or_default().len();
        self.persisted().to_stat(data_length, self.num_children(), self.owner())
    }

    /// The stat as it is stored.
    pub fn persisted(&self) -> StatPersisted {
        self.tree.nodes.persisted(self.id)
    }

    /// Whose the node is, or what kind.
    pub fn owner(&self) -> NodeOwner {
        self.tree.options.owners.decode(self.tree.nodes.owner(self.id))
    }

    /// The ACL.
    pub fn acl(&self) -> &'t AclList {
        self.tree.acls.list(self.tree.nodes.get(self.id).acl)
    }

    /// The ACL as an encoded vector.
    pub fn acl_encoded(&self) -> &'t [u8] {
        self.tree.acls.encoded(self.tree.nodes.get(self.id).acl)
    }

    /// How many children the node has.
    pub fn num_children(&self) -> usize {
        self.tree.nodes.children(self.id).len()
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn child_ids(&self) -> impl ExactSizeIterator<Item = u32> + use<'t> {
        self.tree.nodes.children(self.id)
    }

    /// The children's names, in no particular order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &'t [u8]> + use<'t> {
        let nodes = &self.tree.nodes;
        nodes.children(self.id).map(move |child| nodes.get(child).blob.name())
    }

    /// The node's part of the tree digest; 0 below `/zookeeper/` and while digests are off.
    pub fn digest(&self) -> u32 {
        self.tree.nodes.get(self.id).blob.digest()
    }

    /// The CRC of path and data, if it is at hand: a parent's is kept.
    pub fn content_crc(&self) -> Option<u32> {
        self.tree.nodes.extra(self.id)?.content_crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_has_the_digest_of_java() {
        let options =
            TreeOptions { owners: OwnerEncoding::default(), digest_enabled: true, hash_seed: 1 };
        let tree = DataTree::new(options);
        assert_eq!(tree.digest(), 0x51C6_D660);
        assert_eq!(tree.node_count(), 4);
    }
}
