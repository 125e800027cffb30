//! Histories made by hand, for the checkers' own tests.
//!
//! A play is told in steps that each become the events of a well-behaved ensemble; what goes wrong
//! is put in by hand. Each event is a millisecond behind the one before. The digest of a tree is
//! that of its zxid.

use bytes::Bytes;
use zkserver::proto::op_code::OpCode;
use zkserver::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader, write_path_vector};
use zkserver::proto::{Epoch, EventType, ServerState, SessionId, Sid, Zxid};

use super::server_log::ServerLog;
use super::{Map, Run};
use crate::history::{
    ClientEvent, ClientId, Event, History, How, Micros, NodeStat, OpId, Request, Response,
    ServerEvent, Stop, TxnHash, Violation,
};

/// World, everything.
const OPEN_ACL: [u8; 4] = [0, 0, 0, 0];

/// A history in the making.
pub struct Play {
    pub history: History,
    now: Micros,
    logs: Map<Sid, ServerLog>,
    /// By leader.
    next: Map<i64, Zxid>,
    written: Vec<(Zxid, TxnHash)>,
    delivered: Map<Sid, Vec<(Zxid, TxnHash)>>,
    ops: u32,
    values: u64,
    sessions: Map<ClientId, (SessionId, Sid)>,
}

/// A transaction that has no zxid yet.
pub struct Body {
    session: SessionId,
    txn_type: OpCode,
    bytes: Vec<u8>,
}

impl Play {
    /// Three voters that have just started.
    pub fn of_three() -> Self {
        let mut play = Play {
            history: History::default(),
            now: 0,
            logs: Map::default(),
            next: Map::default(),
            written: Vec::new(),
            delivered: Map::default(),
            ops: 0,
            values: 1000,
            sessions: Map::default(),
        };
        play.history.voters = vec![Sid(1), Sid(2), Sid(3)];
        for server in 1..=3 {
            play.start(server, Zxid::ZERO, Epoch(0));
        }
        play
    }

    /// Lets time pass.
    pub fn wait(&mut self, micros: Micros) {
        self.now += micros;
    }

    /// Peace, and that long after it the end.
    pub fn peace_for(&mut self, micros: Micros) {
        self.history.peace_at = self.now;
        self.now += micros;
        self.push(Event::Fault("the end".into()));
    }

    fn push(&mut self, event: Event) {
        self.now += 1000;
        self.history.push(self.now, event);
    }

    pub fn push_fault(&mut self, words: &str) {
        self.push(Event::Fault(words.into()));
    }

    pub fn server(&mut self, server: i64, event: ServerEvent) {
        let sid = Sid(server);
        self.logs.entry(sid).or_default().take(&event);
        if let ServerEvent::Applied { zxid, txn, .. } = event {
            self.delivered.entry(sid).or_default().push((zxid, txn));
        }
        self.push(Event::Server(sid, event));
    }

    pub fn client(&mut self, client: u32, event: ClientEvent) {
        self.push(Event::Client(ClientId(client), event));
    }

    pub fn start(&mut self, server: i64, last_zxid: Zxid, epoch: Epoch) {
        let digest = digest(last_zxid);
        let (accepted, current) = (epoch, epoch);
        let may_vote = true;
        let started = ServerEvent::Started { last_zxid, digest, accepted, current, may_vote };
        self.server(server, started);
    }

    /// Killed, and back with everything it has logged.
    pub fn restart(&mut self, server: i64) {
        self.server(server, ServerEvent::Stopped(Stop::Killed));
        let top = self.logs[&Sid(server)].top();
        self.start(server, top, top.epoch());
    }

    pub fn zxid(&self, epoch: u32, counter: u32) -> Zxid {
        Zxid(Epoch(epoch).start().0 + u64::from(counter))
    }

    /// It is established with what it has logged.
    pub fn lead(&mut self, server: i64, epoch: u32) {
        let epoch = Epoch(epoch);
        self.server(server, ServerEvent::Role(ServerState::Leading));
        self.server(server, ServerEvent::AcceptedEpoch(epoch));
        self.server(server, ServerEvent::CurrentEpoch(epoch));
        self.server(server, ServerEvent::Established(epoch));
        self.server(server, ServerEvent::Serving(true));
        self.next.insert(server, epoch.start().next());
    }

    /// It gets from `leader` what it lacks.
    pub fn follow(&mut self, server: i64, leader: i64) {
        let epoch = self.next[&leader].epoch();
        self.server(server, ServerEvent::Serving(false));
        self.server(server, ServerEvent::Role(ServerState::Following));
        self.server(server, ServerEvent::AcceptedEpoch(epoch));
        let from = self.logs[&Sid(server)].top();
        let leaders = self.delivered.entry(Sid(leader)).or_default();
        let missing: Vec<_> = leaders.iter().filter(|(zxid, _)| *zxid > from).copied().collect();
        for (zxid, txn) in missing {
            self.log(server, zxid, txn);
            self.deliver(server, zxid, txn);
        }
        self.server(server, ServerEvent::CurrentEpoch(epoch));
        self.server(server, ServerEvent::Serving(true));
    }

    /// A TRUNC.
    pub fn cut(&mut self, server: i64, to: Zxid) {
        self.server(server, ServerEvent::Truncated { to });
        self.server(server, ServerEvent::Reloaded { zxid: to, digest: digest(to) });
    }

    /// A setData that `servers` log, commit and apply.
    pub fn write(&mut self, leader: i64, servers: &[i64]) -> TxnHash {
        self.values += 1;
        let body = self.set_data("/a", self.values);
        self.commit(leader, servers, &body).1
    }

    /// A transaction that `servers` log, commit and apply.
    pub fn commit(&mut self, leader: i64, servers: &[i64], body: &Body) -> (Zxid, TxnHash) {
        let (zxid, txn) = self.propose_body(leader, servers, body);
        for server in servers {
            self.deliver(*server, zxid, txn);
        }
        (zxid, txn)
    }

    /// A setData that `servers` log, and no more.
    pub fn propose(&mut self, leader: i64, servers: &[i64]) -> TxnHash {
        self.values += 1;
        let body = self.set_data("/a", self.values);
        self.propose_body(leader, servers, &body).1
    }

    pub fn propose_body(&mut self, leader: i64, servers: &[i64], body: &Body) -> (Zxid, TxnHash) {
        let zxid = self.next[&leader];
        self.next.insert(leader, zxid.next());
        let txn = self.txn(zxid, body);
        self.written.push((zxid, txn));
        self.server(leader, ServerEvent::Proposed { zxid, txn });
        for server in servers {
            self.log(*server, zxid, txn);
        }
        (zxid, txn)
    }

    pub fn log(&mut self, server: i64, zxid: Zxid, txn: TxnHash) {
        self.server(server, ServerEvent::LogRequested { zxid, txn });
        self.server(server, ServerEvent::Logged { zxid, txn });
    }

    pub fn deliver(&mut self, server: i64, zxid: Zxid, txn: TxnHash) {
        self.server(server, ServerEvent::Committed { zxid, txn });
        let digest = Some(digest(zxid));
        self.server(server, ServerEvent::Applied { zxid, txn, how: How::Commit, digest });
    }

    pub fn catch_up(&mut self, server: i64, zxid: Zxid) {
        let at = self.written.iter().position(|(written, _)| *written == zxid);
        let txn = self.written[at.expect("it was written")].1;
        let digest = Some(digest(zxid));
        self.server(server, ServerEvent::Applied { zxid, txn, how: How::CatchUp, digest });
    }

    /// The transaction's bytes, kept in the history.
    pub fn txn(&mut self, zxid: Zxid, body: &Body) -> TxnHash {
        let header = TxnHeader {
            client_id: body.session,
            cxid: 1,
            zxid,
            time: 0,
            txn_type: body.txn_type.to_int(),
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        bytes.extend_from_slice(&body.bytes);
        self.history.txn(&Bytes::from(bytes))
    }

    pub fn set_data(&self, path: &str, value: u64) -> Body {
        self.set_version(path, value, 1)
    }

    pub fn set_version(&self, path: &str, value: u64, version: i32) -> Body {
        let data = value.to_be_bytes();
        let txn = Txn::SetData { path: path.as_bytes(), data: Some(&data), version };
        Body::new(SessionId(7), OpCode::SetData, &txn)
    }

    pub fn create(&self, session: i64, path: &str, value: u64, ephemeral: bool) -> Body {
        let data = value.to_be_bytes();
        let txn = Txn::Create(CreateTxn {
            path: path.as_bytes(),
            data: Some(&data),
            acl: &OPEN_ACL,
            parent_cversion: -1,
            kind: CreateKind::Plain { ephemeral, with_stat: true },
        });
        Body::new(SessionId(session), OpCode::Create2, &txn)
    }

    pub fn create_reaped(&self, path: &str, ttl_ms: Option<i64>) -> Body {
        let (kind, op) = match ttl_ms {
            None => (CreateKind::Container, OpCode::CreateContainer),
            Some(ttl_ms) => (CreateKind::Ttl(ttl_ms), OpCode::CreateTtl),
        };
        let txn = Txn::Create(CreateTxn {
            path: path.as_bytes(),
            data: Some(&[0; 8]),
            acl: &OPEN_ACL,
            parent_cversion: -1,
            kind,
        });
        Body::new(SessionId(7), op, &txn)
    }

    pub fn reap(&self, path: &str) -> Body {
        let txn = Txn::Delete { path: path.as_bytes() };
        Body::new(SessionId::NONE, OpCode::DeleteContainer, &txn)
    }

    pub fn delete(&self, session: i64, path: &str) -> Body {
        let txn = Txn::Delete { path: path.as_bytes() };
        Body::new(SessionId(session), OpCode::Delete, &txn)
    }

    pub fn failed(&self, session: i64, err: i32) -> Body {
        Body::new(SessionId(session), OpCode::Error, &Txn::Error { err })
    }

    pub fn create_session(&self, session: i64) -> Body {
        let txn = Txn::CreateSession { timeout_ms: 4000 };
        Body::new(SessionId(session), OpCode::CreateSession, &txn)
    }

    pub fn close_session(&self, session: i64) -> Body {
        let txn = Txn::CloseSession { paths: None };
        Body::new(SessionId(session), OpCode::CloseSession, &txn)
    }

    pub fn close_session_with(&self, session: i64, paths: &[&str]) -> Body {
        let mut body = self.close_session(session);
        write_path_vector(paths.iter().map(|path| path.as_bytes()), &mut body.bytes);
        body
    }

    /// A client has its session at a server.
    pub fn connect(&mut self, client: u32, server: i64, session: i64) {
        let (server, session) = (Sid(server), SessionId(session));
        self.sessions.insert(ClientId(client), (session, server));
        self.client(client, ClientEvent::Connected { server, session, timeout_ms: 4000 });
    }

    pub fn invoke(&mut self, client: u32, request: Request) -> OpId {
        let (session, server) = self.sessions[&ClientId(client)];
        let op = OpId(self.ops);
        self.ops += 1;
        self.client(client, ClientEvent::Invoked { op, session, server, request });
        op
    }

    pub fn answer(&mut self, client: u32, op: OpId, zxid: Zxid, result: Result<Response, i32>) {
        self.client(client, ClientEvent::Returned { op, zxid, result });
    }

    /// Asks and is answered at once.
    pub fn ask(
        &mut self,
        client: u32,
        request: Request,
        zxid: Zxid,
        result: Result<Response, i32>,
    ) {
        let op = self.invoke(client, request);
        self.answer(client, op, zxid, result);
    }

    pub fn event(&mut self, client: u32, zxid: Zxid, event: EventType, path: &str) {
        let (session, _) = self.sessions[&ClientId(client)];
        self.client(client, ClientEvent::Event { session, zxid, event, path: path.into() });
    }

    /// # Panics
    /// If the checker finds something.
    pub fn passes(&self, check: fn(&Run<'_>) -> Result<(), Violation>) {
        if let Err(found) = check(&Run::new(&self.history)) {
            panic!("a good history: {found}");
        }
    }

    /// # Panics
    /// If the checker finds nothing, or says it without these words.
    pub fn fails(&self, check: fn(&Run<'_>) -> Result<(), Violation>, words: &[&str]) {
        let found = check(&Run::new(&self.history)).expect_err("a bad history").to_string();
        for word in words {
            assert!(found.contains(word), "{found:?} does not say {word:?}");
        }
    }
}

impl Body {
    fn new(session: SessionId, txn_type: OpCode, txn: &Txn<'_>) -> Self {
        let mut bytes = Vec::new();
        txn.write(&mut bytes);
        Body { session, txn_type, bytes }
    }
}

/// The digest of a tree in these plays.
pub fn digest(zxid: Zxid) -> u64 {
    zxid.0.wrapping_mul(31)
}

/// The stat of a node without children whose data was set `version` times, last at `mzxid`.
pub fn stat(czxid: Zxid, mzxid: Zxid, version: i32) -> NodeStat {
    NodeStat {
        czxid,
        mzxid,
        pzxid: czxid,
        version,
        cversion: 0,
        owner: SessionId::NONE,
        children: 0,
    }
}
