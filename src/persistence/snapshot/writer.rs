//! Writes a snapshot of the running database, in small durable pieces beside everything else.
//!
//! A file of that name is either whole or not there: it is written under another name, synced,
//! renamed, and the directory synced (deviation: Apache writes under the final name). Each piece
//! is synced before the next, so that the disk never holds more than one of them back from the
//! log's syncs; how fast pieces may follow each other is the caller's to say.

use std::path::Path;
use std::sync::Arc;

use super::codec::Encoder;
use super::{Compression, FILE_HEADER, SLASH, file_name};
use crate::jute::Writer;
use crate::persistence::data_dir::unfinished_name;
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::persistence::snapshot_gate::{HistoryChanged, SnapshotPass};
use crate::proto::Zxid;
use crate::proto::txns::DIGEST_VERSION;
use crate::tree::{CaptureLost, SharedDatabase, SnapshotCapture};

/// How a snapshot is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// The tree's digest (`digest.enabled`).
    pub digest: bool,
    /// The last zxid (`serializeLastProcessedZxid.enabled`).
    pub last_zxid: bool,
    /// How the file is compressed (`snapshot.compression.method`).
    pub compression: Compression,
}

/// What was written and synced at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the snapshot.
    pub content: u64,
    /// Bytes of the file, fewer if it is compressed.
    pub stored: u64,
}

/// A snapshot that is complete and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSnapshot {
    /// Its name in the snapshot directory.
    pub name: String,
    /// The last transaction in it.
    pub zxid: Zxid,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotWriteError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    CaptureLost(#[from] CaptureLost),
    #[error(transparent)]
    HistoryChanged(#[from] HistoryChanged),
}

/// Bytes that are written and synced at once, at least.
const PIECE: usize = 1 << 20;

/// Writes what `capture` captured of `database` into `dir`. After each piece `pace` is told how
/// large it was, and may take its time.
///
/// # Errors
/// The disk's, or the tree was replaced meanwhile. Nothing is left of the file then.
pub fn write_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    database: &SharedDatabase,
    capture: SnapshotCapture,
    options: SnapshotOptions,
    pace: impl FnMut(Piece),
) -> Result<WrittenSnapshot, SnapshotWriteError> {
    write_snapshot_with_pass(disk, dir, database, capture, options, None, pace)
}

/// [`write_snapshot`] where the history can be cut or replaced meanwhile: then there is no snapshot.
/// The pass must be older than the capture.
///
/// # Errors
/// Those of [`write_snapshot`], or the history was changed.
pub fn write_snapshot_with_pass(
    disk: &dyn Disk,
    dir: &Path,
    database: &SharedDatabase,
    mut capture: SnapshotCapture,
    options: SnapshotOptions,
    pass: Option<&SnapshotPass>,
    mut pace: impl FnMut(Piece),
) -> Result<WrittenSnapshot, SnapshotWriteError> {
    let name = file_name(capture.zxid(), options.compression);
    let unfinished = dir.join(unfinished_name(&name));
    if disk.exists(&unfinished)? {
        // Of a removal that failed.
        disk.remove(&unfinished)?;
    }
    let zxid = capture.zxid();
    let written = disk.create_new(&unfinished).map_err(SnapshotWriteError::from).and_then(|file| {
        let mut output = Output::new(file, options.compression, &mut pace);
        output.database(database, &mut capture, options)?;
        output.file.sync_all()?;
        let held = pass.map(SnapshotPass::enter).transpose()?;
        disk.rename(&unfinished, &dir.join(&name))?;
        Ok((output.offset, held))
    });
    match written {
        Ok((bytes, _held)) => {
            disk.sync_dir(dir)?;
            Ok(WrittenSnapshot { name, zxid, bytes })
        }
        Err(error) => {
            // The reason it failed is what matters; the next start clears what is left.
            let _ = disk.remove(&unfinished);
            Err(error)
        }
    }
}

struct Output<'p> {
    file: Arc<dyn DiskFile>,
    pace: &'p mut dyn FnMut(Piece),
    buffer: Vec<u8>,
    /// Of everything before the buffer.
    adler: simd_adler32::Adler32,
    encoder: Encoder,
    /// What the file gets next, with so much content in it.
    stored: Vec<u8>,
    content: u64,
    /// Where it belongs in the file.
    offset: u64,
}

impl<'p> Output<'p> {
    fn new(
        file: Arc<dyn DiskFile>,
        compression: Compression,
        pace: &'p mut dyn FnMut(Piece),
    ) -> Self {
        Output {
            file,
            pace,
            buffer: Vec::with_capacity(2 * PIECE),
            adler: simd_adler32::Adler32::new(),
            encoder: Encoder::new(compression),
            stored: Vec::new(),
            content: 0,
            offset: 0,
        }
    }

    fn database(
        &mut self,
        database: &SharedDatabase,
        capture: &mut SnapshotCapture,
        options: SnapshotOptions,
    ) -> Result<(), SnapshotWriteError> {
        self.buffer.extend_from_slice(&FILE_HEADER);
        append_head(capture, &mut self.buffer);
        while capture.next_nodes(database, &mut self.buffer)? {
            if self.buffer.len() >= PIECE {
                self.take_buffer();
            }
            if self.stored.len() >= PIECE {
                self.write()?;
            }
        }
        self.buffer.extend_from_slice(&SLASH);
        self.seal();
        if options.digest {
            // An empty history has no digest: Java writes zeros, and compares nothing to them.
            let (zxid, digest) = capture.digest();
            self.buffer.put_long(zxid.to_long());
            self.buffer.put_int(DIGEST_VERSION);
            self.buffer.put_long(if zxid == Zxid::ZERO { 0 } else { digest as i64 });
            self.seal();
        }
        if options.last_zxid {
            self.buffer.put_long(capture.zxid().to_long());
            self.seal();
        }
        self.take_buffer();
        self.encoder.finish(&mut self.stored);
        Ok(self.write()?)
    }

    /// Appends the checksum of everything so far.
    fn seal(&mut self) {
        let mut adler = self.adler.clone();
        adler.write(&self.buffer);
        self.buffer.put_long(i64::from(adler.finish()));
        self.buffer.extend_from_slice(&SLASH);
    }

    /// Makes the buffer part of what is stored next.
    fn take_buffer(&mut self) {
        self.adler.write(&self.buffer);
        self.content += self.buffer.len() as u64;
        if matches!(self.encoder, Encoder::Plain) && self.stored.is_empty() {
            std::mem::swap(&mut self.stored, &mut self.buffer);
        } else {
            self.encoder.encode(&self.buffer, &mut self.stored);
            self.buffer.clear();
        }
    }

    fn write(&mut self) -> Result<(), DiskError> {
        self.file.write_all_at(self.offset, &self.stored)?;
        self.file.sync_data()?;
        let stored = self.stored.len() as u64;
        self.offset += stored;
        self.stored.clear();
        (self.pace)(Piece { content: std::mem::take(&mut self.content), stored });
        Ok(())
    }
}

/// Appends what comes before the nodes: sessions and ACL lists.
pub(super) fn append_head(capture: &SnapshotCapture, out: &mut Vec<u8>) {
    out.put_int(count(capture.sessions().len()));
    for (id, timeout_ms) in capture.sessions() {
        out.put_long(id.0);
        out.put_int(*timeout_ms);
    }
    out.put_int(count(capture.acls().len()));
    for (index, list) in capture.acls() {
        out.put_long(*index);
        out.extend_from_slice(list);
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).expect("fewer than two thousand million sessions or ACL lists")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::faulty_disk::FaultyDisk;
    use crate::persistence::snapshot::read_snapshot;
    use crate::proto::SessionId;
    use crate::proto::stat::OwnerEncoding;
    use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnDigest, TxnHeader, TxnRecord};
    use crate::tree::{Database, TreeOptions};

    const TREE: TreeOptions = TreeOptions {
        owners: OwnerEncoding { extended_types: false, emulate_353_ttl: false },
        digest_enabled: true,
        hash_seed: 7,
    };
    const OPTIONS: SnapshotOptions =
        SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None };

    /// A database with that many nodes of 1,000 bytes, and a session.
    fn database(nodes: i64) -> SharedDatabase {
        let mut database = Database::new(TREE);
        let header = |zxid: i64, txn_type| TxnHeader {
            client_id: SessionId(5),
            cxid: 0,
            zxid: Zxid::from_long(zxid),
            time: zxid,
            txn_type,
        };
        let txn = Txn::CreateSession { timeout_ms: 4000 };
        database.apply(&TxnRecord { header: header(1, -10), txn, digest: None }, &mut ());
        for i in 0..nodes {
            let path = format!("/n{i}");
            let kind = CreateKind::Plain { ephemeral: i % 2 == 0, with_stat: false };
            let acl = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";
            let (data, parent_cversion) = (Some(&[7; 1000][..]), -1);
            let create = CreateTxn { path: path.as_bytes(), data, acl, parent_cversion, kind };
            let (header, txn) = (header(i + 2, 1), Txn::Create(create));
            database.apply(&TxnRecord { header, txn, digest: None }, &mut ());
        }
        SharedDatabase::new(database)
    }

    #[test]
    fn what_is_written_in_pieces_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, shared) = (FaultyDisk::new(), database(3000));
        let mut pieces = Vec::new();
        let capture = shared.begin_snapshot();
        let written =
            write_snapshot(&disk, dir.path(), &shared, capture, OPTIONS, |n| pieces.push(n.stored))
                .unwrap();
        assert_eq!((written.name.as_str(), written.zxid), ("snapshot.bb9", Zxid(3001)));
        assert_eq!(pieces.iter().sum::<u64>(), written.bytes);
        assert!(pieces.len() >= 3 && pieces.iter().all(|&n| n < 2 << 20), "{pieces:?}");
        let path = dir.path().join(&written.name);
        let loaded =
            read_snapshot(&disk, &path, written.zxid, TREE, 1 << 20, &mut |_, _| ()).unwrap();
        let original = shared.read();
        assert_eq!(loaded.database.tree.digest(), original.tree.digest());
        assert_eq!(loaded.database.tree.ephemerals_count(), 1500);
        assert_eq!(loaded.database.session_timeout(SessionId(5)), Some(4000));
        assert_eq!(loaded.digest, Some((Zxid(3001), original.tree.digest())));
        assert_eq!(loaded.last_zxid, Some(Zxid(3001)));
    }

    #[test]
    fn the_snapshot_of_nothing_has_a_digest_section_of_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let shared = SharedDatabase::new(Database::new(TREE));
        let (disk, capture) = (FaultyDisk::new(), shared.begin_snapshot());
        let written = write_snapshot(&disk, dir.path(), &shared, capture, OPTIONS, |_| ()).unwrap();
        assert_eq!(written.name, "snapshot.0");
        let bytes = disk.read(&dir.path().join("snapshot.0")).unwrap();
        let section = bytes.len() - 21 - 33;
        assert_eq!(
            bytes[section..section + 20],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let path = dir.path().join("snapshot.0");
        let loaded =
            read_snapshot(&disk, &path, Zxid::ZERO, TREE, 1 << 20, &mut |_, _| ()).unwrap();
        assert_eq!(loaded.digest, None);
    }

    /// As Apache ZooKeeper's leader sends its tree: the first transactions behind it pass through
    /// states that never were.
    #[test]
    fn a_snapshot_that_does_not_say_where_it_ends_is_compared_once_it_serves() {
        let says = SnapshotOptions { digest: false, last_zxid: true, ..OPTIONS };
        for (options, compares) in [(SnapshotOptions { last_zxid: false, ..says }, 0), (says, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let (disk, shared) = (FaultyDisk::new(), database(30));
            let capture = shared.begin_snapshot();
            let written =
                write_snapshot(&disk, dir.path(), &shared, capture, options, |_| ()).unwrap();
            let path = dir.path().join(&written.name);
            let loaded = read_snapshot(&disk, &path, written.zxid, TREE, 1 << 20, &mut |_, _| ());
            let mut database = loaded.unwrap().database;
            let differs = |database: &mut Database| {
                let zxid = database.last_processed().next();
                let tree_digest = database.tree.digest() + 1;
                let digest = Some(TxnDigest { version: 2, tree_digest });
                let client_id = SessionId(5);
                let header = TxnHeader { client_id, cxid: 0, zxid, time: 1, txn_type: -1 };
                let txn = Txn::Error { err: -1 };
                database.apply(&TxnRecord { header, txn, digest }, &mut ());
                database.digest_mismatches()
            };
            assert_eq!(differs(&mut database), compares);
            database.start_serving();
            assert_eq!(differs(&mut database), compares + 1);
        }
    }

    #[test]
    fn a_failure_at_any_write_or_sync_leaves_nothing_that_looks_like_a_snapshot() {
        let shared = database(3000);
        for failing in 0..10 {
            for writes in [true, false] {
                let dir = tempfile::tempdir().unwrap();
                let disk = FaultyDisk::new();
                match writes {
                    true => disk.fail_writes_after(failing),
                    false => disk.fail_syncs_after(failing),
                }
                let capture = shared.begin_snapshot();
                let written = write_snapshot(&disk, dir.path(), &shared, capture, OPTIONS, |_| ());
                let left = disk.list(dir.path()).unwrap();
                let directory_unsynced =
                    matches!(&written, Err(e) if e.to_string().contains("sync the directory"));
                if written.is_ok() || directory_unsynced {
                    assert_eq!(left.len(), 1);
                } else {
                    assert_eq!(left, [], "after {failing} operations");
                }
            }
        }
    }

    #[test]
    fn a_tree_that_is_replaced_meanwhile_gives_no_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, shared) = (FaultyDisk::new(), database(3000));
        let mut first = true;
        let capture = shared.begin_snapshot();
        let written = write_snapshot(&disk, dir.path(), &shared, capture, OPTIONS, |_| {
            if std::mem::take(&mut first) {
                shared.write().replace(Database::new(TREE));
            }
        });
        assert!(matches!(written, Err(SnapshotWriteError::CaptureLost(_))));
        assert_eq!(disk.list(dir.path()).unwrap(), []);
    }
}
