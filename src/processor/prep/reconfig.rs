//! Prep's reconfigurations: a new configuration as a transaction on `/zookeeper/config`.
//!
//! The configuration's version is the zxid of its transaction. Which configurations are possible,
//! only a leader can say; alone, none is.

use bytes::Bytes;

use super::{Judge, PrepRequestProcessor, Refusal};
use crate::jute::Reader;
use crate::processor::proposal::Proposal;
use crate::processor::request::Request;
use crate::proto::requests::ReconfigRequest;
use crate::proto::txns::{Txn, TxnHeader};
use crate::proto::{ErrorCode, OpCode, QuorumVerifier, path, perms};
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::Database;

impl PrepRequestProcessor {
    /// Prepares a reconfiguration. `judge` gives the configuration that is asked for, or says why
    /// there is none. Returns the one that is proposed too, if one is.
    ///
    /// The checks are Apache's in Apache's order: whether reconfiguration is allowed at all, the
    /// session, what `judge` says, and only then the permission on the node (C-264).
    pub fn prepare_reconfig(
        &mut self,
        now: Instant,
        request: &Request,
        db: &Database,
        sessions: &SessionTracker,
        judge: impl FnOnce(&ReconfigRequest<'_>) -> Result<QuorumVerifier, ErrorCode>,
    ) -> (Proposal, Option<QuorumVerifier>) {
        let mut proposed = None;
        let proposal = self.transaction(now, request, db, sessions, |prep, at, out| {
            let (txn_type, next) = prep.reconfig_txn(at, judge, out)?;
            proposed = Some(next);
            Ok(txn_type)
        });
        // What was too long to be read back did not become one.
        let header = TxnHeader::read(&mut Reader::unlimited(&proposal.txn));
        let txn_type = header.expect("a transaction begins with its header").txn_type;
        (proposal, proposed.filter(|_| txn_type == OpCode::Reconfig.to_int()))
    }

    /// The same for whoever cannot be reconfigured.
    pub(super) fn reconfig(
        &mut self,
        at: &Judge<'_>,
        judge: impl FnOnce(&ReconfigRequest<'_>) -> Result<QuorumVerifier, ErrorCode>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        self.reconfig_txn(at, judge, out).map(|(txn_type, _)| txn_type)
    }

    fn reconfig_txn(
        &mut self,
        at: &Judge<'_>,
        judge: impl FnOnce(&ReconfigRequest<'_>) -> Result<QuorumVerifier, ErrorCode>,
        out: &mut Vec<u8>,
    ) -> Result<(i32, QuorumVerifier), Refusal> {
        let mut r = Reader::new(at.body, self.options.max_field_bytes);
        let asked = ReconfigRequest::read(&mut r)?;
        if !self.options.reconfig_enabled {
            return Err(ErrorCode::ReconfigDisabled.into());
        }
        self.check_session(at)?;
        let mut next = judge(&asked)?;
        let tree = &at.db.tree;
        let mut node = self.outstanding.node(path::CONFIG, tree).ok_or(ErrorCode::NoNode)?;
        self.check_acl(at, &node.acl, perms::WRITE)?;
        next.version = at.zxid.to_long();
        let (text, version) = (next.to_text(), -1);
        let data = Some(text.as_bytes());
        Txn::SetData { path: path::CONFIG, data, version }.write(out);
        node.stat.version = version;
        node.stat.mzxid = at.zxid;
        node.stat.mtime = at.time;
        node.set_data(path::CONFIG, text.as_bytes());
        self.outstanding.put(at.zxid, Bytes::from_static(path::CONFIG), Some(node), tree);
        Ok((OpCode::Reconfig.to_int(), next))
    }
}
