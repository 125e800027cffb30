//! How long an election takes.

use super::*;

/// Servers 4 and 5 are dead: there is nobody to wait for.
#[test]
fn settling_ends_early_once_all_who_are_connected_agree() {
    let mut play = Play::of(5);
    play.cold = true;
    play.start(&[1, 2, 3, 4, 5]);
    play.kill(5);
    play.kill(4);
    play.pass(0);
    assert_eq!(play.roles()[..3], ["1 following 3", "2 following 3", "3 leading"]);
    let told = play.told();
    assert_eq!(told.iter().filter(|line| line.ends_with("round 1, 0 ms")).count(), 3, "{told:?}");
}

/// All start at once, and 4 and 5 come a moment later.
#[test]
fn settling_waits_for_who_may_be_about_to_come() {
    let mut play = Play::of(5);
    play.cold = true;
    play.start(&[1, 2, 3]);
    play.pass(199);
    assert_eq!(play.roles()[..3], ["1 looking", "2 looking", "3 looking"]);
    play.start(&[4, 5]);
    play.pass(0);
    assert_eq!(play.roles()[3..], ["4 following 5", "5 leading"]);
    let told = play.told();
    assert_eq!(told.iter().filter(|line| line.contains(" ends: 5 ")).count(), 5, "{told:?}");
}

/// Server 3 is connected, and its word does not come: it might have a better vote.
#[test]
fn settling_waits_for_a_connected_server_that_is_silent() {
    let mut play = Play::of(3);
    play.lost = [(3, 1), (3, 2)].into();
    play.start(&[1, 2, 3]);
    play.pass(199);
    assert_eq!(play.roles(), ["1 looking", "2 looking", "3 looking"]);
    play.pass(1);
    assert_eq!(play.roles()[..2], ["1 following 2", "2 leading"]);
    let told = play.told();
    assert!(
        told.contains(&"1 ends: 2 (epoch 0, zxid 0x0), round 1, 200 ms".to_owned()),
        "{told:?}"
    );
}

/// The last moment is early enough.
#[test]
fn a_better_vote_during_settling_goes_on_with_the_election() {
    let mut play = Play::of(3);
    play.lost = [(3, 1), (3, 2)].into();
    play.start(&[1, 2, 3]);
    play.pass(199);
    play.lost.clear();
    play.take(3, 1, looking(vote(3, 0, 0), 1));
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 3", "2 looking", "3 leading"], "2 has not heard of 3");
    play.pass(1);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
}

/// A flood of equal votes does not keep an election from ending.
#[test]
fn settling_is_not_prolonged_by_votes_that_are_not_better() {
    let mut play = Play::of(5);
    play.lost = [(5, 1), (5, 2), (5, 4)].into();
    play.start(&[1, 2, 4, 5]);
    for _ in 0..20 {
        play.pass(10);
        play.take(2, 1, looking(vote(4, 0, 0), 1));
    }
    assert_eq!(play.roles()[..3], ["1 following 4", "2 following 4", "4 leading"]);
}

#[test]
fn a_connection_that_ends_may_end_settling() {
    let mut play = Play::of(3);
    play.lost = [(3, 1), (3, 2)].into();
    play.start(&[1, 2, 3]);
    play.pass(50);
    play.told();
    play.kill(3);
    assert_eq!(
        play.told(),
        [
            "1 ends: 2 (epoch 0, zxid 0x0), round 1, 50 ms",
            "2 ends: 2 (epoch 0, zxid 0x0), round 1, 50 ms",
        ]
    );
}

/// What was said is said again after 200 ms, 400, 800 … and at last once a minute, and the mesh tries
/// again whom it does not reach.
#[test]
fn who_hears_nothing_asks_again_at_growing_intervals() {
    let mut play = Play::of(3);
    play.start(&[1]);
    let mut asked = Vec::new();
    for _ in 0..3_000 {
        let told = play.told();
        if !told.is_empty() {
            assert_eq!(told, ["1: connect the mesh"]);
            asked.push(play.now_ms);
        }
        play.pass(100);
    }
    assert_eq!(asked[..6], [0, 200, 600, 1_400, 3_000, 6_200]);
    let waited: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waited[waited.len() - 2..], [60_000, 60_000]);
}

/// Nobody waits a minute for who has just come.
#[test]
fn a_new_connection_begins_the_back_off_anew() {
    let mut play = Play::of(3);
    play.start(&[1]);
    play.pass(200_000);
    play.start(&[2]);
    play.wires.clear();
    play.pass(200);
    assert_eq!(play.roles(), ["1 following 2", "2 leading"]);
}
