//! Who is silent goes; who hears no quorum leaves.

use super::*;

#[test]
fn everybody_who_serves_is_pinged_each_half_tick() {
    let mut play = Play::established(3, 0);
    assert_eq!(
        play.pass_time_until(1000),
        ["500 ms: to 2: PING", "500 ms: to 3: PING", "1000 ms: to 2: PING", "1000 ms: to 3: PING",]
    );
}

/// C-222
#[test]
fn a_learner_that_is_silent_for_sync_limit_is_dropped() {
    let mut play = Play::established(3, 0);
    assert_eq!(play.talk_until(3000, &[2]), NOTHING);
    let told = play.talk_until(4000, &[2]);
    assert_eq!(told, ["3500 ms: close 3: it was silent for syncLimit"]);
    assert_eq!(play.talk_until(60_000, &[2]), NOTHING, "two of three go on");
}

/// C-222: PINGs are answered, the disk is stuck.
#[test]
fn a_learner_that_acknowledges_nothing_for_sync_limit_is_dropped() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    let told = play.talk_until(4000, &[2, 3]);
    assert_eq!(told, ["3500 ms: close 3: it did not acknowledge a proposal within syncLimit"]);
}

/// C-222: its own disk.
#[test]
fn a_leader_with_a_stuck_disk_leaves() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.says(2, ack(0x1_0000_0001));
    play.says(3, ack(0x1_0000_0001));
    let told = play.talk_until(10_000, &[2, 3]);
    assert_eq!(
        told,
        [
            "3500 ms: leaves: the own disk is stuck for syncLimit",
            "3500 ms: not applied: 0x100000001"
        ]
    );
}

/// C-212
#[test]
fn without_a_quorum_at_a_full_tick_it_leaves() {
    let mut play = Play::established(3, 0);
    let told = play.talk_until(10_000, &[]);
    assert_eq!(
        told,
        [
            "3500 ms: close 2: it was silent for syncLimit",
            "3500 ms: close 3: it was silent for syncLimit",
            "4000 ms: leaves: no quorum was heard for syncLimit",
        ]
    );
}

/// C-230
#[test]
fn observers_make_no_quorum_and_their_silence_matters_to_nobody() {
    let mut play = Play::established(3, 0);
    play.opened(4);
    play.says(4, observer_info(4));
    play.says(4, ack_epoch(0, Some(0)));
    play.says(4, ack(1 << 32));
    let told = play.talk_until(60_000, &[2, 3]);
    assert_eq!(told, ["3500 ms: close 4: it was silent for syncLimit"]);
}

/// A tree takes its time; the limit is `initLimit` until NEWLEADER is acknowledged.
#[test]
fn a_learner_that_syncs_has_init_limit() {
    let mut play = Play::established(3, 0);
    play.opened(13);
    play.says(13, follower_info(3, 1));
    play.says(13, ack_epoch(0, None));
    assert_eq!(play.talk_until(10_000, &[2]), NOTHING);
    let told = play.talk_until(12_000, &[2]);
    assert_eq!(told, ["10500 ms: close 13: it did not acknowledge NEWLEADER within initLimit"]);
}

/// While a learner takes what it is sent it is no silent one, however long that lasts: neither for
/// its own link, nor for the quorum that the leader must hear.
#[test]
fn a_learner_that_is_sent_a_tree_is_alive_while_bytes_move() {
    let mut member = member(3, 0);
    member.options.force_snapshot_sync = true;
    let mut play = Play::of(member, &[]);
    play.establish([2]);
    play.opened(12);
    play.says(12, follower_info(2, 1));
    play.says(12, ack_epoch(0, None));
    for second in 1..=30 {
        assert_eq!(play.talk_until(second * 1000, &[]), NOTHING);
        play.step(Input::BytesMoved(link_of(12)));
    }
    let told = play.talk_until(50_000, &[]);
    let gone = "40500 ms: close 12: it did not acknowledge NEWLEADER within initLimit";
    assert_eq!(told, [gone, "41000 ms: leaves: no quorum was heard for syncLimit"]);
}

/// The same before anybody serves.
#[test]
fn a_leader_waits_for_a_tree_on_which_its_epoch_depends_while_bytes_move() {
    let mut member = member(3, 1);
    member.options.force_snapshot_sync = true;
    let mut play = Play::of(member, &[]);
    for (sid, info) in [(2, follower_info(2, 0)), (4, observer_info(4))] {
        play.opened(sid);
        play.says(sid, info);
    }
    play.settle();
    play.says(2, ack_epoch(0, Some(0)));
    play.settle();
    play.says(4, ack_epoch(0, Some(0)));
    for second in 1..=30 {
        assert_eq!(play.talk_until(second * 1000, &[]), NOTHING);
        play.step(Input::BytesMoved(link_of(2)));
        play.step(Input::BytesMoved(link_of(4)));
    }
    for second in 31..40 {
        play.talk_until(second * 1000, &[]);
        play.step(Input::BytesMoved(link_of(4)));
    }
    let told = play.talk_until(50_000, &[]);
    assert_eq!(told, ["40000 ms: leaves: no quorum is synchronized within initLimit"]);
}

#[test]
fn who_does_not_say_who_it_is_is_dropped() {
    let mut play = Play::established(3, 0);
    play.opened(9);
    let told = play.talk_until(12_000, &[2, 3]);
    assert_eq!(told, ["10500 ms: close 9: it did not say who it is"]);
}

/// While others are waited for, those who have everything are kept awake.
#[test]
fn who_is_synchronized_is_pinged_before_it_serves() {
    let mut play = Play::over(5, 0, &[]);
    for sid in [2, 3] {
        play.opened(sid);
        play.says(sid, follower_info(sid, 0));
    }
    play.settle();
    play.says(2, ack_epoch(0, Some(0)));
    play.says(3, ack_epoch(0, Some(0)));
    play.settle();
    assert_eq!(play.says(2, ack(1 << 32)), NOTHING);
    assert_eq!(play.pass_time_until(500), ["500 ms: to 2: PING"]);
}
