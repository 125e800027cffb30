//! The tree that the committed transactions make, change by change.
//!
//! A second, slow and simple telling of how transactions change the tree, written from the rules
//! and not from the server's code: for each node the states it went through, each with the zxid at
//! which it began. So "what should this read have shown at zxid 0x100000007" is a binary search.
//!
//! Nodes below `/zookeeper` and the root's own stat are outside.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use zkserver::proto::error_code::ErrorCode;
use zkserver::proto::op_code::OpCode;
use zkserver::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord};
use zkserver::proto::{EventType, SessionId, Zxid};

use super::Map;
use super::chain::Chain;
use crate::history::{History, NodeStat, Value};

/// What the committed transactions were and made.
pub struct Story<'a> {
    /// The committed transactions, in order.
    pub steps: Vec<Step<'a>>,
    /// Every path's states, oldest first. Before the first it did not exist.
    nodes: BTreeMap<&'a str, Vec<State<'a>>>,
    /// Which events happened at a path, in order.
    events: Map<&'a str, Vec<(Zxid, EventType)>>,
    /// When each session was made and ended.
    pub sessions: BTreeMap<SessionId, Life>,
    /// Committed transactions that do not decode.
    pub unreadable: Vec<Zxid>,
    /// The first end of a session that takes a node of another with it, in words.
    pub wrong_end: Option<(Zxid, String)>,
    /// The first deletion by the leader itself of a node that should have stayed, in words.
    pub wrong_reaping: Option<(Zxid, String)>,
}

/// A committed transaction.
pub struct Step<'a> {
    /// Its zxid.
    pub zxid: Zxid,
    /// Who asked for it.
    pub session: SessionId,
    /// Its type's number.
    pub txn_type: i32,
    /// What it came to, part by part; one part unless it is a multi.
    pub parts: Vec<Part<'a>>,
}

/// What a part of a transaction came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// A node was created.
    Created(&'a str, NodeStat),
    /// A node's data was set.
    Set(&'a str, NodeStat, Value),
    /// A node was deleted.
    Deleted(&'a str),
    /// Nothing that a reply tells more of.
    Done,
    /// The request, or this part of it, had failed.
    Error(i32),
}

/// A node's state from a transaction on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State<'a> {
    /// The transaction that made it so.
    pub from: Zxid,
    /// `None` if the node is gone.
    pub node: Option<Node<'a>>,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node<'a> {
    /// Its path.
    pub path: &'a str,
    /// What it holds.
    pub value: Value,
    /// Its stat.
    pub stat: NodeStat,
    /// How many children were ever created.
    creates: i32,
    /// What makes it go by itself, which its stat does not show.
    goes: Goes,
    /// When its data was last changed, in milliseconds on the clock of its leader.
    changed_ms: i64,
}

/// When a node goes by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goes {
    Never,
    /// With its last child.
    Empty,
    /// So many milliseconds after its last change.
    After(i64),
}

impl Node<'_> {
    /// Why it does not go by itself at that time; `None` if it does.
    fn stays(&self, now_ms: i64) -> Option<&'static str> {
        match self.goes {
            Goes::Never => Some("it is no container and has no TTL"),
            _ if self.stat.children > 0 => Some("it has children"),
            Goes::Empty if self.creates == 0 => Some("it never had a child"),
            Goes::Empty => None,
            Goes::After(ttl_ms) if now_ms - self.changed_ms > ttl_ms => None,
            Goes::After(_) => Some("its time has not come"),
        }
    }
}

/// A session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The transaction that made it.
    pub created: Zxid,
    /// The transaction that ended it.
    pub closed: Option<Zxid>,
}

impl<'a> Story<'a> {
    /// Replays the committed transactions.
    pub fn new(history: &'a History, chain: &Chain) -> Self {
        let mut story = Story {
            steps: Vec::with_capacity(chain.committed().len()),
            nodes: BTreeMap::new(),
            events: Map::default(),
            sessions: BTreeMap::new(),
            unreadable: Vec::new(),
            wrong_end: None,
            wrong_reaping: None,
        };
        for committed in chain.committed() {
            let entry = chain.entry(committed.place);
            let bytes = history.txns.get(&entry.txn);
            match bytes.and_then(|bytes| TxnRecord::read(bytes, 1 << 20).ok()) {
                Some(record) if record.header.zxid == entry.zxid => story.replay(&record),
                _ => story.unreadable.push(entry.zxid),
            }
        }
        story
    }

    /// What a path held when everything up to `zxid`, and nothing else, was applied.
    pub fn at(&self, path: &str, zxid: Zxid) -> Option<&Node<'a>> {
        let states = self.nodes.get(path)?;
        let after = states.partition_point(|state| state.from <= zxid);
        states[..after].last()?.node.as_ref()
    }

    /// The names of a node's children at `zxid`, in order.
    pub fn children(&self, path: &str, zxid: Zxid) -> Vec<&'a str> {
        let inside = if path == "/" { String::from("/") } else { format!("{path}/") };
        let below = self
            .nodes
            .range::<str, _>((Included(&*inside), Unbounded))
            .take_while(|(child, _)| child.starts_with(&inside));
        below
            .map(|(child, _)| *child)
            .filter(|child| !child[inside.len()..].contains('/') && self.at(child, zxid).is_some())
            .map(|child| &child[inside.len()..])
            .collect()
    }

    /// The events at a path, oldest first: node events, and `NodeChildrenChanged` of its children.
    pub fn events(&self, path: &str) -> &[(Zxid, EventType)] {
        self.events.get(path).map_or(&[], Vec::as_slice)
    }

    /// The transaction, if it is committed.
    pub fn step(&self, zxid: Zxid) -> Option<&Step<'a>> {
        let at = self.steps.binary_search_by_key(&zxid, |step| step.zxid).ok()?;
        Some(&self.steps[at])
    }

    /// Whether the model tells of this path.
    pub fn knows(path: &str) -> bool {
        path != "/" && path != "/zookeeper" && !path.starts_with("/zookeeper/")
    }

    fn replay(&mut self, record: &TxnRecord<'a>) {
        let header = &record.header;
        let parts = match &record.txn {
            Txn::Multi(multi) if multi.failed() => {
                let mut failed = false;
                let codes = multi.parts().map(|(_, part)| match part {
                    Txn::Error { err } => {
                        failed = true;
                        Part::Error(err)
                    }
                    _ if failed => Part::Error(ErrorCode::RuntimeInconsistency.code()),
                    _ => Part::Error(0),
                });
                codes.collect()
            }
            Txn::Multi(multi) => multi.parts().map(|(_, part)| self.part(header, &part)).collect(),
            single => vec![self.part(header, single)],
        };
        self.steps.push(Step {
            zxid: header.zxid,
            session: header.client_id,
            txn_type: header.txn_type,
            parts,
        });
    }

    fn part(&mut self, header: &TxnHeader, txn: &Txn<'a>) -> Part<'a> {
        match txn {
            Txn::Create(create) => self.create(header, create),
            Txn::Delete { path } => {
                let path = text(path);
                if header.txn_type == OpCode::DeleteContainer.to_int()
                    && let Some(why) = self.now(path).and_then(|node| node.stays(header.time))
                {
                    let what = || (header.zxid, format!("deletes {path}, and {why}"));
                    self.wrong_reaping.get_or_insert_with(what);
                }
                self.delete(path, header.zxid);
                Part::Deleted(path)
            }
            Txn::SetData { path, data, version } => {
                let path = text(path);
                let Some(mut node) = self.now(path) else { return Part::Done };
                node.value = value(data.unwrap_or_default());
                node.stat.version = *version;
                node.stat.mzxid = header.zxid;
                node.changed_ms = header.time;
                self.put(path, header.zxid, Some(node));
                self.tell(path, header.zxid, EventType::NodeDataChanged);
                Part::Set(path, node.stat, node.value)
            }
            Txn::CreateSession { .. } => {
                let life = Life { created: header.zxid, closed: None };
                self.sessions.entry(header.client_id).or_insert(life);
                Part::Done
            }
            Txn::CloseSession { paths } => {
                for path in paths.iter().flat_map(|paths| paths.iter()) {
                    self.ends_with(header, text(path));
                    self.delete(text(path), header.zxid);
                }
                let owned = |states: &Vec<State<'_>>| {
                    let node = states.last().and_then(|state| state.node);
                    node.is_some_and(|node| node.stat.owner == header.client_id)
                };
                let rest: Vec<&str> = self
                    .nodes
                    .iter()
                    .filter(|(_, states)| owned(states))
                    .map(|(path, _)| *path)
                    .collect();
                for path in rest {
                    self.delete(path, header.zxid);
                }
                if let Some(life) = self.sessions.get_mut(&header.client_id) {
                    life.closed.get_or_insert(header.zxid);
                }
                Part::Done
            }
            Txn::Error { err } => Part::Error(*err),
            Txn::SetAcl { .. } | Txn::Check { .. } | Txn::Multi(_) => Part::Done,
        }
    }

    fn create(&mut self, header: &TxnHeader, create: &CreateTxn<'a>) -> Part<'a> {
        let path = text(create.path);
        let (owner, goes) = match create.kind {
            CreateKind::Plain { ephemeral: true, .. } => (header.client_id, Goes::Never),
            CreateKind::Plain { ephemeral: false, .. } => (SessionId::NONE, Goes::Never),
            CreateKind::Container => (SessionId::NONE, Goes::Empty),
            CreateKind::Ttl(ttl_ms) => (SessionId::NONE, Goes::After(ttl_ms)),
        };
        let stat = NodeStat {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            version: 0,
            cversion: 0,
            owner,
            children: 0,
        };
        let value = value(create.data.unwrap_or_default());
        if self.now(path).is_some() {
            return Part::Done;
        }
        let node = Node { path, value, stat, creates: 0, goes, changed_ms: header.time };
        self.put(path, header.zxid, Some(node));
        self.tell(path, header.zxid, EventType::NodeCreated);
        let parent = parent(path);
        if let Some(mut node) = self.now(parent) {
            node.creates = match create.parent_cversion {
                -1 => node.creates + 1,
                stored => node.creates.max(stored),
            };
            node.stat.children += 1;
            node.stat.pzxid = header.zxid;
            self.put(parent, header.zxid, Some(node));
        }
        self.tell(parent, header.zxid, EventType::NodeChildrenChanged);
        Part::Created(path, stat)
    }

    /// The end of a session takes the node with it: it must be that session's.
    fn ends_with(&mut self, header: &TxnHeader, path: &str) {
        let Some(node) = self.now(path) else { return };
        let (session, owner) = (header.client_id, node.stat.owner);
        if owner != session {
            let what = format!("ends session {session} and with it {path} of session {owner}");
            self.wrong_end.get_or_insert((header.zxid, what));
        }
    }

    fn delete(&mut self, path: &'a str, zxid: Zxid) {
        if self.now(path).is_none() {
            return;
        }
        self.put(path, zxid, None);
        self.tell(path, zxid, EventType::NodeDeleted);
        let parent = parent(path);
        if let Some(mut node) = self.now(parent) {
            node.stat.children -= 1;
            node.stat.pzxid = zxid;
            self.put(parent, zxid, Some(node));
        }
        self.tell(parent, zxid, EventType::NodeChildrenChanged);
    }

    fn now(&self, path: &str) -> Option<Node<'a>> {
        self.nodes.get(path)?.last()?.node
    }

    /// Parts of one transaction leave one state.
    fn put(&mut self, path: &'a str, from: Zxid, node: Option<Node<'a>>) {
        let node = node.map(|mut node| {
            // Java counts creates, and shows creates and deletes.
            node.stat.cversion = 2 * node.creates - node.stat.children;
            node
        });
        let states = self.nodes.entry(path).or_default();
        match states.last_mut() {
            Some(last) if last.from == from => last.node = node,
            _ => states.push(State { from, node }),
        }
    }

    fn tell(&mut self, path: &'a str, zxid: Zxid, event: EventType) {
        self.events.entry(path).or_default().push((zxid, event));
    }
}

/// The number in a node's first eight bytes.
pub fn value(data: &[u8]) -> Value {
    data.first_chunk().map_or(0, |bytes| Value::from_be_bytes(*bytes))
}

fn text(path: &[u8]) -> &str {
    std::str::from_utf8(path).unwrap_or("not UTF-8")
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => "/",
    }
}
