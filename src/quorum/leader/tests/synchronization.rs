//! Learners are brought to where the leader is while it goes on.

use super::*;
use crate::quorum::effect::LogSurvey;

/// The leader's history before its epoch.
const HISTORY: [u64; 3] = [0x1_0000_0001, 0x1_0000_0002, 0x1_0000_0003];

/// A leader of epoch 2 over that history, with server 2; server 3 is on its way.
fn with_one_follower() -> Play {
    let mut play = Play::over(3, 0, &HISTORY);
    play.establish([2]);
    play.opened(3);
    play.says(3, follower_info(3, 1));
    play
}

/// C-214
#[test]
fn who_lags_a_little_gets_a_diff() {
    let mut play = with_one_follower();
    assert_eq!(
        play.says(3, ack_epoch(0x1_0000_0001, Some(1))),
        [
            "to 3: DIFF 0x100000003",
            "to 3: PROPOSAL 0x100000002",
            "to 3: COMMIT 0x100000002",
            "to 3: PROPOSAL 0x100000003",
            "to 3: COMMIT 0x100000003",
            "to 3: NEWLEADER 0x200000000",
        ]
    );
}

/// C-214, C-213
#[test]
fn who_is_ahead_cuts() {
    let mut play = with_one_follower();
    assert_eq!(
        play.says(3, ack_epoch(0x1_0000_0009, Some(1))),
        ["to 3: TRUNC 0x100000003", "to 3: NEWLEADER 0x200000000"]
    );
}

/// C-214
#[test]
fn who_has_something_else_gets_the_tree() {
    let mut play = with_one_follower();
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x2_0000_0001));
    assert_eq!(
        play.says(3, ack_epoch(0x1_0000_0004, Some(1))),
        ["to 3: NEWLEADER 0x200000000", "to 3: the tree at 0x200000001"]
    );
}

/// C-155: the tree takes the place of the learner's history. What a quorum has committed with the
/// learner's help, and what is not on the leader's own disk yet, would be on too few of them.
#[test]
fn a_tree_waits_for_what_its_learner_has_acknowledged() {
    let mut member = member(3, 0);
    member.options.force_snapshot_sync = true;
    let mut play = Play::of(member, &HISTORY);
    play.establish([2, 3]);
    play.connect(1, 0);
    play.says(2, ack(0x2_0000_0001));
    let told = play.says(3, ack(0x2_0000_0001));
    assert_eq!(told, ["to 2: COMMIT 0x200000001", "to 3: COMMIT 0x200000001"], "and not let go");
    play.step(Input::LinkClosed { link: link_of(3), why: "reset".into() });
    play.opened(4);
    play.says(4, follower_info(3, 2));
    assert_eq!(play.says(4, ack_epoch(0x2_0000_0001, None)), [""; 0]);
    assert_eq!(
        play.settle(),
        ["to 4: NEWLEADER 0x200000000", "commit 0x200000001", "to 4: the tree at 0x200000001",]
    );
}

/// TLA+ 1: from the choice on, everything goes to the learner, in order and once.
#[test]
fn a_proposal_made_while_a_learner_syncs_reaches_it_exactly_once() {
    let mut play = with_one_follower();
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x2_0000_0001));
    play.connect(2, 0);
    assert_eq!(
        play.says(3, ack_epoch(0x1_0000_0003, Some(1))),
        [
            "to 3: DIFF 0x200000001",
            "to 3: PROPOSAL 0x200000001",
            "to 3: COMMIT 0x200000001",
            "to 3: PROPOSAL 0x200000002",
            "to 3: NEWLEADER 0x200000000",
        ]
    );
    let told = play.connect(3, 0);
    assert_eq!(told[1..], ["to 2: PROPOSAL 0x200000003", "to 3: PROPOSAL 0x200000003"]);
    play.settle();
    assert_eq!(
        play.says(2, ack(0x2_0000_0002)),
        ["to 2: COMMIT 0x200000002", "to 3: COMMIT 0x200000002", "commit 0x200000002"],
        "between NEWLEADER and its ACK"
    );
    assert_eq!(play.says(3, ack(2 << 32)), ["to 3: UPTODATE"], "behind every COMMIT (TLA+ 3)");
}

/// ZOOKEEPER-4685: it is not taken for the ACK of NEWLEADER, nor does it count before that. Then it
/// does: Apache's learners of before 3.9.3 do not say it again, and nothing would ever be committed.
#[test]
fn an_ack_of_a_proposal_before_that_of_newleader_counts_with_that() {
    let mut play = with_one_follower();
    play.says(3, ack_epoch(0x1_0000_0003, Some(1)));
    play.connect(1, 0);
    play.settle();
    assert_eq!(play.says(3, ack(0x2_0000_0001)), NOTHING);
    play.says(3, ack(0x2_0000_0009));
    assert_eq!(
        play.says(3, ack(2 << 32)),
        [
            "to 3: UPTODATE",
            "to 2: COMMIT 0x200000001",
            "to 3: COMMIT 0x200000001",
            "commit 0x200000001",
        ]
    );
    assert_eq!(play.says(3, ack(0x2_0000_0001)), NOTHING);
}

/// C-222: what came with the sync is to be acknowledged like anything else.
#[test]
fn who_never_acknowledges_what_came_with_its_sync_is_dropped() {
    let mut play = with_one_follower();
    play.connect(1, 0);
    play.settle();
    play.says(3, ack_epoch(0x1_0000_0003, Some(1)));
    play.says(3, ack(2 << 32));
    play.says(3, ack(2 << 32));
    let dropped = "3500 ms: close 3: it did not acknowledge a proposal within syncLimit";
    let told = play.talk_until(5000, &[2, 3]);
    assert!(told.iter().any(|line| line == dropped), "{told:?}");
}

/// It may have lost what it acknowledged over its older link.
#[test]
fn acks_of_a_rejoined_server_are_forgotten() {
    let mut play = Play::established(5, 0);
    play.connect(1, 0);
    play.settle();
    assert_eq!(play.says(2, ack(0x1_0000_0001)), NOTHING);
    play.opened(12);
    play.says(12, follower_info(2, 1));
    assert_eq!(
        play.says(12, ack_epoch(0, None)),
        ["to 12: DIFF 0x0", "to 12: PROPOSAL 0x100000001", "to 12: NEWLEADER 0x100000000"]
    );
    assert_eq!(play.says(3, ack(0x1_0000_0001)), NOTHING, "servers 1 and 3 alone");
    play.says(12, ack(1 << 32));
    let told = play.says(12, ack(0x1_0000_0001));
    assert_eq!(told.last().map(String::as_str), Some("commit 0x100000001"));
}

/// What a follower logged of this leader's it is not made to cut: its acknowledgement was true and
/// stays true, and the tree it comes with is right as soon as that is committed.
#[test]
fn who_comes_back_with_what_is_only_proposed_waits_until_it_is_committed() {
    let mut play = Play::established(5, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    play.connect(2, 0);
    play.says(2, ack(0x1_0000_0002));
    play.opened(12);
    play.says(12, follower_info(2, 1));
    assert_eq!(play.says(12, ack_epoch(0x1_0000_0001, None)), NOTHING);
    let told = play.says(3, ack(0x1_0000_0001));
    let expected = [
        "to 12: DIFF 0x100000001",
        "to 12: PROPOSAL 0x100000002",
        "to 12: NEWLEADER 0x100000000",
        "commit 0x100000001",
    ];
    assert_eq!(told[3..], expected);
    play.settle();
    assert_eq!(play.says(3, ack(0x1_0000_0002)), NOTHING, "that one was not there any more");
}

/// What it acknowledged may have been lost with the link: that it has it counts as well, or with one
/// server down both would wait for ever.
#[test]
fn who_comes_back_with_what_is_only_proposed_has_acknowledged_it() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.opened(12);
    play.says(12, follower_info(2, 1));
    let told = play.says(12, ack_epoch(0x1_0000_0001, None));
    for expected in
        ["commit 0x100000001", "to 12: DIFF 0x100000001", "to 12: NEWLEADER 0x100000000"]
    {
        assert!(told.iter().any(|line| line == expected), "{expected}: {told:?}");
    }
}

/// A leader whose committed log holds two transactions.
fn with_a_short_committed_log() -> Play {
    let mut member = member(3, 0);
    member.committed = crate::quorum::committed_log::CommittedLog::new(Zxid::ZERO, 2);
    let mut play = Play::of(member, &HISTORY);
    play.establish([2]);
    play.opened(3);
    play.says(3, follower_info(3, 1));
    play
}

/// C-214: what is not in memory comes from the log; what is proposed meanwhile is held behind it.
#[test]
fn who_lags_more_gets_the_log() {
    let mut play = with_a_short_committed_log();
    assert_eq!(
        play.says(3, ack_epoch(0x1_0000_0001, Some(1))),
        ["survey for 3: the log from 0x100000001 through 0x100000003"]
    );
    assert_eq!(play.connect(1, 0)[1..], ["to 2: PROPOSAL 0x200000001"], "nothing overtakes");
    play.settle();
    play.says(2, ack(0x2_0000_0001));
    let found = LogSurvey { at_or_before: Zxid(0x1_0000_0001), after: Zxid(0x1_0000_0002) };
    assert_eq!(
        play.surveyed(3, Some(found)),
        [
            "to 3: DIFF 0x200000001",
            "to 3: the log after 0x100000001 through 0x100000003",
            "to 3: PROPOSAL 0x200000001",
            "to 3: COMMIT 0x200000001",
            "to 3: NEWLEADER 0x200000000",
        ]
    );
}

/// C-214, C-238: others go on meanwhile.
#[test]
fn who_lags_too_much_gets_the_tree_as_it_is_when_the_survey_ends() {
    let mut play = with_a_short_committed_log();
    play.says(3, ack_epoch(0x1_0000_0001, Some(1)));
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x2_0000_0001));
    play.connect(2, 0);
    assert_eq!(
        play.surveyed(3, None),
        [
            "to 3: PROPOSAL 0x200000002",
            "to 3: NEWLEADER 0x200000000",
            "to 3: the tree at 0x200000001",
        ]
    );
}

#[test]
fn a_survey_for_a_learner_that_is_gone_is_nobodys() {
    let mut play = with_a_short_committed_log();
    play.says(3, ack_epoch(0x1_0000_0001, Some(1)));
    let why = "reset".to_owned();
    play.step(Input::LinkClosed { link: link_of(3), why });
    assert_eq!(play.surveyed(3, None), NOTHING);
}

/// The own disk lags behind the quorum: the tree is older than what was committed, and the rest goes
/// behind it, to a learner that never had that.
#[test]
fn what_is_committed_and_not_applied_goes_behind_the_tree() {
    let mut member = member(3, 0);
    member.options.force_snapshot_sync = true;
    let mut play = Play::of(member, &HISTORY);
    play.establish([2, 3]);
    play.connect(1, 0);
    play.says(2, ack(0x2_0000_0001));
    play.says(3, ack(0x2_0000_0001));
    play.connect(2, 0);
    play.opened(13);
    play.says(13, follower_info(3, 2));
    assert_eq!(
        play.says(13, ack_epoch(0x1_0000_0003, None)),
        [
            "to 13: PROPOSAL 0x200000001",
            "to 13: COMMIT 0x200000001",
            "to 13: PROPOSAL 0x200000002",
            "to 13: NEWLEADER 0x200000000",
            "to 13: the tree at 0x100000003",
        ]
    );
}

/// `leader.maxConcurrentDiffSyncs` and its like: the ensemble may need a follower, never an observer.
#[test]
fn too_many_syncs_at_once_turn_observers_away_and_nobody_else() {
    for (force_snapshot_sync, key) in
        [(false, "leader.maxConcurrentDiffSyncs"), (true, "leader.maxConcurrentSnapSyncs")]
    {
        let mut member = member(3, 2);
        let options = &mut member.options;
        options.force_snapshot_sync = force_snapshot_sync;
        // The other kind of sync does not count.
        let most = if force_snapshot_sync {
            &mut options.max_concurrent_snap_syncs
        } else {
            &mut options.max_concurrent_diff_syncs
        };
        *most = 1;
        let mut play = Play::of(member, &HISTORY);
        play.establish([2]);
        for sid in [4, 5] {
            play.opened(sid);
            play.says(sid, observer_info(sid));
        }
        play.opened(3);
        play.says(3, follower_info(3, 1));
        let begun = |told: &[String]| told.iter().any(|line| line.contains("NEWLEADER"));
        assert!(begun(&play.says(4, ack_epoch(0x1_0000_0002, Some(1)))));
        assert_eq!(
            play.says(5, ack_epoch(0x1_0000_0002, Some(1))),
            [format!("close 5: 1 are synchronized already, as many as {key} allows")]
        );
        assert!(begun(&play.says(3, ack_epoch(0x1_0000_0002, Some(1)))), "a follower is served");
        play.says(3, ack(2 << 32));
        play.says(4, ack(2 << 32));
        play.opened(15);
        play.says(15, observer_info(5));
        assert!(begun(&play.says(15, ack_epoch(0x1_0000_0002, Some(1)))), "there is room again");
    }
}
