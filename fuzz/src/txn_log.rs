//! The transaction-log reader and the restart behind it.
//!
//! * Any file is read to an end, a torn tail or an error; nothing panics.
//! * What is given out lies in the file, in order, under its right checksum.
//! * A restart that cuts a torn tail is followed by one that finds nothing torn and the same tree.
//!
//! The first byte chooses: the rest is a file as it is, or transactions to be framed first, so
//! that checksums do not keep the fuzzer out.

use std::path::Path;
use std::sync::Arc;

use super::memory_disk::MemoryDisk;
use zkserver::persistence::txn_log::record::{self, FILE_HEADER};
use zkserver::persistence::txn_log::{LogError, LogReader};
use zkserver::persistence::{DataDir, DataDirOptions, Disk, RestoreOptions, restore};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::tree::TreeOptions;

const MAX_RECORD: usize = 1 << 16;
/// How the tree is kept in the checks.
pub const TREE: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: true, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};

/// Reads `data` as a log, and starts on it.
pub fn check(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let file = if mode & 1 == 0 { rest.to_vec() } else { framed(rest) };
    read(&file, mode & 2 == 0);
    start(&file);
}

/// A log of the transactions in `bytes`: each a length in one byte and a half, then a header's
/// rest and a body. Their zxids follow each other, or no start would get beyond the second.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut log = FILE_HEADER.to_vec();
    let mut zxid = 1u64;
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)) % 4096;
        let (txn, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        if txn.len() < 32 {
            log.extend_from_slice(txn);
            continue;
        }
        let mut txn = txn.to_vec();
        txn[12..20].copy_from_slice(&zxid.to_be_bytes());
        zxid += 1;
        record::append(&txn, &mut log);
    }
    log
}

fn read(file: &[u8], is_last: bool) {
    let disk = MemoryDisk::default();
    let path = Path::new("/data/version-2/log.1");
    disk.put(path, file);
    let mut reader = match LogReader::open(&disk, path, MAX_RECORD) {
        Ok(reader) => reader.as_last_file(is_last),
        Err(error) => return in_words(&error),
    };
    let mut end = FILE_HEADER.len() as u64;
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert_eq!(record.offset, end, "records follow each other");
                end = record.end();
                let from = record.offset as usize;
                let whole = record::whole(&file[from..]);
                assert_eq!(whole, Some(record.txn), "only whole records are given out");
            }
            Ok(None) => break,
            Err(error) => return in_words(&error),
        }
    }
    let found = reader.end().expect("reading came to an end");
    assert_eq!(found.offset, end);
}

fn in_words(error: &LogError) {
    let sentence = error.to_string();
    assert!(sentence.contains("log.1"), "it names the file: {sentence}");
}

fn start(file: &[u8]) {
    let disk = MemoryDisk::default();
    disk.put("/data/version-2/log.1", file);
    let Some(first) = restored(&disk) else { return };
    let second = restored(&disk).expect("a start after a start");
    assert_eq!((second.0, second.1), (first.0, first.1), "the same zxid and tree");
    assert!(!second.2, "what was torn was cut off");
}

/// Last zxid, digest, and whether something was torn; `None` when the start is refused.
fn restored(disk: &MemoryDisk) -> Option<(u64, u64, bool)> {
    let options = DataDirOptions { data_dir: "/data".into(), data_log_dir: None, autocreate: true };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = DataDir::open(disk, &options).expect("a directory in memory");
    let options = RestoreOptions {
        tree: TREE,
        max_record: MAX_RECORD,
        db_autocreate: true,
        snapshot_trust_empty: true,
        force_sync: true,
    };
    match restore(&dir, &options) {
        Ok(restored) => {
            let database = &restored.database;
            Some((database.last_processed().0, database.tree.digest(), restored.torn.is_some()))
        }
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty(), "a refusal in words");
            None
        }
    }
}
