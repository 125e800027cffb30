//! Serving begins and ends.

use super::*;

#[test]
fn who_comes_before_the_server_serves_is_sent_away_and_who_comes_then_is_served() {
    let mut house = House::new();
    let early = house.accept();
    assert!(house.send(&early, &connect()).submissions.is_empty());
    assert_eq!((early.ending(), early.xids()), ("Asked(NotServing)".to_owned(), vec![]));
    // What is accepted before, and asks for a session only then, comes in time.
    let patient = house.accept();
    house.carry_out([ClientEffect::StartServing]);
    assert_eq!(house.send(&patient, &connect()).submissions.len(), 1);
    house.client();
}

#[test]
fn when_serving_ends_every_connection_closes_behind_what_it_was_answered() {
    let mut house = House::serving();
    let (one, other, fresh) = (house.client(), house.client(), house.accept());
    house.send(&other, &exists(1, "/a", true));
    let pass = house.send(&one, &write(2, "/a"));
    house.taken(pass);
    let commit = house.commit("/a", Some((&one, 2)));
    house.carry_out([commit, ClientEffect::StopServing]);
    assert_eq!(one.xids(), [2]);
    assert_eq!(other.xids(), [1, -1], "the reply to the read, then the event");
    for client in [one, other, fresh] {
        assert_eq!(client.ending(), "Asked(NotServing)");
    }
}

/// A watch may stand until its connection's task has removed it: nobody hears of it.
#[test]
fn a_connection_of_a_former_stretch_hears_of_nothing_that_comes_later() {
    let mut house = House::serving();
    let client = house.client();
    house.send(&client, &exists(1, "/a", true));
    assert_eq!(client.xids(), [1]);
    let (caught_up, commit) = (house.catch_up("/b"), house.commit("/a", None));
    house.carry_out([ClientEffect::StopServing, caught_up, ClientEffect::StartServing, commit]);
    assert!(client.xids().is_empty());
    assert!(house.send(&client, &exists(2, "/a", false)).submissions.is_empty());
    assert!(client.xids().is_empty());
}

/// A write that was lost with the role must not be followed by one that is carried out: both
/// are of one client.
#[test]
fn what_a_closed_connection_has_still_submitted_is_dropped() {
    let mut house = House::serving();
    let client = house.client();
    let lost = house.send(&client, &write(1, "/a"));
    assert_eq!(house.taken(lost).len(), 1);
    let late = house.send(&client, &write(2, "/b"));
    assert_eq!(house.outstanding(), 2);
    house.carry_out([ClientEffect::StopServing]);
    assert_eq!(house.outstanding(), 1, "the role's requests will never be finished");
    house.carry_out([ClientEffect::StartServing]);
    assert!(house.taken(late).is_empty());
    assert_eq!(house.outstanding(), 0);
    let later = house.client();
    let pass = house.send(&later, &write(1, "/c"));
    assert_eq!(house.taken(pass).len(), 1);
    assert_eq!(house.outstanding(), 1);
}

#[test]
fn a_session_that_comes_back_takes_over_from_nobody() {
    let mut house = House::serving();
    let client = house.client();
    let session = SessionId(client.id.0 as i64);
    house.carry_out([ClientEffect::StopServing, ClientEffect::StartServing]);
    assert!(!house.clients.holders.contains_key(&session));
}
