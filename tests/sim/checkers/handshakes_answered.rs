//! In peace a server that serves answers whoever asks for a session.
//!
//! The liveness of session hand-over (C-149, semantics of REVALIDATE; ZOOKEEPER-710, 2886): a client
//! that comes from another server is told that its session goes on, or that it is gone. Once peace
//! reigns, and as long as the server serves without a break, that takes less than two seconds.

use zkserver::proto::{SessionId, Sid};

use super::{At, Map, Run, Set, violation};
use crate::history::{ClientEvent, ClientId, Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "handshakes_answered";

/// In peace an answer takes no longer.
const MOST: Micros = 2_000_000;

/// Someone who asks for a session.
struct Asking {
    server: Sid,
    session: SessionId,
    since: Micros,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut serving: Set<Sid> = Set::default();
    let mut asking: Map<ClientId, Asking> = Map::default();
    for (at, event) in &run.history.events {
        match event {
            Event::Server(sid, ServerEvent::Serving(true)) => {
                serving.insert(*sid);
            }
            Event::Server(sid, ServerEvent::Serving(false) | ServerEvent::Stopped(_)) => {
                serving.remove(sid);
                asking.retain(|_, asking| asking.server != *sid);
            }
            Event::Client(client, event) => {
                if let Some(Asking { server, session, since }) = asking.remove(client)
                    && *at >= since + MOST
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} has asked {server} for session {session} (last zxid {}) \
                             since {}, and is not answered though it serves",
                            client.0,
                            run.chain.tip(),
                            At(since)
                        ),
                    ));
                }
                if let ClientEvent::Connecting { server, session, .. } = event
                    && run.history.peace_at != 0
                    && *at >= run.history.peace_at
                    && serving.contains(server)
                {
                    let (server, session, since) = (*server, *session, *at);
                    asking.insert(*client, Asking { server, session, since });
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
    use zkserver::proto::Zxid;

    fn asks(play: &mut Play, server: i64) {
        let connecting = ClientEvent::Connecting {
            server: Sid(server),
            session: SessionId(7),
            last_seen: Zxid::ZERO,
        };
        play.client(1, connecting);
    }

    fn peace() -> Play {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.follow(2, 1);
        play.peace_for(1000);
        play
    }

    #[test]
    fn answered_or_refused() {
        let mut play = peace();
        asks(&mut play, 2);
        play.connect(1, 2, 7);
        asks(&mut play, 1);
        play.wait(1_000_000);
        play.client(1, ClientEvent::Expired { session: SessionId(7) });
        // It does not serve.
        asks(&mut play, 3);
        play.wait(3_000_000);
        play.client(1, ClientEvent::Disconnected);
        play.passes(check);
    }

    #[test]
    fn a_client_waits_in_vain() {
        let mut play = peace();
        asks(&mut play, 2);
        play.wait(4_000_000);
        play.client(1, ClientEvent::Disconnected);
        play.fails(check, &["client 1 has asked server 2 for session 0x7", "zxid 0x0", " s"]);
    }

    #[test]
    fn an_answer_comes_late() {
        let mut play = peace();
        asks(&mut play, 1);
        play.wait(4_000_000);
        play.connect(1, 1, 7);
        play.fails(check, &["client 1 has asked server 1 for session 0x7", "is not answered"]);
    }
}
