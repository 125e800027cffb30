//! Before the session: a connect request, a word, or garbage.

use super::*;

#[test]
fn a_connect_request_is_handed_on_with_its_timeout_in_bounds() {
    for (asked, given) in [(1, 4_000), (-1, 4_000), (10_000, 10_000), (i32::MAX, 40_000)] {
        let mut client = Client::new();
        let pass = client.send(&connect(0, asked, b""));
        assert_eq!(words(&pass), [format!("connect 0x0 {given}")]);
        assert!(!client.core.is_established() && client.core.output().is_empty());
    }
}

#[test]
fn the_session_is_there_with_its_response() {
    let mut client = Client::new();
    client.send(&connect(0, 10_000, b""));
    client.grant();
    assert!(!client.core.is_established(), "not before the queue is drained");
    client.core.drain();
    assert_eq!((client.core.session(), client.core.session_timeout_ms()), (SESSION, Some(10_000)));
    assert_eq!(client.core.output().len(), 4 + 37);
    assert!(!client.core.has_unfinished());
}

#[test]
fn requests_behind_the_connect_request_wait_for_the_session() {
    let mut client = Client::new();
    let bytes = [connect(0, 10_000, b""), create(1, "/a"), ping()].concat();
    assert_eq!(words(&client.send(&bytes)), ["connect 0x0 10000"]);
    assert_eq!(words(&client.send(&exists(2, "/"))), [""; 0]);
    client.grant();
    assert_eq!(words(&client.resume()), ["1 Create"]);
}

/// C-010: whoever does not know the password does nothing to the session.
#[test]
fn a_wrong_password_is_refused_without_asking_the_server() {
    let mut client = Client::new();
    let pass = client.send(&[connect(SESSION.0, 10_000, b"guess"), ping()].concat());
    assert!(pass.submissions.is_empty());
    assert_eq!(client.core.ending(), Some(&Ending::WrongPassword(SESSION)));
    let mut refusal = Vec::new();
    ConnectResponse::refused(Some(false)).write(&mut refusal);
    assert_eq!(client.read_all(), refusal);
    let mut client = Client::new();
    let pass = client.send(&connect(SESSION.0, 10_000, &password::generate(SESSION)));
    assert_eq!(words(&pass), ["connect 0x77 10000"]);
}

/// C-011
#[test]
fn a_client_that_has_seen_more_is_sent_away_without_a_word() {
    let mut client = Client::new();
    assert!(client.send(&connect_after(1, 0, 10_000, b"")).submissions.is_empty());
    assert_eq!(client.core.ending(), Some(&Ending::AheadOfUs(Zxid(1))));
    assert!(client.core.output().is_empty());
}

#[test]
fn a_word_is_a_word_however_it_comes_and_nothing_is_taken_behind_it() {
    let mut client = Client::new();
    client.send(b"ru");
    assert_eq!(client.core.take_word(), None);
    client.send(b"ok\n");
    assert_eq!(client.core.take_word(), Some(Word { name: *b"ruok", number: 0 }));
    assert_eq!(client.core.take_word(), None, "it is given once");
    assert!(client.send(&connect(0, 10_000, b"")).submissions.is_empty());
    client.core.answer_word(b"imok");
    assert_eq!(client.read_all(), b"imok");
    assert!(client.core.is_done_talking() && !client.core.wants_input());
}

#[test]
fn the_word_with_a_number_waits_for_all_of_it() {
    let mut client = Client::new();
    client.send(b"stmk\0\0\0\0\0\0\x01");
    assert_eq!(client.core.take_word(), None);
    client.send(b"\x02");
    assert_eq!(client.core.take_word(), Some(Word { name: *b"stmk", number: 0x102 }));
}

/// C-285, C-286
#[test]
fn garbage_instead_of_a_handshake_closes_without_an_answer() {
    let short = frame(b"\0\0\0\0");
    let long = (MAX_FRAME as i32 + 1).to_be_bytes();
    let empty = [0; 4];
    for garbage in [&b"GET / HTTP/1.1"[..], &[0xff; 4], &long, &short, &empty, b"srvr"] {
        let mut client = Client::new();
        assert!(client.send(garbage).submissions.is_empty(), "{}", garbage.escape_ascii());
        assert!(client.garbage() && client.core.output().is_empty());
        assert!(client.send(&connect(0, 10_000, b"")).submissions.is_empty());
        assert!(!client.core.has_waiting_input(), "nothing is kept");
    }
}

#[test]
fn a_grant_for_a_connection_that_has_ended_is_ignored() {
    let mut client = Client::new();
    client.send(&connect(0, 10_000, b""));
    client.core.end(Ending::Asked(CloseReason::NoHandshake));
    client.grant();
    assert!(client.resume().submissions.is_empty());
    assert!(!client.core.is_established());
    assert_eq!(client.core.session_timeout_ms(), None);
}

#[test]
fn a_refusal_goes_out_before_the_end() {
    let mut client = Client::new();
    client.send(&connect(0, 10_000, b""));
    client.queue.reply(None, |out| ConnectResponse::refused(None).write(out));
    client.queue.close(CloseReason::SessionRefused);
    client.resume();
    assert_eq!(client.core.ending(), Some(&Ending::Asked(CloseReason::SessionRefused)));
    assert_eq!(client.read_all().len(), 4 + 36);
}

/// With connection tokens a client that finds none is closed without a word, before anything else
/// is looked at.
#[test]
fn without_a_token_there_is_no_session() {
    let mut options = crate::config::Limits::default().connections;
    options.tokens = 1;
    options.fill_time_ms = 1000;
    let throttle = BlueThrottle::new(options, 0, 7).expect("it is on");
    let throttle = Arc::new(Mutex::new(throttle));
    let client = |now_ms| {
        let mut client = Client::new();
        client.around.options.throttle = Some(throttle.clone());
        client.now_ms = now_ms;
        client
    };
    let connected = |client: &mut Client, bytes: &[u8]| words(&client.send(bytes)).len();
    assert_eq!(connected(&mut client(100), &connect(0, 10_000, b"")), 1);
    let mut refused = client(100);
    assert_eq!(connected(&mut refused, &connect(SESSION.0, 10_000, b"guess")), 0);
    assert_eq!(refused.core.ending(), Some(&Ending::Throttled));
    assert!(refused.core.output().is_empty());
    assert_eq!(connected(&mut client(1000), &connect(0, 10_000, b"")), 1);
}
