//! A sync is answered when a quorum has confirmed that this server leads.

use super::*;
use crate::proto::{OpCode, SessionId};

const SYNC: i32 = OpCode::Sync as i32;

/// C-152, N-16
#[test]
fn a_sync_is_answered_only_after_a_quorum_confirmed_it() {
    let mut play = Play::established(5, 0);
    let told = play.says(2, forwarded(7, SYNC, vec![]));
    assert_eq!(told, ["to 2: PING", "to 3: PING", "to 4: PING", "to 5: PING"]);
    assert_eq!(play.says(2, pong(&[])), NOTHING, "two of five");
    assert_eq!(play.says(4, pong(&[])), ["to 2: SYNC"]);
    assert_eq!(play.says(5, pong(&[])), NOTHING);
}

/// An answer to a PING of before it proves nothing.
#[test]
fn an_answer_that_was_on_its_way_does_not_confirm_a_sync() {
    let mut play = Play::established(3, 0);
    play.pass_time_until(500);
    assert_eq!(play.says(2, forwarded(7, SYNC, vec![])), NOTHING, "a round is under way");
    let told = play.says(3, pong(&[]));
    assert_eq!(told, ["to 2: PING", "to 3: PING"], "the next round");
    assert_eq!(play.says(2, pong(&[])), NOTHING, "the first round's answer");
    assert_eq!(play.says(2, pong(&[])), ["to 2: SYNC"]);
}

#[test]
fn a_sync_waits_for_what_was_outstanding_when_it_came() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, forwarded(7, SYNC, vec![]));
    play.connect(2, 0);
    assert_eq!(play.says(3, pong(&[])), NOTHING, "confirmed, and not committed");
    assert_eq!(
        play.says(3, ack(0x1_0000_0001)),
        [
            "to 2: COMMIT 0x100000001",
            "to 3: COMMIT 0x100000001",
            "to 2: SYNC",
            "commit 0x100000001",
        ],
        "and not for what came later"
    );
}

/// Whoever acknowledges what was proposed behind a sync says that it follows. A learner of Apache's
/// takes the answer for the place among the commits at which it comes: in front of that.
#[test]
fn what_is_committed_behind_a_sync_confirms_it() {
    let mut play = Play::established(5, 0);
    play.says(2, forwarded(7, SYNC, vec![]));
    play.connect(1, 0);
    play.says(2, forwarded(8, SYNC, vec![]));
    play.settle();
    play.says(3, ack(0x1_0000_0001));
    let commits = (2..=5).map(|sid| format!("to {sid}: COMMIT 0x100000001"));
    let mut expected = vec!["to 2: SYNC".to_owned()];
    expected.extend(commits);
    expected.push("commit 0x100000001".to_owned());
    assert_eq!(play.says(4, ack(0x1_0000_0001)), expected, "and not the one that came behind it");
    play.says(2, pong(&[]));
    let round = play.says(3, pong(&[]));
    assert_eq!(round[0], "to 2: PING", "that one waits for the next round");
    play.says(2, pong(&[]));
    assert_eq!(play.says(3, pong(&[])), ["to 2: SYNC"]);
}

/// The own clients' too, and what is behind it in the lane waits.
#[test]
fn the_leaders_own_syncs_are_confirmed_as_well() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    let session = play.db.sessions().next().expect("a session").0.0;
    let answer = format!("answer sync of {}", session as u64);
    assert_eq!(play.ask(session, OpCode::Sync, vec![]), ["to 2: PING", "to 3: PING"]);
    assert_eq!(play.connect(1, session), NOTHING, "to go on with the session");
    assert_eq!(play.says(3, pong(&[])), [answer.clone(), format!("resume {}", SessionId(session))]);
    play.ask(session, OpCode::Sync, vec![]);
    play.connect(2, 0);
    play.settle();
    assert_eq!(
        play.says(2, ack(0x1_0000_0002)),
        [
            "to 2: COMMIT 0x100000002".to_owned(),
            "to 3: COMMIT 0x100000002".to_owned(),
            answer,
            "commit 0x100000002".to_owned(),
        ]
    );
}

/// Its answers to PINGs count from its ACK of UPTODATE on: before that it answers none.
#[test]
fn who_joins_confirms_what_was_asked_before_it_came() {
    let mut play = Play::established(3, 0);
    play.says(2, forwarded(7, SYNC, vec![]));
    play.opened(13);
    play.says(13, follower_info(3, 1));
    play.says(13, ack_epoch(0, None));
    assert_eq!(play.says(13, ack(1 << 32)), ["to 13: UPTODATE"]);
    assert_eq!(play.says(13, pong(&[])), NOTHING, "it was sent before UPTODATE was taken");
    assert_eq!(play.says(13, ack(1 << 32)), ["to 2: SYNC"]);
}

#[test]
fn syncs_of_a_learner_that_is_gone_are_forgotten() {
    let mut play = Play::established(3, 0);
    play.says(2, forwarded(7, SYNC, vec![]));
    let link = crate::proto::LinkId(crate::proto::LinkId::FIRST_ACCEPTED.0 + 2);
    play.step(Input::LinkClosed { link, why: "reset".into() });
    assert_eq!(play.says(3, pong(&[])), NOTHING);
    assert_eq!(play.leader.as_ref().map(Leader::in_process), Some(0));
}
