//! Prep's sessions: their beginning and their end as transactions.

use bytes::Bytes;

use super::{Judge, PrepRequestProcessor, Refusal};
use crate::jute::Reader;
use crate::proto::txns::{Txn, TxnDigest, write_path_vector};
use crate::proto::{OpCode, path};

/// Appends a CreateSessionTxn; the request's body is the timeout.
pub(super) fn create_session(r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<i32, Refusal> {
    Txn::CreateSession { timeout_ms: r.int()? }.write(out);
    Ok(OpCode::CreateSession.to_int())
}

impl PrepRequestProcessor {
    /// Appends a CloseSessionTxn with the session's ephemerals: those in the tree, plus the ones
    /// being created, less the ones being deleted. All of them go in this one transaction
    /// (C-087, C-091), and their parents' counters with them (N-10).
    ///
    /// In place of a list too long to be read back stands an empty one: every version then
    /// deletes by owner. (With a digest behind it, none at all would be misread by Apache.)
    pub(super) fn close_session(&mut self, judge: &Judge<'_>, out: &mut Vec<u8>) -> i32 {
        let ephemerals = self.ephemerals(judge);
        let start = out.len();
        if self.options.close_session_txn {
            write_path_vector(ephemerals.iter().map(|path| &path[..]), out);
            if out.len() + TxnDigest::SIZE > self.options.max_txn_bytes {
                out.truncate(start);
                write_path_vector(std::iter::empty(), out);
            }
        }
        for full in ephemerals {
            self.drop_ephemeral(judge, full);
        }
        OpCode::CloseSession.to_int()
    }

    fn ephemerals(&self, judge: &Judge<'_>) -> Vec<Bytes> {
        let mut paths: Vec<Bytes> =
            judge.db.tree.ephemerals_of(judge.session).into_iter().map(Bytes::from).collect();
        paths.extend(self.outstanding.ephemeral_paths(judge.session.0).cloned());
        paths.sort_unstable();
        paths.dedup();
        // What a pending change takes away, or gives to another, is not ours.
        paths.retain(|path| {
            self.outstanding
                .node(path, &judge.db.tree)
                .is_some_and(|node| node.stat.ephemeral_owner == judge.session.0)
        });
        paths
    }

    fn drop_ephemeral(&mut self, judge: &Judge<'_>, full: Bytes) {
        let tree = &judge.db.tree;
        let parent_path = full.slice(..path::parent(&full).map_or(0, <[u8]>::len));
        self.outstanding.put(judge.zxid, full, None, tree);
        if let Some(mut parent) = self.outstanding.node(&parent_path, tree) {
            parent.num_children = parent.num_children.saturating_sub(1);
            parent.stat.pzxid = judge.zxid;
            self.outstanding.put(judge.zxid, parent_path, Some(parent), tree);
        }
    }
}
