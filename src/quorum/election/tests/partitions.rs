//! Networks that are not whole.

use super::*;

/// Only server 1 reaches server 5, which has the best vote. Apache ZooKeeper's servers would elect
/// 5, not reach it, and do so again. The others elect whom they can reach, and 1 joins
/// them: the leader has a quorum, C-236.
#[test]
fn a_server_that_only_one_can_hear_is_not_elected() {
    let mut play = Play::of(5);
    play.apart = [(5, 2), (5, 3), (5, 4)].into();
    play.start(&[1, 2, 3, 4, 5]);
    play.pass(400);
    assert_eq!(
        play.roles(),
        ["1 following 4", "2 following 4", "3 following 4", "4 leading", "5 looking"]
    );
    play.establish(1);
    play.pass(100_000);
    assert_eq!(play.roles()[4], "5 looking", "it does not disturb them");
    play.apart.clear();
    play.kill(5);
    play.start(&[5]);
    play.pass(0);
    assert_eq!(play.roles()[4], "5 following 4");
}

/// Servers 1 and 2 hear server 3, which hears nothing: it stays in its round. They elect it,
/// cannot follow it, and elect one of them in the next round, C-236.
#[test]
fn a_server_that_hears_nothing_is_left_behind_in_its_round() {
    let mut play = Play::of(3);
    play.lost = [(1, 3), (2, 3)].into();
    play.start(&[1, 2, 3]);
    play.pass(200);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 looking"]);
    play.look(1);
    play.look(2);
    play.pass(400);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 looking"]);
    play.establish(1);
    play.lost.clear();
    play.pass(60_000);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 following 2"]);
}

#[test]
fn a_minority_elects_nobody() {
    let mut play = Play::of(5);
    play.apart = [1, 2].into_iter().flat_map(|one| [3, 4, 5].map(|other| (one, other))).collect();
    play.start(&[1, 2, 3, 4, 5]);
    play.pass(100_000);
    assert_eq!(
        play.roles(),
        ["1 looking", "2 looking", "3 following 5", "4 following 5", "5 leading"]
    );
}

/// Five of five, then three: whom the dead voted for does not matter.
#[test]
fn five_servers_with_two_dead_elect_the_best_of_three() {
    let mut play = Play::of(5);
    for sid in 1..=5 {
        play.has(sid, 1, 0x1_0000_0000 + sid as u64);
    }
    play.start(&[1, 2, 3, 4, 5]);
    play.pass(0);
    assert_eq!(play.roles()[4], "5 leading");
    play.establish(2);
    play.kill(5);
    play.kill(4);
    for sid in 1..=3 {
        play.look(sid);
    }
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
    assert_eq!(play.member(1).vote, (vote(3, 2, 0x1_0000_0003), 2));
}
