//! Sessions that end, or go elsewhere, without a transaction that says so.

use super::*;
use crate::proto::ErrorCode;

impl House {
    /// The next transaction is an error, of request `xid`.
    fn fail(&mut self, client: &Client, xid: i32, error: ErrorCode) -> ClientEffect {
        let session = SessionId(client.id.0 as i64);
        let txn = self.txn(session, OpCode::Error, &Txn::Error { err: error.code() });
        let origin = Some(origin(client, xid, OpCode::Create));
        ClientEffect::Commit(Proposal { zxid: self.last, txn, session, origin, new_session: None })
    }
}

/// C-177: nor is a read behind it, which would be taken for the reply to the write.
#[test]
fn a_write_of_a_session_that_has_moved_is_not_answered_and_its_connection_closes() {
    let mut house = House::serving();
    let client = house.client();
    let pass = house.send(&client, &[write(1, "/a"), exists(2, "/a", false)].concat());
    assert_eq!(house.taken(pass).len(), 1);
    let failed = house.fail(&client, 1, ErrorCode::SessionMoved);
    house.carry_out([failed]);
    assert_eq!(client.xids(), Vec::<i32>::new());
    assert_eq!(client.ending(), "Asked(SessionTakenOver)");
    assert_eq!(house.outstanding(), 0);
}

/// C-274
#[test]
fn a_local_session_that_is_closed_is_answered_and_one_that_expires_is_not() {
    let mut house = House::serving();
    let (one, other) = (house.client(), house.client());
    let pass = house.send(&one, &request(5, OpCode::CloseSession, b""));
    house.taken(pass);
    let session = |client: &Client| SessionId(client.id.0 as i64);
    let asked = Some(origin(&one, 5, OpCode::CloseSession));
    house.carry_out([
        ClientEffect::EndLocalSession(session(&one), asked),
        ClientEffect::EndLocalSession(session(&other), None),
    ]);
    assert_eq!((one.xids(), one.ending()), (vec![5], "Asked(SessionClosed)".to_owned()));
    assert_eq!((other.xids(), other.ending()), (vec![], "Asked(SessionExpired)".to_owned()));
    assert!(house.clients.holders.is_empty());
    assert_eq!(house.outstanding(), 0);
}

/// C-275
#[test]
fn what_fails_without_a_transaction_is_answered_and_so_is_what_waits_behind_it() {
    let mut house = House::serving();
    let client = house.client();
    let pass = house.send(&client, &[write(1, "/a"), exists(2, "/", false)].concat());
    house.taken(pass);
    let refused = origin(&client, 1, OpCode::Create);
    house.carry_out([ClientEffect::AnswerError(refused, ErrorCode::EphemeralOnLocalSession)]);
    assert_eq!(client.xids(), [1, 2]);
}
