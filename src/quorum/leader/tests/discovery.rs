//! From the first FOLLOWERINFO to the first served client.

use super::*;
use crate::proto::Epoch;

/// C-207: the whole road, of three servers that have nothing.
#[test]
fn an_elected_server_leads_when_quorums_have_promised_and_have_everything() {
    let mut play = Play::over(3, 0, &[]);
    assert_eq!(play.opened(2), NOTHING);
    assert_eq!(play.says(2, follower_info(2, 0)), ["disk: acceptedEpoch 1, ticket 1"]);
    assert_eq!(play.persisted(1), ["to 2: LEADERINFO 1"]);
    assert_eq!(play.says(2, ack_epoch(0, Some(0))), ["disk: currentEpoch 1, ticket 2"]);
    assert_eq!(play.persisted(2), ["to 2: DIFF 0x0", "to 2: NEWLEADER 0x100000000"]);
    assert_eq!(play.says(2, ack(1 << 32)), ["to 2: UPTODATE", "serve"]);
    assert_eq!(play.says(2, ack(1 << 32)), NOTHING, "the ACK of UPTODATE");
    assert_eq!(play.member.vote.0.peer_epoch, 1, "votes tell the new epoch (C-224)");
}

/// 9.3's third rule, which the type of LEADERINFO's content holds too.
#[test]
fn leaderinfo_leaves_only_after_accepted_epoch_is_durable() {
    let mut play = Play::over(3, 0, &[]);
    play.opened(2);
    play.opened(3);
    play.says(2, follower_info(2, 6));
    assert_eq!(
        play.says(3, follower_info(3, 4)),
        NOTHING,
        "nobody is told before the disk reports"
    );
    assert_eq!(play.persisted(1), ["to 2: LEADERINFO 7", "to 3: LEADERINFO 7"]);
}

/// The new epoch is above every promise of the members, observers' too.
#[test]
fn the_new_epoch_is_above_every_promise() {
    let mut play = Play::over(5, 1, &[0x3_0000_0001]);
    for sid in [2, 6] {
        play.opened(sid);
    }
    assert_eq!(play.says(6, QuorumPacket::ObserverInfo(info(6, 8))), NOTHING);
    assert_eq!(play.says(2, follower_info(2, 5)), NOTHING, "two of five are no quorum");
    play.opened(3);
    assert_eq!(play.says(3, follower_info(3, 2)), ["disk: acceptedEpoch 9, ticket 1"]);
}

/// Anybody can dial and claim anything.
#[test]
fn a_stranger_does_not_raise_the_epoch() {
    let mut play = Play::over(3, 0, &[0x3_0000_0001]);
    for sid in [2, 7] {
        play.opened(sid);
    }
    assert_eq!(play.says(7, follower_info(7, 9000)), NOTHING);
    assert_eq!(play.says(2, follower_info(2, 3)), ["disk: acceptedEpoch 4, ticket 1"]);
}

/// Epochs are used up once and for all: behind 2147483647 nobody could lead.
#[test]
fn who_claims_an_epoch_that_nobody_can_have_reached_is_refused() {
    for established in [false, true] {
        let mut play = Play::over(3, 0, &[0x3_0000_0001]);
        if established {
            play.establish([2]);
        }
        let most = play.member.accepted_epoch.0 + (1 << 20);
        for absurd in [most + 1, Epoch::LAST.0 - 1, u32::MAX] {
            play.opened(3);
            let told = play.says(3, follower_info(3, absurd));
            let words = format!("close 3: expected an epoch of at most {most}, got {absurd}");
            assert_eq!(told, [words], "and it goes on");
        }
    }
    let mut play = Play::over(3, 0, &[0x3_0000_0001]);
    play.opened(3);
    assert_eq!(
        play.says(3, follower_info(3, 3 + (1 << 20))),
        ["disk: acceptedEpoch 1048580, ticket 1"],
        "as far is far, but possible"
    );
}

/// The last epoch is never proposed.
#[test]
fn there_is_no_epoch_behind_the_last() {
    let mut member = member(3, 0);
    member.accepted_epoch = Epoch(Epoch::LAST.0 - 2);
    let mut play = Play::of(member, &[]);
    play.opened(3);
    let told = play.says(3, follower_info(3, Epoch::LAST.0));
    assert_eq!(told, ["close 3: expected an epoch of at most 2147483646, got 2147483647"]);
    play.opened(2);
    let told = play.says(2, follower_info(2, Epoch::LAST.0 - 1));
    assert_eq!(told, ["disk: acceptedEpoch 2147483647, ticket 1"]);
}

#[test]
fn nobody_is_synchronized_before_the_entry_into_the_epoch_is_durable() {
    let mut play = Play::over(5, 0, &[0x3_0000_0001]);
    for sid in [2, 3] {
        play.opened(sid);
        play.says(sid, follower_info(sid, 3));
    }
    play.settle();
    assert_eq!(play.says(2, ack_epoch(0x3_0000_0001, Some(3))), NOTHING, "two of five");
    let told = play.says(3, ack_epoch(0x3_0000_0001, Some(3)));
    assert_eq!(told, ["disk: currentEpoch 4, ticket 2"]);
    assert_eq!(
        play.persisted(2),
        [
            "to 2: DIFF 0x300000001",
            "to 2: NEWLEADER 0x400000000",
            "to 3: DIFF 0x300000001",
            "to 3: NEWLEADER 0x400000000",
        ]
    );
}

/// A promise that was given before is not counted again.
#[test]
fn a_promise_of_an_earlier_attempt_does_not_count() {
    let mut play = Play::over(3, 0, &[]);
    play.opened(2);
    play.says(2, follower_info(2, 0));
    play.settle();
    assert_eq!(play.says(2, ack_epoch(0, None)), NOTHING);
    play.opened(3);
    assert_eq!(play.says(3, follower_info(3, 0)), ["to 3: LEADERINFO 1"]);
    assert_eq!(play.says(3, ack_epoch(0, Some(0))), ["disk: currentEpoch 1, ticket 2"]);
}

#[test]
fn a_learner_that_is_ahead_makes_the_leader_give_up() {
    for (zxid, epoch) in [(0x2_0000_0006, 2), (0x2_0000_0001, 3)] {
        let mut play = Play::over(3, 0, &[0x2_0000_0005]);
        play.opened(2);
        play.says(2, follower_info(2, 2));
        play.settle();
        let told = play.says(2, ack_epoch(zxid, Some(epoch)));
        assert!(told.len() == 1 && told[0].starts_with("leaves: server 2 is ahead"), "{told:?}");
    }
}

/// C-226, and an observer's promise.
#[test]
fn whoever_has_no_data_or_no_vote_is_not_counted() {
    let mut play = Play::over(3, 1, &[0x2_0000_0005]);
    for sid in [2, 4] {
        play.opened(sid);
    }
    play.says(4, observer_info(4));
    play.says(2, follower_info(2, 2));
    play.settle();
    assert_eq!(play.says(4, ack_epoch(0x9_0000_0000, Some(9))), NOTHING, "nor is it ahead");
    assert_eq!(play.says(2, ack_epoch(u64::MAX, Some(0))), NOTHING);
}

/// C-232
#[test]
fn a_learner_with_a_newer_configuration_is_refused() {
    let mut play = Play::over(3, 0, &[]);
    play.opened(2);
    let newer = LearnerInfo { config_version: 0x1_0000_0007, ..info(2, 0) };
    let told = play.says(2, QuorumPacket::FollowerInfo(newer));
    assert_eq!(told, ["close 2: expected a configuration of version 0 or older, got 100000007"]);
}

#[test]
fn without_a_quorum_within_init_limit_it_leaves() {
    let mut play = Play::over(3, 0, &[]);
    assert_eq!(
        play.pass_time_until(30_000),
        ["10000 ms: leaves: no quorum has come within initLimit"]
    );
}

/// Each phase has its time.
#[test]
fn without_a_quorum_that_has_everything_it_leaves() {
    let mut play = Play::over(3, 0, &[]);
    play.now_ms = 6000;
    play.opened(2);
    play.says(2, follower_info(2, 0));
    play.settle();
    play.says(2, ack_epoch(0, Some(0)));
    play.settle();
    let told = play.pass_time_until(30_000);
    assert_eq!(told, ["16000 ms: leaves: no quorum is synchronized within initLimit"]);
}

/// C-225: a learner that comes later passes the same steps, answered at once.
#[test]
fn who_comes_later_is_told_the_same_epoch() {
    let mut play = Play::established(3, 0);
    play.opened(13);
    let told = play.says(13, follower_info(3, 0));
    assert_eq!(told, ["close 3: it has connected anew", "to 13: LEADERINFO 1"]);
    assert_eq!(
        play.says(13, ack_epoch(0, None)),
        ["to 13: DIFF 0x0", "to 13: NEWLEADER 0x100000000"]
    );
    assert_eq!(play.says(13, ack(1 << 32)), ["to 13: UPTODATE"]);
}

/// It might never follow this epoch, and would stay outside.
#[test]
fn a_voter_that_has_promised_a_later_epoch_makes_the_leader_give_up() {
    let mut play = Play::established(3, 0);
    play.opened(13);
    let told = play.says(13, follower_info(3, 2));
    assert!(
        told.contains(&"leaves: server 3 has promised to follow epoch 2".to_owned()),
        "{told:?}"
    );
    assert_eq!(play.member.accepted_epoch, Epoch(1));
}

/// Nobody is waited for, and nothing but the disk.
#[test]
fn a_server_that_is_a_quorum_of_its_own_leads_as_soon_as_its_disk_allows() {
    let mut play = Play::over(1, 0, &[]);
    assert_eq!(play.persisted(1), ["disk: currentEpoch 1, ticket 2"]);
    assert_eq!(play.persisted(2), ["serve"]);
    assert_eq!(play.connect(1, 0), ["disk: append createSession 4000 as 0x100000001, ticket 3"]);
    assert_eq!(play.persisted(3), ["commit 0x100000001"]);
}

/// Told to stop, it lets others lead at once.
#[test]
fn leadership_is_released_at_a_stop() {
    let mut play = Play::established(3, 0);
    assert_eq!(play.step(Input::Stop), ["leaves: leadership released"]);
}

/// C-231
#[test]
fn a_leader_that_does_not_serve_has_no_clients() {
    let mut member = member(3, 0);
    member.options.leader_serves = false;
    let mut play = Play::of(member, &[]);
    play.establish([2, 3]);
    assert!(!play.leader.as_ref().is_some_and(Leader::serves));
}
