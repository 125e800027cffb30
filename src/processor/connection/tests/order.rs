//! Replies have the order of the requests, and a read sees the writes before it.

use super::*;

/// C-144
#[test]
fn reads_are_answered_at_once_and_in_order() {
    let mut client = Client::established();
    let pass = client.send(&[exists(1, "/"), exists(2, "/none"), ping(), exists(3, "/")].concat());
    assert_eq!((pass.taken, pass.answered, pass.submissions.len()), (4, 4, 0));
    let last = LastRead { op: OpCode::Exists, cxid: 3, zxid: Zxid::ZERO };
    assert_eq!(pass.last_read, Some(last));
    assert_eq!(client.codes(), [(1, 0), (2, -101), (-2, 0), (3, 0)]);
}

#[test]
fn a_ping_is_answered_with_its_own_xid_whatever_it_said() {
    let mut client = Client::established();
    let pass = client.send(&request(17, OpCode::Ping, b""));
    assert_eq!(pass.last_read.map(|last| last.cxid), Some(-1));
    assert_eq!(client.codes(), [(-2, 0)]);
    client.send(&[create(1, "/a"), request(18, OpCode::Ping, b"")].concat());
    client.commit(1, "/a", b"");
    client.resume();
    assert_eq!(client.codes(), [(1, 0), (-2, 0)]);
}

#[test]
fn frames_mean_the_same_byte_by_byte() {
    let script = [exists(1, "/"), create(2, "/a"), exists(3, "/a"), auth(b"a:b"), create(4, "/b")];
    let script = script.concat();
    let talk = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut client = Client::established();
        let mut told = Vec::new();
        for piece in pieces {
            told.extend(words(&client.send(piece)));
        }
        client.commit(2, "/a", b"");
        told.extend(words(&client.resume()));
        client.commit(4, "/b", b"");
        told.extend(words(&client.resume()));
        (told, client.read_all())
    };
    let whole = talk(&mut std::iter::once(&script[..]));
    assert_eq!(whole.0, ["2 Create", "4 Create"]);
    assert_eq!(talk(&mut script.chunks(1)), whole);
    assert_eq!(talk(&mut script.chunks(7)), whole);
}

/// C-145: the small read waits in the queue, so that both writes are on their way.
#[test]
fn a_small_read_between_two_writes_sees_the_first_only() {
    let mut client = Client::established();
    let script = [create(1, "/a"), exists(2, "/a"), exists(3, "/b"), create(4, "/b")].concat();
    assert_eq!(words(&client.send(&script)), ["1 Create", "4 Create"]);
    assert_eq!((client.core.unfinished(), client.core.output().len()), (4, 0));
    client.commit(1, "/a", b"");
    client.commit(4, "/b", b"");
    client.resume();
    let replies = client.replies();
    let seen: Vec<_> = replies.iter().map(|reply| (reply.xid, reply.zxid, reply.err)).collect();
    assert_eq!(seen, [(1, 1, 0), (2, 1, 0), (3, 1, -101), (4, 2, 0)]);
    assert!(!client.core.has_unfinished());
}

/// C-130: a watch is set by the connection's own task, which also removes it.
#[test]
fn a_read_with_a_watch_waits_for_the_write_and_holds_back_what_is_behind_it() {
    let mut client = Client::established();
    let watched = read(2, OpCode::GetData, "/a", true);
    let pass = client.send(&[create(1, "/a"), watched, create(3, "/b")].concat());
    assert_eq!(words(&pass), ["1 Create"]);
    assert!(client.queue.next_deferred().is_none());
    client.commit(1, "/a", b"data");
    assert_eq!(words(&client.resume()), ["3 Create"]);
    assert_eq!(client.codes(), [(1, 0), (2, 0)]);
    let set =
        client.around.watches.contains(ConnectionId(1), b"/a", crate::watch::WatcherType::Data);
    assert!(set);
}

#[test]
fn a_large_read_waits_in_the_connection() {
    let mut client = Client::established();
    client.send(&create(1, "/large"));
    client.commit(1, "/large", &vec![0; MAX_DEFERRED_BYTES]);
    client.resume();
    client.read_all();
    let large = read(3, OpCode::GetData, "/large", false);
    let pass = client.send(&[create(2, "/a"), large, create(4, "/b")].concat());
    assert_eq!(words(&pass), ["2 Create"]);
    client.commit(2, "/a", b"");
    assert_eq!(words(&client.resume()), ["4 Create"]);
    assert_eq!(client.codes(), [(2, 0), (3, 0)]);
}

#[test]
fn small_reads_are_deferred_only_up_to_a_bound() {
    let mut client = Client::established();
    client.send(&create(1, "/a"));
    for xid in 2..2000 {
        client.send(&exists(xid, "/"));
    }
    let deferred = client.core.unfinished() - 1;
    assert!((100..1000).contains(&deferred), "{deferred}");
    client.commit(1, "/a", b"");
    client.resume();
    while client.core.has_waiting_input() {
        client.resume();
    }
    let expected: Vec<_> = (1..2000).map(|xid| (xid, 0)).collect();
    assert_eq!(client.codes(), expected);
}

/// C-158: auth keeps its place among the requests.
#[test]
fn auth_counts_for_what_is_behind_it_and_for_nothing_before_it() {
    let mut client = Client::established();
    let pass = client.send(&[create(1, "/a"), auth(b"bob:b"), create(2, "/b")].concat());
    let who = |pass: &Pass| match &pass.submissions[..] {
        [Submission::Request(request)] => request.identities.iter().count(),
        other => panic!("{other:?} is not one request"),
    };
    assert_eq!(who(&pass), 1, "the address");
    client.commit(1, "/a", b"");
    assert_eq!(who(&client.resume()), 2, "bob too");
    assert_eq!(client.codes(), [(1, 0), (-4, 0)]);
}

/// C-198
#[test]
fn failed_auth_is_told_in_its_place_and_ends_the_connection() {
    let mut client = Client::established();
    let mut body = Vec::new();
    body.put_int(0);
    body.put_ustring(b"nonsense");
    body.put_buffer(None);
    client.send(&[create(1, "/a"), request(-4, OpCode::Auth, &body), ping()].concat());
    assert!(client.core.ending().is_none());
    client.commit(1, "/a", b"");
    client.resume();
    assert_eq!(client.core.ending(), Some(&Ending::AuthFailed));
    assert_eq!(client.codes(), [(1, 0), (-4, -115)]);
}

/// C-153
#[test]
fn a_sync_goes_to_the_server_in_its_place() {
    let mut client = Client::established();
    let mut path = Vec::new();
    path.put_ustring(b"any thing");
    let sync = request(2, OpCode::Sync, &path);
    assert_eq!(words(&client.send(&[create(1, "/a"), sync.clone()].concat())), ["1 Create"]);
    client.commit(1, "/a", b"");
    assert_eq!(words(&client.resume()), ["2 Sync"]);
    assert_eq!(client.codes(), [(1, 0)]);
    client.queue.reply(None, |_| {});
    client.send(&[request(3, OpCode::Sync, b""), exists(4, "/")].concat());
    client.resume();
    assert_eq!(client.codes(), [(3, -5), (4, 0)]);
}

/// C-019
#[test]
fn after_close_session_nothing_is_taken() {
    let mut client = Client::established();
    let close = request(2, OpCode::CloseSession, b"");
    let pass = client.send(&[create(1, "/a"), close, create(3, "/b"), ping()].concat());
    assert_eq!(words(&pass), ["1 Create", "2 CloseSession"]);
    assert!(client.send(&create(4, "/c")).submissions.is_empty());
    client.commit(1, "/a", b"");
    client.queue.reply(None, |out| {
        write_header_only(ReplyHeader { xid: 2, zxid: Zxid(2), err: 0 }, out);
    });
    client.queue.close(CloseReason::SessionClosed);
    assert!(client.resume().submissions.is_empty());
    assert_eq!(client.codes(), [(1, 0), (2, 0)]);
    assert_eq!(client.core.ending(), Some(&Ending::Asked(CloseReason::SessionClosed)));
}

/// C-160, C-288
#[test]
fn what_a_client_may_not_ask_is_told_in_its_place_and_ends_the_connection() {
    for op in [10, -10, -1, 13, 20, 999, i32::MIN] {
        let mut client = Client::established();
        client.send(&[create(1, "/a"), request_of(2, op, b""), create(3, "/b")].concat());
        assert!(client.core.ending().is_none(), "not before its turn");
        client.commit(1, "/a", b"");
        assert!(client.resume().submissions.is_empty());
        assert!(client.garbage());
        let replies = client.replies();
        let last = replies.last().expect("two replies");
        assert_eq!((replies.len(), last.xid, last.zxid, last.err), (2, 2, -1, -6), "{op}");
    }
}
