//! What a restart makes of the files it finds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data_dir::{DataDir, DataDirError, DataDirOptions};
use super::disk::{Disk, DiskFile, RealDisk};
use super::faulty_disk::FaultyDisk;
use super::restore::{Origin, RestoreOptions, RestoreStage, Restored, restore, restore_telling};
use super::snapshot::{Compression, SnapshotOptions, write_snapshot};
use super::txn_log::{self, record};
use crate::proto::stat::OwnerEncoding;
use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord};
use crate::proto::{SessionId, Zxid};
use crate::tree::{Database, SharedDatabase, TreeOptions};

pub(crate) const TREE: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: false, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};

pub(super) const OPTIONS: RestoreOptions = RestoreOptions {
    tree: TREE,
    max_record: 1 << 21,
    db_autocreate: true,
    snapshot_trust_empty: false,
    force_sync: true,
};

/// world:anyone, everything.
const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// A data directory that scripts write into and restart from.
pub(crate) struct Home {
    root: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Home { root: tempfile::tempdir().unwrap() };
        drop(home.open().unwrap());
        home
    }

    pub(crate) fn open(&self) -> Result<DataDir, DataDirError> {
        let data_dir = self.root.path().to_owned();
        let options = DataDirOptions { data_dir, data_log_dir: None, autocreate: true };
        DataDir::open(Arc::new(RealDisk), &options)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("version-2").join(name)
    }

    pub(crate) fn file(&self, name: &str) -> Arc<dyn DiskFile> {
        RealDisk.open_for_write(&self.path(name)).unwrap()
    }

    fn size(&self, name: &str) -> u64 {
        self.file(name).size().unwrap()
    }

    /// Writes a log of these transactions; zeros follow.
    pub(crate) fn log(&self, txns: &[Vec<u8>]) -> String {
        let mut bytes = record::FILE_HEADER.to_vec();
        txns.iter().for_each(|txn| record::append(txn, &mut bytes));
        bytes.resize(bytes.len() + 700, 0);
        let name = txn_log::file_name(zxid_of(&txns[0]));
        RealDisk.create_new(&self.path(&name)).unwrap().write_all_at(0, &bytes).unwrap();
        name
    }

    /// Writes the snapshot of the database after these transactions.
    pub(crate) fn snapshot(&self, txns: &[Vec<u8>]) -> String {
        self.compressed_snapshot(txns, Compression::None)
    }

    pub(super) fn compressed_snapshot(&self, txns: &[Vec<u8>], compression: Compression) -> String {
        let shared = SharedDatabase::new(database(txns));
        let options = SnapshotOptions { digest: true, last_zxid: true, compression };
        let dir = self.path("");
        let capture = shared.begin_snapshot();
        write_snapshot(&RealDisk, &dir, &shared, capture, options, |_| ()).unwrap().name
    }

    pub(super) fn restart(&self) -> Restored {
        self.restart_with(&OPTIONS).unwrap()
    }

    fn restart_with(&self, options: &RestoreOptions) -> Result<Restored, String> {
        let dir = self.open().map_err(|e| e.to_string())?;
        restore(&dir, options).map_err(|e| e.to_string())
    }

    fn refusal(&self) -> String {
        self.restart_with(&OPTIONS).err().expect("the start must be refused")
    }
}

fn zxid_of(txn: &[u8]) -> Zxid {
    Zxid(u64::from_be_bytes(txn[12..20].try_into().unwrap()))
}

fn encode(zxid: u64, txn_type: i32, txn: &Txn<'_>) -> Vec<u8> {
    let (client_id, time) = (SessionId(0x100_0000_0000_0001), 1000 + zxid as i64);
    let mut out = Vec::new();
    TxnHeader { client_id, cxid: 1, zxid: Zxid(zxid), time, txn_type }.write(&mut out);
    txn.write(&mut out);
    out
}

/// Creates `/n<zxid>`.
fn create(zxid: u64) -> Vec<u8> {
    let path = format!("/n{zxid:x}");
    let kind = CreateKind::Plain { ephemeral: false, with_stat: false };
    let create =
        CreateTxn { path: path.as_bytes(), data: Some(b"d"), acl: OPEN, parent_cversion: -1, kind };
    encode(zxid, 1, &Txn::Create(create))
}

pub(crate) fn creates(zxids: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    zxids.into_iter().map(create).collect()
}

pub(crate) fn database(txns: &[Vec<u8>]) -> Database {
    let mut database = Database::new(TREE);
    for txn in txns {
        database.apply(&TxnRecord::read(txn, 1 << 21).unwrap(), &mut ());
    }
    database
}

#[track_caller]
pub(super) fn assert_holds(restored: &Restored, txns: &[Vec<u8>]) {
    let expected = database(txns);
    assert_eq!(restored.database.last_processed(), expected.last_processed());
    assert_eq!(restored.database.tree.digest(), expected.tree.digest());
    assert_eq!(restored.digest_mismatches, 0);
}

fn overwrite(file: &dyn DiskFile, offset: u64, bytes: &[u8]) {
    file.write_all_at(offset, bytes).unwrap();
}

#[test]
fn an_empty_directory_is_a_new_database_or_amnesia() {
    let home = Home::new();
    let restored = home.restart();
    assert_eq!(restored.origin, Origin::New);
    assert!(restored.needs_snapshot());
    let strict = RestoreOptions { db_autocreate: false, ..OPTIONS };
    let restored = home.restart_with(&strict).unwrap();
    assert_eq!(restored.origin, Origin::Amnesia);
    assert!(!restored.needs_snapshot());
    RealDisk.create_new(&home.root.path().join("initialize")).unwrap();
    assert_eq!(home.restart_with(&strict).unwrap().origin, Origin::New);
}

#[test]
fn the_logs_are_applied_on_the_newest_snapshot_from_the_right_file_on() {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&creates(1..=3));
    home.snapshot(&creates(1..=5));
    home.log(&creates(4..=7));
    home.log(&creates(8..=9));
    let restored = home.restart();
    assert_eq!(restored.snapshot(), Some(("snapshot.5", Zxid(5))));
    assert_eq!((restored.txns_replayed, restored.log_files), (4, 2));
    assert_holds(&restored, &creates(1..=9));
    assert_eq!(restored.notices, [""; 0]);
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before_and_none_left_refuses() {
    let home = Home::new();
    let older = home.snapshot(&creates(1..=2));
    home.log(&creates(1..=4));
    let newer = home.snapshot(&creates(1..=4));
    let size = home.size(&newer);
    // Damage of each kind: in a node, in the end marker, by a cut.
    for damage in 0..3 {
        let whole = RealDisk.read(&home.path(&newer)).unwrap();
        let file = home.file(&newer);
        match damage {
            0 => overwrite(&*file, 200, &[whole[200] ^ 4]),
            1 => overwrite(&*file, size - 1, b"x"),
            _ => file.set_len(size / 2).unwrap(),
        }
        let restored = home.restart();
        assert_eq!(restored.snapshot(), Some((older.as_str(), Zxid(2))));
        assert_holds(&restored, &creates(1..=4));
        assert_eq!(restored.notices.len(), 1);
        overwrite(&*file, 0, &whole);
    }
    assert_eq!(home.restart().snapshot(), Some((newer.as_str(), Zxid(4))));
    home.file(&newer).set_len(0).unwrap();
    home.file(&older).set_len(50).unwrap();
    assert!(home.refusal().starts_with("none of the 2 snapshots in "), "{}", home.refusal());
}

/// A command is told only where it helps, and the price is the whole price.
#[test]
fn without_a_usable_snapshot_the_logs_help_only_from_the_first_on() {
    let home = Home::new();
    let log = home.log(&creates(1..=2));
    home.log(&creates(3..=4));
    let snapshot = home.snapshot(&creates(1..=2));
    home.file(&snapshot).set_len(50).unwrap();
    let refusal = home.refusal();
    assert!(refusal.contains("; the logs go back to the first transaction: "), "{refusal}");
    assert!(refusal.contains("snapshot.trust.empty=true for one start after: mkdir "), "{refusal}");
    RealDisk.remove(&home.path(&log)).unwrap();
    let refusal = home.refusal();
    let end = "the logs begin with 0x3 and are of no use without one";
    assert!(refusal.ends_with(end), "{refusal}");
    // Who moved it aside all the same is not told that what came before 0x3 would stay.
    RealDisk.remove(&home.path(&snapshot)).unwrap();
    let trusting = RestoreOptions { snapshot_trust_empty: true, ..OPTIONS };
    let refusal = home.restart_with(&trusting).err().unwrap();
    assert!(refusal.contains("or, if losing everything is acceptable: "), "{refusal}");
    RealDisk.remove(&home.path("log.3")).unwrap();
    home.snapshot(&creates(1..=2));
    home.file("snapshot.2").set_len(50).unwrap();
    assert!(home.refusal().ends_with("; restore a snapshot from a backup; there is no log either"));
}

#[test]
fn no_byte_of_a_snapshot_may_change_and_no_cut_passes() {
    let home = Home::new();
    let name = home.snapshot(&creates(1..=2));
    let whole = RealDisk.read(&home.path(&name)).unwrap();
    let file = home.file(&name);
    for at in 0..whole.len() {
        // Version and database id are nobody's business, but they are under the seal.
        overwrite(&*file, at as u64, &[whole[at] ^ 0x10]);
        assert!(home.restart_with(&OPTIONS).is_err(), "byte {at} changed unseen");
        overwrite(&*file, at as u64, &whole[at..=at]);
    }
    for cut in 0..whole.len() {
        file.set_len(cut as u64).unwrap();
        // After the first and second seal a snapshot of an older version would end.
        let complete = [whole.len() - 21, whole.len() - 21 - 33].contains(&cut);
        assert_eq!(home.restart_with(&OPTIONS).is_ok(), complete, "cut at {cut}");
        overwrite(&*file, 0, &whole);
    }
}

#[test]
fn the_newest_whole_snapshot_counts_however_it_is_compressed() {
    for (compression, suffix) in [(Compression::Gzip, "gz"), (Compression::Snappy, "snappy")] {
        let home = Home::new();
        let older = home.snapshot(&creates(1..=2));
        home.log(&creates(1..=400));
        let newer = home.compressed_snapshot(&creates(1..=300), compression);
        assert_eq!(newer, format!("snapshot.12c.{suffix}"));
        let restored = home.restart();
        assert_eq!(restored.snapshot(), Some((newer.as_str(), Zxid(300))));
        assert_eq!((restored.txns_replayed, restored.notices.len()), (100, 0));
        assert_holds(&restored, &creates(1..=400));
        // No cut is taken for the whole, and no changed byte changes the tree.
        let whole = RealDisk.read(&home.path(&newer)).unwrap();
        assert!(whole.len() > 1000, "{}", whole.len());
        let file = home.file(&newer);
        for at in (0..whole.len()).step_by(61) {
            file.set_len(at as u64).unwrap();
            let restored = home.restart();
            assert_eq!(restored.snapshot(), Some((older.as_str(), Zxid(2))), "{suffix} at {at}");
            assert_holds(&restored, &creates(1..=400));
            overwrite(&*file, 0, &whole);
            overwrite(&*file, at as u64, &[whole[at] ^ 4]);
            assert_holds(&home.restart(), &creates(1..=400));
            overwrite(&*file, 0, &whole);
        }
        assert_eq!(home.restart().snapshot(), Some((newer.as_str(), Zxid(300))));
    }
}

#[test]
fn a_bomb_is_damage_before_it_unfolds() {
    use std::io::Write as _;
    let home = Home::new();
    let older = home.snapshot(&creates(1..=2));
    home.log(&creates(1..=4));
    // The path of the first node is as long as the sessions and lists before it allow; two
    // thousand million bytes of it follow, in two megabytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0").unwrap();
    bomb.write_all(&[0x7f, 0xff, 0xff, 0xff]).unwrap();
    for _ in 0..64 {
        bomb.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    let bytes = bomb.finish().unwrap();
    assert!(bytes.len() < 1 << 18);
    let file = RealDisk.create_new(&home.path("snapshot.4.gz")).unwrap();
    overwrite(&*file, 0, &bytes);
    let restored = home.restart();
    assert_eq!(restored.snapshot(), Some((older.as_str(), Zxid(2))));
    let notice = &restored.notices[0];
    assert!(notice.contains("snapshot.4.gz is damaged at offset 24: "), "{notice}");
    assert_holds(&restored, &creates(1..=4));
}

#[test]
fn logs_without_a_snapshot_need_the_operators_word() {
    let home = Home::new();
    home.log(&creates(1..=3));
    assert!(home.refusal().contains("snapshot.trust.empty=true"), "{}", home.refusal());
    let trusting = RestoreOptions { snapshot_trust_empty: true, ..OPTIONS };
    let restored = home.restart_with(&trusting).unwrap();
    assert_eq!(restored.origin, Origin::TrustedEmpty);
    assert!(restored.needs_snapshot());
    assert_holds(&restored, &creates(1..=3));
}

#[test]
fn a_torn_tail_is_cut_off_the_last_log_once() {
    let home = Home::new();
    home.snapshot(&[]);
    let name = home.log(&creates(1..=3));
    let third = home.size(&name) - 700 - (create(3).len() + record::OVERHEAD) as u64;
    home.file(&name).set_len(third + 20).unwrap();
    let restored = home.restart();
    let torn = restored.torn.as_ref().expect("the third record is torn");
    assert_eq!(torn.offset, third);
    assert!(torn.to_string().ends_with("the file ends inside a record"));
    assert_holds(&restored, &creates(1..=2));
    assert_eq!(home.size(&name), third);
    assert_eq!(home.restart().torn, None);
}

#[test]
fn a_lost_sector_before_a_whole_record_is_torn_in_the_last_log_that_holds_records_only() {
    let home = Home::new();
    home.snapshot(&[]);
    let name = home.log(&creates(1..=20));
    let per_record = (create(3).len() + record::OVERHEAD) as u64;
    let torn = 16 + per_record * ((512 - 16) / per_record);
    overwrite(&*home.file(&name), 512, &[0; 512]);
    let damaged = RealDisk.read(&home.path(&name)).unwrap();
    let refused = home.log(&creates(21..=22));
    assert!(home.refusal().contains(" is damaged at offset "), "{}", home.refusal());
    RealDisk.remove(&home.path(&refused)).unwrap();
    // One that was created, and whose first record never was durable.
    let empty = RealDisk.create_new(&home.path("log.15")).unwrap();
    overwrite(&*empty, 0, &[&record::FILE_HEADER[..], &[0; 5000]].concat());
    assert_eq!(RealDisk.read(&home.path(&name)).unwrap(), damaged, "a refusal changes nothing");
    let restored = home.restart();
    let zxids = (512 - 16) / per_record;
    assert_holds(&restored, &creates(1..=zxids));
    assert_eq!(restored.torn.unwrap().offset, torn);
    assert_eq!(home.size(&name), torn);
    assert!(!home.path("log.15").exists(), "it would hide what the next log holds behind 0x15");
}

#[test]
fn an_earlier_torn_tail_is_left_alone_and_one_that_was_promised_is_a_hole() {
    let home = Home::new();
    home.snapshot(&[]);
    let name = home.log(&creates(1..=3));
    let whole = home.size(&name) - 700;
    home.file(&name).set_len(whole - 1).unwrap();
    // Apache's server went on after its torn record.
    let later = home.log(&creates(3..=4));
    let restored = home.restart();
    assert_holds(&restored, &creates(1..=4));
    assert_eq!((restored.torn, restored.notices.len()), (None, 1));
    assert!(restored.notices[0].contains("; it is left there"), "{}", restored.notices[0]);
    assert_eq!(home.size(&name), whole - 1);
    // Here the record was acknowledged: the next file continues behind it.
    RealDisk.remove(&home.path(&later)).unwrap();
    home.log(&creates(4..=5));
    let refusal = home.refusal();
    assert!(
        refusal.contains("continues at offset 16 with 0x4, but the last one before is 0x2"),
        "{refusal}"
    );
}

#[test]
fn the_name_of_a_snapshot_shows_that_its_zxid_was_reached() {
    let home = Home::new();
    home.snapshot(&creates(1..=2));
    home.log(&creates(1..=4));
    let newer = home.snapshot(&creates(1..=6));
    home.file(&newer).set_len(0).unwrap();
    let refusal = home.refusal();
    assert!(
        refusal.contains("snapshot.6 shows that the data went up to 0x6, but with the logs in "),
        "{refusal}"
    );
    assert!(refusal.contains(" it ends at 0x4; restore "), "{refusal}");
    // What was noticed on the way is the cause, and comes with it.
    let refused = restore(&home.open().unwrap(), &OPTIONS).err().unwrap();
    assert_eq!(refused.notices.len(), 1);
    assert!(refused.notices[0].contains("snapshot.6 was not written to its end"));
    home.log(&creates(5..=6));
    assert_holds(&home.restart(), &creates(1..=6));
}

#[test]
fn a_snapshot_that_ends_below_its_name_is_damaged() {
    let home = Home::new();
    home.snapshot(&creates(1..=2));
    home.log(&creates(1..=4));
    let misnamed = home.snapshot(&creates(1..=3));
    RealDisk.rename(&home.path(&misnamed), &home.path("snapshot.4")).unwrap();
    let restored = home.restart();
    assert_eq!(restored.snapshot(), Some(("snapshot.2", Zxid(2))));
    assert_eq!(restored.notices.len(), 1);
    assert!(restored.notices[0].contains("snapshot.4 is damaged: it says that it ends with 0x3"));
    assert_holds(&restored, &creates(1..=4));
}

#[test]
fn no_log_at_all_behind_a_snapshot_is_said_aloud() {
    let home = Home::new();
    home.snapshot(&[]);
    assert_eq!(home.restart().notices, [""; 0], "a new database has none");
    home.snapshot(&creates(1..=2));
    let restored = home.restart();
    assert!(restored.notices[0].starts_with("there is no log at all in "));
    home.log(&creates(1..=2));
    assert_eq!(home.restart().notices, [""; 0]);
}

#[test]
fn without_force_sync_a_refusal_names_it_as_a_possible_cause() {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&creates(2..=3));
    assert!(!home.refusal().contains("forceSync"));
    let unsynced = RestoreOptions { force_sync: false, ..OPTIONS };
    let refusal = home.restart_with(&unsynced).err().unwrap();
    assert!(refusal.starts_with("transactions are missing: "), "{refusal}");
    assert!(refusal.contains("(forceSync=no is configured: "), "{refusal}");
}

#[test]
fn trust_is_recommended_only_where_it_helps() {
    let home = Home::new();
    home.log(&creates(5..=6));
    let refusal = home.refusal();
    assert!(refusal.contains("the logs begin with 0x5"), "{refusal}");
    assert!(!refusal.contains("snapshot.trust.empty"), "{refusal}");
}

#[test]
fn an_epoch_begins_with_one() {
    let home = Home::new();
    home.snapshot(&creates([1]));
    home.log(&creates([0x1_0000_0001, 0x1_0000_0002, 0x3_0000_0001]));
    assert_holds(&home.restart(), &creates([1, 0x1_0000_0001, 0x1_0000_0002, 0x3_0000_0001]));
    home.log(&creates([0x4_0000_0002]));
    assert!(home.refusal().starts_with("transactions are missing: "));
}

#[test]
fn the_counter_of_a_lone_server_steps_into_the_next_epoch() {
    let home = Home::new();
    home.snapshot(&creates([0xffff_fffd]));
    let txns = [0xffff_fffe, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001];
    home.log(&creates(txns));
    assert_holds(&home.restart(), &creates([0xffff_fffd].into_iter().chain(txns)));
}

#[test]
fn rot_refuses_with_path_offset_and_reason() {
    let home = Home::new();
    home.snapshot(&[]);
    let name = home.log(&creates(1..=3));
    overwrite(&*home.file(&name), 16 + 12 + 33, b"~");
    let refusal = home.refusal();
    assert!(
        refusal.contains("log.1 is damaged at offset 16: a record's checksum is wrong"),
        "{refusal}"
    );
    // What the sentence says to do is done, and works.
    let path = home.path(&name);
    let advice = format!("zkserver log chop --in-place {} 0x", path.display());
    assert!(refusal.contains("everything from 0x1 on") && refusal.contains(&advice), "{refusal}");
    home.file(&name).set_len(16).unwrap();
    assert_holds(&home.restart(), &[]);
}

#[test]
fn a_zxid_that_comes_again_is_skipped() {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&[create(1), create(2), encode(2, -1, &Txn::Error { err: -5 }), create(3)]);
    let restored = home.restart();
    assert_holds(&restored, &creates(1..=3));
    assert_eq!(restored.notices.len(), 1, "{:?}", restored.notices);
}

#[test]
fn an_unknown_transaction_refuses() {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&[create(1), encode(2, 77, &Txn::Error { err: 0 })]);
    assert!(home.refusal().contains("cannot be read: unknown tag 77; "), "{}", home.refusal());
}

#[test]
fn a_last_log_without_a_header_is_removed_and_an_earlier_one_refuses() {
    for content in [&b""[..], b"ZKLG\0\0"] {
        let home = Home::new();
        home.snapshot(&[]);
        home.log(&creates(1..=3));
        let last = RealDisk.create_new(&home.path("log.4")).unwrap();
        overwrite(&*last, 0, content);
        assert_holds(&home.restart(), &creates(1..=3));
        assert!(!home.path("log.4").exists());
        let middle = RealDisk.create_new(&home.path("log.2")).unwrap();
        overwrite(&*middle, 0, content);
        home.log(&creates(4..=5));
        assert!(home.refusal().contains("log.2 of "), "{}", home.refusal());
    }
    let home = Home::new();
    home.snapshot(&[]);
    overwrite(&*RealDisk.create_new(&home.path("log.1")).unwrap(), 0, &[7; 100]);
    assert!(home.refusal().contains("does not begin with ZKLG; "), "{}", home.refusal());
}

#[test]
fn ttl_nodes_refuse_while_extended_types_are_off() {
    let ttl = |zxid| {
        let kind = CreateKind::Ttl(5000);
        let create = CreateTxn { path: b"/t", data: None, acl: OPEN, parent_cversion: 1, kind };
        encode(zxid, 21, &Txn::Create(create))
    };
    let owners = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
    let extended = RestoreOptions { tree: TreeOptions { owners, ..TREE }, ..OPTIONS };
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&[ttl(1)]);
    assert!(home.refusal().starts_with("/t is a TTL node"), "{}", home.refusal());
    let restored = home.restart_with(&extended).unwrap();
    let shared = SharedDatabase::new(restored.database);
    let compression = Compression::None;
    let options = SnapshotOptions { digest: false, last_zxid: false, compression };
    let capture = shared.begin_snapshot();
    write_snapshot(&RealDisk, &home.path(""), &shared, capture, options, |_| ()).unwrap();
    assert!(home.refusal().starts_with("/t is a TTL node"), "{}", home.refusal());
    assert_eq!(home.restart_with(&extended).unwrap().snapshot(), Some(("snapshot.1", Zxid(1))));
}

#[test]
fn progress_is_told_by_the_mebibyte_and_never_by_the_record() {
    let home = Home::new();
    let txns = creates(1..=60_000);
    let snapshot = home.compressed_snapshot(&txns[..20_000], Compression::None);
    let log = home.log(&txns[10_000..30_000]);
    home.log(&txns[30_000..]);
    let mut stages = Vec::new();
    restore_telling(&home.open().unwrap(), &OPTIONS, &mut |stage| {
        if let RestoreStage::Reading { file, done, total, txns } = stage {
            assert!(done <= total);
            stages.push((file.to_owned(), done, txns));
        }
    })
    .unwrap();
    let of = |file: &str| stages.iter().filter(|stage| stage.0 == file).count() as u64;
    let mib = |file: &str| home.size(file) >> 20;
    assert!(of(&snapshot) >= mib(&snapshot) && of(&log) == mib(&log) && mib(&log) > 0);
    assert!(stages.len() < 20, "{stages:?}");
    assert!(stages.is_sorted_by_key(|stage| stage.2));
    let logs: Vec<_> = stages.iter().filter(|stage| stage.0.starts_with("log.")).collect();
    assert!(logs.is_sorted_by_key(|stage| stage.1) && logs.last().unwrap().2 > 30_000);
}

#[test]
fn what_is_served_is_written_once_more_and_synced() {
    let home = Home::new();
    home.snapshot(&[]);
    let log = home.log(&creates(1..=3));
    let before = RealDisk.read(&home.path(&log)).unwrap();
    let data_dir = home.root.path().to_owned();
    let options = DataDirOptions { data_dir, data_log_dir: None, autocreate: true };
    let disk = FaultyDisk::new();
    let dir = DataDir::open(Arc::new(disk.clone()), &options).unwrap();
    disk.fail_syncs_after(0);
    let refusal = restore(&dir, &OPTIONS).err().expect("a disk that cannot sync").to_string();
    assert!(refusal.starts_with("cannot sync ") && refusal.contains("log.1"), "{refusal}");
    let unsynced = RestoreOptions { force_sync: false, ..OPTIONS };
    assert!(restore(&dir, &unsynced).is_ok(), "nobody asked for it");
    disk.fail_syncs_after(i64::MAX);
    disk.fail_writes_after(0);
    assert!(
        restore(&dir, &OPTIONS).is_err(),
        "it is written, for the system may take it as synced"
    );
    disk.fail_writes_after(i64::MAX);
    assert_holds(&restore(&dir, &OPTIONS).unwrap(), &creates(1..=3));
    assert_eq!(disk.dirs_synced().last(), Some(&home.path("")));
    let records = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(records < before.len(), "zeros were made ahead");
    let served = RealDisk.read(&home.path(&log)).unwrap();
    assert!(served == before[..records], "byte for byte, and without the zeros");
}

#[test]
fn a_file_that_cannot_be_read_is_never_taken_for_absent() {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&creates(1..=3));
    std::os::unix::fs::symlink(Path::new("/nowhere"), home.path("log.4")).unwrap();
    assert!(
        home.refusal().ends_with("log.4: it is a link to /nowhere, which is not there"),
        "{}",
        home.refusal()
    );
}
