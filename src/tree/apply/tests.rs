//! The stat rules, and what a replay onto a snapshot ahead of it must survive.

use super::super::database::Database;
use super::super::testing::*;
use super::*;
use crate::proto::OpCode;
use crate::proto::stat::OwnerEncoding;

fn error(code: ErrorCode) -> Applied {
    Applied::Error(code.code())
}

/// C-036, C-051, C-052, C-053.
#[test]
fn a_create_stamps_the_node_and_raises_its_parent() {
    let mut play = Play::new();
    let root = play.stat("/");
    let stat = play.stat_of(1, create("/a", PERSISTENT, 1));
    let expected = Stat {
        czxid: Zxid(1),
        mzxid: Zxid(1),
        pzxid: Zxid(1),
        ctime: time_of(1),
        mtime: time_of(1),
        data_length: 4,
        ..Stat::default()
    };
    assert_eq!((stat, play.stat("/a")), (expected, expected));
    let raised = Stat { cversion: root.cversion + 1, pzxid: Zxid(1), num_children: 2, ..root };
    assert_eq!(play.stat("/"), raised);
    assert_eq!(play.events, ["NodeCreated /a 31", "NodeChildrenChanged / 31"]);
    play.next(1, create("/a/b", PERSISTENT, 1));
    assert_eq!(play.stat("/"), raised, "a grandchild does not touch the root");
    assert_eq!(play.events, ["NodeCreated /a/b 31", "NodeChildrenChanged /a 31"]);
}

/// C-051, C-052, C-054.
#[test]
fn a_delete_raises_what_is_reported_of_its_parent() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    play.next(1, create("/a/b", PERSISTENT, 1));
    let before = play.stat("/a");
    assert_eq!(play.next(1, delete("/a/b")), Applied::Done);
    assert_eq!(play.events, ["NodeDeleted /a/b 31", "NodeChildrenChanged /a 31"]);
    let after = Stat { pzxid: Zxid(3), cversion: 2, num_children: 0, ..before };
    assert_eq!((before.cversion, play.stat("/a")), (1, after));
    assert_eq!(play.persisted("/a").cversion, 1, "the stored one counts creates only");
}

/// C-042, C-044, C-045, C-054, C-056.
#[test]
fn set_data_touches_version_mzxid_mtime_and_nothing_else() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    play.next(1, create("/a/b", PERSISTENT, 1));
    let before = play.stat("/a");
    let stat = play.stat_of(2, set_data("/a", "longer", 1));
    let expected = Stat { version: 1, mzxid: Zxid(3), mtime: time_of(3), data_length: 6, ..before };
    assert_eq!((stat, play.stat("/a")), (expected, expected));
    assert_eq!(play.events, ["NodeDataChanged /a 31"]);
    let stat = play.stat_of(2, set_data("/a", "longer", 2));
    assert_eq!((stat.version, stat.mzxid), (2, Zxid(4)), "identical bytes are a write");
    let null = Txn::SetData { path: b"/a", data: None, version: 3 };
    assert_eq!(play.stat_of(2, null).data_length, 0);
    assert_eq!(play.database.tree.node(b"/a").unwrap().data(), None);
    play.next(2, set_data("/a", "", 4));
    assert_eq!(play.database.tree.node(b"/a").unwrap().data(), Some(&b""[..]));
}

/// It is logged as a type of its own, and applied as the setData that it is.
#[test]
fn a_reconfig_writes_the_configuration_and_keeps_its_version() {
    let mut play = Play::new();
    let before = play.stat("/zookeeper/config");
    let config = set_data("/zookeeper/config", "version=1", -1);
    let mut body = Vec::new();
    config.write(&mut body);
    let mut r = crate::jute::Reader::unlimited(&body);
    assert_eq!(Txn::read(OpCode::Reconfig.to_int(), &mut r), Ok(config));
    let stat = play.stat_of(1, config);
    let expected =
        Stat { version: -1, mzxid: Zxid(1), mtime: time_of(1), data_length: 9, ..before };
    assert_eq!((stat, play.stat("/zookeeper/config")), (expected, expected));
    assert_eq!(play.events, ["NodeDataChanged /zookeeper/config 1"]);
}

/// C-046.
#[test]
fn set_acl_touches_aversion_alone() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    let before = play.stat("/a");
    let acl = world(1);
    let stat = play.stat_of(1, Txn::SetAcl { path: b"/a", acl: &acl, version: 1 });
    assert_eq!((stat, play.stat("/a")), (Stat { aversion: 1, ..before }, stat));
    assert!(play.events.is_empty());
    assert_eq!(play.database.tree.node(b"/a").unwrap().acl_encoded(), acl);
    play.next(1, delete("/a"));
    assert_eq!(play.events[0], "NodeDeleted /a 1", "the list it had before it was deleted");
}

#[test]
fn the_root_is_written_under_both_its_names() {
    let mut play = Play::new();
    play.next(1, set_data("/", "one", 1));
    assert_eq!(play.events, ["NodeDataChanged / 31"]);
    play.next(1, set_data("", "two", 2));
    assert_eq!(play.events, ["NodeDataChanged / 31"]);
    assert_eq!(play.database.tree.node(b"/").unwrap().data(), Some(&b"two"[..]));
    assert_eq!(play.stat("").version, 2);
}

/// C-055.
#[test]
fn fresh_reserved_nodes_look_as_in_java() {
    let play = Play::new();
    assert_eq!((play.stat("/").cversion, play.stat("/zookeeper").cversion), (-1, -2));
    let config = play.database.tree.node(path::CONFIG).unwrap();
    assert_eq!((config.stat().aversion, config.acl()[0].perms), (-1, 1));
    assert_eq!(config.data(), Some(&b""[..]));
}

#[test]
fn a_configuration_is_installed_without_a_transaction() {
    let mut play = Play::new();
    let before = play.persisted("/zookeeper/config");
    play.database.tree.set_config(b"server.1=a", Zxid(0x1_0000_0000), 77);
    let after = StatPersisted { version: -1, mzxid: Zxid(0x1_0000_0000), mtime: 77, ..before };
    assert_eq!(play.persisted("/zookeeper/config"), after);
    assert_consistent(&play.database.tree);
    assert_eq!(play.database.tree.digest(), 0x51C6_D660);
}

/// C-073.
#[test]
fn a_node_made_again_starts_anew() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    play.next(1, set_data("/a", "x", 1));
    play.next(1, create("/a/b", PERSISTENT, 1));
    play.next(1, delete("/a/b"));
    play.next(1, delete("/a"));
    let stat = play.stat_of(1, create("/a", PERSISTENT, 2));
    assert_eq!((stat.czxid, stat.version, stat.cversion, stat.pzxid), (Zxid(6), 0, 0, Zxid(6)));
}

/// C-086, C-087.
#[test]
fn ephemerals_vanish_with_their_session() {
    let mut play = Play::new();
    play.next(5, Txn::CreateSession { timeout_ms: 9000 });
    play.next(1, create("/p", PERSISTENT, 1));
    let stat = play.stat_of(5, create("/p/a", EPHEMERAL, 1));
    assert_eq!(stat.ephemeral_owner, 5);
    play.next(5, create("/b", EPHEMERAL, 2));
    play.next(6, create("/c", EPHEMERAL, 3));
    assert_eq!(play.database.tree.ephemerals_of(SessionId(5)).len(), 2);
    assert_eq!(play.next(5, close(Some(&["/p/a", "/b"]))), Applied::Done);
    let told = [
        "NodeDeleted /p/a 31",
        "NodeChildrenChanged /p 31",
        "NodeDeleted /b 31",
        "NodeChildrenChanged / 31",
    ];
    assert_eq!(play.events, told);
    assert!(!play.exists("/p/a") && !play.exists("/b") && play.exists("/c"));
    assert_eq!((play.stat("/p").pzxid, play.stat("/").pzxid), (Zxid(6), Zxid(6)));
    assert_eq!(play.database.session_timeout(SessionId(5)), None);
}

/// C-250; records before 3.6 have no list.
#[test]
fn a_close_without_a_list_or_a_session_deletes_what_is_owned() {
    for paths in [None, Some(&[][..])] {
        let mut play = Play::new();
        for n in 1..=100 {
            let path = format!("/e{n}");
            play.next(5, create(&path, EPHEMERAL, n));
        }
        play.next(5, close(paths));
        assert_eq!(play.events.len(), 200);
        assert_eq!(play.database.tree.ephemerals_count(), 0);
        assert_eq!(play.database.tree.node_count(), 4);
    }
}

/// C-090.
#[test]
fn a_close_leaves_alone_what_is_anothers_now() {
    let mut play = Play::new();
    play.next(5, create("/e", EPHEMERAL, 1));
    play.next(7, delete("/e"));
    play.next(7, create("/e", EPHEMERAL, 2));
    play.next(5, close(Some(&["/e", "/zookeeper", "/", "", "x", "/none/x"])));
    assert!(play.exists("/e") && play.events.is_empty());
    assert_eq!(play.stat("/e").ephemeral_owner, 7);
    assert_eq!(play.stat("/").pzxid, Zxid(4), "its parents' pzxid rises (ZOOKEEPER-3145)");
}

#[test]
fn session_zero_owns_no_persistent_node() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    play.next(0, close(Some(&["/a"])));
    assert!(play.exists("/a"));
}

#[test]
fn containers_and_ttl_nodes_report_no_owner() {
    let mut play = Play::new();
    let stat = play.stat_of(1, create("/c", CreateKind::Container, 1));
    assert_eq!((stat.ephemeral_owner, play.persisted("/c").ephemeral_owner), (0, i64::MIN));
    play.next(1, create("/t", CreateKind::Ttl(5000), 2));
    let tree = &play.database.tree;
    assert_eq!(tree.node(b"/t").unwrap().owner(), NodeOwner::Ttl(5000));
    let perishable: Vec<_> = tree.perishable_from(0).map(|(_, node)| node.path()).collect();
    assert_eq!(perishable, [b"/c", b"/t"]);
    play.next(0, delete("/c"));
    play.next(0, delete("/t"));
    assert_eq!(play.database.tree.perishable_from(0).count(), 0);
}

/// The stored cversion stays at its largest value, and with it pzxid.
#[test]
fn a_parents_counter_does_not_wrap() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, i32::MAX));
    play.next(1, create("/b", PERSISTENT, i32::MIN));
    play.next(1, create("/c", PERSISTENT, -1));
    assert_eq!(play.persisted("/").cversion, i32::MAX);
    assert_eq!(play.persisted("/").pzxid, Zxid(1));
}

#[test]
fn a_create_of_old_counts_by_itself() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, -1));
    play.next(1, create("/b", PERSISTENT, -1));
    assert_eq!(play.persisted("/").cversion, 2);
}

/// C-248, ZOOKEEPER-3249, ZOOKEEPER-4846, N-17.
#[test]
fn a_replayed_create_raises_the_parent_and_repairs_the_acl() {
    for kind in [PERSISTENT, EPHEMERAL, CreateKind::Container, CreateKind::Ttl(1)] {
        let mut play = Play::new();
        play.next(1, create("/p", PERSISTENT, 1));
        // As a fuzzy snapshot may show it: the parent from before the create, the node from after
        // a later setACL and setData.
        let acl = world(1);
        let create_closed =
            CreateTxn { path: b"/p/n", data: Some(b"new"), acl: &acl, parent_cversion: 0, kind };
        play.at(9, 1, Txn::Create(create_closed));
        assert_eq!((play.persisted("/p").cversion, play.persisted("/p").pzxid), (0, Zxid(1)));
        let node = play.persisted("/p/n");

        assert_eq!(play.at(5, 1, create("/p/n", kind, 7)), error(ErrorCode::NodeExists));
        assert!(play.events.is_empty());
        assert_eq!((play.persisted("/p").cversion, play.persisted("/p").pzxid), (7, Zxid(5)));
        assert_eq!(play.persisted("/p/n"), node);
        assert_eq!(play.database.tree.node(b"/p/n").unwrap().data(), Some(&b"new"[..]));
        assert_eq!(play.database.tree.node(b"/p/n").unwrap().acl_encoded(), OPEN);

        play.at(4, 1, create("/p/n", kind, 6));
        let parent = play.persisted("/p");
        assert_eq!((parent.cversion, parent.pzxid), (7, Zxid(5)), "they never fall");
        assert_eq!(play.database.last_processed(), Zxid(9));
    }
}

/// C-248, ZOOKEEPER-3125.
#[test]
fn a_replayed_delete_raises_the_parents_pzxid() {
    let mut play = Play::new();
    play.next(1, create("/p", PERSISTENT, 1));
    assert_eq!(play.at(8, 1, delete("/p/gone")), error(ErrorCode::NoNode));
    assert_eq!((play.persisted("/p").pzxid, play.persisted("/p").cversion), (Zxid(8), 0));
    assert_eq!(play.at(3, 1, delete("/p/gone")), error(ErrorCode::NoNode));
    assert_eq!(play.persisted("/p").pzxid, Zxid(8));
    assert!(play.events.is_empty());
}

/// A fuzzy snapshot may show a parent from before its delete with a child of the one made after.
#[test]
fn a_replayed_delete_of_a_filled_node_takes_its_subtree() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    play.next(1, create("/a/b", PERSISTENT, 1));
    play.next(3, create("/a/b/c", EPHEMERAL, 1));
    play.next(3, create("/a/d", PERSISTENT, 2));
    assert_eq!(play.next(1, delete("/a")), Applied::Done);
    assert_eq!(play.database.tree.node_count(), 4);
    assert_eq!(play.database.tree.ephemerals_count(), 0);
}

#[test]
fn writes_to_what_is_gone_are_ignored() {
    let mut play = Play::new();
    let digest = play.database.tree.digest();
    for txn in [
        create("/no/a", PERSISTENT, 1),
        set_data("/no", "x", 1),
        Txn::SetAcl { path: b"/no", acl: OPEN, version: 1 },
        delete("/no/a"),
    ] {
        assert_eq!(play.next(1, txn), error(ErrorCode::NoNode));
    }
    assert_eq!(play.next(1, Txn::Error { err: -110 }), Applied::Error(-110));
    assert_eq!(play.database.last_processed(), Zxid(5));
    assert_eq!(play.database.tree.digest(), digest);
}

#[test]
fn records_that_make_no_sense_harm_nothing() {
    let mut play = Play::new();
    let before = dump(&play.database.tree);
    let long = "/x".repeat(5000);
    for path in ["", "/", "a", "//", "//x", "/zookeeper/", "\0", &long, "/zookeeper/config"] {
        play.next(1, delete(path));
        play.next(1, set_data(&format!("{path}/no"), "x", 1));
    }
    for path in ["", "/", "a", "//x", &long] {
        play.next(1, create(path, PERSISTENT, 0));
    }
    for ttl in [0, -1, i64::MIN, i64::MAX] {
        assert_eq!(
            play.next(1, create("/t", CreateKind::Ttl(ttl), 0)),
            error(ErrorCode::BadArguments)
        );
    }
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        play.next(1, delete(path));
    }
    let torn = Txn::SetAcl { path: b"/", acl: b"\0\0\0\x01", version: 1 };
    assert_eq!(play.next(1, torn), error(ErrorCode::InvalidAcl));
    let mut after = dump(&play.database.tree);
    // A delete below the root raises its pzxid, even one of what never was.
    after.get_mut(&b""[..]).unwrap().2.pzxid = Zxid(0);
    after.get_mut(path::ZOOKEEPER).unwrap().2.pzxid = Zxid(0);
    assert_eq!(after, before);
}

#[test]
fn names_may_be_empty() {
    let mut play = Play::new();
    for (n, path) in ["/a", "/a/", "/a//", "/a//b"].into_iter().enumerate() {
        assert!(matches!(play.next(1, create(path, PERSISTENT, -1)), Applied::Stat(_)), "{n}");
    }
    assert_eq!(play.database.tree.descendants(b"/a"), Some(3));
    for path in ["/a//b", "/a//", "/a/", "/a"] {
        assert_eq!(play.next(1, delete(path)), Applied::Done);
    }
}

#[test]
fn a_path_may_be_thousands_of_names_deep() {
    let mut database = Database::new(options());
    let mut path = String::new();
    for zxid in 1..=3000 {
        path.push_str("/d");
        database.apply(&record(zxid, 1, create(&path, PERSISTENT, 1)), &mut ());
    }
    assert_eq!(database.tree.descendants(b"/d"), Some(2999));
    assert_eq!(database.tree.node(path.as_bytes()).unwrap().path(), path.as_bytes());
    database.apply(&record(3001, 1, delete("/d")), &mut ());
    assert_eq!(database.tree.node_count(), 4);
    assert_consistent(&database.tree);
}

#[test]
fn a_multi_sees_its_own_parts() {
    let mut play = Play::new();
    let applied = play.next(
        1,
        multi(&[
            (OpCode::Create, create("/a", PERSISTENT, 1)),
            (OpCode::Create2, create("/a/b", PERSISTENT, 1)),
            (OpCode::Check, Txn::Check { path: b"/a", version: 0 }),
            (OpCode::SetData, set_data("/a", "x", 1)),
            (OpCode::Delete, delete("/a/b")),
        ]),
    );
    let Applied::Multi(parts) = applied else { panic!("{applied:?}") };
    let [PartApplied::Stat(a), PartApplied::Stat(_), PartApplied::Done, rest @ ..] = &parts[..]
    else {
        panic!("{parts:?}")
    };
    assert_eq!((a.num_children, a.pzxid, a.cversion), (0, Zxid(1), 0), "as of that part");
    let [PartApplied::Stat(set), PartApplied::Done] = rest else { panic!("{rest:?}") };
    assert_eq!((set.version, set.num_children, set.mzxid), (1, 1, Zxid(1)));
    let told = [
        "NodeCreated /a 31",
        "NodeChildrenChanged / 31",
        "NodeCreated /a/b 31",
        "NodeChildrenChanged /a 31",
        "NodeDataChanged /a 31",
        "NodeDeleted /a/b 31",
        "NodeChildrenChanged /a 31",
    ];
    assert_eq!(play.events, told);
    assert_eq!(play.next(1, multi(&[])), Applied::Multi(Vec::new()));
}

#[test]
fn a_multi_with_an_error_changes_nothing() {
    let mut play = Play::new();
    play.next(1, create("/a", PERSISTENT, 1));
    let before = dump(&play.database.tree);
    let applied = play.next(
        1,
        multi(&[
            (OpCode::SetData, set_data("/a", "x", 1)),
            (OpCode::Create, create("/b", PERSISTENT, 2)),
            (OpCode::Error, Txn::Error { err: -101 }),
            (OpCode::Error, Txn::Error { err: -2 }),
            (OpCode::Delete, delete("/a")),
        ]),
    );
    let codes = [
        PartApplied::Done,
        PartApplied::Done,
        PartApplied::Error(-101),
        PartApplied::Error(-2),
        PartApplied::Error(-2),
    ];
    assert_eq!(applied, Applied::Multi(codes.to_vec()));
    assert_eq!(dump(&play.database.tree), before);
    assert!(play.events.is_empty());
    assert_eq!(play.database.last_processed(), Zxid(2));
}

/// While a fuzzy snapshot catches up, a part may not fit; the others go on (C-248).
#[test]
fn a_multis_parts_go_on_when_one_does_not_fit() {
    let mut play = Play::new();
    play.next(1, create("/b", PERSISTENT, 1));
    let applied = play.next(
        1,
        multi(&[
            (OpCode::SetData, set_data("/gone", "x", 1)),
            (OpCode::SetData, set_data("/b", "x", 1)),
        ]),
    );
    let Applied::Multi(parts) = applied else { panic!("{applied:?}") };
    assert!(matches!(parts[..], [PartApplied::Error(-101), PartApplied::Stat(_)]), "{parts:?}");
}

#[test]
fn an_owner_is_read_as_the_options_say() {
    let mut options = options();
    options.owners = OwnerEncoding::default();
    let mut database = Database::new(options);
    database.apply(&record(1, 1, create("/t", CreateKind::Ttl(5000), 1)), &mut ());
    let owner = database.tree.node(b"/t").unwrap().persisted().ephemeral_owner;
    assert_eq!(database.tree.ephemerals_of(SessionId(owner)), [b"/t"]);
    assert!(OwnerEncoding::looks_like_ttl(owner));
    assert_consistent(&database.tree);
}
