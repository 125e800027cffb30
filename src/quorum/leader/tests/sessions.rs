//! The leader owns the sessions, wherever their clients are.

use super::*;
use crate::processor::testing::{EPHEMERAL, create};
use crate::proto::OpCode;

/// A session that server 2 made for a client of its own.
fn with_a_learners_session() -> Play {
    let mut play = Play::established(3, 0);
    let told = play.says(2, create_session(0x0200, 4000));
    assert_eq!(told[0], "disk: append createSession 4000 as 0x100000001, ticket 3");
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    play
}

fn create_session(session: i64, timeout_ms: i32) -> QuorumPacket {
    forwarded(session, OpCode::CreateSession.to_int(), timeout_ms.to_be_bytes().to_vec())
}

fn create_node(session: i64, path: &str) -> QuorumPacket {
    forwarded(session, OpCode::Create.to_int(), create(path, EPHEMERAL))
}

fn revalidate(session: i64) -> QuorumPacket {
    QuorumPacket::Revalidate { session: crate::proto::SessionId(session), timeout_ms: 4000 }
}

#[test]
fn a_session_that_a_learner_touches_lives_on() {
    let mut play = with_a_learners_session();
    while play.now_ms < 20_000 {
        let next = play.now_ms + 500;
        play.pass_time_until(next);
        play.says(2, pong(&[0x0200]));
        play.says(3, pong(&[]));
    }
    let told = play.talk_until(26_000, &[2, 3]);
    let end: Vec<_> = told.iter().filter(|line| line.contains("disk")).collect();
    assert_eq!(end, ["25000 ms: disk: append closeSession [] as 0x100000002, ticket 4"]);
}

/// C-027: nobody's timeout is cut short by a change of leader.
#[test]
fn a_new_leader_gives_every_session_its_full_timeout() {
    let before = with_a_learners_session();
    let mut member = member(3, 0);
    member.last_logged = Zxid(0x1_0000_0001);
    member.committed = crate::quorum::committed_log::CommittedLog::new(member.last_logged, 500);
    (member.accepted_epoch, member.current_epoch) =
        (crate::proto::Epoch(1), crate::proto::Epoch(1));
    let mut play = Play::of(member, &[]);
    play.db = before.db;
    play.now_ms = 7000;
    play.establish([2, 3]);
    assert_eq!(play.talk_until(11_500, &[2, 3]), NOTHING);
    let told = play.talk_until(12_000, &[2, 3]);
    assert_eq!(told[0], "12000 ms: disk: append closeSession [] as 0x200000001, ticket 3");
}

#[test]
fn a_session_that_moves_belongs_to_its_new_server() {
    let mut play = with_a_learners_session();
    assert_eq!(play.says(3, revalidate(0x0200)), ["to 3: REVALIDATE 0x200 true"]);
    let told = play.says(2, create_node(0x0200, "/old"));
    assert_eq!(told[0], "disk: append error -118 as 0x100000002, ticket 4");
    let told = play.says(3, create_node(0x0200, "/new"));
    assert_eq!(told[0], "disk: append create /new as 0x100000003, ticket 5");
    // And back (ZOOKEEPER-710).
    play.says(2, revalidate(0x0200));
    let told = play.says(2, create_node(0x0200, "/back"));
    assert_eq!(told[0], "disk: append create /back as 0x100000004, ticket 6");
}

#[test]
fn a_session_that_moves_to_the_leader_is_the_leaders() {
    let mut play = with_a_learners_session();
    assert_eq!(play.connect(5, 0x0200), ["resume 0x200"]);
    let told = play.says(2, create_node(0x0200, "/old"));
    assert_eq!(told[0], "disk: append error -118 as 0x100000002, ticket 4");
    let told = play.ask(0x0200, OpCode::Create, create("/new", 0));
    assert_eq!(told[0], "disk: append create /new as 0x100000003, ticket 5");
}

/// A session without an owner is the first server's that asks.
#[test]
fn after_a_change_of_leader_the_first_that_asks_has_the_session() {
    let before = with_a_learners_session();
    let mut member = member(3, 0);
    member.last_logged = Zxid(0x1_0000_0001);
    member.committed = crate::quorum::committed_log::CommittedLog::new(member.last_logged, 500);
    (member.accepted_epoch, member.current_epoch) =
        (crate::proto::Epoch(1), crate::proto::Epoch(1));
    let mut play = Play::of(member, &[]);
    play.db = before.db;
    play.establish([2, 3]);
    assert!(play.says(3, create_node(0x0200, "/a"))[0].contains("create /a"));
    assert!(play.says(2, create_node(0x0200, "/b"))[0].contains("error -118"));
}

/// C-092, of a session whose close and whose create come from two servers.
#[test]
fn a_forwarded_close_takes_what_is_pending_with_it() {
    let mut play = with_a_learners_session();
    play.says(2, create_node(0x0200, "/a"));
    let told = play.says(2, forwarded(0x0200, OpCode::CloseSession.to_int(), vec![]));
    assert_eq!(told[0], "disk: append closeSession [/a] as 0x100000003, ticket 5");
    let told = play.says(2, create_node(0x0200, "/b"));
    assert_eq!(told[0], "disk: append error -112 as 0x100000004, ticket 6");
    play.says(3, revalidate(0x0200));
    assert_eq!(play.says(3, pong(&[])), ["to 3: REVALIDATE 0x200 false"]);
}

/// A leader that was deposed while it stood still knows nothing of the sessions that its successor
/// has begun: nobody's session ends by that (found by seed 300001562).
#[test]
fn a_session_is_refused_when_a_quorum_has_confirmed_who_leads() {
    let mut play = with_a_learners_session();
    assert_eq!(play.says(3, revalidate(0x0999)), ["to 2: PING", "to 3: PING"]);
    assert_eq!(play.connect(5, 0x0888), NOTHING, "the next round is its");
    assert_eq!(play.says(3, revalidate(0x0200)), ["to 3: REVALIDATE 0x200 true"], "at once");
    let told = play.says(2, pong(&[]));
    assert_eq!(told, ["to 2: PING", "to 3: PING", "to 3: REVALIDATE 0x999 false"]);
    assert_eq!(play.says(2, pong(&[])), ["refuse 0x888"]);
    assert_eq!(play.leader.as_ref().map(Leader::in_process), Some(0));
}

/// What is behind a refusal does not depend on it, and its commit confirms who leads.
#[test]
fn a_refusal_keeps_nobody_waiting() {
    let mut play = Play::established(3, 0);
    play.connect(5, 0x0888);
    play.connect(6, 0);
    play.settle();
    let told = play.says(2, ack(0x1_0000_0001));
    assert_eq!(told[told.len() - 2..], ["commit 0x100000001", "refuse 0x888"]);
}

/// Who is refused has seen the end of its session, if it looks here again (C-015).
#[test]
fn a_session_is_refused_behind_its_end() {
    let mut play = with_a_learners_session();
    play.says(2, forwarded(0x0200, OpCode::CloseSession.to_int(), vec![]));
    play.connect(5, 0x0200);
    assert_eq!(play.says(2, pong(&[])), NOTHING, "confirmed, and its end is not committed");
    play.settle();
    let told = play.says(2, ack(0x1_0000_0002));
    assert_eq!(told[told.len() - 2..], ["commit 0x100000002", "refuse 0x200"]);
}

/// A learner waits for every request it forwarded: silence would stop its client for ever (N-4).
#[test]
fn whatever_is_forwarded_gets_a_transaction() {
    let mut play = with_a_learners_session();
    let cases = [
        (77, vec![], "error -6"),
        (OpCode::DeleteContainer.to_int(), b"/a".to_vec(), "error -6"),
        (OpCode::Check.to_int(), vec![], "error -6"),
        (OpCode::GetData.to_int(), vec![], "error -6"),
        (OpCode::Create.to_int(), vec![1], "error -5"),
        (OpCode::Multi.to_int(), vec![0xff], "error -5"),
        (OpCode::CreateSession.to_int(), vec![0], "error -5"),
    ];
    for (n, (op, body, wanted)) in cases.into_iter().enumerate() {
        let told = play.says(2, forwarded(0x0200, op, body));
        let line = format!("disk: append {wanted} as {:#x}, ticket {}", 0x1_0000_0002 + n, 4 + n);
        assert_eq!(told[0], line, "{op}");
        assert_eq!(told.len(), 3, "it is proposed like any other");
    }
}

/// The owners are kept beside the tracker, and no longer than it keeps the session.
#[test]
fn the_owner_of_a_session_that_was_closed_is_forgotten() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    let session = play.db.sessions().next().expect("it is there").0;
    let owners = |play: &Play| {
        let leader = play.leader.as_ref().expect("it leads");
        leader.broadcast().expect("established").owners.count()
    };
    assert_eq!(owners(&play), 1);
    play.ask(session.0, OpCode::CloseSession, Vec::new());
    assert_eq!(owners(&play), 0);
}
