//! Plays of local sessions: what the leader hears of them, and when they become global.

use super::super::testing::*;
use crate::processor::request::{Request, Submission};
use crate::processor::testing::{EPHEMERAL, create as create_body, multi};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, OpCode, QuorumPacket, SessionId};
use crate::quorum::effect::Input;

const SESSION: i64 = 2 << 56;

/// A follower with a local session of connection 1.
fn follower(upgrades: bool) -> Play {
    let mut play = Play::of(2, LearnerType::Participant, |member| {
        member.options.local_sessions = true;
        member.options.local_sessions_upgrade = upgrades;
    });
    play.joins();
    assert_eq!(play.submits(connect(1, 0)), ["resume 0x200000000000000 on 1"]);
    play
}

fn request(xid: i32, op: OpCode, body: Vec<u8>) -> Submission {
    let asked = ask(1, xid, op);
    Submission::Request(Request { session: SessionId(SESSION), body: body.into(), ..asked })
}

fn ephemeral(xid: i32) -> Submission {
    request(xid, OpCode::Create, create_body("/e", EPHEMERAL))
}

/// C-274
#[test]
fn a_local_session_begins_and_ends_without_a_transaction() {
    let mut play = follower(false);
    let told = play.submits(request(1, OpCode::Create, create_body("/a", 0)));
    assert_eq!(told, ["send REQUEST Create 1 of 0x200000000000000"]);
    let ping = QuorumPacket::Ping { zxid: zxid(5, 1), touched: None };
    assert_eq!(play.hears(ping), ["send PING 0x500000001 []"], "the leader knows none");
    assert_eq!(play.submits(request(2, OpCode::CloseSession, vec![])), NOTHING, "in its place");
    let zxid = zxid(5, 1);
    let txn = create(zxid, SESSION, 1, "/a");
    play.hears(QuorumPacket::Proposal { zxid, txn });
    play.persisted();
    let told = ["commit 0x500000001, answer 1 of 1", "end 0x200000000000000, answer 2 of 1"];
    assert_eq!(play.hears(QuorumPacket::Commit { zxid }), told);
    assert_eq!(play.submits(connect(2, SESSION)), ["send REVALIDATE 0x200000000000000"]);
}

/// C-274
#[test]
fn a_local_session_is_resumed_by_its_own_server_alone() {
    let mut play = follower(false);
    assert_eq!(play.submits(connect(2, SESSION)), ["resume 0x200000000000000 on 2"]);
    assert_eq!(play.submits(connect(2, 3 << 56)), ["send REVALIDATE 0x300000000000000"]);
}

/// C-274: the server that has the session judges its silence.
#[test]
fn a_silent_local_session_ends() {
    let mut play = follower(false);
    let mut told = Vec::new();
    while told.is_empty() {
        let due = play.learner.as_ref().and_then(|learner| learner.next_deadline());
        play.now_ms = due.expect("a session expires");
        told = play.step(Input::Tick);
        let ping = QuorumPacket::Ping { zxid: zxid(5, 0), touched: None };
        play.step(Input::Packet { link: LinkId(0), packet: ping });
    }
    assert_eq!(told, ["end 0x200000000000000"]);
    assert!((4000..=4100).contains(&play.now_ms), "{} ms", play.now_ms);
}

/// C-275
#[test]
fn the_first_ephemeral_makes_a_local_session_global_once() {
    let mut play = follower(true);
    let told = [
        "send REQUEST CreateSession 0 of 0x200000000000000",
        "send REQUEST Create 1 of 0x200000000000000",
    ];
    assert_eq!(play.submits(ephemeral(1)), told);
    assert_eq!(play.submits(ephemeral(2)), ["send REQUEST Create 2 of 0x200000000000000"]);
    let ping = QuorumPacket::Ping { zxid: zxid(5, 1), touched: None };
    let told = ["send PING 0x500000001 [0x200000000000000 4000]"];
    assert_eq!(play.hears(ping), told);
}

/// C-275
#[test]
fn an_ephemeral_inside_a_multi_makes_a_local_session_global() {
    let mut play = follower(true);
    let parts = |flags| {
        multi(&[
            (OpCode::Create, create_body("/a", 0)),
            (OpCode::CreateContainer, create_body("/c", EPHEMERAL)),
            (OpCode::Create2, create_body("/b", flags)),
        ])
    };
    let told = play.submits(request(1, OpCode::Multi, parts(0)));
    assert_eq!(told, ["send REQUEST Multi 1 of 0x200000000000000"]);
    let told = play.submits(request(2, OpCode::Multi, parts(EPHEMERAL)));
    assert_eq!(told[0], "send REQUEST CreateSession 0 of 0x200000000000000");
}

/// C-275
#[test]
fn without_upgrading_a_local_session_may_have_no_ephemerals() {
    let mut play = follower(false);
    assert_eq!(play.submits(ephemeral(1)), ["answer -120 to 1 of 1"]);
    let told = play.submits(request(2, OpCode::Create, create_body("/a", 0)));
    assert_eq!(told, ["send REQUEST Create 2 of 0x200000000000000"]);
    assert_eq!(play.submits(ephemeral(3)), NOTHING, "it waits for its turn");
}

/// C-276: the end goes to the leader behind the beginning.
#[test]
fn a_session_that_closes_while_it_is_made_global_ends_as_a_global_one() {
    let mut play = follower(true);
    play.submits(ephemeral(1));
    let told = play.submits(request(2, OpCode::CloseSession, vec![]));
    assert_eq!(told, ["send REQUEST CloseSession 2 of 0x200000000000000"]);
}

/// What an operator is told of: the sessions that the leader looks after, and behind them those that
/// it does not know, page by page.
#[test]
fn local_sessions_are_listed_behind_the_others() {
    let mut play = follower(true);
    play.submits(connect(2, 3 << 56));
    play.hears(QuorumPacket::Revalidated { session: SessionId(3 << 56), valid: true });
    play.submits(connect(3, 0));
    let (to, answer) = std::sync::mpsc::channel();
    let mut list = |after, most| {
        let told = play.step(Input::ListSessions { after, most, to: to.clone() });
        (told, answer.recv().unwrap().next)
    };
    let (all, end) = list(None, 10);
    assert_eq!(all, ["list 0x300000000000000 0x200000000000000 0x200000000000001"]);
    assert!(end.is_none());
    let (first, next) = list(None, 1);
    assert_eq!(first, ["list 0x300000000000000"]);
    let (second, next) = list(next, 1);
    assert_eq!(second, ["list 0x200000000000000"]);
    let (third, _) = list(next, 10);
    assert_eq!(third, ["list 0x200000000000001"]);
}
