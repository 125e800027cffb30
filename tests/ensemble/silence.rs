//! Members that are silent: stopped processes and networks that carry nothing.

use std::time::Duration;

use crate::cluster::{Ensemble, SYNC_LIMIT_TICKS, TICK};
use crate::crowd::Crowd;
use crate::roads::Id;

/// How long a leader may hear nothing of a learner, and the reverse.
const LIMIT: Duration = TICK.saturating_mul(SYNC_LIMIT_TICKS);

/// The network is whole again, and all members follow a leader, which is returned.
fn mend(ensemble: &mut Ensemble, crowd: &mut Crowd) -> Id {
    crowd.fault("the network is whole");
    ensemble.roads.mend();
    ensemble.leader()
}

/// SIGSTOP of one member, for a while.
fn pause(is_leader: bool, long: bool, seed: u64) {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, seed);
    crowd.goes_on(10);
    let leader = ensemble.leader();
    let id = if is_leader { leader } else { ensemble.follower() };
    let others = ensemble.others(id);
    crowd.fault(format!("SIGSTOP of {id}, the leader is {leader}"));
    ensemble.member(id).pause();
    if long {
        let next = ensemble.leader_of(&others);
        assert_eq!(next == leader, !is_leader);
        crowd.goes_on(10);
        // The pause is the fault itself: longer than any limit.
        std::thread::sleep(LIMIT + TICK);
    } else {
        std::thread::sleep(LIMIT / 3);
    }
    crowd.fault(format!("SIGCONT of {id}"));
    ensemble.member(id).resume();
    let now = ensemble.leader();
    if !long || !is_leader {
        assert_eq!(now, leader, "nobody else is elected");
    }
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

#[test]
fn a_leader_stops_for_less_than_sync_limit() {
    pause(true, false, 20);
}

#[test]
fn a_leader_stops_for_more_than_sync_limit() {
    pause(true, true, 21);
}

#[test]
fn a_follower_stops_for_less_than_sync_limit() {
    pause(false, false, 22);
}

#[test]
fn a_follower_stops_for_more_than_sync_limit() {
    pause(false, true, 23);
}

/// C-212, C-213: a leader with a minority serves nobody in the end, and what it logged alone is cut.
#[test]
fn a_leader_with_a_minority_gives_up() {
    let mut ensemble = Ensemble::start(5, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 24);
    crowd.goes_on(10);
    let leader = ensemble.leader();
    let companion = ensemble.follower();
    let minority = [leader, companion];
    let majority: Vec<_> =
        ensemble.members.keys().copied().filter(|id| !minority.contains(id)).collect();
    crowd.fault(format!("{minority:?} are alone, {leader} leads"));
    ensemble.roads.part(&minority, &majority);
    ensemble.leader_of(&majority);
    for id in minority {
        ensemble.serves_nobody(id);
    }
    crowd.goes_on(10);
    mend(&mut ensemble, &mut crowd);
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// A follower that is cut off from everybody joins again.
#[test]
fn a_follower_is_alone() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 25);
    crowd.goes_on(10);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    crowd.fault(format!("{follower} is alone"));
    ensemble.roads.part(&[follower], &ensemble.others(follower));
    ensemble.serves_nobody(follower);
    crowd.goes_on(10);
    assert_eq!(mend(&mut ensemble, &mut crowd), leader, "who returns disturbs nobody");
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// The leader hears a follower, which does not hear the leader; and the reverse.
#[test]
fn one_direction_is_silent() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 26);
    for from_leader in [true, false] {
        crowd.goes_on(10);
        let (leader, follower) = (ensemble.leader(), ensemble.follower());
        let (from, to) = if from_leader { (leader, follower) } else { (follower, leader) };
        crowd.fault(format!("nothing goes from {from} to {to}, {leader} leads"));
        ensemble.roads.block(from, to);
        ensemble.serves_nobody(follower);
        mend(&mut ensemble, &mut crowd);
    }
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// C-236: two halves that only one server joins: whoever leads has a quorum, and the service goes on.
#[test]
fn one_server_is_the_bridge() {
    let mut ensemble = Ensemble::start(5, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 27);
    crowd.goes_on(10);
    let leader = ensemble.leader();
    let mut others = ensemble.others(leader);
    let bridge = others.pop().expect("four others");
    let left = [leader, others[0]];
    let right = [others[1], others[2]];
    crowd.fault(format!("{left:?} and {right:?} are joined by {bridge} only, {leader} leads"));
    ensemble.roads.part(&left, &right);
    crowd.somebody_goes_on(200);
    let all = ensemble.others(0);
    ensemble.leader_of(&all);
    crowd.somebody_goes_on(200);
    mend(&mut ensemble, &mut crowd);
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// Connections break and cannot be made, and everybody is told at once.
#[test]
fn connections_are_refused() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 28);
    crowd.goes_on(10);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    crowd.fault(format!("{leader} and {follower} have no connection"));
    ensemble.roads.cut(leader, follower);
    crowd.somebody_goes_on(200);
    mend(&mut ensemble, &mut crowd);
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}
