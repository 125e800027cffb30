//! Undamaged directories: what was captured from the tree is what a client reads here.

use serde_json::Value;

use crate::common::server::SUPER_DIGEST;
use crate::common::{RawClient, Setup, TestServer, golden, hex};

/// A server that keeps everything as it is: no session expires and no container is swept.
pub fn setup(directory: &str, settings: &[(&str, &str)]) -> Setup {
    let mut setup = Setup::new(&[
        ("tickTime", "2000"),
        ("extendedTypesEnabled", "true"),
        ("znode.container.checkIntervalMs", "3600000"),
        ("DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
    ]);
    for (key, value) in settings {
        setup.set(key, value);
    }
    setup.with_files_of(&golden::path(directory))
}

fn client(server: &TestServer) -> RawClient {
    let mut client = RawClient::new(server);
    client.auth("digest", b"super:test").ok();
    client
}

/// Reads every node that the captured tree has, and that there are no others.
pub fn assert_tree(server: &TestServer, expected: &Value) {
    let mut client = client(server);
    let expected = expected.as_object().expect("nodes by path");
    let below = client.call(104, &crate::common::bodies::path("/")).ok().number();
    assert_eq!(below as usize, expected.len() - 1, "nodes below the root");
    for (path, node) in expected {
        let (data, stat) = client.get_data(path, false).ok().data();
        assert_eq!(data.as_deref().map(hex::encode).as_deref(), node["data"].as_str(), "{path}");
        let (acl, _) = client.get_acl(path).ok().acl();
        let acl: Vec<Value> = acl
            .iter()
            .map(|acl| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                serde_json::json!([acl.perms, text(acl.scheme()), text(acl.id())])
            })
            .collect();
        assert_eq!(Value::from(acl), node["acl"], "{path}");
        let (children, _) = client.get_children2(path, false).ok().children_stat();
        let mut listed: Vec<String> = node["children"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect();
        listed.sort();
        assert_eq!(children, listed, "{path}");
        let wanted = &node["stat"];
        let stat = serde_json::json!({
            "aversion": stat.aversion, "ctime": stat.ctime, "cversion": stat.cversion,
            "czxid": stat.czxid.0, "ephemeralOwner": stat.ephemeral_owner, "mtime": stat.mtime,
            "mzxid": stat.mzxid.0, "numChildren": stat.num_children, "pzxid": stat.pzxid.0,
            "version": stat.version,
            "dataLength": stat.data_length,
        });
        assert_eq!(&stat, wanted, "{path}");
    }
}

/// No transaction's digest differed from the tree's when the log was replayed.
pub fn assert_digests_matched(server: &TestServer) {
    assert_eq!(server.mntr("zk_digest_mismatches_count").as_deref(), Some("0"));
}

/// C-255, C-282: a directory of Apache ZooKeeper 3.8.0, two snapshots and two logs, loads, with the
/// statistics of its quota as they were.
#[test]
fn standalone_3_8_0_is_served() {
    let server = setup("standalone-3.8.0/version-2", &[]).start();
    assert_eq!(server.zxid(), 0x6e);
    assert_digests_matched(&server);
    assert_tree(&server, &golden::json("standalone-3.8.0/expected-tree.json"));
}

/// C-255: a directory of the 3.9 branch loads.
#[test]
fn standalone_3_9_is_served() {
    let server = setup("standalone-3.9/version-2", &[]).start();
    assert_eq!(server.zxid(), 0x61);
    assert_digests_matched(&server);
    assert_tree(&server, &golden::json("standalone-3.9/expected-tree.json"));
}

/// C-255: the same from the first snapshot alone and both logs.
#[test]
fn the_first_snapshot_and_all_logs_give_the_same_tree() {
    for (directory, newest) in
        [("standalone-3.8.0", "snapshot.40"), ("standalone-3.9", "snapshot.41")]
    {
        let setup = setup(&format!("{directory}/version-2"), &[]);
        std::fs::remove_file(setup.version_dir().join(newest)).expect("the newer snapshot");
        let server = setup.start();
        assert_digests_matched(&server);
        assert_tree(&server, &golden::json(&format!("{directory}/expected-tree.json")));
    }
}

/// C-255: logs without digests, whose closeSession transactions have no body.
#[test]
fn a_directory_without_digests_is_served() {
    let server = setup("legacy-no-digest-3.8.0/version-2", &[]).start();
    assert_eq!(server.zxid(), last_zxid("legacy-no-digest-3.8.0"));
    assert_left(&server, "legacy-no-digest-3.8.0");
}

/// C-245: logs without a snapshot are refused, unless snapshot.trust.empty says that they are
/// 3.4's; then they are served.
#[test]
fn logs_of_3_4_need_trust() {
    let refusal = setup("legacy-3.4/version-2", &[]).refusal();
    assert_ne!(refusal.code, Some(0));
    assert!(crate::common::foreign_server() || refusal.log.contains("snapshot"), "{refusal:?}");

    let server = setup("legacy-3.4/version-2", &[("snapshot.trust.empty", "true")]).start();
    assert_eq!(server.zxid(), last_zxid("legacy-3.4"));
    assert_left(&server, "legacy-3.4");
}

fn last_zxid(directory: &str) -> i64 {
    let log = golden::json(&format!("{directory}/expected-txns.json"));
    let records = log["log.1"]["records"].as_array().expect("records");
    records.last().expect("one at least")["header"]["zxid"].as_i64().expect("a zxid")
}

/// What the plain creates and deletes of the log have left is there, and nothing else.
fn assert_left(server: &TestServer, directory: &str) {
    let log = golden::json(&format!("{directory}/expected-txns.json"));
    let mut left = std::collections::BTreeMap::new();
    for record in log["log.1"]["records"].as_array().expect("records") {
        let body = &record["body"];
        let session = record["header"]["clientId"].as_str().expect("an id");
        match record["header"]["typeName"].as_str().expect("a type") {
            "createSession" | "error" | "setACL" => {}
            "create" | "create2" => {
                let owner = if body["ephemeral"] == true { session } else { "" };
                let path = body["path"].as_str().expect("a path").to_owned();
                left.insert(path, (body["data"].clone(), owner.to_owned()));
            }
            "setData" => {
                let node = left.get_mut(body["path"].as_str().expect("a path"));
                node.expect("it exists").0 = body["data"].clone();
            }
            "delete" => drop(left.remove(body["path"].as_str().expect("a path"))),
            "closeSession" => left.retain(|_, (_, owner)| owner != session),
            "multi" => {
                for part in body["txns"].as_array().expect("parts") {
                    assert_eq!(part["type"], "create", "the script's only kind of part");
                    let path = part["body"]["path"].as_str().expect("a path").to_owned();
                    left.insert(path, (part["body"]["data"].clone(), String::new()));
                }
            }
            other => panic!("{other}"),
        }
    }
    let mut client = client(server);
    for (path, (data, owner)) in &left {
        let (read, stat) = client.get_data(path, false).ok().data();
        assert_eq!(read.as_deref().map(hex::encode).as_deref(), data.as_str(), "{path}");
        assert_eq!(stat.ephemeral_owner != 0, !owner.is_empty(), "{path}");
    }
    let below = client.call(104, &crate::common::bodies::path("/")).ok().number();
    assert_eq!(below as usize, left.len() + 3, "and /zookeeper with two below");
}

/// C-255: a snapshot alone loads, whichever version wrote it.
#[test]
fn every_plain_snapshot_is_served() {
    for variant in [
        "plain-3.8.0",
        "plain-3.8.0-digest-disabled",
        "plain-3.9-with-last-zxid",
        "plain-3.5-no-digest-section",
    ] {
        let server = setup(&format!("snapshot-variants/{variant}"), &[]).start();
        assert_eq!(server.zxid(), 0x6e, "{variant}");
        assert_tree(&server, &golden::json("standalone-3.8.0/expected-tree.json"));
    }
}

/// C-255: a compressed snapshot alone loads, whatever the key says that ours are to be.
#[test]
fn every_compressed_snapshot_is_served() {
    for variant in ["gz", "snappy"] {
        for method in ["", "gz", "snappy"] {
            let settings = [("snapshot.compression.method", method)];
            let server = setup(&format!("snapshot-variants/{variant}"), &settings).start();
            assert_eq!(server.zxid(), 0x6e, "{variant}");
            assert_tree(&server, &golden::json("standalone-3.8.0/expected-tree.json"));
        }
    }
}

/// TTL nodes on disk while extended types are off would be read as ephemerals of sessions
/// that never were.
#[test]
fn ttl_nodes_need_extended_types() {
    if crate::common::skip_deviation("Java reads the owners as session ids") {
        return;
    }
    let refusal = setup("standalone-3.9/version-2", &[("extendedTypesEnabled", "false")]).refusal();
    assert_ne!(refusal.code, Some(0));
    assert!(refusal.log.contains("extendedTypesEnabled"), "{refusal:?}");
}

/// C-093: after all restarts no ephemeral is left whose session is over; and what a living
/// session owns stays with it.
#[test]
fn a_captured_session_resumes_with_its_ephemerals() {
    let server = setup("standalone-3.9/version-2", &[]).start();
    let session = 0x100_002a_b59c_0000;
    let hello = crate::common::Hello {
        timeout_ms: 30_000,
        session,
        password: Some(
            zkserver::proto::password::generate(zkserver::proto::SessionId(session)).into(),
        ),
        ..Default::default()
    };
    let mut client = RawClient::connect(&server, &hello);
    assert_eq!(client.session(), session);
    let owned = client.call(103, &crate::common::bodies::path("/")).ok().children();
    assert_eq!(owned, ["/app/eph", "/app/eph-0000000006", "/app/late", "/m/e"]);
    client.close();
    let mut reader = RawClient::new(&server);
    for path in owned {
        assert!(!reader.has(&path), "{path}");
    }
}
