//! Four-letter words.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::common::{
    DEADLINE, Hello, RawClient, Setup, TestServer, bodies, eventually, flag, op, skip_deviation,
};

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
    let mut setup = Setup::new(&[]);
    setup.unset("4lw.commands.whitelist");
    let server = setup.start();
    assert!(nc(&server, "srvr").contains("Mode: standalone"));
    let others = [
        "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "isro", "mntr", "ruok", "srst",
        "stat", "stmk", "wchc", "wchp", "wchs",
    ];
    for word in others {
        let refused = format!("{word} is not executed because it is not in the whitelist.\n");
        assert_eq!(nc(&server, word), refused);
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
fn the_other_words_answer() {
    let server = TestServer::start(&[]);
    assert!(nc(&server, "envi").starts_with("Environment:\nzookeeper.version="));
    let dirs = nc(&server, "dirs");
    assert!(dirs.starts_with("datadir_size: ") && dirs.contains("\nlogdir_size: "), "{dirs}");
    assert_eq!(nc(&server, "srst"), "Server stats reset.\n");
    assert_eq!(nc(&server, "crst"), "Connection stats reset.\n");
    assert_eq!(nc(&server, "gtmk"), "306");
}

/// The value of `key=` in a line of cons.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let fields = line.trim_end_matches(')').split(['(', ',']);
    fields.filter_map(|field| field.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
}

fn line_of(server: &TestServer, c: &RawClient) -> String {
    let cons = nc(server, "cons");
    assert!(cons.ends_with(")\n\n"), "an empty line ends it: {cons:?}");
    let id = format!("sid=0x{:x},", c.session());
    cons.lines().find(|line| line.contains(&id)).expect("the session's line").to_owned()
}

/// cons: every field is there, in its order, and says what the client did last.
#[test]
fn cons_tells_what_a_client_did_last() {
    let server = TestServer::start(&[]);
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut c = RawClient::connect(&server, &Hello::timeout(12_345));
    let line = line_of(&server, &c);
    assert_eq!(field(&line, "lop"), Some("SESS"), "{line}");
    let zxid = c.create("/a", b"", 0).ok().zxid;
    c.send(&bodies::frame(0x7f, op::GET_CHILDREN2, &bodies::watched("/", false)));
    c.reply();
    let line = line_of(&server, &c);
    let keys: Vec<&str> = line
        .split(['(', ','])
        .filter_map(|part| part.split_once('='))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(
        keys,
        [
            "queued", "recved", "sent", "sid", "lop", "est", "to", "lcxid", "lzxid", "lresp",
            "llat", "minlat", "avglat", "maxlat"
        ]
    );
    assert!(line.starts_with(" /127.0.0.1:") && line.contains("[1](queued="), "{line}");
    assert_eq!(field(&line, "recved"), Some("3"), "{line}");
    assert_eq!(field(&line, "sent"), Some("3"), "{line}");
    assert_eq!(field(&line, "lop"), Some("GETC"), "{line}");
    assert_eq!(field(&line, "lcxid"), Some("0x7f"), "{line}");
    assert_eq!(field(&line, "lzxid"), Some(format!("0x{zxid:x}").as_str()), "{line}");
    let established: u128 = field(&line, "est").and_then(|ms| ms.parse().ok()).expect("a number");
    assert!(established + 2000 > before.as_millis(), "{line}");
    assert!(established < before.as_millis() + 60_000, "{line}");
    // A ping is the last operation, but its xid is not the client's last.
    c.ping();
    let line = line_of(&server, &c);
    assert_eq!((field(&line, "lop"), field(&line, "lcxid")), (Some("PING"), Some("0x7f")));
    // A write that fails has no operation to its name.
    assert_ne!(c.create("/a", b"", 0).err, 0);
    assert_eq!(field(&line_of(&server, &c), "lop"), Some("NA"));
    // Whoever asks is listed too, without a session.
    let asking = nc(&server, "cons");
    assert!(asking.contains("[0](queued=0,recved=1,sent=0)\n"), "{asking}");
}

/// crst forgets what connections did, srst what the server did; neither touches the other.
#[test]
fn crst_and_srst_reset_their_counters() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    for _ in 0..100 {
        c.ping();
    }
    let received = |answer: &str| -> u64 {
        let line = answer.lines().find_map(|line| line.strip_prefix("Received: "));
        line.and_then(|n| n.parse().ok()).expect("a number")
    };
    assert!(received(&nc(&server, "srvr")) > 100);
    assert_eq!(nc(&server, "crst"), "Connection stats reset.\n");
    let line = line_of(&server, &c);
    assert!(line.contains("(queued=0,recved=0,sent=0,sid="), "{line}");
    assert!(line.contains(",lop=NA,") && line.contains(",lzxid=0xffffffffffffffff,"), "{line}");
    assert_eq!(field(&line, "lcxid"), None, "{line}");
    assert!(received(&nc(&server, "srvr")) > 100, "the server's own stay");
    c.ping();
    assert_eq!(field(&line_of(&server, &c), "recved"), Some("1"));
    assert_eq!(nc(&server, "srst"), "Server stats reset.\n");
    let srvr = nc(&server, "srvr");
    assert!(received(&srvr) < 10, "{srvr}");
    assert_eq!(field(&line_of(&server, &c), "recved"), Some("1"), "the connection's stay");
}

/// stmk takes eight bytes, whenever they come, and gtmk tells them; every other word is answered
/// at its fourth byte.
#[test]
fn stmk_waits_for_its_mask_and_nothing_else_waits() {
    let server = TestServer::start(&[]);
    let answer = |parts: &[&[u8]]| {
        let mut stream = TcpStream::connect(server.address()).expect("the server accepts");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        for part in parts {
            stream.write_all(part).expect("written");
            // Another client's round trip, so that the parts come apart.
            nc(&server, "ruok");
        }
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text to the end");
        text
    };
    assert_eq!(answer(&[b"stmk\0\0\0\0\0\0\x01\x02"]), "258");
    assert_eq!(nc(&server, "gtmk"), "258");
    assert_eq!(answer(&[b"gt", b"mk"]), "258");
    if !skip_deviation("Java takes a mask only if it comes with its word") {
        assert_eq!(answer(&[b"stmk", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe"]), "-2");
        assert_eq!(nc(&server, "gtmk"), "-2");
    }
    assert_eq!(nc(&server, "stmk"), "", "without its mask it is no word");
    let strict = TestServer::start(&[("4lw.commands.whitelist", "srvr")]);
    assert!(nc(&strict, "stmk").contains("not in the whitelist"), "a refusal needs no mask");
}

/// dump: each session once, with a date within its timeout and a tick; each connection too.
#[test]
fn dump_tells_when_sessions_expire() {
    let server = TestServer::start(&[]);
    let mut held = RawClient::connect(&server, &Hello::timeout(20_000));
    held.create("/e2", b"", flag::EPHEMERAL).ok();
    held.create("/e1", b"", flag::EPHEMERAL).ok();
    let left = RawClient::connect(&server, &Hello::timeout(30_000));
    let (held_id, left_id) = (format!("0x{:x}", held.session()), format!("0x{:x}", left.session()));
    drop(left);
    eventually("the second connection ends", || {
        nc(&server, "srvr").contains("Connections: 2\n").then_some(())
    });
    let dump = nc(&server, "dump");
    let parts: Vec<&str> = dump.split("ephemeral nodes dump:\n").collect();
    let [sessions, rest] = parts[..] else { panic!("{dump}") };
    let (ephemerals, connections) = rest.split_once("Connections dump:\n").expect("three parts");
    assert!(sessions.starts_with("SessionTracker dump:\nSession Sets ("), "{dump}");
    assert!(sessions.contains(")/(2):\n"), "a session without a connection counts: {dump}");
    for id in [&held_id, &left_id] {
        assert_eq!(sessions.matches(&format!("\t{id}\n")).count(), 1, "{dump}");
    }
    assert_eq!(
        ephemerals,
        format!("Sessions with Ephemerals (1):\n{held_id}:\n\t/e1\n\t/e2\n"),
        "{dump}"
    );
    assert!(connections.starts_with("Connections Sets ("), "{dump}");
    assert!(connections.contains(")/(2):\n"), "{dump}");
    assert!(connections.contains("\tip: /127.0.0.1:"), "{dump}");
    assert!(connections.contains(&format!(" sessionId: {held_id}\n")), "{dump}");
    assert!(connections.contains(" sessionId: 0x0\n"), "the asking one: {dump}");
    let bucket = sessions.lines().nth(2).expect("a bucket");
    let words: Vec<&str> = bucket.trim_end_matches(':').split(' ').collect();
    assert_eq!((words.len(), words[1], words[2], words[7]), (9, "expire", "at", "UTC"), "{bucket}");
}

/// dirs and conf: the same sizes, which are the files'.
#[test]
fn dirs_counts_the_files() {
    let server = TestServer::start(&[]);
    let dirs = nc(&server, "dirs");
    let number = |key: &str| -> u64 {
        let line = dirs.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|n| n.parse().ok()).expect("a number")
    };
    let files = std::fs::read_dir(server.version_dir()).expect("the directory");
    let sum: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(sum > 0);
    assert_eq!((number("datadir_size: "), number("logdir_size: ")), (sum, sum));
    assert!(nc(&server, "conf").contains(&format!("\ndataDirSize={sum}\n")));
}

/// wchp and wchc: data watches whole, however many; child watches never.
#[test]
fn many_watches_are_told_whole() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    assert_eq!((nc(&server, "wchp"), nc(&server, "wchc")), ("\n".into(), "\n".into()));
    c.get_children("/", true).ok();
    assert_eq!(nc(&server, "wchp"), "\n", "a child watch is not in the table");
    for n in 0..3000 {
        c.exists(&format!("/missing-{n}"), true);
    }
    let id = format!("0x{:x}\n", c.session());
    let wchp = nc(&server, "wchp");
    assert_eq!(wchp.matches(&format!("\t{id}")).count(), 3000);
    let wchc = nc(&server, "wchc");
    assert!(wchc.starts_with(&id) && wchc.ends_with("\n\n"));
    assert_eq!(wchc.matches("\t/missing-").count(), 3000);
    assert_eq!(nc(&server, "wchs"), "1 connections watching 3000 paths\nTotal watches:3000\n");
}

/// hash: the digest after every 128th transaction.
#[test]
fn hash_tells_past_digests() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    assert_eq!(nc(&server, "hash"), "");
    for n in 0..256 {
        c.create(&format!("/n{n}"), b"", 0).ok();
    }
    let hash = nc(&server, "hash");
    let zxids: Vec<&str> = hash.lines().filter_map(|l| Some(l.split_once(": ")?.0)).collect();
    assert_eq!(zxids, ["80", "100"], "{hash}");
}
