//! A session's requests are answered in the order in which it sent them, with rising zxids.
//!
//! C-144 and C-147, ZooKeeper's FIFO client order: on each connection answers come in the order of
//! the requests and their zxids never fall; over a session's connections each write's zxid is above
//! that of the one before.

use std::collections::VecDeque;

use zkserver::proto::{SessionId, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{ClientEvent, ClientId, Event, Micros, OpId, Request, Response, Violation};

pub const NAME: &str = "fifo_per_session";

/// A client's connection.
#[derive(Default)]
struct Connection {
    waiting: VecDeque<(OpId, SessionId, bool)>,
    last: Option<(Zxid, OpId, Micros)>,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut connections: Map<ClientId, Connection> = Map::default();
    let mut writes: Map<SessionId, (Zxid, OpId, Micros)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Client(client, event) = event else { continue };
        let connection = connections.entry(*client).or_default();
        match event {
            ClientEvent::Connecting { .. } | ClientEvent::Disconnected => connection.last = None,
            ClientEvent::Invoked { op, session, request, .. } => {
                connection.waiting.push_back((*op, *session, writes_itself(request)));
            }
            ClientEvent::Lost { op } => connection.waiting.retain(|(waiting, ..)| waiting != op),
            ClientEvent::Returned { op, zxid, result } => {
                let front = connection.waiting.pop_front();
                let Some((_, session, is_write)) = front.filter(|(waiting, ..)| waiting == op)
                else {
                    let expected = front.map_or(String::from("none"), |(op, ..)| op.0.to_string());
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} is answered operation {} (zxid {zxid}), operation \
                             {expected} was sent before it",
                            client.0, op.0
                        ),
                    ));
                };
                // What is refused at the door has no zxid.
                if *zxid == Zxid::ZERO || *zxid == Zxid(u64::MAX) {
                    continue;
                }
                if let Some((last, before, since)) = connection.last
                    && *zxid < last
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} is answered operation {} with zxid {zxid}, operation {} \
                             was answered with {last} at {}",
                            client.0,
                            op.0,
                            before.0,
                            At(since)
                        ),
                    ));
                }
                connection.last = Some((*zxid, *op, *at));
                let is_done = match result {
                    Ok(Response::MultiFailed(_)) | Err(_) => false,
                    Ok(_) => true,
                };
                if !is_write || !is_done {
                    continue;
                }
                if let Some((last, before, since)) = writes.get(&session)
                    && zxid <= last
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "session {session}: write {} has zxid {zxid}, write {} before it had \
                             {last} at {}",
                            op.0,
                            before.0,
                            At(*since)
                        ),
                    ));
                }
                writes.insert(session, (*zxid, *op, *at));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the request becomes a transaction of its own.
fn writes_itself(request: &Request) -> bool {
    matches!(
        request,
        Request::Create { .. }
            | Request::CreateReaped { .. }
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::Multi(_)
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    fn set(play: &mut Play) -> OpId {
        play.invoke(1, Request::SetData { path: "/a".into(), value: 1, version: -1 })
    }

    fn done(play: &mut Play, op: OpId, zxid: Zxid) {
        play.answer(1, op, zxid, Ok(Response::Stat(stat(zxid, zxid, 1))));
    }

    #[test]
    fn in_order() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        let (first, ping) = (set(&mut play), play.invoke(1, Request::Ping));
        let second = set(&mut play);
        done(&mut play, first, Zxid(1));
        play.answer(1, ping, Zxid(1), Ok(Response::Done));
        play.client(1, ClientEvent::Disconnected);
        play.client(1, ClientEvent::Lost { op: second });
        play.connect(1, 2, 7);
        let third = set(&mut play);
        done(&mut play, third, Zxid(3));
        play.passes(check);
    }

    #[test]
    fn an_answer_overtakes() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        let _first = set(&mut play);
        let second = set(&mut play);
        done(&mut play, second, Zxid(2));
        play.fails(check, &["client 1 is answered operation 1 (zxid 0x2)", "operation 0", " s"]);
    }

    #[test]
    fn a_zxid_falls() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        let first = set(&mut play);
        done(&mut play, first, Zxid(5));
        play.ask(1, Request::Ping, Zxid(4), Ok(Response::Done));
        play.fails(check, &["client 1", "operation 1 with zxid 0x4", "operation 0", "0x5", " s"]);
    }

    #[test]
    fn a_later_write_is_before_the_earlier() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        let first = set(&mut play);
        done(&mut play, first, Zxid(5));
        play.client(1, ClientEvent::Disconnected);
        play.connect(1, 2, 7);
        let second = set(&mut play);
        done(&mut play, second, Zxid(5));
        play.fails(check, &["session 0x7: write 1 has zxid 0x5, write 0", " s"]);
    }
}
