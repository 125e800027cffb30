//! A writer: a session that lives through all crashes, the nodes that it owns, and what it knows
//! of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::client::Part;
use crate::common::{Hello, Message, RawClient, TestServer, Welcome, bodies, flag, op};
use crate::random::Random;

/// How many requests may be unanswered.
const PIPELINE: usize = 16;
const KEYS: u64 = 12;

/// A node's data and version, by name.
type State = BTreeMap<u64, (String, i32)>;

/// One request.
#[derive(Debug, Clone)]
enum Change {
    Create(u64, String),
    Set(u64, String),
    Delete(u64),
    /// A multi of these.
    All(Vec<Change>),
}

impl Change {
    fn apply(&self, state: &mut State) {
        match self {
            Change::Create(key, data) => {
                let old = state.insert(*key, (data.clone(), 0));
                assert!(old.is_none(), "the writer creates what it knows to be missing");
            }
            Change::Set(key, data) => {
                let node = state.get_mut(key).expect("the writer sets what it knows to be there");
                *node = (data.clone(), node.1 + 1);
            }
            Change::Delete(key) => drop(state.remove(key).expect("the writer knows the node")),
            Change::All(changes) => changes.iter().for_each(|change| change.apply(state)),
        }
    }

    fn request(&self, parent: &str) -> (i32, Vec<u8>) {
        let path = |key: &u64| format!("{parent}/{key}");
        match self {
            Change::Create(key, data) => {
                let data = Some(data.as_bytes());
                (op::CREATE, bodies::create(path(key), data, &bodies::open_acl(), 0))
            }
            Change::Set(key, data) => {
                (op::SET_DATA, bodies::set_data(path(key), Some(data.as_bytes()), -1))
            }
            Change::Delete(key) => (op::DELETE, bodies::numbered(path(key), -1)),
            Change::All(changes) => {
                let parts: Vec<_> = changes.iter().map(|change| change.request(parent)).collect();
                (op::MULTI, bodies::multi(&parts))
            }
        }
    }
}

pub struct Writer {
    parent: String,
    random: Random,
    session: Welcome,
    /// The nodes as they were verified last.
    base: State,
    /// What was asked for since, in order; the first `acknowledged` were answered.
    asked: Vec<Change>,
    acknowledged: usize,
    counter: u64,
}

impl Writer {
    pub fn new(n: usize, seed: u64, setup: &mut RawClient) -> Self {
        let parent = format!("/w{n}");
        setup.create(&parent, b"", 0).ok();
        let session = Welcome {
            version: 0,
            timeout_ms: 60_000,
            session: 0,
            password: vec![0; 16],
            read_only: None,
        };
        Writer {
            parent,
            random: Random::new(seed),
            session,
            base: State::new(),
            asked: Vec::new(),
            acknowledged: 0,
            counter: 0,
        }
    }

    /// Its own ephemeral, which must live as long as its session.
    fn badge(&self) -> String {
        format!("{}-badge", self.parent)
    }

    fn draw(&mut self, state: &State) -> Change {
        self.counter += 1;
        let data = format!("{}", self.counter);
        let key = self.random.below(KEYS);
        match (state.contains_key(&key), self.random.below(8)) {
            (false, _) => Change::Create(key, data),
            (true, 0 | 1) => Change::Delete(key),
            (true, 2) => {
                let parts = [
                    Change::Delete(key),
                    Change::Create(key, data.clone()),
                    Change::Set(key, data),
                ];
                Change::All(parts.to_vec())
            }
            (true, _) => Change::Set(key, data),
        }
    }

    /// Writes until the server is gone.
    pub fn run(&mut self, address: SocketAddr, acknowledged: &AtomicU64) {
        // On a busy machine the others may have had the server killed before this one came.
        let hello = Hello::resume(&self.session);
        let Some(mut client) = RawClient::try_connect(address, &hello) else { return };
        assert!(!client.welcome.refused(), "the session of {} is not resumed", self.parent);
        let new = self.session.session == 0;
        self.session = client.welcome.clone();
        if new {
            client.create(&self.badge(), b"", flag::EPHEMERAL).ok();
        }
        let mut state = self.base.clone();
        let mut pending = VecDeque::new();
        loop {
            while pending.len() < PIPELINE {
                let change = self.draw(&state);
                change.apply(&mut state);
                let (kind, body) = change.request(&self.parent);
                self.asked.push(change.clone());
                if !client.try_submit(kind, &body) {
                    return;
                }
                pending.push_back(change);
            }
            let Some(frame) = client.frame() else { return };
            let Message::Reply(reply) = Message::read(&frame) else { panic!("an event") };
            let change = pending.pop_front().expect("a request");
            assert_eq!(reply.err, 0, "{} asked for {change:?}", self.parent);
            if matches!(change, Change::All(_)) {
                let parts = reply.parts();
                let failed = parts.iter().any(|part| matches!(part, Part::Error(_)));
                assert!(parts.len() == 3 && !failed, "{} got {parts:?}", self.parent);
            }
            self.acknowledged += 1;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Compares the nodes with what they may be; how many of how many unacknowledged changes are
    /// in them.
    pub fn verify(
        &mut self,
        server: &TestServer,
        reader: &mut RawClient,
        context: &str,
    ) -> (u64, u64) {
        let found = self.read(reader);
        let mut expected = self.base.clone();
        self.asked[..self.acknowledged].iter().for_each(|change| change.apply(&mut expected));
        let acknowledged = expected.clone();
        let mut survived = 0;
        let rest = &self.asked[self.acknowledged..];
        while expected != found {
            let Some(change) = rest.get(survived) else {
                panic!(
                    "{}: lost or out of order: found {found:?}, acknowledged {acknowledged:?}, \
                     not acknowledged {rest:?}: {context}",
                    self.parent
                );
            };
            change.apply(&mut expected);
            survived += 1;
        }
        let badge = reader.stat(&self.badge());
        assert_eq!(badge.ephemeral_owner, self.session.session, "{context}");
        let again = RawClient::knock(server, &Hello::resume(&self.session));
        assert_eq!(again.session(), self.session.session, "the session lives: {context}");
        let numbers = (survived as u64, rest.len() as u64);
        self.base = found;
        self.asked.clear();
        self.acknowledged = 0;
        numbers
    }

    fn read(&self, reader: &mut RawClient) -> State {
        let names = reader.get_children(&self.parent, false).ok().children();
        let read = names.into_iter().map(|name| {
            let (data, stat) = reader.get_data(&format!("{}/{name}", self.parent), false).data();
            let data = String::from_utf8(data.expect("data")).expect("text");
            (name.parse().expect("a key"), (data, stat.version))
        });
        read.collect()
    }
}
