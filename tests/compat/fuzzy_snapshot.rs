//! A restart from a snapshot as Apache ZooKeeper writes it: named by the zxid at which it was
//! begun, and holding here a node as it was then, there one as it was at the end.

use std::path::Path;

use zkserver::jute::Writer;
use zkserver::persistence::RealDisk;
use zkserver::persistence::snapshot::{Compression, SnapshotOptions, write_snapshot};
use zkserver::persistence::txn_log::{LogReader, record};
use zkserver::proto::Zxid;
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::txns::{DIGEST_VERSION, TxnRecord};
use zkserver::tree::{Database, DatabaseBuilder, SharedDatabase, TreeOptions};

use crate::common::client::{CHILDREN_CHANGED, CREATED, DATA_CHANGED, DELETED};
use crate::common::{RawClient, Stat, TestServer, flag};

const TREE: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: false, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};
const MAX_RECORD: usize = 1 << 20;

/// The database after the transactions of `log` up to `last`.
fn database_at(log: &Path, last: i64) -> Database {
    let mut database = Database::new(TREE);
    let mut reader = LogReader::open(&RealDisk, log, MAX_RECORD).expect("the log");
    while let Some(record) = reader.next().expect("a whole log") {
        if record.zxid.to_long() <= last {
            let txn = TxnRecord::read(record.txn, MAX_RECORD).expect("a transaction");
            database.apply(&txn, &mut ());
        }
    }
    database
}

/// Writes the snapshot that was begun behind `begin`: of `late` nodes it has what `end` has, which
/// may be nothing, of all others what `begin` has.
fn write_fuzzy(dir: &Path, begin: &Database, end: &Database, late: &[&str]) {
    let mut builder = DatabaseBuilder::new(TREE);
    for (session, timeout_ms) in begin.sessions() {
        builder.add_session(session, timeout_ms);
    }
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    let mut index = 0;
    while let Some(path) = paths.pop() {
        let is_late = late.iter().any(|late| late.as_bytes() == path);
        let from = if is_late { end } else { begin };
        let Some(node) = from.tree.node(&path) else { continue };
        index += 1;
        builder.add_acl(index, node.acl_encoded()).expect("an ACL");
        builder.add_node(&path, node.data(), index, &node.persisted()).expect("a node");
        for child in node.children() {
            paths.push([&path[..], b"/", child].concat());
        }
    }
    let database = builder.finish(begin.last_processed()).expect("a tree");
    let shared = SharedDatabase::new(database);
    let options =
        SnapshotOptions { digest: false, last_zxid: false, compression: Compression::None };
    let written = write_snapshot(&RealDisk, dir, &shared, shared.begin_snapshot(), options, |_| ());
    // Behind the nodes Apache ZooKeeper puts the digest that the living tree has by then.
    let file = dir.join(written.expect("the snapshot").name);
    let mut bytes = std::fs::read(&file).expect("the snapshot");
    bytes.put_long(end.last_processed().to_long());
    bytes.put_int(DIGEST_VERSION);
    bytes.put_long(end.tree.digest() as i64);
    bytes.put_long(i64::from(record::checksum(&bytes)));
    bytes.put_ustring(b"/");
    std::fs::write(&file, bytes).expect("the snapshot");
}

const NODES: [&str; 10] =
    ["/set", "/set-late", "/p", "/p/x", "/p/y", "/q", "/q/new", "/r", "/r/new", "/e"];

/// What getData says of a node: nothing, or data and stat.
type Seen = Option<(Option<Vec<u8>>, Stat)>;

fn stats(client: &mut RawClient) -> Vec<(String, Seen)> {
    let read = |path: &&str| {
        let reply = client.get_data(path, false);
        (path.to_string(), (reply.err == 0).then(|| reply.data()))
    };
    NODES.iter().map(read).collect()
}

/// C-137: setWatches on a server that has restarted from a fuzzy snapshot: each node's mzxid and
/// pzxid tell what a client that was away has missed, neither more nor less.
#[test]
fn set_watches_works_after_a_restart_from_a_fuzzy_snapshot() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for path in ["/set", "/set-late", "/p", "/p/x", "/p/y", "/q", "/r"] {
        c.create(path, b"first", 0).ok();
    }
    let begun = c.create("/e", b"", flag::EPHEMERAL).ok().zxid;
    c.set_data("/set", b"second", -1).ok();
    c.set_data("/set-late", b"second", -1).ok();
    // Created again behind its parent's back: the snapshot has the old parent and the new child.
    c.delete("/p/x", -1).ok();
    c.create("/p/x", b"again", 0).ok();
    // Gone when the snapshot comes to it, and its parent does not know.
    c.delete("/p/y", -1).ok();
    // Parent and child are there already; then neither is.
    c.create("/q/new", b"", 0).ok();
    let seen = c.create("/r/new", b"", 0).ok().zxid;
    c.set_data("/q", b"third", -1).ok();
    let expected = stats(&mut c);
    let last = c.ping().zxid;
    server.kill();

    let log = server.version_dir().join("log.1");
    let (begin, end) = (database_at(&log, begun), database_at(&log, last));
    assert_eq!(begin.last_processed(), Zxid::from_long(begun));
    std::fs::remove_file(server.version_dir().join("snapshot.0")).expect("the first snapshot");
    let late = ["/set-late", "/p/x", "/p/y", "/q", "/q/new"];
    write_fuzzy(&server.version_dir(), &begin, &end, &late);
    assert_eq!(server.files("snapshot"), [format!("snapshot.{begun:x}")]);
    server.restart();

    assert_eq!(server.zxid(), last);
    let mut c = RawClient::new(&server);
    assert_eq!(stats(&mut c), expected);
    let lists: [&[&str]; 3] = [&["/set", "/set-late", "/p/x", "/p/y"], &["/q/new"], &["/p", "/q"]];
    assert_eq!(c.set_watches(begun, lists).err, 0);
    let mut fired = c.all_fired();
    fired.sort();
    let mut missed = [
        (CREATED, "/q/new"),
        (DELETED, "/p/y"),
        (DATA_CHANGED, "/set"),
        (DATA_CHANGED, "/set-late"),
        (DATA_CHANGED, "/p/x"),
        (CHILDREN_CHANGED, "/p"),
        (CHILDREN_CHANGED, "/q"),
    ]
    .map(|(kind, path)| (kind, path.to_owned()));
    missed.sort();
    assert_eq!(fired, missed);

    // Who has seen all but the last change misses that one.
    let mut c = RawClient::new(&server);
    let lists: [&[&str]; 3] = [&["/set", "/set-late", "/q"], &[], &["/p", "/q", "/r"]];
    assert_eq!(c.set_watches(seen, lists).err, 0);
    assert_eq!(c.all_fired(), [(DATA_CHANGED, "/q".to_owned())]);
    c.create("/p/z", b"", 0).ok();
    assert_eq!(c.all_fired(), [(CHILDREN_CHANGED, "/p".to_owned())]);
    assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
}
