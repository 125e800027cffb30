//! No server breaks with another for what an honest server sends.
//!
//! Bad packets drop their link with words that name what was expected and what came. As long as no
//! hostile packet was sent, such words mean that the servers disagree about the protocol: a stream
//! with a hole (ZOOKEEPER-4925), a COMMIT for a forgotten proposal (ZOOKEEPER-4394), an ACK out of
//! its place (ZOOKEEPER-4685). Retrying would hide it.

use super::{Run, violation};
use crate::history::{Event, ServerEvent, Violation};

pub const NAME: &str = "honest_peers";

/// How a learner begins its last words.
const LEFT: &str = "the leader is left: ";

/// What honest servers may bring each other to say.
const HONEST: [&str; 2] = [
    // A leader that did not hear of a later one.
    "expected an epoch of at least",
    // A leader that did not hear of the last reconfiguration (C-232).
    "expected a configuration of version",
];

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    for (at, event) in &run.history.events {
        match event {
            Event::Fault(what) if what.contains("hostile") => return Ok(()),
            Event::Server(sid, ServerEvent::LinkEnded(why)) => {
                let words = why.strip_prefix(LEFT).unwrap_or(why);
                if words.starts_with("expected")
                    && !HONEST.iter().any(|honest| words.starts_with(honest))
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!("{sid} ends a link to an honest server: {why}"),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;

    fn ended(play: &mut Play, server: i64, why: &str) {
        play.server(server, ServerEvent::LinkEnded(why.into()));
    }

    #[test]
    fn links_end_for_many_reasons() {
        let mut play = Play::of_three();
        ended(&mut play, 2, "nothing heard of the leader for 5000 ms");
        ended(&mut play, 2, "expected an epoch of at least 4, which is promised, got 3");
        play.push_fault("a hostile packet from server 3");
        ended(&mut play, 1, "expected ACKEPOCH, got UPTODATE");
        play.passes(check);
    }

    #[test]
    fn a_stream_has_a_hole() {
        let mut play = Play::of_three();
        ended(
            &mut play,
            3,
            "the leader is left: expected the transaction after 0x100000001, got 0x100000003",
        );
        play.fails(check, &["server 3 ends a link", "0x100000001, got 0x100000003", " s"]);
    }

    #[test]
    fn a_commit_for_nothing() {
        let mut play = Play::of_three();
        ended(&mut play, 2, "expected no COMMIT, got one of 0x100000002");
        play.fails(check, &["server 2", "expected no COMMIT, got one of 0x100000002", " s"]);
    }
}
