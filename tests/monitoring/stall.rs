//! Words that cost stall nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{DEADLINE, RawClient, TestServer, bodies, op};

const WATCHES: usize = 1_000_000;
/// Watches of one request, whose frame must stay below jute.maxbuffer.
const PER_REQUEST: usize = 20_000;

/// While `wchp` and `wchs` look at a million watches another client's reads are answered: many of
/// them between a word and its answer.
#[test]
fn a_million_watches_are_listed_while_others_read() {
    let server = TestServer::start(&[]);
    let mut watcher = RawClient::new(&server);
    for first in (0..WATCHES).step_by(PER_REQUEST) {
        let paths: Vec<String> =
            (first..first + PER_REQUEST).map(|n| format!("/missing-{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        watcher.set_watches(0, [&[], &paths, &[]]).ok();
    }
    assert_eq!(server.mntr("zk_watch_count"), Some(WATCHES.to_string()));
    let mut reader = RawClient::new(&server);
    reader.create("/read", b"x", 0).ok();

    let mut stream = TcpStream::connect(server.address()).expect("the server accepts");
    stream.set_read_timeout(Some(4 * DEADLINE)).expect("a timeout");
    let answered = AtomicBool::new(false);
    let mut reads = 0;
    let text = std::thread::scope(|scope| {
        stream.write_all(b"wchp").expect("written");
        let text = scope.spawn(|| {
            let mut first = [0; 1];
            stream.read_exact(&mut first).expect("an answer");
            answered.store(true, Ordering::Release);
            let mut text = vec![first[0]];
            stream.read_to_end(&mut text).expect("to the end");
            text
        });
        while !answered.load(Ordering::Acquire) {
            reader.call(op::GET_DATA, &bodies::watched("/read", false)).ok();
            reads += 1;
        }
        text.join().expect("the reader of the answer")
    });
    assert_eq!(text.iter().filter(|byte| **byte == b'/').count(), WATCHES);
    assert!(reads > 50, "only {reads} reads were answered meanwhile");
    let wchs = server.word("wchs");
    assert_eq!(wchs, format!("1 connections watching {WATCHES} paths\nTotal watches:{WATCHES}\n"));
}
