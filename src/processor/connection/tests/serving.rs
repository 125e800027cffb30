//! Whether the server serves, and in which stretch.

use super::*;

const NOT_SERVING: Ending = Ending::Asked(CloseReason::NotServing);

fn not_serving() -> Client {
    let client = Client::new();
    client.around.database.write().stop_serving();
    client
}

#[test]
fn a_server_that_does_not_serve_closes_at_the_first_packet() {
    let mut client = not_serving();
    assert!(client.core.ending().is_none() && client.core.wants_input());
    assert!(client.send(&connect(0, 10_000, b"")).submissions.is_empty());
    assert_eq!(client.core.ending(), Some(&NOT_SERVING));
    assert!(client.core.output().is_empty());
}

#[test]
fn a_server_that_does_not_serve_answers_words() {
    let mut client = not_serving();
    client.send(b"ruok");
    assert_eq!(client.core.take_word(), Some(Word { name: *b"ruok", number: 0 }));
    client.core.answer_word(b"imok");
    assert_eq!(client.read_all(), b"imok");
}

#[test]
fn a_read_of_another_stretch_than_the_sessions_is_not_answered() {
    for replaced in [false, true] {
        let mut client = Client::established();
        client.send(&exists(1, "/"));
        assert_eq!(client.codes(), [(1, 0)]);
        {
            let mut db = client.around.database.write();
            db.stop_serving();
            if replaced {
                db.take();
            }
            db.start_serving();
        }
        client.send(&exists(2, "/"));
        assert_eq!(client.core.ending(), Some(&NOT_SERVING), "replaced: {replaced}");
        assert!(client.core.output().is_empty());
    }
}

/// The session is asked for in one stretch, and what it reads is of the next.
#[test]
fn the_stretch_is_that_of_the_connect_request() {
    let mut client = Client::new();
    client.send(&[connect(0, 10_000, b""), exists(1, "/")].concat());
    {
        let mut db = client.around.database.write();
        db.stop_serving();
        db.start_serving();
    }
    client.grant();
    client.resume();
    assert_eq!(client.core.ending(), Some(&NOT_SERVING));
}

#[test]
fn a_severed_queue_sends_what_it_has_and_takes_nothing_more() {
    let mut client = Client::established();
    client.send(&[create(1, "/a"), create(2, "/b"), exists(3, "/b")].concat());
    client.commit(1, "/a", b"");
    client.queue.sever(CloseReason::NotServing);
    client.queue.reply(None, |_| unreachable!("it takes nothing more"));
    assert!(client.queue.next_deferred().is_none());
    let everyone = [crate::proto::Acl::new(31, b"world", b"anyone")];
    assert!(!client.queue.event(b"event", &everyone, &policy()));
    client.resume();
    assert_eq!(client.codes(), [(1, 0)]);
    assert_eq!(client.core.ending(), Some(&NOT_SERVING));
}
