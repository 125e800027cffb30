//! Writes a snapshot of the running database, in small durable pieces beside everything else.
//!
//! A file of that name is either whole or not there: it is written under another name, synced,
//! renamed, and the directory synced (deviation: Apache writes under the final name). Each piece
//! is synced before the next, so that the disk never holds more than one of them back from the
//! log's syncs; how fast pieces may follow each other is the caller's to say.

use std::path::Path;
use std::sync::Arc;

use super::{FILE_HEADER, SLASH, file_name};
use crate::jute::Writer;
use crate::persistence::data_dir::unfinished_name;
use crate::persistence::disk::{Disk, DiskError, DiskFile};
use crate::proto::Zxid;
use crate::proto::txns::DIGEST_VERSION;
use crate::tree::{CaptureLost, SharedDatabase, SnapshotCapture};

/// Which optional sections are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// The tree's digest (`digest.enabled`).
    pub digest: bool,
    /// The last zxid (`serializeLastProcessedZxid.enabled`).
    pub last_zxid: bool,
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
}

/// Bytes that are written and synced at once, at least.
const PIECE: usize = 1 << 20;

/// Writes what `capture` captured of `database` into `dir`. After each piece `pace` is told how
/// many bytes it had, and may take its time.
///
/// # Errors
/// The disk's, or the tree was replaced meanwhile. Nothing is left of the file then.
pub fn write_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    database: &SharedDatabase,
    mut capture: SnapshotCapture,
    options: SnapshotOptions,
    mut pace: impl FnMut(u64),
) -> Result<WrittenSnapshot, SnapshotWriteError> {
    let name = file_name(capture.zxid());
    let unfinished = dir.join(unfinished_name(&name));
    if disk.exists(&unfinished)? {
        // Of a removal that failed.
        disk.remove(&unfinished)?;
    }
    let zxid = capture.zxid();
    let written = disk.create_new(&unfinished).map_err(SnapshotWriteError::from).and_then(|file| {
        let mut output = Output::new(file, &mut pace);
        output.database(database, &mut capture, options)?;
        output.file.sync_all()?;
        disk.rename(&unfinished, &dir.join(&name))?;
        Ok(output.offset)
    });
    match written {
        Ok(bytes) => {
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
    pace: &'p mut dyn FnMut(u64),
    buffer: Vec<u8>,
    /// Where the buffer belongs in the file.
    offset: u64,
    /// Of everything before the buffer.
    adler: simd_adler32::Adler32,
}

impl<'p> Output<'p> {
    fn new(file: Arc<dyn DiskFile>, pace: &'p mut dyn FnMut(u64)) -> Self {
        let buffer = Vec::with_capacity(2 * PIECE);
        Output { file, pace, buffer, offset: 0, adler: simd_adler32::Adler32::new() }
    }

    fn database(
        &mut self,
        database: &SharedDatabase,
        capture: &mut SnapshotCapture,
        options: SnapshotOptions,
    ) -> Result<(), SnapshotWriteError> {
        self.buffer.extend_from_slice(&FILE_HEADER);
        self.buffer.put_int(count(capture.sessions().len()));
        for (id, timeout_ms) in capture.sessions() {
            self.buffer.put_long(id.0);
            self.buffer.put_int(*timeout_ms);
        }
        self.buffer.put_int(count(capture.acls().len()));
        for (index, list) in capture.acls() {
            self.buffer.put_long(*index);
            self.buffer.extend_from_slice(list);
        }
        while capture.next_nodes(database, &mut self.buffer)? {
            if self.buffer.len() >= PIECE {
                self.flush()?;
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
        Ok(self.flush()?)
    }

    /// Appends the checksum of everything so far.
    fn seal(&mut self) {
        let mut adler = self.adler.clone();
        adler.write(&self.buffer);
        self.buffer.put_long(i64::from(adler.finish()));
        self.buffer.extend_from_slice(&SLASH);
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_all_at(self.offset, &self.buffer)?;
        self.file.sync_data()?;
        self.adler.write(&self.buffer);
        let bytes = self.buffer.len() as u64;
        self.offset += bytes;
        self.buffer.clear();
        (self.pace)(bytes);
        Ok(())
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).expect("fewer than two thousand million sessions or ACL lists")
}
