//! A client: one application with its connection, its session and its watches.
//!
//! It behaves as ZooKeeper's own clients do: it keeps its session over reconnects to any server,
//! pings when it has nothing else to say, gives a connection up when nothing comes, asks for its
//! watches again, and takes a session for lost only when a server has said so. What it does is
//! [`Workload`]'s business.
//!
//! ```text
//! Away ──dial──▶ Dialling ──▶ Greeting ──▶ Connected ──▶ Away
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use zkserver::jute::{Reader, next_frame};
use zkserver::proto::{EventType, SessionId, Sid, Zxid};

use crate::history::{ClientEvent, Micros, OpId, Request, Response};
use crate::messages;
use crate::network::{Dial, End, Node, Port};
use crate::random::Random;
use crate::stage::{Happening, Stage};
use crate::workload::Workload;

/// A simulated client.
pub struct Client {
    index: usize,
    random: Random,
    servers: usize,
    connection: Connection,
    /// Counts connections, so that an answer to an old dial is none.
    life: u64,
    session: Option<Session>,
    timeout_ms: i32,
    last_zxid: Zxid,
    input: Vec<u8>,
    pending: VecDeque<Pending>,
    next_xid: i32,
    heard: Micros,
    sent: Micros,
    alarm: u64,
    work: Workload,
    closing: bool,
    resting: bool,
    /// Operations that were answered, and when the last was.
    pub completed: u64,
    /// When the last answer to an operation came.
    pub served: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Away,
    Dialling(usize),
    Greeting(usize, End),
    Connected(usize, End),
}

struct Session {
    id: SessionId,
    password: Vec<u8>,
    timeout: Micros,
}

struct Pending {
    xid: i32,
    op: OpId,
    request: Request,
}

const PING_XID: i32 = -2;
const SET_WATCHES_XID: i32 = -8;
const EVENT_XID: i32 = -1;

impl Client {
    /// A client that will connect soon, to any of so many servers.
    pub fn new(
        index: usize,
        servers: usize,
        timeout_ms: i32,
        work: Workload,
        random: Random,
        stage: &mut Stage,
    ) -> Self {
        let mut client = Client {
            index,
            random,
            servers,
            connection: Connection::Away,
            life: 0,
            session: None,
            timeout_ms,
            last_zxid: Zxid::ZERO,
            input: Vec::new(),
            pending: VecDeque::new(),
            next_xid: 1,
            heard: 0,
            sent: 0,
            alarm: 0,
            work,
            closing: false,
            resting: false,
            completed: 0,
            served: 0,
        };
        client.wake_after(stage, 1_000);
        client
    }

    /// It asks nothing more; it only keeps its session.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// Its alarm rings: it looks what there is to do.
    pub fn wake(&mut self, stage: &mut Stage, alarm: u64) {
        if alarm != self.alarm {
            return;
        }
        let now = stage.agenda.now();
        match self.connection {
            Connection::Away => {
                self.life += 1;
                let server = self.random.below(self.servers as u64) as usize;
                self.connection = Connection::Dialling(server);
                let dial = Dial {
                    from: Node::Client(self.index),
                    life: self.life,
                    to: Node::Server(server),
                    port: Port::Client,
                    until: now + self.patience(),
                };
                stage.network.dial(&mut stage.agenda, dial);
            }
            Connection::Dialling(_) => {}
            Connection::Greeting(..) => {
                if now >= self.heard + self.patience() {
                    self.hang_up(stage);
                } else {
                    self.wake_after(stage, 100_000);
                }
            }
            Connection::Connected(server, end) => {
                if now >= self.heard + self.patience() * 2 / 3 {
                    self.hang_up(stage);
                    return;
                }
                self.work(stage, server, end, true);
                if now >= self.sent + self.patience() / 3 {
                    self.ask(stage, server, end, PING_XID, Request::Ping);
                }
                let rest = self.work.think(&mut self.random);
                self.wake_after(stage, rest);
            }
        }
    }

    /// A dial of this life was answered.
    pub fn dialled(&mut self, stage: &mut Stage, life: u64, end: Option<End>) {
        if life != self.life {
            if let Some(end) = end {
                stage.network.close(&mut stage.agenda, end);
            }
            return;
        }
        let Connection::Dialling(server) = self.connection else { return };
        let Some(end) = end else {
            self.connection = Connection::Away;
            let pause = self.random.between(10_000, 300_000);
            self.wake_after(stage, pause);
            return;
        };
        let (session, password) = match &self.session {
            None => (SessionId::NONE, vec![0; 16]),
            Some(session) => (session.id, session.password.clone()),
        };
        let hello = messages::connect(session, &password, self.timeout_ms, self.last_zxid);
        let (server_sid, last_seen) = (sid(server), self.last_zxid);
        stage
            .client(self.index, ClientEvent::Connecting { server: server_sid, session, last_seen });
        stage.network.send(&mut stage.agenda, end, hello.into());
        self.connection = Connection::Greeting(server, end);
        self.input.clear();
        self.heard = stage.agenda.now();
        self.wake_after(stage, 100_000);
    }

    /// Bytes came.
    pub fn receive(&mut self, stage: &mut Stage, end: End, bytes: &Bytes) {
        if self.end() != Some(end) {
            return;
        }
        self.heard = stage.agenda.now();
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        while self.end() == Some(end) {
            match next_frame(&input[used..], 4 << 20) {
                Ok(Some(frame)) => {
                    self.message(stage, frame.body);
                    used += frame.size;
                }
                Ok(None) => break,
                Err(error) => {
                    stage.violation("client_bytes", format!("client {}: {error}", self.index));
                    self.hang_up(stage);
                }
            }
        }
        input.drain(..used);
        if self.end() == Some(end) {
            self.input = input;
        }
    }

    /// The connection is gone.
    pub fn closed(&mut self, stage: &mut Stage, end: End) {
        if self.end() == Some(end) {
            self.gone(stage);
        }
    }

    fn end(&self) -> Option<End> {
        match self.connection {
            Connection::Greeting(_, end) | Connection::Connected(_, end) => Some(end),
            Connection::Away | Connection::Dialling(_) => None,
        }
    }

    /// How long it waits for anything.
    fn patience(&self) -> Micros {
        self.session.as_ref().map_or(self.timeout_ms as u64 * 1000, |session| session.timeout)
    }

    fn wake_after(&mut self, stage: &mut Stage, after: Micros) {
        self.alarm += 1;
        stage.agenda.after(after, Happening::Client(self.index, self.alarm));
    }

    fn hang_up(&mut self, stage: &mut Stage) {
        if let Some(end) = self.end() {
            stage.network.close(&mut stage.agenda, end);
        }
        self.gone(stage);
    }

    fn gone(&mut self, stage: &mut Stage) {
        self.connection = Connection::Away;
        stage.client(self.index, ClientEvent::Disconnected);
        for Pending { op, .. } in self.pending.drain(..) {
            stage.client(self.index, ClientEvent::Lost { op });
        }
        self.work.lost();
        if std::mem::take(&mut self.closing) {
            // Whether it was closed nobody knows; the client wants no more of it.
            self.session = None;
            self.work.new_session();
        }
        let pause = self.random.between(5_000, 200_000);
        self.wake_after(stage, pause);
    }

    fn message(&mut self, stage: &mut Stage, frame: &[u8]) {
        match self.connection {
            Connection::Greeting(server, end) => self.welcome(stage, server, end, frame),
            Connection::Connected(server, end) => {
                if let Err(what) = self.reply(stage, server, end, frame) {
                    let what = format!("client {} at {}: {what}", self.index, sid(server));
                    stage.violation("client_bytes", what);
                    self.hang_up(stage);
                }
            }
            Connection::Away | Connection::Dialling(_) => {}
        }
    }

    fn welcome(&mut self, stage: &mut Stage, server: usize, end: End, frame: &[u8]) {
        let Ok(welcome) = messages::welcome(frame) else {
            stage.violation("client_bytes", format!("client {}: no welcome", self.index));
            self.hang_up(stage);
            return;
        };
        if welcome.session == SessionId::NONE {
            if let Some(session) = self.session.take() {
                stage.client(self.index, ClientEvent::Expired { session: session.id });
                self.work.new_session();
            }
            self.hang_up(stage);
            return;
        }
        let (id, timeout_ms) = (welcome.session, welcome.timeout_ms as u32);
        let resumed = self.session.as_ref().is_some_and(|session| session.id == id);
        if self.session.is_some() && !resumed {
            let what = format!("client {} was given another session", self.index);
            stage.violation("client_bytes", what);
        }
        let timeout = u64::from(timeout_ms) * 1000;
        self.session = Some(Session { id, password: welcome.password, timeout });
        self.connection = Connection::Connected(server, end);
        let server_sid = sid(server);
        stage.client(
            self.index,
            ClientEvent::Connected { server: server_sid, session: id, timeout_ms },
        );
        if let Some(watches) = self.work.watches(self.last_zxid).filter(|_| resumed) {
            self.ask(stage, server, end, SET_WATCHES_XID, watches);
        }
        self.wake_after(stage, 0);
    }

    /// Lets the workload ask what it wants to.
    fn work(&mut self, stage: &mut Stage, server: usize, end: End, has_thought: bool) {
        while !self.closing
            && !self.resting
            && let Some(request) =
                self.work.next(self.pending.len(), has_thought, &mut self.random, stage)
        {
            self.closing = request == Request::CloseSession;
            let xid = self.next_xid;
            self.next_xid += 1;
            self.ask(stage, server, end, xid, request);
        }
    }

    fn ask(&mut self, stage: &mut Stage, server: usize, end: End, xid: i32, request: Request) {
        let padding = match self.random.below(100) {
            0 => self.random.below(6_000) as usize,
            1..20 => self.random.below(200) as usize,
            _ => 0,
        };
        let op = OpId(stage.operations);
        stage.operations += 1;
        let frame = messages::encode(xid, &request, padding);
        let session = self.session.as_ref().map_or(SessionId::NONE, |session| session.id);
        let server = sid(server);
        let event = ClientEvent::Invoked { op, session, server, request: request.clone() };
        stage.client(self.index, event);
        self.pending.push_back(Pending { xid, op, request });
        self.sent = stage.agenda.now();
        stage.network.send(&mut stage.agenda, end, frame.into());
    }

    fn reply(
        &mut self,
        stage: &mut Stage,
        server: usize,
        end: End,
        frame: &[u8],
    ) -> Result<(), String> {
        let mut r = Reader::unlimited(frame);
        let short = |_| "a reply without a header".to_owned();
        let xid = r.int().map_err(short)?;
        let zxid = Zxid::from_long(r.long().map_err(short)?);
        let err = r.int().map_err(short)?;
        if xid == EVENT_XID {
            return self.event(stage, zxid, &mut r).map_err(|_| "an event that is none".to_owned());
        }
        let Some(pending) = self.pending.pop_front() else {
            return Err(format!("an answer to {xid}, but nothing was asked"));
        };
        if pending.xid != xid {
            return Err(format!("an answer to {xid} where {} was asked first", pending.xid));
        }
        let Pending { op, request, .. } = pending;
        let result = match err {
            0 => Ok(messages::answer(&request, r.rest())?),
            // The codes of a failed multi's parts are behind the header's.
            _ if matches!(request, Request::Multi(_)) && r.remaining() > 0 => {
                Ok(messages::answer(&request, r.rest())?)
            }
            code => Err(code),
        };
        if zxid.to_long() > self.last_zxid.to_long() {
            self.last_zxid = zxid;
        }
        stage.client(self.index, ClientEvent::Returned { op, zxid, result: result.clone() });
        if request == Request::CloseSession && result == Ok(Response::Done) {
            let session = self.session.take().map_or(SessionId::NONE, |session| session.id);
            stage.client(self.index, ClientEvent::Closed { session });
            self.closing = false;
            self.work.new_session();
            self.hang_up(stage);
            return Ok(());
        }
        if !matches!(request, Request::Ping | Request::SetWatches { .. }) {
            self.completed += 1;
            self.served = stage.agenda.now();
            self.work.answered(&request, &result, stage.agenda.now());
            self.work(stage, server, end, false);
        }
        Ok(())
    }

    fn event(
        &mut self,
        stage: &mut Stage,
        zxid: Zxid,
        r: &mut Reader<'_>,
    ) -> Result<(), zkserver::jute::JuteError> {
        let (kind, _state) = (r.int()?, r.int()?);
        let path: std::sync::Arc<str> = String::from_utf8_lossy(r.required_ustring()?).into();
        let event = match kind {
            1 => EventType::NodeCreated,
            2 => EventType::NodeDeleted,
            3 => EventType::NodeDataChanged,
            _ => EventType::NodeChildrenChanged,
        };
        let session = self.session.as_ref().map_or(SessionId::NONE, |session| session.id);
        self.work.event(event, &path);
        stage.client(self.index, ClientEvent::Event { session, zxid, event, path });
        Ok(())
    }
}

/// The server of that index.
pub fn sid(index: usize) -> Sid {
    Sid(index as i64 + 1)
}
