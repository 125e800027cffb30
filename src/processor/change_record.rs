//! Change records: what prepared but not yet applied transactions will have made of the nodes.
//!
//! Prep judges a request by the tree plus these records. A record is made by prep and retires
//! when the transaction that made it has been applied, so at any moment the two together are the
//! tree as the next request will find it. The root's path is the empty string (N-9).

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use super::pending_usage::{PendingUsage, Usage};
use crate::proto::stat::{StatPersisted, content_crc};
use crate::proto::{AclList, Zxid};
use crate::tree::DataTree;

/// A node as the next request will find it.
#[derive(Debug, Clone)]
pub struct PendingNode {
    /// Its stat.
    pub stat: StatPersisted,
    /// How many children it will have.
    pub num_children: usize,
    /// Its ACL.
    pub acl: AclList,
    /// The CRC of its path and data, once it was needed.
    content_crc: Option<u32>,
    /// Its part of the tree's digest when it was found; none if it is new.
    found: Option<u32>,
    /// The length of its data, unless it is as in the tree.
    data_length: Option<u32>,
}

impl PendingNode {
    /// A node that a create makes.
    pub fn created(stat: StatPersisted, acl: AclList, path: &[u8], data: &[u8]) -> Self {
        let (content_crc, data_length) = (Some(content_crc(path, data)), Some(data.len() as u32));
        PendingNode { stat, num_children: 0, acl, content_crc, found: None, data_length }
    }

    /// Replaces the data: only its CRC and its length are kept.
    pub fn set_data(&mut self, path: &[u8], data: &[u8]) {
        self.content_crc = Some(content_crc(path, data));
        self.data_length = Some(data.len() as u32);
    }

    /// Bytes of its data.
    pub fn data_length(&self, path: &[u8], tree: &DataTree) -> i64 {
        match self.data_length {
            Some(length) => length.into(),
            None => tree_data_length(path, tree).unwrap_or_default(),
        }
    }

    fn digest(&mut self, path: &[u8], tree: &DataTree) -> u32 {
        let content_crc = *self.content_crc.get_or_insert_with(|| {
            let node = tree.node(path).expect("a record without a CRC was made from the tree");
            content_crc(path, node.data().unwrap_or_default())
        });
        self.stat.digest_after(content_crc)
    }
}

#[derive(Debug, Clone)]
struct ChangeRecord {
    path: Bytes,
    /// The hash of the path.
    hash: u64,
    zxid: Zxid,
    /// `None` when the node will be gone.
    node: Option<PendingNode>,
    /// The node's part of the tree's digest.
    digest: u32,
}

/// A change in the order of the changes. Hash and zxid lead to its record, unless a later
/// transaction has replaced that. (Should two paths of one transaction ever share a hash, their
/// records go together all the same, since they came together.)
#[derive(Debug, PartialEq, Eq)]
struct Change {
    zxid: Zxid,
    hash: u64,
    /// Whom the change gives the node to: 0, a session, or a container's or TTL node's marker.
    owner: i64,
}

/// All change records, by path and in the order they were made.
#[derive(Debug)]
pub struct OutstandingChanges {
    by_path: HashTable<ChangeRecord>,
    state: FixedState,
    order: VecDeque<Change>,
    /// Paths of nodes that pending creates give to a session, by session, in the order made.
    ephemerals: HashMap<i64, VecDeque<Bytes>, FixedState>,
    /// What the records of an unfinished transaction replaced, newest last.
    undo: Vec<Undo>,
    retired: u64,
    digest: u64,
    digest_enabled: bool,
    /// What is to come to the quotas' statistics, where they are enforced.
    usage: Option<PendingUsage>,
}

#[derive(Debug)]
enum Undo {
    /// There was no record; the new one has that hash.
    Made(u64),
    /// This was the record.
    Replaced(ChangeRecord),
}

/// Where an unfinished transaction began, to go back to if a part fails.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    digest: u64,
    order: usize,
}

impl OutstandingChanges {
    /// No changes, on a tree with that digest.
    pub fn new(digest: u64, digest_enabled: bool, hash_seed: u64) -> Self {
        let state = FixedState::with_seed(hash_seed);
        OutstandingChanges {
            by_path: HashTable::new(),
            order: VecDeque::new(),
            ephemerals: HashMap::with_hasher(state.clone()),
            state,
            undo: Vec::new(),
            retired: 0,
            digest,
            digest_enabled,
            usage: None,
        }
    }

    /// Also keeps what is to come to the quotas' statistics.
    pub fn with_usage(mut self, hash_seed: u64) -> Self {
        self.usage = Some(PendingUsage::new(hash_seed));
        self
    }

    /// What transactions above `applied` will add to the statistics of `quota`.
    pub fn usage(&mut self, quota: &[u8], applied: Zxid) -> Usage {
        self.usage.as_mut().map_or(Usage::default(), |usage| usage.usage(quota, applied))
    }

    /// The tree's digest after everything that is outstanding.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many records wait for their transactions.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether everything prepared has been applied.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many records have retired so far.
    pub fn retired(&self) -> u64 {
        self.retired
    }

    /// The node at `path` (the root is empty) as the next request will find it.
    pub fn node(&self, path: &[u8], tree: &DataTree) -> Option<PendingNode> {
        if let Some(record) = self.record(path) {
            return record.node.clone();
        }
        let node = tree.node(path)?;
        Some(PendingNode {
            stat: node.persisted(),
            num_children: node.num_children(),
            acl: node.acl().clone(),
            content_crc: node.content_crc(),
            found: Some(node.digest()),
            data_length: None,
        })
    }

    /// Whether there will be a node at `path`.
    pub fn exists(&self, path: &[u8], tree: &DataTree) -> bool {
        match self.record(path) {
            Some(record) => record.node.is_some(),
            None => tree.node(path).is_some(),
        }
    }

    fn record(&self, path: &[u8]) -> Option<&ChangeRecord> {
        if self.by_path.is_empty() {
            return None;
        }
        self.by_path.find(self.hash(path), |record| record.path == path)
    }

    fn hash(&self, path: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(path);
        hasher.finish()
    }

    /// Paths that pending changes give to the session `owner`, or gave to it before they took them
    /// away again: what a closeSession must look at besides the tree's ephemerals.
    pub fn ephemeral_paths(&self, owner: i64) -> impl Iterator<Item = &Bytes> {
        self.ephemerals.get(&owner).into_iter().flatten()
    }

    /// Records that `zxid` turns the node at `path` into `node`, or removes it, and carries the
    /// digest forward.
    pub fn put(&mut self, zxid: Zxid, path: Bytes, node: Option<PendingNode>, tree: &DataTree) {
        let mut node = node;
        if self.usage.is_some() && tree.has_quotas() {
            self.book_usage(zxid, &path, node.as_ref(), tree);
        }
        let hash = self.hash(&path);
        let counted = self.digest_enabled && !path.starts_with(b"/zookeeper/");
        let found = node.as_ref().and_then(|node| node.found);
        let after = match &mut node {
            Some(node) if counted => node.digest(&path, tree),
            _ => 0,
        };
        let owner = node.as_ref().map_or(0, |node| node.stat.ephemeral_owner);
        if let Some(node) = &mut node {
            node.found = Some(after);
        }
        if owner != 0 {
            self.ephemerals.entry(owner).or_default().push_back(path.clone());
        }
        self.order.push_back(Change { zxid, hash, owner });
        let record = ChangeRecord { path, hash, zxid, node, digest: after };
        let before = match self.by_path.find_mut(hash, |other| other.path == record.path) {
            Some(place) => {
                let replaced = std::mem::replace(place, record);
                let before = replaced.digest;
                self.undo.push(Undo::Replaced(replaced));
                before
            }
            None => {
                let of_tree = || tree.node(&record.path).map_or(0, |node| node.digest());
                let before = if counted { found.unwrap_or_else(of_tree) } else { 0 };
                self.undo.push(Undo::Made(hash));
                self.by_path.insert_unique(hash, record, |record| record.hash);
                before
            }
        };
        self.digest = self.digest.wrapping_sub(before.into()).wrapping_add(after.into());
    }

    fn book_usage(&mut self, zxid: Zxid, path: &[u8], node: Option<&PendingNode>, tree: &DataTree) {
        let before = match self.record(path) {
            Some(record) => record.node.as_ref().map(|node| node.data_length(path, tree)),
            None => tree_data_length(path, tree),
        };
        let after = node.map(|node| node.data_length(path, tree));
        let count = i64::from(after.is_some()) - i64::from(before.is_some());
        let bytes = after.unwrap_or_default() - before.unwrap_or_default();
        if (count, bytes) != (0, 0)
            && let Some(usage) = &mut self.usage
            && let Some(quota) = tree.quota_of(path)
        {
            usage.book(zxid, quota.path, Usage { count, bytes });
        }
    }

    /// Where a transaction begins. What came before can no longer be undone.
    pub fn mark(&mut self) -> Mark {
        self.undo.clear();
        Mark { digest: self.digest, order: self.order.len() }
    }

    /// Takes back everything since `mark`: a failed multi leaves the records of other requests
    /// exactly as they were (ZOOKEEPER-1624, ZOOKEEPER-2052).
    pub fn roll_back(&mut self, mark: Mark) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Replaced(record) => {
                    let place =
                        self.by_path.find_mut(record.hash, |other| other.path == record.path);
                    *place.expect("a record that replaced another is there") = record;
                }
                Undo::Made(hash) => {
                    let zxid = self.order.back().expect("the change that made it is there").zxid;
                    self.remove(hash, zxid);
                }
            }
        }
        while self.order.len() > mark.order {
            let change = self.order.pop_back().expect("the length was looked at");
            if let Some(usage) = &mut self.usage {
                usage.roll_back(change.zxid);
            }
            self.forget_ephemeral(change.owner, VecDeque::pop_back);
        }
        self.digest = mark.digest;
    }

    /// Retires the records of every transaction up to `applied`.
    pub fn retire(&mut self, applied: Zxid) {
        if let Some(usage) = &mut self.usage {
            usage.retire(applied);
        }
        while self.order.front().is_some_and(|change| change.zxid <= applied) {
            let Change { zxid, hash, owner } =
                self.order.pop_front().expect("the front was looked at");
            self.retired += 1;
            self.forget_ephemeral(owner, VecDeque::pop_front);
            self.remove(hash, zxid);
        }
    }

    /// Removes the record of that hash and transaction, if it is there still.
    fn remove(&mut self, hash: u64, zxid: Zxid) {
        let it = |record: &ChangeRecord| record.hash == hash && record.zxid == zxid;
        if let Ok(found) = self.by_path.find_entry(hash, it) {
            found.remove();
        }
    }

    /// Takes the oldest or the newest path of `owner` out, with the change it belongs to.
    fn forget_ephemeral(
        &mut self,
        owner: i64,
        take: impl Fn(&mut VecDeque<Bytes>) -> Option<Bytes>,
    ) {
        if owner == 0 {
            return;
        }
        let paths = self.ephemerals.get_mut(&owner).expect("every owned change is listed");
        take(paths).expect("every owned change is listed once");
        if paths.is_empty() {
            self.ephemerals.remove(&owner);
        }
    }
}

fn tree_data_length(path: &[u8], tree: &DataTree) -> Option<i64> {
    let node = tree.node(path)?;
    Some(node.data().unwrap_or_default().len() as i64)
}

#[cfg(test)]
mod tests;
