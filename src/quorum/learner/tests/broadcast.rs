//! Plays of the broadcast: what is acknowledged, applied, and when the leader is left.

use super::super::testing::*;
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket};
use crate::quorum::effect::Input;

#[test]
fn a_proposal_is_acknowledged_when_it_is_durable() {
    let mut play = Play::follower();
    play.joins();
    assert_eq!(play.proposal(1), ["disk: append error -101 as 0x500000001"]);
    assert_eq!(play.waits(1), NOTHING);
    assert_eq!(play.persisted(), ["send ACK 0x500000001"]);
    assert_eq!(play.commit(1), ["commit 0x500000001"]);
}

/// The rest of the ensemble may be faster than the own disk; the tree never is.
#[test]
fn a_commit_is_applied_when_it_is_durable_here() {
    let mut play = Play::follower();
    play.joins();
    play.proposal(1);
    play.proposal(2);
    assert_eq!(play.commit(1), NOTHING);
    assert_eq!(play.member.committed.max(), zxid(5, 1), "it is committed all the same");
    let told = ["send ACK 0x500000001", "send ACK 0x500000002", "commit 0x500000001"];
    assert_eq!(play.persisted(), told);
}

/// C-220
#[test]
fn a_commit_of_anything_but_the_oldest_proposal_ends_it() {
    let mut play = Play::follower();
    play.joins();
    play.proposal(1);
    play.proposal(2);
    let told = play.commit(2);
    assert_eq!(told[1], "leaves: expected a COMMIT of 0x500000001, got one of 0x500000002");
    let mut play = Play::follower();
    play.joins();
    let told = play.commit(1);
    assert_eq!(told[1], "leaves: expected no COMMIT, got one of 0x500000001");
}

/// C-221: the log may have more than the tree; whoever looks for a leader next is told what.
#[test]
fn what_is_logged_and_not_applied_is_handed_on_in_order() {
    let mut play = Play::follower();
    play.joins();
    play.proposal(1);
    play.persisted();
    play.commit(1);
    play.proposal(2);
    play.proposal(3);
    play.commit(2);
    play.step(Input::LinkClosed { link: LinkId(0), why: "reset".to_owned() });
    assert_eq!(play.unapplied, [zxid(5, 2), zxid(5, 3)]);
    assert_eq!(play.member.last_logged, zxid(5, 3));
    assert_eq!(play.member.committed.max(), zxid(5, 2));
}

/// C-229
#[test]
fn an_observer_logs_what_it_is_informed_of_and_acknowledges_nothing() {
    let mut play = Play::observer();
    play.joins();
    assert_eq!(play.hears(inform(5, 1)), ["disk: append error -101 as 0x500000001"]);
    assert_eq!(play.hears(inform(5, 2)), ["disk: append error -101 as 0x500000002"]);
    assert_eq!(play.persisted(), ["commit 0x500000001", "commit 0x500000002"]);
    let told = play.hears(inform(5, 4));
    assert_eq!(told[1], "leaves: expected the transaction after 0x500000002, got 0x500000004");
}

/// C-229; its disk must not claim an epoch of which it has nothing, for it may get a vote.
#[test]
fn an_observer_without_a_log_applies_at_once() {
    let mut play =
        Play::of(4, LearnerType::Observer, |member| member.options.observer_logs = false);
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(4, 2) });
    assert_eq!(play.hears(new_leader(5)), ["disk: currentEpoch 4"]);
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
    play.hears(QuorumPacket::UpToDate);
    assert_eq!(play.hears(inform(5, 1)), ["commit 0x500000001"]);
    assert!(play.member.unlogged);
    assert_eq!(play.member.last_logged, zxid(5, 1), "it is where it goes on from");
}

#[test]
fn a_ping_is_answered_and_a_silent_leader_is_left_after_sync_limit() {
    let mut play = Play::follower();
    play.joins();
    play.now_ms = 400;
    let ping = QuorumPacket::Ping { zxid: zxid(5, 7), touched: None };
    assert_eq!(play.hears(ping), ["send PING 0x500000007 []"]);
    assert_eq!(play.waits(499), NOTHING);
    let told = play.waits(1);
    assert_eq!(told[1], "leaves: nothing heard of the leader for 500 ms");
}

#[test]
fn a_proposal_that_comes_twice_is_logged_once() {
    let mut play = Play::follower();
    play.joins();
    play.proposal(1);
    assert_eq!(play.proposal(1), NOTHING);
    assert_eq!(play.persisted(), ["send ACK 0x500000001"]);
    assert_eq!(play.commit(1), ["commit 0x500000001"]);
    assert_eq!(play.commit(1), NOTHING);
    assert_eq!(play.commit(1)[1], "leaves: expected no COMMIT, got one of 0x500000001");
}

#[test]
fn what_only_a_learner_sends_or_only_a_beginning_has_ends_it() {
    let (me, other) = (LearnerType::Participant, LearnerType::Observer);
    let packets = [
        (me, QuorumPacket::UpToDate),
        (me, new_leader(5)),
        (me, inform(5, 1)),
        (me, QuorumPacket::Snap { zxid: zxid(5, 1) }),
        (me, QuorumPacket::Ack { zxid: zxid(5, 1) }),
        (other, proposal(5, 1)),
        (other, commit(5, 1)),
        (me, QuorumPacket::Sync),
    ];
    for (kind, packet) in packets {
        let mut play = Play::of(2, kind, |_| {});
        play.joins();
        let told = play.hears(packet);
        assert!(told[1].starts_with("leaves: expected "), "{told:?}");
    }
}
