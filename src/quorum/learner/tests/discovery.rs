//! Plays of the beginning: dialling, and the promise of an epoch.

use super::super::testing::*;
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumPacket, Sid, Zxid};
use crate::quorum::effect::Input;
use crate::quorum::member::Member;

fn closed(link: u64) -> Input {
    Input::LinkClosed { link: LinkId(link), why: "refused".to_owned() }
}

#[test]
fn a_leader_is_dialled_five_times_at_most() {
    let mut play = Play::follower();
    for link in 1..5 {
        assert_eq!(play.step(closed(link - 1)), NOTHING);
        assert_eq!(play.waits(99), NOTHING);
        assert_eq!(play.waits(1), [format!("dial server 1 over link {link}")]);
    }
    assert_eq!(play.step(closed(4)), ["leaves: the leader cannot be reached: refused"]);
}

#[test]
fn the_pause_between_two_dials_is_leader_connect_delay() {
    let slower = |member: &mut Member| member.options.leader_connect_delay_ms = 250;
    let mut play = Play::of(2, LearnerType::Participant, slower);
    assert_eq!(play.step(closed(0)), NOTHING);
    assert_eq!(play.waits(249), NOTHING);
    assert_eq!(play.waits(1), ["dial server 1 over link 1"]);
}

/// One that has only just been started may need longer to listen.
#[test]
fn a_leader_that_lives_is_dialled_for_two_seconds() {
    let mut play = Play::of(2, LearnerType::Participant, |member| {
        member.options.init_limit *= 10;
        member.connected.insert(Sid(1));
    });
    for link in 1..25 {
        assert_eq!(play.step(closed(link - 1)), NOTHING);
        assert_eq!(play.waits(100), [format!("dial server 1 over link {link}")]);
    }
    // Of those, the last four came after two seconds.
    assert_eq!(play.step(closed(24)), ["leaves: the leader cannot be reached: refused"]);
}

/// It may need a moment to learn that it was elected.
#[test]
fn a_leader_that_hangs_up_before_it_says_anything_is_dialled_again() {
    let mut play = Play::follower();
    assert_eq!(play.step(Input::LinkOpened(LinkId(0))), ["send FOLLOWERINFO of epoch 4"]);
    assert_eq!(play.step(closed(0)), NOTHING);
    assert_eq!(play.waits(100), ["dial server 1 over link 1"]);
    assert_eq!(play.step(closed(0)), NOTHING, "an old link's news is no news");
}

#[test]
fn dialling_takes_no_longer_than_init_limit() {
    let mut play = Play::follower();
    assert_eq!(play.waits(999), NOTHING);
    let told = [
        "close link 0: the leader is left: the leader cannot be reached in time",
        "leaves: the leader cannot be reached in time",
    ];
    assert_eq!(play.waits(1), told);
}

#[test]
fn an_epoch_is_promised_when_accepted_epoch_is_durable() {
    let mut play = Play::follower();
    assert_eq!(play.step(Input::LinkOpened(LinkId(0))), ["send FOLLOWERINFO of epoch 4"]);
    assert_eq!(play.hears(leader_info(5)), ["disk: acceptedEpoch 5"]);
    assert_eq!(play.waits(1), NOTHING);
    assert_eq!(play.persisted(), ["send ACKEPOCH of epoch 4 with 0x400000002"]);
}

/// A leader whose epoch never stood told it to observers, too: they must not stay alone until the
/// epoch that does stand has caught up.
#[test]
fn an_observer_follows_an_epoch_before_the_one_it_has_promised() {
    let promised = |member: &mut Member| member.accepted_epoch = Epoch(7);
    let mut play = Play::of(4, LearnerType::Observer, promised);
    play.step(Input::LinkOpened(LinkId(0)));
    assert_eq!(play.hears(leader_info(5)), ["send ACKEPOCH once more with 0x400000002"]);
    assert_eq!(play.member.accepted_epoch, Epoch(7), "the promise stays");
    let entered =
        |member: &mut Member| (member.accepted_epoch, member.current_epoch) = (Epoch(7), Epoch(7));
    let mut play = Play::of(4, LearnerType::Observer, entered);
    play.step(Input::LinkOpened(LinkId(0)));
    let told = play.hears(leader_info(5));
    assert!(told.last().unwrap().starts_with("leaves: "), "it has seen more: {told:?}");
    let mut play = Play::of(2, LearnerType::Participant, promised);
    play.step(Input::LinkOpened(LinkId(0)));
    let told = play.hears(leader_info(5));
    assert!(told.last().unwrap().starts_with("leaves: "), "it counts: {told:?}");
}

#[test]
fn an_epoch_that_was_promised_before_is_not_to_be_counted_again() {
    let mut play = Play::follower();
    play.step(Input::LinkOpened(LinkId(0)));
    assert_eq!(play.hears(leader_info(4)), ["send ACKEPOCH once more with 0x400000002"]);
}

#[test]
fn an_older_epoch_is_not_followed() {
    let mut play = Play::follower();
    play.step(Input::LinkOpened(LinkId(0)));
    let told = [
        "close link 0: the leader is left: expected an epoch of at least 4, which is promised, got 3",
        "leaves: expected an epoch of at least 4, which is promised, got 3",
    ];
    assert_eq!(play.hears(leader_info(3)), told);
}

#[test]
fn no_epoch_is_promised_behind_which_there_is_none() {
    let mut play = Play::follower();
    play.step(Input::LinkOpened(LinkId(0)));
    let told = play.hears(leader_info(u32::MAX));
    assert_eq!(told[1], "leaves: expected an epoch of at most 2147483647, got 4294967295");
    assert_eq!(play.member.accepted_epoch, Epoch(4));
}

/// C-226
#[test]
fn a_member_without_data_says_so() {
    let mut play = Play::of(2, LearnerType::Participant, |member| {
        member.last_logged = Zxid::ZERO;
        member.has_data = false;
    });
    play.step(Input::LinkOpened(LinkId(0)));
    play.hears(leader_info(5));
    assert_eq!(play.persisted(), ["send ACKEPOCH of epoch 4 with 0xffffffffffffffff"]);
}

#[test]
fn whatever_else_comes_first_is_no_leader_s() {
    for packet in [QuorumPacket::UpToDate, proposal(5, 1), new_leader(5), QuorumPacket::Sync] {
        let mut play = Play::follower();
        play.step(Input::LinkOpened(LinkId(0)));
        let told = play.hears(packet);
        assert!(told[1].starts_with("leaves: expected LEADERINFO, got "), "{told:?}");
    }
}
