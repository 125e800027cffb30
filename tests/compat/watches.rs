//! Standard watches: what sets them, what fires them, that they fire once.

use crate::common::client::{CHILDREN_CHANGED, CREATED, DATA_CHANGED, DELETED};
use crate::common::{Hello, RawClient, bodies, err, eventually, flag, op, shared};

fn two(name: &str) -> (std::sync::Arc<crate::common::TestServer>, RawClient, RawClient, String) {
    let server = shared();
    let watcher = RawClient::new(&server);
    let mut writer = RawClient::new(&server);
    let path = writer.scratch(name);
    (server, watcher, writer, path)
}

/// C-098: exists on a missing node waits for its creation, once.
#[test]
fn an_exists_watch_on_a_missing_node_fires_created_once() {
    let (_server, mut watcher, mut writer, path) = two("c098");
    let node = format!("{path}/n");
    assert_eq!(watcher.exists(&node, true).err, err::NO_NODE);
    writer.create(&node, b"", 0).ok();
    assert_eq!(watcher.fired(), (CREATED, node.clone()));
    writer.set_data(&node, b"", -1).ok();
    writer.delete(&node, -1).ok();
    writer.create(&node, b"", 0).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-099: exists and getData watch the data and the node's end, once.
#[test]
fn data_watches_fire_data_changed_or_deleted_once() {
    let (_server, mut watcher, mut writer, path) = two("c099");
    for kind in [op::EXISTS, op::GET_DATA] {
        let node = format!("{path}/n{kind}");
        writer.create(&node, b"", 0).ok();
        watcher.call(kind, &bodies::watched(&node, true)).ok();
        writer.set_data(&node, b"", -1).ok();
        assert_eq!(watcher.fired(), (DATA_CHANGED, node.clone()));
        writer.set_data(&node, b"", -1).ok();
        assert_eq!(watcher.all_fired(), []);
        watcher.call(kind, &bodies::watched(&node, true)).ok();
        writer.delete(&node, -1).ok();
        assert_eq!(watcher.fired(), (DELETED, node.clone()));
        writer.create(&node, b"", 0).ok();
        assert_eq!(watcher.all_fired(), []);
    }
}

/// C-100: getChildren watches the list, not the children's data.
#[test]
fn child_watches_fire_children_changed_once() {
    let (_server, mut watcher, mut writer, path) = two("c100");
    let child = format!("{path}/c");
    for kind in [op::GET_CHILDREN, op::GET_CHILDREN2] {
        watcher.call(kind, &bodies::watched(&path, true)).ok();
        writer.set_data(&path, b"", -1).ok();
        assert_eq!(watcher.all_fired(), []);
        writer.create(&child, b"", 0).ok();
        assert_eq!(watcher.fired(), (CHILDREN_CHANGED, path.clone()));
        watcher.call(kind, &bodies::watched(&path, true)).ok();
        writer.set_data(&child, b"", -1).ok();
        writer.create(&format!("{child}/grandchild"), b"", 0).ok();
        writer.delete(&format!("{child}/grandchild"), -1).ok();
        assert_eq!(watcher.all_fired(), []);
        writer.delete(&child, -1).ok();
        assert_eq!(watcher.fired(), (CHILDREN_CHANGED, path.clone()));
        assert_eq!(watcher.all_fired(), []);
    }
}

/// C-101: getChildren's watch learns of the node's own end.
#[test]
fn a_child_watch_fires_deleted_when_the_node_goes() {
    let (_server, mut watcher, mut writer, path) = two("c101");
    watcher.get_children(&path, true).ok();
    writer.delete(&path, -1).ok();
    assert_eq!(watcher.all_fired(), [(DELETED, path)]);
}

/// C-102: two watches of one connection on a node that goes give one event.
#[test]
fn data_and_child_watch_give_one_deleted() {
    let (_server, mut watcher, mut writer, path) = two("c102");
    watcher.get_data(&path, true).ok();
    watcher.get_children(&path, true).ok();
    writer.delete(&path, -1).ok();
    assert_eq!(watcher.all_fired(), [(DELETED, path)]);
}

/// C-103, C-104: set twice is set once, and it fires once.
#[test]
fn the_same_watch_twice_fires_once() {
    let (_server, mut watcher, mut writer, path) = two("c104");
    watcher.get_data(&path, true).ok();
    watcher.get_data(&path, true).ok();
    watcher.exists(&path, true).ok();
    writer.set_data(&path, b"1", -1).ok();
    writer.set_data(&path, b"2", -1).ok();
    assert_eq!(watcher.all_fired(), [(DATA_CHANGED, path)]);
}

/// C-105: getData and getChildren on what is missing or forbidden set nothing.
#[test]
fn failed_reads_set_no_watch() {
    let (_server, mut watcher, mut writer, path) = two("c105");
    let missing = format!("{path}/missing");
    assert_eq!(watcher.get_data(&missing, true).err, err::NO_NODE);
    assert_eq!(watcher.get_children(&missing, true).err, err::NO_NODE);
    let forbidden = format!("{path}/forbidden");
    writer.create_with(&forbidden, &bodies::world(31 & !1)).ok();
    assert_eq!(watcher.get_data(&forbidden, true).err, err::NO_AUTH);
    assert_eq!(watcher.get_children(&forbidden, true).err, err::NO_AUTH);
    writer.set_acl(&forbidden, &bodies::open_acl(), -1).ok();
    writer.create(&missing, b"", 0).ok();
    writer.create(&format!("{forbidden}/x"), b"", 0).ok();
    writer.set_data(&forbidden, b"", -1).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-106: neither does exists on a node that one may not read.
#[test]
fn exists_on_a_forbidden_node_sets_no_watch() {
    let (_server, mut watcher, mut writer, path) = two("c106");
    writer.set_acl(&path, &bodies::world(31 & !1), -1).ok();
    assert_eq!(watcher.exists(&path, true).err, err::NO_AUTH);
    writer.set_acl(&path, &bodies::open_acl(), -1).ok();
    writer.set_data(&path, b"", -1).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-107, C-108: setACL and failed writes fire nothing.
#[test]
fn set_acl_and_failed_writes_fire_nothing() {
    let (_server, mut watcher, mut writer, path) = two("c107");
    watcher.get_data(&path, true).ok();
    watcher.get_children(&path, true).ok();
    assert_eq!(watcher.exists(&format!("{path}/n"), true).err, err::NO_NODE);
    writer.set_acl(&path, &bodies::open_acl(), -1).ok();
    assert_eq!(writer.set_data(&path, b"", 99).err, err::BAD_VERSION);
    assert_eq!(writer.delete(&path, 99).err, err::BAD_VERSION);
    assert_eq!(writer.create(&format!("{path}/n"), b"", 99).err, err::BAD_ARGUMENTS);
    let failing = [
        (op::CREATE, bodies::create(format!("{path}/n"), None, &bodies::open_acl(), 0)),
        (op::CHECK, bodies::numbered(&path, 99)),
    ];
    writer.multi(&failing).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-099: on the server a data watch and an exists watch are one: a fired getData watch does not
/// wait for a later create.
#[test]
fn a_fired_data_watch_does_not_wait_for_a_create() {
    let (_server, mut watcher, mut writer, path) = two("c099-create");
    watcher.get_data(&path, true).ok();
    writer.delete(&path, -1).ok();
    writer.create(&path, b"", 0).ok();
    assert_eq!(watcher.all_fired(), [(DELETED, path)]);
}

/// C-115: the close of a session fires as its deletions would.
#[test]
fn a_sessions_end_fires_deleted_and_children_changed() {
    let (server, mut watcher, _writer, path) = two("c115");
    let mut owner = RawClient::new(&server);
    let node = format!("{path}/e");
    owner.create(&node, b"", flag::EPHEMERAL).ok();
    watcher.get_data(&node, true).ok();
    watcher.get_children(&path, true).ok();
    owner.close();
    assert_eq!(watcher.all_fired(), [(DELETED, node), (CHILDREN_CHANGED, path)]);
}

/// C-125, C-128: check and remove tell whether there is such a watch; only remove takes it.
#[test]
fn check_and_remove_watches_by_type() {
    let (_server, mut watcher, mut writer, path) = two("c125");
    assert_eq!(watcher.check_watches(&path, 3).err, err::NO_WATCHER);
    watcher.get_data(&path, true).ok();
    for _ in 0..2 {
        assert_eq!(watcher.check_watches(&path, 2).err, 0);
        assert_eq!(watcher.check_watches(&path, 3).err, 0);
        assert_eq!(watcher.check_watches(&path, 1).err, err::NO_WATCHER);
        assert_eq!(watcher.check_watches(&path, 4).err, err::NO_WATCHER);
        assert_eq!(watcher.check_watches(&path, 5).err, err::NO_WATCHER);
    }
    assert_eq!(watcher.remove_watches(&path, 1).err, err::NO_WATCHER);
    assert_eq!(watcher.remove_watches(&path, 2).err, 0);
    assert_eq!(watcher.remove_watches(&path, 2).err, err::NO_WATCHER);
    writer.set_data(&path, b"", -1).ok();
    assert_eq!(watcher.all_fired(), []);
    watcher.get_children(&path, true).ok();
    assert_eq!(watcher.remove_watches(&path, 1).err, 0);
    writer.create(&format!("{path}/c"), b"", 0).ok();
    assert_eq!(watcher.all_fired(), []);
    for unknown in [0, 6, -1] {
        assert_eq!(watcher.remove_watches(&path, unknown).err, err::MARSHALLING, "{unknown}");
        assert_eq!(watcher.check_watches(&path, unknown).err, err::MARSHALLING, "{unknown}");
    }
}

/// C-126: Any takes all of this connection on this path, and no other path.
#[test]
fn remove_any_takes_all_kinds_on_that_path_only() {
    let (_server, mut watcher, mut writer, path) = two("c126");
    let child = format!("{path}/c");
    writer.create(&child, b"", 0).ok();
    watcher.get_data(&path, true).ok();
    watcher.get_children(&path, true).ok();
    watcher.add_watch(&path, 0).ok();
    watcher.add_watch(&path, 1).ok();
    watcher.get_data(&child, true).ok();
    assert_eq!(watcher.remove_watches(&path, 3).err, 0);
    assert_eq!(watcher.check_watches(&path, 3).err, err::NO_WATCHER);
    writer.set_data(&path, b"", -1).ok();
    writer.set_data(&child, b"", -1).ok();
    writer.delete(&child, -1).ok();
    assert_eq!(watcher.all_fired(), [(DATA_CHANGED, child)]);
}

/// C-127: removing the data watch leaves a persistent one.
#[test]
fn removing_data_leaves_a_persistent_watch() {
    let (_server, mut watcher, mut writer, path) = two("c127");
    watcher.get_data(&path, true).ok();
    watcher.add_watch(&path, 0).ok();
    assert_eq!(watcher.remove_watches(&path, 2).err, 0);
    assert_eq!(watcher.check_watches(&path, 4).err, 0);
    for _ in 0..2 {
        writer.set_data(&path, b"", -1).ok();
        assert_eq!(watcher.fired(), (DATA_CHANGED, path.clone()));
    }
    assert_eq!(watcher.remove_watches(&path, 2).err, err::NO_WATCHER);
    assert_eq!(watcher.remove_watches(&path, 4).err, 0);
}

/// C-129: watches end with their connection, not with their session; others keep theirs.
#[test]
fn watches_end_with_the_connection() {
    let (server, mut watcher, mut writer, path) = two("c129");
    let mut other = RawClient::new(&server);
    watcher.get_data(&path, true).ok();
    other.get_data(&path, true).ok();
    let welcome = watcher.welcome.clone();
    let mut again = RawClient::connect(&server, &Hello::resume(&welcome));
    watcher.expect_close();
    assert_eq!(again.check_watches(&path, 3).err, err::NO_WATCHER);
    writer.set_data(&path, b"", -1).ok();
    assert_eq!(again.all_fired(), []);
    assert_eq!(other.all_fired(), [(DATA_CHANGED, path)]);
}

/// C-130: a read whose connection ends while it is in flight leaves no watch behind.
#[test]
fn a_read_in_flight_at_the_end_leaves_no_watch() {
    let server = crate::common::TestServer::start(&[]);
    for _ in 0..50 {
        let mut c = RawClient::new(&server);
        // A write before the read makes the read wait.
        let create = bodies::create("/w-", None, &bodies::open_acl(), flag::SEQUENTIAL);
        let mut bytes = bodies::frame(1, op::CREATE, &create);
        bytes.extend(bodies::frame(2, op::GET_DATA, &bodies::watched("/", true)));
        bytes.extend(bodies::frame(3, op::GET_CHILDREN, &bodies::watched("/", true)));
        c.send(&bytes);
    }
    eventually("no connection is left but the asking one", || {
        server.word("srvr").contains("Connections: 1\n").then_some(())
    });
    eventually("no watch is left", || {
        server.word("wchs").contains("Total watches:0").then_some(())
    });
    assert_eq!(server.mntr("zk_watch_count").as_deref(), Some("0"));
}

/// C-112: no change between a read and the registration of its watch is lost: who reads again on
/// every event ends with the last value.
#[test]
fn no_change_is_lost_between_read_and_watch() {
    let (_server, mut watcher, mut writer, path) = two("c112");
    const WRITES: i32 = 2000;
    let target = path.clone();
    let writing = std::thread::spawn(move || {
        let body = bodies::set_data(&target, Some(b"x"), -1);
        for _ in 0..WRITES / 50 {
            writer.submit_many(50, op::SET_DATA, &body);
            writer.take_ok(50);
        }
        writer
    });
    let mut rounds = 0;
    loop {
        let stat = watcher.get_data(&path, true).ok().data().1;
        rounds += 1;
        if stat.version == WRITES {
            break;
        }
        let event = watcher.event();
        assert_eq!(event.kind, DATA_CHANGED);
        assert!(event.zxid > stat.mzxid.to_long(), "the event is of a later change");
    }
    assert!(rounds > 2);
    drop(writing.join().expect("the writer"));
}
