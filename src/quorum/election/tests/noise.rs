//! What no honest server says: nobody is elected by it, nobody is disturbed, nothing panics.

use super::*;

const ODD: [i64; 7] = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];

#[test]
fn votes_of_and_for_strangers_are_ignored() {
    let mut play = Play::of(3);
    play.start(&[1]);
    play.take(7, 1, looking(vote(1, 0, 0), 1));
    play.take(8, 1, looking(vote(1, 9, 9), 9));
    play.take(2, 1, looking(vote(7, 9, 9), 9));
    play.take(3, 1, looking(vote(7, 9, 9), 9));
    assert_eq!((play.roles(), play.member(1).round), (vec!["1 looking".to_owned()], 1));
}

/// Whoever claims the last round there is takes everybody there; they elect in it, again and again,
/// and who comes late joins them.
#[test]
fn an_absurd_round_does_not_end_all_elections() {
    let mut play = Play::of(3);
    play.start(&[1]);
    play.take(2, 1, looking(vote(2, 0, 0), i64::MAX));
    play.look(1);
    play.start(&[2]);
    for epoch in 1..4 {
        play.pass(0);
        assert_eq!(play.roles(), ["1 following 2", "2 leading"]);
        play.establish(epoch);
        play.look(1);
        play.look(2);
    }
    play.pass(0);
    play.start(&[3]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 following 2"]);
    assert_eq!(play.member(3).vote.1, i64::MAX);
}

/// Every combination of odd numbers in every field, from everybody, to servers of every kind; then
/// the servers agree as if nothing had been.
#[test]
fn odd_numbers_do_no_harm() {
    let states = [
        ServerState::Looking,
        ServerState::Following,
        ServerState::Leading,
        ServerState::Observing,
    ];
    let mut play = Play::new(&ensemble(3, 1));
    play.has(1, 1, 0x1_0000_0005);
    play.member(2).has_data = false;
    play.start(&[1, 2, 4]);
    for leader in ODD {
        for zxid in ODD {
            for epoch in ODD {
                for round in ODD {
                    for (state, version) in states.into_iter().flat_map(|s| [(s, 0), (s, 2)]) {
                        for from in [3, 4, i64::MIN] {
                            let odd = looking(vote(leader, epoch, zxid), round);
                            let n = Notification { state, version, ..odd };
                            for to in [1, 2, 4] {
                                play.take(from, to, n.clone());
                            }
                        }
                    }
                }
            }
            play.wires.clear();
        }
    }
    assert_eq!(play.roles(), ["1 looking", "2 looking", "4 looking"]);
    play.start(&[3]);
    play.pass(60_000);
    assert_eq!(play.roles(), ["1 leading", "2 following 1", "3 following 1", "4 observing 1"]);
}

/// Server 2 repeats what 1 once had. Nobody knows better than 1 what it has.
#[test]
fn a_vote_for_oneself_with_another_claim_is_not_supported() {
    let mut play = Play::of(3);
    play.has(1, 1, 0x1_0000_0003);
    play.start(&[1]);
    for from in [2, 3] {
        play.take(from, 1, looking(vote(1, 1, 0x1_0000_0009), 1));
    }
    assert_eq!(play.roles(), ["1 looking"]);
    for from in [2, 3] {
        play.take(from, 1, looking(vote(1, 1, 0x1_0000_0003), 1));
    }
    assert_eq!(play.roles(), ["1 leading"]);
}

/// A voter answers an observer, and a server of a later round one of an earlier. Together they would
/// go on for ever.
#[test]
fn an_observer_of_a_later_round_and_a_voter_do_not_answer_each_other_for_ever() {
    let mut play = Play::new(&ensemble(3, 1));
    play.member(4).round = 7;
    play.start(&[1, 4]);
    play.pass(0);
    let told = play.told();
    let between = told.iter().filter(|line| line.contains(" to ")).collect::<Vec<_>>();
    assert_eq!(between, ["4 to 1: looking, nobody, round 8"]);
    // Apache ZooKeeper's observers do answer.
    play.take(4, 1, looking(Vote { leader: Sid::NOBODY, zxid: 0, peer_epoch: 0 }, 8));
    assert!(play.wires.is_empty());
}

/// Two servers that do not know each other's votes do not answer each other for ever; nor does one
/// answer itself.
#[test]
fn only_who_looks_for_a_leader_is_answered() {
    let mut play = Play::of(3);
    play.start(&[1, 2]);
    play.pass(0);
    play.told();
    for state in [ServerState::Following, ServerState::Leading, ServerState::Observing] {
        for from in [1, 3, 9] {
            play.take(from, 1, Notification { state, ..looking(vote(3, 1, 0), 1) });
        }
    }
    assert!(play.wires.is_empty(), "{:?}", play.wires);
    play.take(9, 1, looking(vote(9, 1, 0), 1));
    play.take(3, 1, looking(vote(3, 1, 0), 1));
    assert_eq!(play.wires.iter().map(|(_, to, _)| *to).collect::<Vec<_>>(), [9, 3]);
}
