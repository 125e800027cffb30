//! A capture beside writers must show the tree as it was when it began.

use std::collections::BTreeMap;

use super::super::builder::DatabaseBuilder;
use super::super::testing::*;
use super::*;
use crate::jute::Reader;
use crate::proto::txns::{CreateKind, CreateTxn, Txn};
use crate::proto::{StatPersisted, path};

/// Numbers from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

/// A transaction on a small set of paths, so that nodes are made, changed and deleted again.
fn random_write(numbers: &mut Numbers, shared: &SharedDatabase) {
    let mut path = String::new();
    for _ in 0..1 + numbers.below(4) {
        path.push_str(&format!("/n{}", numbers.below(6)));
    }
    let kind = match numbers.below(4) {
        0 => EPHEMERAL,
        1 => CreateKind::Container,
        _ => PERSISTENT,
    };
    let acl = world(numbers.below(5) as i32);
    let data = vec![b'd'; numbers.below(20)];
    let version = numbers.below(100) as i32;
    let session = 1 + numbers.below(3) as i64;
    let parts = path.matches('/').count();
    let txn = match numbers.below(12) {
        0..5 => Txn::Create(CreateTxn {
            path: path.as_bytes(),
            data: (data.len() > 2).then_some(&data),
            acl: &acl,
            parent_cversion: -1,
            kind,
        }),
        5..7 => Txn::SetData { path: path.as_bytes(), data: Some(&data), version },
        7..9 => Txn::SetAcl { path: path.as_bytes(), acl: &acl, version },
        9 => close(None),
        // Deep nodes only, or a subtree would vanish each time.
        _ if parts > 2 => delete(&path),
        _ => Txn::CreateSession { timeout_ms: version },
    };
    let mut database = shared.write();
    let zxid = database.last_processed().0 + 1;
    database.apply(&record(zxid, session, txn), &mut ());
}

/// Quotas of some of those paths. Their statistics change beside the transactions, and what is
/// carried forward must be what a load of the snapshot counts.
fn add_quotas(shared: &SharedDatabase) {
    let mut database = shared.write();
    for of in ["n0", "n1"] {
        for name in ["", "/zookeeper_limits", "/zookeeper_stats"] {
            let path = format!("/zookeeper/quota/{of}{name}");
            let zxid = database.last_processed().0 + 1;
            database.apply(&record(zxid, 1, create(&path, PERSISTENT, -1)), &mut ());
        }
    }
}

/// What a capture must show.
struct Expected {
    nodes: BTreeMap<Vec<u8>, Dumped>,
    digest: u64,
    zxid: Zxid,
    sessions: BTreeMap<SessionId, i32>,
}

fn expected(shared: &SharedDatabase) -> Expected {
    let database = shared.read();
    Expected {
        nodes: dump(&database.tree),
        digest: database.tree.digest(),
        zxid: database.last_processed(),
        sessions: database.sessions().collect(),
    }
}

/// Loads a capture's records; a child before its parent would be an error.
fn assert_shows(capture: &SnapshotCapture, records: &[u8], expected: &Expected) {
    assert_eq!((capture.zxid(), capture.digest().1), (expected.zxid, expected.digest));
    let mut builder = DatabaseBuilder::new(options());
    for (index, raw) in capture.acls() {
        builder.add_acl(*index, raw).unwrap();
    }
    for &(id, timeout_ms) in capture.sessions() {
        builder.add_session(id, timeout_ms);
    }
    let mut r = Reader::unlimited(records);
    while r.remaining() > 0 {
        let path = r.required_ustring().unwrap();
        let data = r.buffer().unwrap();
        let acl = r.long().unwrap();
        builder.add_node(path, data, acl, &StatPersisted::read(&mut r).unwrap()).unwrap();
    }
    let database = builder.finish(capture.zxid()).unwrap();
    assert_consistent(&database.tree);
    assert_eq!(database.tree.missing_acls(), 0);
    assert_eq!(dump(&database.tree), expected.nodes);
    assert_eq!(database.tree.digest(), expected.digest);
    assert_eq!(database.sessions().collect::<BTreeMap<_, _>>(), expected.sessions);
}

#[test]
fn captures_beside_random_writes_show_the_tree_as_it_was() {
    let mut carried_aside = 0;
    for seed in 1..=60u64 {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ seed);
        let shared = SharedDatabase::new(Database::new(options()));
        add_quotas(&shared);
        for _ in 0..numbers.below(600) {
            random_write(&mut numbers, &shared);
        }
        // Several captures at once, each begun at its own moment and drawn at its own pace.
        let mut running: Vec<(SnapshotCapture, Vec<u8>, Expected, bool)> = Vec::new();
        for _ in 0..3 {
            let before = expected(&shared);
            let mut capture = shared.begin_snapshot();
            capture.piece_nodes = 1 + numbers.below(5);
            running.push((capture, Vec::new(), before, true));
            for _ in 0..numbers.below(60) {
                random_write(&mut numbers, &shared);
                for (capture, records, _, more) in &mut running {
                    if *more && numbers.below(3) == 0 {
                        carried_aside += usize::from(!capture.walk.lock().pending.is_empty());
                        *more = capture.next_nodes(&shared, records).unwrap();
                    }
                }
            }
        }
        assert_consistent(&shared.read().tree);
        for (mut capture, mut records, before, _) in running {
            while capture.next_nodes(&shared, &mut records).unwrap() {}
            assert_shows(&capture, &records, &before);
        }
        random_write(&mut numbers, &shared);
        shared.write().tree.before_change(ROOT);
        assert!(shared.read().tree.captures.is_empty(), "dropped captures are forgotten");
    }
    assert!(carried_aside > 100, "writers hardly ever met the walk: {carried_aside}");
}

#[test]
fn a_dropped_capture_keeps_nothing() {
    let shared = SharedDatabase::new(Database::new(options()));
    let capture = shared.begin_snapshot();
    shared.write().apply(&record(1, 1, create("/a", PERSISTENT, 1)), &mut ());
    let walk = shared.read().tree.captures[0].clone();
    assert!(!walk.lock().pending.is_empty(), "the root was set aside");
    drop(capture);
    let walk = walk.lock();
    assert_eq!((walk.pending.capacity(), walk.done.capacity()), (0, 0));
}

#[test]
fn a_capture_of_a_replaced_tree_is_lost() {
    let shared = SharedDatabase::new(Database::new(options()));
    let mut capture = shared.begin_snapshot();
    shared.write().replace(Database::new(options()));
    let mut out = Vec::new();
    assert_eq!(capture.next_nodes(&shared, &mut out), Err(CaptureLost));
    assert!(out.is_empty());
}

#[test]
fn a_piece_is_bounded_even_on_the_way_to_a_deep_node() {
    let mut database = Database::new(options());
    let mut deep = String::new();
    for zxid in 1..=500 {
        deep.push_str("/d");
        database.apply(&record(zxid, 1, create(&deep, PERSISTENT, 1)), &mut ());
    }
    // The last node gets the first id: the walk meets the whole chain at once.
    let shared = SharedDatabase::new(database);
    let before = expected(&shared);
    let mut capture = shared.begin_snapshot();
    capture.piece_nodes = 10;
    capture.next = shared.read().tree.find(deep.as_bytes()).unwrap();
    let (mut records, mut pieces, mut from) = (Vec::new(), 0, 0);
    while capture.next_nodes(&shared, &mut records).unwrap() {
        pieces += 1;
        assert!(count(&records[from..]) <= 10);
        from = records.len();
    }
    assert!(pieces >= 50, "{pieces}");
    capture.next = ROOT;
    while capture.next_nodes(&shared, &mut records).unwrap() {}
    assert_shows(&capture, &records, &before);
}

fn count(records: &[u8]) -> usize {
    let mut r = Reader::unlimited(records);
    let mut count = 0;
    while r.remaining() > 0 {
        r.buffer().unwrap();
        r.buffer().unwrap();
        r.take(8 + StatPersisted::SIZE).unwrap();
        count += 1;
    }
    count
}

/// Bytes of the snapshot that Java writes of an empty tree.
#[test]
fn the_empty_trees_records() {
    let shared = SharedDatabase::new(Database::new(options()));
    let mut capture = shared.begin_snapshot();
    assert_eq!(capture.acls(), [(1, world(1))]);
    let mut out = Vec::new();
    assert_eq!(capture.next_nodes(&shared, &mut out), Ok(true));
    assert_eq!(capture.next_nodes(&shared, &mut out), Ok(false));
    let mut expected = Vec::new();
    for (path, acl, aversion) in
        [(&b""[..], -1, 0), (path::ZOOKEEPER, -1, 0), (path::QUOTA, -1, 0), (path::CONFIG, 1, -1)]
    {
        expected.put_ustring(path);
        expected.put_ustring(b"");
        expected.put_long(acl);
        StatPersisted { aversion, ..StatPersisted::default() }.write(&mut expected);
    }
    assert_eq!(out, expected);
}
