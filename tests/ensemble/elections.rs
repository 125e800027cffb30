//! Members come and go: who leads, who serves, and what clients notice.

use crate::cluster::Ensemble;
use crate::common::eventually;
use crate::common::server::free_port;
use crate::crowd::Crowd;
use crate::roads::Port;

/// C-207.
#[test]
fn three_servers_elect_one_leader() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let leader = ensemble.leader();
    for id in ensemble.others(leader) {
        assert_eq!(ensemble.member(id).role().as_deref(), Some("follower"));
    }
    let crowd = Crowd::start(&ensemble, 3, 1);
    crowd.goes_on(20);
    let figures = crowd.judge(&mut ensemble);
    assert_eq!(figures.expired, 0, "in peace no session ends");
}

/// C-208.
#[test]
fn a_killed_leader_has_a_successor() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 2);
    crowd.goes_on(20);
    let leader = ensemble.leader();
    crowd.fault(format!("kill -9 of the leader {leader}"));
    ensemble.member(leader).kill();
    let successor = ensemble.leader();
    assert_ne!(successor, leader);
    crowd.goes_on(20);
    ensemble.member(leader).start();
    assert_eq!(ensemble.leader(), successor, "who returns disturbs nobody");
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}

#[test]
fn a_killed_follower_is_not_missed() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 3);
    crowd.goes_on(20);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    crowd.fault(format!("kill -9 of the follower {follower}"));
    ensemble.member(follower).kill();
    crowd.goes_on(20);
    ensemble.member(follower).start();
    assert_eq!(ensemble.leader(), leader, "nobody else is elected");
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}

/// C-211: the service stops with the majority, and is there again with it.
#[test]
fn a_lost_majority_returns() {
    let mut ensemble = Ensemble::start(5, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 4);
    crowd.goes_on(10);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    crowd.fault(format!("kill -9 of the leader {leader} and the follower {follower}"));
    ensemble.member(leader).kill();
    ensemble.member(follower).kill();
    ensemble.leader();
    crowd.goes_on(10);
    let last = ensemble.follower();
    crowd.fault(format!("kill -9 of the follower {last}"));
    ensemble.member(last).kill();
    let left: Vec<_> = ensemble.members.values().filter(|m| m.is_running()).map(|m| m.id).collect();
    assert_eq!(left.len(), 2);
    for id in &left {
        ensemble.serves_nobody(*id);
    }
    crowd.fault(format!("{last} is back"));
    ensemble.member(last).start();
    ensemble.leader();
    crowd.goes_on(10);
    crowd.fault("all are back");
    ensemble.member(leader).start();
    ensemble.member(follower).start();
    ensemble.leader();
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// Everybody is gone at once, as when the power fails: what was acknowledged is there again.
#[test]
fn all_are_killed_at_once() {
    let mut ensemble = Ensemble::start(3, 0, &[("snapCount", "200")]);
    let mut crowd = Crowd::start(&ensemble, 4, 5);
    for round in 0..3 {
        crowd.goes_on(30);
        crowd.fault(format!("kill -9 of all, round {round}"));
        ensemble.members.values_mut().for_each(|member| member.kill());
        ensemble.members.values_mut().for_each(|member| member.start());
        ensemble.leader();
    }
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// C-209: each in turn stops in order and starts again, the leader last; no session ends.
#[test]
fn a_rolling_restart_costs_no_session() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let mut crowd = Crowd::start(&ensemble, 4, 6);
    let leader = ensemble.leader();
    let mut order = ensemble.others(leader);
    order.push(leader);
    for id in order {
        crowd.goes_on(10);
        crowd.fault(format!("{id} restarts"));
        let status = ensemble.member(id).terminate();
        if !crate::common::foreign_server() {
            assert!(status.success(), "server {id} stops in order: {status}");
        }
        ensemble.member(id).start();
        ensemble.leader();
    }
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// An observer that was not there from the beginning gets everything, and its clients are served; an
/// ensemble without it goes on.
#[test]
fn an_observer_joins_late() {
    let mut ensemble = Ensemble::new(3, 1, &[]);
    for id in 1..=3 {
        ensemble.member(id).start();
    }
    let leader = ensemble.leader();
    let mut crowd = Crowd::start(&ensemble, 4, 7);
    crowd.goes_on(20);
    crowd.fault("the observer joins");
    ensemble.member(4).start();
    assert_eq!(ensemble.leader(), leader);
    assert_eq!(ensemble.member(4).role().as_deref(), Some("observer"));
    crowd.goes_on(20);
    crowd.fault("kill -9 of the observer");
    ensemble.member(4).kill();
    crowd.goes_on(20);
    ensemble.member(4).start();
    ensemble.leader();
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}

/// The server that would win each election is heard in elections, and nobody reaches its quorum port.
/// It lets another lead, and follows.
#[test]
fn a_server_whose_quorum_port_nobody_reaches_does_not_lead_for_ever() {
    let mut ensemble = Ensemble::new(3, 0, &[("initLimit", "10")]);
    for id in [1, 2] {
        let election = ensemble.roads.port(id, 3, Port::Election);
        let line = format!("127.0.0.1:{}:{election}", free_port());
        ensemble.member(id).set("server.3", &line);
    }
    // With 2 there from the beginning it might be elected before 3 has said a word.
    for id in [1, 3] {
        ensemble.member(id).start();
    }
    eventually("3 stands back", || {
        let log = ensemble.member(3).log();
        log.contains("says nothing in elections for a while").then_some(())
    });
    let log = ensemble.member(3).log();
    assert!(log.contains("no quorum came to the quorum port: the others reach"), "{log}");
    ensemble.member(2).start();
    assert_eq!(ensemble.leader(), 2);
    assert_eq!(ensemble.member(3).role().as_deref(), Some("follower"));
}
