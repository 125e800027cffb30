//! Who waits, who is dropped, who is told.

use std::sync::Arc;

use super::*;
use crate::auth::Identities;
use crate::config::Limits;
use crate::processor::request::{ConnectAttempt, Origin, Request};

/// Connections 1 to 9 are there; sessions have the connection's number and time out after 1000 ms.
struct Nine;

impl Clients for Nine {
    fn is_open(&self, connection: ConnectionId) -> bool {
        connection.0 < 10
    }

    fn has_said_its_last(&self, connection: ConnectionId) -> bool {
        !self.is_open(connection)
    }

    fn session_timeout_ms(&self, session: SessionId) -> Option<i32> {
        (session.0 < 100).then_some(1000)
    }
}

fn throttler(change: impl FnOnce(&mut RequestThrottle)) -> RequestThrottler {
    let mut options = Limits::default().requests;
    options.max_requests = 3;
    change(&mut options);
    RequestThrottler::new(options, 7).expect("it is on")
}

fn request(connection: u64, xid: i32, op: OpCode, received_ms: u64) -> Submission {
    Submission::Request(Request {
        session: SessionId(connection as i64),
        xid,
        op,
        body: Default::default(),
        identities: Arc::new(Identities::default()),
        origin: Some(Origin { connection: ConnectionId(connection), xid, op, received_ms }),
        throttled: false,
    })
}

fn connect(connection: u64, received_ms: u64) -> Submission {
    Submission::Connect(ConnectAttempt {
        connection: ConnectionId(connection),
        session: SessionId::NONE,
        timeout_ms: 1000,
        had_read_only: false,
        identities: Arc::new(Identities::default()),
        received_ms,
    })
}

/// What comes out, in short.
fn admit(
    throttler: &mut RequestThrottler,
    now_ms: u64,
    in_process: usize,
) -> (Vec<String>, Counted) {
    let mut out = Vec::new();
    let counted = throttler.admit(now_ms, in_process, &Nine, &mut out);
    let told = out.iter().map(|submission| match submission {
        Submission::Request(request) if request.throttled => format!("{}: throttled", request.xid),
        Submission::Request(request) => request.xid.to_string(),
        Submission::Connect(attempt) => format!("connect {}", attempt.connection.0),
        Submission::Dropped(connection) => format!("dropped {}", connection.0),
    });
    (told.collect(), counted)
}

#[test]
fn nothing_asked_for_is_no_throttler() {
    assert!(RequestThrottler::new(Limits::default().requests, 7).is_none());
}

#[test]
fn requests_above_the_limit_wait_and_keep_their_order() {
    let mut throttler = throttler(|_| {});
    throttler.push((1..=5).map(|xid| request(xid as u64, xid, OpCode::SetData, 0)).collect());
    assert!(throttler.waiting_bytes() > 0);
    assert_eq!(admit(&mut throttler, 0, 1).0, ["1", "2"]);
    let (told, counted) = admit(&mut throttler, 0, 3);
    assert_eq!((told.len(), counted.waits), (0, 1));
    throttler.push(vec![request(1, 6, OpCode::Sync, 0)]);
    assert_eq!(admit(&mut throttler, 0, 0).0, ["3", "4", "5"]);
    assert_eq!(admit(&mut throttler, 0, 0), (vec!["6".to_owned()], Counted::default()));
    assert!(!throttler.is_waiting());
    assert_eq!(throttler.waiting_bytes(), 0);
}

#[test]
fn a_dropped_request_takes_all_later_ones_of_its_connection_along() {
    let mut throttler = throttler(|options| options.stale_latency_check = true);
    throttler.push(vec![
        request(1, 1, OpCode::SetData, 0),
        request(2, 2, OpCode::SetData, 2000),
        request(1, 3, OpCode::SetData, 2000),
        request(1, 4, OpCode::CloseSession, 2000),
    ]);
    let (told, counted) = admit(&mut throttler, 2000, 0);
    assert_eq!(told, ["dropped 1", "2", "dropped 1", "dropped 1"]);
    assert_eq!(counted.dropped, 1);
    throttler.push(vec![request(1, 5, OpCode::SetData, 2000)]);
    assert_eq!(admit(&mut throttler, 2000, 0).0, ["dropped 1"], "it has not closed yet");
}

#[test]
fn the_requests_of_closed_connections_are_stale_and_closes_never_are() {
    let requests = || {
        vec![
            request(11, 1, OpCode::SetData, 0),
            request(12, 2, OpCode::CloseSession, 0),
            connect(13, 0),
        ]
    };
    let mut throttler = self::throttler(|_| {});
    throttler.push(requests());
    // While it waits for room, too.
    assert_eq!(admit(&mut throttler, 0, 3).0, ["dropped 11"]);
    assert_eq!(admit(&mut throttler, 0, 0).0, ["2", "dropped 13"]);
    assert!(throttler.invalid.is_empty(), "nothing of a closed connection can come any more");

    let mut throttler = self::throttler(|options| options.drop_stale = false);
    throttler.push(requests());
    let (told, counted) = admit(&mut throttler, 0, 0);
    assert_eq!((told, counted.stale), (vec!["1".into(), "2".into(), "connect 13".into()], 2));

    let mut throttler = self::throttler(|options| options.stale_connection_check = false);
    throttler.push(requests());
    assert_eq!(
        admit(&mut throttler, 5000, 0),
        (vec!["1".into(), "2".into(), "connect 13".into()], Counted::default())
    );
}

#[test]
fn who_waited_too_long_is_marked_but_neither_beginning_nor_end_of_a_session() {
    let mut throttler = throttler(|options| {
        options.max_requests = 0;
        options.throttled_op_wait_ms = 50;
    });
    throttler.push(vec![
        connect(1, 0),
        request(2, 1, OpCode::SetData, 0),
        request(2, 2, OpCode::Sync, 50),
        request(2, 3, OpCode::CloseSession, 0),
    ]);
    let (told, counted) = admit(&mut throttler, 100, 1000);
    assert_eq!(told, ["connect 1", "1: throttled", "2", "3"]);
    assert_eq!(counted.throttled, 1);
}
