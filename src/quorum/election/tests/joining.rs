//! Who comes late finds the leader that is there.

use super::*;

/// Servers 1 and 2 follow, and server 2 leads, in epoch 1.
fn established() -> Play {
    let mut play = Play::of(3);
    play.start(&[1, 2]);
    play.pass(0);
    play.establish(1);
    play.told();
    play
}

/// The newcomer would win any election. It asks, is told, and joins; nobody else does anything,
/// C-225.
#[test]
fn a_late_joiner_finds_the_leader_without_disturbing_it() {
    let mut play = established();
    play.has(3, 0, 0x0_0000_0099);
    play.start(&[3]);
    play.pass(60_000);
    assert_eq!(
        play.told(),
        [
            "3 to 1: looking, 3 (epoch 0, zxid 0x99), round 1",
            "3 to 2: looking, 3 (epoch 0, zxid 0x99), round 1",
            "1 to 3: following, 2 (epoch 1, zxid 0x0), round 1",
            "2 to 3: leading, 2 (epoch 1, zxid 0x0), round 1",
            "3 ends: 2 (epoch 1, zxid 0x0), round 1, 0 ms",
        ]
    );
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 following 2"]);
}

/// Also one that has been through many rounds alone, C-225.
#[test]
fn a_joiner_of_a_later_round_takes_up_the_round_of_the_ensemble() {
    let mut play = established();
    play.member(3).round = 40;
    play.start(&[3]);
    play.pass(0);
    assert_eq!(play.roles()[2], "3 following 2");
    assert_eq!((play.member(3).round, play.member(3).vote.1), (1, 1));
}

/// Whether they were there from the beginning, came late or only observe: the votes that they give
/// out name the same leader and the same epoch, C-224.
#[test]
fn after_the_election_all_votes_name_the_same_leader_and_epoch() {
    let mut play = Play::new(&ensemble(5, 1));
    play.start(&[1, 2, 3, 4]);
    play.pass(0);
    play.establish(3);
    play.start(&[5, 6]);
    play.pass(60_000);
    assert_eq!(play.roles()[4..], ["5 following 4", "6 observing 4"]);
    let votes: Vec<_> = (1..=6).map(|sid| play.member(sid).vote.0).collect();
    assert_eq!(votes, [vote(4, 3, 0); 6]);
}

/// It asks when there is no leader yet, and finds one as soon as it asks again, however long it has
/// waited before.
#[test]
fn an_observer_learns_who_leads() {
    let mut play = Play::new(&ensemble(3, 1));
    play.start(&[4, 1]);
    play.pass(300_000);
    assert_eq!(play.roles(), ["1 looking", "4 looking"]);
    play.start(&[2]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "4 looking"]);
    play.establish(1);
    play.pass(2_000);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "4 observing 2"]);
}

/// The leader is dead, and its followers do not know yet.
#[test]
fn a_leader_that_does_not_say_so_itself_is_not_joined() {
    let mut play = Play::of(5);
    play.start(&[1]);
    for sid in 2..=4 {
        let follows = Notification { state: ServerState::Following, ..looking(vote(5, 1, 0), 1) };
        play.take(sid, 1, follows);
    }
    assert_eq!(play.roles(), ["1 looking"]);
    let leads = Notification { state: ServerState::Leading, ..looking(vote(5, 1, 0), 1) };
    play.take(5, 1, leads);
    assert_eq!(play.roles(), ["1 following 5"]);
}

/// While the epoch changes, in another round than the joiner's: like is compared with like.
#[test]
fn followers_of_different_epochs_are_no_quorum() {
    let mut play = Play::of(5);
    play.start(&[1]);
    let mut says = |from, state, epoch, version| {
        let n = Notification { state, version, ..looking(vote(5, epoch, 0), 6) };
        play.take(from, 1, n);
        play.roles()
    };
    says(5, ServerState::Leading, 2, 2);
    assert_eq!(says(3, ServerState::Following, 1, 2), ["1 looking"]);
    assert_eq!(says(4, ServerState::Following, 1, 2), ["1 looking"]);
    says(3, ServerState::Following, 2, 2);
    assert_eq!(says(4, ServerState::Following, 2, 2), ["1 following 5"]);
}

/// The followers are there, the leader has not ended its election; server 1 has long waited a minute
/// between two questions.
#[test]
fn who_knows_of_followers_asks_often() {
    let mut play = Play::of(3);
    play.start(&[1]);
    play.pass(200_000);
    let follows = Notification { state: ServerState::Following, ..looking(vote(3, 0, 0), 1) };
    play.take(2, 1, follows);
    play.told();
    play.pass(2_000);
    play.pass(2_000);
    assert_eq!(play.told(), ["1: connect the mesh", "1: connect the mesh"]);
}

/// Servers of before 3.5 may name another epoch: only the leader is compared with theirs.
#[test]
fn votes_of_the_form_of_3_4_are_counted() {
    let mut play = Play::of(5);
    play.start(&[1]);
    let mut says = |from, state, epoch, version| {
        let n = Notification { state, version, ..looking(vote(5, epoch, 0), 6) };
        play.take(from, 1, n);
        play.roles()
    };
    says(5, ServerState::Leading, 2, 2);
    says(3, ServerState::Following, 1, 0);
    assert_eq!(says(4, ServerState::Following, 0, 0), ["1 looking"], "3 and 4 are compared");
    assert_eq!(says(5, ServerState::Leading, 2, 2), ["1 following 5"]);

    let mut play = Play::of(3);
    play.start(&[1]);
    play.take(2, 1, Notification { version: 0, ..looking(vote(2, 0, 0), 1) });
    play.take(2, 1, Notification { version: 0, ..looking(vote(2, 0, 0), 1) });
    play.pass(200);
    assert_eq!(play.roles(), ["1 following 2"]);
}

/// Server 3 may have forgotten what it acknowledged. It has no vote, not even the one that would
/// make a quorum of 1 and 3; once the others have elected one of them it goes there as an observer.
#[test]
fn a_server_that_may_have_forgotten_waits_for_a_quorum_of_the_others() {
    let mut play = Play::of(3);
    play.has(1, 1, 0x1_0000_0001);
    play.member(3).may_vote = false;
    play.start(&[1, 3]);
    play.pass(10_000);
    let told = play.told();
    assert!(told.iter().any(|line| line == "3 to 1: looking, nobody, round 1"), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("3 to 1: looking, 1")), "{told:?}");
    assert_eq!(play.roles(), ["1 looking", "3 looking"]);
    play.start(&[2]);
    play.pass(200);
    assert_eq!(play.roles()[..2], ["1 leading", "2 following 1"]);
    play.pass(2_000);
    assert_eq!(play.roles(), ["1 leading", "2 following 1", "3 observing 1"]);
}

/// One of the two followers left is not a quorum of three.
#[test]
fn a_server_that_may_have_forgotten_does_not_make_up_a_quorum() {
    let mut play = Play::of(3);
    play.member(3).may_vote = false;
    play.start(&[3]);
    let leads = Notification { state: ServerState::Leading, ..looking(vote(2, 1, 0), 1) };
    play.take(2, 3, leads);
    assert_eq!(play.roles(), ["3 looking"]);
    let follows = Notification { state: ServerState::Following, ..looking(vote(2, 1, 0), 1) };
    play.take(1, 3, follows);
    assert_eq!(play.roles(), ["3 observing 2"]);
}

/// The followers have not noticed yet that their leader was killed. Started again, it is in the
/// round in which they elected it, but it has more now than it was elected for: it does not lead by
/// those votes.
#[test]
fn a_leader_started_again_is_not_the_leader_by_old_votes() {
    let mut play = Play::of(3);
    play.start(&[1, 2, 3]);
    play.pass(0);
    play.establish(1);
    play.kill(3);
    play.has(3, 1, 0x1_0000_0004);
    play.start(&[3]);
    play.pass(10_000);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 looking"]);
    play.look(1);
    play.look(2);
    play.pass(200);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
    assert_eq!(play.member(1).vote, (vote(3, 1, 0x1_0000_0004), 2));
}

/// Its followers' settling ended a moment before its own.
#[test]
fn a_leader_learns_from_its_followers_that_it_leads() {
    let mut play = Play::of(3);
    play.start(&[3]);
    for sid in [1, 2] {
        let follows = Notification { state: ServerState::Following, ..looking(vote(3, 0, 0), 1) };
        play.take(sid, 3, follows);
    }
    assert_eq!(play.roles(), ["3 leading"]);
}
