//! Our elections with Apache ZooKeeper's notifications.
//!
//! What our server says to another while there is no connection between them is replaced, unsent, by
//! what it says when there is one: only that was captured, and is compared.

use zkserver::proto::{Notification, QuorumVerifier, ServerState, Sid};
use zkserver::quorum::effect::Input;

use crate::beginning::Beginning;
use crate::common::hex;
use crate::leading::{self, first_epoch};
use crate::learning;
use crate::recording::{Connection, assert_same, connections};
use crate::server::Server;

/// A server of three with nothing, after the captured first election, in which server 3 is not
/// there: 2 leads.
pub fn elected_fresh(sid: i64) -> Server {
    let capture = connections("election-fresh").remove(0);
    let other = Sid(3 - sid);
    let mut server = looking(Beginning::empty(sid), &[other]);
    // The connection was opened by 2.
    hears(&mut server, other, &capture.notifications(sid == 1));
    server.settles();
    assert_told(&server, other, &capture.notifications(sid == 2));
    let wanted = if sid == 2 { ServerState::Leading } else { ServerState::Following };
    assert_eq!(server.state(), wanted);
    server.told.clear();
    server
}

/// A server that looks for a leader and has these connections.
fn looking(beginning: Beginning, peers: &[Sid]) -> Server {
    let mut server = beginning.start();
    server.told.clear();
    for peer in peers {
        server.take(Input::Mesh { peer: *peer, up: true });
    }
    server
}

fn hears(server: &mut Server, from: Sid, said: &[Notification]) {
    for notification in said {
        let notification = notification.clone();
        server.take(Input::Notified { from, notification });
    }
}

fn lines(notifications: &[Notification]) -> Vec<String> {
    let line = |notification: &Notification| {
        let mut bytes = Vec::new();
        notification.write(&mut bytes);
        format!("{notification:?} {}", hex::encode(&bytes))
    };
    notifications.iter().map(line).collect()
}

/// What it said to `to` is what Apache's server said.
fn assert_told(server: &Server, to: Sid, theirs: &[Notification]) {
    let to_it = server.told.iter().filter(|(told, _)| *told == to);
    let ours: Vec<_> = to_it.map(|(_, notification)| notification.clone()).collect();
    assert_same(&lines(&ours), &lines(theirs), &format!("what {to} was told"));
}

/// The configuration that a notification carries.
fn config_in(notification: &Notification) -> QuorumVerifier {
    let text = notification.config.as_ref().expect("a configuration");
    QuorumVerifier::parse(text).expect("a configuration")
}

/// What server 1, which follows 2, and server 2 itself say when they are asked.
fn established() -> (Server, Server) {
    let mut follower = elected_fresh(1);
    let mut laid = first_epoch();
    laid.truncate(1);
    laid[0].connection.messages.truncate(8);
    learning::play(&mut follower, &laid[0].connection);
    let mut leader = elected_fresh(2);
    leading::play(&mut leader, &laid, &[]);
    let states = (follower.state(), leader.state());
    assert_eq!(states, (ServerState::Following, ServerState::Leading));
    (follower, leader)
}

#[test]
fn two_servers_with_nothing_say_what_apaches_said_and_elect_the_higher_id() {
    elected_fresh(1);
    let server = elected_fresh(2);
    assert_eq!(server.member().vote.0.leader, Sid(2));
}

/// The connections of one dialler to servers 1, 2, …
fn to_each(connections: &[Connection]) -> impl Iterator<Item = (Sid, &Connection)> {
    connections.iter().map(|connection| (connection.acceptor, connection))
}

#[test]
fn who_comes_later_says_what_apaches_said_and_joins_the_established_leader() {
    let captured = connections("election-join-established");
    let mut server = looking(Beginning::empty(3), &[Sid(1), Sid(2)]);
    for (from, connection) in to_each(&captured) {
        hears(&mut server, from, &connection.notifications(false));
    }
    for (to, connection) in to_each(&captured) {
        assert_told(&server, to, &connection.notifications(true));
    }
    assert_eq!(server.state(), ServerState::Following);
    assert_eq!(server.dialled.map(|(_, leader)| leader), Some(Sid(2)));
    assert_eq!(server.member().configs.current.version, 0x1_0000_0000, "it is told of it");
}

/// Apache's connection first repeats the last vote of the election that is over; ours does not.
#[test]
fn those_who_have_a_leader_answer_as_apaches_did() {
    let captured = connections("election-join-established");
    let (follower, leader) = established();
    for (mut server, (sid, connection)) in [follower, leader].into_iter().zip(to_each(&captured)) {
        assert_eq!(server.member().me, sid);
        hears(&mut server, Sid(3), &connection.notifications(true));
        let theirs = connection.notifications(false);
        assert_eq!(theirs[0].state, ServerState::Looking, "the repeated one");
        assert_told(&server, Sid(3), &theirs[1..]);
    }
}

/// Server 4 has the ensemble in its file, and itself as an observer of it; it adopts the ensemble's
/// configuration, in which it is not, and asks again.
///
/// Apache's is in its first round again then; ours counts its second. To both the members answer the
/// same.
#[test]
fn an_unknown_observer_says_what_apaches_said_and_finds_the_leader() {
    let captured = connections("election-joining-unknown-observer");
    let mut beginning = Beginning::empty(4);
    beginning.config = config_in(&captured[0].notifications(true)[0]);
    let mut server = looking(beginning, &[Sid(1), Sid(2), Sid(3)]);
    for (to, connection) in to_each(&captured[..3]) {
        assert_told(&server, to, &connection.notifications(true));
    }
    server.told.clear();
    for (from, connection) in to_each(&captured[..3]) {
        hears(&mut server, from, &connection.notifications(false));
    }
    for (to, connection) in to_each(&captured[3..]) {
        let mut theirs = connection.notifications(true);
        theirs[0].round = 2;
        assert_told(&server, to, &theirs);
    }
    for (from, connection) in to_each(&captured[3..]) {
        hears(&mut server, from, &connection.notifications(false));
    }
    assert_eq!(server.state(), ServerState::Following, "without a vote");
    assert_eq!(server.dialled.map(|(_, leader)| leader), Some(Sid(2)));
}

/// Apache's members answered both of its rounds at once; each is compared with one answer.
#[test]
fn members_answer_an_unknown_observer_as_apaches_did() {
    let captured = connections("election-joining-unknown-observer");
    let (follower, leader) = established();
    for (mut server, (sid, connection)) in
        [follower, leader].into_iter().zip(to_each(&captured[3..]))
    {
        assert_eq!(server.member().me, sid);
        hears(&mut server, Sid(4), &connection.notifications(true));
        let theirs = connection.notifications(false);
        assert_eq!(theirs.len(), 2);
        assert_eq!(theirs[0], theirs[1]);
        assert_told(&server, Sid(4), &theirs[..1]);
    }
}

/// Servers 2 and 3 of three, with nothing, over connections of 2 to 1, 3 to 1 and 3 to 2.
fn the_highest_is_elected(connections: [&Connection; 3], reconfig_enabled: bool) {
    let [of_2_to_1, of_3_to_1, of_3_to_2] = connections;
    let beginning = |sid| {
        let config = config_in(&of_2_to_1.notifications(true)[0]);
        Beginning { config, reconfig_enabled, ..Beginning::empty(sid) }
    };
    let mut second = looking(beginning(2), &[Sid(1), Sid(3)]);
    let from_1 = of_2_to_1.notifications(false);
    let (early, late) = from_1.split_at(from_1.len().min(2));
    hears(&mut second, Sid(1), early);
    hears(&mut second, Sid(3), &of_3_to_2.notifications(true));
    hears(&mut second, Sid(1), late);
    assert_told(&second, Sid(1), &of_2_to_1.notifications(true));
    assert_told(&second, Sid(3), &of_3_to_2.notifications(false));
    assert_eq!(second.state(), ServerState::Following);
    assert_eq!(second.dialled.map(|(_, leader)| leader), Some(Sid(3)));

    let mut third = looking(beginning(3), &[Sid(1), Sid(2)]);
    hears(&mut third, Sid(1), &of_3_to_1.notifications(false));
    hears(&mut third, Sid(2), &of_3_to_2.notifications(false));
    assert_told(&third, Sid(1), &of_3_to_1.notifications(true));
    assert_told(&third, Sid(2), &of_3_to_2.notifications(true));
    assert_eq!(third.state(), ServerState::Leading);
}

/// Server 1 is of version 3.4, and says neither a version nor a configuration.
#[test]
fn among_versions_3_4_to_3_9_both_newer_servers_say_what_apaches_said() {
    let captured = connections("election-3.4-mixed");
    let [of_2_to_1, of_3_to_1, of_3_to_2] = &captured[..] else { panic!("three connections") };
    the_highest_is_elected([of_2_to_1, of_3_to_1, of_3_to_2], false);
}

/// Behind the first, the one that 2 opened to 3, and on which nothing was said.
#[test]
fn servers_with_several_addresses_say_what_apaches_said() {
    let captured = connections("election-multiaddress-v2");
    let [of_3_to_1, _, of_2_to_1, of_3_to_2] = &captured[..] else { panic!("four connections") };
    the_highest_is_elected([of_2_to_1, of_3_to_1, of_3_to_2], true);
}
