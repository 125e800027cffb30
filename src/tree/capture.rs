//! A snapshot of the tree at one zxid, taken while writers go on.
//!
//! ```text
//!            ids   0 1 2 3 4 5 6 7 │ limit         later nodes have ids from the limit on,
//!           done   1 1 1 0 0 1 0 0 │               or used ones: both count as done
//!  the walk ─────────────▲     ▲
//!                              └ a writer wants to change node 5: it is set aside first
//! ```
//!
//! The walk goes through the ids, a bounded piece under each read lock. A node it reaches is
//! encoded into `pending`, its ancestors before it. A writer that is about to change or free a
//! node that is not done encodes it in the same way first. So every node is encoded once, as it
//! was when the capture began, and always after its parent; and a writer pays at most for the
//! nodes it touches. `next_nodes` carries `pending` away.
//!
//! The price of a capture is a bit for each node, and the nodes set aside that were not carried
//! away yet.

use std::sync::Arc;

use parking_lot::Mutex;

use super::acl_cache::{MISSING_ACL, NULL_ACL};
use super::data_tree::DataTree;
use super::database::Database;
use super::node_store::ROOT;
use super::shared_database::SharedDatabase;
use crate::jute::Writer;
use crate::proto::{SessionId, Zxid};

/// Nodes encoded under one read lock, where no test says otherwise.
const PIECE_NODES: usize = 512;
/// Bytes encoded under one read lock, give or take a node.
const PIECE_BYTES: usize = 256 << 10;
/// Ids looked at under one read lock.
const PIECE_IDS: u32 = 16 << 10;

/// A snapshot being taken. Dropping it ends it.
pub struct SnapshotCapture {
    walk: Arc<Mutex<Walk>>,
    /// The first id the walk has not looked at.
    next: u32,
    /// Nodes encoded under one read lock.
    piece_nodes: usize,
    zxid: Zxid,
    digest: u64,
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, Vec<u8>)>,
}

/// The tree was replaced while its snapshot was being taken: what was read is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree was replaced while its snapshot was being taken")]
pub struct CaptureLost;

impl SnapshotCapture {
    /// Begins a snapshot of the database as it is now. It takes as long as copying the sessions and
    /// ACL lists.
    pub fn begin(database: &mut Database) -> Self {
        let tree = &mut database.tree;
        let limit = tree.nodes.limit();
        let walk = Arc::new(Mutex::new(Walk {
            done: vec![0; limit.div_ceil(64) as usize],
            limit,
            pending: Vec::new(),
        }));
        tree.forget_ended_captures();
        tree.captures.push(walk.clone());
        let acls = tree.acls.iter().map(|(id, raw)| (i64::from(id), raw.to_vec())).collect();
        SnapshotCapture {
            walk,
            next: ROOT,
            piece_nodes: PIECE_NODES,
            zxid: database.last_processed(),
            digest: database.tree.digest(),
            sessions: database.sessions().collect(),
            acls,
        }
    }

    /// The last transaction that the snapshot contains.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The tree's digest at that transaction; 0 where digests are switched off.
    pub fn digest(&self) -> (Zxid, u64) {
        (self.zxid, self.digest)
    }

    /// The global sessions and their timeouts in milliseconds.
    pub fn sessions(&self) -> &[(SessionId, i32)] {
        &self.sessions
    }

    /// The ACL lists by index, each an encoded vector.
    pub fn acls(&self) -> &[(i64, Vec<u8>)] {
        &self.acls
    }

    /// Appends the records of some more nodes to `out`: path, data, index of the ACL, stored
    /// stat; parents first; what ends the list is the caller's to write. `false` says that all
    /// are written and that this call appended nothing.
    ///
    /// The read lock is held for a bounded piece: call again until it says `false`.
    ///
    /// # Errors
    /// The tree is not the one the capture began with.
    pub fn next_nodes(
        &mut self,
        database: &SharedDatabase,
        out: &mut Vec<u8>,
    ) -> Result<bool, CaptureLost> {
        let database = database.read();
        let tree = &database.tree;
        if !tree.captures.iter().any(|walk| Arc::ptr_eq(walk, &self.walk)) {
            return Err(CaptureLost);
        }
        let mut walk = self.walk.lock();
        let before = out.len();
        out.append(&mut walk.pending);
        let stop = self.next.saturating_add(PIECE_IDS).min(walk.limit);
        let mut nodes = 0;
        while self.next < stop {
            if tree.nodes.contains(self.next) {
                let encoded = walk.encode_chain(tree, self.next, self.piece_nodes - nodes);
                nodes += encoded;
                if nodes >= self.piece_nodes || walk.pending.len() >= PIECE_BYTES {
                    // The chain above a deep node may not be complete: it is looked at again.
                    break;
                }
            }
            self.next += 1;
        }
        out.append(&mut walk.pending);
        Ok(out.len() > before || self.next < walk.limit)
    }
}

/// What the walk and the writers share.
pub(super) struct Walk {
    /// A bit for each id below the limit.
    done: Vec<u64>,
    limit: u32,
    /// Encoded nodes that were not carried away yet.
    pending: Vec<u8>,
}

impl Walk {
    fn is_done(&self, id: u32) -> bool {
        id >= self.limit || self.done[id as usize / 64] >> (id % 64) & 1 == 1
    }

    fn set_done(&mut self, id: u32) {
        if id < self.limit {
            self.done[id as usize / 64] |= 1 << (id % 64);
        }
    }

    /// Encodes what is not done of the way from the root to `id`, from above, at most `budget`
    /// nodes. Returns how many it were.
    fn encode_chain(&mut self, tree: &DataTree, id: u32, budget: usize) -> usize {
        if self.is_done(id) {
            return 0;
        }
        let mut chain = vec![id];
        let mut top = id;
        while top != ROOT {
            // A done node's ancestors are done.
            top = tree.nodes.get(top).parent;
            if self.is_done(top) {
                break;
            }
            chain.push(top);
        }
        let count = chain.len().min(budget);
        for id in chain.into_iter().rev().take(count) {
            self.encode(tree, id);
            self.set_done(id);
        }
        count
    }

    fn encode(&mut self, tree: &DataTree, id: u32) {
        let node = tree.nodes.get(id);
        let out = &mut self.pending;
        let length_at = out.len();
        out.put_int(0);
        tree.nodes.append_path(id, out);
        let length = out.len() - length_at - 4;
        out.set_int(length_at, i32::try_from(length).expect("a path is below 2 GiB"));
        out.put_buffer(node.blob.data());
        out.put_long(match node.acl {
            NULL_ACL => -1,
            MISSING_ACL => tree.missing_acls.get(&id).copied().unwrap_or(-2),
            acl => acl.into(),
        });
        tree.nodes.persisted(id).write(out);
    }
}

impl DataTree {
    /// Must be called before a node is changed in any way, or freed.
    pub(super) fn before_change(&mut self, id: u32) {
        if self.captures.is_empty() {
            return;
        }
        self.forget_ended_captures();
        for walk in &self.captures {
            walk.lock().encode_chain(self, id, usize::MAX);
        }
    }

    /// Must be called for a new node: its id may be a used one.
    pub(super) fn created(&mut self, id: u32) {
        for walk in &self.captures {
            walk.lock().set_done(id);
        }
    }

    /// A capture whose owner dropped it is ours alone.
    fn forget_ended_captures(&mut self) {
        self.captures.retain(|walk| Arc::strong_count(walk) > 1);
    }
}

impl Drop for SnapshotCapture {
    fn drop(&mut self) {
        // The tree lets go of the walk with its next change; the memory need not wait for it.
        let mut walk = self.walk.lock();
        walk.pending = Vec::new();
        walk.done = Vec::new();
        walk.limit = 0;
    }
}

#[cfg(test)]
mod tests;
