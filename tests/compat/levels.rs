//! `compatibilityLevel`: what each line of Apache ZooKeeper's releases shows, to clients, to
//! tools, and in files. Each test holds a line of the table in `docs/configuration.md`.

use crate::common::client::{CREATED, DATA_CHANGED, DELETED};
use crate::common::{
    Part, RawClient, Setup, TestServer, bodies, eventually, flag, op, skip_deviation,
};

const LEVELS: [&str; 4] = ["3.8.0", "3.8", "3.9", "3.10"];

fn level(name: &str) -> TestServer {
    TestServer::start(&[("compatibilityLevel", name)])
}

/// Apache ZooKeeper is what it is.
fn skip() -> bool {
    skip_deviation("only zkserver has compatibility levels")
}

#[test]
fn events_have_the_zxid_of_the_change_since_3_9() {
    if skip() {
        return;
    }
    for name in LEVELS {
        let server = level(name);
        let mut c = RawClient::new(&server);
        let mut told = Vec::new();
        c.exists("/n", true);
        for body in [
            (op::CREATE, bodies::create("/n", None, &bodies::open_acl(), 0)),
            (op::SET_DATA, bodies::set_data("/n", None, -1)),
            (op::DELETE, bodies::numbered("/n", -1)),
        ] {
            c.submit(body.0, &body.1);
            let event = c.event();
            let zxid = c.reply().ok().zxid;
            told.push((event.kind, event.zxid));
            let expected = if name.starts_with("3.8") { -1 } else { zxid };
            assert_eq!(event.zxid, expected, "{name}");
            c.exists("/n", true);
        }
        let kinds: Vec<i32> = told.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [CREATED, DATA_CHANGED, DELETED]);
    }
}

#[test]
fn create2_in_a_multi_is_a_create_to_what_is_older_than_3_8_2() {
    if skip() {
        return;
    }
    for name in LEVELS {
        let mut server = level(name);
        let mut c = RawClient::new(&server);
        let create = |path: &str, flags| bodies::create(path, None, &bodies::open_acl(), flags);
        let parts = c.multi(&[
            (op::CREATE2, create("/a", flag::PERSISTENT)),
            (op::CREATE_CONTAINER, create("/c", flag::CONTAINER)),
            (op::CREATE2, create("/a/s-", flag::SEQUENTIAL)),
        ]);
        let parts = parts.ok().parts();
        let with_stat: Vec<bool> =
            parts.iter().map(|part| matches!(part, Part::Create2(..))).collect();
        let create2 = name != "3.8.0";
        assert_eq!(with_stat, [create2, true, create2], "{name}: {parts:?}");
        c.create2("/b", b"", 0).ok().path_stat();
        let before = c.stat("/a");
        server.kill();
        server.restart();
        let mut c = RawClient::new(&server);
        assert_eq!(c.stat("/a"), before, "{name}");
        assert!(c.has("/a/s-0000000000") && c.has("/b"), "{name}");
    }
}

#[test]
fn snapshots_end_with_the_last_zxid_since_3_9() {
    if skip() {
        return;
    }
    let size = |settings: &[(&str, &str)]| {
        let server = TestServer::start(settings);
        assert_eq!(server.files("snapshot"), ["snapshot.0"]);
        let path = server.version_dir().join("snapshot.0");
        std::fs::metadata(path).expect("the first snapshot").len()
    };
    // A long, and a seal of a long and a text.
    const LAST_ZXID: u64 = 8 + 8 + 5;
    let without = size(&[("serializeLastProcessedZxid.enabled", "false")]);
    for name in LEVELS {
        let expected = if name.starts_with("3.8") { without } else { without + LAST_ZXID };
        assert_eq!(size(&[("compatibilityLevel", name)]), expected, "{name}");
    }
    let said = ("serializeLastProcessedZxid.enabled", "true");
    assert_eq!(size(&[("compatibilityLevel", "3.8"), said]), without + LAST_ZXID);
}

#[test]
fn words_tell_a_release_of_the_level_and_its_names_for_memory() {
    if skip() {
        return;
    }
    for (name, release) in LEVELS.into_iter().zip(["3.8.0", "3.8.6", "3.9.5", "3.10.0"]) {
        let server = level(name);
        for (ask, before) in [
            ("srvr", "Zookeeper version: "),
            ("stat", "Zookeeper version: "),
            ("mntr", "zk_version\t"),
            ("envi", "zookeeper.version="),
        ] {
            let answer = server.word(ask);
            let version = answer.lines().find_map(|line| line.strip_prefix(before));
            let version = version.unwrap_or_else(|| panic!("{ask}: {answer}"));
            assert!(version.starts_with(&format!("{release}-")), "{name}: {version}");
        }
        let (owner, other) = if name == "3.10" { ("jvm", "os") } else { ("os", "jvm") };
        let envi = server.word("envi");
        for key in ["free", "max", "total"] {
            assert!(envi.contains(&format!("\n{owner}.memory.{key}=")), "{name}: {envi}");
            assert!(!envi.contains(&format!("\n{other}.memory.{key}=")), "{name}: {envi}");
        }
    }
}

/// Nobody is made to wait for five minutes: the age that a level sets, and that an age is kept to.
#[test]
fn containers_that_nobody_used_go_after_five_minutes_since_3_10() {
    if skip() {
        return;
    }
    for name in LEVELS {
        let log = level(name).log_with("serving standalone");
        let age = if name == "3.10" { 300_000 } else { 0 };
        let told = format!("znode.container.maxNeverUsedIntervalMs={age}");
        assert!(log.split_whitespace().any(|word| word == told), "{name}: {log}");
    }
    let server = TestServer::start(&[
        ("compatibilityLevel", "3.10"),
        ("znode.container.maxNeverUsedIntervalMs", "100"),
        ("znode.container.checkIntervalMs", "50"),
    ]);
    let mut c = RawClient::new(&server);
    let container = bodies::create("/c", None, &bodies::open_acl(), flag::CONTAINER);
    c.call(op::CREATE_CONTAINER, &container).ok();
    eventually("the container goes", || (!c.has("/c")).then_some(()));
}

#[test]
fn no_other_level_is_known() {
    if skip() {
        return;
    }
    for name in ["3.7", "3.9.5", "4", ""] {
        let refusal = Setup::new(&[("compatibilityLevel", name)]).refusal();
        assert_eq!(refusal.code, Some(2), "{refusal:?}");
        assert!(refusal.log.contains("must be one of 3.8.0, 3.8, 3.9, 3.10"), "{refusal:?}");
    }
}
