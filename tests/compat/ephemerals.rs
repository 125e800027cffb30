//! Ephemeral nodes: whose they are, and when they vanish.

use crate::common::client::{CHILDREN_CHANGED, DELETED};
use crate::common::{
    Hello, RawClient, TestServer, bodies, err, eventually, flag, op, shared, skip_deviation,
};

/// C-086: the stat names the owner, to everybody.
#[test]
fn the_owner_is_in_the_stat() {
    let server = shared();
    let mut owner = RawClient::new(&server);
    let mut other = RawClient::new(&server);
    let path = format!("{}/e", owner.scratch("c086"));
    owner.create(&path, b"", flag::EPHEMERAL).ok();
    assert_eq!(other.stat(&path).ephemeral_owner, owner.session());
    other.set_data(&path, b"x", -1).ok();
    other.set_acl(&path, &bodies::open_acl(), -1).ok();
    assert_eq!(owner.stat(&path).ephemeral_owner, owner.session(), "writing does not inherit");
}

/// C-087, C-018: closeSession takes all of them with one zxid, and once it has replied none is
/// seen through this server.
#[test]
fn closing_deletes_all_in_one_transaction() {
    let server = shared();
    let mut owner = RawClient::new(&server);
    let mut other = RawClient::new(&server);
    let path = other.scratch("c087");
    for n in 0..10 {
        owner.create(&format!("{path}/{n}"), b"", flag::EPHEMERAL).ok();
    }
    other.add_watch(&path, 1).ok();
    let closed = owner.call(op::CLOSE_SESSION, &[]).ok();
    assert_eq!(other.get_children(&path, false).children(), Vec::<String>::new());
    let events = other.events();
    assert_eq!(events.len(), 10);
    assert!(events.iter().all(|event| event.zxid == closed.zxid && event.kind == DELETED));
    assert_eq!(other.stat(&path).pzxid.to_long(), closed.zxid);
}

/// C-088, C-115: expiry deletes them, and tells those who watch.
#[test]
fn expiry_deletes_and_tells() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let mut watcher = RawClient::connect(&server, &Hello::timeout(60_000));
    watcher.create("/p", b"", 0).ok();
    let mut owner = RawClient::connect(&server, &Hello::timeout(200));
    owner.create("/p/e", b"", flag::EPHEMERAL).ok();
    watcher.exists("/p/e", true).ok();
    watcher.get_children("/p", true).ok();
    drop(owner);
    assert_eq!(watcher.fired(), (DELETED, "/p/e".into()));
    assert_eq!(watcher.fired(), (CHILDREN_CHANGED, "/p".into()));
    assert!(!watcher.has("/p/e"));
}

/// C-016: the end of a connection is not the end of its session.
#[test]
fn a_lost_connection_leaves_ephemerals() {
    let server = TestServer::start(&[]);
    let mut owner = RawClient::new(&server);
    let mut other = RawClient::new(&server);
    let path = format!("{}/e", owner.scratch("c016"));
    owner.create(&path, b"", flag::EPHEMERAL).ok();
    let welcome = owner.welcome.clone();
    drop(owner);
    eventually("the other's connection and the asking one are left", || {
        server.word("srvr").contains("Connections: 2\n").then_some(())
    });
    assert_eq!(other.stat(&path).ephemeral_owner, welcome.session);
    RawClient::connect(&server, &Hello::resume(&welcome)).close();
    assert!(!other.has(&path));
}

/// C-090: others may delete one, and what another session puts there outlives the first.
#[test]
fn a_node_recreated_by_another_survives_the_first_owner() {
    let server = shared();
    let mut first = RawClient::new(&server);
    let mut second = RawClient::new(&server);
    let path = format!("{}/e", first.scratch("c090"));
    first.create(&path, b"first", flag::EPHEMERAL).ok();
    second.delete(&path, -1).ok();
    second.create(&path, b"second", flag::EPHEMERAL).ok();
    first.close();
    assert_eq!(second.get_data(&path, false).data().0.unwrap(), b"second");
    assert_eq!(second.stat(&path).ephemeral_owner, second.session());
}

/// C-091: a create that is still in the pipeline when its session closes vanishes with it.
#[test]
fn a_create_pipelined_before_the_close_vanishes_with_it() {
    let server = shared();
    let mut other = RawClient::new(&server);
    let path = other.scratch("c091");
    for round in 0..50 {
        let mut owner = RawClient::new(&server);
        let node = format!("{path}/{round}");
        let create = bodies::create(&node, None, &bodies::open_acl(), flag::EPHEMERAL);
        let mut bytes = bodies::frame(1, op::CREATE, &create);
        bytes.extend(bodies::frame(2, op::CLOSE_SESSION, &[]));
        owner.send(&bytes);
        assert_eq!((owner.reply().err, owner.reply().err), (0, 0));
        assert!(!other.has(&node), "round {round}");
    }
}

/// C-019: what is pipelined behind the close is never executed.
#[test]
fn requests_behind_the_close_are_never_executed() {
    let server = shared();
    let mut other = RawClient::new(&server);
    let path = other.scratch("c019");
    for round in 0..20 {
        let mut owner = RawClient::new(&server);
        let node = format!("{path}/{round}");
        let mut bytes = bodies::frame(1, op::CLOSE_SESSION, &[]);
        for flags in [flag::EPHEMERAL, flag::PERSISTENT] {
            let create = bodies::create(&node, None, &bodies::open_acl(), flags);
            bytes.extend(bodies::frame(2, op::CREATE, &create));
        }
        owner.send(&bytes);
        assert_eq!(owner.reply().err, 0);
        while let Some(frame) = owner.frame() {
            let crate::common::Message::Reply(reply) = crate::common::Message::read(&frame) else {
                panic!("no event was asked for");
            };
            assert_eq!(reply.err, err::SESSION_EXPIRED);
        }
        assert!(!other.has(&node), "round {round}");
    }
}

/// C-092: a create that races with expiry is deleted with the session or refused.
#[test]
fn a_create_racing_with_expiry_leaves_nothing() {
    let server = TestServer::start(&[("tickTime", "20"), ("minSessionTimeout", "40")]);
    let mut other = RawClient::connect(&server, &Hello::timeout(60_000));
    other.create("/p", b"", 0).ok();
    let mut racers: Vec<(RawClient, u32)> =
        (0..10).map(|_| (RawClient::connect(&server, &Hello::timeout(40)), 0)).collect();
    // Each says nothing for as long as its timeout (that is the race), then writes until the end.
    for (n, (racer, written)) in racers.iter_mut().enumerate() {
        loop {
            let node = format!("/p/{n}-{written}");
            let create = bodies::create(&node, None, &bodies::open_acl(), flag::EPHEMERAL);
            if !racer.try_send(&bodies::frame(1, op::CREATE, &create)) {
                break;
            }
            match racer.frame() {
                None => break,
                Some(_) => *written += 1,
            }
            let until = std::time::Instant::now() + std::time::Duration::from_millis(39);
            if let Ok(None) = racer.frame_until(until) {
                break;
            }
            if *written > 20 {
                break;
            }
        }
    }
    drop(racers);
    eventually("nothing of the dead is left", || {
        other.get_children("/p", false).children().is_empty().then_some(())
    });
}

/// C-095: a parent can be deleted right behind the close that empties it (N-10).
#[test]
fn a_parent_can_be_deleted_right_behind_the_close_of_its_only_childs_owner() {
    if skip_deviation("Java may still say NOTEMPTY") {
        return;
    }
    let server = shared();
    let mut other = RawClient::new(&server);
    let path = other.scratch("c095");
    for round in 0..50 {
        let parent = format!("{path}/{round}");
        other.create(&parent, b"", 0).ok();
        let mut owner = RawClient::new(&server);
        owner.create(&format!("{parent}/e"), b"", flag::EPHEMERAL).ok();
        owner.call(op::CLOSE_SESSION, &[]).ok();
        assert_eq!(other.delete(&parent, -1).err, 0, "round {round}");
    }
}

/// C-093, C-250: after a crash the ephemerals of a session that was closed before are gone, and
/// those of one that expires after it go too.
#[test]
fn no_ephemeral_of_a_dead_session_survives_a_restart() {
    let mut server = TestServer::start(&[("tickTime", "100")]);
    let mut c = RawClient::connect(&server, &Hello::timeout(60_000));
    c.create("/p", b"", 0).ok();
    let mut closed = RawClient::new(&server);
    closed.create("/p/closed", b"", flag::EPHEMERAL).ok();
    closed.close();
    let mut expiring = RawClient::connect(&server, &Hello::timeout(300));
    expiring.create("/p/expiring", b"", flag::EPHEMERAL).ok();
    let mut living = RawClient::connect(&server, &Hello::timeout(60_000));
    living.create("/p/living", b"", flag::EPHEMERAL).ok();
    server.kill();
    server.restart();
    let mut c = RawClient::connect(&server, &Hello::timeout(60_000));
    assert!(!c.has("/p/closed"));
    eventually("the silent session expires", || (!c.has("/p/expiring")).then_some(()));
    assert!(c.has("/p/living"));
    let mut living = RawClient::connect(&server, &Hello::resume(&living.welcome));
    assert_eq!(living.stat("/p/living").ephemeral_owner, living.session());
}

/// C-097: the lock recipe: the watch on the predecessor fires once when it vanishes by expiry.
#[test]
fn the_watch_on_a_predecessor_fires_once_when_it_expires() {
    let server = TestServer::start(&[("tickTime", "100")]);
    let mut waiting = RawClient::connect(&server, &Hello::timeout(60_000));
    waiting.create("/lock", b"", 0).ok();
    let mut holder = RawClient::connect(&server, &Hello::timeout(200));
    let first = holder.create("/lock/n-", b"", flag::EPHEMERAL_SEQUENTIAL).path();
    let second = waiting.create("/lock/n-", b"", flag::EPHEMERAL_SEQUENTIAL).path();
    assert!(first < second);
    waiting.exists(&first, true).ok();
    drop(holder);
    assert_eq!(waiting.fired(), (DELETED, first.clone()));
    assert_eq!(waiting.get_children("/lock", false).children(), [&second[6..]]);
    waiting.create(&first, b"", 0).ok();
    waiting.delete(&first, -1).ok();
    assert_eq!(waiting.all_fired(), []);
}
