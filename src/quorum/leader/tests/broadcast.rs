//! From a request to what everybody is told.

use super::*;
use crate::processor::testing::create;
use crate::proto::OpCode;

/// An established leader with a session of its own.
fn with_a_session(voters: i64, observers: i64) -> Play {
    let mut play = Play::established(voters, observers);
    play.connect(1, 0);
    play.settle();
    for sid in 2..=voters {
        play.says(sid, ack(0x1_0000_0001));
    }
    play
}

fn session_of(play: &Play) -> i64 {
    play.db.sessions().next().expect("a session").0.0
}

/// C-220
#[test]
fn commit_order_is_zxid_order_with_mixed_acks() {
    let mut play = Play::established(5, 0);
    for n in 1..=3 {
        let told = play.connect(n, 0);
        assert_eq!(told.len(), 5, "the log and four followers: {told:?}");
    }
    let last = play.ticket;
    // The third first, then the first: nothing may go before the second.
    assert_eq!(play.says(2, ack(0x1_0000_0003)), NOTHING);
    assert_eq!(play.says(3, ack(0x1_0000_0003)), NOTHING);
    assert_eq!(play.says(4, ack(0x1_0000_0003)), NOTHING, "it has its quorum, and waits");
    assert_eq!(play.says(2, ack(0x1_0000_0001)), NOTHING);
    assert_eq!(play.says(5, ack(0x1_0000_0001)), NOTHING);
    let commit = |zxid: u64| (2..=5).map(move |sid| format!("to {sid}: COMMIT {zxid:#x}"));
    let first: Vec<_> = commit(0x1_0000_0001).collect();
    assert_eq!(play.says(4, ack(0x1_0000_0001)), first, "three of five, without the own disk");
    play.says(2, ack(0x1_0000_0002));
    play.says(3, ack(0x1_0000_0002));
    let mut told: Vec<_> = commit(0x1_0000_0002).chain(commit(0x1_0000_0003)).collect();
    told.extend([1, 2, 3].map(|n| format!("commit {:#x}", 0x1_0000_0000_u64 + n)));
    assert_eq!(play.persisted(last), told, "the own report is the last that was needed");
}

/// Promise 3: no server applies what its own disk has not reported.
#[test]
fn a_quorum_of_others_commits_and_clients_wait_for_the_own_disk() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    assert_eq!(play.says(2, ack(0x1_0000_0001)), NOTHING);
    assert_eq!(
        play.says(3, ack(0x1_0000_0001)),
        ["to 2: COMMIT 0x100000001", "to 3: COMMIT 0x100000001"]
    );
    assert_eq!(play.settle(), ["commit 0x100000001"]);
}

/// C-229
#[test]
fn an_observer_is_informed_and_its_ack_does_not_count() {
    let mut play = Play::established(3, 0);
    play.opened(4);
    play.says(4, observer_info(4));
    play.says(4, ack_epoch(0, Some(0)));
    play.says(4, ack(1 << 32));
    assert_eq!(
        play.connect(1, 0),
        [
            "disk: append createSession 4000 as 0x100000001, ticket 3",
            "to 2: PROPOSAL 0x100000001",
            "to 3: PROPOSAL 0x100000001",
        ]
    );
    play.settle();
    assert_eq!(play.says(4, ack(0x1_0000_0001)), NOTHING);
    assert_eq!(
        play.says(3, ack(0x1_0000_0001)),
        [
            "to 2: COMMIT 0x100000001",
            "to 3: COMMIT 0x100000001",
            "to 4: INFORM 0x100000001",
            "commit 0x100000001",
        ]
    );
}

/// A server that nobody's configuration knows follows, and does not count.
#[test]
fn a_follower_without_a_vote_gets_proposals_and_does_not_count() {
    let mut play = Play::established(3, 0);
    play.opened(7);
    play.says(7, follower_info(7, 0));
    play.says(7, ack_epoch(0, Some(0)));
    play.says(7, ack(1 << 32));
    assert!(play.connect(1, 0).contains(&"to 7: PROPOSAL 0x100000001".to_owned()));
    play.settle();
    assert_eq!(play.says(7, ack(0x1_0000_0001)), NOTHING);
}

/// C-228
#[test]
fn a_commit_needs_a_majority_of_groups() {
    let mut play = Play::over(6, 0, &[]);
    let mut hierarchical = ensemble(6, 0);
    let groups = (1..=6).map(|sid| (crate::proto::Sid(sid), (sid - 1) / 2)).collect();
    hierarchical.hierarchy =
        Some(crate::proto::membership::Hierarchy { groups, weights: Default::default() });
    play.member.configs = crate::quorum::configs::Configs::new(hierarchical.into());
    play.establish(2..=6);
    play.connect(1, 0);
    play.settle();
    for sid in [3, 5] {
        assert_eq!(play.says(sid, ack(0x1_0000_0001)), NOTHING, "half of each group");
    }
    assert_eq!(play.says(2, ack(0x1_0000_0001)), NOTHING, "one group of three");
    let told = play.says(4, ack(0x1_0000_0001));
    assert!(told.contains(&"commit 0x100000001".to_owned()), "{told:?}");
}

/// A failed request has its place in the order too (C-072).
#[test]
fn a_request_that_fails_is_proposed_as_well() {
    let mut play = with_a_session(3, 0);
    let session = session_of(&play);
    let told = play.ask(session, OpCode::Create, create("/no/parent", 0));
    assert_eq!(told[0], "disk: append error -101 as 0x100000002, ticket 4");
    assert_eq!(told[1..], ["to 2: PROPOSAL 0x100000002", "to 3: PROPOSAL 0x100000002"]);
}

/// C-223
#[test]
fn before_the_counter_ends_a_new_epoch_begins() {
    let mut member = member(3, 0);
    member.options.last_counter = 2;
    let mut play = Play::of(member, &[]);
    play.establish([2, 3]);
    play.connect(1, 0);
    let connects = (2..5).map(|n| {
        crate::processor::request::Submission::Connect(crate::processor::request::ConnectAttempt {
            connection: crate::proto::ConnectionId(n),
            session: crate::proto::SessionId::NONE,
            timeout_ms: 4000,
            had_read_only: false,
            identities: Default::default(),
            received_ms: 0,
        })
    });
    let told = play.step(Input::Submitted(connects.collect()));
    assert_eq!(
        told,
        [
            "disk: append createSession 4000 as 0x100000002, ticket 4",
            "to 2: PROPOSAL 0x100000002",
            "to 3: PROPOSAL 0x100000002",
            "leaves: the zxid's counter ends: a new epoch is needed",
            "not applied: 0x100000001",
            "not applied: 0x100000002",
        ]
    );
}

/// What was committed or only logged, and not applied, is what the next role must catch up with.
#[test]
fn who_leaves_says_what_it_logged_and_did_not_apply() {
    let mut play = with_a_session(3, 0);
    for n in 2..=4 {
        play.connect(n, 0);
    }
    play.persisted(4);
    play.says(2, ack(0x1_0000_0002));
    play.says(2, ack(0x1_0000_0003));
    play.says(3, ack(0x1_0000_0003));
    assert_eq!(play.member.committed.max(), Zxid(0x1_0000_0003));
    assert_eq!(
        play.step(Input::Stop),
        ["leaves: leadership released", "not applied: 0x100000003", "not applied: 0x100000004"]
    );
}
