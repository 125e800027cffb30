//! Every answer is what the tree at its zxid gives.
//!
//! ZooKeeper's reads are served from one server's tree as it stands between two transactions (C-148,
//! C-159): so a read under header zxid z shows exactly the state that the committed transactions up
//! to z make, existence, content, stat and children; a write's answer is what its own transaction
//! came to. No read shows what was never committed. This is sequential consistency with zxids as the
//! witness, and what finds a transaction applied twice, half or at the wrong place in one tree only.

use zkserver::proto::error_code::ErrorCode;
use zkserver::proto::op_code::OpCode;
use zkserver::proto::{SessionId, Sid, Zxid};

use super::model::{Part, Step, Story};
use super::{At, Map, Run, violation};
use crate::history::{
    ClientEvent, ClientId, Event, Micros, OpId, Path, Request, Response, Violation,
};

pub const NAME: &str = "replies_match_tree";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut asked: Map<(ClientId, OpId), (SessionId, Sid, &Request)> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Client(client, event) = event else { continue };
        match event {
            ClientEvent::Invoked { op, session, server, request } => {
                asked.insert((*client, *op), (*session, *server, request));
            }
            ClientEvent::Returned { op, zxid, result } => {
                let Some((session, server, request)) = asked.remove(&(*client, *op)) else {
                    continue;
                };
                // What is refused at the door has no zxid.
                if *zxid == Zxid::ZERO || *zxid == Zxid(u64::MAX) {
                    continue;
                }
                // No transaction tells of what a local session may not have.
                if *result == Err(ErrorCode::EphemeralOnLocalSession.code()) {
                    continue;
                }
                let judged = is_committed(run, *zxid, *at)
                    .and_then(|()| answer(run, session, request, *zxid, result));
                if let Err(what) = judged {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "operation {} of client {} (session {session}) at {server}, answered \
                             with {zxid}: {what}",
                            op.0, client.0
                        ),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_committed(run: &Run<'_>, zxid: Zxid, at: Micros) -> Result<(), String> {
    match run.chain.commit_of(zxid) {
        _ if zxid.counter() == 0 => Ok(()),
        Some(committed) if committed.at <= at => Ok(()),
        Some(committed) => Err(format!(
            "it was not committed yet; {} was the first to know it so, at {}",
            committed.by,
            At(committed.at)
        )),
        None => Err(String::from("it was never committed")),
    }
}

fn answer(
    run: &Run<'_>,
    session: SessionId,
    request: &Request,
    zxid: Zxid,
    result: &Result<Response, i32>,
) -> Result<(), String> {
    match request {
        Request::GetData { path, .. }
        | Request::Exists { path, .. }
        | Request::GetChildren { path, .. } => read(&run.story, path, zxid, result),
        Request::Create { .. }
        | Request::CreateReaped { .. }
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::Multi(_) => {
            let step = run.story.step(zxid).ok_or("no transaction has that zxid")?;
            if step.session != session {
                return Err(format!("that transaction is session {}'s", step.session));
            }
            write(step, request, result)
        }
        Request::Sync { .. }
        | Request::Check { .. }
        | Request::SetWatches { .. }
        | Request::Ping
        | Request::Reconfig { .. }
        | Request::CloseSession => Ok(()),
    }
}

fn read(
    story: &Story<'_>,
    path: &Path,
    zxid: Zxid,
    result: &Result<Response, i32>,
) -> Result<(), String> {
    if !Story::knows(path) {
        return Ok(());
    }
    let node = story.at(path, zxid);
    let (stat, content) = match result {
        Err(code) if *code == ErrorCode::NoNode.code() => {
            return match node {
                None => Ok(()),
                Some(node) => Err(format!("{path} is missing, the tree has {:?}", node.stat)),
            };
        }
        // Refused for what has nothing to do with the node.
        Err(_) => return Ok(()),
        Ok(Response::Data { value, stat }) => (stat, Some(*value)),
        Ok(Response::Stat(stat) | Response::Children { stat, .. }) => (stat, None),
        Ok(other) => return Err(format!("a read is answered with {other:?}")),
    };
    let Some(node) = node else {
        return Err(format!("{path} is there as {stat:?}, the tree has no such node"));
    };
    if *stat != node.stat {
        return Err(format!("{path} has {stat:?}, the tree has {:?}", node.stat));
    }
    if let Some(value) = content
        && value != node.value
    {
        return Err(format!("{path} holds {value}, in the tree {}", node.value));
    }
    if let Ok(Response::Children { names, .. }) = result {
        let expected = story.children(path, zxid);
        if !names.iter().map(|name| &**name).eq(expected.iter().copied()) {
            return Err(format!("{path} has the children {names:?}, in the tree {expected:?}"));
        }
    }
    Ok(())
}

fn write(step: &Step<'_>, request: &Request, result: &Result<Response, i32>) -> Result<(), String> {
    match (request, result) {
        (Request::Multi(requests), Ok(Response::Multi(responses))) => {
            if (requests.len(), responses.len()) != (step.parts.len(), step.parts.len()) {
                return Err(format!("a multi of {} parts is {:?}", requests.len(), step.parts));
            }
            for ((request, response), made) in requests.iter().zip(responses).zip(&step.parts) {
                part(*made, request, &Ok(response.clone()))?;
            }
            Ok(())
        }
        (Request::Multi(_), Ok(Response::MultiFailed(codes))) => {
            let made = step.parts.iter().map(|made| match made {
                Part::Error(code) => *code,
                _ => 0,
            });
            let failed =
                step.txn_type == OpCode::Multi.to_int() && codes.iter().any(|code| *code != 0);
            if failed && made.eq(codes.iter().copied()) {
                return Ok(());
            }
            Err(format!("a multi fails with {codes:?}, its transaction is {:?}", step.parts))
        }
        (_, result) => match step.parts[..] {
            [made] => part(made, request, result),
            _ => Err(format!("its transaction is {:?}", step.parts)),
        },
    }
}

fn part(made: Part<'_>, request: &Request, result: &Result<Response, i32>) -> Result<(), String> {
    let fits = match (request, result, made) {
        (_, Err(code), Part::Error(made)) => *code == made,
        (
            Request::Create { path, sequential, .. },
            Ok(Response::Created { path: given, stat }),
            Part::Created(made, made_stat),
        ) => {
            let asked = if *sequential { given.starts_with(&**path) } else { given == path };
            asked && &**given == made && *stat == made_stat
        }
        (
            Request::CreateReaped { path, .. },
            Ok(Response::Created { path: given, stat }),
            Part::Created(made, made_stat),
        ) => given == path && &**given == made && *stat == made_stat,
        (
            Request::SetData { path, value, .. },
            Ok(Response::Stat(stat)),
            Part::Set(made, made_stat, made_value),
        ) => &**path == made && *stat == made_stat && *value == made_value,
        (Request::Delete { path, .. }, Ok(Response::Done), Part::Deleted(made)) => &**path == made,
        (Request::Check { .. }, Ok(Response::Done), Part::Done) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{request:?} gives {result:?}, in the tree {made:?}")) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    const ALL: [i64; 3] = [1, 2, 3];

    fn get(path: &str) -> Request {
        Request::GetData { path: path.into(), watch: false }
    }

    /// A node `/a` made by 1:2 with value 5, set to 6 by 1:3.
    fn node() -> (Play, Zxid, Zxid) {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let session = play.create_session(7);
        play.commit(1, &ALL, &session);
        play.connect(1, 1, 7);
        let create =
            Request::Create { path: "/a".into(), value: 5, ephemeral: false, sequential: false };
        let op = play.invoke(1, create);
        let body = play.create(7, "/a", 5, false);
        let (made, _) = play.commit(1, &ALL, &body);
        let created = Response::Created { path: "/a".into(), stat: stat(made, made, 0) };
        play.answer(1, op, made, Ok(created));
        let body = play.set_version("/a", 6, 1);
        let (set, _) = play.commit(1, &ALL, &body);
        (play, made, set)
    }

    #[test]
    fn every_answer_at_its_zxid() {
        let (mut play, made, set) = node();
        let old = Response::Data { value: 5, stat: stat(made, made, 0) };
        let new = Response::Data { value: 6, stat: stat(made, set, 1) };
        play.ask(1, get("/a"), made, Ok(old));
        play.ask(1, get("/a"), set, Ok(new));
        play.ask(1, get("/b"), set, Err(-101));
        let body = play.failed(7, -103);
        let op = play.invoke(1, Request::Delete { path: "/a".into(), version: 9 });
        let (zxid, _) = play.commit(1, &ALL, &body);
        play.answer(1, op, zxid, Err(-103));
        let body = play.create(7, "/a/b", 9, true);
        let (zxid, _) = play.commit(1, &ALL, &body);
        let mut parent = stat(made, set, 1);
        (parent.pzxid, parent.cversion, parent.children) = (zxid, 1, 1);
        let children = Response::Children { names: vec!["b".into()], stat: parent };
        play.ask(1, Request::GetChildren { path: "/a".into(), watch: false }, zxid, Ok(children));
        play.passes(check);
    }

    #[test]
    fn a_read_shows_another_state() {
        let (mut play, made, set) = node();
        let old = Response::Data { value: 5, stat: stat(made, made, 0) };
        play.ask(1, get("/a"), set, Ok(old));
        play.fails(
            check,
            &["client 1", "at server 1", "0x100000003", "/a has", "version: 0", " s"],
        );
    }

    #[test]
    fn a_node_is_not_seen() {
        let (mut play, _, set) = node();
        play.ask(1, get("/a"), set, Err(-101));
        play.fails(check, &["client 1", "0x100000003", "/a is missing", " s"]);
    }

    #[test]
    fn a_read_of_what_is_not_committed() {
        let (mut play, made, _) = node();
        let body = play.set_version("/a", 8, 2);
        let (zxid, _) = play.propose_body(1, &[1], &body);
        let dirty = Response::Data { value: 8, stat: stat(made, zxid, 2) };
        play.ask(1, get("/a"), zxid, Ok(dirty));
        play.fails(check, &["client 1", "0x100000004", "never committed", " s"]);
    }

    #[test]
    fn a_write_is_answered_with_anothers_transaction() {
        let (mut play, _, set) = node();
        play.connect(2, 2, 8);
        let request = Request::SetData { path: "/a".into(), value: 9, version: -1 };
        play.ask(2, request, set, Ok(Response::Stat(stat(Zxid(1), set, 1))));
        play.fails(check, &["client 2 (session 0x8) at server 2", "session 0x7's", "0x100000003"]);
    }
}
