//! What the tests of the stages share: requests as clients write them, and a plain server's options.

use std::sync::Arc;

use super::prep::PrepOptions;
use super::request::{Origin, Request};
use crate::auth::{AuthPolicy, Identities};
use crate::jute::Writer;
use crate::proto::acl::write_acl_vector;
use crate::proto::requests::MultiHeader;
use crate::proto::stat::OwnerEncoding;
use crate::proto::txns::{Txn, TxnRecord};
use crate::proto::{Acl, ConnectionId, OpCode, SessionId, perms};
use crate::tree::TreeOptions;

pub(crate) const OWNERS: OwnerEncoding =
    OwnerEncoding { extended_types: true, emulate_353_ttl: false };

pub(crate) const EPHEMERAL: i32 = 1;
pub(crate) const SEQUENTIAL: i32 = 2;

pub(crate) fn tree_options() -> TreeOptions {
    TreeOptions { owners: OWNERS, digest_enabled: true, hash_seed: 7 }
}

pub(crate) fn policy() -> AuthPolicy {
    AuthPolicy::default()
}

pub(crate) fn prep_options() -> PrepOptions {
    PrepOptions {
        policy: policy(),
        owners: OWNERS,
        digest_enabled: true,
        close_session_txn: true,
        multi_has_create2: true,
        reconfig_enabled: false,
        enforce_quota: false,
        max_txn_bytes: 1 << 20,
        max_field_bytes: 1 << 20,
        hash_seed: 7,
    }
}

/// The list that gives everyone `perms`, encoded.
pub(crate) fn world(perms: i32) -> Vec<u8> {
    let mut raw = Vec::new();
    write_acl_vector(&[Acl::new(perms, b"world", b"anyone")], &mut raw);
    raw
}

/// The list that gives everyone everything, encoded.
pub(crate) fn open() -> Vec<u8> {
    world(perms::ALL)
}

/// A create, create2 or createContainer with that ACL.
pub(crate) fn create_with(path: &str, acl: &[u8], flags: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.put_buffer(Some(b"data"));
    body.extend_from_slice(acl);
    body.put_int(flags);
    body
}

pub(crate) fn create(path: &str, flags: i32) -> Vec<u8> {
    create_with(path, &open(), flags)
}

pub(crate) fn create_ttl(path: &str, flags: i32, ttl: i64) -> Vec<u8> {
    let mut body = create(path, flags);
    body.put_long(ttl);
    body
}

/// A delete, or a multi's check.
pub(crate) fn versioned(path: &str, version: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.put_int(version);
    body
}

pub(crate) fn set_data(path: &str, data: &[u8], version: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.put_buffer(Some(data));
    body.put_int(version);
    body
}

pub(crate) fn set_acl(path: &str, acl: &[u8], version: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.extend_from_slice(acl);
    body.put_int(version);
    body
}

pub(crate) fn multi(parts: &[(OpCode, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (op, part) in parts {
        MultiHeader { op: op.to_int(), done: false, err: -1 }.write(&mut body);
        body.extend_from_slice(part);
    }
    MultiHeader::END.write(&mut body);
    body
}

/// A request of a session whose connection has the session's number.
pub(crate) fn request(session: i64, op: OpCode, body: Vec<u8>) -> Request {
    let connection = ConnectionId(session as u64);
    Request {
        session: SessionId(session),
        xid: 1,
        op,
        body: body.into(),
        identities: Arc::new(Identities::of_peer([127, 0, 0, 1].into())),
        origin: Some(Origin { connection, xid: 1, op, received_ms: 0 }),
        throttled: false,
    }
}

/// A transaction in a few words.
pub(crate) fn in_words(txn: &[u8]) -> String {
    let record = TxnRecord::read(txn, usize::MAX).expect("a transaction");
    part_in_words(&record.txn)
}

fn part_in_words(txn: &Txn<'_>) -> String {
    match txn {
        Txn::CreateSession { timeout_ms } => format!("createSession {timeout_ms}"),
        Txn::CloseSession { paths } => {
            let paths = paths.expect("a list").iter().map(text).collect::<Vec<_>>();
            format!("closeSession [{}]", paths.join(" "))
        }
        Txn::Create(create) => format!("create {}", text(create.path)),
        Txn::Delete { path } => format!("delete {}", text(path)),
        Txn::SetData { path, version, .. } => format!("setData {} {version}", text(path)),
        Txn::SetAcl { path, version, .. } => format!("setACL {} {version}", text(path)),
        Txn::Check { path, version } => format!("check {} {version}", text(path)),
        Txn::Error { err } => format!("error {err}"),
        Txn::Multi(multi) => {
            let parts = multi.parts().map(|(_, txn)| part_in_words(&txn)).collect::<Vec<_>>();
            format!("multi [{}]", parts.join(", "))
        }
    }
}

fn text(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// A seeded generator (xorshift64): the same seed tells the same story.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n
    }

    pub(crate) fn one_of<'t, T>(&mut self, these: &'t [T]) -> &'t T {
        &these[self.below(these.len())]
    }
}
