//! The transaction log: files of framed records, each file named by its first zxid.
//!
//! ```text
//! log.<zxid of the first record, lower-case hex>
//!
//! header   16   "ZKLG", int 2, long 0
//! record    8   long: Adler-32 of the bytes, zero-extended
//!           4   int: how many bytes
//!           n   the transaction: TxnHeader, body, optional TxnDigest
//!           1   0x42, 'B'
//! record …
//! zeros         up to the end of the file: room that was made ahead
//!
//! tmp.next-log  header and zeros, for the next of them
//! ```
//!
//! A file is written from its start to its end once, by one process; a restart begins a new one.

mod damage;
#[cfg(test)]
mod damage_tests;
mod next_file;
pub mod reader;
pub mod record;
pub mod writer;
pub mod zero_fill;

pub use reader::{LogError, LogReader, TornTail};
pub use writer::{Appended, LogWriter, LogWriterOptions};
pub use zero_fill::{ZeroFill, ZeroFiller};

use crate::proto::Zxid;

/// The most bytes of records that are ever written behind the last sync, unless it is a single
/// record. So a power cut can only have torn what lies less than this before the log's end: the
/// rule that tells a torn log from a rotten one counts on it.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// The name of the log file whose first record has that zxid.
pub fn file_name(first: Zxid) -> String {
    format!("log.{:x}", first.0)
}

/// The zxid in a log file's name; `None` when it is not a log file's name.
pub fn zxid_of_name(name: &str) -> Option<Zxid> {
    super::hex_suffix(name, "log.")
}
