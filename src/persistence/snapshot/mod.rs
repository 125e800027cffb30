//! Snapshots: the whole database at one zxid, sealed with checksums.
//!
//! ```text
//! snapshot.<zxid, lower-case hex>
//!
//! header    "ZKSN", int 2, long -1
//! sessions  int count, then long id, int timeout in ms each
//! ACLs      int count, then long index, vector<ACL> each
//! nodes     ustring path ("" is the root), buffer data, long ACL index, StatPersisted;
//!           parents before children
//! end       ustring "/"
//! seal      long Adler-32 of every byte before it, ustring "/"
//! digest    long zxid, int 2, long digest, seal        unless digests are off
//! last      long zxid, seal                            unless switched off
//! ```
//!
//! The file may be compressed as a whole, and its name then ends in `.gz` or `.snappy`; the seals
//! are over the bytes before compression.
//!
//! A complete snapshot ends in the bytes `00 00 00 01 2f`. Ours are exact at their zxid. Apache's
//! are fuzzy: they may hold effects of later transactions, which are applied again on top.

mod codec;
mod first;
pub mod reader;
mod records;
pub mod spool;
pub mod stream;
pub mod writer;
mod xerial;

pub use first::FirstSnapshot;
pub use reader::{LoadedSnapshot, SnapshotError, read_snapshot};
pub use spool::{SnapshotSpool, SpoolError, spool_name};
pub use stream::SnapshotStream;
pub use writer::{
    Piece, SnapshotOptions, SnapshotWriteError, WrittenSnapshot, write_snapshot,
    write_snapshot_with_pass,
};

use super::disk::DirEntry;
use crate::proto::Zxid;

/// The file's first bytes: "ZKSN", version 2, database id -1.
const FILE_HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// What a snapshot must begin with. Version and id after it are not looked at, as in Java.
const MAGIC: &[u8] = b"ZKSN";
/// The string "/": it ends the nodes, every seal, and so every complete snapshot.
const SLASH: [u8; 5] = [0, 0, 0, 1, b'/'];

/// The name of the snapshot at `zxid`.
pub fn file_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.suffix())
}

/// A snapshot file's name and what the name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The name in the snapshot directory.
    pub name: String,
    /// The last transaction in it, or for Apache's fuzzy ones the last one before it was begun.
    pub zxid: Zxid,
    /// Bytes.
    pub size: u64,
    /// How it is compressed.
    pub compression: Compression,
}

/// How a snapshot's bytes are compressed, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
}

impl Compression {
    /// The end of the names of such files.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Snappy => ".snappy",
        }
    }

    /// What the end of `name` says.
    pub fn of_name(name: &str) -> Self {
        let compressed = [Compression::Gzip, Compression::Snappy];
        let found = compressed.into_iter().find(|kind| name.ends_with(kind.suffix()));
        found.unwrap_or(Compression::None)
    }
}

/// Whether `name` is that of a snapshot.
pub(super) fn is_file_name(name: &str) -> bool {
    zxid_of_name(name).is_some()
}

/// The zxid in a snapshot's name, compressed or not; `None` when it is not a snapshot's name.
pub fn zxid_of_name(name: &str) -> Option<Zxid> {
    file_of(DirEntry { name: name.to_owned(), size: 0 }).map(|file| file.zxid)
}

/// The snapshot that the directory entry is; `None` when it is something else.
pub(super) fn file_of(entry: DirEntry) -> Option<SnapshotFile> {
    let compression = Compression::of_name(&entry.name);
    let stem = entry.name.strip_suffix(compression.suffix())?;
    let zxid = super::hex_suffix(stem, "snapshot.")?;
    Some(SnapshotFile { zxid, size: entry.size, compression, name: entry.name })
}
