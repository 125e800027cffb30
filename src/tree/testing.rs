//! What the tests of this module share: a database to play transactions on, checked after each.

use std::collections::BTreeMap;

use super::apply::Applied;
use super::data_tree::{DataTree, TreeOptions};
use super::database::Database;
use super::digest::counts;
use super::observer::Observer;
use crate::jute::{Reader, Writer};
use crate::proto::acl::write_acl_vector;
use crate::proto::stat::{NodeOwner, OwnerEncoding};
use crate::proto::txns::{
    CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord, write_multi_part, write_path_vector,
};
use crate::proto::{Acl, AclList, EventType, OpCode, SessionId, Stat, StatPersisted, Zxid, path};

/// The list that allows everyone everything, encoded.
pub(super) const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

pub(super) const PERSISTENT: CreateKind = CreateKind::Plain { ephemeral: false, with_stat: false };
pub(super) const EPHEMERAL: CreateKind = CreateKind::Plain { ephemeral: true, with_stat: true };

pub(super) fn options() -> TreeOptions {
    let owners = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
    TreeOptions { owners, digest_enabled: true, hash_seed: 42 }
}

/// A list of one entry, encoded.
pub(super) fn world(perms: i32) -> Vec<u8> {
    let mut raw = Vec::new();
    write_acl_vector(&[Acl::new(perms, b"world", b"anyone")], &mut raw);
    raw
}

pub(super) fn create<'a>(path: &'a str, kind: CreateKind, parent_cversion: i32) -> Txn<'a> {
    let path = path.as_bytes();
    Txn::Create(CreateTxn { path, data: Some(b"data"), acl: OPEN, parent_cversion, kind })
}

pub(super) fn delete(path: &str) -> Txn<'_> {
    Txn::Delete { path: path.as_bytes() }
}

pub(super) fn set_data<'a>(path: &'a str, data: &'a str, version: i32) -> Txn<'a> {
    Txn::SetData { path: path.as_bytes(), data: Some(data.as_bytes()), version }
}

/// A closeSession with a list, or the old form without.
pub(super) fn close(paths: Option<&[&str]>) -> Txn<'static> {
    let mut body = Vec::new();
    if let Some(paths) = paths {
        write_path_vector(paths.iter().map(|path| path.as_bytes()), &mut body);
    }
    Txn::read(OpCode::CloseSession.to_int(), &mut Reader::unlimited(body.leak())).unwrap()
}

pub(super) fn multi(parts: &[(OpCode, Txn<'_>)]) -> Txn<'static> {
    let mut body = Vec::new();
    body.put_int(parts.len() as i32);
    for (op, txn) in parts {
        write_multi_part(op.to_int(), txn, &mut body);
    }
    Txn::read(OpCode::Multi.to_int(), &mut Reader::unlimited(body.leak())).unwrap()
}

pub(super) fn record(zxid: u64, session: i64, txn: Txn<'_>) -> TxnRecord<'_> {
    let header = TxnHeader {
        client_id: SessionId(session),
        cxid: 1,
        zxid: Zxid(zxid),
        time: time_of(zxid),
        txn_type: 0,
    };
    TxnRecord { header, txn, digest: None }
}

/// The wall clock of a transaction.
pub(super) fn time_of(zxid: u64) -> i64 {
    1_000_000 + zxid as i64
}

/// A node without its path.
pub(super) type Dumped = (Option<Vec<u8>>, Vec<u8>, StatPersisted);

/// Every node by path.
pub(super) fn dump(tree: &DataTree) -> BTreeMap<Vec<u8>, Dumped> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let node = tree.node(&path).expect("a child's path leads to it");
        assert_eq!(node.path(), path);
        for name in node.children() {
            waiting.push([&path[..], b"/", name].concat());
        }
        let data = node.data().map(<[u8]>::to_vec);
        let value = (data, node.acl_encoded().to_vec(), node.persisted());
        assert!(all.insert(path, value).is_none(), "a child is listed twice");
    }
    all
}

/// What is kept up to date must be what a walk finds.
pub(super) fn assert_consistent(tree: &DataTree) {
    let all = dump(tree);
    let (mut digest, mut size, mut ephemerals) = (0u64, 0, 0);
    for (path, (data, _, stat)) in &all {
        let data = data.as_deref().unwrap_or_default();
        let own = if counts(path) { stat.digest(path, data) } else { 0 };
        digest = digest.wrapping_add(own.into());
        assert_eq!(tree.node(path).unwrap().digest(), own);
        size += (path.len() + data.len()) as u64;
        if let NodeOwner::Session(session) = tree.options.owners.decode(stat.ephemeral_owner) {
            ephemerals += 1;
            assert!(tree.ephemerals_of(SessionId(session)).contains(path));
        }
    }
    assert_eq!(tree.node_count(), all.len(), "nodes");
    assert_eq!(tree.descendants(b"/"), Some(all.len() - 1), "descendants");
    assert_eq!(tree.digest(), digest, "digest");
    assert_eq!(tree.approximate_data_size(), size, "data size");
    assert_eq!(tree.ephemerals_count(), ephemerals, "ephemerals");
    assert_eq!(tree.ephemeral_owners().map(|(_, n)| n).sum::<usize>(), ephemerals);
    for reserved in [&b"/"[..], path::ZOOKEEPER, path::QUOTA, path::CONFIG] {
        assert!(tree.node(reserved).is_some());
    }
}

/// A database and what its observer heard.
pub(super) struct Play {
    pub(super) database: Database,
    pub(super) events: Vec<String>,
}

impl Play {
    pub(super) fn new() -> Self {
        Play { database: Database::new(options()), events: Vec::new() }
    }

    /// Applies a transaction, whatever its zxid.
    pub(super) fn at(&mut self, zxid: u64, session: i64, txn: Txn<'_>) -> Applied {
        self.events.clear();
        let mut heard = Heard(&mut self.events, Zxid(zxid));
        let applied = self.database.apply(&record(zxid, session, txn), &mut heard);
        assert_consistent(&self.database.tree);
        applied
    }

    /// Applies the next transaction.
    pub(super) fn next(&mut self, session: i64, txn: Txn<'_>) -> Applied {
        self.at(self.database.last_processed().0 + 1, session, txn)
    }

    /// Applies the next transaction, whose reply has a stat.
    pub(super) fn stat_of(&mut self, session: i64, txn: Txn<'_>) -> Stat {
        match self.next(session, txn) {
            Applied::Stat(stat) => stat,
            other => panic!("{other:?} is no stat"),
        }
    }

    pub(super) fn stat(&self, path: &str) -> Stat {
        self.database.tree.node(path.as_bytes()).expect(path).stat()
    }

    pub(super) fn persisted(&self, path: &str) -> StatPersisted {
        self.database.tree.node(path.as_bytes()).expect(path).persisted()
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.database.tree.node(path.as_bytes()).is_some()
    }
}

struct Heard<'a>(&'a mut Vec<String>, Zxid);

impl Observer for Heard<'_> {
    fn changed(&mut self, event: EventType, path: &[u8], acl: &AclList, zxid: Zxid) {
        assert_eq!(zxid, self.1);
        self.0.push(format!("{event:?} {} {}", path.escape_ascii(), acl[0].perms));
    }
}
