//! What a purge leaves is enough, whatever the directory looks like.

use std::collections::BTreeSet;

use super::data_dir::DataDir;
use super::disk::{Disk, RealDisk, links};
use super::ledger::Ledger;
use super::purge::{Purged, purge, reclaim, superfluous};
use super::restore_tests::{Home, assert_holds, creates};
use super::snapshot::{Compression, SnapshotFile};
use crate::proto::Zxid;

/// Numbers that a seed decides.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// A directory with the history 1 to `last` in logs and snapshots that chance cuts, some snapshots
/// damaged; the zxids of the whole ones.
fn random_home(chance: &mut Chance) -> (Home, u64, BTreeSet<u64>) {
    let home = Home::new();
    let last = 20 + chance.below(60);
    let mut first = 1;
    while first <= last {
        let end = (first + chance.below(15)).min(last);
        home.log(&creates(first..=end));
        first = end + 1;
    }
    let mut whole = BTreeSet::from([0]);
    let mut snapshots = BTreeSet::from([0]);
    home.compressed_snapshot(&[], Compression::None);
    for _ in 0..1 + chance.below(9) {
        let zxid = 1 + chance.below(last);
        if !snapshots.insert(zxid) {
            continue;
        }
        let kinds = [Compression::None, Compression::Gzip, Compression::Snappy];
        let kind = kinds[chance.below(3) as usize];
        let name = home.compressed_snapshot(&creates(1..=zxid), kind);
        if chance.below(4) == 0 {
            let file = home.file(&name);
            file.set_len(chance.below(file.size().unwrap())).unwrap();
        } else {
            whole.insert(zxid);
        }
    }
    (home, last, whole)
}

fn names(dir: &DataDir) -> (Vec<SnapshotFile>, Vec<Zxid>) {
    let logs = dir.logs().unwrap().into_iter().map(|log| log.first).collect();
    (dir.snapshots().unwrap(), logs)
}

/// Starts from each snapshot that is left, newest first, by taking away those before it; the tree
/// must be the whole one each time. Answers how many there were.
fn start_from_each(home: &Home, last: u64, whole: &BTreeSet<u64>) -> usize {
    let mut starts = 0;
    let snapshots = home.open().unwrap().snapshots().unwrap();
    for file in snapshots.iter().rev() {
        if whole.contains(&file.zxid.0) {
            let restored = home.restart();
            assert_eq!(restored.snapshot(), Some((file.name.as_str(), file.zxid)));
            assert_holds(&restored, &creates(1..=last));
            starts += 1;
        }
        RealDisk.remove(&home.path(&file.name)).unwrap();
    }
    starts
}

/// C-256: after a purge of any directory the tree is what it was, from every snapshot kept.
#[test]
fn from_every_kept_snapshot_the_tree_is_what_it_was() {
    let mut removed = Purged::default();
    for seed in 0..150 {
        let mut chance = Chance(seed);
        let (home, last, whole) = random_home(&mut chance);
        let retain = 1 + chance.below(4) as usize;
        let dir = home.open().unwrap();
        let before = names(&dir);
        let ledger = Ledger::open(&dir).unwrap();
        let purged = purge(&dir, &ledger, retain, false).unwrap();
        let (snapshots, logs) = names(&dir);
        drop(dir);
        if whole.len() < retain {
            assert_eq!((snapshots, logs), before, "seed {seed}: too few to remove any");
            assert_eq!(purged, Purged::default());
            continue;
        }
        let oldest = *whole.iter().rev().nth(retain - 1).unwrap();
        assert_eq!(snapshots[0].zxid.0, oldest, "seed {seed}");
        assert!(logs[1..].iter().all(|first| first.0 > oldest), "seed {seed}: one log too many");
        let gone = (before.0.len() - snapshots.len(), before.1.len() - logs.len());
        assert_eq!((purged.snapshots, purged.logs), gone);
        removed.snapshots += purged.snapshots;
        removed.logs += purged.logs;
        assert_eq!(start_from_each(&home, last, &whole), retain, "seed {seed}");
    }
    assert!(removed.snapshots > 100 && removed.logs > 100, "{removed:?}");
}

/// C-256: a purge that ends anywhere leaves no snapshot without the logs it needs.
#[test]
fn a_purge_that_ends_half_way_leaves_no_snapshot_without_its_logs() {
    let mut cuts = 0;
    for seed in 0..60 {
        let mut chance = Chance(1000 + seed);
        let (home, last, whole) = random_home(&mut chance);
        let dir = home.open().unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        let (snapshots, logs) = superfluous(&dir, &ledger, 2).unwrap();
        let order: Vec<_> = snapshots
            .iter()
            .map(|file| &file.name)
            .chain(logs.iter().map(|file| &file.name))
            .collect();
        drop(dir);
        if order.is_empty() {
            continue;
        }
        cuts += 1;
        for name in &order[..chance.below(order.len() as u64) as usize] {
            RealDisk.remove(&home.path(name)).unwrap();
        }
        assert!(start_from_each(&home, last, &whole) >= 2, "seed {seed}");
    }
    assert!(cuts > 20);
}

#[test]
fn unasked_only_our_own_files_go() {
    let home = Home::new();
    // Somebody else's history.
    home.compressed_snapshot(&[], Compression::None);
    home.log(&creates(1..=5));
    home.compressed_snapshot(&creates(1..=5), Compression::None);
    let dir = home.open().unwrap();
    let mut ledger = Ledger::open(&dir).unwrap();
    for n in 1..=5 {
        home.log(&creates(n * 5 + 1..=n * 5 + 5));
        home.compressed_snapshot(&creates(1..=n * 5 + 5), Compression::None);
    }
    ledger.update(&RealDisk, Zxid(30)).unwrap();
    drop(dir);
    // Also after a restart.
    let dir = home.open().unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let purged = purge(&dir, &ledger, 3, true).unwrap();
    assert_eq!((purged.snapshots, purged.logs), (2, 2));
    let left = |dir: &DataDir| {
        let (snapshots, logs) = names(dir);
        let snapshots: Vec<_> = snapshots.iter().map(|file| file.zxid.0).collect();
        (snapshots, logs.iter().map(|first| first.0).collect::<Vec<_>>())
    };
    assert_eq!(left(&dir), (vec![0, 5, 20, 25, 30], vec![1, 16, 21, 26]));
    assert_eq!(purge(&dir, &ledger, 3, true).unwrap(), Purged::default());
    // Asked for, theirs go as well.
    purge(&dir, &ledger, 3, false).unwrap();
    assert_eq!(left(&dir), (vec![20, 25, 30], vec![16, 21, 26]));
    drop(dir);
    assert_holds(&home.restart(), &creates(1..=30));
}

/// One bit of the newest snapshot changed: the start told of it, so it is none of those kept.
#[test]
fn a_snapshot_that_the_start_found_damaged_is_not_one_of_those_kept() {
    let home = Home::new();
    let mut ledger = Ledger::open(&home.open().unwrap()).unwrap();
    home.log(&creates(1..=20));
    let names: Vec<_> = [5, 10, 15, 20]
        .map(|zxid| home.compressed_snapshot(&creates(1..=zxid), Compression::None))
        .into();
    let newest = home.file(&names[3]);
    let mut byte = [0];
    newest.read_at(100, &mut byte).unwrap();
    newest.write_all_at(100, &[byte[0] ^ 1]).unwrap();
    let restored = home.restart();
    assert_eq!(restored.snapshot(), Some((names[2].as_str(), Zxid(15))));
    ledger.note_damaged(restored.damaged_snapshots);
    let dir = home.open().unwrap();
    assert_eq!(
        purge(&dir, &ledger, 3, true).unwrap(),
        Purged::default(),
        "three whole ones are left"
    );
    assert_eq!(purge(&dir, &ledger, 2, true).unwrap().snapshots, 1);
    // It is written anew, and counts again.
    ledger.announce_snapshot(&RealDisk, names[3].clone()).unwrap();
    assert_eq!(purge(&dir, &ledger, 2, true).unwrap().snapshots, 1);
    assert_eq!(dir.snapshots().unwrap().len(), 2);
}

/// A removed file is given back in pieces; one that has a second name keeps its bytes under that.
#[test]
fn a_backup_by_hard_link_outlives_the_purge_and_the_room_comes_back_in_pieces() {
    let home = Home::new();
    for first in 1..=4 {
        home.log(&creates(first..=first));
        home.compressed_snapshot(&creates(1..=first), Compression::None);
    }
    let big = home.file("snapshot.1");
    big.set_len((10 << 20) + 100).unwrap();
    let backup = home.path("backup");
    links::hard(&home.path("snapshot.2"), &backup).unwrap();
    let saved = RealDisk.read(&backup).unwrap();
    let elsewhere = home.path("elsewhere");
    RealDisk.rename(&home.path("log.1"), &elsewhere).unwrap();
    links::symbolic(&elsewhere, &home.path("log.1")).unwrap();
    let moved = RealDisk.read(&elsewhere).unwrap();

    let dir = home.open().unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let purged = purge(&dir, &ledger, 1, false).unwrap();
    assert_eq!((purged.snapshots, purged.logs), (3, 3), "{purged:?}");
    assert_eq!(names(&dir).0.len(), 1, "the names are gone at once");
    let mut sizes = Vec::new();
    reclaim(&dir, || sizes.push(big.size().unwrap())).unwrap();
    sizes.retain(|size| *size > 0 && *size < (10 << 20) + 100);
    sizes.dedup();
    let pieces: Vec<_> = (1..20).rev().map(|n| n * (512 << 10)).collect();
    assert_eq!(sizes, [vec![10 << 20], pieces].concat(), "in whole blocks");
    assert_eq!(RealDisk.read(&backup).unwrap(), saved);
    assert_eq!(RealDisk.read(&elsewhere).unwrap(), moved);
    let left = RealDisk.list(dir.snapshot_dir()).unwrap();
    assert!(!left.iter().any(|entry| entry.name.starts_with("zkserver.removed")), "{left:?}");
}

/// A log that is read for a learner stays, with all behind it, until the reader lets go.
#[test]
fn a_pinned_log_stays() {
    let home = Home::new();
    for first in 1..=6 {
        home.log(&creates(first..=first));
        home.compressed_snapshot(&creates(1..=first), Compression::None);
    }
    let dir = home.open().unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let pin = dir.pins().pin(Zxid(3));
    let purged = purge(&dir, &ledger, 1, false).unwrap();
    assert_eq!((purged.snapshots, purged.logs), (5, 2));
    assert_eq!(names(&dir).1, [Zxid(3), Zxid(4), Zxid(5), Zxid(6)]);
    drop(pin);
    purge(&dir, &ledger, 1, false).unwrap();
    assert_eq!(names(&dir).1, [Zxid(6)]);
}
