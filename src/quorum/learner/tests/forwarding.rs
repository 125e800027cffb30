//! Plays of forwarded requests: who is answered, when, and in what order.

use super::super::testing::*;
use crate::processor::request::{Request, Submission};
use crate::proto::txns::Txn;
use crate::proto::{LinkId, OpCode, QuorumPacket, SessionId, Zxid};
use crate::quorum::effect::Input;

impl Play {
    /// Proposes, persists and commits.
    fn commits(&mut self, zxid: Zxid, txn: bytes::Bytes) -> Vec<String> {
        self.hears(QuorumPacket::Proposal { zxid, txn });
        self.persisted();
        self.hears(QuorumPacket::Commit { zxid })
    }

    fn asks(&mut self, session: i64, xid: i32, op: OpCode) -> Vec<String> {
        self.submits(Submission::Request(ask(session, xid, op)))
    }

    fn in_process(&self) -> usize {
        self.learner.as_ref().map_or(0, |learner| learner.in_process())
    }
}

fn session(zxid: Zxid, session: i64) -> bytes::Bytes {
    let op = OpCode::CreateSession.to_int();
    txn(zxid, session, 0, op, &Txn::CreateSession { timeout_ms: 4000 })
}

/// C-145: the reply comes with the apply, so that a read behind it sees it.
#[test]
fn a_forwarded_write_is_answered_with_its_transaction() {
    let mut play = Play::follower();
    play.joins();
    assert_eq!(play.asks(7, 3, OpCode::Create), ["send REQUEST Create 3 of 0x7"]);
    assert_eq!(play.in_process(), 1);
    let zxid = zxid(5, 1);
    let told = play.commits(zxid, create(zxid, 7, 3, "/a"));
    assert_eq!(told, ["commit 0x500000001, answer 3 of 7"]);
    assert_eq!(play.in_process(), 0);
}

#[test]
fn a_transaction_of_another_server_s_client_is_nobody_s_here() {
    let mut play = Play::follower();
    play.joins();
    play.asks(7, 3, OpCode::Create);
    let (first, second) = (zxid(5, 1), zxid(5, 2));
    let told = play.commits(first, create(first, 8, 3, "/a"));
    assert_eq!(told, ["commit 0x500000001"], "another session");
    let told = play.commits(second, create(second, 7, 2, "/b"));
    assert_eq!(told, ["commit 0x500000002"], "another number");
    assert_eq!(play.in_process(), 1);
}

/// C-237: nothing is sent a second time; whoever waited loses its connection, and asks again if it
/// likes.
#[test]
fn a_forwarded_write_is_forgotten_with_its_link() {
    let mut play = Play::follower();
    play.joins();
    play.asks(7, 3, OpCode::Create);
    let told = play.step(Input::LinkClosed { link: LinkId(0), why: "reset".to_owned() });
    let told: Vec<_> = told.iter().filter(|line| line.contains("REQUEST")).collect();
    assert_eq!(told, NOTHING);
}

#[test]
fn a_new_session_has_this_server_s_number_and_is_granted_with_its_transaction() {
    let mut play = Play::follower();
    play.joins();
    let told = play.submits(connect(1, 0));
    let id = 2 << 56;
    assert_eq!(told, ["send REQUEST CreateSession 0 of 0x200000000000000"]);
    let zxid = zxid(5, 1);
    let told = play.commits(zxid, session(zxid, id));
    assert_eq!(told, ["commit 0x500000001, answer 0 of 1, for 4000 ms"]);
    let ping = || QuorumPacket::Ping { zxid, touched: None };
    assert_eq!(play.hears(ping()), ["send PING 0x500000001 [0x200000000000000 4000]"]);
    assert_eq!(play.hears(ping()), ["send PING 0x500000001 []"], "each touch is told once");
}

#[test]
fn a_known_session_goes_on_when_the_leader_says_so_behind_what_was_committed_before() {
    let mut play = Play::follower();
    play.joins();
    assert_eq!(play.submits(connect(1, 7)), ["send REVALIDATE 0x7"]);
    assert_eq!(play.submits(connect(2, 8)), ["send REVALIDATE 0x8"]);
    play.proposal(1);
    play.commit(1);
    let answer = |session, valid| QuorumPacket::Revalidated { session: SessionId(session), valid };
    assert_eq!(play.hears(answer(7, true)), NOTHING);
    assert_eq!(play.hears(answer(8, false)), NOTHING);
    let told = ["send ACK 0x500000001", "commit 0x500000001", "resume 0x7 on 1", "refuse 0x8 on 2"];
    assert_eq!(play.persisted(), told);
    let told = play.hears(answer(7, true));
    assert_eq!(told[1], "leaves: expected no REVALIDATE answer for 0x7, got one");
}

#[test]
fn syncs_are_answered_in_the_order_they_were_asked_behind_what_was_committed_before() {
    let mut play = Play::follower();
    play.joins();
    assert_eq!(play.asks(7, 1, OpCode::Sync), ["send REQUEST Sync 1 of 0x7"]);
    assert_eq!(play.asks(8, 1, OpCode::Sync), ["send REQUEST Sync 1 of 0x8"]);
    play.proposal(1);
    play.commit(1);
    assert_eq!(play.hears(QuorumPacket::Sync), NOTHING);
    let told = ["send ACK 0x500000001", "commit 0x500000001", "answer sync of 7"];
    assert_eq!(play.persisted(), told);
    assert_eq!(play.hears(QuorumPacket::Sync), ["answer sync of 8"]);
}

/// Otherwise the client would get its replies in another order than it asked.
#[test]
fn a_write_that_overtakes_a_sync_of_its_session_answers_it() {
    let mut play = Play::follower();
    play.joins();
    play.asks(7, 1, OpCode::Sync);
    play.asks(7, 2, OpCode::Create);
    let zxid = zxid(5, 1);
    let told = play.commits(zxid, create(zxid, 7, 2, "/a"));
    assert_eq!(told, ["answer sync of 7", "commit 0x500000001, answer 2 of 7"]);
    assert_eq!(play.hears(QuorumPacket::Sync), NOTHING, "it has its answer");
    assert_eq!(play.in_process(), 0);
}

#[test]
fn a_throttled_request_is_answered_in_its_place() {
    let mut play = Play::follower();
    play.joins();
    let throttled = |xid| Request { throttled: true, ..ask(7, xid, OpCode::Create) };
    let told = play.submits(Submission::Request(throttled(1)));
    assert_eq!(told, ["answer throttled 1 of 7"]);
    play.asks(7, 2, OpCode::Create);
    assert_eq!(play.submits(Submission::Request(throttled(3))), NOTHING);
    let zxid = zxid(5, 1);
    let told = play.commits(zxid, create(zxid, 7, 2, "/a"));
    assert_eq!(told, ["commit 0x500000001, answer 2 of 7", "answer throttled 3 of 7"]);
}

#[test]
fn the_end_of_an_expired_session_answers_nobody() {
    let mut play = Play::follower();
    play.joins();
    play.asks(7, 0, OpCode::Create);
    let (first, second) = (zxid(5, 1), zxid(5, 2));
    assert_eq!(play.commits(first, end_of_session(first, 7)), ["commit 0x500000001"]);
    let failed = txn(second, 7, 0, -1, &Txn::Error { err: -112 });
    assert_eq!(play.commits(second, failed), ["commit 0x500000002, answer 0 of 7"]);
}
