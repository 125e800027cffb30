//! How a learner is brought up: from memory, from the log on the leader's disk, by the whole tree, by a cut.

use crate::bodies::{self, op};
use crate::cluster::{Ensemble, Member};
use crate::common::client::{CHILDREN_CHANGED, DATA_CHANGED};
use crate::common::{err, eventually, flag};
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

/// C-137.
#[test]
fn watches_are_set_behind_the_leaders_tree() {
    let mut ensemble = Ensemble::start(3, 0, &[("snapshotSizeFactor", "-1")]);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let mut client = ensemble.members[&leader].client();
    client.create("/a", b"", flag::PERSISTENT).ok();
    client.create("/b", b"", flag::PERSISTENT).ok();
    let seen = client.ping().zxid;
    client.set_data("/a", b"", -1).ok();
    client.create("/b/c", b"", flag::PERSISTENT).ok();
    assert_eq!(absence(&mut ensemble, follower, MANY), Sync::Snap);
    let mut client = ensemble.members[&follower].client();
    assert_eq!(client.set_watches(seen, [&["/a", "/b"], &[], &["/b", "/a"]]).err, 0);
    assert_eq!(client.all_fired(), [(DATA_CHANGED, "/a".into()), (CHILDREN_CHANGED, "/b".into())]);
    client.set_data("/b", b"", -1).ok();
    client.create("/a/x", b"", flag::PERSISTENT).ok();
    assert_eq!(client.all_fired(), [(DATA_CHANGED, "/b".into()), (CHILDREN_CHANGED, "/a".into())]);
}

/// C-238: while one member has a part of the tree and takes no more, the others go on.
#[test]
fn who_takes_the_tree_slowly_delays_nobody() {
    const NODES: usize = 120;
    const SIZE: usize = 500_000;
    let mut ensemble = Ensemble::start(3, 0, &[("snapshotSizeFactor", "-1"), ("initLimit", "300")]);
    let (leader, slow) = (ensemble.leader(), ensemble.follower());
    let other = ensemble.others(leader).into_iter().find(|id| *id != slow).expect("another");
    ensemble.member(slow).kill();
    let mut client = ensemble.members[&leader].client();
    for node in 0..NODES {
        client.create(&format!("/large-{node}"), &vec![7; SIZE], flag::PERSISTENT).ok();
    }
    // It may have been quicker than the signal.
    let mut tries = 0;
    let syncs = loop {
        let syncs = ensemble.roads.syncs(leader, slow).len();
        ensemble.member(slow).start();
        eventually("it is sent the tree", || {
            (ensemble.roads.syncs(leader, slow).len() > syncs).then_some(())
        });
        ensemble.member(slow).pause();
        if !ensemble.members[&slow].log_of_this_life().contains("took the place of the history") {
            break syncs + 1;
        }
        tries += 1;
        assert!(tries < 10, "it is always quicker");
        ensemble.member(slow).kill();
        write(&ensemble.members[&leader], MANY, "away");
    };
    for id in [leader, other] {
        let mut client = ensemble.members[&id].client();
        for _ in 0..100 {
            client.set_data("/large-0", b"", -1).ok();
        }
    }
    ensemble.member(slow).resume();
    assert_eq!(ensemble.leader(), leader);
    ensemble.compare();
    assert_eq!(ensemble.roads.syncs(leader, slow).len(), syncs, "one tree was enough");
    assert_eq!(ensemble.roads.syncs(leader, slow).last(), Some(&Sync::Snap));
}

/// C-296: the leader refuses it before it is proposed, and nobody's link ends of it.
#[test]
fn a_transaction_that_is_too_long_for_learners_is_refused() {
    let settings = [("jute.maxbuffer", "10000"), ("jute.maxbuffer.extrasize", "1024")];
    let mut ensemble = Ensemble::start(3, 0, &settings);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let learners = ensemble.others(leader);
    let syncs = |ensemble: &Ensemble| -> usize {
        learners.iter().map(|id| ensemble.roads.syncs(leader, *id).len()).sum()
    };
    let before = syncs(&ensemble);
    // A part of the request takes 51 bytes, of the transaction 61; a header and a digest join it.
    let part = bodies::create("/s", None, &bodies::open_acl(), flag::SEQUENTIAL);
    for id in [leader, follower] {
        let mut client = ensemble.members[&id].client();
        let refused = client.multi(&vec![(op::CREATE, part.clone()); 190]);
        assert_eq!(refused.err, err::MARSHALLING, "asked of server {id}");
        client.multi(&vec![(op::CREATE, part.clone()); 150]).ok();
    }
    assert_eq!(ensemble.leader(), leader);
    let tree = ensemble.compare();
    assert_eq!(tree.keys().filter(|path| path.starts_with("/s0")).count(), 300);
    assert_eq!(syncs(&ensemble), before, "nobody had to join again");
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
