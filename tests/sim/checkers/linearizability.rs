//! Each node is a linearizable register, for writes and for reads behind a sync.
//!
//! C-151, C-152; Herlihy and Wing's definition, as Jepsen's register test asks it, with versions for
//! witnesses: every write that was answered says which version it made, every read which version it
//! saw, so the order of a node's states is known and nothing is searched. What remains is exact: a
//! linearization exists if and only if the operations' intervals admit points in that order, that
//! is, if none ended before one began that comes earlier in it.
//!
//! It believes what clients were told and nothing of servers; `czxid` only tells one life of a
//! node from the next. Writes whose answers were lost may have happened at any time since, or never.

use std::collections::{BTreeMap, HashMap};

use zkserver::proto::Zxid;

use super::{At, Map, Run, violation};
use crate::history::{
    ClientEvent, ClientId, Event, Micros, NodeStat, OpId, Path, Request, Response, Value, Violation,
};

pub const NAME: &str = "linearizability";

/// A node from its creation to its deletion.
type Register = (Path, Zxid);

/// An operation that is known to have seen or made a version.
#[derive(Clone, Copy)]
struct Seen {
    op: OpId,
    client: ClientId,
    version: i32,
    value: Value,
    mzxid: Zxid,
    /// Whether it made the version.
    made: bool,
    /// The places of its two ends in the history.
    began: usize,
    ended: usize,
    ended_at: Micros,
}

/// An operation under way.
struct Asked<'a> {
    client: ClientId,
    request: &'a Request,
    began: usize,
    /// A read: where the sync before it was sent, if one was.
    synced: Option<usize>,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut registers: HashMap<Register, Vec<Seen>> = HashMap::new();
    let mut asked: Map<(ClientId, OpId), Asked<'_>> = Map::default();
    let mut synced: Map<ClientId, usize> = Map::default();
    for (place, (at, event)) in run.history.events.iter().enumerate() {
        let Event::Client(client, event) = event else { continue };
        match event {
            ClientEvent::Connecting { .. }
            | ClientEvent::Connected { .. }
            | ClientEvent::Disconnected => {
                synced.remove(client);
            }
            ClientEvent::Invoked { op, request, .. } => {
                if matches!(request, Request::Sync { .. }) {
                    synced.insert(*client, place);
                }
                let synced = synced.get(client).copied();
                asked.insert(
                    (*client, *op),
                    Asked { client: *client, request, began: place, synced },
                );
            }
            ClientEvent::Returned { op, result: Ok(response), .. } => {
                let Some(asked) = asked.remove(&(*client, *op)) else { continue };
                each(asked.request, response, &mut |path, version_of| {
                    let (stat, value, made) = version_of;
                    // A read without a sync may be as stale as it likes, but it cannot see the
                    // future: it began, for all that matters, at the beginning.
                    let began = if made { asked.began } else { asked.synced.unwrap_or(0) };
                    registers.entry((path.clone(), stat.czxid)).or_default().push(Seen {
                        op: *op,
                        client: asked.client,
                        version: stat.version,
                        value,
                        mzxid: stat.mzxid,
                        made,
                        began,
                        ended: place,
                        ended_at: *at,
                    });
                });
            }
            ClientEvent::Returned { op, .. } | ClientEvent::Lost { op } => {
                asked.remove(&(*client, *op));
            }
            _ => {}
        }
    }
    let sorted: BTreeMap<Register, Vec<Seen>> = registers.into_iter().collect();
    let mut first: Option<Violation> = None;
    for ((path, czxid), mut seen) in sorted {
        if let Err(found) = register(&path, czxid, &mut seen)
            && first.as_ref().is_none_or(|first| found.at < first.at)
        {
            first = Some(found);
        }
    }
    first.map_or(Ok(()), Err)
}

/// What an operation saw of a node: its stat, its value, whether it made this version.
type Version = (NodeStat, Value, bool);

fn each(request: &Request, response: &Response, tell: &mut impl FnMut(&Path, Version)) {
    match (request, response) {
        (
            Request::Create { value, .. } | Request::CreateReaped { value, .. },
            Response::Created { path, stat },
        ) => tell(path, (*stat, *value, true)),
        (Request::SetData { path, value, .. }, Response::Stat(stat)) => {
            tell(path, (*stat, *value, true));
        }
        (Request::GetData { path, .. }, Response::Data { value, stat }) => {
            tell(path, (*stat, *value, false));
        }
        (Request::Multi(parts), Response::Multi(results)) => {
            for (part, result) in parts.iter().zip(results) {
                each(part, result, tell);
            }
        }
        _ => {}
    }
}

fn register(path: &Path, czxid: Zxid, seen: &mut [Seen]) -> Result<(), Violation> {
    // A version is made once, and before it is seen.
    seen.sort_by_key(|one| (one.version, !one.made, one.ended));
    let node = format!("{path} (czxid {czxid})");
    // The operation that began last among those in front.
    let mut latest: Option<Seen> = None;
    let mut index = 0;
    while index < seen.len() {
        let version = seen[index].version;
        let length = seen[index..].iter().take_while(|one| one.version == version).count();
        let same = &seen[index..index + length];
        let one = same[0];
        for other in &same[1..] {
            if other.made {
                return Err(violation(
                    NAME,
                    other.ended_at,
                    format_args!(
                        "{node}: version {version} was made by operation {} of client {} (zxid {}, \
                         answered at {}) and by operation {} of client {} (zxid {})",
                        one.op.0,
                        one.client.0,
                        one.mzxid,
                        At(one.ended_at),
                        other.op.0,
                        other.client.0,
                        other.mzxid
                    ),
                ));
            }
            if (other.value, other.mzxid) != (one.value, one.mzxid) {
                return Err(violation(
                    NAME,
                    other.ended_at.max(one.ended_at),
                    format_args!(
                        "{node}: version {version} held {} (zxid {}) for operation {} of client {} \
                         at {}, and {} (zxid {}) for operation {} of client {}",
                        one.value,
                        one.mzxid,
                        one.op.0,
                        one.client.0,
                        At(one.ended_at),
                        other.value,
                        other.mzxid,
                        other.op.0,
                        other.client.0
                    ),
                ));
            }
        }
        // The write of this version, then its reads in any order: none may have ended before
        // something in front of it began.
        let (writes, reads) = same.split_at(usize::from(one.made));
        for group in [writes, reads] {
            for late in group {
                if let Some(latest) = latest
                    && late.ended < latest.began
                {
                    return Err(violation(
                        NAME,
                        late.ended_at.max(latest.ended_at),
                        format_args!(
                            "{node}: operation {} of client {} began after version {version} \
                             (zxid {}) had been answered to client {} (operation {}, at {}), and \
                             {} version {} (zxid {})",
                            latest.op.0,
                            latest.client.0,
                            late.mzxid,
                            late.client.0,
                            late.op.0,
                            At(late.ended_at),
                            if latest.made { "made" } else { "saw" },
                            latest.version,
                            latest.mzxid
                        ),
                    ));
                }
            }
            for one in group {
                if latest.is_none_or(|latest| latest.began < one.began) {
                    latest = Some(*one);
                }
            }
        }
        index += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    const MADE: Zxid = Zxid(1);

    fn set(value: u64) -> Request {
        Request::SetData { path: "/a".into(), value, version: -1 }
    }

    fn get() -> Request {
        Request::GetData { path: "/a".into(), watch: false }
    }

    fn sync() -> Request {
        Request::Sync { path: "/a".into() }
    }

    fn done(version: i32) -> Result<Response, i32> {
        Ok(Response::Stat(stat(MADE, zxid(version), version)))
    }

    fn data(version: i32, value: u64) -> Result<Response, i32> {
        Ok(Response::Data { value, stat: stat(MADE, zxid(version), version) })
    }

    fn zxid(version: i32) -> Zxid {
        Zxid(1 + version as u64)
    }

    fn clients() -> Play {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        play.connect(2, 2, 8);
        play.connect(3, 3, 9);
        play
    }

    #[test]
    fn overlapping_operations_in_some_order() {
        let mut play = clients();
        let one = play.invoke(1, set(10));
        let two = play.invoke(2, set(20));
        play.ask(3, sync(), zxid(1), Ok(Response::Done));
        play.ask(3, get(), zxid(1), data(1, 20));
        play.answer(1, one, zxid(2), done(2));
        play.answer(2, two, zxid(1), done(1));
        play.ask(3, get(), zxid(1), data(1, 20));
        play.passes(check);
    }

    #[test]
    fn two_writes_make_one_version() {
        let mut play = clients();
        play.ask(1, set(10), zxid(1), done(1));
        play.ask(2, set(20), zxid(1), done(1));
        play.fails(check, &["/a", "version 1", "client 1", "client 2", "zxid 0x2", " s"]);
    }

    #[test]
    fn a_write_is_ordered_before_one_that_had_ended() {
        let mut play = clients();
        play.ask(1, set(10), zxid(2), done(2));
        play.ask(2, set(20), zxid(1), done(1));
        play.fails(check, &["operation 1 of client 2 began after version 2", "made version 1"]);
    }

    #[test]
    fn a_read_behind_a_sync_is_stale() {
        let mut play = clients();
        play.ask(1, set(10), zxid(1), done(1));
        play.ask(1, set(11), zxid(2), done(2));
        play.ask(2, sync(), zxid(1), Ok(Response::Done));
        play.ask(2, get(), zxid(1), data(1, 10));
        play.fails(check, &["client 2 began after version 2 (zxid 0x3)", "saw version 1", " s"]);
    }

    #[test]
    fn a_read_sees_the_future() {
        let mut play = clients();
        play.ask(2, get(), zxid(1), data(1, 10));
        play.ask(1, set(10), zxid(1), done(1));
        play.fails(check, &["client 1 began after version 1", "client 2", " s"]);
    }

    #[test]
    fn a_version_holds_two_values() {
        let mut play = clients();
        play.ask(1, set(10), zxid(1), done(1));
        play.ask(2, get(), zxid(1), data(1, 11));
        play.fails(check, &["version 1 held 10 (zxid 0x2)", "and 11", "client 2", " s"]);
    }
}
