//! From a transaction to the tree: one rule for each type, the same at every server.
//!
//! The rules are Java's `DataTree.processTxn`. A transaction was valid when it was prepared, so
//! here nothing is refused; but a replay may start from a snapshot that holds effects of later
//! transactions. So each rule says what happens when the tree is ahead: a node that exists already
//! is kept, one that is gone stays gone, and a parent's counters only ever rise (C-248).
//!
//! A multi with an error among its parts changes nothing, and is answered by codes.

use super::data_tree::DataTree;
use super::observer::Observer;
use crate::proto::EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
use crate::proto::error_code::ErrorCode;
use crate::proto::stat::{CONTAINER_OWNER, NodeOwner};
use crate::proto::txns::{CreateKind, CreateTxn, MultiTxn, PathVector, Txn, TxnHeader};
use crate::proto::{SessionId, Stat, StatPersisted, Zxid, path};

/// What a transaction came to: what its reply needs besides the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// delete, createSession, closeSession.
    Done,
    /// create of any kind, setData, setACL: the node's stat right after it.
    Stat(Stat),
    /// A failed request, or a transaction that did not fit the tree.
    Error(i32),
    /// multi: what each part came to, in order.
    Multi(Vec<PartApplied>),
}

/// What a part of a multi came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartApplied {
    /// delete, check; and in a failed multi what stands before the failure (code 0).
    Done,
    /// create of any kind, setData: the node's stat right after this part.
    Stat(Stat),
    /// The part that failed, or -2 after it.
    Error(i32),
}

impl DataTree {
    /// Applies what is neither about a session nor a multi.
    pub(super) fn apply_part(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        observer: &mut impl Observer,
    ) -> PartApplied {
        let zxid = header.zxid;
        let result = match txn {
            Txn::Create(create) => self.apply_create(header, create, observer).map(Some),
            Txn::Delete { path } => self.apply_delete(path, zxid, observer).map(|()| None),
            Txn::SetData { path, data, version } => {
                self.apply_set_data(header, path, *data, *version, observer).map(Some)
            }
            Txn::SetAcl { path, acl, version } => self.apply_set_acl(path, acl, *version).map(Some),
            Txn::Check { .. } => Ok(None),
            Txn::Error { err } => return PartApplied::Error(*err),
            // No decoded multi holds one, and Database takes them otherwise.
            Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Multi(_) => {
                Err(ErrorCode::Unimplemented)
            }
        };
        match result {
            Ok(None) => PartApplied::Done,
            Ok(Some(stat)) => PartApplied::Stat(stat),
            Err(error) => PartApplied::Error(error.code()),
        }
    }

    /// All parts or none.
    pub(super) fn apply_multi(
        &mut self,
        header: &TxnHeader,
        multi: &MultiTxn<'_>,
        observer: &mut impl Observer,
    ) -> Vec<PartApplied> {
        if !multi.failed() {
            let mut applied = Vec::with_capacity(multi.len());
            applied.extend(multi.parts().map(|(_, txn)| self.apply_part(header, &txn, observer)));
            return applied;
        }
        let mut failed = false;
        let codes = multi.parts().map(|(_, txn)| match txn {
            Txn::Error { err } => {
                failed = true;
                PartApplied::Error(err)
            }
            _ if failed => PartApplied::Error(ErrorCode::RuntimeInconsistency.code()),
            _ => PartApplied::Done,
        });
        codes.collect()
    }

    fn apply_create(
        &mut self,
        header: &TxnHeader,
        txn: &CreateTxn<'_>,
        observer: &mut impl Observer,
    ) -> Result<Stat, ErrorCode> {
        let owner = match txn.kind {
            CreateKind::Plain { ephemeral: false, .. } => 0,
            CreateKind::Plain { ephemeral: true, .. } => header.client_id.0,
            CreateKind::Container => CONTAINER_OWNER,
            CreateKind::Ttl(ttl) => {
                self.options.owners.encode_ttl(ttl).ok_or(ErrorCode::BadArguments)?
            }
        };
        let path = txn.path;
        if path == b"/" {
            return Err(ErrorCode::NodeExists);
        }
        let (parent_path, name) = path::split(path).ok_or(ErrorCode::BadArguments)?;
        let parent = self.find(parent_path).ok_or(ErrorCode::NoNode)?;
        let existing = self.find(path);
        let acl = self.acls.acquire(txn.acl).map_err(|_| ErrorCode::InvalidAcl)?;

        self.before_change(parent);
        self.raise_parent(parent, txn.parent_cversion, header.zxid);
        self.digest_changed(parent, parent_path);
        if let Some(id) = existing {
            // ZOOKEEPER-4846: the list that the snapshot gave it may be a later one.
            self.before_change(id);
            self.replace_acl(id, acl);
            return Err(ErrorCode::NodeExists);
        }

        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let id = self.link(path, parent, name, txn.data, acl, &stat);
        self.created(id);
        self.digest_changed(id, path);
        let stat = self.stat(id);
        self.quota_created(id, path, txn.data.unwrap_or_default().len());
        observer.changed(NodeCreated, path, self.acls.list(acl), header.zxid);
        self.tell_children_changed(parent, parent_path, header.zxid, observer);
        Ok(stat)
    }

    /// A parent's counters rise to the transaction's, never fall: a create that is replayed after
    /// a later one must not take them back. Java does so for create alone (N-17).
    fn raise_parent(&mut self, parent: u32, cversion: i32, zxid: Zxid) {
        let extra = self.nodes.extra_mut(parent);
        let cversion = if cversion == -1 { extra.cversion.wrapping_add(1) } else { cversion };
        if cversion > extra.cversion {
            extra.cversion = cversion;
            extra.pzxid = zxid;
        }
    }

    fn apply_delete(
        &mut self,
        path: &[u8],
        zxid: Zxid,
        observer: &mut impl Observer,
    ) -> Result<(), ErrorCode> {
        if path::is_undeletable(path) {
            return Err(ErrorCode::BadArguments);
        }
        let (parent_path, _) = path::split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.find(parent_path).ok_or(ErrorCode::NoNode)?;
        // Also if the node is gone: its parent's pzxid may be older (ZOOKEEPER-3125).
        self.raise_pzxid(parent, parent_path, zxid);
        let id = self.find(path).ok_or(ErrorCode::NoNode)?;
        self.remove_descendants(id);
        let acl = self.acls.list(self.nodes.get(id).acl).clone();
        self.remove_leaf(id, path);
        observer.changed(NodeDeleted, path, &acl, zxid);
        self.tell_children_changed(parent, parent_path, zxid, observer);
        Ok(())
    }

    fn raise_pzxid(&mut self, parent: u32, parent_path: &[u8], zxid: Zxid) {
        if zxid <= self.nodes.persisted(parent).pzxid {
            return;
        }
        self.before_change(parent);
        self.nodes.extra_mut(parent).pzxid = zxid;
        self.digest_changed(parent, parent_path);
    }

    /// Only an empty node is ever deleted; one that has children here was deleted, made again and
    /// filled after this transaction, and a fuzzy snapshot showed both. What follows in the log
    /// makes them once more.
    fn remove_descendants(&mut self, top: u32) {
        let mut order: Vec<u32> = self.nodes.children(top).collect();
        let mut next = 0;
        while next < order.len() {
            order.extend(self.nodes.children(order[next]));
            next += 1;
        }
        for id in order.into_iter().rev() {
            let path = self.nodes.path(id);
            self.remove_leaf(id, &path);
        }
    }

    fn remove_leaf(&mut self, id: u32, path: &[u8]) {
        self.before_change(id);
        self.before_change(self.nodes.get(id).parent);
        self.digest_out(id);
        let bytes = self.data_length(id);
        self.unlink(id, path);
        self.quota_deleted(path, bytes);
    }

    fn apply_set_data(
        &mut self,
        header: &TxnHeader,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
        observer: &mut impl Observer,
    ) -> Result<Stat, ErrorCode> {
        let path = path::canonical(path);
        let id = self.find(path).ok_or(ErrorCode::NoNode)?;
        let before = self.data_length(id);
        self.overwrite(id, path, data, version, header.zxid, header.time);
        let stat = self.stat(id);
        let bytes = data.unwrap_or_default().len() as i64 - before as i64;
        self.quota_data_changed(path, bytes);
        let acl = self.acls.list(self.nodes.get(id).acl);
        observer.changed(NodeDataChanged, shown(path), acl, header.zxid);
        Ok(stat)
    }

    fn data_length(&self, id: u32) -> usize {
        self.nodes.get(id).blob.data().unwrap_or_default().len()
    }

    fn overwrite(
        &mut self,
        id: u32,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
        mzxid: Zxid,
        mtime: i64,
    ) {
        self.before_change(id);
        self.replace_data(id, data);
        let node = self.nodes.get_mut(id);
        node.version = version;
        node.mzxid = mzxid;
        node.mtime = mtime;
        self.digest_changed(id, path);
    }

    /// Puts a configuration's text into `/zookeeper/config`, which is no transaction: version -1,
    /// and as mzxid the configuration's own `version`. What its reconfiguration has put there stays
    /// as it is: that is the same on every server.
    pub fn set_config(&mut self, text: &[u8], version: Zxid, wall_ms: i64) {
        let id = self.find(path::CONFIG).expect("/zookeeper/config is in every tree");
        if version != Zxid::ZERO && self.nodes.get(id).mzxid == version {
            return;
        }
        self.overwrite(id, path::CONFIG, Some(text), -1, version, wall_ms);
    }

    fn apply_set_acl(&mut self, path: &[u8], acl: &[u8], version: i32) -> Result<Stat, ErrorCode> {
        let path = path::canonical(path);
        let id = self.find(path).ok_or(ErrorCode::NoNode)?;
        let acl = self.acls.acquire(acl).map_err(|_| ErrorCode::InvalidAcl)?;
        self.before_change(id);
        self.replace_acl(id, acl);
        self.nodes.extra_mut(id).aversion = version;
        self.digest_changed(id, path);
        Ok(self.stat(id))
    }

    /// Deletes the listed paths, then whatever else is the session's. Java deletes what is listed
    /// whoever owns it; a node that a fuzzy snapshot shows as another session's was made later,
    /// and stays (C-090). Returns how many were not listed though there was a list.
    pub(super) fn apply_close_session(
        &mut self,
        session: SessionId,
        paths: Option<&PathVector<'_>>,
        zxid: Zxid,
        observer: &mut impl Observer,
    ) -> usize {
        for path in paths.into_iter().flat_map(PathVector::iter) {
            let is_anothers = self.find(path).is_some_and(|id| {
                self.options.owners.decode(self.nodes.owner(id)) != NodeOwner::Session(session.0)
            });
            if !is_anothers {
                // That it is gone already is no error here.
                let _ = self.apply_delete(path, zxid, observer);
            } else if let Some(parent_path) = path::parent(path)
                && let Some(parent) = self.find(parent_path)
            {
                self.raise_pzxid(parent, parent_path, zxid);
            }
        }
        let rest: Vec<u32> = self.ephemeral_ids(session).into_iter().flatten().collect();
        let unlisted = if paths.is_some() { rest.len() } else { 0 };
        for id in rest {
            // One may have gone with another that was its parent in a record gone wrong.
            if self.nodes.contains(id) {
                let path = self.nodes.path(id);
                let _ = self.apply_delete(&path, zxid, observer);
            }
        }
        unlisted
    }

    fn tell_children_changed(
        &self,
        parent: u32,
        parent_path: &[u8],
        zxid: Zxid,
        observer: &mut impl Observer,
    ) {
        let acl = self.acls.list(self.nodes.get(parent).acl);
        observer.changed(NodeChildrenChanged, shown(parent_path), acl, zxid);
    }
}

/// A path as clients know it.
fn shown(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}

#[cfg(test)]
mod tests;
