//! multi and multiRead: all or nothing, and what each part answers.

use crate::common::client::Part;
use crate::common::{RawClient, TestServer, bodies, err, flag, op, shared};

type Parts = Vec<(i32, Vec<u8>)>;

fn create(path: &str, flags: i32) -> (i32, Vec<u8>) {
    (op::CREATE, bodies::create(path, Some(b""), &bodies::open_acl(), flags))
}

fn create2(path: &str, flags: i32) -> (i32, Vec<u8>) {
    (op::CREATE2, bodies::create(path, Some(b""), &bodies::open_acl(), flags))
}

fn set(path: &str, version: i32) -> (i32, Vec<u8>) {
    (op::SET_DATA, bodies::set_data(path, Some(b"set"), version))
}

fn delete(path: &str) -> (i32, Vec<u8>) {
    (op::DELETE, bodies::numbered(path, -1))
}

fn check(path: &str, version: i32) -> (i32, Vec<u8>) {
    (op::CHECK, bodies::numbered(path, version))
}

/// C-164, C-166, C-169: results in order, each part sees those before it, one zxid for all.
#[test]
fn parts_see_one_another_and_answer_in_order() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c164");
    let (a, b) = (format!("{path}/a"), format!("{path}/a/b"));
    let parts: Parts = vec![
        create(&a, 0),
        create2(&b, 0),
        set(&a, 0),
        check(&a, 1),
        delete(&b),
        create(&b, flag::EPHEMERAL),
    ];
    let reply = c.multi(&parts).ok();
    let results = reply.parts();
    assert_eq!(results.len(), 6);
    assert_eq!(results[0], Part::Create(a.clone()));
    let Part::Create2(created, stat) = &results[1] else { panic!("{:?}", results[1]) };
    assert_eq!((created, stat.num_children), (&b, 0));
    let Part::SetData(stat) = &results[2] else { panic!("{:?}", results[2]) };
    assert_eq!((stat.version, stat.num_children), (1, 1), "the stat after that part");
    assert_eq!(results[3..], [Part::Check, Part::Delete, Part::Create(b.clone())]);
    for path in [&a, &b] {
        assert_eq!(c.stat(path).czxid.to_long(), reply.zxid);
    }
    assert_eq!(c.stat(&b).ephemeral_owner, c.session());
}

/// C-165: one part fails: 0 before it, its code, -2 after it; nothing happened, a zxid is gone.
#[test]
fn a_failing_part_undoes_all() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/n", b"", 0).ok();
    let before = c.stat("/n");
    let parts: Parts = vec![
        create("/n/a", 0),
        set("/n", 0),
        delete("/missing"),
        create("/n/b", 0),
        check("/n", 0),
    ];
    let reply = c.multi(&parts);
    assert_eq!((reply.err, reply.zxid), (0, 3));
    assert_eq!(reply.codes(), [0, 0, err::NO_NODE, -2, -2]);
    assert_eq!(c.stat("/n"), before);
    assert_eq!(c.get_children("/n", false).children(), Vec::<String>::new());
    assert_eq!(c.set_data("/n", b"", 0).zxid, 4);
}

/// C-167, C-168: check fails the multi with the code that fits.
#[test]
fn check_parts_fail_by_version_existence_and_permission() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c167");
    let secret = format!("{path}/secret");
    c.create_with(&secret, &bodies::world(31 & !1)).ok();
    let mut first = |part| c.multi(&[part, create(&format!("{path}/x"), 0)]).codes()[0];
    assert_eq!(first(check(&path, 7)), err::BAD_VERSION);
    assert_eq!(first(check(&format!("{path}/no"), -1)), err::NO_NODE);
    assert_eq!(first(check(&secret, -1)), err::NO_AUTH);
    assert!(!c.has(&format!("{path}/x")));
    let passing = c.multi(&[check(&path, 0), check(&path, -1), create(&format!("{path}/x"), 0)]);
    assert_eq!(passing.parts()[..2], [Part::Check, Part::Check]);
}

/// C-169: what each kind of create answers.
#[test]
fn create_parts_answer_by_their_operation() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c169");
    let acl = bodies::open_acl();
    let body = |name: &str, flags| bodies::create(format!("{path}/{name}"), None, &acl, flags);
    let ttl = bodies::create_ttl(format!("{path}/t"), None, &acl, flag::TTL, 99_999);
    let parts: Parts = vec![
        (op::CREATE, body("p", 0)),
        (op::CREATE2, body("p2", 0)),
        (op::CREATE_CONTAINER, body("c", flag::CONTAINER)),
        (op::CREATE_TTL, ttl),
        (op::CREATE, body("fc", flag::CONTAINER)),
    ];
    let results = c.multi(&parts).ok().parts();
    assert!(matches!(results[0], Part::Create(_)));
    for result in &results[1..] {
        assert!(matches!(result, Part::Create2(..)), "{result:?}");
    }
}

/// C-170: sequential parts get consecutive numbers; a failed multi gives them back.
#[test]
fn sequential_parts_are_numbered_and_failures_give_numbers_back() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c170");
    let prefix = format!("{path}/s-");
    let three: Parts = (0..3).map(|_| create(&prefix, flag::SEQUENTIAL)).collect();
    let names = |first: i32| -> Vec<Part> {
        (first..first + 3).map(|n| Part::Create(format!("{prefix}{n:010}"))).collect()
    };
    assert_eq!(c.multi(&three).parts(), names(0));
    let mut failing = three.clone();
    failing.push(check(&path, 99));
    assert_eq!(c.multi(&failing).codes(), [0, 0, 0, err::BAD_VERSION]);
    assert_eq!(c.multi(&three).parts(), names(3));
}

/// C-171: two setData of one node raise its version by two.
#[test]
fn one_node_may_be_set_twice() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c171");
    let results = c.multi(&[set(&path, 0), set(&path, 1)]).parts();
    let versions: Vec<i32> = results
        .iter()
        .map(|part| match part {
            Part::SetData(stat) => stat.version,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [1, 2]);
}

/// C-172: a failed multi in the pipeline does not disturb what is pending around it.
#[test]
fn a_failed_multi_leaves_pending_requests_alone() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c172");
    let prefix = format!("{path}/s-");
    for round in 0..50 {
        let parent = format!("{path}/{round}");
        let sequential =
            bodies::create(format!("{parent}/s-"), None, &bodies::open_acl(), flag::SEQUENTIAL);
        let failing = bodies::multi(&[
            create(&format!("{parent}/a"), 0),
            create(&format!("{parent}/b"), 0),
            set(&parent, 0),
            check("/missing", 0),
        ]);
        c.submit(op::CREATE, &create(&parent, 0).1);
        c.submit(op::CREATE, &sequential);
        c.submit(op::MULTI, &failing);
        c.submit(op::CREATE, &sequential);
        c.submit(op::SET_DATA, &set(&parent, 0).1);
        c.submit(op::DELETE, &delete(&format!("{parent}/s-0000000000")).1);
        c.submit(op::DELETE, &delete(&format!("{parent}/s-0000000001")).1);
        c.submit(op::DELETE, &delete(&parent).1);
        c.reply().ok();
        assert_eq!(c.reply().ok().path(), format!("{parent}/s-0000000000"));
        assert_eq!(c.reply().ok().codes(), [0, 0, 0, err::NO_NODE]);
        assert_eq!(c.reply().ok().path(), format!("{parent}/s-0000000001"));
        for what in ["setData", "delete", "delete", "delete of the parent"] {
            assert_eq!(c.reply().err, 0, "{what} in round {round}");
        }
    }
    assert_eq!(c.create(&prefix, b"", flag::SEQUENTIAL).path(), format!("{prefix}0000000050"));
}

/// C-173: an empty multi succeeds and consumes a zxid.
#[test]
fn an_empty_multi_succeeds() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let reply = c.multi(&[]).ok();
    assert_eq!((reply.parts(), reply.zxid), (vec![], 2));
}

/// C-174: parts that a multi may not have.
#[test]
fn reads_and_set_acl_are_no_parts_of_a_multi() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c174");
    let node = format!("{path}/n");
    for wrong in [
        (op::GET_DATA, bodies::watched(&path, false)),
        (op::GET_CHILDREN, bodies::watched(&path, false)),
        (op::EXISTS, bodies::watched(&path, false)),
        (op::SET_ACL, bodies::set_acl(&path, &bodies::open_acl(), -1)),
        (op::SYNC, bodies::path(&path)),
        (op::RECONFIG, vec![0xff; 20]),
        (99, vec![]),
    ] {
        let kind = wrong.0;
        let reply = c.multi(&[create(&node, 0), wrong]);
        assert_eq!((reply.err, reply.body.len()), (err::MARSHALLING, 0), "operation {kind}");
    }
    assert!(!c.has(&node));
}

/// C-174: create flags that name no mode spoil the whole multi.
#[test]
fn bad_flags_spoil_the_multi() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c174-flags");
    let parts = [create(&format!("{path}/a"), 0), create(&format!("{path}/b"), 9)];
    let reply = c.multi(&parts);
    assert_eq!((reply.err, reply.body.len()), (err::MARSHALLING, 0));
    assert!(!c.has(&format!("{path}/a")));
}

/// F-2: flags of a part that do not fit its operation.
#[test]
fn flags_that_do_not_fit_the_operation() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("f2");
    let acl = bodies::open_acl();
    let node = |name: &str| format!("{path}/{name}");
    let ttl = |name: &str, flags, ttl| {
        (op::CREATE_TTL, bodies::create_ttl(node(name), None, &acl, flags, ttl))
    };
    let one = |c: &mut RawClient, part: (i32, Vec<u8>)| c.multi(&[part]).ok().parts().remove(0);
    assert_eq!(one(&mut c, ttl("t0", 0, 5000)), Part::Create(node("t0")));
    assert_eq!(one(&mut c, ttl("t1", 1, 5000)), Part::Create(node("t1")));
    assert_eq!(c.stat(&node("t1")).ephemeral_owner, c.session());
    assert!(matches!(one(&mut c, ttl("t4", 4, 5000)), Part::Create2(..)));
    assert_eq!(c.multi(&[ttl("t5", 5, 0)]).ok().codes(), [err::BAD_ARGUMENTS]);
    let container =
        |name: &str, flags| (op::CREATE_CONTAINER, bodies::create(node(name), None, &acl, flags));
    assert!(matches!(one(&mut c, container("c0", 0)), Part::Create2(..)));
    let Part::Create2(name, _) = one(&mut c, container("c2-", 2)) else { panic!("create2") };
    assert!(name.starts_with(&node("c2-0000")), "{name}");
    for part in [create(&node("x"), 5), create2(&node("x"), 6), container("x", 5)] {
        assert_eq!(c.multi(&[part]).err, err::MARSHALLING);
    }
}

/// C-175: a multi that is cut off is refused, and the connection goes on.
#[test]
fn a_truncated_multi_is_refused_and_the_next_request_works() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c175");
    let node = format!("{path}/n");
    let whole = bodies::multi(&[create(&node, 0), set(&node, 0)]);
    for end in [0, 3, 9, 20, whole.len() - 1, whole.len() - 9] {
        let reply = c.call(op::MULTI, &whole[..end]);
        assert_eq!((reply.err, reply.body.len()), (err::MARSHALLING, 0), "cut at {end}");
    }
    assert!(!c.has(&node));
    c.call(op::MULTI, &whole).ok();
    assert!(c.has(&node));
}

/// C-176: an ephemeral of a multi is its session's.
#[test]
fn an_ephemeral_of_a_multi_ends_with_its_session() {
    let server = shared();
    let mut owner = RawClient::new(&server);
    let path = owner.scratch("c176");
    let nodes = [format!("{path}/a"), format!("{path}/b")];
    owner.multi(&[create(&nodes[0], flag::EPHEMERAL), create2(&nodes[1], flag::EPHEMERAL)]).ok();
    let mut other = RawClient::new(&server);
    assert_eq!(other.stat(&nodes[1]).ephemeral_owner, owner.session());
    owner.close();
    assert!(!other.has(&nodes[0]) && !other.has(&nodes[1]));
}

/// C-178: each part is judged by the ACL of its node.
#[test]
fn parts_are_judged_by_their_own_acl() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c178");
    let closed = format!("{path}/closed");
    c.create_with(&closed, &bodies::world(1)).ok();
    let codes = c.multi(&[create(&format!("{path}/a"), 0), set(&closed, -1)]).codes();
    assert_eq!(codes, [0, err::NO_AUTH]);
    let codes = c.multi(&[create(&format!("{closed}/a"), 0)]).codes();
    assert_eq!(codes, [err::NO_AUTH]);
    assert!(!c.has(&format!("{path}/a")));
}

/// F-5: a null path in a part spoils the whole multi.
#[test]
fn a_null_path_spoils_the_multi() {
    let server = shared();
    let mut c = RawClient::new(&server);
    for (kind, body) in [create("", 0), delete(""), set("", 0), check("", 0)] {
        let mut null = (-1i32).to_be_bytes().to_vec();
        null.extend_from_slice(&body[4..]);
        let reply = c.multi(&[(kind, null)]);
        assert_eq!((reply.err, reply.body.len()), (err::MARSHALLING, 0), "operation {kind}");
    }
}

/// C-179: multiRead's parts succeed or fail each for itself.
#[test]
fn multi_read_answers_each_part_for_itself() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let path = c.scratch("c179");
    c.create(&format!("{path}/a"), b"data", 0).ok();
    c.create_with(&format!("{path}/closed"), &bodies::world(31 & !1)).ok();
    let read = |kind, name: &str| (kind, bodies::watched(format!("{path}{name}"), false));
    let before = c.ping().zxid;
    let parts = [
        read(op::GET_DATA, "/a"),
        read(op::GET_DATA, "/missing"),
        read(op::GET_CHILDREN, ""),
        read(op::GET_CHILDREN, "/closed"),
    ];
    let reply = c.call(op::MULTI_READ, &bodies::multi(&parts)).ok();
    assert_eq!(reply.zxid, before, "no zxid is consumed");
    let results = reply.parts();
    let stat = c.stat(&format!("{path}/a"));
    assert_eq!(results[0], Part::Data(Some(b"data".to_vec()), stat));
    assert_eq!(results[1], Part::Error(err::NO_NODE));
    assert_eq!(results[2], Part::Children(vec!["a".into(), "closed".into()]));
    assert_eq!(results[3], Part::Error(err::NO_AUTH));
    assert_eq!(c.call(op::MULTI_READ, &bodies::multi(&[])).ok().parts(), []);
}

/// C-180: multiRead sets no watches, whatever its parts ask for: Java loses the flags when it
/// decodes them, and no client has ever had such a watch.
#[test]
fn multi_read_sets_no_watches() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c180");
    let parts = [
        (op::GET_DATA, bodies::watched(&path, true)),
        (op::GET_CHILDREN, bodies::watched(&path, true)),
        (op::GET_DATA, bodies::watched(format!("{path}/missing"), true)),
    ];
    c.call(op::MULTI_READ, &bodies::multi(&parts)).ok();
    assert_eq!(c.check_watches(&path, 3).err, err::NO_WATCHER);
    let mut writer = RawClient::new(&server);
    writer.set_data(&path, b"", -1).ok();
    writer.create(&format!("{path}/missing"), b"", 0).ok();
    assert_eq!(c.all_fired(), []);
}

/// C-181, C-159: the parts of a multiRead see one state, never half a multi.
#[test]
fn no_read_sees_half_a_multi() {
    let server = shared();
    let mut writer = RawClient::new(&server);
    let mut reader = RawClient::new(&server);
    let path = writer.scratch("c181");
    let nodes: Vec<String> = (0..4).map(|n| format!("{path}/{n}")).collect();
    nodes.iter().for_each(|node| drop(writer.create(node, b"", 0).ok()));
    let all: Parts = nodes.iter().map(|node| set(node, -1)).collect();
    let write = bodies::multi(&all);
    let mut reads: Parts =
        nodes.iter().map(|node| (op::GET_DATA, bodies::watched(node, false))).collect();
    reads.reverse();
    let read = bodies::multi(&reads);
    for _ in 0..20 {
        writer.submit_many(20, op::MULTI, &write);
        reader.submit_many(20, op::MULTI_READ, &read);
        for _ in 0..20 {
            let parts = reader.reply().ok().parts();
            let versions: Vec<i32> = parts
                .iter()
                .map(|part| match part {
                    Part::Data(_, stat) => stat.version,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(versions.iter().all(|v| *v == versions[0]), "{versions:?}");
        }
        writer.take_ok(20);
    }
}

/// C-179: a write among the reads; what was read before it is in the body.
#[test]
fn a_write_among_the_reads_is_refused() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c179-write");
    let reply =
        c.call(op::MULTI_READ, &bodies::multi(&[create(&format!("{path}/x"), flag::PERSISTENT)]));
    assert_eq!(reply.err, err::MARSHALLING);
    assert!(!c.has(&format!("{path}/x")));
}

/// C-182: after a crash a multi is there or not, and an acknowledged one is there.
#[test]
fn a_multi_survives_a_crash_whole() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for n in 0..20 {
        let (a, b) = (format!("/a{n}"), format!("/b{n}"));
        c.multi(&[create(&a, 0), create(&b, 0), set(&a, 0)]).ok();
    }
    // One more, whose answer nobody waits for.
    c.submit(op::MULTI, &bodies::multi(&[create("/a20", 0), create("/b20", 0), set("/a20", 0)]));
    server.kill();
    server.restart();
    let mut c = RawClient::new(&server);
    for n in 0..=20 {
        let (a, b) = (c.has(&format!("/a{n}")), c.has(&format!("/b{n}")));
        assert_eq!(a, b, "{n}");
        assert!(a || n == 20);
        if a {
            assert_eq!(c.stat(&format!("/a{n}")).version, 1);
        }
    }
}
