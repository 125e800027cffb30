//! Reads a snapshot into a database.
//!
//! The file is read in large pieces with the checksum running along. Memory is bounded by the
//! database itself, one piece, and the largest node allowed; no length or count is believed
//! further than the file reaches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Compression, MAGIC, SLASH, SnapshotFile};
use crate::jute::{JuteError, Reader};
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::acl::raw_acl_vector;
use crate::proto::txns::DIGEST_VERSION;
use crate::proto::{SessionId, StatPersisted, Zxid};
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
        Compression::Snappy => (0, b"\x82SNAPPY\0"),
    };
    let read = handle.read_at(offset, &mut bytes[..expected.len()])?;
    Ok(&bytes[..read] == expected)
}

/// Reads the plain snapshot `path`, named after `zxid`. No field may be longer than `max_field`
/// bytes (`jute.maxbuffer` plus its extrasize).
///
/// # Errors
/// A file that cannot be read, or whose content is not a whole database under the right seal.
pub fn read_snapshot(
    disk: &dyn Disk,
    path: &Path,
    zxid: Zxid,
    options: TreeOptions,
    max_field: usize,
) -> Result<LoadedSnapshot, SnapshotError> {
    let file = disk.open(path)?;
    let size = file.size()?;
    let input = Input::new(file, path, size, max_field);
    let mut load = Load { input, builder: DatabaseBuilder::new(options), misread_ttl: None };
    // Nodes are rarely smaller than this, and the index is cheap.
    load.builder.reserve((size / 128) as usize);
    load.everything(zxid, options)
}

struct Load {
    input: Input,
    builder: DatabaseBuilder,
    misread_ttl: Option<Vec<u8>>,
}

impl Load {
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
        // Until then the tree may be ahead of the zxid that it is compared at.
        database.compare_digests_from(digest.map_or(zxid, |(at, _)| at.max(zxid)));
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
            let (id, timeout_ms) = self.input.field(|r| Ok((r.long()?, r.int()?)))?;
            self.builder.add_session(SessionId(id), timeout_ms);
        }
        Ok(())
    }

    fn acls(&mut self) -> Result<(), SnapshotError> {
        for _ in 0..self.input.field(|r| r.vector())?.unwrap_or(0) {
            let (builder, mut added) = (&mut self.builder, Ok(()));
            self.input.field(|r| {
                let index = r.long()?;
                let list = raw_acl_vector(r)?;
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
                let path = r.required_ustring()?;
                if path == b"/" {
                    ended = true;
                    return Ok(());
                }
                let data = r.buffer()?;
                let acl_index = r.long()?;
                let stat = StatPersisted::read(r)?;
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
        const SEAL: u64 = 8 + SLASH.len() as u64;
        const DIGEST: u64 = 20 + SEAL;
        const LAST_ZXID: u64 = 8 + SEAL;
        let (mut digest, mut last_zxid) = (None, None);
        let left = self.input.left();
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

/// Whether a stored owner is a TTL that, with extended types off, would be taken for a session:
/// the mark, and the reserved bits below it zero. No real session's id looks like that.
fn is_ttl(owner: i64) -> bool {
    (owner as u64) >> 40 == 0xff_0000
}

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The bytes of the file as they come, checksummed.
struct Input {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    size: u64,
    max_field: usize,
    buffer: Vec<u8>,
    /// In the buffer: what is before was parsed.
    start: usize,
    /// In the buffer: what is before is in the checksum.
    hashed: usize,
    /// In the file: where the buffer starts.
    offset: u64,
    /// In the file: where the field that was parsed last starts.
    field_offset: u64,
    adler: simd_adler32::Adler32,
}

impl Input {
    fn new(file: Arc<dyn DiskFile>, path: &Path, size: u64, max_field: usize) -> Self {
        Input {
            file,
            path: path.to_owned(),
            size,
            max_field,
            buffer: Vec::new(),
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

    /// Bytes not parsed yet.
    fn left(&self) -> u64 {
        self.size - self.offset - self.start as u64
    }

    /// Reads some more into the buffer; `false` at the end of the file.
    fn more(&mut self) -> Result<bool, SnapshotError> {
        let have = self.buffer.len() - self.start;
        let missing = self.left() - have as u64;
        if missing == 0 {
            return Ok(false);
        }
        self.hash_parsed();
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        (self.start, self.hashed) = (0, 0);
        let more = usize::try_from(missing).unwrap_or(usize::MAX).min(CHUNK.max(have));
        self.buffer.resize(have + more, 0);
        let at = self.offset + have as u64;
        let read = self.file.read_at(at, &mut self.buffer[have..])?;
        if read < more {
            let source = std::io::Error::other("the file became shorter while it was read");
            return Err(DiskError::new("read", &self.path, source).into());
        }
        Ok(true)
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
        let offset = self.offset + self.start as u64;
        SnapshotError::Damaged { path: self.path.clone(), offset, what }
    }

    /// Damage in the field that was parsed last.
    fn damaged_field(&self, what: String) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), offset: self.field_offset, what }
    }
}
