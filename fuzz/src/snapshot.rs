//! The snapshot reader.
//!
//! * Any file is a whole database or an error that names the file; nothing panics.
//! * A database that was read can be written, and what was written reads as the same tree.
//!
//! The first byte chooses: the rest is a file as it is, or the part before the seals, which are
//! added, so that checksums do not keep the fuzzer out; how the file is taken to be compressed, and
//! how it is written again.

use std::path::Path;

use super::memory_disk::MemoryDisk;
use super::txn_log::TREE;
use zkserver::persistence::Disk;
use zkserver::persistence::snapshot::{
    Compression, SnapshotError, SnapshotOptions, read_snapshot, write_snapshot,
};
use zkserver::proto::Zxid;
use zkserver::tree::SharedDatabase;

const MAX_FIELD: usize = 1 << 16;
const SLASH: [u8; 5] = [0, 0, 0, 1, b'/'];
const HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
const ZXID: Zxid = Zxid(7);

/// Reads `data` as a snapshot.
pub fn check(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let file = if mode & 1 == 0 { rest.to_vec() } else { sealed(rest) };
    let (disk, dir) = (MemoryDisk::default(), Path::new("/data"));
    let path_of = |kind: Compression| dir.join(format!("snapshot.7{}", kind.suffix()));
    let path = &path_of(compression(mode >> 1));
    disk.put(path, &file);
    let loaded = match read_snapshot(&disk, path, ZXID, TREE, MAX_FIELD, &mut |_, _| ()) {
        Ok(loaded) => loaded,
        Err(error @ SnapshotError::Damaged { .. }) => {
            assert!(error.to_string().contains("snapshot.7"), "it names the file: {error}");
            return;
        }
        Err(SnapshotError::Disk(error)) => panic!("memory does not fail: {error}"),
    };
    // A node whose list is missing makes the start refuse; such a tree is never written.
    if loaded.database.tree.missing_acl().is_some() {
        return;
    }
    let before = (loaded.database.tree.digest(), loaded.database.tree.node_count());
    let sessions = loaded.database.session_count();
    let shared = SharedDatabase::new(loaded.database);
    let capture = shared.begin_snapshot();
    let compression = compression(mode >> 3);
    let options = SnapshotOptions { digest: true, last_zxid: true, compression };
    disk.remove(path).expect("removed from memory");
    let path = &path_of(compression);
    write_snapshot(&disk, dir, &shared, capture, options, |_| ()).expect("written to memory");
    let again = read_snapshot(&disk, path, ZXID, TREE, MAX_FIELD, &mut |_, _| ())
        .expect("what was written");
    assert_eq!((again.database.tree.digest(), again.database.tree.node_count()), before);
    assert_eq!(again.database.session_count(), sessions);
}

/// What two bits of the mode choose.
fn compression(bits: u8) -> Compression {
    match bits & 3 {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        _ => Compression::None,
    }
}

/// A whole snapshot around sessions, lists and nodes.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut file = HEADER.to_vec();
    file.extend_from_slice(body);
    file.extend_from_slice(&SLASH);
    let mut adler = simd_adler32::Adler32::new();
    adler.write(&file);
    file.extend_from_slice(&u64::from(adler.finish()).to_be_bytes());
    file.extend_from_slice(&SLASH);
    file
}
