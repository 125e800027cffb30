//! Each change that is watched is told once, before anything that shows it.
//!
//! C-098 to C-103, C-109 to C-113, C-131 to C-136. A watch is left by a read answered with zxid z;
//! the first change behind z that concerns it must arrive as an event with that change's zxid, on
//! the same connection, before any answer or event with that zxid or a later one. Nothing else
//! arrives. What a client missed while it was away comes before its setWatches is answered, without
//! a zxid.

use std::collections::BTreeMap;

use zkserver::proto::error_code::ErrorCode;
use zkserver::proto::watch_event::NO_ZXID;
use zkserver::proto::{EventType, Sid, Zxid};

use super::model::Story;
use super::{At, Map, Run, violation};
use crate::history::{
    ClientEvent, ClientId, Event, Micros, OpId, Path, Request, Response, Violation,
};

pub const NAME: &str = "watch_delivery";

/// Which of a connection's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Data,
    Child,
}

/// A watch that has not fired as far as its client knows.
#[derive(Clone, Copy)]
struct Watch {
    /// The read's zxid.
    since: Zxid,
    set_at: Micros,
    /// The change that will fire it.
    fires: Option<(Zxid, EventType)>,
}

/// A client's connection.
#[derive(Default)]
struct Connection<'a> {
    server: Option<Sid>,
    watches: BTreeMap<(&'a str, Table), Watch>,
    /// Events without a zxid: setWatches catching up.
    caught_up: Vec<(EventType, &'a str)>,
    /// No watch fires before this one.
    next: Option<Zxid>,
}

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut connections: Map<ClientId, Connection<'_>> = Map::default();
    let mut asked: Map<(ClientId, OpId), &Request> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Client(client, event) = event else { continue };
        let connection = connections.entry(*client).or_default();
        let judged = match event {
            ClientEvent::Connecting { .. }
            | ClientEvent::Disconnected
            | ClientEvent::Expired { .. }
            | ClientEvent::Closed { .. } => {
                *connection = Connection::default();
                Ok(())
            }
            ClientEvent::Connected { server, .. } => {
                connection.server = Some(*server);
                Ok(())
            }
            ClientEvent::Invoked { op, request, .. } => {
                asked.insert((*client, *op), request);
                Ok(())
            }
            ClientEvent::Lost { op } => {
                asked.remove(&(*client, *op));
                Ok(())
            }
            ClientEvent::Event { zxid, event, path, .. } if *zxid == NO_ZXID => {
                connection.caught_up.push((*event, path));
                Ok(())
            }
            ClientEvent::Event { zxid, event, path, .. } => connection.told(*zxid, *event, path),
            ClientEvent::Returned { op, zxid, result } => match asked.remove(&(*client, *op)) {
                Some(request) => connection.answered(&run.story, request, *zxid, result, *at),
                None => Ok(()),
            },
        };
        if let Err(what) = judged {
            let server = connection.server.map_or(String::new(), |sid| format!(" at {sid}"));
            return Err(violation(NAME, *at, format_args!("client {}{server} {what}", client.0)));
        }
    }
    Ok(())
}

impl<'a> Connection<'a> {
    /// An event has arrived.
    fn told(&mut self, zxid: Zxid, event: EventType, path: &'a str) -> Result<(), String> {
        let tables: &[Table] = match event {
            EventType::NodeCreated | EventType::NodeDataChanged => &[Table::Data],
            EventType::NodeChildrenChanged => &[Table::Child],
            // One event tells both.
            EventType::NodeDeleted => &[Table::Data, Table::Child],
        };
        let mut fired = false;
        for table in tables {
            let watch = self.watches.get(&(path, *table)).copied();
            if watch.is_some_and(|watch| watch.fires == Some((zxid, event))) {
                fired = true;
                self.watches.remove(&(path, *table));
            }
        }
        if fired {
            self.next =
                self.watches.values().filter_map(|watch| watch.fires).map(|(zxid, _)| zxid).min();
            // Of the same transaction more may come.
            return self.nothing_before(zxid, &format!("is told {event:?} {path} ({zxid})"));
        }
        let has = tables.iter().find_map(|table| self.watches.get(&(path, *table)));
        let has = match has {
            Some(Watch { fires: Some((zxid, event)), since, .. }) => {
                format!("its watch since {since} fires with {event:?} {zxid}")
            }
            Some(Watch { fires: None, since, .. }) => {
                format!("nothing has changed since its watch was left at {since}")
            }
            None => String::from("it has no watch there, or was told already"),
        };
        Err(format!("is told {event:?} {path} ({zxid}): {has}"))
    }

    /// An answer has arrived.
    fn answered(
        &mut self,
        story: &Story<'_>,
        request: &'a Request,
        zxid: Zxid,
        result: &'a Result<Response, i32>,
        at: Micros,
    ) -> Result<(), String> {
        if zxid == Zxid::ZERO || zxid == NO_ZXID {
            return Ok(());
        }
        self.nothing_before(zxid.next(), &format!("is answered with {zxid}"))?;
        let no_node = *result == Err(ErrorCode::NoNode.code());
        match request {
            Request::GetData { path, watch: true } if result.is_ok() => {
                self.leave(story, path, Table::Data, zxid, at);
            }
            Request::Exists { path, watch: true } if result.is_ok() || no_node => {
                self.leave(story, path, Table::Data, zxid, at);
            }
            Request::GetChildren { path, watch: true } if result.is_ok() => {
                self.leave(story, path, Table::Child, zxid, at);
            }
            Request::SetWatches { relative, data, exists, children } => {
                self.catch_up(story, zxid, at, *relative, [data, exists, children])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether everything that fires below `zxid` was told.
    fn nothing_before(&self, zxid: Zxid, what: &str) -> Result<(), String> {
        if self.next.is_none_or(|next| next >= zxid) {
            return Ok(());
        }
        let missed = self
            .watches
            .iter()
            .find(|(_, watch)| watch.fires.is_some_and(|(fires, _)| fires < zxid));
        match missed {
            Some(((path, table), Watch { since, set_at, fires: Some((fires, event)) })) => {
                Err(format!(
                    "{what} before it is told {event:?} {path} ({fires}), which its {table:?} \
                     watch of {} (zxid {since}) waits for",
                    At(*set_at)
                ))
            }
            _ => Ok(()),
        }
    }

    fn leave(
        &mut self,
        story: &Story<'_>,
        path: &'a str,
        table: Table,
        since: Zxid,
        set_at: Micros,
    ) {
        if !Story::knows(path) {
            return;
        }
        let events = story.events(path);
        let from = events.partition_point(|(zxid, _)| *zxid <= since);
        let fires = events[from..].iter().find(|(_, event)| match event {
            EventType::NodeCreated | EventType::NodeDataChanged => table == Table::Data,
            EventType::NodeChildrenChanged => table == Table::Child,
            EventType::NodeDeleted => true,
        });
        // A watch that is left twice is one; had anything changed between, it would have been told.
        let watch = Watch { since, set_at, fires: fires.copied() };
        self.watches.entry((path, table)).or_insert(watch);
        if let Some((fires, _)) = fires {
            self.next = Some(self.next.map_or(*fires, |next| next.min(*fires)));
        }
    }

    fn catch_up(
        &mut self,
        story: &Story<'_>,
        zxid: Zxid,
        at: Micros,
        relative: Zxid,
        [data, exists, children]: [&'a Vec<Path>; 3],
    ) -> Result<(), String> {
        let mut expected: Vec<(EventType, &'a str)> = Vec::new();
        let known = |paths: &'a Vec<Path>| {
            paths.iter().map(|path| &**path).filter(|path| Story::knows(path))
        };
        for path in known(data) {
            match story.at(path, zxid) {
                None => expected.push((EventType::NodeDeleted, path)),
                Some(node) if node.stat.mzxid > relative => {
                    expected.push((EventType::NodeDataChanged, path));
                }
                Some(_) => self.leave(story, path, Table::Data, zxid, at),
            }
        }
        for path in known(exists) {
            match story.at(path, zxid) {
                Some(_) => expected.push((EventType::NodeCreated, path)),
                None => self.leave(story, path, Table::Data, zxid, at),
            }
        }
        for path in known(children) {
            match story.at(path, zxid) {
                None => expected.push((EventType::NodeDeleted, path)),
                Some(node) if node.stat.pzxid > relative => {
                    expected.push((EventType::NodeChildrenChanged, path));
                }
                Some(_) => self.leave(story, path, Table::Child, zxid, at),
            }
        }
        let told: Vec<_> = std::mem::take(&mut self.caught_up)
            .into_iter()
            .filter(|(_, path)| Story::knows(path))
            .collect();
        if told == expected {
            return Ok(());
        }
        Err(format!(
            "sets its watches of {relative} again at {zxid} and is told {told:?} instead of \
             {expected:?}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;

    const ALL: [i64; 3] = [1, 2, 3];
    const AGAIN: Zxid = Zxid(u64::MAX);

    fn get() -> Request {
        Request::GetData { path: "/a".into(), watch: true }
    }

    fn list() -> Request {
        Request::GetChildren { path: "/a".into(), watch: true }
    }

    /// A node `/a` that client 1 watches, data and children, as of the zxid.
    fn watched() -> (Play, Zxid) {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.connect(1, 2, 7);
        let body = play.create(7, "/a", 5, false);
        let (made, _) = play.commit(1, &ALL, &body);
        let stat = stat(made, made, 0);
        play.ask(1, get(), made, Ok(Response::Data { value: 5, stat }));
        play.ask(1, list(), made, Ok(Response::Children { names: Vec::new(), stat }));
        (play, made)
    }

    #[test]
    fn each_change_once_and_before_the_answer() {
        let (mut play, made) = watched();
        let set = play.set_version("/a", 6, 1);
        let (first, _) = play.commit(1, &ALL, &set);
        play.ask(1, Request::Ping, made, Ok(Response::Done));
        play.event(1, first, EventType::NodeDataChanged, "/a");
        play.ask(1, Request::Ping, first, Ok(Response::Done));
        play.ask(1, get(), first, Ok(Response::Data { value: 6, stat: stat(made, first, 1) }));
        let body = play.create(7, "/a/b", 1, false);
        let (second, _) = play.commit(1, &ALL, &body);
        let body = play.delete(7, "/a/b");
        play.commit(1, &ALL, &body);
        let body = play.delete(7, "/a");
        let (last, _) = play.commit(1, &ALL, &body);
        play.event(1, second, EventType::NodeChildrenChanged, "/a");
        play.event(1, last, EventType::NodeDeleted, "/a");
        play.ask(1, Request::Exists { path: "/a".into(), watch: true }, last, Err(-101));
        play.client(1, ClientEvent::Disconnected);
        let body = play.create(7, "/a", 1, false);
        let (zxid, _) = play.commit(1, &ALL, &body);
        play.connect(1, 3, 7);
        let op = play.invoke(
            1,
            Request::SetWatches {
                relative: last,
                data: Vec::new(),
                exists: vec!["/a".into()],
                children: Vec::new(),
            },
        );
        play.event(1, AGAIN, EventType::NodeCreated, "/a");
        play.answer(1, op, zxid, Ok(Response::Done));
        play.passes(check);
    }

    #[test]
    fn an_answer_shows_what_was_not_told() {
        let (mut play, _) = watched();
        let set = play.set_version("/a", 6, 1);
        let (zxid, _) = play.commit(1, &ALL, &set);
        play.ask(1, Request::Ping, zxid, Ok(Response::Done));
        play.fails(
            check,
            &["client 1 at server 2 is answered with 0x100000002", "DataChanged /a", "0x100000001"],
        );
    }

    #[test]
    fn a_change_is_told_twice() {
        let (mut play, _) = watched();
        let set = play.set_version("/a", 6, 1);
        let (zxid, _) = play.commit(1, &ALL, &set);
        play.event(1, zxid, EventType::NodeDataChanged, "/a");
        play.event(1, zxid, EventType::NodeDataChanged, "/a");
        play.fails(check, &["client 1 at server 2", "(0x100000002)", "told already", " s"]);
    }

    #[test]
    fn the_first_change_is_skipped() {
        let (mut play, _) = watched();
        let set = play.set_version("/a", 6, 1);
        play.commit(1, &ALL, &set);
        let set = play.set_version("/a", 7, 2);
        let (zxid, _) = play.commit(1, &ALL, &set);
        play.event(1, zxid, EventType::NodeDataChanged, "/a");
        play.fails(check, &["(0x100000003)", "fires with NodeDataChanged 0x100000002", "server 2"]);
    }

    #[test]
    fn what_was_missed_is_not_caught_up_with() {
        let (mut play, made) = watched();
        play.client(1, ClientEvent::Disconnected);
        let set = play.set_version("/a", 6, 1);
        let (zxid, _) = play.commit(1, &ALL, &set);
        play.connect(1, 3, 7);
        let request = Request::SetWatches {
            relative: made,
            data: vec!["/a".into()],
            exists: Vec::new(),
            children: Vec::new(),
        };
        play.ask(1, request, zxid, Ok(Response::Done));
        play.fails(check, &["client 1 at server 3", "0x100000001 again at 0x100000002", "told []"]);
    }
}
