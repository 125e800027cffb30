//! Sessions that come, leave an ephemeral, and go: by closing, or by silence.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Hello, Message, RawClient, bodies, flag, op};
use crate::random::Random;

/// Goes on until the server is gone; the names whose session's end was acknowledged.
pub fn run(address: SocketAddr, seed: u64, stop: &AtomicBool) -> Vec<String> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut random = Random::new(seed);
    let mut ended = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("e{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let Some(mut client) = RawClient::try_connect(address, &Hello::timeout(400)) else {
            continue;
        };
        assert!(!client.welcome.refused(), "a new session is refused");
        let path = format!("/short-lived/{name}");
        let create = bodies::create(&path, Some(b""), &bodies::open_acl(), flag::EPHEMERAL);
        let mut replies = 1;
        client.try_submit(op::CREATE, &create);
        let close = random.below(4) != 0;
        if close {
            client.try_submit(op::CLOSE_SESSION, &[]);
            replies += 1;
        }
        let answered = (0..replies).all(|_| {
            let frame = client.frame();
            frame.is_some_and(|frame| match Message::read(&frame) {
                Message::Reply(reply) => reply.err == 0,
                Message::Event(event) => panic!("nobody asked for {event:?}"),
            })
        });
        if close && answered {
            ended.push(name);
        }
    }
    ended
}
