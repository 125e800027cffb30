//! Reads a snapshot into a database.
//!
//! The file is read in large pieces with the checksum running along. Memory is bounded by the
//! database itself, one piece, and the largest node allowed; no length or count is believed
//! further than the file reaches, nor what a compressed one promises to become.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::Content;
use super::records::{self, NodeRecord, is_ttl};
use super::{Compression, MAGIC, SLASH, SnapshotFile, xerial};
use crate::jute::{JuteError, Reader};
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::txns::DIGEST_VERSION;
use crate::proto::{SessionId, Zxid};
use crate::tree::{Database, DatabaseBuilder, LoadError, TreeOptions};

/// What a snapshot held.
pub struct LoadedSnapshot {
    /// Tree and sessions, at the zxid of the file's name.
    pub database: Database,
    /// The zxid for which a digest is recorded, and the digest; `None` when there is none that
    /// can be compared.
    pub digest: Option<(Zxid, u64)>,
    /// The last zxid as the file itself tells it (3.9 and later).
    pub last_zxid: Option<Zxid>,
    /// A node that is a TTL node, while `extendedTypesEnabled` is off.
    pub misread_ttl: Option<Vec<u8>>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the snapshot {} is damaged at offset {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
}

/// Whether a file looks like a snapshot that was written to its end: for a plain one the length
/// and the last five bytes, for a compressed one the compression's first bytes.
///
/// # Errors
/// The disk's.
pub fn looks_complete(disk: &dyn Disk, dir: &Path, file: &SnapshotFile) -> Result<bool, DiskError> {
    let handle = disk.open(&dir.join(&file.name))?;
    let mut bytes = [0; 8];
    let (offset, expected): (u64, &[u8]) = match file.compression {
        Compression::None if file.size < 10 => return Ok(false),
        Compression::None => (file.size - SLASH.len() as u64, &SLASH),
        Compression::Gzip => (0, &[0x1f, 0x8b]),
        Compression::Snappy => (0, &xerial::MAGIC),
    };
    let read = handle.read_at(offset, &mut bytes[..expected.len()])?;
    Ok(&bytes[..read] == expected)
}

/// Like [`looks_complete`], but a compressed file is decompressed to its end: Apache ZooKeeper may
/// have died while it wrote it. Takes as long as that takes, and little memory.
///
/// # Errors
/// The disk's.
pub fn is_whole(disk: &dyn Disk, dir: &Path, file: &SnapshotFile) -> Result<bool, DiskError> {
    if file.compression == Compression::None || !looks_complete(disk, dir, file)? {
        return looks_complete(disk, dir, file);
    }
    let path = dir.join(&file.name);
    let handle = disk.open(&path)?;
    let size = handle.size()?;
    let mut content = Content::new(handle, &path, size, file.compression);
    let (mut buffer, mut last) = (vec![0; 64 << 10], Vec::new());
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(last == SLASH),
            Ok(n) => {
                last.extend_from_slice(&buffer[n.saturating_sub(SLASH.len())..n]);
                last.drain(..last.len().saturating_sub(SLASH.len()));
            }
            Err(error) => return error.downcast::<DiskError>().map_or(Ok(false), Err),
        }
    }
}

/// Reads the snapshot `path`, named after `zxid`; the name also tells how it is compressed. No
/// field may be longer than `max_field` bytes (`jute.maxbuffer` plus its extrasize). Every MiB or so
/// `progress` is told how many bytes of the file were read, and how many there are.
///
/// # Errors
/// A file that cannot be read, or whose content is not a whole database under the right seal.
pub fn read_snapshot(
    disk: &dyn Disk,
    path: &Path,
    zxid: Zxid,
    options: TreeOptions,
    max_field: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<LoadedSnapshot, SnapshotError> {
    let file = disk.open(path)?;
    let size = file.size()?;
    let compression = Compression::of_name(&path.to_string_lossy());
    // Nodes are rarely smaller than this, and the index is cheap.
    let nodes = match compression {
        Compression::None => size / 128,
        Compression::Gzip | Compression::Snappy => size / 32,
    };
    let input = Input::new(file, path, size, compression, max_field, progress);
    let mut load = Load { input, builder: DatabaseBuilder::new(options), misread_ttl: None };
    load.builder.reserve(nodes as usize);
    load.everything(zxid, options)
}

struct Load<'p> {
    input: Input<'p>,
    builder: DatabaseBuilder,
    misread_ttl: Option<Vec<u8>>,
}

impl Load<'_> {
    fn everything(
        mut self,
        zxid: Zxid,
        options: TreeOptions,
    ) -> Result<LoadedSnapshot, SnapshotError> {
        self.header()?;
        self.sessions()?;
        self.acls()?;
        self.nodes(options)?;
        self.input.seal()?;
        let (digest, last_zxid) = self.sections()?;
        let Load { input, builder, misread_ttl } = self;
        let mut database = builder.finish(zxid).map_err(|e| input.damaged(e.to_string()))?;
        // A tree of Apache ZooKeeper's may be ahead of any zxid before its end; at its end it may have a
        // part of the next transaction, which is whole once that one is applied.
        let told = digest.map(|(at, _)| at).max(last_zxid);
        match told {
            Some(told) => database.compare_digests_from(told.max(zxid).next()),
            None if zxid == Zxid::ZERO => {}
            None => database.compare_digests_once_serving(),
        }
        Ok(LoadedSnapshot { database, digest, last_zxid, misread_ttl })
    }

    fn header(&mut self) -> Result<(), SnapshotError> {
        let is_snapshot = self.input.field(|r| Ok(r.take(4)? == MAGIC))?;
        if !is_snapshot {
            return Err(self.input.damaged_field("it does not begin with ZKSN".to_owned()));
        }
        self.input.field(|r| Ok((r.int()?, r.long()?)))?;
        Ok(())
    }

    fn sessions(&mut self) -> Result<(), SnapshotError> {
        for _ in 0..self.input.field(|r| r.vector())?.unwrap_or(0) {
            let (id, timeout_ms) = self.input.field(records::session)?;
            self.builder.add_session(SessionId(id), timeout_ms);
        }
        Ok(())
    }

    fn acls(&mut self) -> Result<(), SnapshotError> {
        for _ in 0..self.input.field(|r| r.vector())?.unwrap_or(0) {
            let (builder, mut added) = (&mut self.builder, Ok(()));
            self.input.field(|r| {
                let (index, list) = records::acl(r)?;
                added = builder.add_acl(index, list);
                Ok(())
            })?;
            self.input.accept(added)?;
        }
        Ok(())
    }

    fn nodes(&mut self, options: TreeOptions) -> Result<(), SnapshotError> {
        loop {
            let (builder, mut added, mut ended) = (&mut self.builder, Ok(()), false);
            let misread_ttl = &mut self.misread_ttl;
            self.input.field(|r| {
                let Some(NodeRecord { path, data, acl_index, stat }) = records::node(r)? else {
                    ended = true;
                    return Ok(());
                };
                if is_ttl(stat.ephemeral_owner) && !options.owners.extended_types {
                    misread_ttl.get_or_insert_with(|| path.to_vec());
                }
                added = builder.add_node(path, data, acl_index, &stat);
                Ok(())
            })?;
            self.input.accept(added)?;
            if ended {
                return Ok(());
            }
        }
    }

    /// The optional sections, told apart by what is left of the file: Java goes by its own
    /// settings and misreads a file that was written under others. What a later version may have
    /// added is not looked at.
    #[allow(clippy::type_complexity)]
    fn sections(&mut self) -> Result<(Option<(Zxid, u64)>, Option<Zxid>), SnapshotError> {
        const SEAL: usize = 8 + SLASH.len();
        const DIGEST: usize = 20 + SEAL;
        const LAST_ZXID: usize = 8 + SEAL;
        let (mut digest, mut last_zxid) = (None, None);
        let left = self.input.left(DIGEST + LAST_ZXID + 1)?;
        if left == DIGEST || left == DIGEST + LAST_ZXID {
            let (at, version, value) =
                self.input.field(|r| Ok((Zxid::from_long(r.long()?), r.int()?, r.long()?)))?;
            self.input.seal()?;
            // Zero says that no transaction was seen yet, not that the digest is zero.
            digest = (at != Zxid::ZERO && version == DIGEST_VERSION).then_some((at, value as u64));
        }
        if left == LAST_ZXID || left == DIGEST + LAST_ZXID {
            last_zxid = Some(self.input.field(|r| r.long().map(Zxid::from_long))?);
            self.input.seal()?;
        }
        Ok((digest, last_zxid))
    }
}

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The content of the file as it comes, checksummed. Offsets are those of the content.
struct Input<'p> {
    content: Content,
    path: PathBuf,
    /// Of the file, in bytes.
    size: u64,
    compression: Compression,
    max_field: usize,
    progress: &'p mut dyn FnMut(u64, u64),
    buffer: Vec<u8>,
    /// Whether there is nothing behind the buffer.
    ended: bool,
    /// In the buffer: what is before was parsed.
    start: usize,
    /// In the buffer: what is before is in the checksum.
    hashed: usize,
    /// Where the buffer starts.
    offset: u64,
    /// Where the field that was parsed last starts.
    field_offset: u64,
    adler: simd_adler32::Adler32,
}

impl<'p> Input<'p> {
    fn new(
        file: Arc<dyn DiskFile>,
        path: &Path,
        size: u64,
        compression: Compression,
        max_field: usize,
        progress: &'p mut dyn FnMut(u64, u64),
    ) -> Self {
        Input {
            content: Content::new(file, path, size, compression),
            path: path.to_owned(),
            size,
            compression,
            max_field,
            progress,
            buffer: Vec::new(),
            ended: false,
            start: 0,
            hashed: 0,
            offset: 0,
            field_offset: 0,
            adler: simd_adler32::Adler32::new(),
        }
    }

    /// Parses something that is small or bounded by `max_field`. `parse` may be called again from
    /// the start with more bytes; its effects must come last.
    fn field<T>(
        &mut self,
        mut parse: impl FnMut(&mut Reader<'_>) -> Result<T, JuteError>,
    ) -> Result<T, SnapshotError> {
        loop {
            let mut reader = Reader::new(&self.buffer[self.start..], self.max_field);
            match parse(&mut reader) {
                Ok(value) => {
                    self.field_offset = self.offset + self.start as u64;
                    self.start += reader.position();
                    return Ok(value);
                }
                Err(JuteError::Truncated) if self.more()? => {}
                Err(e) => return Err(self.damaged(e.to_string())),
            }
        }
    }

    /// Checks that a seal comes next and fits.
    fn seal(&mut self) -> Result<(), SnapshotError> {
        self.hash_parsed();
        let expected = u64::from(self.adler.finish());
        let (sum, slash) = self.field(|r| Ok((r.long()? as u64, r.take(SLASH.len())? == SLASH)))?;
        if sum == expected && slash {
            return Ok(());
        }
        Err(self.damaged_field("the seal does not fit the bytes before it".to_owned()))
    }

    /// How many bytes were not parsed yet; `most` stands for that many or more.
    fn left(&mut self, most: usize) -> Result<usize, SnapshotError> {
        while self.buffer.len() - self.start < most && self.more()? {}
        Ok(most.min(self.buffer.len() - self.start))
    }

    /// Reads some more into the buffer; `false` at the end of the content.
    fn more(&mut self) -> Result<bool, SnapshotError> {
        if self.ended {
            return Ok(false);
        }
        self.hash_parsed();
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        (self.start, self.hashed) = (0, 0);
        let have = self.buffer.len();
        self.buffer.resize(have + CHUNK.max(have), 0);
        let mut filled = have;
        while filled < self.buffer.len() && !self.ended {
            match self.content.read(&mut self.buffer[filled..]) {
                Ok(n) => {
                    filled += n;
                    self.ended = n == 0;
                }
                Err(error) => {
                    self.buffer.truncate(filled);
                    return Err(match error.downcast::<DiskError>() {
                        Ok(error) => error.into(),
                        Err(error) => self.undecodable(&error),
                    });
                }
            }
        }
        self.buffer.truncate(filled);
        (self.progress)(self.content.file_position(), self.size);
        Ok(filled > have)
    }

    fn hash_parsed(&mut self) {
        self.adler.write(&self.buffer[self.hashed..self.start]);
        self.hashed = self.start;
    }

    fn accept(&self, added: Result<(), LoadError>) -> Result<(), SnapshotError> {
        added.map_err(|e| self.damaged_field(e.to_string()))
    }

    /// Damage in what comes next.
    fn damaged(&self, what: String) -> SnapshotError {
        self.damaged_at(self.offset + self.start as u64, what)
    }

    /// Damage in the field that was parsed last.
    fn damaged_field(&self, what: String) -> SnapshotError {
        self.damaged_at(self.field_offset, what)
    }

    /// Damage in the compressed bytes behind what is in the buffer.
    fn undecodable(&self, error: &std::io::Error) -> SnapshotError {
        let what = format!("what is compressed there cannot be read: {error}");
        self.damaged_at(self.offset + self.buffer.len() as u64, what)
    }

    fn damaged_at(&self, offset: u64, mut what: String) -> SnapshotError {
        if self.compression != Compression::None {
            what.push_str(" (the offset is that of the content)");
        }
        SnapshotError::Damaged { path: self.path.clone(), offset, what }
    }
}
