//! How a learner is brought up: from memory, from the log on the leader's disk, by the whole tree, by a cut.

use crate::bodies::{self, op};
use crate::cluster::{Ensemble, Member};
use crate::common::flag;
use crate::roads::{Id, Sync};

/// More transactions than a leader keeps in memory.
const MANY: usize = 700;
const FEW: usize = 30;

fn write(member: &Member, count: usize, name: &str) {
    let mut client = member.client();
    client.create(&format!("/{name}"), b"", flag::PERSISTENT);
    let body = create(name);
    client.submit_many(count, op::CREATE, &body);
    client.take_ok(count);
    client.close();
}

fn create(name: &str) -> Vec<u8> {
    let path = format!("/{name}/n-");
    bodies::create(path, Some(b"some data"), &bodies::open_acl(), flag::SEQUENTIAL)
}

/// The member is away for so many writes; how it is brought up.
#[track_caller]
fn absence(ensemble: &mut Ensemble, id: Id, count: usize) -> Sync {
    let leader = ensemble.leader();
    assert_ne!(id, leader);
    ensemble.member(id).kill();
    write(&ensemble.members[&leader], count, "away");
    ensemble.member(id).start();
    assert_eq!(ensemble.leader(), leader);
    ensemble.compare();
    *ensemble.roads.syncs(leader, id).last().expect("a synchronization")
}

/// C-214.
#[test]
fn a_short_absence_is_made_good_by_diff() {
    let mut ensemble = Ensemble::start(3, 1, &[]);
    let follower = ensemble.follower();
    // Who has nothing at all gets the tree.
    ensemble.compare();
    assert_eq!(absence(&mut ensemble, follower, FEW), Sync::Diff);
    assert_eq!(absence(&mut ensemble, 4, FEW), Sync::Diff);
}

/// C-214.
#[test]
fn a_long_absence_is_made_good_from_the_leaders_log() {
    let mut ensemble = Ensemble::start(3, 1, &[("snapshotSizeFactor", "0")]);
    let follower = ensemble.follower();
    ensemble.compare();
    assert_eq!(absence(&mut ensemble, follower, MANY), Sync::Diff);
    assert_eq!(absence(&mut ensemble, 4, MANY), Sync::Diff);
}

/// C-214.
#[test]
fn a_long_absence_is_made_good_by_the_tree() {
    let mut ensemble = Ensemble::start(3, 1, &[("snapshotSizeFactor", "-1")]);
    let follower = ensemble.follower();
    assert_eq!(absence(&mut ensemble, follower, MANY), Sync::Snap);
    assert_eq!(absence(&mut ensemble, 4, MANY), Sync::Snap);
    // What a snapshot from a leader began goes on with the log behind it.
    assert_eq!(absence(&mut ensemble, follower, FEW), Sync::Diff);
}

fn has_logged(member: &Member, text: &[u8]) -> bool {
    let has = |data: &[u8]| data.windows(text.len()).any(|window| window == text);
    member.files("log").iter().any(|path| has(&std::fs::read(path).unwrap_or_default()))
}

/// The leader logs alone, and is alone; the others elect another, who may write as well. Its
/// successor, and how that one brings it up.
fn logs_alone(ensemble: &mut Ensemble, round: usize, more: usize) -> Sync {
    let leader = ensemble.leader();
    let others = ensemble.others(leader);
    write(&ensemble.members[&leader], 1, "base");
    ensemble.compare();
    let mut client = ensemble.members[&leader].client();
    ensemble.roads.part(&[leader], &others);
    let name = format!("alone-{round}");
    for n in 0..FEW {
        let path = format!("/{name}-{n}");
        let body = bodies::create(&path, Some(b""), &bodies::open_acl(), flag::PERSISTENT);
        client.submit(op::CREATE, &body);
    }
    let last = format!("/{name}-{}", FEW - 1);
    ensemble.wait("the leader logs alone", |members| {
        has_logged(&members[&leader], last.as_bytes()).then_some(())
    });
    let successor = ensemble.leader_of(&others);
    ensemble.serves_nobody(leader);
    if more > 0 {
        write(&ensemble.members[&successor], more, "in-the-new-epoch");
    }
    ensemble.roads.mend();
    assert_eq!(ensemble.leader(), successor);
    let tree = ensemble.compare();
    let left: Vec<_> = tree.keys().filter(|path| path.contains(&name)).collect();
    assert!(left.is_empty(), "what nobody else had is there: {left:?}");
    *ensemble.roads.syncs(successor, leader).last().expect("a synchronization")
}

/// C-213, C-215: with snapshots newer than the cut, and logs of which it lies in the last but one.
#[test]
fn what_a_leader_logged_alone_is_cut() {
    let mut ensemble = Ensemble::start(3, 0, &[("snapCount", "20")]);
    assert_eq!(logs_alone(&mut ensemble, 0, 0), Sync::Trunc);
    // Nobody is cut back over the border of an epoch in which something was written.
    assert_ne!(logs_alone(&mut ensemble, 1, FEW), Sync::Diff);
    assert_ne!(logs_alone(&mut ensemble, 2, 0), Sync::Diff);
    // A restart finds no more of it.
    ensemble.members.values_mut().for_each(Member::kill);
    ensemble.members.values_mut().for_each(Member::start);
    let tree = ensemble.compare();
    assert!(!tree.keys().any(|path| path.contains("alone")));
}
