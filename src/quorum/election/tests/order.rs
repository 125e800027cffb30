//! Which vote is the better one.

use super::*;

/// Three servers that have nothing yet.
#[test]
fn of_equals_the_highest_id_is_elected() {
    let mut play = Play::of(3);
    play.start(&[1, 2, 3]);
    play.pass(0);
    let told = play.told();
    assert_eq!(
        told,
        [
            "1 to 2: looking, 1 (epoch 0, zxid 0x0), round 1",
            "1 to 3: looking, 1 (epoch 0, zxid 0x0), round 1",
            "2 to 1: looking, 2 (epoch 0, zxid 0x0), round 1",
            "2 to 3: looking, 2 (epoch 0, zxid 0x0), round 1",
            "3 to 1: looking, 3 (epoch 0, zxid 0x0), round 1",
            "3 to 2: looking, 3 (epoch 0, zxid 0x0), round 1",
            "1 to 2: looking, 2 (epoch 0, zxid 0x0), round 1",
            "1 to 3: looking, 2 (epoch 0, zxid 0x0), round 1",
            "1 to 2: looking, 3 (epoch 0, zxid 0x0), round 1",
            "2 ends: 3 (epoch 0, zxid 0x0), round 1, 0 ms",
            "1 to 3: looking, 3 (epoch 0, zxid 0x0), round 1",
            "2 to 1: looking, 3 (epoch 0, zxid 0x0), round 1",
            "1 ends: 3 (epoch 0, zxid 0x0), round 1, 0 ms",
            "2 to 3: looking, 3 (epoch 0, zxid 0x0), round 1",
            "3 ends: 3 (epoch 0, zxid 0x0), round 1, 0 ms",
        ]
    );
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
}

#[test]
fn the_longer_log_wins_over_the_higher_id() {
    let mut play = Play::of(3);
    play.has(1, 1, 0x1_0000_0007);
    play.has(2, 1, 0x1_0000_0008);
    play.has(3, 1, 0x1_0000_0007);
    play.start(&[1, 2, 3]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 following 2"]);
}

/// A server of the last epoch knows what its leader committed; one that logged more in an earlier
/// epoch holds what nobody else has acknowledged.
#[test]
fn the_later_epoch_wins_over_the_longer_log() {
    let mut play = Play::of(3);
    play.has(1, 2, 0x1_0000_0007);
    play.has(2, 1, 0x1_0000_00ff);
    play.has(3, 1, 0x1_0000_0007);
    play.start(&[1, 2, 3]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 leading", "2 following 1", "3 following 1"]);
}

/// Not with what it has applied, nor with what it had when it last voted.
#[test]
fn a_server_votes_with_what_it_has_logged() {
    let mut play = Play::of(3);
    play.has(1, 1, 0x1_0000_0007);
    play.start(&[1]);
    play.pass(0);
    play.has(1, 2, 0x2_0000_0009);
    play.look(1);
    assert_eq!(play.db.last_processed(), Zxid::ZERO);
    let votes = play.wires.drain(..).map(|(_, _, n)| (n.round, vote_in_words(&n.vote)));
    let expected = (2, "1 (epoch 2, zxid 0x200000009)".to_owned());
    assert_eq!(votes.collect::<Vec<_>>(), [expected.clone(), expected]);
}

/// Everybody's first word is lost: each of three stands by itself until they ask again.
#[test]
fn split_votes_are_joined_when_the_servers_ask_again() {
    let mut play = Play::of(3);
    play.start(&[1, 2, 3]);
    play.wires.clear();
    play.pass(199);
    assert_eq!(play.roles(), ["1 looking", "2 looking", "3 looking"]);
    play.pass(1);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
}

#[test]
fn two_rounds_merge_in_the_later_one() {
    let mut play = Play::of(3);
    play.member(1).round = 7;
    play.member(3).round = 4;
    play.start(&[1, 2, 3]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
    let rounds = [1, 2, 3].map(|sid| (play.member(sid).round, play.member(sid).vote.1));
    assert_eq!(rounds, [(8, 8); 3]);
}
