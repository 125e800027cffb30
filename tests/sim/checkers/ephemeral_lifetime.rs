//! An ephemeral node lives as long as its session.
//!
//! C-115, C-209, ZOOKEEPER-1208, 1367, 3144: no node of a session that was closed or has expired, and
//! the end of a session takes no other node with it. Asked of the committed transactions, and of what clients were told: a session that a server calls expired
//! had its end proposed, and in peace none expires that asked for something within its timeout, and was
//! answered in time for its leader to know.

use std::collections::VecDeque;

use zkserver::jute::Reader;
use zkserver::proto::op_code::OpCode;
use zkserver::proto::txns::TxnHeader;
use zkserver::proto::{SessionId, Zxid};

use super::model::Part;
use super::{At, Map, Run, Set, violation};
use crate::history::{
    ClientEvent, ClientId, Event, Micros, OpId, Request, Response, ServerEvent, TxnHash, Violation,
};

pub const NAME: &str = "ephemeral_lifetime";

/// How long after the beginning of peace a session may still expire for what happened before: a
/// leader is there, and the longest timeout is over.
const SETTLING: Micros = 17_000_000;
/// How long the leader may not know of a request that another server has answered: that travels with
/// the answer to its next PING.
const TOUCH_DELAY: Micros = 600_000;

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    transactions(run)?;
    clients(run)
}

/// Every ephemeral is made within its session's life, and none goes with the end of another.
fn transactions(run: &Run<'_>) -> Result<(), Violation> {
    for step in &run.story.steps {
        for part in &step.parts {
            let Part::Created(path, stat) = part else { continue };
            let owner = stat.owner;
            if owner == SessionId::NONE {
                continue;
            }
            let life = run.story.sessions.get(&owner);
            let lives = life.is_some_and(|life| {
                life.created < step.zxid && life.closed.is_none_or(|closed| step.zxid < closed)
            });
            if !lives {
                let at = run.chain.commit_of(step.zxid).map_or(0, |committed| committed.at);
                return Err(violation(
                    NAME,
                    at,
                    format_args!(
                        "{} creates {path} for session {owner}, whose life is {life:?}",
                        step.zxid
                    ),
                ));
            }
        }
    }
    match &run.story.wrong_end {
        None => Ok(()),
        Some((zxid, what)) => {
            let at = run.chain.commit_of(*zxid).map_or(0, |committed| committed.at);
            Err(violation(NAME, at, format_args!("{zxid} {what}")))
        }
    }
}

/// What a client knows of its session.
#[derive(Default)]
struct Session {
    timeout: Micros,
    /// The requests that were answered of late, and one before: when each was answered, and when it
    /// was asked.
    answered: VecDeque<(Micros, Micros)>,
    closing: bool,
}

impl Session {
    fn answered(&mut self, at: Micros, asked: Micros) {
        self.answered.push_back((at, asked));
        while self.answered.get(1).is_some_and(|(second, _)| second + TOUCH_DELAY <= at) {
            self.answered.pop_front();
        }
    }

    /// When it asked for the last thing of which its leader must know at that moment.
    fn known_at(&self, at: Micros) -> Option<Micros> {
        let known = self.answered.iter().filter(|(answered, _)| answered + TOUCH_DELAY <= at);
        known.map(|(_, asked)| *asked).max()
    }
}

fn clients(run: &Run<'_>) -> Result<(), Violation> {
    let ends = ends(run);
    let mut ended: Set<SessionId> = Set::default();
    let mut sessions: Map<SessionId, Session> = Map::default();
    let mut of_op: Map<(ClientId, OpId), (SessionId, Micros)> = Map::default();
    for (at, event) in &run.history.events {
        match event {
            Event::Server(sid, ServerEvent::Proposed { zxid, txn }) => {
                let Some(id) = ends.get(txn) else { continue };
                ended.insert(*id);
                let Some(session) = sessions.get(id) else { continue };
                let calm = run.history.peace_at.saturating_add(SETTLING);
                if *at > calm
                    && !session.closing
                    && let Some(asked) = session.known_at(*at)
                    && *at < asked + session.timeout
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} ends session {id} with {zxid}, which asked for something {} ago, \
                             its timeout is {}",
                            At(*at - asked),
                            At(session.timeout)
                        ),
                    ));
                }
            }
            Event::Client(client, ClientEvent::Expired { session })
                // One that was local when it moved is gone, although it becomes global since.
                if !run.history.local_sessions
                    && !ended.contains(session)
                    && run.story.sessions.contains_key(session) =>
            {
                return Err(violation(
                    NAME,
                    *at,
                    format_args!(
                        "client {} is told that session {session} is gone; nobody has proposed \
                         its end since it was created with {}",
                        client.0, run.story.sessions[session].created
                    ),
                ));
            }
            Event::Client(_, ClientEvent::Connected { session, timeout_ms, .. }) => {
                let known = sessions.entry(*session).or_default();
                known.timeout = Micros::from(*timeout_ms) * 1000;
                known.answered(*at, at.saturating_sub(TOUCH_DELAY));
            }
            Event::Client(client, ClientEvent::Invoked { op, session, request, .. }) => {
                of_op.insert((*client, *op), (*session, *at));
                if *request == Request::CloseSession {
                    sessions.entry(*session).or_default().closing = true;
                }
            }
            Event::Client(client, ClientEvent::Returned { op, zxid, result }) => {
                if let Some((id, asked)) = of_op.remove(&(*client, *op))
                    && let Some(session) = sessions.get_mut(&id)
                {
                    session.answered(*at, asked);
                }
                if let Some((what, owner, closed)) = survivor(run, *zxid, result) {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} sees an ephemeral node {what} at {zxid}, its session {owner} \
                             ended with {closed}",
                            client.0
                        ),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A node in an answer whose session had ended by then.
fn survivor(
    run: &Run<'_>,
    zxid: Zxid,
    result: &Result<Response, i32>,
) -> Option<(String, SessionId, Zxid)> {
    let (Ok(Response::Stat(stat)) | Ok(Response::Data { stat, .. })) = result else { return None };
    let closed = run.story.sessions.get(&stat.owner)?.closed?;
    (closed <= zxid).then(|| (format!("made by {}", stat.czxid), stat.owner, closed))
}

/// The transactions that end sessions, committed or not.
fn ends(run: &Run<'_>) -> Map<TxnHash, SessionId> {
    let mut ends = Map::default();
    for (hash, bytes) in &run.history.txns {
        if let Ok(header) = TxnHeader::read(&mut Reader::unlimited(bytes))
            && header.txn_type == OpCode::CloseSession.to_int()
        {
            ends.insert(*hash, header.client_id);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    const ALL: [i64; 3] = [1, 2, 3];

    fn session() -> Play {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let body = play.create_session(7);
        play.commit(1, &ALL, &body);
        play.connect(1, 2, 7);
        let body = play.create(7, "/e", 1, true);
        play.commit(1, &ALL, &body);
        play
    }

    #[test]
    fn a_session_lives_and_ends() {
        let mut play = session();
        play.ask(1, Request::Ping, Zxid(0x1_0000_0002), Ok(Response::Done));
        play.wait(60_000_000);
        play.client(1, ClientEvent::Disconnected);
        let body = play.close_session(7);
        play.commit(1, &ALL, &body);
        play.client(1, ClientEvent::Expired { session: SessionId(7) });
        play.connect(2, 1, 8);
        let request = Request::Exists { path: "/e".into(), watch: false };
        play.ask(2, request, Zxid(0x1_0000_0003), Err(-101));
        play.passes(check);
    }

    #[test]
    fn a_node_for_a_session_that_has_ended() {
        let mut play = session();
        let body = play.close_session(7);
        play.commit(1, &ALL, &body);
        let body = play.create(7, "/late", 1, true);
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000004 creates /late for session 0x7", "Zxid(4294967299)", " s"]);
    }

    #[test]
    fn a_session_ends_and_takes_the_node_of_another_with_it() {
        let mut play = session();
        let body = play.create_session(8);
        play.commit(1, &ALL, &body);
        let body = play.close_session_with(8, &["/e"]);
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000004 ends session 0x8 and with it /e of session 0x7", " s"]);
    }

    #[test]
    fn a_node_outlives_its_session() {
        let mut play = session();
        let body = play.close_session(7);
        let (zxid, _) = play.commit(1, &ALL, &body);
        let mut stat = stat(Zxid(0x1_0000_0002), Zxid(0x1_0000_0002), 0);
        stat.owner = SessionId(7);
        play.connect(2, 3, 8);
        let request = Request::Exists { path: "/e".into(), watch: false };
        play.ask(2, request, zxid, Ok(Response::Stat(stat)));
        play.fails(check, &["client 2 sees", "0x100000002", "session 0x7 ended with 0x100000003"]);
    }

    #[test]
    fn a_session_is_refused_that_nobody_ended() {
        let mut play = session();
        play.client(1, ClientEvent::Expired { session: SessionId(7) });
        play.fails(check, &["client 1 is told that session 0x7 is gone", "0x100000001", " s"]);
    }

    #[test]
    fn a_session_expires_that_was_answered() {
        let mut play = session();
        play.peace_for(SETTLING);
        play.ask(1, Request::Ping, Zxid(0x1_0000_0002), Ok(Response::Done));
        play.wait(1_000_000);
        let body = play.close_session(7);
        play.commit(1, &ALL, &body);
        play.fails(check, &["server 1 ends session 0x7 with 0x100000003", "timeout is 4.0", " s"]);
    }
    #[test]
    fn a_session_expires_before_its_leader_hears_that_it_was_answered() {
        let mut play = session();
        play.peace_for(SETTLING);
        play.ask(1, Request::Ping, Zxid(0x1_0000_0002), Ok(Response::Done));
        play.wait(4_200_000);
        play.ask(1, Request::Ping, Zxid(0x1_0000_0002), Ok(Response::Done));
        let body = play.close_session(7);
        play.commit(1, &ALL, &body);
        play.passes(check);
    }
}
