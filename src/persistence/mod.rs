//! What is kept on disk: the transaction log, snapshots, the directories they live in.
//!
//! The bytes are Apache ZooKeeper's; either server starts on what the other wrote. Whatever a
//! server has promised rests on two rules that hold in here:
//!
//! * a ticket is reported only after the bytes before it were synced ([`sync_queue`]);
//! * nothing that was durable once is ever taken for absent: a file that cannot be read, a wrong
//!   checksum, a hole in the zxids refuse the start ([`restore()`]). Only a record that was still
//!   being written when the power went, one that no one was told of, is cut off ([`txn_log`]).
//!
//! What is removed, a start does not need ([`purge`](mod@purge)).
//!
//! A member of an ensemble changes its history at a leader's word ([`history`]); it keeps what it has
//! promised ([`epoch_files`]), and where it may have forgotten something it withholds its vote
//! instead of refusing the start ([`restore_member()`]).
//!
//! No threads, no sleeping, and no clock but one that is handed in: a caller that owns those drives
//! the values of this module.

pub mod config_files;
pub mod data_dir;
pub mod disk;
pub mod epoch_files;
#[cfg(test)]
pub(crate) mod faulty_disk;
pub mod history;
pub mod ledger;
pub mod log_range;
pub mod pins;
pub mod purge;
#[cfg(test)]
mod purge_tests;
pub mod restore;
#[cfg(test)]
mod restore_member_tests;
#[cfg(test)]
pub(crate) mod restore_tests;
pub mod snapshot;
pub mod snapshot_gate;
pub mod sync_queue;
pub mod txn_log;

pub use data_dir::{DataDir, DataDirError, DataDirOptions};
pub use disk::{BLOCK_BYTES, Disk, DiskError, DiskFile, RealDisk, Room, WriteThroughFile};
pub use ledger::Ledger;
pub use log_range::{LogRange, LogRangeError, LogSurvey, log_size_limit, survey_log};
pub use purge::{Purged, purge, reclaim};
pub use restore::{
    HistoryRestored, MemberRestoreOptions, MemberRestored, Origin, Refusal, RestoreError,
    RestoreOptions, RestoreReport, RestoreStage, Restored, restore, restore_history,
    restore_member, restore_telling,
};
pub use sync_queue::{DiskRequest, MemberFiles, Persisted, SyncQueue, SyncQueueOptions};

use std::path::Path;

use crate::proto::Zxid;

/// A path as a word of a command that an operator can paste.
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The command with which a history is ended behind `last`, in the log `path`: the last resort.
fn chop_command(path: &Path, last: Zxid) -> String {
    format!("zkserver log chop --in-place {} {last}", shell_word(path))
}

/// The zxid that `name` is made of besides `prefix`. Java's rule: anything `Long.parseLong(_, 16)`
/// takes; other names are not ours and are ignored.
fn hex_suffix(name: &str, prefix: &str) -> Option<Zxid> {
    let digits = name.strip_prefix(prefix)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(digits, 16).ok().map(Zxid::from_long)
}
