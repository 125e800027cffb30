//! What a client can make the server keep, and what counts as a sign of life.

use super::*;
use crate::proto::requests::MultiHeader;

/// C-285: whatever phase, a length that cannot be ends the connection.
#[test]
fn garbage_in_the_middle_ends_the_connection_behind_what_came_before() {
    for garbage in [&[0xff; 4][..], &frame(b"\0\0\0\x01"), &frame(b""), &[0x7f, 0, 0, 0]] {
        let mut client = Client::established();
        let pass = client.send(&[&exists(1, "/"), &create(2, "/a"), garbage, &ping()].concat());
        assert_eq!(words(&pass), ["2 Create"]);
        assert!(client.garbage());
        assert_eq!(client.codes(), [(1, 0)]);
        assert!(!client.core.wants_input() && !client.core.has_waiting_input());
    }
}

#[test]
fn a_body_that_cannot_be_read_is_an_error_and_no_end() {
    let mut client = Client::established();
    let reads = [OpCode::Exists, OpCode::GetData, OpCode::SetWatches, OpCode::MultiRead];
    for op in reads {
        client.send(&request(1, op, b"\xff"));
        assert_eq!(client.codes(), [(1, -5)], "{op:?}");
    }
    assert!(client.core.ending().is_none());
}

#[test]
fn what_was_written_is_not_kept() {
    let mut client = Client::established();
    for xid in 0..1000 {
        client.send(&exists(xid, "/"));
    }
    let bytes = client.core.output().len();
    assert!(bytes > 10 * KEPT_BYTES);
    // A client that always leaves a little behind.
    client.core.wrote(bytes - 100);
    assert!(client.core.written + client.core.output.len() < 200);
    assert_eq!(client.core.output().len(), 100);
    client.core.wrote(100);
    assert!(client.core.output.capacity() <= KEPT_BYTES);
}

#[test]
fn a_large_request_leaves_no_large_buffer_behind() {
    let mut client = Client::established();
    let large = request(1, OpCode::Exists, &vec![b'x'; 100_000]);
    for piece in large.chunks(1000) {
        client.send(piece);
    }
    assert_eq!(client.codes(), [(1, -5)]);
    assert!(client.core.input.capacity() <= KEPT_BYTES);
}

/// C-294
#[test]
fn a_client_that_does_not_read_is_not_served_until_it_does() {
    let mut client = Client::established();
    client.send(&create(1, "/large"));
    client.commit(1, "/large", &vec![0; MAX_OUTPUT_BYTES]);
    client.resume();
    client.read_all();
    let large = read(2, OpCode::GetData, "/large", false);
    let pass = client.send(&[large, create(3, "/a")].concat());
    assert!(pass.more && pass.submissions.is_empty());
    assert!(!client.core.wants_input() && client.core.has_waiting_input());
    client.core.wrote(1000);
    assert_eq!(words(&client.resume()), ["3 Create"]);
    assert!(client.core.wants_input());
}

#[test]
fn reads_of_one_hold_are_bounded_and_go_on_in_the_same_pass() {
    let mut client = Client::established();
    let reads = (0..10 * MAX_READS_PER_HOLD as i32).flat_map(|xid| exists(xid, "/"));
    let pass = client.send(&reads.collect::<Vec<_>>());
    assert_eq!(pass.answered, 10 * MAX_READS_PER_HOLD);
    assert!(!pass.more);
}

#[test]
fn a_client_has_so_many_bytes_of_requests_under_way_and_no_more() {
    let mut client = Client::established();
    let write = |xid| {
        let body = crate::processor::testing::set_data("/a", &vec![0; 300 << 10], -1);
        request(xid, OpCode::SetData, &body)
    };
    let mut submitted = 0;
    for xid in 0..10 {
        submitted += client.send(&write(xid)).submissions.len();
    }
    assert_eq!(submitted, 4, "the last one crosses the bound");
    assert!(!client.core.wants_input(), "a MiB waits, and something is unfinished");
    for xid in 0..4 {
        let header = ReplyHeader { xid, zxid: Zxid(1), err: 0 };
        client.queue.reply(None, |out| write_header_only(header, out));
    }
    assert_eq!(client.resume().submissions.len(), 4);
}

/// What a client that closed its side has sent is still carried out.
#[test]
fn a_half_closed_client_is_done_when_everything_it_sent_is() {
    let mut client = Client::established();
    let watched = read(2, OpCode::Exists, "/a", true);
    client.send(&[create(1, "/a"), watched, create(3, "/b")].concat());
    client.core.client_is_done();
    assert!(!client.core.wants_input() && !client.core.is_done(&client.around));
    client.commit(1, "/a", b"");
    client.core.drain();
    assert!(!client.core.is_done(&client.around), "a read and a write wait");
    assert_eq!(words(&client.resume()), ["3 Create"]);
    assert!(!client.core.is_done(&client.around));
    client.commit(3, "/b", b"");
    client.resume();
    assert!(client.core.is_done(&client.around));
    assert_eq!(client.codes(), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_half_closed_client_that_left_a_piece_is_done() {
    let mut client = Client::established();
    client.send(&create(1, "/a")[..10]);
    client.core.client_is_done();
    assert!(client.core.is_done(&client.around));
}

/// C-013
#[test]
fn a_whole_request_is_a_sign_of_life_and_a_piece_is_none() {
    let mut client = Client::established();
    let (bytes, watched) = (create(1, "/a"), read(2, OpCode::Exists, "/a", true));
    let heard = |client: &Client| client.touch.last_touch_mono_ms();
    client.now_ms = 200;
    client.send(&bytes[..10]);
    assert_eq!(heard(&client), 0);
    client.send(&bytes[10..]);
    assert_eq!(heard(&client), 200);
    client.now_ms = 300;
    client.send(&watched);
    assert_eq!(heard(&client), 300, "even one that has to wait");
    client.now_ms = 400;
    client.commit(1, "/a", b"");
    client.resume();
    assert_eq!(heard(&client), 300, "its turn is no new sign");
}

/// Any bytes, in any pieces, in any phase: no panic, and nothing for the server but requests.
#[test]
fn random_bytes_do_no_harm() {
    let mut dice = crate::processor::testing::Dice(0xbad);
    for round in 0..400 {
        let mut client = if round % 4 == 0 { Client::new() } else { Client::established() };
        for _ in 0..20 {
            let mut bytes = match dice.below(4) {
                0 => create(1, "/a"),
                1 => read(1, OpCode::GetData, "/a", true),
                2 => auth(b"a:b"),
                _ => request_of(
                    dice.below(120) as i32 - 12,
                    dice.below(120) as i32 - 12,
                    b"\0\0\0\x01/",
                ),
            };
            for _ in 0..dice.below(3) {
                let at = dice.below(bytes.len());
                bytes[at] = dice.below(256) as u8;
            }
            let at = dice.below(bytes.len());
            let pass = client.send(&bytes[..at]);
            let after = client.send(&bytes[at..]);
            for _ in pass.submissions.iter().chain(&after.submissions) {
                if client.core.is_established() {
                    client.commit(1, "/x", b"");
                } else {
                    client.grant();
                }
            }
            client.resume();
            if client.core.ending().is_none() && dice.below(3) == 0 {
                client.read_all();
            }
        }
    }
}

/// A request near `jute.maxbuffer` is worth a warning, and so is a reply; with their paths.
#[test]
fn messages_near_the_largest_frame_are_noted() {
    let mut client = Client::established();
    let set = |bytes: usize| {
        let body = crate::processor::testing::set_data("/big", &vec![0; bytes], -1);
        request(1, OpCode::SetData, &body)
    };
    assert_eq!(client.send(&set(MAX_FRAME / 5 * 4 - 100)).near_limit, None);
    client.commit(1, "/big", &vec![0; MAX_FRAME - 100]);
    client.resume();
    client.read_all();
    let pass = client.send(&set(MAX_FRAME / 5 * 4));
    let near = pass.near_limit.expect("a note");
    assert_eq!(
        (near.op, &near.path[..], near.is_reply),
        (Some(OpCode::SetData), &b"/big"[..], false)
    );
    assert!(near.bytes > MAX_FRAME / 5 * 4 && near.session == SESSION);
    let header = ReplyHeader { xid: 1, zxid: Zxid(1), err: 0 };
    client.queue.reply(None, |out| write_header_only(header, out));
    client.resume();
    let near = client.send(&read(2, OpCode::GetData, "/big", false)).near_limit.expect("a note");
    assert_eq!(
        (near.op, &near.path[..], near.is_reply),
        (Some(OpCode::GetData), &b"/big"[..], true)
    );
    assert_eq!(near.bytes, MAX_FRAME - 100 + 4 + 68 + 16);
}

/// A large request counts from the moment its length is known until it is finished; the one for
/// which there is no room ends its connection before its bytes are here.
#[test]
fn large_requests_have_so_much_room_together() {
    let limit = Arc::new(LargeRequests::new(1000, 10_000));
    let client = || {
        let mut client = Client::established();
        client.around.options.large_requests = Some(limit.clone());
        client
    };
    let write = |bytes: usize| {
        let body = crate::processor::testing::set_data("/a", &vec![0; bytes], -1);
        request(1, OpCode::SetData, &body)
    };
    let (mut one, mut other) = (client(), client());
    one.send(&write(6000)[..4]);
    assert!(limit.bytes() > 6000, "only its length is here");
    one.send(&write(6000)[4..]);
    assert!(limit.bytes() > 6000, "it is submitted");
    other.send(&write(900));
    assert!(limit.bytes() < 7000 && other.core.ending().is_none(), "a small one");
    other.send(&write(5000)[..10]);
    let Some(Ending::TooManyLargeRequests(5000..5100)) = other.core.ending() else {
        panic!("{:?}", other.core.ending());
    };
    let header = ReplyHeader { xid: 1, zxid: Zxid(1), err: 0 };
    one.queue.reply(None, |out| write_header_only(header, out));
    one.resume();
    assert_eq!(limit.bytes(), 0, "it is finished");
    // A large read is answered at once, and one that is given up gives its room back.
    one.send(&request(2, OpCode::SetWatches, &[b'x'; 5000]));
    assert_eq!((one.codes(), limit.bytes()), (vec![(1, 0), (2, -5)], 0));
    one.send(&write(9000)[..100]);
    assert!(limit.bytes() > 9000);
    drop(one);
    assert_eq!(limit.bytes(), 0);
}

/// Of a reply that is not finished nothing goes out: the client would take it for a frame.
#[test]
fn a_reply_that_is_too_large_leaves_no_piece_behind() {
    let mut client = Client::established();
    client.send(&create(1, "/large"));
    client.commit(1, "/large", &vec![0; 2 << 20]);
    client.resume();
    client.read_all();
    let mut body = Vec::new();
    for _ in 0..40 {
        MultiHeader { op: OpCode::GetData.to_int(), done: false, err: -1 }.write(&mut body);
        body.put_ustring(b"/large");
        body.put_bool(false);
    }
    MultiHeader::END.write(&mut body);
    client.send(&[exists(2, "/large"), request(3, OpCode::MultiRead, &body)].concat());
    assert_eq!(client.core.ending(), Some(&Ending::ReplyTooLarge));
    assert_eq!(client.codes(), [(2, 0)]);
}
