//! Sessions go from server to server and outlive leaders.

use std::time::{Duration, Instant};

use crate::cluster::{Ensemble, Member};
use crate::common::client::{CREATED, DATA_CHANGED};
use crate::common::{Hello, RawClient, err, flag};

fn resume(member: &Member, client: &RawClient, last_zxid: i64) -> RawClient {
    let hello = Hello { last_zxid, ..Hello::resume(&client.welcome) };
    let again = member.connect(&hello);
    assert_eq!(again.welcome, client.welcome, "id, timeout and password");
    again
}

/// A session moves to another server with its ephemerals, and its watches are told what they missed.
#[test]
fn a_session_moves_with_its_ephemerals_and_watches() {
    let mut ensemble = Ensemble::start(3, 1, &[]);
    ensemble.leader();
    let mut other = ensemble.member(2).client();
    other.create("/watched", b"0", flag::PERSISTENT).ok();
    let mut client = ensemble.member(1).client();
    client.sync("/").ok();
    let mut last = client.create("/mine", b"", flag::EPHEMERAL).ok().zxid;
    for (turn, id) in [2, 3, 4, 1, 4, 2].into_iter().enumerate() {
        client.get_data("/watched", true).ok();
        client.get_data("/missing", true);
        let path = format!("/turn-{turn}");
        client.exists(&path, true);
        let old = client;
        other.set_data("/watched", path.as_bytes(), -1).ok();
        let changed = other.create(&path, b"", flag::PERSISTENT).ok().zxid;
        client = resume(&ensemble.members[&id], &old, last);
        let sync = client.sync("/").ok();
        assert!(sync.zxid >= changed);
        let reply = client.set_watches(last, [&["/watched"], &[&path], &[]]);
        assert_eq!(reply.err, 0);
        let mut fired = client.all_fired();
        fired.sort();
        let mut expected = vec![(CREATED, path.clone()), (DATA_CHANGED, "/watched".into())];
        expected.sort();
        assert_eq!(fired, expected, "what it missed, on server {id}");
        assert_eq!(client.stat("/mine").ephemeral_owner, client.session());
        last = client.create(&format!("/mine-{turn}"), b"", flag::EPHEMERAL).ok().zxid;
    }
    client.close();
    for member in ensemble.members.values() {
        let mut reader = member.client();
        reader.sync("/").ok();
        let names = reader.get_children("/", false).children();
        assert!(!names.iter().any(|name| name.starts_with("mine")), "{names:?}");
    }
    ensemble.compare();
}

/// A session that another server has taken over may not write over its old connection.
#[test]
fn the_server_that_had_a_session_writes_no_more_for_it() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut before = ensemble.member(1).client();
    before.create("/before", b"", flag::EPHEMERAL).ok();
    let mut behind = resume(&ensemble.members[&2], &before, 0);
    behind.create("/behind", b"", flag::EPHEMERAL).ok();
    let body =
        crate::bodies::create("/late", Some(b""), &crate::bodies::open_acl(), flag::EPHEMERAL);
    if before.try_submit(crate::bodies::op::CREATE, &body)
        && let Some(frame) = before.frame()
    {
        let reply = crate::common::Message::read(&frame);
        let crate::common::Message::Reply(reply) = reply else { panic!("{reply:?}") };
        assert_ne!(reply.err, err::OK, "the old server writes for the session");
    }
    behind.sync("/").ok();
    assert!(!behind.has("/late"));
    behind.close();
    ensemble.compare();
}

/// C-023: the old connection of a session that has moved ends, and the session lives; a closeSession
/// over it ends the session, whoever serves it.
#[test]
fn the_old_connection_of_a_moved_session() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut first = ensemble.member(1).client();
    first.create("/mine", b"", flag::EPHEMERAL).ok();
    let mut second = resume(&ensemble.members[&2], &first, 0);
    drop(first);
    second.sync("/").ok();
    assert!(second.has("/mine"), "a dropped connection ends nothing");
    let mut third = resume(&ensemble.members[&3], &second, 0);
    third.sync("/").ok();
    assert!(third.has("/mine"));
    assert!(second.try_submit(crate::bodies::op::CLOSE_SESSION, &[]));
    let mut reader = ensemble.member(3).client();
    crate::common::eventually("the session ends everywhere", || {
        reader.sync("/").ok();
        (!reader.has("/mine")).then_some(())
    });
    let refused = ensemble.member(1).knock(&Hello::resume(&third.welcome));
    assert!(refused.welcome.refused());
    ensemble.compare();
}

/// C-027: a change of leaders gives every session its whole timeout again, and one that nobody hears
/// of ends behind that.
#[test]
fn a_leader_change_expires_no_live_session() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let leader = ensemble.leader();
    let others = ensemble.others(leader);
    let timeout = Duration::from_millis(3_000);
    let hello = Hello::timeout(timeout.as_millis() as i32);
    let mut silent = ensemble.members[&others[0]].connect(&hello);
    silent.create("/silent", b"", flag::EPHEMERAL).ok();
    let mut live = ensemble.members[&others[1]].connect(&hello);
    live.create("/live", b"", flag::EPHEMERAL).ok();
    drop(silent);
    let quiet = Instant::now();
    while quiet.elapsed() < timeout / 2 {
        live.ping();
        std::thread::sleep(Duration::from_millis(20));
    }
    ensemble.member(leader).kill();
    let fell = Instant::now();
    let successor = ensemble.leader_of(&others);
    live = resume(&ensemble.members[&successor], &live, 0);
    while live.has("/silent") {
        live.ping();
        assert!(fell.elapsed() < crate::cluster::PATIENCE, "a silent session never ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    let lived = fell.elapsed();
    assert!(lived >= timeout, "a session ended {lived:?} after its leader fell");
    assert_eq!(live.stat("/live").ephemeral_owner, live.session());
    live.close();
}
