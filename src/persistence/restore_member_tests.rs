//! What a restart makes of a member's epochs, and of what it may have forgotten.

use std::sync::Arc;

use super::DataDir;
use super::disk::{Disk, RealDisk};
use super::epoch_files::{EpochFile, allow_vote};
use super::restore::{MemberRestoreOptions, MemberRestored, restore_member};
use super::restore_tests::{Home, OPTIONS, creates};
use super::snapshot::{Compression, SnapshotOptions};
use super::sync_queue::tests::StoppedClock;
use super::sync_queue::{DiskRequest, MemberFiles, SyncQueue, SyncQueueOptions};
use super::txn_log::ZeroFill;
use crate::proto::{Epoch, Ticket, Zxid};

const MEMBER: MemberRestoreOptions = MemberRestoreOptions {
    restore: OPTIONS,
    snapshot: SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None },
    commit_log_count: 500,
};

/// Epoch 2, with what a member has that was synchronized in it.
fn synchronized() -> Home {
    let home = Home::new();
    home.snapshot(&[]);
    home.log(&creates([0x1_0000_0001, 0x1_0000_0002, 0x2_0000_0001, 0x2_0000_0002]));
    write(&home, "acceptedEpoch", b"2");
    write(&home, "currentEpoch", b"2");
    home
}

fn write(home: &Home, name: &str, bytes: &[u8]) {
    remove(home, name);
    RealDisk.create_new(&home.path(name)).unwrap().write_all_at(0, bytes).unwrap();
}

fn remove(home: &Home, name: &str) {
    let path = home.path(name);
    if RealDisk.exists(&path).unwrap() {
        RealDisk.remove(&path).unwrap();
    }
}

fn read(home: &Home, name: &str) -> Option<String> {
    RealDisk.read(&home.path(name)).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

fn try_restart(home: &Home, options: &MemberRestoreOptions) -> Result<MemberRestored, String> {
    let dir: DataDir = home.open().map_err(|e| e.to_string())?;
    restore_member(&dir, options, &mut |_| ()).map_err(|e| e.to_string())
}

fn restart(home: &Home) -> MemberRestored {
    try_restart(home, &MEMBER).unwrap()
}

/// Epochs, vote and data.
fn is(member: &MemberRestored) -> (u32, u32, bool, bool) {
    (member.accepted_epoch.0, member.current_epoch.0, member.may_vote, member.has_data)
}

fn said(member: &MemberRestored, what: &str) -> bool {
    member.history.report.notices.iter().any(|notice| notice.contains(what))
}

#[test]
fn a_member_comes_back_as_it_was() {
    let home = synchronized();
    for _ in 0..2 {
        let member = restart(&home);
        assert_eq!(is(&member), (2, 2, true, true));
        assert_eq!(member.history.last_zxid, Zxid(0x2_0000_0002));
        assert!(member.history.report.notices.is_empty());
        let recent: Vec<_> = member.history.recent.iter().map(|(zxid, _)| zxid.0).collect();
        assert_eq!(recent, [0x1_0000_0001, 0x1_0000_0002, 0x2_0000_0001, 0x2_0000_0002]);
    }
}

/// C-251, C-246: a new directory, and a standalone server's, get their epoch files as Apache's server
/// makes them.
#[test]
fn a_new_member_and_one_that_was_alone_get_their_files() {
    let home = Home::new();
    assert_eq!(is(&restart(&home)), (0, 0, true, true));
    let files = (read(&home, "acceptedEpoch"), read(&home, "currentEpoch"));
    assert_eq!(files, (Some("0".to_owned()), Some("0".to_owned())));
    assert!(RealDisk.exists(&home.path("snapshot.0")).unwrap());
    assert_eq!(is(&restart(&home)), (0, 0, true, true));

    let home = Home::new();
    home.snapshot(&[]);
    home.log(&creates(1..=9));
    let member = restart(&home);
    assert_eq!((is(&member), member.history.last_zxid), ((0, 0, true, true), Zxid(9)));
}

/// C-246: an empty directory that nobody meant to be empty has no data, and no vote.
#[test]
fn nothing_at_all_is_no_data() {
    let home = Home::new();
    let mut options = MEMBER;
    options.restore.db_autocreate = false;
    for _ in 0..2 {
        let member = try_restart(&home, &options).unwrap();
        assert_eq!(is(&member), (0, 0, false, false));
        assert!(!RealDisk.exists(&home.path("snapshot.0")).unwrap());
    }
}

/// Its leader's history may be so short that it is not sent as a tree: then the log would begin
/// without a snapshot, and the next start refuse it (found by seed 310027236). With nothing but an
/// epoch, every further start would cost the vote again.
#[test]
fn who_has_taken_up_a_history_without_data_has_some() {
    let mut options = MEMBER;
    options.restore.db_autocreate = false;
    let txn = creates([0x3_0000_0001]).remove(0).into();
    let append = DiskRequest::Append { ticket: Ticket(1), zxid: Zxid(0x3_0000_0001), bytes: txn };
    let epochs = [
        DiskRequest::AcceptedEpoch { ticket: Ticket(2), epoch: Epoch(3) },
        DiskRequest::CurrentEpoch { ticket: Ticket(3), epoch: Epoch(3) },
    ];
    let (append, epochs) = (vec![append], epochs.to_vec());
    for batch in [append.clone(), epochs.clone(), [append, epochs].concat()] {
        let home = Home::new();
        assert_eq!(is(&try_restart(&home, &options).unwrap()), (0, 0, false, false));
        let mut queue = queue_of_a_member_without_data(&home, &options);
        let wants_vote = batch.len() > 1;
        queue.process(&mut batch.clone()).unwrap();
        queue.close().unwrap();
        let member = try_restart(&home, &options).unwrap();
        assert_eq!((member.has_data, member.may_vote), (true, wants_vote), "{batch:?}");
    }
}

fn queue_of_a_member_without_data(home: &Home, options: &MemberRestoreOptions) -> SyncQueue {
    let dir = Arc::new(home.open().unwrap());
    let log_dir = dir.log_dir().to_owned();
    let (sync, clock) = (SyncQueueOptions::default(), Arc::new(StoppedClock));
    let first_snapshot = Some(options.first_snapshot());
    SyncQueue::new(Arc::new(RealDisk), log_dir, Zxid::ZERO, sync, clock, Box::new(ZeroFill::run))
        .with_member_files(MemberFiles { dir, config: None, first_snapshot })
}

/// C-251, ZOOKEEPER-1653: a crash between the log and `currentEpoch` is made up for.
#[test]
fn current_epoch_follows_the_history() {
    let home = synchronized();
    write(&home, "currentEpoch", b"1");
    let member = restart(&home);
    assert_eq!(is(&member), (2, 2, true, true));
    assert!(said(&member, "is of a later epoch than currentEpoch, which is 1"));
    assert_eq!(read(&home, "currentEpoch").as_deref(), Some("2"));

    remove(&home, "currentEpoch");
    assert_eq!(is(&restart(&home)), (2, 2, true, true));
    assert_eq!(read(&home, "currentEpoch").as_deref(), Some("2"));

    // Apache's server died between the two names of the file.
    write(&home, "acceptedEpoch", b"4");
    write(&home, "currentEpoch", b"1");
    write(&home, "currentEpoch.tmp", b"4");
    assert_eq!(is(&restart(&home)), (4, 4, true, true));
    write(&home, "currentEpoch", b"1");
    write(&home, "currentEpoch.tmp", b"");
    assert_eq!(is(&restart(&home)), (4, 2, true, true), "it holds nothing that could be used");
    write(&home, "currentEpoch", b"3");
    write(&home, "currentEpoch.tmp", b"4");
    assert_eq!(is(&restart(&home)), (4, 3, true, true), "nothing is missing");
}

/// C-251: with the epoch it entered it acknowledged what that epoch's leader had, however old its last
/// transaction is (found by the simulator).
#[test]
fn a_lost_current_epoch_that_the_history_does_not_tell_is_amnesia() {
    let home = synchronized();
    write(&home, "acceptedEpoch", b"4");
    remove(&home, "currentEpoch");
    for _ in 0..2 {
        let member = restart(&home);
        assert_eq!(is(&member), (4, 2, false, true));
        assert!(said(&member, "there is no file currentEpoch, and it may have been 4"));
    }
}

/// C-251: garbage is refused, in words.
#[test]
fn an_epoch_that_is_no_number_is_refused() {
    for name in ["acceptedEpoch", "currentEpoch"] {
        let home = synchronized();
        write(&home, name, b"two");
        let words = try_restart(&home, &MEMBER).err().expect("it is refused");
        assert!(words.contains(name) && words.contains("does not hold a number"), "{words}");
    }
}

/// Who has a history and no longer knows what it promised may not vote, start after start, until it
/// was synchronized.
#[test]
fn amnesia_lasts_until_current_epoch_is_written() {
    let lost = [
        (None, "but no file acceptedEpoch"),
        (Some(b"1"), "acceptedEpoch is 1, below currentEpoch, which is 2"),
    ];
    for (accepted, why) in lost {
        let home = synchronized();
        remove(&home, "acceptedEpoch");
        if let Some(accepted) = accepted {
            write(&home, "acceptedEpoch", accepted);
        }
        let member = restart(&home);
        assert_eq!(is(&member), (2, 2, false, true));
        assert!(said(&member, why), "{:?}", member.history.report.notices);
        // It has promised a leader to follow, and died before it was synchronized.
        let dir = home.open().unwrap();
        let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
        EpochFile::Accepted.write(disk, snapshot_dir, Epoch(3)).unwrap();
        drop(dir);
        let member = restart(&home);
        assert_eq!(is(&member), (3, 2, false, true));
        assert!(said(&member, why));
    }
}

/// Found by the swarm: a leader of the same epoch has a member promise nothing anew, so it would have
/// missed the file at the next start again, and of two such members none could be elected.
#[test]
fn a_lost_promise_costs_the_vote_once() {
    for accepted in [None, Some(b"1")] {
        let home = synchronized();
        remove(&home, "acceptedEpoch");
        if let Some(accepted) = accepted {
            write(&home, "acceptedEpoch", accepted);
        }
        assert_eq!(is(&restart(&home)), (2, 2, false, true));
        let dir = home.open().unwrap();
        allow_vote(&**dir.disk(), dir.snapshot_dir()).unwrap();
        drop(dir);
        assert_eq!(is(&restart(&home)), (2, 2, true, true), "it was synchronized");
    }
}

/// In a young ensemble nothing may have been written yet, or only by a standalone server before it.
#[test]
fn a_lost_promise_over_a_history_of_epoch_0_is_amnesia() {
    let home = Home::new();
    home.log(&creates(1..=3));
    home.compressed_snapshot(&[], Compression::None);
    write(&home, "currentEpoch", b"5");
    for _ in 0..2 {
        let member = restart(&home);
        assert_eq!(is(&member), (5, 5, false, true));
        assert!(said(&member, "epoch 5 was entered, but there is no file acceptedEpoch"));
    }
}

/// C-251: a young member, whose history says nothing of epochs: it may have followed a leader of epoch 1
/// already, and would promise the same epoch to another.
#[test]
fn a_member_that_lost_both_epochs_is_told_from_a_new_one() {
    let home = Home::new();
    assert_eq!(is(&restart(&home)), (0, 0, true, true));
    for name in ["acceptedEpoch", "currentEpoch"] {
        write(&home, name, b"1");
    }
    assert_eq!(is(&restart(&home)), (1, 1, true, true));
    remove(&home, "acceptedEpoch");
    remove(&home, "currentEpoch");
    for _ in 0..2 {
        let member = restart(&home);
        assert_eq!(is(&member), (0, 0, false, true));
        assert!(said(&member, "a member's before, but there is no file acceptedEpoch"));
    }
}

/// Epochs were promised, and the data is gone: such a server must not vote as a new one.
#[test]
fn a_wiped_history_beside_its_epochs_is_amnesia() {
    let home = Home::new();
    write(&home, "acceptedEpoch", b"7");
    write(&home, "currentEpoch", b"7");
    for _ in 0..2 {
        let member = restart(&home);
        assert_eq!(is(&member), (7, 7, false, true));
        assert!(said(&member, "epoch 7 was promised, but there is no data"));
    }
}

/// C-242: rot in a member's log: the history ends before it, the file is kept, and the vote is
/// withheld.
#[test]
fn a_rotten_record_costs_the_vote_and_not_the_start() {
    let home = synchronized();
    home.log(&creates([0x2_0000_0003, 0x2_0000_0004, 0x2_0000_0005]));
    home.log(&creates([0x2_0000_0006, 0x2_0000_0007]));
    let name = "log.200000003";
    let before = RealDisk.read(&home.path(name)).unwrap();
    let record = (before.len() - 16 - 700) / 3;
    home.file(name).write_all_at((16 + record + 60) as u64, b"\xff\xff").unwrap();
    let rotten = RealDisk.read(&home.path(name)).unwrap();
    let member = restart(&home);
    assert_eq!(member.history.last_zxid, Zxid(0x2_0000_0003));
    assert_eq!(is(&member), (2, 2, false, true));
    assert!(said(&member, "this member goes back to 0x200000003"));
    assert_eq!(RealDisk.read(&home.path("zkserver.aside.rotten.log.200000003")).unwrap(), rotten);
    assert!(RealDisk.exists(&home.path("zkserver.aside.log.200000006")).unwrap());
    let member = restart(&home);
    assert_eq!((member.history.last_zxid, member.may_vote), (Zxid(0x2_0000_0003), false));
}

/// The snapshots before the rot were purged: no start could ever go back there.
#[test]
fn rot_before_all_that_is_left_costs_the_history_and_not_the_start() {
    let home = Home::new();
    let txns = creates(1..=9);
    home.log(&txns);
    home.compressed_snapshot(&txns[..5], Compression::None);
    write(&home, "acceptedEpoch", b"0");
    write(&home, "currentEpoch", b"0");
    home.file("log.1").write_all_at(16 + 60, b"\xff\xff").unwrap();
    let member = restart(&home);
    assert_eq!((member.history.last_zxid, is(&member)), (Zxid::ZERO, (0, 0, false, true)));
    assert!(said(&member, "nothing is left in front of it to go back to"));
    for name in ["zkserver.aside.log.1", "zkserver.aside.rotten.log.1", "zkserver.aside.snapshot.5"]
    {
        assert!(RealDisk.exists(&home.path(name)).unwrap(), "{name}");
    }
    assert_eq!(is(&restart(&home)), (0, 0, false, true), "and at the next start");
}

/// What is refused to a server that is alone is refused to a member too, where a vote withheld does
/// not make up for it.
#[test]
fn a_hole_and_a_log_without_its_snapshot_are_refused() {
    let home = synchronized();
    home.log(&creates([0x2_0000_0004]));
    let words = try_restart(&home, &MEMBER).err().expect("it is refused");
    assert!(words.contains("transactions are missing"), "{words}");

    let home = synchronized();
    remove(&home, "snapshot.0");
    let words = try_restart(&home, &MEMBER).err().expect("it is refused");
    assert!(words.contains("holds no snapshot"), "{words}");
}
