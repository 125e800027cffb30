//! Trees: as a server sends them, and as one has them that was sent.

use std::sync::Arc;

use zkserver::persistence::history::WhatLiesAside;
use zkserver::persistence::snapshot::{Compression, SnapshotOptions, SnapshotSpool, spool_name};
use zkserver::persistence::{
    DataDir, DataDirOptions, MemberRestoreOptions, RealDisk, RestoreOptions, history,
    restore_history,
};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::{LinkId, SessionId, Zxid};
use zkserver::tree::{Database, TreeOptions};

use crate::recording::MAX_LENGTH;

/// How the captured servers keep them.
pub const OPTIONS: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: true, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};

/// What tells a tree from another: its digest, how many nodes it has, its sessions.
pub type InShort = (u64, usize, Vec<(SessionId, i32)>);

pub fn in_short(db: &Database) -> InShort {
    let mut sessions: Vec<_> = db.sessions().collect();
    sessions.sort_unstable();
    (db.tree.digest(), db.tree.node_count(), sessions)
}

/// The tree that a restart finds when that stream was installed.
pub fn received(zxid: Zxid, stream: &[u8]) -> Database {
    let root = tempfile::tempdir().expect("a directory");
    let options =
        DataDirOptions { data_dir: root.path().into(), data_log_dir: None, autocreate: true };
    let dir = DataDir::open(Arc::new(RealDisk), &options).expect("a data directory");
    let link = LinkId(0);
    let mut spool = SnapshotSpool::new(&RealDisk, dir.snapshot_dir(), link, OPTIONS, MAX_LENGTH)
        .expect("a spool");
    assert_eq!(spool.take(stream).expect("a tree"), stream.len());
    spool.finish().expect("the whole tree");
    history::replace(&dir, &spool_name(link), zxid, WhatLiesAside::NothingOfUse, Zxid::ZERO)
        .expect("it is installed");
    let options = MemberRestoreOptions {
        restore: RestoreOptions {
            tree: OPTIONS,
            max_record: MAX_LENGTH,
            db_autocreate: true,
            snapshot_trust_empty: false,
            force_sync: true,
        },
        snapshot: SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None },
        commit_log_count: 500,
    };
    let found = restore_history(&dir, &options, &mut |_| ());
    found.unwrap_or_else(|refusal| panic!("{refusal}")).database
}
