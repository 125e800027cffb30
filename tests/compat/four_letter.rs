//! Four-letter words.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::common::{DEADLINE, Hello, RawClient, TestServer, flag, skip_deviation};

/// Both halves of `nc`: says the word, ends its side, reads to the end.
fn nc(server: &TestServer, word: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("the server accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(word.as_bytes()).expect("written");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text to the end");
    answer
}

/// ruok and isro have no line end.
#[test]
fn ruok_and_isro() {
    let server = TestServer::start(&[]);
    assert_eq!(nc(&server, "ruok"), "imok");
    assert_eq!(nc(&server, "isro"), "rw");
    assert_eq!(nc(&server, "ruok\n"), "imok", "what follows the word does not matter");
}

/// C-297: off the whitelist a word says so; srvr is always on it, wchp is not.
#[test]
fn words_off_the_whitelist_say_so() {
    let server = TestServer::start(&[("4lw.commands.whitelist", "ruok, stat")]);
    assert_eq!(nc(&server, "ruok"), "imok");
    assert!(nc(&server, "stat").contains("Clients:"));
    for word in ["mntr", "wchp", "cons"] {
        let refused = format!("{word} is not executed because it is not in the whitelist.\n");
        assert_eq!(nc(&server, word), refused);
    }
}

/// C-297: without a whitelist only srvr is on it.
#[test]
fn the_default_whitelist_is_srvr() {
    let server = TestServer::start(&[("4lw.commands.whitelist", "srvr")]);
    assert!(nc(&server, "srvr").contains("Mode: standalone"));
    for word in ["ruok", "stat", "wchp", "wchc", "dump", "conf"] {
        assert!(nc(&server, word).contains("not in the whitelist"), "{word}");
    }
}

/// Four unknown letters are an absurd length: closed without a word.
#[test]
fn unknown_words_are_closed_without_an_answer() {
    let server = TestServer::start(&[]);
    for word in ["abcd", "RUOK", "quit"] {
        assert_eq!(nc(&server, word), "");
    }
}

/// A known word without an answer says so, rather than nothing.
#[test]
fn words_that_are_not_answered_say_so() {
    if skip_deviation("Java answers all of them") {
        return;
    }
    let server = TestServer::start(&[]);
    for word in ["conf", "cons", "crst", "dirs", "dump", "envi", "hash", "wchs", "wchc", "wchp"] {
        let answer = nc(&server, word);
        assert!(answer.ends_with('\n') && answer.len() > 10, "{word}: {answer:?}");
    }
}

/// srvr: the lines that tools parse, in their order.
#[test]
fn srvr_has_its_lines() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"", 0).ok();
    let answer = nc(&server, "srvr");
    let keys: Vec<&str> =
        answer.lines().map(|line| line.split_once(": ").expect("key and value").0).collect();
    assert_eq!(
        keys,
        [
            "Zookeeper version",
            "Latency min/avg/max",
            "Received",
            "Sent",
            "Connections",
            "Outstanding",
            "Zxid",
            "Mode",
            "Node count"
        ]
    );
    assert!(answer.contains("Connections: 2\n"), "{answer}");
    assert!(answer.contains("Zxid: 0x2\n"), "{answer}");
    assert!(answer.contains("Mode: standalone\n"), "{answer}");
    // The root, /zookeeper, config, quota, /a; and one more, because `""` and `/` both count (F-12).
    assert!(answer.contains("Node count: 6\n"), "{answer}");
    let version = answer.lines().next().expect("a line");
    let text = version.strip_prefix("Zookeeper version: ").expect("the version");
    assert!(text.contains('-') && text.contains(", built on "), "{text}");
}

/// stat: srvr with the connections in it.
#[test]
fn stat_lists_clients() {
    let server = TestServer::start(&[]);
    let _c = RawClient::new(&server);
    let answer = nc(&server, "stat");
    let clients: Vec<&str> = answer
        .lines()
        .skip_while(|line| *line != "Clients:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .collect();
    assert_eq!(clients.len(), 2, "{answer}");
    for line in clients {
        assert!(line.starts_with(" /127.0.0.1:"), "{line}");
        assert!(line.contains("(queued=") && line.contains(",recved=") && line.contains(",sent="));
    }
    assert!(answer.contains("Mode: standalone\n"));
}

/// mntr: the keys that monitoring relies on, with right values where they are known.
#[test]
fn mntr_has_the_keys_that_monitoring_relies_on() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/a", b"12345", 0).ok();
    c.create("/e", b"", flag::EPHEMERAL).ok();
    c.get_data("/a", true).ok();
    let answer = nc(&server, "mntr");
    let value = |key: &str| {
        let line = answer.lines().find(|line| line.split('\t').next() == Some(key));
        line.unwrap_or_else(|| panic!("{key} is missing")).split('\t').nth(1).expect("a value")
    };
    assert_eq!(value("zk_server_state"), "standalone");
    assert_eq!(value("zk_znode_count"), "7");
    assert_eq!(value("zk_ephemerals_count"), "1");
    assert_eq!(value("zk_watch_count"), "1");
    assert_eq!(value("zk_num_alive_connections"), "2");
    assert_eq!(value("zk_outstanding_requests"), "0");
    for key in [
        "zk_avg_latency",
        "zk_max_latency",
        "zk_min_latency",
        "zk_packets_received",
        "zk_packets_sent",
        "zk_approximate_data_size",
        "zk_open_file_descriptor_count",
        "zk_max_file_descriptor_count",
    ] {
        value(key).parse::<f64>().unwrap_or_else(|_| panic!("{key} is a number"));
    }
    assert!(value("zk_version").contains(", built on "));
    assert!(answer.lines().all(|line| line.starts_with("zk_") && line.contains('\t')));
}

/// conf: what is configured.
#[test]
#[ignore = "these words are not in this version"]
fn conf_tells_the_configuration() {
    let server = TestServer::start(&[("tickTime", "300"), ("maxClientCnxns", "77")]);
    let answer = nc(&server, "conf");
    for line in [
        format!("clientPort={}", server.address().port()),
        "tickTime=300".into(),
        "maxClientCnxns=77".into(),
        "minSessionTimeout=600".into(),
        "maxSessionTimeout=60000".into(),
        "serverId=0".into(),
        format!("dataDir={}", server.version_dir().display()),
        format!("dataLogDir={}", server.version_dir().display()),
    ] {
        assert!(answer.lines().any(|l| l == line), "{line} is not in\n{answer}");
    }
}

/// cons, dump: connections and sessions by id.
#[test]
#[ignore = "these words are not in this version"]
fn cons_and_dump_name_sessions() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::connect(&server, &Hello::timeout(12_345));
    c.create("/e", b"", flag::EPHEMERAL).ok();
    let id = format!("0x{:x}", c.session());
    let cons = nc(&server, "cons");
    let line = cons.lines().find(|line| line.contains(&format!("sid={id},"))).expect("the line");
    assert!(line.contains(",to=12345,") && line.contains("lop=CREA"), "{line}");
    let dump = nc(&server, "dump");
    assert!(dump.starts_with("SessionTracker dump:\n"), "{dump}");
    assert!(dump.contains(&format!("\t{id}\n")), "{dump}");
    assert!(dump.contains("ephemeral nodes dump:\n") && dump.contains("\t/e\n"), "{dump}");
}

/// wchs, wchc, wchp: watches, by count, by connection, by path.
#[test]
#[ignore = "these words are not in this version"]
fn watch_words() {
    let server = TestServer::start(&[]);
    let mut one = RawClient::new(&server);
    let mut two = RawClient::new(&server);
    one.create("/a", b"", 0).ok();
    one.get_data("/a", true).ok();
    one.exists("/b", true);
    two.get_data("/a", true).ok();
    let wchs = nc(&server, "wchs");
    assert_eq!(wchs.trim_end(), "2 connections watching 2 paths\nTotal watches:3");
    let wchp = nc(&server, "wchp");
    assert!(wchp.contains("/a\n\t0x") && wchp.contains(&format!("\t0x{:x}\n", two.session())));
    let wchc = nc(&server, "wchc");
    assert!(wchc.contains(&format!("0x{:x}\n\t/a\n", two.session())), "{wchc}");
}

/// envi, dirs, srst, crst, gtmk: answered, each in its way.
#[test]
#[ignore = "these words are not in this version"]
fn the_other_words_answer() {
    let server = TestServer::start(&[]);
    assert!(nc(&server, "envi").starts_with("Environment:\nzookeeper.version="));
    let dirs = nc(&server, "dirs");
    assert!(dirs.starts_with("datadir_size: ") && dirs.contains("\nlogdir_size: "), "{dirs}");
    assert_eq!(nc(&server, "srst"), "Server stats reset.\n");
    assert_eq!(nc(&server, "crst"), "Connection stats reset.\n");
    assert_eq!(nc(&server, "gtmk"), "306");
}
