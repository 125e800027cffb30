//! Sessions that only the leader knows, of clients of its own.

use super::*;
use crate::processor::testing::{EPHEMERAL, create};
use crate::proto::{OpCode, SessionId};

/// A leader with local sessions, one of them begun; its id.
fn with_a_local_session(upgrades: bool) -> (Play, i64) {
    let mut member = member(3, 0);
    member.options.local_sessions = true;
    member.options.local_sessions_upgrade = upgrades;
    let mut play = Play::of(member, &[]);
    play.establish([2, 3]);
    let told = play.connect(1, 0);
    let id = told[0].strip_prefix("resume 0x").expect("it begins at once, without a transaction");
    assert_eq!(told.len(), 1);
    (play, i64::from_str_radix(id, 16).expect("an id"))
}

/// C-274
#[test]
fn a_local_session_writes_without_a_transaction_of_its_own_and_moves_nowhere() {
    let (mut play, id) = with_a_local_session(false);
    let told = play.ask(id, OpCode::Create, create("/a", 0));
    assert_eq!(told[0], "disk: append create /a as 0x100000001, ticket 3");
    let session = SessionId(id);
    play.says(2, QuorumPacket::Revalidate { session, timeout_ms: 4000 });
    assert_eq!(play.says(3, pong(&[])), [format!("to 2: REVALIDATE {session} false")]);
    assert_eq!(play.connect(2, id), NOTHING, "behind the write");
    play.settle();
    let told = play.says(2, ack(0x1_0000_0001));
    assert_eq!(told.last(), Some(&format!("resume {session}")));
    let told = play.ask(id, OpCode::CloseSession, vec![]);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("EndLocalSession"), "{told:?}");
}

/// C-275
#[test]
fn the_first_ephemeral_makes_a_local_session_global_once() {
    let (mut play, id) = with_a_local_session(true);
    let told = play.ask(id, OpCode::Create, create("/a", EPHEMERAL));
    let disk: Vec<_> = told.iter().filter(|line| line.starts_with("disk")).collect();
    assert_eq!(
        disk,
        [
            "disk: append createSession 4000 as 0x100000001, ticket 3",
            "disk: append create /a as 0x100000002, ticket 4",
        ]
    );
    let told = play.ask(id, OpCode::Create, create("/b", EPHEMERAL));
    assert_eq!(told[0], "disk: append create /b as 0x100000003, ticket 5");
    let told = play.ask(id, OpCode::CloseSession, vec![]);
    assert_eq!(told[0], "disk: append closeSession [/a /b] as 0x100000004, ticket 6", "C-276");
}

/// C-275
#[test]
fn without_upgrades_a_local_session_has_no_ephemerals() {
    let (mut play, id) = with_a_local_session(false);
    let told = play.ask(id, OpCode::Create, create("/a", EPHEMERAL));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("AnswerError") && told[0].contains("EphemeralOnLocal"), "{told:?}");
}

#[test]
fn a_silent_local_session_ends_without_a_transaction() {
    let (mut play, id) = with_a_local_session(false);
    let told = play.talk_until(6000, &[2, 3]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("5000 ms: EndLocalSession"), "{told:?}");
    play.connect(2, id);
    assert_eq!(play.says(2, pong(&[])), [format!("refuse {}", SessionId(id))]);
}
