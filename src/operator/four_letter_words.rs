//! The four-letter words: what a server says to `echo ruok | nc host 2181`.
//!
//! The formats are Apache's, byte for byte, because tools parse them. A word that is not on the
//! whitelist (`4lw.commands.whitelist`) is answered with a line that says so.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::FourLetterWhitelist;
use crate::status::{ClientLine, Status};

/// The words that are recognised before a handshake, whitelisted or not. Any other four bytes
/// are a length.
pub const WORDS: &[[u8; 4]] = &[
    *b"conf",
    *b"cons",
    *b"crst",
    *b"dirs",
    *b"dump",
    *b"envi",
    *b"gtmk",
    *b"hash",
    *b"isro",
    *b"mntr",
    *b"ruok",
    *b"srst",
    *b"srvr",
    *b"stat",
    *b"stmk",
    *b"wchc",
    *b"wchp",
    *b"wchs",
    TELNET_CLOSE,
];

/// What telnet sends when it is told to close; there is no answer.
const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

/// The release whose protocol and formats this server speaks, then its own. Tools read up to the
/// first dash or comma.
pub const VERSION: &str =
    concat!("3.9.5-zkserver-", env!("CARGO_PKG_VERSION"), ", built on 2026-11-25 00:00 UTC");

/// The text that answers `word`. `status` is asked only if the word needs it.
pub fn answer(
    word: [u8; 4],
    whitelist: &FourLetterWhitelist,
    status: impl FnOnce() -> Status,
) -> String {
    if word == TELNET_CLOSE {
        return String::new();
    }
    let name = String::from_utf8_lossy(&word).into_owned();
    if !whitelist.allows(&name) {
        return format!("{name} is not executed because it is not in the whitelist.\n");
    }
    match &word {
        b"ruok" => "imok".to_owned(),
        b"isro" => "rw".to_owned(),
        b"srvr" => srvr(&status(), false),
        b"stat" => srvr(&status(), true),
        b"mntr" => mntr(&status()),
        _ => format!("{name} is not answered by this version of the server.\n"),
    }
}

fn srvr(status: &Status, with_clients: bool) -> String {
    let mut text = format!("Zookeeper version: {VERSION}\n");
    if with_clients {
        text.push_str("Clients:\n");
        for client in &status.clients {
            client_line(client, &mut text);
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {}\nMode: standalone\nNode count: {}\n",
        status.latency_ms_min,
        java_double(status.latency_ms_avg),
        status.latency_ms_max,
        status.packets_received,
        status.packets_sent,
        status.clients.len(),
        status.outstanding_requests,
        status.last_zxid,
        status.znode_count,
    );
    text
}

fn client_line(client: &ClientLine, text: &mut String) {
    let ClientLine { address, received, sent } = client;
    let _ = match address {
        SocketAddr::V4(address) => write!(text, " /{address}"),
        SocketAddr::V6(address) => {
            let groups = address.ip().segments().into_iter().map(|group| format!("{group:x}"));
            write!(text, " /[{}]:{}", groups.collect::<Vec<_>>().join(":"), address.port())
        }
    };
    let _ = writeln!(text, "[1](queued=0,recved={received},sent={sent})");
}

fn mntr(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "zk_{key}\t{value}");
    };
    line("version", &VERSION);
    line("server_state", &"standalone");
    line("avg_latency", &java_double(status.latency_ms_avg));
    line("max_latency", &status.latency_ms_max);
    line("min_latency", &status.latency_ms_min);
    line("packets_received", &status.packets_received);
    line("packets_sent", &status.packets_sent);
    line("num_alive_connections", &status.clients.len());
    line("outstanding_requests", &status.outstanding_requests);
    line("znode_count", &status.znode_count);
    line("watch_count", &status.watch_count);
    line("ephemerals_count", &status.ephemerals_count);
    line("approximate_data_size", &status.approximate_data_size);
    line("global_sessions", &status.global_sessions);
    line("local_sessions", &0);
    line("uptime", &status.uptime_ms);
    if let Some(open) = status.descriptors_open {
        line("open_file_descriptor_count", &open);
    }
    if let Some(max) = status.descriptors_max {
        line("max_file_descriptor_count", &max);
    }
    line("digest_mismatches_count", &status.digest_mismatches);
    for (key, value) in &status.counters {
        line(key, value);
    }
    text
}

/// A number as Java prints a double that was rounded to four decimals: `0.0`, `1.5`, `0.3333`.
fn java_double(value: f64) -> String {
    let rounded = (value * 10_000.0).round() / 10_000.0;
    if rounded >= 1e7 { format!("{rounded:E}") } else { format!("{rounded:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Zxid;

    fn status() -> Status {
        Status {
            clients: vec![ClientLine {
                address: "127.0.0.1:4711".parse().unwrap(),
                received: 3,
                sent: 2,
            }],
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
            watch_count: 0,
            uptime_ms: 10,
            descriptors_open: Some(20),
            descriptors_max: Some(1024),
            counters: vec![],
        }
    }

    fn ask(word: &[u8; 4], whitelist: &str) -> String {
        answer(*word, &FourLetterWhitelist::parse(whitelist), status)
    }

    #[test]
    fn stat_is_srvr_with_clients() {
        assert_eq!(
            ask(b"stat", "*"),
            format!(
                "Zookeeper version: {VERSION}\nClients:\n \
                 /127.0.0.1:4711[1](queued=0,recved=3,sent=2)\n\nLatency min/avg/max: 0/0.3333/7\n\
                 Received: 12\nSent: 11\nConnections: 1\nOutstanding: 0\nZxid: 0x1f\n\
                 Mode: standalone\nNode count: 5\n"
            )
        );
    }

    #[test]
    fn a_word_off_the_whitelist_says_so() {
        assert_eq!(
            ask(b"ruok", "srvr"),
            "ruok is not executed because it is not in the whitelist.\n"
        );
        assert_eq!(ask(b"ruok", "srvr, ruok"), "imok");
    }

    #[test]
    fn doubles_are_javas() {
        assert_eq!(java_double(0.0), "0.0");
        assert_eq!(java_double(1.5), "1.5");
        assert_eq!(java_double(2.0 / 3.0), "0.6667");
        assert_eq!(java_double(1e7), "1E7");
    }
}
