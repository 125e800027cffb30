//! ACLs and authentication.

use crate::common::server::SUPER_DIGEST;
use crate::common::{
    Acl, Hello, RawClient, Setup, TestServer, bodies, err, flag, foreign_server, op, shared,
    skip_deviation,
};

const READ: i32 = 1;
const WRITE: i32 = 2;
const CREATE: i32 = 4;
const DELETE: i32 = 8;
const ADMIN: i32 = 16;
const ALL: i32 = 31;

fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl::new(perms, scheme.as_bytes(), id.as_bytes())
}

/// `alice:secret` as an id.
const ALICE: &str = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=";

/// enableEagerACLCheck is about members of an ensemble: a server that is alone judges each write
/// in its place in the order all the same, and the refusal has a zxid (C-072).
#[test]
fn eager_checks_change_nothing_alone() {
    let server = TestServer::start(&[("enableEagerACLCheck", "true")]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"", 0).ok();
    c.set_acl("/a", &bodies::world(READ), -1).ok();
    let before = c.set_data("/a", b"", -1);
    let after = c.create("/a/b", b"", 0);
    assert_eq!((before.err, after.err), (err::NO_AUTH, err::NO_AUTH));
    assert_eq!(after.zxid, before.zxid + 1, "each took a zxid of its own");
    if !foreign_server() {
        server.log_with("enableEagerACLCheck");
    }
}

/// C-183: with the open ACL everyone may do everything.
#[test]
fn the_open_acl_allows_everything() {
    let server = shared();
    let path = RawClient::new(&server).scratch("c183");
    let mut c = RawClient::new(&server);
    c.create(&format!("{path}/a"), b"", 0).ok();
    c.set_data(&path, b"", -1).ok();
    c.set_acl(&path, &bodies::open_acl(), -1).ok();
    assert_eq!(c.get_acl(&path).acl().0, bodies::open_acl());
    c.delete(&format!("{path}/a"), -1).ok();
}

/// C-184, C-185: which permission each operation needs, and on which node.
#[test]
fn each_operation_needs_its_permission() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c184");
    // What is allowed with all but one permission, and with none but one.
    for missing in [READ, WRITE, CREATE, DELETE, ADMIN] {
        let node = format!("{path}/{missing}");
        c.create(&node, b"", 0).ok();
        c.create(&format!("{node}/child"), b"", 0).ok();
        c.set_acl(&node, &bodies::world(ALL & !missing), -1).ok();
        let expected = |needed: i32| if needed == missing { err::NO_AUTH } else { 0 };
        assert_eq!(c.get_data(&node, false).err, expected(READ));
        assert_eq!(c.exists(&node, false).err, expected(READ));
        assert_eq!(c.get_children(&node, false).err, expected(READ));
        assert_eq!(c.get_children2(&node, false).err, expected(READ));
        let count = c.call(op::GET_ALL_CHILDREN_NUMBER, &bodies::path(&node));
        assert_eq!(count.err, expected(READ));
        assert_eq!(c.get_acl(&node).err, 0, "READ or ADMIN");
        assert_eq!(c.set_data(&node, b"", -1).err, expected(WRITE));
        assert_eq!(c.create(&format!("{node}/new"), b"", 0).err, expected(CREATE));
        assert_eq!(c.delete(&format!("{node}/child"), -1).err, expected(DELETE));
        assert_eq!(c.set_acl(&node, &bodies::open_acl(), -1).err, expected(ADMIN));
        assert_eq!(c.sync(&node).err, 0);
    }
    // CREATE and DELETE of the node itself do not matter to its own deletion.
    let node = format!("{path}/own");
    c.create_with(&node, &bodies::world(0)).ok();
    assert_eq!(c.delete(&node, -1).err, 0);
}

/// C-186: one matching entry is enough; entries do not take away.
#[test]
fn any_matching_entry_suffices() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c186");
    let list =
        [acl(0, "world", "anyone"), acl(READ, "digest", ALICE), acl(WRITE, "world", "anyone")];
    let node = format!("{path}/n");
    c.create_with(&node, &list).ok();
    assert_eq!(c.get_data(&node, false).err, err::NO_AUTH);
    assert_eq!(c.set_data(&node, b"", -1).err, 0);
    c.auth("digest", b"alice:secret").ok();
    assert_eq!(c.get_data(&node, false).err, 0);
}

/// C-187: a node for one user.
#[test]
fn digest_auth_opens_a_protected_node() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c187");
    let node = format!("{path}/n");
    c.create_with(&node, &[acl(ALL, "digest", ALICE)]).ok();
    assert_eq!(c.get_data(&node, false).err, err::NO_AUTH);
    c.auth("digest", b"alice:wrong").ok();
    assert_eq!(c.get_data(&node, false).err, err::NO_AUTH);
    c.auth("digest", b"alice:secret").ok();
    assert_eq!(c.get_data(&node, false).err, 0);
    assert_eq!(RawClient::new(&server).get_data(&node, false).err, err::NO_AUTH);
}

/// C-188, C-200: `auth` becomes every authenticated identity; without one it is invalid. A second
/// identity does not replace the first.
#[test]
fn auth_entries_expand_to_all_identities() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c188");
    let list = [acl(ALL, "auth", "ignored")];
    assert_eq!(c.create_with(&format!("{path}/n"), &list).err, err::INVALID_ACL);
    assert_eq!(c.set_acl(&path, &list, -1).err, err::INVALID_ACL);
    c.auth("digest", b"alice:secret").ok();
    c.auth("digest", b"bob:pw").ok();
    c.auth("digest", b"alice:secret").ok();
    c.create_with(&format!("{path}/n"), &list).ok();
    let (mut stored, _) = c.get_acl(&format!("{path}/n")).acl();
    stored.sort_by(|a, b| a.id().cmp(b.id()));
    let bob = acl(ALL, "digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=");
    assert_eq!(stored, [acl(ALL, "digest", ALICE), bob]);
}

/// C-189: null and empty lists.
#[test]
fn empty_lists_are_invalid() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c189");
    let node = format!("{path}/n");
    assert_eq!(c.create_with(&node, &[]).err, err::INVALID_ACL);
    assert_eq!(c.set_acl(&path, &[], -1).err, err::INVALID_ACL);
    let mut null = bodies::path(&node);
    null.extend_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(c.call(op::CREATE, &null).err, err::INVALID_ACL);
    let multi = c.multi(&[(op::CREATE, bodies::create(&node, None, &[], 0))]);
    assert_eq!(multi.codes(), [err::INVALID_ACL]);
    assert!(!c.has(&node));
}

/// C-190, F-10: what no provider accepts.
#[test]
fn malformed_entries_are_invalid() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c190");
    for (scheme, id) in [
        ("nosuch", "x"),
        ("", "x"),
        ("super", ""),
        ("world", "foo"),
        ("world", ""),
        ("digest", "a"),
        ("digest", "a:b:c"),
        ("digest", "u:"),
        ("digest", ":"),
        ("digest", ""),
        ("ip", "localhost"),
        ("ip", "127.1"),
        ("ip", "1.2.3.4/"),
        ("ip", "1.2.3.4/33"),
        ("ip", "1.2.3.4/-1"),
        ("ip", "1.2.3.4/8/8"),
        ("ip", "::1/129"),
        ("ip", ""),
    ] {
        let list = [acl(ALL, "world", "anyone"), acl(ALL, scheme, id)];
        let reply = c.create_with(&format!("{path}/n"), &list);
        assert_eq!(reply.err, err::INVALID_ACL, "{scheme}:{id}");
    }
    for (n, (scheme, id)) in [
        ("digest", "a:b"),
        ("digest", ":b"),
        ("ip", "1.2.3.4"),
        ("ip", "1.2.3.4/0"),
        ("ip", "10.0.0.0/8"),
        ("ip", "fe80::1"),
        ("ip", "::1/128"),
    ]
    .into_iter()
    .enumerate()
    {
        let list = [acl(ALL, "world", "anyone"), acl(ALL, scheme, id)];
        assert_eq!(c.create_with(&format!("{path}/ok{n}"), &list).err, 0, "{scheme}:{id}");
    }
}

/// F-1: null ids and schemes.
#[test]
fn null_ids_are_told_apart() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("f1");
    let mut of = |scheme: Option<&str>| {
        let entry = Acl { perms: ALL, scheme: scheme.map(|s| s.as_bytes().into()), id: None };
        c.create_with(&format!("{path}/n"), &[entry]).err
    };
    for scheme in ["world", "digest", "ip"] {
        assert_eq!(of(Some(scheme)), err::MARSHALLING, "{scheme}");
    }
    for scheme in [Some("auth"), Some("nosuch"), None] {
        assert_eq!(of(scheme), err::INVALID_ACL, "{scheme:?}");
    }
}

/// C-191, C-192: duplicates are stored once, the first stays; permissions are kept as given.
#[test]
fn lists_are_stored_as_given_without_duplicates() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c191");
    let a = acl(ALL, "world", "anyone");
    let b = acl(READ, "ip", "10.0.0.0/8");
    let list = [b.clone(), a.clone(), b.clone(), a.clone(), acl(0, "world", "anyone")];
    c.set_acl(&path, &list, -1).ok();
    let (stored, stat) = c.get_acl(&path).acl();
    assert_eq!(stored, [b, a, acl(0, "world", "anyone")]);
    assert_eq!(stat, c.stat(&path));
    for perms in [0, ALL, 0x7fff_ffff, -1, 64] {
        let node = format!("{path}/p{perms}");
        c.create_with(&node, &[acl(perms, "world", "anyone"), acl(ADMIN, "world", "anyone")]).ok();
        assert_eq!(c.get_acl(&node).acl().0[0].perms, perms);
    }
}

/// C-193: without ADMIN the hashes of digest ids are not shown.
#[test]
fn digest_hashes_are_masked_without_admin() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c193");
    let node = format!("{path}/n");
    c.create_with(&node, &[acl(READ, "world", "anyone"), acl(ALL, "digest", ALICE)]).ok();
    let masked = [acl(READ, "world", "anyone"), acl(ALL, "digest", "alice:x")];
    assert_eq!(c.get_acl(&node).acl().0, masked);
    c.auth("digest", b"alice:secret").ok();
    assert_eq!(c.get_acl(&node).acl().0[1], acl(ALL, "digest", ALICE));
}

/// C-194: getACL needs READ or ADMIN.
#[test]
fn get_acl_needs_read_or_admin() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c194");
    for (perms, expected) in [(READ, 0), (ADMIN, 0), (WRITE | CREATE | DELETE, err::NO_AUTH)] {
        let node = format!("{path}/{perms}");
        c.create_with(&node, &bodies::world(perms)).ok();
        assert_eq!(c.get_acl(&node).err, expected, "{perms}");
    }
    assert_eq!(c.get_acl(&format!("{path}/missing")).err, err::NO_NODE);
}

/// C-195: addresses and prefixes of them.
#[test]
fn ip_entries_match_by_prefix() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c195");
    for (n, (id, expected)) in [
        ("127.0.0.1", 0),
        ("127.0.0.0/8", 0),
        ("127.0.0.2/31", err::NO_AUTH),
        ("127.0.0.2", err::NO_AUTH),
        ("10.0.0.0/8", err::NO_AUTH),
        ("0.0.0.0/0", 0),
        ("::1", err::NO_AUTH),
        ("::/0", err::NO_AUTH),
    ]
    .into_iter()
    .enumerate()
    {
        let node = format!("{path}/{n}");
        c.create_with(&node, &[acl(ALL, "ip", id)]).ok();
        assert_eq!(c.get_data(&node, false).err, expected, "{id}");
    }
}

/// C-196, C-203: super may do everything, and alone can repair what locks everyone out.
#[test]
fn super_may_do_everything() {
    let server = TestServer::start(&[("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)]);
    let mut c = RawClient::new(&server);
    c.create_with("/locked", &bodies::world(0)).ok();
    assert_eq!(c.set_acl("/locked", &bodies::open_acl(), -1).err, err::NO_AUTH);
    assert_eq!(c.get_acl("/locked").err, err::NO_AUTH);
    let mut root = RawClient::new(&server);
    root.auth("digest", b"super:test").ok();
    assert_eq!(root.get_acl("/locked").acl().0, bodies::world(0));
    root.create("/locked/a", b"", 0).ok();
    root.delete("/locked/a", -1).ok();
    root.set_data("/zookeeper/config", b"", -1).ok();
    root.set_acl("/locked", &bodies::open_acl(), -1).ok();
    assert_eq!(c.get_data("/locked", false).err, 0);
    assert_eq!(root.delete("/zookeeper", -1).err, err::BAD_ARGUMENTS, "not even super");
}

/// C-197: skipACL looks at no ACL, but still refuses a malformed one.
#[test]
fn skip_acl_allows_everything_but_malformed_lists() {
    let server = TestServer::start(&[("skipACL", "yes")]);
    let mut c = RawClient::new(&server);
    c.create_with("/locked", &bodies::world(0)).ok();
    assert_eq!(c.get_data("/locked", false).err, 0);
    assert_eq!(c.set_data("/locked", b"", -1).err, 0);
    assert_eq!(c.set_acl("/locked", &bodies::world(0), -1).err, 0);
    assert_eq!(c.create_with("/n", &[]).err, err::INVALID_ACL);
}

/// C-198, C-199, F-9: bad auth is told and ends the connection; the session lives.
#[test]
fn bad_auth_ends_the_connection_not_the_session() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let welcome = c.welcome.clone();
    for scheme in ["nosuch", "", "world", "auth", "super", "ensemble"] {
        let mut c = RawClient::connect(&server, &Hello::resume(&welcome));
        assert_eq!(c.auth(scheme, b"x").err, err::AUTH_FAILED, "{scheme}");
        c.expect_close();
    }
    c.expect_close();
    assert_eq!(RawClient::connect(&server, &Hello::resume(&welcome)).ping().err, 0);
}

/// F-9: ip is always accepted and adds nothing; digest takes anything.
#[test]
fn ip_and_odd_digests_are_accepted() {
    let server = shared();
    let mut c = RawClient::new(&server);
    c.auth("ip", b"8.8.8.8").ok();
    assert_eq!(c.call(op::WHO_AM_I, &[]).identities().len(), 1);
    for data in [&b""[..], b":", b"nocolon"] {
        c.auth("digest", data).ok();
    }
    assert_eq!(c.ping().err, 0);
}

/// C-076: the ip is always there, a digest shows its user only.
#[test]
fn who_am_i_lists_ip_and_users() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let ip = ("ip".to_owned(), "127.0.0.1".to_owned());
    assert_eq!(c.call(op::WHO_AM_I, &[]).identities(), std::slice::from_ref(&ip));
    c.auth("digest", b"alice:secret").ok();
    let mut identities = c.call(op::WHO_AM_I, &[]).identities();
    identities.sort();
    assert_eq!(identities, [("digest".to_owned(), "alice".to_owned()), ip]);
}

/// C-201: identities belong to the connection.
#[test]
fn identities_do_not_survive_a_reconnect() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c201");
    let node = format!("{path}/n");
    c.auth("digest", b"alice:secret").ok();
    c.create_with(&node, &[acl(ALL, "auth", "")]).ok();
    let mut again = RawClient::connect(&server, &Hello::resume(&c.welcome));
    assert_eq!(again.get_data(&node, false).err, err::NO_AUTH);
    again.auth("digest", b"alice:secret").ok();
    assert_eq!(again.get_data(&node, false).err, 0);
}

/// C-202: a setACL in the pipeline counts for the create behind it (N-8).
#[test]
fn a_pipelined_set_acl_counts_for_what_follows() {
    if skip_deviation("Java judges by the committed ACL of the parent") {
        return;
    }
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c202");
    for round in 0..40 {
        let node = format!("{path}/{round}");
        c.create(&node, b"", 0).ok();
        c.submit(op::SET_ACL, &bodies::set_acl(&node, &bodies::world(ALL & !CREATE), -1));
        let child = bodies::create(format!("{node}/c"), None, &bodies::open_acl(), 0);
        c.submit(op::CREATE, &child);
        assert_eq!(c.reply().err, 0);
        assert_eq!(c.reply().err, err::NO_AUTH, "round {round}");
    }
}

/// C-158: auth that was sent before a request counts for it, whatever is pending.
#[test]
fn auth_sent_before_a_request_counts_for_it() {
    let server = shared();
    let mut c = RawClient::new(&server);
    let path = c.scratch("c158");
    let node = format!("{path}/n");
    c.create_with(&node, &[acl(ALL, "digest", ALICE)]).ok();
    let mut other = RawClient::new(&server);
    let mut bytes = Vec::new();
    for xid in 1..=20 {
        let body =
            bodies::create(format!("{path}/s-"), None, &bodies::open_acl(), flag::SEQUENTIAL);
        bytes.extend(bodies::frame(xid, op::CREATE, &body));
    }
    bytes.extend(bodies::frame(-4, op::AUTH, &bodies::auth("digest", b"alice:secret")));
    bytes.extend(bodies::frame(21, op::GET_DATA, &bodies::watched(&node, false)));
    bytes.extend(bodies::frame(22, op::SET_DATA, &bodies::set_data(&node, None, -1)));
    other.send(&bytes);
    let mut by_xid = std::collections::BTreeMap::new();
    for _ in 0..23 {
        let reply = other.reply();
        by_xid.insert(reply.xid, reply.err);
    }
    assert_eq!((by_xid[&-4], by_xid[&21], by_xid[&22]), (0, 0, 0));
}

/// C-204: the configuration is there for everyone to read, and for super to write.
#[test]
fn the_config_node_is_read_only() {
    let server = shared();
    let mut c = RawClient::new(&server);
    assert_eq!(c.get_data("/zookeeper/config", false).err, 0);
    assert_eq!(c.get_acl("/zookeeper/config").acl().0, bodies::world(READ));
    assert_eq!(c.set_data("/zookeeper/config", b"x", -1).err, err::NO_AUTH);
    assert_eq!(c.set_acl("/zookeeper/config", &bodies::open_acl(), -1).err, err::NO_AUTH);
    assert_eq!(c.create("/zookeeper/config/x", b"", 0).err, err::NO_AUTH);
    assert_eq!(c.delete("/zookeeper/config", -1).err, err::BAD_ARGUMENTS);
}

/// C-206: ACLs are the same after a restart.
#[test]
fn acls_survive_a_restart() {
    let mut server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    let lists = [
        vec![acl(ALL, "digest", ALICE)],
        vec![acl(READ, "world", "anyone"), acl(ALL, "digest", ALICE)],
        bodies::world(0),
        bodies::open_acl(),
    ];
    for (n, list) in lists.iter().enumerate() {
        c.create_with(&format!("/n{n}"), list).ok();
    }
    c.create("/changed", b"", 0).ok();
    c.set_acl("/changed", &lists[0], -1).ok();
    for _ in 0..2 {
        server.kill();
        server.restart();
        let mut c = RawClient::new(&server);
        assert_eq!(c.get_data("/n0", false).err, err::NO_AUTH);
        assert_eq!(c.get_data("/n2", false).err, err::NO_AUTH);
        assert_eq!(c.get_data("/changed", false).err, err::NO_AUTH);
        c.auth("digest", b"alice:secret").ok();
        for n in [0, 1, 3] {
            assert_eq!(c.get_acl(&format!("/n{n}")).acl().0, lists[n]);
        }
        assert_eq!(c.get_acl("/changed").acl().0, lists[0]);
    }
}

/// C-205: with enforced authentication, nothing but auth is answered before it: −124, and the
/// connection ends; the session does not.
#[test]
fn enforced_authentication_refuses_everything_before_it() {
    let settings = [("enforce.auth.enabled", "true"), ("enforce.auth.schemes", "digest")];
    let server = TestServer::start(&settings);
    let mut welcome = None;
    for (kind, body) in [
        (op::GET_DATA, bodies::watched("/", false)),
        (op::CREATE, bodies::create("/n", None, &bodies::open_acl(), 0)),
        (op::PING, vec![]),
        (op::CLOSE_SESSION, vec![]),
        (op::SYNC, bodies::path("/")),
        (op::WHO_AM_I, vec![]),
        (op::CHECK, bodies::numbered("/", -1)),
        (999, vec![]),
    ] {
        let mut c = RawClient::new(&server);
        welcome = Some(c.welcome.clone());
        let xid = c.submit(kind, &body);
        let reply = c.reply();
        let told = (reply.xid, reply.err, reply.zxid);
        assert_eq!(told, (xid, err::SASL_REQUIRED, 0), "operation {kind}");
        assert_eq!(reply.body, b"", "operation {kind}");
        c.expect_close();
    }
    let mut c = RawClient::connect(&server, &Hello::resume(&welcome.expect("a session")));
    c.auth("ip", b"").ok();
    assert_eq!(c.call(op::GET_DATA, &bodies::watched("/", false)).err, err::SASL_REQUIRED);
    c.expect_close();
    let mut c = RawClient::new(&server);
    c.auth("digest", b"alice:secret").ok();
    assert!(!c.has("/n"));
    c.create("/n", b"", 0).ok();
    // Words are no requests.
    assert!(server.word("srvr").contains("Mode: standalone"));
}

/// C-205: what counts is the place behind the auth packet, not the answer to it.
#[test]
fn enforced_authentication_takes_what_is_pipelined_behind_it() {
    let settings = [("enforce.auth.enabled", "true"), ("enforce.auth.schemes", " digest ,ip2,")];
    let refusal = Setup::new(&settings).refusal();
    assert_eq!(refusal.code, Some(2), "{refusal:?}");
    let server = TestServer::start(&[settings[0], ("enforce.auth.schemes", " digest ,")]);
    let mut c = RawClient::new(&server);
    let mut bytes = bodies::frame(-4, op::AUTH, &bodies::auth("digest", b"alice:secret"));
    bytes.extend(bodies::frame(1, op::GET_DATA, &bodies::watched("/", false)));
    c.send(&bytes);
    let replies = [c.reply(), c.reply()].map(|reply| (reply.xid, reply.err));
    assert_eq!(replies, [(-4, 0), (1, 0)]);
}

/// C-205: an address is an identity that everybody has.
#[test]
fn enforced_authentication_by_ip_lets_everybody_in() {
    let settings = [("enforce.auth.enabled", "true"), ("enforce.auth.schemes", "ip")];
    let server = TestServer::start(&settings);
    assert_eq!(RawClient::new(&server).get_data("/", false).err, 0);
}

/// C-205: a server that could not enforce it does not start as if it could.
#[test]
fn authentication_that_nobody_could_pass_refuses_to_start() {
    let enabled = ("enforce.auth.enabled", "true");
    for settings in [
        &[enabled][..],
        &[enabled, ("enforce.auth.schemes", "")],
        &[enabled, ("enforce.auth.schemes", "digest,nosuch")],
        &[enabled, ("enforce.auth.schemes", "sasl")],
        &[enabled, ("enforce.auth.schemes", "world")],
        &[
            enabled,
            ("enforce.auth.schemes", "digest"),
            ("DigestAuthenticationProvider.enabled", "false"),
        ],
        &[("sessionRequireClientSASLAuth", "true")],
    ] {
        let refusal = Setup::new(settings).refusal();
        assert_eq!(refusal.code, Some(2), "{settings:?}: {refusal:?}");
    }
}

/// The algorithm makes the ids, the super digest included.
#[test]
fn the_digest_algorithm_is_chosen() {
    // super:test, by a Java machine.
    for (algorithm, hash) in [
        ("MD5", "yzhcGieXAe2NBWh0Znxa3g=="),
        ("sha-256", "wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
        ("SHA3-256", "cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA="),
    ] {
        let id = format!("super:{hash}");
        let server = TestServer::start(&[
            ("DigestAuthenticationProvider.digestAlg", algorithm),
            ("DigestAuthenticationProvider.superDigest", &id),
        ]);
        let mut c = RawClient::new(&server);
        c.create_with("/locked", &bodies::world(0)).ok();
        assert_eq!(c.get_data("/locked", false).err, err::NO_AUTH);
        c.auth("digest", b"super:test").ok();
        assert_eq!(c.get_data("/locked", false).err, 0, "{algorithm}");
        c.create_with("/mine", &[acl(ALL, "auth", "")]).ok();
        assert_eq!(c.get_acl("/mine").acl().0, [acl(ALL, "digest", &id)]);
    }
    let refusal = Setup::new(&[("DigestAuthenticationProvider.digestAlg", "NOPE")]).refusal();
    assert!(refusal.code.is_some_and(|code| code > 0), "{refusal:?}");
    assert!(refusal.log.contains("NOPE"), "{refusal:?}");
}

/// Whoever names another ensemble is cut off without an answer; whoever names none is not asked.
#[test]
fn a_client_of_another_ensemble_is_cut_off() {
    let provider = "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";
    let server = TestServer::start(&[
        ("ensembleAuthName", "prod, stage"),
        ("authProvider.ensemble", provider),
    ]);
    let mut c = RawClient::new(&server);
    for name in [&b"prod"[..], b"stage", b""] {
        c.auth("ensemble", name).ok();
    }
    assert_eq!(c.call(op::WHO_AM_I, &[]).identities().len(), 1);
    let list = [acl(ALL, "ensemble", "prod")];
    assert_eq!(c.create_with("/n", &list).err, err::INVALID_ACL);
    let welcome = c.welcome.clone();
    c.send(&bodies::frame(-4, op::AUTH, &bodies::auth("ensemble", b"test")));
    c.expect_close();
    // The session may be resumed elsewhere, or here.
    assert_eq!(RawClient::connect(&server, &Hello::resume(&welcome)).ping().err, 0);
}

/// No password and no hash of one is written to the log, whatever goes wrong.
#[test]
fn the_log_tells_no_secret() {
    if skip_deviation("another server's log is its own affair") {
        return;
    }
    let server = TestServer::start(&[
        ("DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
        ("zookeeper.DigestAuthenticationProvider.superDigest", "super:geheim"),
        ("superDigst", "super:geheim"),
    ]);
    let mut c = RawClient::new(&server);
    c.auth("digest", b"alice:geheim").ok();
    c.create_with("/n", &[acl(ALL, "auth", "")]).ok();
    c.auth("digest", b"super:test").ok();
    c.auth("nosuch", b"alice:geheim");
    c.expect_close();
    let mut c = RawClient::new(&server);
    let mut torn = bodies::auth("digest", b"alice:geheim");
    torn.truncate(torn.len() - 1);
    c.send(&bodies::frame(-4, op::AUTH, &torn));
    c.expect_close();
    let log = server.log_with("authentication failed");
    let hash = SUPER_DIGEST.split_once(':').expect("name and hash").1;
    for secret in ["geheim", hash, "secret"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
