//! `PrepRequestProcessor`: turns a request into a transaction.
//!
//! Prep runs on the leader, or alone. It judges a request by the tree plus the change records of
//! everything prepared before it, and stamps zxid and time. A request that fails becomes an error
//! transaction with a zxid of its own: the failure has a place in the order, is logged, and its
//! reply carries that zxid (C-072). What comes out was validated, so that apply cannot fail.
//!
//! The order of the checks is Apache's, since the first that fails decides what the client sees.

mod create;
mod multi;
mod quota;
mod reconfig;
mod session;

use bytes::Bytes;

use self::quota::QuotaExcesses;
use super::change_record::{OutstandingChanges, PendingNode};
use super::pending_usage::Usage;
use super::proposal::Proposal;
use super::request::{Origin, Request};
use crate::auth::{AuthPolicy, Identities};
use crate::jute::{JuteError, Reader, Writer};
use crate::proto::requests::{
    CreateRequest, MultiPart, SetAclRequest, SetDataRequest, VersionedPath,
};
use crate::proto::stat::{NodeOwner, OwnerEncoding};
use crate::proto::txns::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader};
use crate::proto::{AclList, Epoch, ErrorCode, OpCode, SessionId, Zxid, path, perms};
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::{DataTree, Database};

/// What prep needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct PrepOptions {
    /// How ACLs are judged.
    pub policy: AuthPolicy,
    /// Whether TTL nodes may be made, and how they are marked.
    pub owners: OwnerEncoding,
    /// Whether transactions carry the tree's digest.
    pub digest_enabled: bool,
    /// Whether a closeSession carries the paths of its ephemerals.
    pub close_session_txn: bool,
    /// Whether a create2 within a multi is logged and answered as one, not as a create.
    pub multi_has_create2: bool,
    /// Whether `reconfig` is allowed at all.
    pub reconfig_enabled: bool,
    /// Whether hard quotas refuse (`enforceQuota`).
    pub enforce_quota: bool,
    /// The largest record that every server can read back, in bytes.
    pub max_txn_bytes: usize,
    /// The longest field of a request, in bytes.
    pub max_field_bytes: usize,
    /// Seed of the tables' hashes.
    pub hash_seed: u64,
}

/// The stage's state: the next place in the order, and what is outstanding.
#[derive(Debug)]
pub struct PrepRequestProcessor {
    options: PrepOptions,
    outstanding: OutstandingChanges,
    last_zxid: Zxid,
    quota_excesses: QuotaExcesses,
}

/// What a request is judged by.
struct Judge<'a> {
    db: &'a Database,
    sessions: &'a SessionTracker,
    session: SessionId,
    identities: &'a Identities,
    /// Owns the bytes that the request's fields borrow.
    body: &'a Bytes,
    zxid: Zxid,
    time: i64,
    /// Milliseconds on the monotonic clock.
    now_ms: u64,
}

/// Why a part of a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The part fails with this code; in a multi, the others say so.
    Code(ErrorCode),
    /// The whole request is unreadable, even when it is a multi (F-1, F-5).
    Unreadable,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::MarshallingError => Refusal::Unreadable,
            other => Refusal::Code(other),
        }
    }
}

impl From<JuteError> for Refusal {
    fn from(_: JuteError) -> Self {
        Refusal::Unreadable
    }
}

impl Refusal {
    fn code(self) -> ErrorCode {
        match self {
            Refusal::Code(code) => code,
            Refusal::Unreadable => ErrorCode::MarshallingError,
        }
    }
}

impl PrepRequestProcessor {
    /// Prep after everything in `db` and nothing else.
    pub fn new(options: PrepOptions, db: &Database) -> Self {
        let seed = options.hash_seed;
        let mut outstanding =
            OutstandingChanges::new(db.tree.digest(), options.digest_enabled, seed);
        if options.enforce_quota {
            outstanding = outstanding.with_usage(seed);
        }
        PrepRequestProcessor {
            options,
            outstanding,
            last_zxid: db.last_processed(),
            quota_excesses: QuotaExcesses::new(seed),
        }
    }

    /// The last zxid given out.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// What is prepared from here on belongs to `epoch`.
    ///
    /// # Panics
    /// If that epoch is not a new one.
    pub fn begin(&mut self, epoch: Epoch) {
        let start = epoch.start();
        assert!(start > self.last_zxid, "epoch {epoch} begins behind {}", self.last_zxid);
        self.last_zxid = start;
    }

    /// How many change records wait for their transactions to be applied.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many change records have retired so far.
    pub fn retired(&self) -> u64 {
        self.outstanding.retired()
    }

    /// Everything up to `zxid` has been applied: its change records retire.
    pub fn retire(&mut self, zxid: Zxid) {
        self.outstanding.retire(zxid);
    }

    /// The node at `path` as the next request will find it.
    pub fn node(&self, path: &[u8], db: &Database) -> Option<PendingNode> {
        self.outstanding.node(path, &db.tree)
    }

    /// Prepares a write. Always yields a transaction, if only one that says why not.
    pub fn prepare(
        &mut self,
        now: Instant,
        request: &Request,
        db: &Database,
        sessions: &SessionTracker,
    ) -> Proposal {
        self.transaction(now, request, db, sessions, |prep, judge, txn| {
            prep.body(judge, request.op, txn)
        })
    }

    /// Gives a request its place in the order, and the transaction that `body` makes of it.
    fn transaction(
        &mut self,
        now: Instant,
        request: &Request,
        db: &Database,
        sessions: &SessionTracker,
        body: impl FnOnce(&mut Self, &Judge<'_>, &mut Vec<u8>) -> Result<i32, Refusal>,
    ) -> Proposal {
        let zxid = self.last_zxid.next();
        self.last_zxid = zxid;
        let judge = Judge {
            db,
            sessions,
            session: request.session,
            identities: &request.identities,
            body: &request.body,
            zxid,
            time: now.wall_ms,
            now_ms: now.mono_ms,
        };
        let mark = self.outstanding.mark();
        let mut txn = Vec::with_capacity(TxnHeader::SIZE + request.body.len() + 32);
        let header = TxnHeader {
            client_id: request.session,
            cxid: request.xid,
            zxid,
            time: now.wall_ms,
            txn_type: 0,
        };
        header.write(&mut txn);
        let result = body(self, &judge, &mut txn).and_then(|txn_type| {
            // What the readers of the log would refuse must not get a place in the order.
            if txn.len() + TxnDigest::SIZE > self.options.max_txn_bytes {
                return Err(Refusal::Unreadable);
            }
            Ok(txn_type)
        });
        let txn_type = match result {
            Ok(txn_type) => {
                if self.options.digest_enabled {
                    let tree_digest = self.outstanding.digest();
                    TxnDigest { version: DIGEST_VERSION, tree_digest }.write(&mut txn);
                }
                txn_type
            }
            Err(refusal) => {
                self.outstanding.roll_back(mark);
                txn.truncate(TxnHeader::SIZE);
                Txn::Error { err: refusal.code().code() }.write(&mut txn);
                OpCode::Error.to_int()
            }
        };
        txn.set_int(TxnHeader::TYPE_AT, txn_type);
        Proposal {
            zxid,
            txn: txn.into(),
            session: request.session,
            origin: request.origin,
            new_session: None,
        }
    }

    /// A transaction that says why a request has none, for one that is refused before it is judged.
    pub fn refuse(
        &mut self,
        now: Instant,
        session: SessionId,
        cxid: i32,
        origin: Option<Origin>,
        code: ErrorCode,
    ) -> Proposal {
        let zxid = self.last_zxid.next();
        self.last_zxid = zxid;
        let txn_type = OpCode::Error.to_int();
        let header = TxnHeader { client_id: session, cxid, zxid, time: now.wall_ms, txn_type };
        let mut txn = Vec::with_capacity(TxnHeader::SIZE + 4);
        header.write(&mut txn);
        Txn::Error { err: code.code() }.write(&mut txn);
        Proposal { zxid, txn: txn.into(), session, origin, new_session: None }
    }

    /// Appends the transaction's body and returns its type.
    fn body(&mut self, judge: &Judge<'_>, op: OpCode, out: &mut Vec<u8>) -> Result<i32, Refusal> {
        let mut r = Reader::new(judge.body, self.options.max_field_bytes);
        match op {
            OpCode::CreateSession => session::create_session(&mut r, out),
            OpCode::CloseSession => Ok(self.close_session(judge, out)),
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let request = CreateRequest::read(op, &mut r)?;
                let kind = create::single(op, &request, self.options.owners)?;
                self.part(judge, &Part::Create(request, kind), out)
            }
            OpCode::Delete => self.part(judge, &Part::Delete(VersionedPath::read(&mut r)?), out),
            OpCode::SetData => {
                let request = SetDataRequest::read(&mut r)?;
                // Alone, a null path is an argument; within a multi it is unreadable (F-5).
                request.path.ok_or(ErrorCode::BadArguments)?;
                self.part(judge, &Part::SetData(request), out)
            }
            OpCode::SetAcl => {
                let request = SetAclRequest::read(&mut r)?;
                request.path.ok_or(ErrorCode::BadArguments)?;
                self.part(judge, &Part::SetAcl(request), out)
            }
            OpCode::Multi => self.multi(judge, &mut r, out),
            OpCode::DeleteContainer => self.delete_container(judge, out),
            OpCode::Reconfig => self.reconfig(judge, |_| Err(ErrorCode::Unimplemented), out),
            OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::GetChildren2
            | OpCode::Check
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::WhoAmI
            | OpCode::Error => unreachable!("a connection submits writes only, not {op:?}"),
        }
    }

    /// Appends the body of one write, alone or as a part of a multi, records what it changes and
    /// returns its type.
    fn part(
        &mut self,
        judge: &Judge<'_>,
        part: &Part<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        match part {
            Part::Create(request, kind) => self.create(judge, request, *kind, out),
            Part::Delete(request) => self.delete(judge, request, out),
            Part::SetData(request) => self.set_data(judge, request, out),
            Part::SetAcl(request) => self.set_acl(judge, request, out),
            Part::Check(request) => self.check(judge, request, out),
        }
    }

    fn delete(
        &mut self,
        judge: &Judge<'_>,
        request: &VersionedPath<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let full = request.path.ok_or(Refusal::Unreadable)?;
        self.check_session(judge)?;
        if !path::has_shape(full) || path::is_undeletable(full) {
            return Err(ErrorCode::BadArguments.into());
        }
        let parent_path = path::parent(full).expect("a path with shape has a parent");
        let tree = &judge.db.tree;
        let parent = self.outstanding.node(parent_path, tree).ok_or(ErrorCode::NoNode)?;
        self.check_acl(judge, &parent.acl, perms::DELETE)?;
        let node = self.outstanding.node(full, tree).ok_or(ErrorCode::NoNode)?;
        check_version(node.stat.version, request.version)?;
        if node.num_children > 0 {
            return Err(ErrorCode::NotEmpty.into());
        }
        self.remove(judge, full, parent, out);
        Ok(OpCode::Delete.to_int())
    }

    /// Appends the deletion of `full` and records it, of its parent too.
    fn remove(
        &mut self,
        judge: &Judge<'_>,
        full: &[u8],
        mut parent: PendingNode,
        out: &mut Vec<u8>,
    ) {
        Txn::Delete { path: full }.write(out);
        parent.num_children -= 1;
        parent.stat.pzxid = judge.zxid;
        let (tree, path) = (&judge.db.tree, judge.key(full));
        let parent_path = path.slice(..path::parent(full).map_or(0, <[u8]>::len));
        self.outstanding.put(judge.zxid, path, None, tree);
        self.outstanding.put(judge.zxid, parent_path, Some(parent), tree);
    }

    fn set_data(
        &mut self,
        judge: &Judge<'_>,
        request: &SetDataRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let full = request.path.ok_or(Refusal::Unreadable)?;
        self.check_session(judge)?;
        let mut node = self.valid_node(judge, full)?;
        self.check_acl(judge, &node.acl, perms::WRITE)?;
        let tree = &judge.db.tree;
        if tree.has_quotas() {
            let path = path::canonical(full);
            let length = request.data.unwrap_or_default().len() as i64;
            let bytes = length - node.data_length(path, tree);
            // Before the version (F-4).
            self.check_quota(judge, path, Usage { count: 0, bytes })?;
        }
        let version = check_version(node.stat.version, request.version)?;
        Txn::SetData { path: full, data: request.data, version }.write(out);
        let key = judge.key(path::canonical(full));
        node.stat.version = version;
        node.stat.mzxid = judge.zxid;
        node.stat.mtime = judge.time;
        node.set_data(&key, request.data.unwrap_or_default());
        self.outstanding.put(judge.zxid, key, Some(node), tree);
        Ok(OpCode::SetData.to_int())
    }

    fn set_acl(
        &mut self,
        judge: &Judge<'_>,
        request: &SetAclRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let full = request.path.ok_or(Refusal::Unreadable)?;
        self.check_session(judge)?;
        if !path::is_valid(full) {
            return Err(ErrorCode::BadArguments.into());
        }
        let acl = self.options.policy.fixup_acl(request.acl, judge.identities)?;
        let mut node = self.valid_node(judge, full)?;
        self.check_acl(judge, &node.acl, perms::ADMIN)?;
        let version = check_version(node.stat.aversion, request.version)?;
        Txn::SetAcl { path: full, acl: &acl, version }.write(out);
        node.stat.aversion = version;
        node.acl = decode_acl(&acl, &judge.db.tree);
        self.outstanding.put(
            judge.zxid,
            judge.key(path::canonical(full)),
            Some(node),
            &judge.db.tree,
        );
        Ok(OpCode::SetAcl.to_int())
    }

    fn check(
        &mut self,
        judge: &Judge<'_>,
        request: &VersionedPath<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let full = request.path.ok_or(Refusal::Unreadable)?;
        self.check_session(judge)?;
        let node = self.valid_node(judge, full)?;
        self.check_acl(judge, &node.acl, perms::READ)?;
        let version = check_version(node.stat.version, request.version)?;
        Txn::Check { path: full, version }.write(out);
        Ok(OpCode::Check.to_int())
    }

    /// The server's own deletion of a container or TTL node; the request's body is the path. No
    /// session asks and no permission is needed, so clients are kept from it (N-5).
    fn delete_container(&mut self, judge: &Judge<'_>, out: &mut Vec<u8>) -> Result<i32, Refusal> {
        let full = &judge.body[..];
        let tree = &judge.db.tree;
        let parent_path = path::parent(full).ok_or(ErrorCode::BadArguments)?;
        let node = self.outstanding.node(full, tree).ok_or(ErrorCode::NoNode)?;
        if node.num_children > 0 {
            return Err(ErrorCode::NotEmpty.into());
        }
        let parent = self.outstanding.node(parent_path, tree).ok_or(ErrorCode::NoNode)?;
        self.remove(judge, full, parent, out);
        Ok(OpCode::DeleteContainer.to_int())
    }

    fn valid_node(&self, judge: &Judge<'_>, full: &[u8]) -> Result<PendingNode, Refusal> {
        if !path::is_valid(full) {
            return Err(ErrorCode::BadArguments.into());
        }
        let node = self.outstanding.node(path::canonical(full), &judge.db.tree);
        node.ok_or(ErrorCode::NoNode.into())
    }

    fn check_session(&self, judge: &Judge<'_>) -> Result<(), Refusal> {
        if judge.sessions.may_write(judge.session) {
            Ok(())
        } else {
            Err(ErrorCode::SessionExpired.into())
        }
    }

    fn check_acl(&self, judge: &Judge<'_>, acl: &AclList, perm: i32) -> Result<(), Refusal> {
        if self.options.policy.allows(acl, perm, judge.identities) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth.into())
        }
    }
}

impl Judge<'_> {
    /// A change record's key for `part`, a piece of the request, without copying it.
    fn key(&self, part: &[u8]) -> Bytes {
        if part.is_empty() { Bytes::new() } else { self.body.slice_ref(part) }
    }
}

/// A write as prep judges it.
enum Part<'a> {
    Create(CreateRequest<'a>, create::Kind),
    Delete(VersionedPath<'a>),
    SetData(SetDataRequest<'a>),
    SetAcl(SetAclRequest<'a>),
    Check(VersionedPath<'a>),
}

/// The version after `current`, if `expected` allows: -1 matches anything. Minus one is skipped
/// when the counter wraps, so that it never names a version (ZOOKEEPER-4743, C-078).
fn check_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(match current.wrapping_add(1) {
        -1 => 0,
        next => next,
    })
}

/// The list that was just encoded: the tree's own if it has it, which is nearly always.
fn decode_acl(encoded: &[u8], tree: &DataTree) -> AclList {
    if let Some(list) = tree.acl_list(encoded) {
        return list.clone();
    }
    let list = crate::proto::acl::read_acl_vector(&mut Reader::unlimited(encoded));
    list.expect("a list that was just encoded").unwrap_or_default().into()
}

/// Whether a node may have children at all (C-039).
fn is_ephemeral(node: &PendingNode, owners: OwnerEncoding) -> bool {
    matches!(owners.decode(node.stat.ephemeral_owner), NodeOwner::Session(_))
}

/// A null vector, encoded.
const NULL_VECTOR: [u8; 4] = (-1_i32).to_be_bytes();

/// A multi's part as prep judges it; reads do not belong into one.
///
/// A null path, or a null list of a create, makes the whole multi unreadable, wherever it stands
/// (F-5).
fn write_part(part: MultiPart<'_>, has_create2: bool) -> Result<Part<'_>, Refusal> {
    let (path, acl) = match &part {
        MultiPart::Create(_, create) => (create.path, Some(create.acl)),
        MultiPart::Delete(r) | MultiPart::Check(r) => (r.path, None),
        MultiPart::SetData(r) => (r.path, None),
        MultiPart::GetData(r) | MultiPart::GetChildren(r) => (r.path, None),
    };
    path.ok_or(Refusal::Unreadable)?;
    if acl == Some(&NULL_VECTOR[..]) {
        return Err(Refusal::Unreadable);
    }
    Ok(match part {
        MultiPart::Create(op, request) => {
            let old = op == OpCode::Create2 && !has_create2;
            let kind = create::in_multi(if old { OpCode::Create } else { op }, &request)?;
            Part::Create(request, kind)
        }
        MultiPart::Delete(request) => Part::Delete(request),
        MultiPart::SetData(request) => Part::SetData(request),
        MultiPart::Check(request) => Part::Check(request),
        MultiPart::GetData(_) | MultiPart::GetChildren(_) => return Err(Refusal::Unreadable),
    })
}

#[cfg(test)]
mod tests;
