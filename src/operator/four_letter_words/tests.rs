//! Which word gets which answer.

use std::cell::Cell;

use super::*;
use crate::status::{EnsembleSettings, RequestStats};

mod members;

/// A server whose every answer is known.
struct Sample {
    mask: Cell<i64>,
    resets: Cell<(u32, u32)>,
    member: Option<Arc<MemberStatus>>,
}

fn sample() -> Sample {
    Sample { mask: Cell::new(DEFAULT_TRACE_MASK), resets: Cell::new((0, 0)), member: None }
}

impl Sources for Sample {
    fn version(&self) -> &'static str {
        version(CompatibilityLevel::V3_9)
    }

    fn member(&self) -> Option<Arc<MemberStatus>> {
        self.member.clone()
    }

    fn status(&self) -> Status {
        Status {
            connections: 1,
            latency_ms_min: 0,
            latency_ms_avg: 1.0 / 3.0,
            latency_ms_max: 7,
            packets_received: 12,
            packets_sent: 11,
            outstanding_requests: 0,
            last_zxid: Zxid(0x1f),
            znode_count: 5,
            ephemerals_count: 0,
            approximate_data_size: 44,
            global_sessions: 1,
            digest_mismatches: 0,
            reply_bytes_last: -1,
            reply_bytes_min: -1,
            reply_bytes_max: -1,
            watch_count: 0,
            uptime_ms: 10,
            proposal_bytes_last: 62,
            proposal_bytes_min: 48,
            proposal_bytes_max: 260,
            member: self.member.clone(),
        }
    }

    fn metrics(&self) -> Vec<crate::metrics::Sample> {
        Vec::new()
    }

    fn descriptors(&self) -> Descriptors {
        Descriptors { open: Some(20), max: Some(1024) }
    }

    fn clients(&self) -> Vec<ClientLine> {
        let mut stats = RequestStats::default();
        (stats.received, stats.sent) = (3, 2);
        vec![ClientLine {
            address: "127.0.0.1:4711".parse().unwrap(),
            interest_ops: 1,
            queued: 0,
            stats,
            established_wall_ms: 0,
            session: Some((crate::proto::SessionId(5), 4000)),
        }]
    }

    fn settings(&self) -> Settings {
        Settings {
            client_port: 2181,
            data_dir: "/d".into(),
            data_log_dir: "/d".into(),
            tick_time_ms: 2000,
            max_client_cnxns: 60,
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            client_port_listen_backlog: None,
            server_id: if self.member.is_some() { 1 } else { 0 },
            ensemble: self.member.as_ref().map(|_| EnsembleSettings {
                init_limit_ticks: 10,
                sync_limit_ticks: 5,
                local_sessions: false,
            }),
        }
    }

    fn dir_sizes(&self) -> DirSizes {
        DirSizes { data: 1, log: 2 }
    }

    fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("host.name", Some("h".to_owned())), ("java.version", None)]
    }

    fn dump(&self) -> Dump {
        Dump::default()
    }

    fn watches_summary(&self) -> WatchesSummary {
        WatchesSummary { connections: 1, paths: 2, watches: 3 }
    }

    fn watched_paths(&self) -> Vec<WatchedPath> {
        Vec::new()
    }

    fn digests(&self) -> Vec<(Zxid, u64)> {
        vec![(Zxid(0x80), 5), (Zxid(0x1_0000_0100), u64::MAX)]
    }

    fn trace_mask(&self) -> i64 {
        self.mask.get()
    }

    fn set_trace_mask(&self, mask: i64) {
        self.mask.set(mask);
    }

    fn reset_server_stats(&self) {
        let (server, connections) = self.resets.get();
        self.resets.set((server + 1, connections));
    }

    fn reset_connection_stats(&self) {
        let (server, connections) = self.resets.get();
        self.resets.set((server, connections + 1));
    }
}

fn ask(word: &[u8; 4], whitelist: &str) -> String {
    ask_of(&sample(), word, whitelist)
}

fn ask_of(sample: &Sample, word: &[u8; 4], whitelist: &str) -> String {
    let answer = answer(*word, 99, &FourLetterWhitelist::parse(whitelist), sample);
    String::from_utf8(answer).unwrap()
}

#[test]
fn stat_is_srvr_with_clients() {
    assert_eq!(
        ask(b"stat", "*"),
        format!(
            "Zookeeper version: {}\nClients:\n \
             /127.0.0.1:4711[1](queued=0,recved=3,sent=2)\n\nLatency min/avg/max: 0/0.3333/7\n\
             Received: 12\nSent: 11\nConnections: 1\nOutstanding: 0\nZxid: 0x1f\n\
             Mode: standalone\nNode count: 5\n",
            sample().version()
        )
    );
}

#[test]
fn a_word_off_the_whitelist_says_so_and_does_nothing() {
    assert_eq!(ask(b"ruok", "srvr"), "ruok is not executed because it is not in the whitelist.\n");
    assert_eq!(ask(b"ruok", "srvr, ruok"), "imok");
    let sample = sample();
    for word in [b"srst", b"crst", b"stmk"] {
        assert!(ask_of(&sample, word, "srvr").contains("not in the whitelist"));
    }
    assert_eq!((sample.resets.get(), sample.mask.get()), ((0, 0), 306));
}

#[test]
fn every_word_is_answered() {
    for word in WORDS.iter().filter(|word| **word != TELNET_CLOSE) {
        assert!(!ask(word, "*").is_empty(), "{word:?}");
    }
    assert_eq!(answer(TELNET_CLOSE, 0, &FourLetterWhitelist::parse(""), &sample()), b"");
}

#[test]
fn words_that_change_something() {
    let sample = sample();
    assert_eq!(ask_of(&sample, b"gtmk", "*"), "306");
    assert_eq!(ask_of(&sample, b"stmk", "*"), "99");
    assert_eq!(ask_of(&sample, b"gtmk", "*"), "99");
    assert_eq!(ask_of(&sample, b"srst", "*"), "Server stats reset.\n");
    assert_eq!(sample.resets.get(), (1, 0));
    assert_eq!(ask_of(&sample, b"crst", "*"), "Connection stats reset.\n");
    assert_eq!(sample.resets.get(), (1, 1));
}

#[test]
fn hash_and_envi() {
    assert_eq!(ask(b"hash", "*"), "80: 5\n100000100: -1\n");
    assert_eq!(
        ask(b"envi", "*"),
        format!(
            "Environment:\nzookeeper.version={}\nhost.name=h\njava.version=<NA>\n",
            sample().version()
        )
    );
}

#[test]
fn the_version_begins_with_a_release_of_the_level() {
    for (level, release) in
        [("3.8.0", "3.8.0"), ("3.8", "3.8.6"), ("3.9", "3.9.5"), ("3.10", "3.10.0")]
    {
        let text = version(CompatibilityLevel::from_name(level).expect(level));
        assert_eq!(text.split_once("-zkserver-").expect(text).0, release);
        assert!(text.contains(", built on "), "{text}");
    }
}

#[test]
fn a_refusal_costs_nothing() {
    assert_eq!(cost(*b"wchp", &FourLetterWhitelist::parse("srvr")), Cost::Small);
    assert_eq!(cost(*b"wchp", &FourLetterWhitelist::All), Cost::Large);
}
