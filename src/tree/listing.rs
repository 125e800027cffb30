//! A node's children, named a few at a time over several holds of the database.

use super::data_tree::Node;
use super::database::Database;
use crate::proto::Zxid;

/// The children a node had at one moment, and how many of them have been named.
///
/// Valid as long as the node [has not changed](Self::is_current): its `pzxid` moves with every
/// child that comes or goes.
#[derive(Debug)]
pub struct ChildrenListing {
    parent: u32,
    pzxid: Zxid,
    generation: u64,
    children: Vec<u32>,
    named: usize,
}

impl ChildrenListing {
    /// The children that `node` of `db` has now. Takes a nanosecond or two for each.
    pub fn begin(db: &Database, node: &Node<'_>) -> Self {
        ChildrenListing {
            parent: node.id(),
            pzxid: node.persisted().pzxid,
            generation: db.generation(),
            children: node.child_ids().collect(),
            named: 0,
        }
    }

    /// Whether `node` is still the node, with the same children.
    pub fn is_current(&self, db: &Database, node: &Node<'_>) -> bool {
        self.parent == node.id()
            && self.pzxid == node.persisted().pzxid
            && self.generation == db.generation()
    }

    /// Names at most `most` further children, in the hold in which the listing was found current.
    pub fn name_some(&mut self, db: &Database, most: usize, mut take: impl FnMut(&[u8])) {
        let end = self.children.len().min(self.named + most);
        for child in &self.children[self.named..end] {
            take(db.tree.name_of(*child));
        }
        self.named = end;
    }

    /// Whether all are named.
    pub fn is_complete(&self) -> bool {
        self.named == self.children.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }
}
