//! Facts about a connection's queue.

use super::*;
use crate::processor::testing::policy;
use crate::proto::Zxid;

fn queue() -> ConnectionQueue {
    ConnectionQueue::new(ConnectionId(1), Arc::new(Identities::default()))
}

fn read(after: u64, xid: i32) -> DeferredRead {
    DeferredRead {
        after,
        xid,
        op: OpCode::Exists,
        body: Bytes::new(),
        session: SessionId(1),
        identities: Arc::new(Identities::default()),
        received_ms: 0,
    }
}

fn answered(xid: i32) -> Answered {
    let (op, zxid) = (Some(OpCode::Exists), Zxid(1));
    Answered { op, cxid: xid, zxid, count: 1, at_ms: 9, latency_ms: 4 }
}

fn everyone() -> [Acl; 1] {
    [Acl::new(perms::ALL, b"world", b"anyone")]
}

fn put(bytes: &'static [u8]) -> impl FnOnce(&mut Vec<u8>) {
    |out| out.extend_from_slice(bytes)
}

#[test]
fn what_went_in_comes_out_once_and_in_order() {
    let queue = queue();
    assert!(!queue.is_filled());
    queue.reply(None, put(b"1"));
    assert!(queue.event(b"2", &everyone(), &policy()));
    queue.reply(None, put(b"3"));
    assert!(queue.is_filled());
    let mut out = b"0".to_vec();
    assert_eq!(queue.drain(&mut out).finished, 2, "an event finishes nothing");
    assert_eq!(out, b"0123");
    assert!(!queue.is_filled());
    assert_eq!((queue.drain(&mut out).finished, out.len()), (0, 4));
}

#[test]
fn a_grant_and_its_response_are_one_step() {
    let queue = queue();
    let touch = Arc::new(SessionTouch::new(0, 1));
    queue.grant(Grant { session: SessionId(5), touch }, None, |out| {
        // Nobody can look in between: the response is written under the queue's lock.
        assert!(queue.state.is_locked());
        out.extend_from_slice(b"welcome");
    });
    let mut out = Vec::new();
    let drained = queue.drain(&mut out);
    assert_eq!(drained.grant.map(|grant| grant.session), Some(SessionId(5)));
    assert_eq!((drained.finished, &out[..]), (1, &b"welcome"[..]));
    assert!(queue.drain(&mut out).grant.is_none());
}

#[test]
fn a_deferred_read_is_due_when_the_submissions_before_it_are_finished() {
    let queue = queue();
    queue.defer(read(1, 10)).expect("one is unfinished");
    queue.defer(read(1, 11)).expect("one is unfinished");
    queue.defer(read(2, 12)).expect("two are unfinished");
    let due = || std::iter::from_fn(|| queue.next_deferred()).map(|r| r.xid).collect::<Vec<_>>();
    assert_eq!(due(), [0; 0]);
    queue.reply(None, put(b""));
    assert_eq!(due(), [10, 11]);
    queue.answer_deferred(&answered(10), b"");
    queue.answer_deferred(&answered(11), b"");
    assert_eq!(due(), [0; 0], "the answer to a read is no submission");
    queue.reply(None, put(b""));
    assert_eq!(due(), [12]);
}

#[test]
fn nothing_is_deferred_that_nobody_would_answer() {
    let queue = queue();
    assert_eq!(queue.defer(read(0, 10)), Err(NothingToWaitFor));
    queue.reply(None, put(b""));
    assert_eq!(queue.defer(read(1, 10)), Err(NothingToWaitFor));
    assert_eq!(queue.defer(read(2, 10)), Ok(()));
}

#[test]
fn a_dead_connection_keeps_nothing_and_takes_nothing() {
    let queue = queue();
    queue.reply(None, put(b"1"));
    queue.defer(read(2, 10)).expect("one is unfinished");
    queue.close(CloseReason::ServerStops);
    queue.kill();
    queue.reply(None, |_| unreachable!("nobody would read it"));
    assert!(!queue.event(b"2", &everyone(), &policy()));
    assert!(queue.state.lock().deferred.is_empty());
    let mut out = Vec::new();
    let drained = queue.drain(&mut out);
    assert_eq!((drained.finished, drained.close, out.len()), (0, None, 0));
}

#[test]
fn the_first_reason_to_close_stays_and_comes_with_what_is_queued() {
    let queue = queue();
    queue.reply(None, put(b"bye"));
    queue.close(CloseReason::SessionClosed);
    queue.close(CloseReason::ServerStops);
    let mut out = Vec::new();
    assert_eq!(queue.drain(&mut out).close, Some(CloseReason::SessionClosed));
    assert_eq!(out, b"bye");
}

/// CVE-2024-23944, C-139
#[test]
fn an_event_goes_only_to_who_may_read_the_node() {
    let queue = queue();
    let policy = policy();
    let (bob, other) = (Identities::default(), Arc::new(Identities::default()));
    let bob = policy.authenticate(Some(b"digest"), Some(b"bob:b"), &bob).expect("accepted");
    let id = bob.iter().next().expect("bob").id().to_vec();
    let bobs = [Acl::new(perms::READ, b"digest", &id)];
    assert!(!queue.event(b"1", &bobs, &policy));
    queue.set_identities(Arc::new(bob));
    assert!(queue.event(b"2", &bobs, &policy));
    queue.set_identities(other);
    assert!(!queue.event(b"3", &bobs, &policy));
    let mut out = Vec::new();
    queue.drain(&mut out);
    assert_eq!(out, b"2");
}

/// C-143, C-294: events are never dropped one by one.
#[test]
fn a_client_that_reads_no_events_is_closed_at_the_bound() {
    let event = vec![0; 1 << 20];
    // How many events go in, of at most twenty, if the connection drains each and its client then
    // takes none or all of it. `replies` bytes of replies wait all the while.
    let deliver = |replies: usize, drains: bool, takes: bool| {
        let queue = queue();
        let mut out = vec![0; replies];
        queue.set_unsent(out.len());
        let mut events = 0;
        while events < 20 {
            assert!(queue.event(&event, &everyone(), &policy()));
            events += 1;
            if drains || queue.state.lock().dead {
                let close = queue.drain(&mut out).close;
                if close == Some(CloseReason::TooManyUnreadEvents) {
                    assert!(!queue.event(&event, &everyone(), &policy()));
                    break;
                }
                if takes {
                    out.truncate(replies);
                }
                queue.set_unsent(out.len());
            }
        }
        events
    };
    assert_eq!(deliver(0, false, false), 9, "eight MiB may wait");
    assert_eq!(deliver(0, true, false), 9, "what was drained and not sent counts");
    assert_eq!(deliver(0, true, true), 20, "what was read does not");
    assert_eq!(deliver(20 << 20, false, false), 9, "replies that wait change nothing");
}

#[test]
fn a_reply_is_never_too_much() {
    let queue = queue();
    queue.set_unsent(MAX_UNREAD_EVENT_BYTES);
    queue.reply(None, |out| out.resize(MAX_UNREAD_EVENT_BYTES, 0));
    assert_eq!(queue.drain(&mut Vec::new()).close, None);
}

#[test]
fn replies_are_counted_and_forgotten_on_request() {
    let queue = queue();
    queue.count(3, 1, None);
    queue.reply(Some(&answered(7)), put(b""));
    let stats = queue.stats();
    assert_eq!((stats.received, stats.sent, stats.last_cxid), (3, 2, 7));
    assert_eq!((stats.latency_ms_max(), stats.last_response_ms), (4, 9));
    queue.reset_stats();
    assert_eq!((queue.stats().received, queue.stats().last_cxid), (0, -1));
}
