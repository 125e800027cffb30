//! The four-letter words: what a server says to `echo ruok | nc host 2181`.
//!
//! The formats are Apache's, byte for byte, because tools parse them. A word that is not on the
//! whitelist (`4lw.commands.whitelist`) is answered with a line that says so.

mod clients;
mod dump;
mod metrics;
mod server;
mod setup;
mod watches;

use std::sync::Arc;

use crate::config::FourLetterWhitelist;
use crate::metrics::Sample;
use crate::proto::{CompatibilityLevel, Zxid};
use crate::status::{
    ClientLine, Descriptors, DirSizes, Dump, MemberStatus, Settings, Status, WatchedPath,
};
use crate::watch::WatchesSummary;

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

/// The word that eight bytes belong to, the new trace mask.
pub const SET_TRACE_MASK: [u8; 4] = *b"stmk";

/// The trace mask of a server that was given none, as Apache has it: client requests, server
/// packets, sessions, warnings.
pub const DEFAULT_TRACE_MASK: i64 = 2 | 16 | 32 | 256;

/// The release whose ways this server has, then its own. Tools read up to the first dash or comma.
pub fn version(level: CompatibilityLevel) -> &'static str {
    macro_rules! like {
        ($release:literal) => {
            concat!(
                $release,
                "-zkserver-",
                env!("CARGO_PKG_VERSION"),
                ", built on 2026-11-25 00:00 UTC"
            )
        };
    }
    match level {
        CompatibilityLevel::V3_8_0 => like!("3.8.0"),
        CompatibilityLevel::V3_8 => like!("3.8.6"),
        CompatibilityLevel::V3_9 => like!("3.9.5"),
        CompatibilityLevel::V3_10 => like!("3.10.0"),
    }
}

/// What the words ask the server for. Only what a word needs is asked.
pub trait Sources {
    /// What [`version`] says.
    fn version(&self) -> &'static str;
    /// What a member of an ensemble is; `None` for a server that is alone.
    fn member(&self) -> Option<Arc<MemberStatus>>;
    /// Whether there is a server to tell of: a member that looks for a leader, or is not synchronized
    /// with one, says only that.
    fn is_running(&self) -> bool {
        self.member().is_none_or(|member| member.is_running())
    }
    /// The server in numbers.
    fn status(&self) -> Status;
    /// What was counted and measured.
    fn metrics(&self) -> Vec<Sample>;
    /// File descriptors: one look at each that is open, so only whoever tells them asks.
    fn descriptors(&self) -> Descriptors;
    /// The connections.
    fn clients(&self) -> Vec<ClientLine>;
    /// The configuration.
    fn settings(&self) -> Settings;
    /// The directories.
    fn dir_sizes(&self) -> DirSizes;
    /// The process and its machine, under Java's names.
    fn environment(&self) -> Vec<(&'static str, Option<String>)>;
    /// Sessions, ephemerals, connections.
    fn dump(&self) -> Dump;
    /// How many watches there are.
    fn watches_summary(&self) -> WatchesSummary;
    /// All watches on data.
    fn watched_paths(&self) -> Vec<WatchedPath>;
    /// Digests of the tree at past zxids, oldest first.
    fn digests(&self) -> Vec<(Zxid, u64)>;
    /// The trace mask. It is kept for those who set it: what this server logs does not depend
    /// on it.
    fn trace_mask(&self) -> i64;
    /// Sets it.
    fn set_trace_mask(&self, mask: i64);
    /// The server's counters begin anew.
    fn reset_server_stats(&self);
    /// Every connection's counters begin anew.
    fn reset_connection_stats(&self);
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// No longer than an ordinary request.
    Small,
    /// It reads the disk, or grows with the connections.
    Medium,
    /// It grows with what clients keep on the server.
    Large,
}

/// What answering `word` costs.
pub fn cost(word: [u8; 4], whitelist: &FourLetterWhitelist) -> Cost {
    match &word {
        _ if !is_allowed(word, whitelist) => Cost::Small,
        b"cons" | b"stat" | b"crst" | b"conf" | b"dirs" | b"envi" | b"mntr" | b"wchs" => {
            Cost::Medium
        }
        b"dump" | b"wchc" | b"wchp" => Cost::Large,
        _ => Cost::Small,
    }
}

/// The text that answers `word`; `number` is the one behind it.
pub fn answer(
    word: [u8; 4],
    number: i64,
    whitelist: &FourLetterWhitelist,
    sources: &impl Sources,
) -> Vec<u8> {
    if word == TELNET_CLOSE {
        return Vec::new();
    }
    let name = String::from_utf8_lossy(&word);
    if !is_allowed(word, whitelist) {
        return format!("{name} is not executed because it is not in the whitelist.\n").into();
    }
    if !sources.is_running() && needs_a_running_server(&word) {
        return not_running(&word).into();
    }
    let text = match &word {
        b"ruok" => "imok".to_owned(),
        b"isro" => "rw".to_owned(),
        b"srvr" => server::srvr(sources.version(), &sources.status(), None),
        b"stat" => server::srvr(sources.version(), &sources.status(), Some(&sources.clients())),
        b"mntr" => {
            let metrics = sources.metrics();
            metrics::mntr(sources.version(), &sources.status(), sources.descriptors(), metrics)
        }
        b"cons" => clients::cons(&sources.clients()),
        b"conf" => {
            setup::conf(&sources.settings(), sources.dir_sizes(), sources.member().as_deref())
        }
        b"dirs" => setup::dirs(sources.dir_sizes()),
        b"envi" => setup::envi(sources.version(), &sources.environment()),
        b"dump" => return dump::dump(&sources.dump()),
        b"wchs" => watches::wchs(&sources.watches_summary()),
        b"wchc" => return watches::wchc(&sources.watched_paths()),
        b"wchp" => return watches::wchp(&sources.watched_paths()),
        b"hash" => hash(&sources.digests()),
        b"gtmk" => sources.trace_mask().to_string(),
        b"stmk" => {
            sources.set_trace_mask(number);
            number.to_string()
        }
        b"srst" => {
            sources.reset_server_stats();
            "Server stats reset.\n".to_owned()
        }
        b"crst" => {
            sources.reset_connection_stats();
            "Connection stats reset.\n".to_owned()
        }
        _ => unreachable!("{name} is recognised, so it is answered"),
    };
    text.into()
}

fn is_allowed(word: [u8; 4], whitelist: &FourLetterWhitelist) -> bool {
    word == TELNET_CLOSE || std::str::from_utf8(&word).is_ok_and(|name| whitelist.allows(name))
}

/// Whether the word is about a server that has its role.
fn needs_a_running_server(word: &[u8; 4]) -> bool {
    !matches!(word, b"ruok" | b"gtmk" | b"stmk" | b"envi")
}

/// What Apache answers before, and between two roles.
fn not_running(word: &[u8; 4]) -> &'static str {
    match word {
        b"isro" => "null",
        b"hash" => "This ZooKeeper instance is not currently serving requests",
        _ => "This ZooKeeper instance is not currently serving requests\n",
    }
}

/// The digests as Java prints a signed long.
fn hash(digests: &[(Zxid, u64)]) -> String {
    let line = |(zxid, digest): &(Zxid, u64)| format!("{:x}: {}\n", zxid.0, *digest as i64);
    digests.iter().map(line).collect()
}

/// A path on an indented line of its own.
fn line_of(path: &[u8], text: &mut Vec<u8>) {
    text.push(b'\t');
    text.extend_from_slice(path);
    text.push(b'\n');
}

#[cfg(test)]
mod tests;
