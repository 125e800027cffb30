//! Change records: what prepared but not yet applied transactions will have made of the nodes.
//!
//! Prep judges a request by the tree plus these records. A record is made by prep and retires
//! when the transaction that made it has been applied, so at any moment the two together are the
//! tree as the next request will find it. The root's path is the empty string (N-9).

use std::collections::VecDeque;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

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
    prefix: Option<u32>,
}

impl PendingNode {
    /// A node that a create makes.
    pub fn created(stat: StatPersisted, acl: AclList, path: &[u8], data: &[u8]) -> Self {
        PendingNode { stat, num_children: 0, acl, prefix: Some(content_crc(path, data)) }
    }

    /// Replaces the data: only its CRC is kept.
    pub fn set_data(&mut self, path: &[u8], data: &[u8]) {
        self.prefix = Some(content_crc(path, data));
    }

    fn digest(&mut self, path: &[u8], tree: &DataTree) -> u32 {
        let prefix = *self.prefix.get_or_insert_with(|| {
            let node = tree.node(path).expect("a record without a CRC was made from the tree");
            content_crc(path, node.data().unwrap_or_default())
        });
        self.stat.digest_after(prefix)
    }
}

#[derive(Debug, Clone)]
struct ChangeRecord {
    zxid: Zxid,
    /// `None` when the node will be gone.
    node: Option<PendingNode>,
}

/// A change in the order of the changes.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    zxid: Zxid,
    path: Bytes,
    /// Whom the change gives the node to: 0, a session, or a container's or TTL node's marker.
    owner: i64,
}

/// All change records, by path and in the order they were made.
#[derive(Debug)]
pub struct OutstandingChanges {
    by_path: HashMap<Bytes, ChangeRecord, FixedState>,
    order: VecDeque<Change>,
    /// Paths of nodes that pending creates give to a session, by session, in the order made.
    ephemerals: HashMap<i64, VecDeque<Bytes>, FixedState>,
    /// What the records of an unfinished multi replaced, newest last.
    undo: Vec<(Bytes, Option<ChangeRecord>)>,
    retired: u64,
    digest: u64,
    digest_enabled: bool,
}

/// Where an unfinished multi began, to go back to if a part fails.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    digest: u64,
    order: usize,
}

impl OutstandingChanges {
    /// No changes, on a tree with that digest.
    pub fn new(digest: u64, digest_enabled: bool, hash_seed: u64) -> Self {
        OutstandingChanges {
            by_path: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            order: VecDeque::new(),
            ephemerals: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            undo: Vec::new(),
            retired: 0,
            digest,
            digest_enabled,
        }
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
        if let Some(record) = self.by_path.get(path) {
            return record.node.clone();
        }
        let node = tree.node(path)?;
        Some(PendingNode {
            stat: node.persisted(),
            num_children: node.num_children(),
            acl: node.acl().clone(),
            prefix: None,
        })
    }

    /// Whether there will be a node at `path`.
    pub fn exists(&self, path: &[u8], tree: &DataTree) -> bool {
        match self.by_path.get(path) {
            Some(record) => record.node.is_some(),
            None => tree.node(path).is_some(),
        }
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
        if self.digest_enabled && !path.starts_with(b"/zookeeper/") {
            let before = match self.by_path.get_mut(&path) {
                Some(record) => record.node.as_mut().map_or(0, |n| n.digest(&path, tree)),
                None => tree.node(&path).map_or(0, |n| n.digest()),
            };
            let after = node.as_mut().map_or(0, |n| n.digest(&path, tree));
            self.digest =
                self.digest.wrapping_sub(u64::from(before)).wrapping_add(u64::from(after));
        }
        let owner = node.as_ref().map_or(0, |node| node.stat.ephemeral_owner);
        if owner != 0 {
            self.ephemerals.entry(owner).or_default().push_back(path.clone());
        }
        let replaced = self.by_path.insert(path.clone(), ChangeRecord { zxid, node });
        self.order.push_back(Change { zxid, path: path.clone(), owner });
        self.undo.push((path, replaced));
    }

    /// Where a transaction begins. What came before can no longer be undone.
    pub fn mark(&mut self) -> Mark {
        self.undo.clear();
        Mark { digest: self.digest, order: self.order.len() }
    }

    /// Takes back everything since `mark`: a failed multi leaves the records of other requests
    /// exactly as they were (ZOOKEEPER-1624, ZOOKEEPER-2052).
    pub fn roll_back(&mut self, mark: Mark) {
        while let Some((path, replaced)) = self.undo.pop() {
            match replaced {
                Some(record) => self.by_path.insert(path, record),
                None => self.by_path.remove(&path),
            };
        }
        while self.order.len() > mark.order {
            let change = self.order.pop_back().expect("the length was looked at");
            self.forget_ephemeral(change.owner, VecDeque::pop_back);
        }
        self.digest = mark.digest;
    }

    /// Retires the records of every transaction up to `applied`.
    pub fn retire(&mut self, applied: Zxid) {
        while self.order.front().is_some_and(|change| change.zxid <= applied) {
            let Change { zxid, path, owner } =
                self.order.pop_front().expect("the front was looked at");
            self.retired += 1;
            self.forget_ephemeral(owner, VecDeque::pop_front);
            if self.by_path.get(&path).is_some_and(|record| record.zxid == zxid) {
                self.by_path.remove(&path);
            }
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

#[cfg(test)]
mod tests;
