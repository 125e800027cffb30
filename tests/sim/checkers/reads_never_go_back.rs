//! A session never sees an older state than it has seen, whichever server it asks.
//!
//! ZooKeeper's single system image, C-148 to C-150: no answer's zxid is below one that the session
//! has seen in an answer or an event, over all its connections; a read's content is not above its
//! zxid; and a node's stat never goes back.

use std::collections::HashMap;

use zkserver::proto::{SessionId, Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{
    ClientEvent, ClientId, Event, Micros, NodeStat, OpId, Path, Request, Response, Violation,
};

pub const NAME: &str = "reads_never_go_back";

/// What a session has seen.
#[derive(Default)]
struct Seen<'a> {
    last: Option<(Zxid, Micros)>,
    nodes: HashMap<&'a Path, (NodeStat, Micros)>,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut sessions: Map<SessionId, Seen<'_>> = Map::default();
    let mut asked: Map<(ClientId, OpId), (SessionId, Sid, &Request)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Client(client, event) = event else { continue };
        match event {
            ClientEvent::Invoked { op, session, server, request } => {
                asked.insert((*client, *op), (*session, *server, request));
            }
            ClientEvent::Event { session, zxid, .. } if *zxid != Zxid(u64::MAX) => {
                let last = &mut sessions.entry(*session).or_default().last;
                if last.is_none_or(|(last, _)| last < *zxid) {
                    *last = Some((*zxid, *at));
                }
            }
            ClientEvent::Returned { op, zxid, result } => {
                let Some((session, server, request)) = asked.remove(&(*client, *op)) else {
                    continue;
                };
                // What is refused at the door has no zxid.
                if *zxid == Zxid::ZERO || *zxid == Zxid(u64::MAX) {
                    continue;
                }
                let seen = sessions.entry(session).or_default();
                if let Some((last, since)) = seen.last
                    && *zxid < last
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} (session {session}) sees {zxid} at {server} in operation \
                             {}, it had seen {last} at {}",
                            client.0,
                            op.0,
                            At(since)
                        ),
                    ));
                }
                seen.last = Some((*zxid, *at));
                let Some((path, stat)) = shown(request, result) else { continue };
                if stat.mzxid > *zxid || stat.pzxid > *zxid || stat.czxid > *zxid {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} sees {path} at {server} with mzxid {} and pzxid {} under \
                             the header zxid {zxid}",
                            client.0, stat.mzxid, stat.pzxid
                        ),
                    ));
                }
                if let Some((before, since)) = seen.nodes.insert(path, (stat, *at))
                    && is_older(&stat, &before)
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} sees {path} at {server} as of {} (version {}), at {} it saw \
                             it as of {} (version {})",
                            client.0,
                            stat.mzxid.max(stat.pzxid),
                            stat.version,
                            At(since),
                            before.mzxid.max(before.pzxid),
                            before.version
                        ),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_older(stat: &NodeStat, before: &NodeStat) -> bool {
    stat.czxid < before.czxid
        || stat.mzxid < before.mzxid
        || stat.pzxid < before.pzxid
        || (stat.czxid == before.czxid
            && (stat.version < before.version || stat.cversion < before.cversion))
}

/// The node that a read has shown.
fn shown<'a>(request: &'a Request, result: &Result<Response, i32>) -> Option<(&'a Path, NodeStat)> {
    let (Request::GetData { path, .. }
    | Request::Exists { path, .. }
    | Request::GetChildren { path, .. }) = request
    else {
        return None;
    };
    match result {
        Ok(
            Response::Data { stat, .. } | Response::Stat(stat) | Response::Children { stat, .. },
        ) => Some((path, *stat)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    fn get() -> Request {
        Request::GetData { path: "/a".into(), watch: false }
    }

    fn data(version: i32, mzxid: Zxid) -> Result<Response, i32> {
        Ok(Response::Data { value: 1, stat: stat(Zxid(1), mzxid, version) })
    }

    #[test]
    fn forward_only() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        play.ask(1, get(), Zxid(2), data(1, Zxid(2)));
        play.client(1, ClientEvent::Disconnected);
        play.connect(1, 2, 7);
        play.ask(1, get(), Zxid(2), data(1, Zxid(2)));
        play.ask(1, get(), Zxid(9), Err(-101));
        play.connect(2, 3, 8);
        play.ask(2, get(), Zxid(1), data(0, Zxid(1)));
        play.passes(check);
    }

    #[test]
    fn another_server_is_behind() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        play.ask(1, get(), Zxid(5), data(1, Zxid(2)));
        play.client(1, ClientEvent::Disconnected);
        play.connect(1, 2, 7);
        play.ask(1, get(), Zxid(4), data(1, Zxid(2)));
        play.fails(check, &["client 1 (session 0x7) sees 0x4 at server 2", "seen 0x5", " s"]);
    }

    #[test]
    fn content_above_the_header() {
        let mut play = Play::of_three();
        play.connect(1, 3, 7);
        play.ask(1, get(), Zxid(5), data(1, Zxid(6)));
        play.fails(check, &["client 1 sees /a at server 3", "mzxid 0x6", "header zxid 0x5", " s"]);
    }

    #[test]
    fn a_node_goes_back() {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        play.ask(1, get(), Zxid(5), data(3, Zxid(4)));
        play.ask(1, get(), Zxid(6), data(2, Zxid(3)));
        play.fails(check, &["client 1 sees /a at server 1 as of 0x3", "0x4 (version 3)", " s"]);
    }
}
