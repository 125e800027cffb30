//! Builds a database from the records of a snapshot.
//!
//! The records come from a file or from a leader, so each may be wrong: what cannot be part of a
//! tree is an error that names it. One thing is tolerated: a node whose ACL index is not defined,
//! for Apache's snapshots may lack a list that the transactions after them supply. Such a node
//! refuses everyone, and `DataTree::missing_acls` tells whoever replayed those transactions that
//! one is left.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::acl_cache::{MISSING_ACL, NULL_ACL};
use super::data_tree::{DataTree, TreeOptions};
use super::database::Database;
use super::node_store::ROOT;
use crate::jute::JuteError;
use crate::proto::{SessionId, StatPersisted, Zxid, path};

/// What cannot be part of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A node comes before its parent, or without one.
    #[error("the node {} has no parent", .path.escape_ascii())]
    ParentMissing {
        /// The node's path.
        path: Vec<u8>,
    },
    /// A path that is not below the root.
    #[error("a node's path {} has no slash", .path.escape_ascii())]
    NotAPath {
        /// The path.
        path: Vec<u8>,
    },
    /// Two nodes have the same path.
    #[error("the node {} comes twice", .path.escape_ascii())]
    Duplicate {
        /// The nodes' path.
        path: Vec<u8>,
    },
    /// The root never came.
    #[error("there is no root node")]
    RootMissing,
    /// An ACL list that does not parse.
    #[error("the ACL list with index {index} is malformed: {error}")]
    MalformedAcl {
        /// The list's index.
        index: i64,
        /// What is wrong with it.
        error: JuteError,
    },
}

/// A database that is being loaded.
pub struct DatabaseBuilder {
    tree: DataTree,
    sessions: Vec<(SessionId, i32)>,
    /// Ids of the ACL cache by index of the snapshot.
    acls: HashMap<i64, u32, FixedState>,
    root_loaded: bool,
    /// The last node's parent: siblings often follow each other.
    parent_path: Vec<u8>,
    parent: u32,
}

impl DatabaseBuilder {
    /// Nothing is loaded yet.
    pub fn new(options: TreeOptions) -> Self {
        DatabaseBuilder {
            tree: DataTree::only_root(options),
            sessions: Vec::new(),
            acls: HashMap::with_hasher(FixedState::with_seed(options.hash_seed)),
            root_loaded: false,
            parent_path: Vec::new(),
            parent: ROOT,
        }
    }

    /// Makes room in the index for that many nodes: an estimate of the caller's, never a number
    /// that the snapshot promised.
    pub fn reserve(&mut self, nodes: usize) {
        self.tree.index.reserve(nodes);
    }

    /// Adds a session with its timeout in milliseconds; a second mention overwrites.
    pub fn add_session(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.push((id, timeout_ms));
    }

    /// Adds an ACL list, an encoded vector, under the index by which the nodes name it.
    ///
    /// # Errors
    /// The list is malformed.
    pub fn add_acl(&mut self, index: i64, raw: &[u8]) -> Result<(), LoadError> {
        let id = self.tree.acls.intern(raw);
        let id = id.map_err(|error| LoadError::MalformedAcl { index, error })?;
        self.acls.insert(index, id);
        Ok(())
    }

    /// Adds a node, after its parent. The root's path is empty.
    ///
    /// # Errors
    /// There is no parent, or such a node is there already.
    pub fn add_node(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        acl_index: i64,
        stat: &StatPersisted,
    ) -> Result<(), LoadError> {
        let acl = match acl_index {
            -1 => NULL_ACL,
            _ => self.acls.get(&acl_index).copied().unwrap_or(MISSING_ACL),
        };
        let id = if path.is_empty() {
            self.set_root(data, acl, stat)?
        } else {
            self.link(path, data, acl, stat)?
        };
        self.tree.acls.add_user(acl);
        if acl == MISSING_ACL {
            self.tree.missing_acls.insert(id, acl_index);
        }
        self.tree.digest_changed(id, path);
        Ok(())
    }

    fn link(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> Result<u32, LoadError> {
        let Some((parent_path, name)) = path::split(path) else {
            return Err(LoadError::NotAPath { path: path.to_vec() });
        };
        if parent_path != self.parent_path {
            let Some(parent) = self.tree.find(parent_path) else {
                return Err(LoadError::ParentMissing { path: path.to_vec() });
            };
            self.parent = parent;
            self.parent_path.clear();
            self.parent_path.extend_from_slice(parent_path);
        }
        if path == b"/" || self.tree.find(path).is_some() {
            return Err(LoadError::Duplicate { path: path.to_vec() });
        }
        Ok(self.tree.link(path, self.parent, name, data, acl, stat))
    }

    fn set_root(
        &mut self,
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> Result<u32, LoadError> {
        if self.root_loaded {
            return Err(LoadError::Duplicate { path: b"/".to_vec() });
        }
        self.root_loaded = true;
        self.tree.nodes.set_persisted(ROOT, stat);
        self.tree.replace_data(ROOT, data);
        self.tree.replace_acl(ROOT, acl);
        self.tree.enter_owner(ROOT, stat.ephemeral_owner);
        Ok(ROOT)
    }

    /// The database, with the reserved nodes that the snapshot lacked, as of `last_processed`.
    ///
    /// # Errors
    /// The root was not among the nodes.
    pub fn finish(mut self, last_processed: Zxid) -> Result<Database, LoadError> {
        if !self.root_loaded {
            return Err(LoadError::RootMissing);
        }
        self.tree.add_reserved_nodes();
        self.tree.acls.drop_unused();
        let mut database = Database::with_tree(self.tree, last_processed);
        for (id, timeout_ms) in self.sessions {
            database.add_session(id, timeout_ms);
        }
        Ok(database)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::proto::txns::Txn;

    fn stat(zxid: u64) -> StatPersisted {
        let zxid = Zxid(zxid);
        StatPersisted { czxid: zxid, mzxid: zxid, pzxid: zxid, ..StatPersisted::default() }
    }

    fn builder() -> DatabaseBuilder {
        let mut builder = DatabaseBuilder::new(options());
        builder.add_node(b"", Some(b""), -1, &StatPersisted::default()).unwrap();
        builder
    }

    #[test]
    fn what_a_snapshot_lacks_of_the_reserved_nodes_is_added() {
        let database = builder().finish(Zxid(7)).unwrap();
        assert_consistent(&database.tree);
        assert_eq!(database.last_processed(), Zxid(7));
        assert_eq!(dump(&database.tree), dump(&DataTree::new(options())));
        assert_eq!(database.tree.digest(), 0x51C6_D660);
    }

    #[test]
    fn owners_acls_and_sizes_are_built_up_again() {
        let mut builder = builder();
        builder.add_session(SessionId(5), 100);
        builder.add_acl(17, &world(1)).unwrap();
        builder.add_acl(18, &world(2)).unwrap();
        builder.add_node(b"/a", None, 17, &stat(1)).unwrap();
        let owned = |owner| StatPersisted { ephemeral_owner: owner, ..stat(2) };
        builder.add_node(b"/a/e", Some(b"x"), 17, &owned(5)).unwrap();
        builder.add_node(b"/c", Some(b""), -1, &owned(i64::MIN)).unwrap();
        let database = builder.finish(Zxid(9)).unwrap();
        let tree = &database.tree;
        assert_consistent(tree);
        assert_eq!(tree.ephemerals_of(SessionId(5)), [b"/a/e"]);
        assert_eq!(tree.containers().count(), 1);
        assert_eq!(tree.node(b"/a/e").unwrap().acl()[0].perms, 1);
        assert_eq!(tree.acl_count(), 1, "a list that nobody uses is forgotten");
        assert_eq!(database.session_timeout(SessionId(5)), Some(100));
    }

    #[test]
    fn the_root_brings_its_own_fields() {
        let mut builder = DatabaseBuilder::new(options());
        builder.add_acl(1, &world(1)).unwrap();
        let root = StatPersisted { version: 3, cversion: 9, pzxid: Zxid(4), ..stat(0) };
        builder.add_node(b"", Some(b"r"), 1, &root).unwrap();
        let database = builder.finish(Zxid(4)).unwrap();
        let node = database.tree.node(b"/").unwrap();
        assert_eq!(
            (node.persisted(), node.data(), node.acl()[0].perms),
            (root, Some(&b"r"[..]), 1)
        );
        assert_consistent(&database.tree);
    }

    #[test]
    fn what_cannot_be_part_of_a_tree_is_named() {
        let mut builder = builder();
        builder.add_node(b"/a", None, -1, &stat(1)).unwrap();
        let mut add = |path: &[u8]| builder.add_node(path, None, -1, &stat(1)).unwrap_err();
        let path = |path: &[u8]| path.to_vec();
        assert_eq!(add(b"/b/c"), LoadError::ParentMissing { path: path(b"/b/c") });
        assert_eq!(add(b"//c"), LoadError::ParentMissing { path: path(b"//c") });
        assert_eq!(add(b"/a"), LoadError::Duplicate { path: path(b"/a") });
        assert_eq!(add(b""), LoadError::Duplicate { path: path(b"/") });
        assert_eq!(add(b"/"), LoadError::Duplicate { path: path(b"/") });
        assert_eq!(add(b"a"), LoadError::NotAPath { path: path(b"a") });
        let error = builder.add_acl(3, b"\0\0\0\x01").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ACL list with index 3 is malformed: the record ends inside a field"
        );
        let rootless = DatabaseBuilder::new(options()).finish(Zxid(0));
        assert_eq!(rootless.err(), Some(LoadError::RootMissing));
    }

    #[test]
    fn a_node_whose_list_is_missing_refuses_everyone_until_the_replay_brings_it() {
        let mut builder = builder();
        builder.add_node(b"/a", None, 44, &stat(1)).unwrap();
        builder.add_node(b"/b", None, 45, &stat(2)).unwrap();
        let mut database = builder.finish(Zxid(2)).unwrap();
        assert_eq!(database.tree.missing_acls(), 2);
        assert_eq!(database.tree.node(b"/a").unwrap().acl()[0].perms, 0);
        database.apply(&record(3, 1, create("/a", PERSISTENT, 2)), &mut ());
        assert_eq!(database.tree.node(b"/a").unwrap().acl()[0].perms, 31);
        assert_eq!(database.tree.missing_acl(), Some((b"/b".to_vec(), 45)));
        let set = Txn::Delete { path: b"/b" };
        database.apply(&record(4, 1, set), &mut ());
        assert_eq!((database.tree.missing_acls(), database.tree.missing_acl()), (0, None));
    }
}
