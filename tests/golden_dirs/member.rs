//! Directories of an ensemble's members: they come back as members, and the same history makes the
//! same tree, whether it was logged, sent or cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zkserver::persistence::history::WhatLiesAside;
use zkserver::persistence::snapshot::{
    Compression, SnapshotOptions, SnapshotSpool, SnapshotStream, spool_name,
};
use zkserver::persistence::{
    DataDir, DataDirOptions, HistoryRestored, MemberRestoreOptions, MemberRestored, Origin,
    RealDisk, RestoreOptions, history, restore_history, restore_member,
};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::{Epoch, LinkId, Zxid};
use zkserver::tree::{SharedDatabase, TreeOptions};

use crate::common::golden;

const OPTIONS: MemberRestoreOptions = MemberRestoreOptions {
    restore: RestoreOptions {
        tree: TreeOptions {
            owners: OwnerEncoding { extended_types: true, emulate_353_ttl: false },
            digest_enabled: true,
            hash_seed: 3,
        },
        max_record: 2_097_150,
        db_autocreate: true,
        snapshot_trust_empty: false,
        force_sync: true,
    },
    snapshot: SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None },
    commit_log_count: 500,
};

/// A copy of a member's directory.
struct Copy {
    root: tempfile::TempDir,
}

impl Copy {
    fn new(server: &str, without: &[&str]) -> Copy {
        let root = tempfile::tempdir().expect("a directory");
        let to = root.path().join("version-2");
        std::fs::create_dir(&to).expect("a directory");
        let from: PathBuf = golden::path(&format!("quorum-3.8.0/{server}/version-2"));
        for entry in std::fs::read_dir(from).expect("the golden directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            if !without.contains(&name.as_str()) {
                std::fs::copy(entry.path(), to.join(name)).expect("a copy");
            }
        }
        Copy { root }
    }

    fn open(&self) -> DataDir {
        let data_dir = self.root.path().to_owned();
        let options = DataDirOptions { data_dir, data_log_dir: None, autocreate: false };
        DataDir::open(Arc::new(RealDisk), &options).expect("a data directory")
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

fn member(dir: &DataDir) -> MemberRestored {
    restore_member(dir, &OPTIONS, &mut |_| ()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn reloaded(dir: &DataDir) -> HistoryRestored {
    restore_history(dir, &OPTIONS, &mut |_| ()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Last transaction, digest, nodes, sessions.
fn state(history: &HistoryRestored) -> (Zxid, u64, usize, Vec<(i64, i32)>) {
    let database = &history.database;
    let mut sessions: Vec<_> = database.sessions().map(|(id, ms)| (id.0, ms)).collect();
    sessions.sort_unstable();
    (history.last_zxid, database.tree.digest(), database.tree.node_count(), sessions)
}

/// C-251, C-262: both members of the captured ensemble come back with epochs and vote, and with equal
/// trees, though one logged everything, and the other was sent a snapshot and was cut.
#[test]
fn both_members_of_the_captured_ensemble_come_back_equal() {
    let mut states = Vec::new();
    for (server, newest) in [("server1", "snapshot.10000001e"), ("server3", "snapshot.10000000d")] {
        for without in [&[][..], &[newest]] {
            let copy = Copy::new(server, without);
            let found = member(&copy.open());
            assert_eq!((found.accepted_epoch, found.current_epoch), (Epoch(2), Epoch(2)));
            assert!(found.may_vote && found.has_data);
            assert_eq!(found.history.report.digest_mismatches, 0, "{server}");
            assert!(found.history.report.notices.is_empty(), "{:?}", found.history.report.notices);
            let last = found.history.recent.last().map(|(zxid, _)| *zxid);
            assert!(last.is_none_or(|last| last == found.history.last_zxid), "{server}");
            states.push(state(&found.history));
        }
    }
    assert!(states.iter().all(|other| *other == states[0]), "{states:x?}");
}

/// C-215: the member that logged everything is cut where the other one was: the trees are equal, and
/// stay so over a restart.
#[test]
fn a_cut_member_has_the_tree_of_the_one_that_was_cut() {
    let to = Zxid(0x1_0000_000d);
    let cut = Copy::new("server1", &[]);
    let dir = cut.open();
    member(&dir);
    assert_eq!(history::truncate(&dir, to).expect("it is cut"), to);
    let found = reloaded(&dir);
    drop(dir);
    let other = Copy::new("server3", &["log.10000000e"]);
    let other = member(&other.open());
    assert_eq!(other.history.last_zxid, to);
    assert_eq!(state(&found), state(&other.history));
    assert_eq!(state(&member(&cut.open()).history), state(&found));
    assert!(cut.path().join("version-2/zkserver.aside.snapshot.10000001e").exists());
}

/// C-216: one member's tree, sent as a leader sends it, takes the place of the other's history.
#[test]
fn a_tree_that_was_sent_is_the_one_that_is_found() {
    let leader = Copy::new("server1", &[]);
    let leader = member(&leader.open()).history;
    let (zxid, expected) = (leader.last_zxid, state(&leader));
    let shared = SharedDatabase::new(leader.database);
    let mut stream = SnapshotStream::new(shared.begin_snapshot());
    assert_eq!(stream.zxid(), zxid);
    let mut bytes = Vec::new();
    while stream.next_piece(&shared, &mut bytes).expect("the tree stays") {}

    let learner = Copy::new("server3", &["log.10000000e"]);
    let dir = learner.open();
    member(&dir);
    let (link, tree) = (LinkId(1), OPTIONS.restore.tree);
    let mut spool =
        SnapshotSpool::new(&RealDisk, dir.snapshot_dir(), link, tree, 2_097_150).expect("a spool");
    assert_eq!(spool.take(&bytes).expect("a tree"), bytes.len());
    spool.finish().expect("the whole tree");
    history::replace(&dir, &spool_name(link), zxid, WhatLiesAside::NothingOfUse, Zxid::ZERO)
        .expect("it is installed");
    let found = reloaded(&dir);
    assert_eq!(state(&found), expected);
    assert_eq!(dir.logs().expect("a list"), []);
    drop(dir);
    let found = member(&learner.open());
    assert_eq!(state(&found.history), expected);
    let name = format!("snapshot.{:x}", zxid.0);
    assert_eq!(found.history.report.origin, Origin::Snapshot { name, zxid });
    assert!(found.may_vote);
}
