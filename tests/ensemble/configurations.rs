//! Ensembles that are configured otherwise, and members that are slow.

use crate::bodies::{self, op};
use crate::cluster::Ensemble;
use crate::common::{Hello, RawClient, flag};
use crate::crowd::Crowd;
use crate::roads::Id;

/// C-231: a leader that serves nobody; everybody else does.
#[test]
fn a_leader_serves_no_clients() {
    let mut ensemble = Ensemble::new(3, 0, &[("leaderServes", "no")]);
    ensemble.members.values_mut().for_each(|member| member.start());
    let followers = ensemble.wait("two follow", |members| {
        let follows = |id: &&Id| members[id].role().as_deref() == Some("follower");
        let followers: Vec<Id> = members.keys().filter(follows).copied().collect();
        (followers.len() == 2).then_some(followers)
    });
    let leader: Vec<Id> =
        ensemble.members.keys().copied().filter(|id| !followers.contains(id)).collect();
    let [leader] = leader[..] else { panic!("one leads") };
    let mut client = ensemble.members[&followers[0]].client();
    client.create("/written", b"", flag::PERSISTENT).ok();
    assert!(
        RawClient::try_connect(ensemble.members[&leader].address(), &Hello::default()).is_none()
    );
    client.sync("/").ok();
    assert!(client.has("/written"));
}

/// C-227: a server without weight votes for nothing and is never elected, though its id is the largest.
#[test]
fn a_server_without_weight_never_leads() {
    let settings = [("group.1", "1:2:3"), ("weight.1", "1"), ("weight.2", "1"), ("weight.3", "0")];
    let mut ensemble = Ensemble::start(3, 0, &settings);
    assert_eq!(ensemble.leader(), 2);
    let mut crowd = Crowd::start(&ensemble, 3, 50);
    crowd.goes_on(10);
    crowd.fault("kill -9 of 3, which has no weight");
    ensemble.member(3).kill();
    crowd.goes_on(10);
    ensemble.member(3).start();
    ensemble.leader();
    crowd.fault("kill -9 of 1: no quorum of weights");
    ensemble.member(1).kill();
    ensemble.serves_nobody(2);
    ensemble.serves_nobody(3);
    ensemble.member(1).start();
    assert_ne!(ensemble.leader(), 3);
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// C-228: most groups with most of their members are a quorum; a majority of servers may be none.
#[test]
fn groups_of_servers() {
    let settings = [("group.1", "1:2:3"), ("group.2", "4:5:6"), ("group.3", "7:8:9")];
    let mut ensemble = Ensemble::start(9, 0, &settings);
    let mut crowd = Crowd::start(&ensemble, 3, 51);
    crowd.goes_on(5);
    crowd.fault("a group and one of each other are gone: four of nine have a quorum");
    for id in [1, 2, 3, 4, 7] {
        ensemble.member(id).kill();
    }
    ensemble.leader();
    crowd.goes_on(5);
    crowd.fault("five of nine have none");
    for id in [2, 3] {
        ensemble.member(id).start();
    }
    ensemble.leader();
    for id in [5, 8] {
        ensemble.member(id).kill();
    }
    for id in [2, 3, 6, 9] {
        ensemble.serves_nobody(id);
    }
    crowd.fault("all are back");
    for id in [1, 4, 5, 7, 8] {
        ensemble.member(id).start();
    }
    ensemble.leader();
    crowd.goes_on(5);
    crowd.judge(&mut ensemble);
}

/// A follower that takes nothing while others write much costs its leader no more memory than the
/// bound: it is dropped, and joins again.
#[test]
fn a_follower_that_takes_nothing_costs_its_leader_little() {
    const SIZE: usize = 200_000;
    const WRITES: usize = 2_000;
    const MOST_KIB: u64 = 300 << 10;
    // It is not dropped for its silence.
    let mut ensemble = Ensemble::start(3, 0, &[("syncLimit", "300")]);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let mut client = ensemble.members[&leader].client();
    client.create("/large", b"", flag::PERSISTENT).ok();
    let before = ensemble.members[&leader].resident_kib();
    let syncs = ensemble.roads.syncs(leader, follower).len();
    ensemble.member(follower).pause();
    let body = bodies::set_data("/large", Some(&vec![7; SIZE]), -1);
    let mut most = 0;
    for _ in 0..WRITES / 20 {
        client.submit_many(20, op::SET_DATA, &body);
        client.take_ok(20);
        most = most.max(ensemble.members[&leader].resident_kib().saturating_sub(before));
    }
    assert!(most < MOST_KIB, "{WRITES} writes of {SIZE} bytes cost the leader {most} KiB");
    ensemble.member(follower).resume();
    assert_eq!(ensemble.leader(), leader);
    ensemble.compare();
    assert!(
        ensemble.roads.syncs(leader, follower).len() > syncs,
        "it was dropped, and joined again"
    );
}
