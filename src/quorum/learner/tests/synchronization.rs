//! Plays of the synchronization: what is durable when NEWLEADER is acknowledged.

use super::super::testing::*;
use super::super::words;
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumPacket, Zxid};
use crate::quorum::effect::Input;

fn diff() -> QuorumPacket {
    QuorumPacket::Diff { zxid: zxid(5, 0) }
}

/// C-217: after ZOOKEEPER-3911, 4643 and 4646.
#[test]
fn newleader_is_acknowledged_when_the_log_and_then_current_epoch_are_durable() {
    let mut play = Play::follower();
    play.discovers();
    assert_eq!(play.hears(diff()), NOTHING);
    assert_eq!(play.hears(proposal(4, 3)), NOTHING);
    assert_eq!(play.hears(commit(4, 3)), ["disk: append error -101 as 0x400000003"]);
    assert_eq!(play.hears(new_leader(5)), NOTHING, "the log is not durable");
    assert_eq!(play.persisted(), ["disk: currentEpoch 5", "commit 0x400000003"]);
    assert_eq!(play.waits(1), NOTHING, "the epoch is not durable");
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
    assert_eq!(play.hears(QuorumPacket::UpToDate), ["send ACK 0x500000000", "serve"]);
    assert_eq!(play.member.vote.0.peer_epoch, 5, "its vote tells the new epoch (C-224)");
}

/// C-218: a leader takes the first ACK for that of NEWLEADER (ZOOKEEPER-4685).
#[test]
fn no_proposal_is_acknowledged_before_newleader() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    play.hears(proposal(4, 3));
    play.hears(commit(4, 3));
    assert_eq!(play.persisted(), ["commit 0x400000003"], "durable, and no ACK");
    assert_eq!(play.hears(proposal(5, 1)), NOTHING, "not even logged");
    assert_eq!(play.hears(QuorumPacket::Ping { zxid: zxid(5, 1), touched: None }), NOTHING);
    assert_eq!(play.hears(new_leader(5)), ["disk: currentEpoch 5"]);
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
}

/// C-219: after ZOOKEEPER-4394.
#[test]
fn proposals_outstanding_at_newleader_are_logged_and_acknowledged_after_uptodate() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    assert_eq!(play.hears(proposal(5, 1)), NOTHING);
    play.hears(new_leader(5));
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
    assert_eq!(play.hears(proposal(5, 2)), NOTHING);
    assert_eq!(play.hears(commit(5, 1)), NOTHING);
    let told = [
        "disk: append error -101 as 0x500000001",
        "disk: append error -101 as 0x500000002",
        "send ACK 0x500000000",
        "serve",
    ];
    assert_eq!(play.hears(QuorumPacket::UpToDate), told);
    let told = ["send ACK 0x500000001", "send ACK 0x500000002", "commit 0x500000001"];
    assert_eq!(play.persisted(), told);
    assert_eq!(play.commit(2), ["commit 0x500000002"]);
}

/// C-219: nobody was promised them, so they are no part of the history that the next leader finds.
#[test]
fn what_is_kept_is_dropped_when_the_leader_is_lost() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    play.hears(proposal(4, 3));
    play.hears(commit(4, 3));
    play.hears(proposal(5, 1));
    play.hears(new_leader(5));
    let told = play.step(Input::LinkClosed { link: LinkId(0), why: "reset".to_owned() });
    assert_eq!(told, ["leaves: the link to the leader ended: reset"]);
    assert_eq!(play.unapplied, [zxid(4, 3)]);
    assert_eq!(play.member.last_logged, zxid(4, 3));
}

/// C-233: after ZOOKEEPER-4925.
#[test]
fn a_hole_in_the_sync_is_refused() {
    let holes = [(proposal(4, 4), "0x400000004"), (proposal(5, 2), "0x500000002")];
    for (packet, got) in holes {
        let mut play = Play::follower();
        play.discovers();
        play.hears(diff());
        let told = play.hears(packet);
        let words = format!("leaves: expected the transaction after 0x400000002, got {got}");
        assert_eq!(told[1], words);
    }
}

/// C-233: an epoch of its own goes on where the history ends.
#[test]
fn a_later_epoch_follows_wherever_the_earlier_one_ended() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    assert_eq!(play.hears(proposal(5, 1)), NOTHING);
    assert_eq!(play.hears(commit(5, 1)), ["disk: append error -101 as 0x500000001"]);
    let told = play.hears(proposal(6, 1));
    assert_eq!(told[1], "leaves: expected an epoch of at most 5, got 0x600000001");
}

/// C-233
#[test]
fn a_transaction_that_is_here_already_is_ignored_and_another_in_its_place_is_not() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    assert_eq!(play.hears(proposal(4, 2)), NOTHING);
    assert_eq!(play.hears(commit(4, 2)), NOTHING);
    let other = create(zxid(4, 2), 1, 1, "/other");
    let told = play.hears(QuorumPacket::Proposal { zxid: zxid(4, 2), txn: other });
    assert_eq!(
        told[1],
        "leaves: expected a transaction after 0x400000002, got another 0x400000002"
    );
}

#[test]
fn bytes_that_are_no_transaction_never_reach_the_log() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    let txn = error(4, 3).slice(..20);
    let told = play.hears(QuorumPacket::Proposal { zxid: zxid(4, 3), txn });
    assert!(told[1].starts_with("leaves: expected a transaction at 0x400000003"), "{told:?}");
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    let told = play.hears(QuorumPacket::Proposal { zxid: zxid(4, 3), txn: error(4, 4) });
    assert_eq!(told[1], "leaves: expected the transaction 0x400000003, got 0x400000004");
}

/// C-216, C-215: the tree is made anew from what the disk has.
#[test]
fn trunc_cuts_the_log_and_restores_the_tree_before_anything_follows() {
    let mut play = Play::follower();
    play.discovers();
    let told = play.hears(QuorumPacket::Trunc { zxid: zxid(4, 1) });
    assert_eq!(told, ["disk: truncate to 0x400000001"]);
    assert!(!play.member.database_is_current);
    assert_eq!(play.hears(proposal(5, 1)), NOTHING);
    assert_eq!(play.hears(commit(5, 1)), NOTHING, "kept");
    assert_eq!(play.persisted(), ["reload"]);
    assert_eq!(play.hears(new_leader(5)), NOTHING, "kept");
    assert_eq!(play.reloaded(zxid(4, 1)), ["disk: append error -101 as 0x500000001"]);
    assert_eq!(play.persisted(), ["disk: currentEpoch 5", "commit 0x500000001"]);
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
}

/// With the tree that was installed by then, the next attempt has less to wait for.
#[test]
fn no_more_than_64_mib_wait_for_a_tree_that_is_being_restored() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    play.step(Input::SnapshotArrived(LinkId(0)));
    for counter in 1..=63 {
        assert_eq!(play.hears(big_proposal(5, counter)), NOTHING);
    }
    let told = play.hears(big_proposal(5, 64));
    assert_eq!(told[1], "leaves: too much came while the tree was restored");
    assert_eq!(play.member.last_logged, zxid(4, 9));
}

/// Behind NEWLEADER nothing may be logged before UPTODATE, so that there is nothing else to do.
#[test]
fn no_more_than_64_mib_wait_for_uptodate() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    for counter in 1..=64 {
        play.hears(big_proposal(5, counter));
        assert!(!play.hears(commit(5, counter)).is_empty(), "logged, so it counts no more");
    }
    play.hears(new_leader(5));
    for counter in 65..=127 {
        assert_eq!(play.hears(big_proposal(5, counter)), NOTHING);
        assert_eq!(play.hears(commit(5, counter)), NOTHING);
    }
    let told = play.hears(big_proposal(5, 128));
    assert_eq!(told[1], "leaves: too much came that may not be logged before UPTODATE");
}

/// Apache's leader counts what a follower acknowledged over an older link: if that were cut off, it
/// could commit, together with its own disk, what only its own disk has.
#[test]
fn nothing_is_cut_that_its_own_leader_has_proposed() {
    let rejoins = |kind| {
        let mut play = Play::of(2, kind, |member| {
            member.accepted_epoch = Epoch(5);
            member.current_epoch = Epoch(5);
            member.last_logged = zxid(5, 4);
            member.acknowledged = zxid(5, 3);
        });
        play.step(Input::LinkOpened(LinkId(0)));
        play.hears(leader_info(5));
        play
    };
    let (trunc, snap) = (|zxid| QuorumPacket::Trunc { zxid }, |zxid| QuorumPacket::Snap { zxid });
    for packet in [trunc(zxid(5, 2)), trunc(zxid(4, 2)), snap(zxid(5, 2)), snap(zxid(4, 2))] {
        let told = rejoins(LearnerType::Participant).hears(packet.clone());
        let words = "leaves: expected 0x500000003 to stay, which is acknowledged, got";
        assert_eq!(told[1], format!("{words} {}", words::name(&packet)));
    }
    assert_eq!(rejoins(LearnerType::Participant).hears(snap(zxid(5, 3))), NOTHING);
    let cut = rejoins(LearnerType::Participant).hears(trunc(zxid(5, 3)));
    assert_eq!(cut, ["disk: truncate to 0x500000003"], "no more was acknowledged");
    // Nobody counts on an observer.
    let cut = rejoins(LearnerType::Observer).hears(trunc(zxid(5, 2)));
    assert_eq!(cut, ["disk: truncate to 0x500000002"]);
}

/// C-216: with a hole behind the cut the history would not be the leader's.
#[test]
fn a_tree_that_is_not_at_the_cut_is_no_tree_to_start_from() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Trunc { zxid: zxid(4, 1) });
    play.persisted();
    let told = play.reloaded(zxid(3, 9));
    assert_eq!(told[1], "leaves: expected a tree of 0x400000001, got one of 0x300000009");
    assert!(play.member.database_is_current, "it is what the disk has");
    assert_eq!(play.member.last_logged, zxid(3, 9));
}

/// An observer without a log may have been given what its leader had and no quorum. The next leader
/// has it go back, and it can only go further: it comes again with less, and nobody has sent anything
/// wrong (found by seed 310028008).
#[test]
fn without_a_log_there_is_only_the_snapshot_to_go_back_to() {
    let mut play = Play::of(4, LearnerType::Observer, |member| {
        (member.options.observer_logs, member.unlogged) = (false, true);
    });
    play.discovers();
    play.hears(QuorumPacket::Trunc { zxid: zxid(4, 1) });
    play.persisted();
    let told = play.reloaded(zxid(3, 9));
    let words = "leaves: without a log there is no way back to 0x400000001, only to the last \
                 snapshot, 0x300000009";
    assert_eq!(told.last().map(String::as_str), Some(words));
    assert_eq!((play.member.last_logged, play.member.unlogged), (zxid(3, 9), false));
}

/// A tree may be of a leader that nobody else followed. The next one has the learner go back behind
/// it, where there is nothing to cut: the history before the tree is still there, and nobody has sent
/// anything wrong (found by seed 30940987220354).
#[test]
fn a_tree_that_no_leader_has_is_given_up_for_the_history_before_it() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    play.step(Input::SnapshotArrived(LinkId(0)));
    play.persisted();
    play.reloaded(zxid(4, 9));
    assert!(play.member.tree_on_trial);
    assert_eq!(play.hears(new_leader(5)), ["disk: currentEpoch 5"]);
    assert!(!play.member.tree_on_trial, "from here on it counts");

    let mut play = Play::of(2, LearnerType::Participant, |member| member.tree_on_trial = true);
    play.discovers();
    let to = zxid(4, 1);
    let told = play.hears(QuorumPacket::Trunc { zxid: to });
    assert_eq!(told, ["disk: truncate to 0x400000001"]);
    play.persisted();
    let told = play.reloaded(zxid(3, 9));
    let words = "leaves: there is no 0x400000001 in an earlier leader's tree that was taken, and in \
                 the history before it: what there is now ends with 0x300000009";
    assert_eq!(told.last().map(String::as_str), Some(words));
    assert_eq!((play.member.last_logged, play.member.tree_on_trial), (zxid(3, 9), false));
}

/// C-216: after ZOOKEEPER-2872, 3104 and 3642.
#[test]
fn a_snapshot_is_durable_and_restored_before_newleader_is_acknowledged() {
    let mut play = Play::follower();
    play.discovers();
    assert_eq!(play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) }), NOTHING);
    let told = play.step(Input::SnapshotArrived(LinkId(0)));
    assert_eq!(told, ["disk: install the snapshot 0x400000009"]);
    play.hears(proposal(5, 1));
    play.hears(new_leader(5));
    assert_eq!(play.persisted(), ["reload"]);
    assert_eq!(play.reloaded(zxid(4, 9)), ["disk: currentEpoch 5"]);
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
    assert_eq!(play.member.committed.max(), zxid(4, 9));
}

/// C-216: whoever looks for a leader next restores the tree first.
#[test]
fn a_snapshot_that_breaks_off_leaves_the_tree_as_it_was_and_one_that_does_not_leaves_it_to_be_restored()
 {
    let closed = || Input::LinkClosed { link: LinkId(0), why: "reset".to_owned() };
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    play.step(closed());
    assert!(play.member.database_is_current);
    assert_eq!(play.member.last_logged, zxid(4, 2));
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    play.step(Input::SnapshotArrived(LinkId(0)));
    play.step(closed());
    assert!(!play.member.database_is_current);
    assert_eq!(play.unapplied, []);
}

#[test]
fn an_early_uptodate_a_second_newleader_and_one_of_another_epoch_are_refused() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    play.hears(new_leader(5));
    let told = play.hears(QuorumPacket::UpToDate);
    assert_eq!(told[1], "leaves: expected UPTODATE after NEWLEADER was acknowledged");
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    play.hears(new_leader(5));
    let told = play.hears(new_leader(5));
    assert_eq!(told[1], "leaves: expected one NEWLEADER, got another: 0x500000000");
    let mut play = Play::follower();
    play.discovers();
    play.hears(diff());
    let told = play.hears(new_leader(6));
    assert_eq!(told[1], "leaves: expected NEWLEADER 0x500000000, got 0x600000000");
}

/// Its acknowledgements may be forgotten, so that it is no follower before it has everything again.
#[test]
fn a_member_that_may_have_forgotten_joins_as_an_observer_and_then_again() {
    let mut play = Play::of(2, LearnerType::Observer, |member| {
        member.may_vote = false;
        member.options.observer_logs = false;
    });
    assert_eq!(play.step(Input::LinkOpened(LinkId(0))), ["send OBSERVERINFO of epoch 4"]);
    play.hears(leader_info(5));
    play.persisted();
    play.hears(diff());
    assert_eq!(play.hears(inform(5, 1)), ["disk: append error -101 as 0x500000001"]);
    play.hears(new_leader(5));
    assert_eq!(play.persisted(), ["disk: currentEpoch 5", "commit 0x500000001"]);
    play.persisted();
    assert!(!play.member.may_vote);
    let told = play.hears(QuorumPacket::UpToDate);
    assert_eq!(told[1], "leaves: the history is whole again: it joins with its vote");
    assert!(play.member.may_vote);
}

#[test]
fn a_leader_that_says_nothing_is_left_after_init_limit() {
    let mut play = Play::follower();
    play.discovers();
    play.now_ms = 500;
    play.hears(diff());
    assert_eq!(play.learner.as_ref().and_then(|learner| learner.next_deadline()), Some(1500));
    assert_eq!(play.waits(999), NOTHING);
    assert_eq!(play.waits(1)[1], "leaves: nothing heard of the leader for 1000 ms");
}

/// A tree may take longer than `initLimit`, as long as it comes.
#[test]
fn a_tree_may_come_slowly_and_not_stop() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    for _ in 0..10 {
        assert_eq!(play.waits(900), NOTHING);
        assert_eq!(play.step(Input::BytesMoved(LinkId(0))), NOTHING);
    }
    assert_eq!(play.step(Input::BytesMoved(LinkId(7))), NOTHING, "that is another link");
    assert_eq!(play.waits(999), NOTHING);
    assert_eq!(play.waits(1)[1], "leaves: nothing heard of the leader for 1000 ms");
}

/// C-226: what it has now counts.
#[test]
fn a_member_without_data_has_some_once_it_is_synchronized() {
    let mut play = Play::of(2, LearnerType::Participant, |member| {
        member.has_data = false;
        member.last_logged = Zxid::ZERO;
    });
    play.step(Input::LinkOpened(LinkId(0)));
    play.hears(leader_info(5));
    play.persisted();
    play.hears(QuorumPacket::Snap { zxid: zxid(4, 9) });
    play.step(Input::SnapshotArrived(LinkId(0)));
    play.persisted();
    play.reloaded(zxid(4, 9));
    play.hears(new_leader(5));
    assert!(!play.member.has_data);
    play.persisted();
    assert!(play.member.has_data);
}
