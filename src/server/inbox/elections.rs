//! What the elections' connections have brought and the driver has not heard yet: little, whatever
//! comes.
//!
//! What always holds:
//! * Of each server the newest notification waits. An election needs no other: in its counts a vote
//!   takes the place of the one before it, and who sends keeps one message for each server as well,
//!   here and in Apache ZooKeeper. A connection that comes up and goes down before the driver has
//!   heard of it is never told.
//! * What is told of one server keeps its order.
//! * As many notifications wait as in Apache ZooKeeper. If more servers than that speak, which none
//!   but strangers are, those that are gone are heard last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smallvec::SmallVec;

use crate::proto::{Notification, Sid};
use crate::quorum::effect::Input;

/// Notifications that wait, at most (`RECV_CAPACITY`).
const MOST: usize = 100;

/// What waits, server by server.
#[derive(Debug, Default)]
pub(super) struct Elections {
    servers: BTreeMap<Sid, SmallVec<[Event; 1]>>,
    /// Those of whom something waits, in the order in which they began to.
    order: VecDeque<Sid>,
    /// Those of whose connection the driver has heard, and not of its end.
    up: BTreeSet<Sid>,
    notifications: usize,
}

#[derive(Debug)]
enum Event {
    Up,
    Down,
    Notified(Notification),
}

impl Event {
    fn is_news_of_connection(&self) -> bool {
        matches!(self, Event::Up | Event::Down)
    }
}

impl Elections {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds what an election brings.
    pub(super) fn push(&mut self, input: Input) {
        match input {
            Input::Notified { from, notification } => self.notified(from, notification),
            Input::Mesh { peer, up } => self.connected(peer, up),
            other => unreachable!("no election brings {other:?}"),
        }
    }

    /// A server has said something.
    fn notified(&mut self, from: Sid, notification: Notification) {
        self.remove(from, |event| matches!(event, Event::Notified(_)));
        self.notifications += 1;
        self.enter(from, Event::Notified(notification));
        if self.notifications > MOST {
            self.make_room();
        }
    }

    /// A connection has come up, or the last one has gone down.
    fn connected(&mut self, peer: Sid, up: bool) {
        if up {
            // In the place of one that has not been told of.
            let last = self
                .servers
                .get(&peer)
                .and_then(|events| events.iter().rev().find(|event| event.is_news_of_connection()));
            if matches!(last, Some(Event::Up)) {
                self.remove(peer, |event| matches!(event, Event::Up));
            }
            self.enter(peer, Event::Up);
            return;
        }
        self.remove(peer, Event::is_news_of_connection);
        if self.up.contains(&peer) {
            self.enter(peer, Event::Down);
        }
    }

    /// What is told next.
    pub(super) fn next(&mut self) -> Option<Input> {
        let sid = *self.order.front()?;
        let events = self.servers.get_mut(&sid).expect("something of it waits");
        let event = events.remove(0);
        if events.is_empty() {
            self.servers.remove(&sid);
            self.order.pop_front();
        }
        Some(match event {
            Event::Up => {
                self.up.insert(sid);
                Input::Mesh { peer: sid, up: true }
            }
            Event::Down => {
                self.up.remove(&sid);
                Input::Mesh { peer: sid, up: false }
            }
            Event::Notified(notification) => {
                self.notifications -= 1;
                Input::Notified { from: sid, notification }
            }
        })
    }

    fn enter(&mut self, sid: Sid, event: Event) {
        let events = self.servers.entry(sid).or_insert_with(|| {
            self.order.push_back(sid);
            SmallVec::new()
        });
        events.push(event);
    }

    fn remove(&mut self, sid: Sid, which: impl Fn(&Event) -> bool) {
        let Some(events) = self.servers.get_mut(&sid) else { return };
        events.retain(|event| {
            let goes = which(event);
            if goes && matches!(event, Event::Notified(_)) {
                self.notifications -= 1;
            }
            !goes
        });
        if events.is_empty() {
            self.servers.remove(&sid);
            self.order.retain(|other| *other != sid);
        }
    }

    /// Forgets a notification: the oldest of a server that is gone, or the oldest.
    fn make_room(&mut self) {
        let speaks =
            |sid: &&Sid| self.servers[*sid].iter().any(|event| matches!(event, Event::Notified(_)));
        let is_gone = |sid: &&Sid| {
            let last = self.servers[*sid].iter().rev().find(|event| event.is_news_of_connection());
            !last.map_or(self.up.contains(sid), |event| matches!(event, Event::Up))
        };
        let gone = self.order.iter().filter(speaks).find(is_gone);
        if let Some(sid) = gone.or_else(|| self.order.iter().find(speaks)).copied() {
            self.remove(sid, |event| matches!(event, Event::Notified(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ServerState, Vote};

    fn says(elections: &mut Elections, sid: i64, round: i64) {
        let vote = Vote { leader: Sid(sid), zxid: 0, peer_epoch: 0 };
        let state = ServerState::Looking;
        let version = Notification::VERSION;
        elections.notified(Sid(sid), Notification { state, vote, round, version, config: None });
    }

    fn told(elections: &mut Elections) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(input) = elections.next() {
            told.push(match input {
                Input::Notified { from, notification } => {
                    format!("{}: round {}", from.0, notification.round)
                }
                Input::Mesh { peer, up: true } => format!("{}: up", peer.0),
                Input::Mesh { peer, up: false } => format!("{}: down", peer.0),
                other => panic!("{other:?}"),
            });
        }
        assert!(elections.servers.is_empty() && elections.order.is_empty());
        assert_eq!(elections.notifications, 0);
        told
    }

    #[test]
    fn what_is_told_of_one_server_keeps_its_order() {
        let mut elections = Elections::default();
        elections.connected(Sid(1), true);
        says(&mut elections, 2, 1);
        says(&mut elections, 1, 1);
        assert_eq!(told(&mut elections), ["1: up", "1: round 1", "2: round 1"]);
        says(&mut elections, 1, 2);
        elections.connected(Sid(1), false);
        elections.connected(Sid(1), true);
        assert_eq!(told(&mut elections), ["1: round 2", "1: down", "1: up"]);
    }

    /// However often they come back and whatever they say meanwhile.
    #[test]
    fn the_newest_of_each_server_waits_and_how_its_connection_stands() {
        let mut elections = Elections::default();
        elections.connected(Sid(1), true);
        told(&mut elections);
        for round in 0..1000 {
            says(&mut elections, 1, round);
            says(&mut elections, 2, -round);
            elections.connected(Sid(1), false);
            elections.connected(Sid(1), true);
            elections.connected(Sid(2), true);
            elections.connected(Sid(2), false);
            // One place is taken by another connection, without an end of the first.
            elections.connected(Sid(1), true);
        }
        says(&mut elections, 1, 1000);
        let told = told(&mut elections);
        assert_eq!(told, ["1: down", "1: up", "1: round 1000", "2: round -999"]);
    }

    #[test]
    fn strangers_that_are_gone_crowd_out_nobody_who_is_here() {
        let mut elections = Elections::default();
        for sid in 0..10 {
            elections.connected(Sid(sid), true);
            says(&mut elections, sid, 7);
        }
        for stranger in 100..1000 {
            elections.connected(Sid(stranger), true);
            says(&mut elections, stranger, 1);
            elections.connected(Sid(stranger), false);
        }
        assert_eq!(elections.notifications, MOST);
        assert_eq!(elections.order.len(), MOST, "nothing waits of those that make room");
        let told = told(&mut elections);
        let heard = told.iter().filter(|line| line.ends_with("round 7"));
        assert_eq!(heard.count(), 10);
        assert_eq!(told.last().unwrap(), "999: round 1", "the newest of them is heard");
    }
}
