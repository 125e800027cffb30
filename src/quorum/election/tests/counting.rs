//! Whose votes make a quorum.

use super::*;
use crate::proto::membership::Hierarchy;
use crate::quorum::testing::server;

/// A server of weight 0 has the longest log and the highest id, and is not elected, C-227. It joins
/// those who are.
#[test]
fn a_server_of_weight_0_is_never_elected() {
    let mut config = ensemble(4, 0);
    config.hierarchy = Some(Hierarchy {
        groups: (1..=4).map(|sid| (Sid(sid), 1)).collect(),
        weights: [(Sid(4), 0)].into(),
    });
    let mut play = Play::new(&config);
    play.has(4, 1, 0x1_0000_0005);
    play.start(&[1, 2, 3, 4]);
    play.pass(200);
    assert_eq!(play.roles()[..3], ["1 following 3", "2 following 3", "3 leading"]);
    play.pass(60_000);
    assert_eq!(play.roles()[3], "4 following 3");
}

/// Three groups of three: four servers in two groups decide, five of nine in one and two thirds
/// do not.
#[test]
fn a_majority_of_groups_with_a_majority_each_elects() {
    let mut config = ensemble(9, 0);
    config.hierarchy = Some(Hierarchy {
        groups: (1..=9).map(|sid| (Sid(sid), (sid - 1) / 3)).collect(),
        weights: BTreeMap::new(),
    });
    let mut play = Play::new(&config);
    play.start(&[1, 2, 3, 4, 7]);
    play.pass(10_000);
    assert!(play.roles().iter().all(|role| role.ends_with("looking")), "{:?}", play.roles());

    let mut play = Play::new(&config);
    play.start(&[1, 2, 4, 5]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 5", "2 following 5", "4 following 5", "5 leading"]);
}

/// A server without data has the highest id. It is not elected, and its vote helps nobody (C-226);
/// when the others have elected one of them it follows.
#[test]
fn a_server_without_data_is_neither_elected_nor_counted() {
    let mut play = Play::of(3);
    play.member(3).has_data = false;
    play.start(&[1, 3]);
    play.pass(10_000);
    assert_eq!(play.roles(), ["1 looking", "3 looking"]);
    play.start(&[2]);
    play.pass(200);
    assert_eq!(play.roles()[..2], ["1 following 2", "2 leading"]);
    play.pass(60_000);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 following 2"]);
}

/// Three servers without data, C-226.
#[test]
fn nobody_is_elected_where_nobody_has_data() {
    let mut play = Play::of(3);
    for sid in 1..=3 {
        play.member(sid).has_data = false;
    }
    play.start(&[1, 2, 3]);
    play.pass(100_000);
    assert_eq!(play.roles(), ["1 looking", "2 looking", "3 looking"]);
}

/// It is told how things stand, as everybody who asks.
#[test]
fn an_observers_vote_does_not_count() {
    let mut play = Play::new(&ensemble(3, 1));
    play.start(&[1]);
    play.pass(0);
    play.told();
    play.take(4, 1, looking(vote(1, 0, 0), 1));
    play.take(4, 1, looking(vote(4, 9, 9), 9));
    play.start(&[4]);
    play.pass(1);
    assert_eq!(
        play.told(),
        [
            "4: connect the mesh",
            // What the votes in its name have brought in: one of a later round is not answered.
            "1 to 4: looking, 1 (epoch 0, zxid 0x0), round 1",
            "4 to 1: looking, nobody, round 1",
            "1 to 4: looking, 1 (epoch 0, zxid 0x0), round 1",
        ]
    );
    assert_eq!(play.roles(), ["1 looking", "4 looking"]);
}

/// Voters 1 to 3 are in force and 3 to 5 are proposed: a majority of the former is not enough,
/// nor is one of all five.
#[test]
fn the_configuration_in_force_and_the_proposed_one_must_both_have_a_quorum() {
    let current = ensemble(3, 0);
    let mut next = ensemble(5, 0);
    next.members.retain(|sid, _| sid.0 >= 3);
    next.version = 0x1_0000_0004;
    let mut play = Play::new(&ensemble(5, 0));
    for sid in 1..=5 {
        play.member(sid).configs.current = current.clone().into();
        play.member(sid).configs.last_seen = next.clone().into();
    }
    play.start(&[1, 2, 3]);
    play.pass(10_000);
    assert_eq!(play.roles(), ["1 looking", "2 looking", "3 looking"]);
    play.start(&[4]);
    play.pass(10_000);
    let leads = play.roles().into_iter().find(|role| role.ends_with("leading"));
    assert_eq!(leads.as_deref(), Some("3 leading"), "4 has no vote of its own yet");
}

/// Server 2 alone has seen a configuration proposed, that nobody else will ever hear of. It cannot
/// lead without its members, but whoever a quorum of either follows it joins: whether that may lead is
/// for it to find out, by the histories of those who join. Else two of them could be elected by turns,
/// with the vote of a server that follows neither (found by seed 310025196).
#[test]
fn who_has_seen_a_lost_configuration_follows_by_the_one_in_force() {
    let mut next = ensemble(3, 0);
    next.members.remove(&Sid(2));
    next.version = 0x1_0000_0004;
    let mut play = Play::of(3);
    play.member(2).configs.last_seen = next.clone().into();
    play.start(&[2]);
    play.take(3, 2, looking(vote(3, 0, 9), 1));
    play.pass(10_000);
    assert_eq!(play.roles(), ["2 looking"], "1 does not agree");
    play.take(3, 2, Notification { state: ServerState::Leading, ..looking(vote(3, 0, 9), 1) });
    assert_eq!(play.roles(), ["2 following 3"]);
}

/// The same of one that was long away: nobody of the configuration it has seen last is there.
#[test]
fn who_has_seen_a_lost_configuration_joins_by_the_one_in_force() {
    let mut next = ensemble(5, 0);
    next.members.retain(|sid, _| sid.0 >= 4);
    next.version = 0x1_0000_0004;
    let mut play = Play::of(3);
    play.member(2).configs.last_seen = next.into();
    play.start(&[1, 3]);
    play.pass(0);
    play.establish(1);
    play.start(&[2]);
    play.pass(10_000);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
}

#[test]
fn votes_of_different_rounds_are_not_added_up() {
    let mut play = Play::of(5);
    play.start(&[1]);
    play.take(2, 1, looking(vote(1, 0, 0), 1));
    play.take(3, 1, looking(vote(1, 0, 0), 0));
    assert_eq!(play.roles(), ["1 looking"]);
    play.take(3, 1, looking(vote(1, 0, 0), 1));
    assert_eq!(play.roles(), ["1 leading"]);
}

/// Server 2 has voted for 1, and follows 3 by now.
#[test]
fn only_the_last_word_of_a_server_counts() {
    let mut play = Play::of(5);
    play.start(&[1]);
    play.take(2, 1, looking(vote(1, 0, 0), 1));
    let follows = Notification { state: ServerState::Following, ..looking(vote(3, 1, 0), 4) };
    play.take(2, 1, follows);
    play.take(4, 1, looking(vote(1, 0, 0), 1));
    assert_eq!(play.roles(), ["1 looking"]);
}

/// A configuration of one.
#[test]
fn who_needs_nobody_elects_itself_at_once() {
    let mut config = ensemble(1, 0);
    config.members.insert(Sid(2), server(2, LearnerType::Observer));
    let mut play = Play::new(&config);
    play.start(&[1]);
    assert_eq!(play.roles(), ["1 looking"]);
    play.pass(0);
    assert_eq!(play.told(), ["1 ends: 1 (epoch 0, zxid 0x0), round 1, 0 ms"]);
}
