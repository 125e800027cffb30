//! One member's files are lost or damaged while the others hold a quorum: it joins again, and forgets nothing that was
//! acknowledged.

use std::path::Path;

use crate::cluster::{Ensemble, Member};
use crate::common::server::copy_files;
use crate::crowd::Crowd;
use crate::roads::Id;

/// What happens to a member's files while its process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Everything but `myid`.
    AllDeleted,
    /// The newest snapshot, if there is an older one.
    SnapshotMissing,
    /// `acceptedEpoch`.
    AcceptedEpochDeleted,
    /// `currentEpoch`.
    CurrentEpochDeleted,
    /// Both.
    EpochsDeleted,
    /// The last log ends inside a record.
    TornTail,
    /// Behind the last log's records lies what was never written.
    Garbage,
    /// A bit of the last log's first record is not what was written.
    Rot,
}

pub const ALL: [Damage; 8] = [
    Damage::AllDeleted,
    Damage::SnapshotMissing,
    Damage::AcceptedEpochDeleted,
    Damage::CurrentEpochDeleted,
    Damage::EpochsDeleted,
    Damage::TornTail,
    Damage::Garbage,
    Damage::Rot,
];

impl Damage {
    /// Does it to a member without a process; false if it has not what is to be damaged: a log, or a
    /// snapshot beside another.
    pub fn strike(self, member: &Member) -> bool {
        let dir = member.version_dir();
        match self {
            Damage::AllDeleted => std::fs::remove_dir_all(&dir).expect("version-2"),
            Damage::SnapshotMissing => match &member.files("snapshot")[..] {
                [.., _, newest] => std::fs::remove_file(newest).expect("a snapshot"),
                _ => return false,
            },
            Damage::AcceptedEpochDeleted => remove(&dir.join("acceptedEpoch")),
            Damage::CurrentEpochDeleted => remove(&dir.join("currentEpoch")),
            Damage::EpochsDeleted => {
                remove(&dir.join("acceptedEpoch"));
                remove(&dir.join("currentEpoch"));
            }
            Damage::TornTail => return shorten(member, 7),
            Damage::Garbage => return shorten(member, 0),
            Damage::Rot => return rot(member),
        }
        true
    }
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("who has served has both epoch files");
}

/// Cuts so many bytes off the last record of the last log, and writes a few that are none.
fn shorten(member: &Member, bytes: usize) -> bool {
    let logs = member.files("log");
    let Some(path) = logs.last() else { return false };
    let mut data = std::fs::read(path).expect("a log");
    let end = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    data.truncate(end.saturating_sub(bytes).max(16));
    if bytes == 0 {
        data.extend_from_slice(&[0, 0, 0, 0, 0x5a, 0x5a, 0x5a, 0x5a, 0, 0, 0, 99, 1, 2, 3]);
    }
    std::fs::write(path, data).expect("a log");
    true
}

/// Turns a bit of the last log's first record, if it has one.
fn rot(member: &Member) -> bool {
    const FILE_HEADER: usize = 16;
    const CHECKSUM_AND_LENGTH: usize = 8 + 4;
    let logs = member.files("log");
    let Some(path) = logs.last() else { return false };
    let mut data = std::fs::read(path).expect("a log");
    let first = FILE_HEADER + CHECKSUM_AND_LENGTH;
    if data.iter().skip(FILE_HEADER).take(CHECKSUM_AND_LENGTH).all(|byte| *byte == 0) {
        return false;
    }
    let Some(byte) = data.get_mut(first) else { return false };
    *byte ^= 0x10;
    std::fs::write(path, data).expect("a log");
    true
}

fn one_member_is_struck(damage: Damage, leader_too: bool, seed: u64) -> Ensemble {
    let mut ensemble = Ensemble::start(3, 0, &[("snapCount", "150")]);
    let mut crowd = Crowd::start(&ensemble, 4, seed);
    crowd.goes_on(60);
    let follower = ensemble.follower();
    let mut struck: Vec<Id> = vec![follower];
    if leader_too {
        struck.push(ensemble.leader());
    }
    for id in struck {
        crowd.fault(format!("{damage:?} of {id}"));
        ensemble.member(id).kill();
        // Its quorum goes on without it, so nothing that it knew is known to it alone.
        ensemble.leader();
        crowd.goes_on(20);
        assert!(damage.strike(&ensemble.members[&id]), "{damage:?} of {id}");
        ensemble.member(id).start();
        ensemble.leader();
        crowd.goes_on(20);
    }
    crowd.judge(&mut ensemble);
    ensemble
}

#[test]
fn the_data_is_deleted() {
    one_member_is_struck(Damage::AllDeleted, true, 30);
}

#[test]
fn a_snapshot_is_missing() {
    one_member_is_struck(Damage::SnapshotMissing, true, 31);
}

/// Logs without any snapshot are no history (ZOOKEEPER-2325): the member refuses to start and says so.
/// Without its directory it joins as a new one.
#[test]
fn all_snapshots_are_missing() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 37);
    crowd.goes_on(30);
    let id = ensemble.follower();
    crowd.fault(format!("all snapshots of {id} are lost"));
    ensemble.member(id).kill();
    for path in ensemble.members[&id].files("snapshot") {
        std::fs::remove_file(path).expect("a snapshot");
    }
    ensemble.member(id).start();
    let status = crate::common::eventually("the member ends", || ensemble.member(id).ended());
    assert_eq!(status.code(), Some(1));
    ensemble.member(id).kill();
    crowd.goes_on(20);
    assert!(Damage::AllDeleted.strike(&ensemble.members[&id]));
    ensemble.member(id).start();
    ensemble.leader();
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}

#[test]
fn the_accepted_epoch_is_deleted() {
    one_member_is_struck(Damage::AcceptedEpochDeleted, true, 32);
}

#[test]
fn the_current_epoch_is_deleted() {
    one_member_is_struck(Damage::CurrentEpochDeleted, true, 33);
}

#[test]
fn both_epochs_are_deleted() {
    one_member_is_struck(Damage::EpochsDeleted, true, 38);
}

/// As many as may be gone, at once, and the leader among them.
#[test]
fn both_epochs_of_two_of_five_are_deleted() {
    let mut ensemble = Ensemble::start(5, 0, &[("snapCount", "150")]);
    let mut crowd = Crowd::start(&ensemble, 4, 39);
    crowd.goes_on(30);
    let struck = [ensemble.follower(), ensemble.leader()];
    crowd.fault(format!("both epochs of {struck:?} are lost"));
    struck.iter().for_each(|id| ensemble.member(*id).kill());
    ensemble.leader();
    crowd.goes_on(20);
    for id in struck {
        assert!(Damage::EpochsDeleted.strike(&ensemble.members[&id]));
        ensemble.member(id).start();
    }
    ensemble.leader();
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}

/// On servers that have been elected and have logged nothing yet: there is no zxid that shows that
/// epochs have been.
#[test]
fn both_epochs_are_deleted_on_a_young_server() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    for id in [ensemble.follower(), ensemble.leader()] {
        ensemble.member(id).kill();
        ensemble.leader();
        assert!(Damage::EpochsDeleted.strike(&ensemble.members[&id]));
        ensemble.member(id).start();
        ensemble.leader();
    }
    let crowd = Crowd::start(&ensemble, 4, 41);
    crowd.goes_on(30);
    crowd.judge(&mut ensemble);
}

#[test]
fn the_logs_tail_is_torn() {
    one_member_is_struck(Damage::TornTail, true, 34);
}

#[test]
fn the_log_ends_in_garbage() {
    one_member_is_struck(Damage::Garbage, true, 35);
}

/// What is behind it was acknowledged: the member keeps the file, and has no vote until it has been
/// given it again.
#[test]
fn the_log_is_rotten() {
    let ensemble = one_member_is_struck(Damage::Rot, true, 42);
    let aside = |member: &&Member| member.log().contains("it joins without a vote");
    assert_eq!(ensemble.members.values().filter(aside).count(), 2);
}

/// A directory as it was a while ago takes the place of the present one: epochs, logs, snapshots.
#[test]
fn an_old_backup_is_restored() {
    let mut ensemble = Ensemble::start(3, 0, &[("snapCount", "150")]);
    let mut crowd = Crowd::start(&ensemble, 4, 36);
    crowd.goes_on(30);
    let id = ensemble.follower();
    let backup = tempfile::tempdir().expect("a temporary directory");
    ensemble.member(id).kill();
    copy_files(&ensemble.members[&id].version_dir(), backup.path());
    ensemble.member(id).start();
    let leader = ensemble.leader();
    crowd.goes_on(60);
    // Another epoch, so that the backup's is the last but one.
    crowd.fault(format!("kill -9 of the leader {leader}"));
    ensemble.member(leader).kill();
    ensemble.leader();
    ensemble.member(leader).start();
    ensemble.leader();
    crowd.goes_on(30);
    crowd.fault(format!("{id} is restored from a backup"));
    ensemble.member(id).kill();
    ensemble.leader();
    crowd.goes_on(20);
    let dir = ensemble.members[&id].version_dir();
    std::fs::remove_dir_all(&dir).expect("version-2");
    copy_files(backup.path(), &dir);
    ensemble.member(id).start();
    ensemble.leader();
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}
