//! Sessions begin, are resumed, fall silent, and end.

use super::*;
use crate::processor::testing::{EPHEMERAL, open};
use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader};
use crate::session::SessionsPage;
use std::sync::mpsc;

/// C-020
#[test]
fn a_known_session_is_resumed_at_once_and_an_unknown_one_refused() {
    let mut play = Play::with_a_session();
    assert_eq!(play.connect(7, 1), ["resume 0x1 on 7 for 4000 ms"]);
    assert_eq!(play.connect(8, 2), ["refuse 0x2 on 8"]);
    assert_eq!(play.persisted(1), NOTHING);
}

/// Whoever guesses the id of a session that is being made is not told of it before it is durable.
#[test]
fn a_session_is_resumed_only_after_what_was_proposed_before() {
    let mut play = Play::with_a_session();
    assert_eq!(play.connect(2, 0), ["disk: append createSession 4000 as 0x2, ticket 2"]);
    assert_eq!(play.connect(7, 2), NOTHING);
    assert_eq!(play.connect(8, 1), NOTHING);
    assert_eq!(
        play.persisted(2),
        ["commit 0x2 for 4000 ms", "resume 0x2 on 7 for 4000 ms", "resume 0x1 on 8 for 4000 ms"]
    );
}

#[test]
fn new_sessions_have_new_ids() {
    let mut play = Play::with_a_session();
    play.connect(2, 0);
    play.settle();
    assert_eq!(play.connect(7, 2), ["resume 0x2 on 7 for 4000 ms"]);
    let mut restarted = Play::over(play.db, 1_000_000);
    restarted.connect(3, 0);
    restarted.settle();
    assert_eq!(restarted.db.session_count(), 3, "ids in the database are skipped");
}

/// C-014
#[test]
fn a_silent_session_ends_by_a_transaction_and_its_nodes_with_it() {
    let mut play = Play::with_a_session();
    play.ask(1, OpCode::Create, create("/eph", EPHEMERAL));
    play.settle();
    assert_eq!(play.pass_time_until(4999), NOTHING);
    let told = play.pass_time_until(6000);
    assert_eq!(told, ["5000 ms: disk: append closeSession [/eph] as 0x3, ticket 3"]);
    assert_eq!(play.connect(2, 1), ["refuse 0x1 on 2"], "it has ended, durable or not");
    assert_eq!(play.persisted(3), ["commit 0x3"]);
    assert!(play.db.tree.node(b"/eph").is_none());
    assert_eq!(play.db.session_count(), 0);
}

#[test]
fn a_resumed_session_has_its_full_timeout_again() {
    let mut play = Play::with_a_session();
    play.pass_time_until(3500);
    play.connect(2, 1);
    assert_eq!(play.pass_time_until(7500), NOTHING);
    let told = play.pass_time_until(8500);
    assert_eq!(told, ["8000 ms: disk: append closeSession [] as 0x2, ticket 2"]);
}

/// C-024: its connection closes, whoever asks.
#[test]
fn requests_of_a_session_that_has_ended_are_dropped() {
    let mut play = Play::with_a_session();
    let told = play.ask(1, OpCode::CloseSession, vec![]);
    assert_eq!(told, ["disk: append closeSession [] as 0x2, ticket 2"]);
    for op in [OpCode::Create, OpCode::Sync, OpCode::CloseSession, OpCode::Multi] {
        let told = play.ask(1, op, create("/a", EPHEMERAL));
        assert_eq!(told, ["drop 1: SessionExpired"], "{op:?}");
    }
    assert_eq!(play.persisted(2), ["commit 0x2"]);
    assert_eq!(play.db.tree.ephemerals_count(), 0);
    assert_eq!(play.role.chain.sessions.count(), 0, "it is forgotten");
}

/// C-092: no ephemeral slips in behind the list.
#[test]
fn what_was_asked_before_the_close_is_in_its_list() {
    let mut play = Play::with_a_session();
    let asked = [
        request(1, OpCode::Create, create("/a", EPHEMERAL)),
        request(1, OpCode::CloseSession, vec![]),
        request(1, OpCode::Create, create("/b", EPHEMERAL)),
    ];
    let told = play.step(Input::Submitted(asked.map(Submission::Request).into()));
    assert_eq!(
        told,
        [
            "disk: append create /a as 0x2, ticket 2",
            "disk: append closeSession [/a] as 0x3, ticket 3",
            "drop 1: SessionExpired",
        ]
    );
    play.settle();
    assert_eq!(play.db.tree.ephemerals_count(), 0);
}

/// C-030: a restart may prolong a session, never shorten it.
#[test]
fn restored_sessions_have_their_full_timeout_from_the_start() {
    let before = Play::with_a_session();
    let mut play = Play::over(before.db, 1_000_000);
    assert_eq!(play.pass_time_until(4999), NOTHING);
    let told = play.pass_time_until(5000);
    assert_eq!(told, ["5000 ms: disk: append closeSession [] as 0x2, ticket 1"]);
}

/// What a snapshot that Apache took while sessions closed may hold.
#[test]
fn ephemerals_of_an_unknown_session_are_removed_first_of_all() {
    let mut before = Play::with_a_session();
    before.ask(1, OpCode::Create, create("/known", EPHEMERAL));
    before.settle();
    let stranger = SessionId(99);
    let header = TxnHeader { client_id: stranger, cxid: 1, zxid: Zxid(3), time: 1, txn_type: 1 };
    let txn = Txn::Create(CreateTxn {
        path: b"/orphan",
        data: None,
        acl: &open(),
        parent_cversion: 3,
        kind: CreateKind::Plain { ephemeral: true, with_stat: false },
    });
    before.db.apply(&TxnRecord { header, txn, digest: None }, &mut ());
    assert_eq!(before.db.tree.ephemerals_count(), 2);

    let mut play = Play::over(before.db, 1_000_000);
    assert_eq!(play.role.next_deadline(), Some(0), "it wants to be woken at once");
    let told = play.step(Input::Tick);
    assert_eq!(told, ["disk: append closeSession [/orphan] as 0x4, ticket 1"]);
    assert_eq!(play.step(Input::Tick), NOTHING);
    play.settle();
    assert_eq!(play.db.tree.ephemerals_count(), 1);
}

#[test]
fn sessions_are_listed_to_whoever_asks() {
    let mut play = Play::with_a_session();
    let (to, _kept) = mpsc::channel::<SessionsPage>();
    let told = play.step(Input::ListSessions { after: None, most: 10, to });
    assert_eq!(told, ["list 1 sessions"]);
}

/// C-162: a request that waited too long keeps its place in the order and makes no transaction.
#[test]
fn a_throttled_request_is_answered_in_its_place_and_not_executed() {
    let mut play = Play::with_a_session();
    let throttled = |xid, op, body| {
        let mut late = request(1, op, body);
        late.throttled = true;
        late.origin = late.origin.map(|origin| Origin { xid, ..origin });
        Submission::Request(late)
    };
    let submissions = vec![
        Submission::Request(request(1, OpCode::Create, create("/a", 0))),
        throttled(2, OpCode::Create, create("/b", 0)),
        Submission::Request(request(1, OpCode::Create, create("/c", 0))),
        throttled(4, OpCode::Sync, Vec::new()),
    ];
    let told = play.step(Input::Submitted(submissions));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(play.role.in_process(), 4);
    assert_eq!(
        play.persisted(3),
        ["commit 0x2", "answer throttled 2 of 1", "commit 0x3", "answer throttled 4 of 1"]
    );
    assert!(play.db.tree.node(b"/b").is_none() && play.db.tree.node(b"/c").is_some());
    assert_eq!(play.role.in_process(), 0);
}

/// A request that was dropped closes its connection.
#[test]
fn a_dropped_request_closes_its_connection() {
    let mut play = Play::with_a_session();
    let told = play.step(Input::Submitted(vec![Submission::Dropped(ConnectionId(1))]));
    assert_eq!(told, ["drop 1: StaleRequest"]);
}
