//! A client: one application with its connection, its session and its watches, in a thread of its own.
//!
//! The simulator's client on real sockets: it keeps its session over reconnects to any server, pings
//! when it has nothing else to say, gives a connection up when nothing comes, asks for its watches
//! again, and takes a session for lost only when a server has said so. What it does is [`Workload`]'s
//! business; everything goes into the stage's history.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use zkserver::jute::{JuteError, Reader, next_frame};
use zkserver::proto::{EventType, SessionId, Sid, Zxid};

use crate::history::{ClientEvent, Micros, OpId, Request, Response};
use crate::messages;
use crate::random::Random;
use crate::stage::Stage;
use crate::workload::Workload;

/// What a client and who runs it tell each other.
#[derive(Default)]
pub struct Line {
    /// It shall end.
    pub over: AtomicBool,
    /// It asks nothing more, and waits for what it asked.
    pub resting: AtomicBool,
    /// How many operations were answered.
    pub completed: AtomicU64,
    /// The longest time between two answers, in microseconds; thinking is short.
    pub longest_stall: AtomicU64,
    /// Whether an answer is awaited.
    pub waits: AtomicBool,
}

/// A client.
pub struct Client {
    index: usize,
    random: Random,
    servers: Vec<SocketAddr>,
    stage: Stage,
    line: Arc<Line>,
    session: Option<Session>,
    timeout_ms: i32,
    last_zxid: Zxid,
    pending: VecDeque<Pending>,
    next_xid: i32,
    work: Workload,
    closing: bool,
    heard: Micros,
    sent: Micros,
    served: Micros,
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

/// A connection to one server.
struct Connection {
    stream: TcpStream,
    server: usize,
    input: Vec<u8>,
}

/// The connection is over.
struct Gone;

const PING_XID: i32 = -2;
const SET_WATCHES_XID: i32 = -8;
const EVENT_XID: i32 = -1;
/// How long a read waits before the client looks what else there is to do.
const GLANCE: Duration = Duration::from_millis(5);
const DIAL: Duration = Duration::from_millis(500);

impl Client {
    /// A client of these servers, in the order of their ids from 1 on.
    pub fn new(
        index: usize,
        servers: Vec<SocketAddr>,
        timeout_ms: i32,
        work: Workload,
        random: Random,
        stage: Stage,
        line: Arc<Line>,
    ) -> Self {
        Client {
            index,
            random,
            servers,
            served: stage.agenda.now(),
            stage,
            line,
            session: None,
            timeout_ms,
            last_zxid: Zxid::ZERO,
            pending: VecDeque::new(),
            next_xid: 1,
            work,
            closing: false,
            heard: 0,
            sent: 0,
        }
    }

    /// Works until it is told to end.
    pub fn run(mut self) {
        while !self.line.over.load(Ordering::Relaxed) {
            if let Some(mut connection) = self.dial() {
                let Err(Gone) = self.talk(&mut connection) else { break };
                self.gone();
            }
            let pause = self.random.between(5, 100);
            std::thread::sleep(Duration::from_millis(pause));
        }
        self.gone();
    }

    fn now(&self) -> Micros {
        self.stage.agenda.now()
    }

    fn tell(&mut self, event: ClientEvent) {
        self.stage.client(self.index, event);
    }

    /// How long it waits for anything.
    fn patience(&self) -> Micros {
        self.session.as_ref().map_or(self.timeout_ms as u64 * 1000, |session| session.timeout)
    }

    fn dial(&mut self) -> Option<Connection> {
        let server = self.random.below(self.servers.len() as u64) as usize;
        let mut stream = TcpStream::connect_timeout(&self.servers[server], DIAL).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(GLANCE)).ok()?;
        stream.set_write_timeout(Some(Duration::from_secs(5))).ok()?;
        let (session, password) = match &self.session {
            None => (SessionId::NONE, vec![0; 16]),
            Some(session) => (session.id, session.password.clone()),
        };
        let hello = messages::connect(session, &password, self.timeout_ms, self.last_zxid);
        let last_seen = self.last_zxid;
        self.tell(ClientEvent::Connecting { server: sid(server), session, last_seen });
        self.heard = self.now();
        if stream.write_all(&hello).is_err() {
            self.gone();
            return None;
        }
        Some(Connection { stream, server, input: Vec::new() })
    }

    /// The whole of a conversation; `Ok` when the client was told to end.
    fn talk(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        let mut greeted = false;
        let mut thinks_at = 0;
        while !self.line.over.load(Ordering::Relaxed) {
            for frame in self.read(connection)? {
                if greeted {
                    self.reply(connection, &frame)?;
                } else {
                    self.welcome(connection, &frame)?;
                    greeted = true;
                }
            }
            let now = self.now();
            let most = if greeted { self.patience() * 2 / 3 } else { self.patience() };
            if now >= self.heard + most {
                return Err(Gone);
            }
            if greeted {
                if now >= thinks_at {
                    self.work(connection, true)?;
                    thinks_at = now + self.work.think(&mut self.random) / 5;
                }
                if now >= self.sent + self.patience() / 3 {
                    self.ask(connection, PING_XID, Request::Ping)?;
                }
            }
        }
        Ok(())
    }

    /// The frames that have come.
    fn read(&mut self, connection: &mut Connection) -> Result<Vec<Vec<u8>>, Gone> {
        let mut piece = [0; 1 << 16];
        match connection.stream.read(&mut piece) {
            Ok(0) => return Err(Gone),
            Ok(size) => {
                self.heard = self.now();
                connection.input.extend_from_slice(&piece[..size]);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => return Err(Gone),
            },
        }
        let mut frames = Vec::new();
        let mut used = 0;
        while let Some(frame) =
            next_frame(&connection.input[used..], 4 << 20).expect("frames of a sensible length")
        {
            frames.push(frame.body.to_vec());
            used += frame.size;
        }
        connection.input.drain(..used);
        Ok(frames)
    }

    fn gone(&mut self) {
        self.tell(ClientEvent::Disconnected);
        for Pending { op, .. } in std::mem::take(&mut self.pending) {
            self.tell(ClientEvent::Lost { op });
        }
        self.line.waits.store(false, Ordering::Relaxed);
        self.work.lost();
        if std::mem::take(&mut self.closing) {
            // Whether it was closed nobody knows; the client wants no more of it.
            self.session = None;
            self.work.new_session();
        }
    }

    fn welcome(&mut self, connection: &mut Connection, frame: &[u8]) -> Result<(), Gone> {
        let welcome = messages::welcome(frame).expect("a connect response");
        if welcome.session == SessionId::NONE {
            if let Some(session) = self.session.take() {
                self.tell(ClientEvent::Expired { session: session.id });
                self.work.new_session();
            }
            return Err(Gone);
        }
        let (id, timeout_ms) = (welcome.session, welcome.timeout_ms as u32);
        let resumed = self.session.as_ref().is_some_and(|session| session.id == id);
        assert!(self.session.is_none() || resumed, "client {} has another session", self.index);
        let timeout = u64::from(timeout_ms) * 1000;
        self.session = Some(Session { id, password: welcome.password, timeout });
        let server = sid(connection.server);
        self.tell(ClientEvent::Connected { server, session: id, timeout_ms });
        if let Some(watches) = self.work.watches(self.last_zxid).filter(|_| resumed) {
            self.ask(connection, SET_WATCHES_XID, watches)?;
        }
        self.work(connection, true)
    }

    /// Lets the workload ask what it wants to.
    fn work(&mut self, connection: &mut Connection, has_thought: bool) -> Result<(), Gone> {
        while !self.closing
            && !self.line.resting.load(Ordering::Relaxed)
            && let Some(request) =
                self.work.next(self.pending.len(), has_thought, &mut self.random, &mut self.stage)
        {
            self.closing = request == Request::CloseSession;
            let xid = self.next_xid;
            self.next_xid += 1;
            self.ask(connection, xid, request)?;
        }
        Ok(())
    }

    fn ask(&mut self, connection: &mut Connection, xid: i32, request: Request) -> Result<(), Gone> {
        let padding = match self.random.below(100) {
            0 => self.random.below(6_000) as usize,
            1..20 => self.random.below(200) as usize,
            _ => 0,
        };
        let op = self.stage.operation();
        let frame = messages::encode(xid, &request, padding);
        let session = self.session.as_ref().map_or(SessionId::NONE, |session| session.id);
        let server = sid(connection.server);
        self.tell(ClientEvent::Invoked { op, session, server, request: request.clone() });
        self.pending.push_back(Pending { xid, op, request });
        self.line.waits.store(true, Ordering::Relaxed);
        self.sent = self.now();
        connection.stream.write_all(&frame).map_err(|_| Gone)
    }

    fn reply(&mut self, connection: &mut Connection, frame: &[u8]) -> Result<(), Gone> {
        let mut r = Reader::unlimited(frame);
        let mut header = || Ok::<_, JuteError>((r.int()?, r.long()?, r.int()?));
        let (xid, zxid, err) = header().expect("a reply has a header");
        let zxid = Zxid::from_long(zxid);
        if xid == EVENT_XID {
            self.event(zxid, &mut r).expect("an event");
            return Ok(());
        }
        let Pending { xid: asked, op, request } = self.pending.pop_front().expect("it was asked");
        assert_eq!(
            xid,
            asked,
            "client {} at {}, session {:?}: answers come in the order of requests; {request:?}, behind \
             it {:?}; zxid {zxid}, error {err}",
            self.index,
            sid(connection.server),
            self.session.as_ref().map(|session| session.id),
            self.pending.iter().map(|pending| (pending.xid, &pending.request)).collect::<Vec<_>>()
        );
        let result = match err {
            0 => Ok(messages::answer(&request, r.rest()).expect("an answer to the request")),
            // The codes of a failed multi's parts are behind the header's.
            _ if matches!(request, Request::Multi(_)) && r.remaining() > 0 => {
                Ok(messages::answer(&request, r.rest()).expect("an answer to the multi"))
            }
            code => Err(code),
        };
        if zxid.to_long() > self.last_zxid.to_long() {
            self.last_zxid = zxid;
        }
        self.line.waits.store(!self.pending.is_empty(), Ordering::Relaxed);
        self.tell(ClientEvent::Returned { op, zxid, result: result.clone() });
        if request == Request::CloseSession && result == Ok(Response::Done) {
            let session = self.session.take().map_or(SessionId::NONE, |session| session.id);
            self.tell(ClientEvent::Closed { session });
            self.closing = false;
            self.work.new_session();
            return Err(Gone);
        }
        if !matches!(request, Request::Ping | Request::SetWatches { .. }) {
            self.line.completed.fetch_add(1, Ordering::Relaxed);
            let now = self.now();
            self.line.longest_stall.fetch_max(now - self.served, Ordering::Relaxed);
            self.served = now;
            self.work.answered(&request, &result, now);
            self.work(connection, false)?;
        }
        Ok(())
    }

    fn event(&mut self, zxid: Zxid, r: &mut Reader<'_>) -> Result<(), JuteError> {
        let (kind, _state) = (r.int()?, r.int()?);
        let path: Arc<str> = String::from_utf8_lossy(r.required_ustring()?).into();
        let event = match kind {
            1 => EventType::NodeCreated,
            2 => EventType::NodeDeleted,
            3 => EventType::NodeDataChanged,
            _ => EventType::NodeChildrenChanged,
        };
        let session = self.session.as_ref().map_or(SessionId::NONE, |session| session.id);
        self.work.event(event, &path);
        self.tell(ClientEvent::Event { session, zxid, event, path });
        Ok(())
    }
}

/// The server of that index.
fn sid(index: usize) -> Sid {
    Sid(index as i64 + 1)
}
