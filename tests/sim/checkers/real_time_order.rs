//! The order of zxids respects real time, for writes and for reads behind a sync.
//!
//! C-151 and C-152: with zxids as witnesses of the order, linearizability over all nodes says that a
//! write which began after another had been answered has the higher zxid, and that a read whose
//! session asked for a sync after a write had been answered shows at least that write. Cheaper than
//! [`linearizability`](super::linearizability), over all nodes at once, and it believes the zxids.

use zkserver::proto::{SessionId, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{ClientEvent, ClientId, Event, Micros, OpId, Request, Response, Violation};

pub const NAME: &str = "real_time_order";

/// The last write that had been answered, to anybody.
#[derive(Clone, Copy, Default)]
struct Answered {
    zxid: Zxid,
    client: u32,
    at: Micros,
}

/// An operation under way.
struct Asked {
    client: ClientId,
    session: SessionId,
    what: What,
    /// What its result must not be below.
    floor: Answered,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Write,
    Read,
    Other,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut answered = Answered::default();
    let mut asked: Map<(ClientId, OpId), Asked> = Map::default();
    // What a connection's reads must show, once a sync was sent over it.
    let mut synced: Map<ClientId, Answered> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Client(client, event) = event else { continue };
        match event {
            ClientEvent::Connecting { .. }
            | ClientEvent::Connected { .. }
            | ClientEvent::Disconnected => {
                synced.remove(client);
            }
            ClientEvent::Invoked { op, session, request, .. } => {
                let what = what(request);
                if matches!(request, Request::Sync { .. }) {
                    synced.insert(*client, answered);
                }
                let floor = match what {
                    What::Write => answered,
                    What::Read | What::Other => synced.get(client).copied().unwrap_or_default(),
                };
                asked.insert(
                    (*client, *op),
                    Asked { client: *client, session: *session, what, floor },
                );
            }
            ClientEvent::Returned { op, zxid, result } => {
                let Some(asked) = asked.remove(&(*client, *op)) else { continue };
                let is_write = asked.what == What::Write;
                let is_done = match result {
                    Ok(Response::MultiFailed(_)) | Err(_) => false,
                    Ok(_) => true,
                };
                if asked.what == What::Other || (is_write && !is_done) || zxid.0 == u64::MAX {
                    continue;
                }
                let floor = asked.floor;
                if *zxid != Zxid::ZERO && (*zxid < floor.zxid || (is_write && *zxid == floor.zxid))
                {
                    let kind = if is_write { "write" } else { "read behind a sync" };
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{kind} {} of client {} (session {}) has zxid {zxid}, it began after \
                             client {} had been answered {} at {}",
                            op.0,
                            asked.client.0,
                            asked.session,
                            floor.client,
                            floor.zxid,
                            At(floor.at)
                        ),
                    ));
                }
                if is_write && *zxid > answered.zxid {
                    answered = Answered { zxid: *zxid, client: client.0, at: *at };
                }
            }
            ClientEvent::Lost { op } => {
                asked.remove(&(*client, *op));
            }
            _ => {}
        }
    }
    Ok(())
}

fn what(request: &Request) -> What {
    match request {
        Request::Create { .. }
        | Request::CreateReaped { .. }
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::Multi(_) => What::Write,
        Request::GetData { .. } | Request::Exists { .. } | Request::GetChildren { .. } => {
            What::Read
        }
        Request::Sync { .. }
        | Request::Check { .. }
        | Request::SetWatches { .. }
        | Request::Ping
        | Request::Reconfig { .. }
        | Request::CloseSession => What::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    fn set() -> Request {
        Request::SetData { path: "/a".into(), value: 1, version: -1 }
    }

    fn get() -> Request {
        Request::GetData { path: "/a".into(), watch: false }
    }

    fn done(zxid: Zxid) -> Result<Response, i32> {
        Ok(Response::Stat(stat(zxid, zxid, 1)))
    }

    fn data(zxid: Zxid) -> Result<Response, i32> {
        Ok(Response::Data { value: 1, stat: stat(zxid, zxid, 1) })
    }

    fn two_clients() -> Play {
        let mut play = Play::of_three();
        play.connect(1, 1, 7);
        play.connect(2, 2, 8);
        play
    }

    #[test]
    fn reads_may_be_stale_until_they_sync() {
        let mut play = two_clients();
        play.ask(1, set(), Zxid(5), done(Zxid(5)));
        play.ask(2, get(), Zxid(3), data(Zxid(3)));
        let sync = play.invoke(2, Request::Sync { path: "/a".into() });
        let read = play.invoke(2, get());
        // Behind the sync: it need not be seen.
        play.ask(1, set(), Zxid(6), done(Zxid(6)));
        play.answer(2, sync, Zxid(5), Ok(Response::Done));
        play.answer(2, read, Zxid(5), data(Zxid(5)));
        play.passes(check);
    }

    #[test]
    fn a_write_before_one_that_was_answered() {
        let mut play = two_clients();
        play.ask(1, set(), Zxid(5), done(Zxid(5)));
        play.ask(2, set(), Zxid(4), done(Zxid(4)));
        play.fails(check, &["write 1 of client 2", "zxid 0x4", "client 1", "0x5", " s"]);
    }

    #[test]
    fn a_stale_read_behind_a_sync() {
        let mut play = two_clients();
        play.ask(1, set(), Zxid(5), done(Zxid(5)));
        play.ask(2, Request::Sync { path: "/a".into() }, Zxid(4), Ok(Response::Done));
        play.ask(2, get(), Zxid(4), data(Zxid(3)));
        play.fails(check, &["read behind a sync 2 of client 2", "zxid 0x4", "0x5", " s"]);
    }
}
