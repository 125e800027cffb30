//! Receives the tree that a leader sends, piece by piece, into a snapshot file.
//!
//! What always holds:
//! * The file has a name that is no snapshot's: it becomes history by a change of the
//!   [history](crate::persistence::history), and if the server dies before that, the next start
//!   removes it and has its old history (ZOOKEEPER-2872).
//! * A link brings one tree: a second one does not touch the first, which the disk queue may be about
//!   to make history.
//! * What arrives is held against the rules that a start reads snapshots by, parents before children
//!   included, so that no tree is taken that could not be loaded.
//! * Memory is bounded by one piece, one record of the largest size allowed, and eight bytes or so
//!   for each node; no length or count is believed.
//! * Each piece is synced before the next is written, as our own snapshots are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::records::{self, NodeRecord};
use super::stream::SIGNATURE;
use super::{FILE_HEADER, SLASH};
use crate::jute::{JuteError, Reader, Writer};
use crate::persistence::data_dir::unfinished_name;
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::{LinkId, path};
use crate::tree::TreeOptions;

/// Bytes that are written and synced at once, at least.
const PIECE: usize = 1 << 20;

const OF_LINK: &str = "snapshot.link-";

/// What a leader's tree is written to. If it does not become history its file stays until the next
/// one begins, or the next start.
pub struct SnapshotSpool {
    file: Arc<dyn DiskFile>,
    options: TreeOptions,
    max_field: usize,
    next: Next,
    /// What came and was not understood yet: less than a record.
    waiting: Vec<u8>,
    /// Bytes of the stream before `waiting`.
    offset: u64,
    nodes: Nodes,
    /// What the file gets next.
    piece: Vec<u8>,
    adler: simd_adler32::Adler32,
    written: u64,
}

/// Why a tree was not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SpoolError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("a second tree comes over one link, and a leader sends one")]
    Second,
    #[error("the tree that the leader sends is wrong at offset {offset} of the stream: {what}")]
    Wrong { offset: u64, what: String },
    #[error(
        "the tree that the leader sends ends early, at offset {offset} of the stream, in {within}"
    )]
    EndsEarly { offset: u64, within: &'static str },
}

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    SessionCount,
    Sessions(u32),
    AclCount,
    Acls(u32),
    Nodes,
    Signature,
    Nothing,
}

/// The name under which the tree from `link` lies in the snapshot directory until it is history.
pub fn spool_name(link: LinkId) -> String {
    unfinished_name(&format!("{OF_LINK}{:x}", link.0))
}

/// Removes what came before and did not become history.
fn discard_all(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let of_links = unfinished_name(OF_LINK);
    for entry in disk.list(dir)?.iter().filter(|entry| entry.name.starts_with(&of_links)) {
        disk.remove(&dir.join(&entry.name))?;
    }
    Ok(())
}

impl SnapshotSpool {
    /// A spool in the snapshot directory `dir` for the tree that comes over `link`. No field may be
    /// longer than `max_field` bytes (`jute.maxbuffer` plus its extrasize). A server learns from one
    /// leader at a time, so what came over other links is removed.
    ///
    /// # Errors
    /// The disk's; or a tree has come over this link before.
    pub fn new(
        disk: &dyn Disk,
        dir: &Path,
        link: LinkId,
        options: TreeOptions,
        max_field: usize,
    ) -> Result<Self, SpoolError> {
        let path: PathBuf = dir.join(spool_name(link));
        if disk.exists(&path)? {
            return Err(SpoolError::Second);
        }
        discard_all(disk, dir)?;
        Ok(SnapshotSpool {
            file: disk.create_new(&path)?,
            options,
            max_field,
            next: Next::SessionCount,
            waiting: Vec::new(),
            offset: 0,
            nodes: Nodes::new(options.hash_seed),
            piece: FILE_HEADER.to_vec(),
            adler: simd_adler32::Adler32::new(),
            written: 0,
        })
    }

    /// Takes the next bytes of the link, and returns how many of them belong to the tree: fewer than
    /// came when the tree ends in them.
    ///
    /// # Errors
    /// The disk's, or what came is no tree. The spool is then of no use.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, SpoolError> {
        self.waiting.extend_from_slice(bytes);
        let mut start = 0;
        while self.next != Next::Nothing {
            let waiting = std::mem::take(&mut self.waiting);
            let stepped = self.step(&waiting[start..]);
            self.waiting = waiting;
            let at = self.offset + start as u64;
            match stepped {
                Ok(length) => {
                    if !matches!(self.next, Next::Nothing) {
                        self.piece.extend_from_slice(&self.waiting[start..start + length]);
                    }
                    start += length;
                    if self.piece.len() >= PIECE {
                        self.write()?;
                    }
                }
                Err(Stop::Jute(JuteError::Truncated)) => break,
                Err(Stop::Jute(error)) => {
                    return Err(SpoolError::Wrong { offset: at, what: error.to_string() });
                }
                Err(Stop::Rule(what)) => return Err(SpoolError::Wrong { offset: at, what }),
            }
        }
        self.offset += start as u64;
        self.waiting.drain(..start);
        if self.is_complete() {
            let beyond = std::mem::take(&mut self.waiting).len();
            return Ok(bytes.len() - beyond);
        }
        // The largest record has two fields; an ACL list has no bound of its own.
        let most = 2 * self.max_field + 1024;
        if self.waiting.len() > most {
            let what = format!("{} has more than {most} bytes", self.next.name());
            return Err(SpoolError::Wrong { offset: self.offset, what });
        }
        Ok(bytes.len())
    }

    /// Whether the tree has come to its end.
    pub fn is_complete(&self) -> bool {
        self.next == Next::Nothing
    }

    /// Bytes of the stream that were understood.
    pub fn received(&self) -> u64 {
        self.offset
    }

    /// Seals the file and makes it durable, under its own name: it may become history.
    ///
    /// # Errors
    /// The disk's; or the tree has not come to its end, and nothing more will come.
    pub fn finish(mut self) -> Result<(), SpoolError> {
        if !self.is_complete() {
            return Err(SpoolError::EndsEarly { offset: self.offset, within: self.next.name() });
        }
        self.adler.write(&self.piece);
        self.write_piece()?;
        self.piece.put_long(i64::from(self.adler.finish()));
        self.piece.extend_from_slice(&SLASH);
        self.write_piece()?;
        self.file.sync_all()?;
        Ok(())
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.adler.write(&self.piece);
        self.write_piece()?;
        self.file.sync_data()
    }

    fn write_piece(&mut self) -> Result<(), DiskError> {
        self.file.write_all_at(self.written, &self.piece)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Understands what comes next in `bytes`; answers how long it is.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut r = Reader::new(bytes, self.max_field);
        self.next = match self.next {
            Next::SessionCount => sessions(r.vector()?.unwrap_or(0)),
            Next::Sessions(left) => {
                records::session(&mut r)?;
                sessions(left - 1)
            }
            Next::AclCount => acls(r.vector()?.unwrap_or(0)),
            Next::Acls(left) => {
                records::acl(&mut r)?;
                acls(left - 1)
            }
            Next::Nodes => match records::node(&mut r)? {
                Some(node) => {
                    self.accept(&node)?;
                    Next::Nodes
                }
                None if !self.nodes.has(b"") => {
                    return Err(Stop::Rule("there is no root node".to_owned()));
                }
                None => Next::Signature,
            },
            Next::Signature => {
                let length = r.int()?;
                if length != SIGNATURE.len() as i32 {
                    let what = format!("a signature of {length} bytes comes where BenWasHere must");
                    return Err(Stop::Rule(what));
                }
                let signature = r.take(SIGNATURE.len())?;
                if signature != SIGNATURE {
                    let what = format!("{} comes where BenWasHere must", signature.escape_ascii());
                    return Err(Stop::Rule(what));
                }
                Next::Nothing
            }
            Next::Nothing => unreachable!("nothing is read behind the end"),
        };
        Ok(r.position())
    }

    /// Holds a node against those before it.
    fn accept(&mut self, node: &NodeRecord<'_>) -> Result<(), Stop> {
        let name = || node.path.escape_ascii();
        if records::is_ttl(node.stat.ephemeral_owner) && !self.options.owners.extended_types {
            return Err(Stop::Rule(format!(
                "{} is a TTL node, and extendedTypesEnabled is off here: it would be taken for an \
                 ephemeral and be lost; set extendedTypesEnabled=true",
                name()
            )));
        }
        if !node.path.is_empty() {
            let Some((parent, _)) = path::split(node.path) else {
                return Err(Stop::Rule(format!("a node's path {} has no slash", name())));
            };
            if !self.nodes.has(parent) && !parent.is_empty() {
                return Err(Stop::Rule(format!("the node {} has no parent", name())));
            }
        }
        if !self.nodes.add(node.path) {
            return Err(Stop::Rule(format!("the node {} comes twice", name())));
        }
        Ok(())
    }
}

/// Why a step was not made.
enum Stop {
    Jute(JuteError),
    Rule(String),
}

impl From<JuteError> for Stop {
    fn from(error: JuteError) -> Self {
        Stop::Jute(error)
    }
}

fn sessions(left: u32) -> Next {
    if left == 0 { Next::AclCount } else { Next::Sessions(left) }
}

fn acls(left: u32) -> Next {
    if left == 0 { Next::Nodes } else { Next::Acls(left) }
}

impl Next {
    fn name(self) -> &'static str {
        match self {
            Next::SessionCount | Next::Sessions(_) => "a session",
            Next::AclCount | Next::Acls(_) => "an ACL list",
            Next::Nodes => "a node",
            Next::Signature | Next::Nothing => "the signature",
        }
    }
}

/// The nodes that came, as hashes of their paths.
struct Nodes {
    hashes: HashTable<u64>,
    state: FixedState,
}

impl Nodes {
    fn new(seed: u64) -> Self {
        Nodes { hashes: HashTable::new(), state: FixedState::with_seed(seed) }
    }

    fn hash(&self, path: &[u8]) -> u64 {
        std::hash::BuildHasher::hash_one(&self.state, path)
    }

    fn has(&self, path: &[u8]) -> bool {
        let hash = self.hash(path);
        self.hashes.find(hash, |held| *held == hash).is_some()
    }

    /// `false` if it is there already.
    fn add(&mut self, path: &[u8]) -> bool {
        let hash = self.hash(path);
        if self.hashes.find(hash, |held| *held == hash).is_some() {
            return false;
        }
        self.hashes.insert_unique(hash, hash, |held| *held);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;
    use crate::persistence::restore_tests::{TREE, creates, database};
    use crate::persistence::snapshot::{SnapshotStream, read_snapshot};
    use crate::proto::Zxid;
    use crate::tree::{Database, SharedDatabase};

    const LINK: LinkId = LinkId(0x1f);
    const MAX: usize = 4096;

    fn stream_of(database: Database) -> Vec<u8> {
        let shared = SharedDatabase::new(database);
        let mut stream = SnapshotStream::new(shared.begin_snapshot());
        let mut bytes = Vec::new();
        while stream.next_piece(&shared, &mut bytes).unwrap() {}
        assert!(!stream.next_piece(&shared, &mut bytes).unwrap());
        bytes
    }

    fn spool(dir: &Path) -> SnapshotSpool {
        SnapshotSpool::new(&RealDisk, dir, LINK, TREE, MAX).unwrap()
    }

    /// Everything at once; the words if it is not taken.
    fn refusal(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path());
        match spool.take(bytes) {
            Err(error) => error.to_string(),
            Ok(_) => spool.finish().unwrap_err().to_string(),
        }
    }

    /// A stream of these nodes, with what lies around them.
    fn nodes(paths: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        for path in paths {
            bytes.put_buffer(Some(path));
            bytes.put_buffer(None);
            bytes.put_long(-1);
            crate::proto::StatPersisted::default().write(&mut bytes);
        }
        bytes.extend_from_slice(&SLASH);
        bytes.put_buffer(Some(SIGNATURE));
        bytes
    }

    #[test]
    fn a_tree_that_comes_in_pieces_is_a_snapshot_like_any_other() {
        let txns = creates(1..=3000);
        let bytes = stream_of(database(&txns));
        assert!(bytes.ends_with(b"\0\0\0\x01/\0\0\0\x0aBenWasHere"), "as Apache ends it");
        for piece in [1, 7, 4096, usize::MAX] {
            let dir = tempfile::tempdir().unwrap();
            let mut spool = spool(dir.path());
            let with_more = [&bytes[..], b"a packet"].concat();
            let mut taken = 0_usize;
            while !spool.is_complete() {
                let next = &with_more[taken..with_more.len().min(taken.saturating_add(piece))];
                taken += spool.take(next).unwrap();
            }
            assert_eq!((taken, spool.received()), (bytes.len(), bytes.len() as u64));
            spool.finish().unwrap();
            let path = dir.path().join("tmp.snapshot.link-1f");
            let loaded =
                read_snapshot(&RealDisk, &path, Zxid(3000), TREE, MAX, &mut |_, _| ()).unwrap();
            let expected = database(&txns);
            assert_eq!(loaded.database.tree.digest(), expected.tree.digest());
            assert_eq!(loaded.digest, None);
            let other = SnapshotSpool::new(&RealDisk, dir.path(), LinkId(2), TREE, MAX).unwrap();
            assert!(!RealDisk.exists(&path).unwrap(), "another leader's tree comes");
            drop(other);
        }
    }

    /// The disk queue may be busy, and the first not be history yet.
    #[test]
    fn a_second_tree_over_one_link_leaves_the_first_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = spool(dir.path());
        first.take(&stream_of(database(&creates(1..=5)))).unwrap();
        first.finish().unwrap();
        let second = SnapshotSpool::new(&RealDisk, dir.path(), LINK, TREE, MAX);
        let words = second.err().expect("it is refused").to_string();
        assert_eq!(words, "a second tree comes over one link, and a leader sends one");
        let path = dir.path().join("tmp.snapshot.link-1f");
        read_snapshot(&RealDisk, &path, Zxid(5), TREE, MAX, &mut |_, _| ()).unwrap();
    }

    #[test]
    fn what_ends_early_is_not_taken_wherever_it_ends() {
        let bytes = stream_of(database(&creates(1..=5)));
        for end in 0..bytes.len() {
            let words = refusal(&bytes[..end]);
            assert!(words.contains("ends early, at offset"), "{end}: {words}");
        }
        assert!(refusal(&bytes[..2]).ends_with("in a session"));
        assert!(refusal(&bytes[..bytes.len() - 1]).ends_with("in the signature"));
    }

    #[test]
    fn a_wrong_signature_is_named() {
        let mut bytes = nodes(&[b""]);
        let at = bytes.len() - 1;
        bytes[at] = b'!';
        let words = refusal(&bytes);
        assert!(words.ends_with("BenWasHer! comes where BenWasHere must"), "{words}");
        bytes[at - 10] = 9;
        assert!(refusal(&bytes).ends_with("a signature of 9 bytes comes where BenWasHere must"));
    }

    #[test]
    fn what_could_not_be_loaded_is_not_taken() {
        let cases: [(&[&[u8]], &str); 7] = [
            (&[], "there is no root node"),
            (&[b"/a"], "there is no root node"),
            (&[b"", b"/a", b"/a"], "the node /a comes twice"),
            (&[b"", b""], "the node  comes twice"),
            (&[b"", b"/a/b"], "the node /a/b has no parent"),
            (&[b"", b"a"], "a node's path a has no slash"),
            (&[b"", b"/a", b"//b"], "the node //b has no parent"),
        ];
        for (paths, what) in cases {
            let words = refusal(&nodes(paths));
            assert!(words.ends_with(what), "{words}");
        }
        // And what is right is taken.
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path());
        spool.take(&nodes(&[b"/b", b"", b"/b/c"])).unwrap();
        spool.finish().unwrap();
    }

    /// Whatever bytes change on the way: what is taken can be loaded.
    #[test]
    fn what_is_taken_can_be_loaded() {
        let bytes = stream_of(database(&creates(1..=4)));
        let dir = tempfile::tempdir().unwrap();
        let (mut taken, mut refused) = (0, 0);
        let mut chance = 1_u64;
        for _ in 0..800 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut bytes = bytes.clone();
            let at = (chance >> 33) as usize % bytes.len();
            match chance >> 30 & 3 {
                0 => bytes[at] ^= 1 << (chance >> 27 & 7),
                1 => bytes[at] = (chance >> 20) as u8,
                2 => drop(bytes.drain(at..bytes.len().min(at + 1 + (chance >> 24 & 7) as usize))),
                _ => bytes.insert(at, (chance >> 20) as u8),
            }
            // Each over a link of its own, as trees come.
            let link = LinkId(chance >> 1);
            let mut spool = SnapshotSpool::new(&RealDisk, dir.path(), link, TREE, MAX).unwrap();
            let end = spool.take(&bytes);
            if end.is_err() || spool.finish().is_err() {
                refused += 1;
                continue;
            }
            taken += 1;
            let path = dir.path().join(spool_name(link));
            let loaded = read_snapshot(&RealDisk, &path, Zxid(4), TREE, MAX, &mut |_, _| ());
            if let Err(error) = loaded {
                panic!("taken, and not loaded: {error}");
            }
        }
        assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    }

    #[test]
    fn nothing_is_believed_of_a_length_or_a_count() {
        let mut counts = Vec::new();
        counts.put_int(i32::MAX);
        assert!(refusal(&counts).contains("ends early"));
        let mut long_path = vec![0; 8];
        long_path.put_int(MAX as i32 + 1);
        assert!(refusal(&long_path).ends_with("unreasonable length 4097"));
        // An ACL list without an end.
        let mut acl = vec![0; 4];
        acl.put_int(1);
        acl.put_long(1);
        acl.put_int(i32::MAX);
        let entry = b"\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";
        (0..1000).for_each(|_| acl.extend_from_slice(entry));
        let words = refusal(&acl);
        assert!(words.ends_with("an ACL list has more than 9216 bytes"), "{words}");
    }
}
