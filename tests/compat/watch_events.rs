//! Events: their bytes and their order; persistent and recursive watches; catching up.

use crate::common::client::{CHILDREN_CHANGED, CREATED, DATA_CHANGED, DELETED};
use crate::common::{Message, RawClient, TestServer, bodies, err, op, shared, skip_deviation};

fn two(name: &str) -> (std::sync::Arc<TestServer>, RawClient, RawClient, String) {
    let server = shared();
    let watcher = RawClient::new(&server);
    let mut writer = RawClient::new(&server);
    let path = writer.scratch(name);
    (server, watcher, writer, path)
}

/// C-109: the event comes before the reply to the request that caused it.
#[test]
fn the_event_precedes_the_reply_that_caused_it() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c109");
    c.get_data(&path, true).ok();
    let xid = c.submit(op::SET_DATA, &bodies::set_data(&path, None, -1));
    let Message::Event(event) = c.message() else { panic!("the event first") };
    let Message::Reply(reply) = c.message() else { panic!("then the reply") };
    assert_eq!((event.kind, reply.xid, event.zxid), (DATA_CHANGED, xid, reply.zxid));
}

/// C-110: the event comes before any reply that shows the change or a later one.
#[test]
fn the_event_precedes_every_reply_that_shows_the_change() {
    let (_server, mut watcher, mut writer, path) = two("c110");
    for _ in 0..200 {
        let before = watcher.get_data(&path, true).ok().data().1;
        let write = writer.submit(op::SET_DATA, &bodies::set_data(&path, Some(b"x"), -1));
        // Reads pour in while the write is on its way.
        for _ in 0..5 {
            watcher.submit(op::GET_DATA, &bodies::watched(&path, false));
        }
        let mut fired = None;
        let mut replies = 0;
        while replies < 5 {
            match watcher.message() {
                Message::Event(event) => fired = Some(event.zxid),
                Message::Reply(reply) => {
                    replies += 1;
                    let seen = reply.data().1.version > before.version;
                    assert!(!seen || fired.is_some(), "the change was shown before its event");
                    assert!(fired.is_none_or(|zxid| reply.zxid >= zxid));
                }
            }
        }
        let reply = writer.reply().ok();
        assert_eq!(reply.xid, write);
        if fired.is_none() {
            fired = Some(watcher.event().zxid);
        }
        assert_eq!(fired, Some(reply.zxid));
    }
}

/// C-111: events of successive transactions come in the order of zxids.
#[test]
fn events_come_in_zxid_order() {
    let (server, mut watcher, mut writer, path) = two("c111");
    let mut second = RawClient::new(&server);
    watcher.add_watch(&path, 1).ok();
    for n in 0..200 {
        let body =
            |who: &str| bodies::create(format!("{path}/{who}{n}"), None, &bodies::open_acl(), 0);
        writer.submit(op::CREATE, &body("a"));
        second.submit(op::CREATE, &body("b"));
    }
    for _ in 0..200 {
        writer.reply().ok();
        second.reply().ok();
    }
    let events = watcher.events();
    assert_eq!(events.len(), 400);
    assert!(events.windows(2).all(|pair| pair[0].zxid < pair[1].zxid));
}

/// C-113: an event has xid -1, err 0, the transaction's zxid, state 3.
#[test]
fn an_event_names_its_transaction() {
    let (_server, mut watcher, mut writer, path) = two("c113");
    watcher.get_data(&path, true).ok();
    let zxid = writer.set_data(&path, b"", -1).ok().zxid;
    let event = watcher.event();
    assert_eq!((event.zxid, event.kind, event.state, event.path), (zxid, 3, 3, path));
}

/// C-116: a multi fires its events in the order of its parts, all before its reply, all with its
/// zxid.
#[test]
fn a_multi_fires_in_part_order() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c116");
    c.add_watch(&path, 1).ok();
    let (a, b) = (format!("{path}/a"), format!("{path}/b"));
    let acl = bodies::open_acl();
    let parts = [
        (op::CREATE, bodies::create(&b, None, &acl, 0)),
        (op::SET_DATA, bodies::set_data(&b, Some(b"x"), -1)),
        (op::CREATE, bodies::create(&a, None, &acl, 0)),
        (op::DELETE, bodies::numbered(&b, -1)),
        (op::SET_DATA, bodies::set_data(&path, None, -1)),
    ];
    c.submit(op::MULTI, &bodies::multi(&parts));
    let mut fired = Vec::new();
    let reply = loop {
        match c.message() {
            Message::Event(event) => fired.push(event),
            Message::Reply(reply) => break reply.ok(),
        }
    };
    assert!(fired.iter().all(|event| event.zxid == reply.zxid));
    let fired: Vec<_> = fired.into_iter().map(|event| (event.kind, event.path)).collect();
    assert_eq!(
        fired,
        [
            (CREATED, b.clone()),
            (DATA_CHANGED, b.clone()),
            (CREATED, a),
            (DELETED, b),
            (DATA_CHANGED, path)
        ]
    );
}

/// C-117, C-118, C-122: a persistent watch fires again and again, for its node, also before that
/// exists; not for the data of children.
#[test]
fn a_persistent_watch_fires_repeatedly() {
    let (_server, mut watcher, mut writer, path) = two("c117");
    let node = format!("{path}/n");
    let child = format!("{node}/c");
    watcher.add_watch(&node, 0).ok();
    for _ in 0..2 {
        writer.create(&node, b"", 0).ok();
        writer.set_data(&node, b"", -1).ok();
        writer.set_data(&node, b"", -1).ok();
        writer.create(&child, b"", 0).ok();
        writer.set_data(&child, b"", -1).ok();
        writer.delete(&child, -1).ok();
        writer.delete(&node, -1).ok();
        let expected =
            [CREATED, DATA_CHANGED, DATA_CHANGED, CHILDREN_CHANGED, CHILDREN_CHANGED, DELETED];
        assert_eq!(watcher.all_fired(), expected.map(|kind| (kind, node.clone())));
    }
}

/// C-119, C-120: a recursive watch sees the node and all below, and no lists.
#[test]
fn a_recursive_watch_sees_all_descendants() {
    let (_server, mut watcher, mut writer, path) = two("c119");
    watcher.add_watch(&path, 1).ok();
    let child = format!("{path}/c");
    let deep = format!("{child}/d");
    writer.create(&child, b"", 0).ok();
    writer.create(&deep, b"", 0).ok();
    writer.set_data(&deep, b"", -1).ok();
    writer.set_data(&path, b"", -1).ok();
    writer.delete(&deep, -1).ok();
    writer.delete(&child, -1).ok();
    // A sibling whose name begins alike is not below.
    writer.create(&format!("{path}x"), b"", 0).ok();
    writer.delete(&path, -1).ok();
    assert_eq!(
        watcher.all_fired(),
        [
            (CREATED, child.clone()),
            (CREATED, deep.clone()),
            (DATA_CHANGED, deep.clone()),
            (DATA_CHANGED, path.clone()),
            (DELETED, deep),
            (DELETED, child),
            (DELETED, path)
        ]
    );
}

/// C-120: beside a recursive watch, a child watch of the same connection still fires.
#[test]
fn a_child_watch_beside_a_recursive_one_fires() {
    let (_server, mut watcher, mut writer, path) = two("c120");
    let child = format!("{path}/c");
    watcher.add_watch(&path, 1).ok();
    watcher.get_children(&path, true).ok();
    writer.create(&child, b"", 0).ok();
    writer.delete(&child, -1).ok();
    assert_eq!(
        watcher.all_fired(),
        [(CREATED, child.clone()), (CHILDREN_CHANGED, path), (DELETED, child)]
    );
}

/// C-121: one change is told once, whatever watches the connection has; the persistent one stays.
#[test]
fn standard_and_persistent_watches_give_one_event() {
    let (_server, mut watcher, mut writer, path) = two("c121");
    watcher.add_watch(&path, 0).ok();
    watcher.add_watch(&path, 1).ok();
    watcher.get_data(&path, true).ok();
    for _ in 0..2 {
        writer.set_data(&path, b"", -1).ok();
        assert_eq!(watcher.all_fired(), [(DATA_CHANGED, path.clone())]);
    }
    let child = format!("{path}/c");
    writer.create(&child, b"", 0).ok();
    assert_eq!(watcher.all_fired(), [(CREATED, child), (CHILDREN_CHANGED, path.clone())]);
    assert_eq!(watcher.remove_watches(&path, 5).err, 0);
    assert_eq!(watcher.check_watches(&path, 4).err, 0, "removing one mode leaves the other");
}

/// C-123: a recursive watch on the root sees every path.
#[test]
fn a_recursive_watch_on_the_root_sees_everything() {
    let server = TestServer::start(&[]);
    let mut watcher = RawClient::new(&server);
    let mut writer = RawClient::new(&server);
    watcher.add_watch("/", 1).ok();
    let paths = ["/a", "/a/b", "/zookeeper/q", "/zookeeper/quota/q"];
    for path in paths {
        writer.create(path, b"", 0).ok();
    }
    writer.set_data("/", b"", -1).ok();
    let mut expected: Vec<_> = paths.iter().map(|path| (CREATED, (*path).to_owned())).collect();
    expected.push((DATA_CHANGED, "/".to_owned()));
    assert_eq!(watcher.all_fired(), expected);
}

/// C-124: an unknown mode; any string can be watched.
#[test]
fn add_watch_checks_the_mode_only() {
    let server = shared();
    let mut c = RawClient::new(&server);
    for mode in [2, -1, 99] {
        assert_eq!(c.add_watch("/", mode).err, err::MARSHALLING, "{mode}");
    }
    for path in ["/missing", "no slash", "", "//", "/a/../b"] {
        let reply = c.add_watch(path, 0).ok();
        assert_eq!(reply.number(), 0, "the body is an error code of 0");
        assert_eq!(c.check_watches(path, 4).err, 0);
    }
    // F-7: a null path registers too.
    let mut null = (-1i32).to_be_bytes().to_vec();
    null.extend_from_slice(&0i32.to_be_bytes());
    assert_eq!(c.call(op::ADD_WATCH, &null).err, 0);
    null[7] = 3;
    assert_eq!(c.call(op::REMOVE_WATCHES, &null).err, 0);
}

/// C-131: the data list: a newer mzxid, a missing node, or registered.
#[test]
fn set_watches_catches_up_on_data() {
    let (_server, mut watcher, mut writer, path) = two("c131");
    let seen = writer.ping().zxid;
    let (changed, gone, same) = (format!("{path}/changed"), format!("{path}/gone"), path.clone());
    writer.create(&changed, b"", 0).ok();
    let reply = watcher.set_watches(seen, [&[&changed, &gone, &same], &[], &[]]);
    assert_eq!((reply.xid, reply.err), (-8, 0));
    assert!(reply.body.is_empty());
    assert_eq!(watcher.all_fired(), [(DATA_CHANGED, changed.clone()), (DELETED, gone.clone())]);
    writer.set_data(&changed, b"", -1).ok();
    writer.create(&gone, b"", 0).ok();
    writer.set_data(&same, b"", -1).ok();
    assert_eq!(watcher.all_fired(), [(DATA_CHANGED, same)], "only what was not told is registered");
}

/// C-132: the exist list: present means created, whenever; missing means registered.
#[test]
fn set_watches_catches_up_on_existence() {
    let (_server, mut watcher, mut writer, path) = two("c132");
    let missing = format!("{path}/missing");
    let reply = watcher.set_watches(i64::MAX, [&[], &[&path, &missing], &[]]);
    assert_eq!(reply.err, 0);
    assert_eq!(watcher.all_fired(), [(CREATED, path)]);
    writer.create(&missing, b"", 0).ok();
    assert_eq!(watcher.all_fired(), [(CREATED, missing)]);
}

/// C-133, C-136: the child list: pzxid tells also what came and went while away.
#[test]
fn set_watches_catches_up_on_children() {
    let (_server, mut watcher, mut writer, path) = two("c133");
    let (came_and_went, same) = (format!("{path}/a"), format!("{path}/b"));
    writer.create(&came_and_went, b"", 0).ok();
    writer.create(&same, b"", 0).ok();
    let seen = writer.ping().zxid;
    writer.create(&format!("{came_and_went}/x"), b"", 0).ok();
    writer.delete(&format!("{came_and_went}/x"), -1).ok();
    writer.set_data(&same, b"", -1).ok();
    let gone = format!("{path}/gone");
    let lists: [&[&str]; 3] = [&[], &[], &[&came_and_went, &gone, &same]];
    assert_eq!(watcher.set_watches(seen, lists).err, 0);
    assert_eq!(watcher.all_fired(), [(CHILDREN_CHANGED, came_and_went), (DELETED, gone)]);
    writer.create(&format!("{same}/x"), b"", 0).ok();
    assert_eq!(watcher.all_fired(), [(CHILDREN_CHANGED, same)]);
}

/// C-134: setWatches2 registers persistent and recursive watches, and they catch up on nothing.
#[test]
fn set_watches2_registers_without_catching_up() {
    let (_server, mut watcher, mut writer, path) = two("c134");
    let (p, r) = (format!("{path}/p"), format!("{path}/r"));
    writer.create(&r, b"", 0).ok();
    let reply = watcher.set_watches2(1, [&[], &[], &[], &[&p], &[&r]]);
    assert_eq!((reply.xid, reply.err), (-8, 0));
    assert_eq!(watcher.all_fired(), []);
    for _ in 0..2 {
        writer.create(&p, b"", 0).ok();
        writer.delete(&p, -1).ok();
        writer.create(&format!("{r}/x"), b"", 0).ok();
        writer.delete(&format!("{r}/x"), -1).ok();
        let x = format!("{r}/x");
        assert_eq!(
            watcher.all_fired(),
            [(CREATED, p.clone()), (DELETED, p.clone()), (CREATED, x.clone()), (DELETED, x)]
        );
    }
}

/// C-135: what is caught up comes before the reply, in the order of the lists, without a zxid.
#[test]
fn catching_up_precedes_the_reply() {
    let (_server, mut watcher, _writer, path) = two("c135");
    let lists: [&[&str]; 3] = [&[&path], &[&path], &[&path]];
    watcher.send(&bodies::frame(-8, op::SET_WATCHES, &bodies::set_watches(1, &lists)));
    for kind in [DATA_CHANGED, CREATED, CHILDREN_CHANGED] {
        let Message::Event(event) = watcher.message() else { panic!("the events first") };
        assert_eq!((event.zxid, event.kind, event.path.as_str()), (-1, kind, path.as_str()));
    }
    let Message::Reply(reply) = watcher.message() else { panic!("then the reply") };
    assert_eq!((reply.xid, reply.err), (-8, 0));
}

/// C-138: several setWatches in a row all take effect.
#[test]
fn several_set_watches_add_up() {
    let (_server, mut watcher, mut writer, path) = two("c138");
    let nodes: Vec<String> = (0..50).map(|n| format!("{path}/{n}")).collect();
    for node in &nodes {
        let lists: [&[&str]; 3] = [&[], &[node], &[]];
        watcher.send(&bodies::frame(-8, op::SET_WATCHES, &bodies::set_watches(0, &lists)));
    }
    for _ in &nodes {
        assert_eq!(watcher.reply().xid, -8);
    }
    let mut expected = Vec::new();
    for node in &nodes {
        writer.create(node, b"", 0).ok();
        expected.push((CREATED, node.clone()));
    }
    assert_eq!(watcher.all_fired(), expected);
}

/// C-137: setWatches works on a server that has restarted since.
#[test]
fn set_watches_works_after_a_restart() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"", 0).ok();
    c.create("/b", b"", 0).ok();
    let seen = c.ping().zxid;
    c.set_data("/a", b"", -1).ok();
    c.create("/b/c", b"", 0).ok();
    server.kill();
    server.restart();
    let mut c = RawClient::new(&server);
    assert_eq!(c.set_watches(seen, [&["/a", "/b"], &[], &["/b", "/a"]]).err, 0);
    assert_eq!(c.all_fired(), [(DATA_CHANGED, "/a".into()), (CHILDREN_CHANGED, "/b".into())]);
    c.set_data("/b", b"", -1).ok();
    c.create("/a/x", b"", 0).ok();
    assert_eq!(c.all_fired(), [(DATA_CHANGED, "/b".into()), (CHILDREN_CHANGED, "/a".into())]);
}

/// F-8: setWatches with the empty path and a relative one.
#[test]
fn set_watches_takes_any_string() {
    let server = shared();
    let mut c = RawClient::new(&server);
    // The root must have had a child after the zxid that is given.
    c.scratch("f8");
    assert_eq!(c.set_watches(0, [&[], &[""], &["", "relative"]]).err, 0);
    let expected = [(CREATED, ""), (CHILDREN_CHANGED, ""), (DELETED, "relative")];
    assert_eq!(c.all_fired(), expected.map(|(kind, path)| (kind, path.to_owned())));
}

/// C-139: an event on a node that one may not read is withheld, and the watch is used up.
#[test]
fn an_event_without_read_is_withheld_and_the_watch_consumed() {
    let (_server, mut watcher, mut writer, path) = two("c139");
    watcher.get_data(&path, true).ok();
    writer.set_acl(&path, &bodies::world(31 & !1), -1).ok();
    writer.set_data(&path, b"", -1).ok();
    writer.set_acl(&path, &bodies::open_acl(), -1).ok();
    writer.set_data(&path, b"", -1).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-140: a list is judged by the parent's ACL, a deletion by the last one of the node.
#[test]
fn deletion_and_lists_are_judged_by_their_own_acl() {
    let (_server, mut watcher, mut writer, path) = two("c140");
    let node = format!("{path}/n");
    writer.create(&node, b"", 0).ok();
    watcher.get_data(&node, true).ok();
    watcher.get_children(&path, true).ok();
    writer.set_acl(&node, &bodies::world(31 & !1), -1).ok();
    writer.delete(&node, -1).ok();
    assert_eq!(watcher.all_fired(), [(CHILDREN_CHANGED, path.clone())]);
    watcher.get_children(&path, true).ok();
    writer.set_acl(&path, &bodies::world(31 & !1), -1).ok();
    writer.create(&node, b"", 0).ok();
    assert_eq!(watcher.all_fired(), []);
}

/// C-141: a recursive watch on an open node withholds what happens to forbidden ones below.
#[test]
fn a_recursive_watch_withholds_forbidden_descendants() {
    let (_server, mut watcher, mut writer, path) = two("c141");
    watcher.add_watch(&path, 1).ok();
    let (open, closed) = (format!("{path}/open"), format!("{path}/closed"));
    writer.create(&open, b"", 0).ok();
    writer.create_with(&closed, &bodies::world(31 & !1)).ok();
    writer.set_data(&closed, b"", -1).ok();
    writer.delete(&closed, -1).ok();
    writer.delete(&open, -1).ok();
    assert_eq!(watcher.all_fired(), [(CREATED, open.clone()), (DELETED, open)]);
}

/// C-139: identities that were added after the watch count.
#[test]
fn identities_of_the_moment_of_delivery_count() {
    let (_server, mut watcher, mut writer, path) = two("c139-auth");
    writer.auth("digest", b"reader:pw").ok();
    watcher.get_data(&path, true).ok();
    let auth_only = [crate::common::Acl::new(31, b"auth", b"")];
    writer.set_acl(&path, &auth_only, -1).ok();
    watcher.auth("digest", b"reader:pw").ok();
    writer.set_data(&path, b"", -1).ok();
    assert_eq!(watcher.all_fired(), [(DATA_CHANGED, path)]);
}

/// catching up discloses nothing that one may not read (deviation, N-11).
#[test]
fn catching_up_is_filtered_by_read() {
    if skip_deviation("Java does not filter what setWatches catches up on") {
        return;
    }
    let (_server, mut watcher, mut writer, path) = two("n11");
    writer.set_acl(&path, &bodies::world(31 & !1), -1).ok();
    let lists: [&[&str]; 3] = [&[&path], &[&path], &[&path]];
    assert_eq!(watcher.set_watches(1, lists).err, 0);
    assert_eq!(watcher.all_fired(), []);
}

/// C-290: null lists and null entries are errors, and nothing happens.
#[test]
fn null_lists_of_set_watches_are_refused() {
    let server = shared();
    let mut c = RawClient::new(&server);
    for lists in [[-1, 0, 0], [0, -1, 0], [0, 0, -1]] {
        let mut body = 0i64.to_be_bytes().to_vec();
        lists.iter().for_each(|count: &i32| body.extend_from_slice(&count.to_be_bytes()));
        assert_eq!(c.call(op::SET_WATCHES, &body).err, err::MARSHALLING);
    }
    let mut body = 0i64.to_be_bytes().to_vec();
    [1i32, -1, 0, 0].iter().for_each(|n| body.extend_from_slice(&n.to_be_bytes()));
    assert_eq!(c.call(op::SET_WATCHES, &body).err, err::MARSHALLING);
    assert_eq!(c.all_fired(), []);
}
