//! A client that speaks the protocol byte by byte and hides nothing.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use zkserver::jute::{Reader, Writer};
use zkserver::proto::acl::read_acl_vector;
use zkserver::proto::{Acl, Stat};

use super::{DEADLINE, TestServer, bodies, flag, op};

/// A connect request.
#[derive(Debug, Clone)]
pub struct Hello {
    pub last_zxid: i64,
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Option<Vec<u8>>,
    pub read_only: Option<bool>,
}

impl Default for Hello {
    fn default() -> Self {
        Hello {
            last_zxid: 0,
            timeout_ms: 30_000,
            session: 0,
            password: Some(vec![0; 16]),
            read_only: Some(false),
        }
    }
}

impl Hello {
    /// A new session with this timeout.
    pub fn timeout(timeout_ms: i32) -> Self {
        Hello { timeout_ms, ..Hello::default() }
    }

    /// The session of `welcome` once more.
    pub fn resume(welcome: &Welcome) -> Self {
        Hello {
            timeout_ms: welcome.timeout_ms,
            session: welcome.session,
            password: Some(welcome.password.clone()),
            ..Hello::default()
        }
    }

    /// The request's frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_int(0);
        out.put_int(0);
        out.put_long(self.last_zxid);
        out.put_int(self.timeout_ms);
        out.put_long(self.session);
        out.put_buffer(self.password.as_deref());
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
        let length = out.len() as i32 - 4;
        out.set_int(0, length);
        out
    }
}

/// A connect response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    pub version: i32,
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub read_only: Option<bool>,
}

impl Welcome {
    /// From a frame without its length.
    #[track_caller]
    pub fn read(frame: &[u8]) -> Self {
        let mut r = Reader::unlimited(frame);
        let welcome = Welcome {
            version: r.int().expect("version"),
            timeout_ms: r.int().expect("timeout"),
            session: r.long().expect("session id"),
            password: r.buffer().expect("password").expect("a password").to_vec(),
            read_only: (r.remaining() > 0).then(|| r.bool().expect("readOnly")),
        };
        assert_eq!(r.remaining(), 0, "bytes behind the connect response");
        welcome
    }

    /// Whether this is how a session is refused.
    pub fn refused(&self) -> bool {
        self.session == 0 && self.timeout_ms == 0 && self.password == [0; 16]
    }
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub zxid: i64,
    pub kind: i32,
    pub state: i32,
    pub path: String,
}

/// Event types.
pub const CREATED: i32 = 1;
pub const DELETED: i32 = 2;
pub const DATA_CHANGED: i32 = 3;
pub const CHILDREN_CHANGED: i32 = 4;

/// A reply: its header and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

/// One part of a multi's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Create(String),
    Create2(String, Stat),
    Delete,
    SetData(Stat),
    Check,
    Data(Option<Vec<u8>>, Stat),
    Children(Vec<String>),
    Error(i32),
}

impl Reply {
    #[track_caller]
    fn decode<T>(&self, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        assert_eq!(self.err, 0, "an error instead of a body");
        let mut r = Reader::unlimited(&self.body);
        let value = read(&mut r);
        assert_eq!(r.remaining(), 0, "bytes behind the reply's record");
        value
    }

    /// Itself, which must be a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.err, 0, "the request failed");
        self
    }

    /// create, sync.
    #[track_caller]
    pub fn path(&self) -> String {
        self.decode(text)
    }

    /// create2, createContainer, createTTL.
    #[track_caller]
    pub fn path_stat(&self) -> (String, Stat) {
        self.decode(|r| (text(r), stat(r)))
    }

    /// exists, setData, setACL.
    #[track_caller]
    pub fn stat(&self) -> Stat {
        self.decode(stat)
    }

    /// getData.
    #[track_caller]
    pub fn data(&self) -> (Option<Vec<u8>>, Stat) {
        self.decode(|r| (r.buffer().expect("data").map(<[u8]>::to_vec), stat(r)))
    }

    /// getChildren, getEphemerals, sorted.
    #[track_caller]
    pub fn children(&self) -> Vec<String> {
        self.decode(|r| texts(r))
    }

    /// getChildren2, sorted.
    #[track_caller]
    pub fn children_stat(&self) -> (Vec<String>, Stat) {
        self.decode(|r| (texts(r), stat(r)))
    }

    /// getACL.
    #[track_caller]
    pub fn acl(&self) -> (Vec<Acl>, Stat) {
        self.decode(|r| (read_acl_vector(r).expect("an ACL").expect("not null"), stat(r)))
    }

    /// getAllChildrenNumber.
    #[track_caller]
    pub fn number(&self) -> i32 {
        self.decode(|r| r.int().expect("a number"))
    }

    /// whoAmI: scheme and user of each identity.
    #[track_caller]
    pub fn identities(&self) -> Vec<(String, String)> {
        self.decode(|r| {
            let count = r.vector().expect("a count").expect("not null");
            (0..count).map(|_| (text(r), text(r))).collect()
        })
    }

    /// multi and multiRead.
    #[track_caller]
    pub fn parts(&self) -> Vec<Part> {
        self.decode(parts)
    }

    /// The codes of a failed multi, part by part.
    #[track_caller]
    pub fn codes(&self) -> Vec<i32> {
        self.parts()
            .into_iter()
            .map(|part| match part {
                Part::Error(code) => code,
                other => panic!("not an error result: {other:?}"),
            })
            .collect()
    }
}

#[track_caller]
fn text(r: &mut Reader<'_>) -> String {
    String::from_utf8(r.required_ustring().expect("a string").to_vec()).expect("UTF-8")
}

#[track_caller]
fn texts(r: &mut Reader<'_>) -> Vec<String> {
    let count = r.vector().expect("a count").expect("not null");
    let mut list: Vec<String> = (0..count).map(|_| text(r)).collect();
    list.sort();
    list
}

#[track_caller]
fn stat(r: &mut Reader<'_>) -> Stat {
    Stat::read(r).expect("a stat")
}

/// The results in a multi's body, up to and including the end marker.
#[track_caller]
pub fn parts(r: &mut Reader<'_>) -> Vec<Part> {
    let mut list = Vec::new();
    loop {
        let kind = r.int().expect("type");
        let done = r.bool().expect("done");
        let code = r.int().expect("err");
        if done {
            assert_eq!((kind, code), (-1, -1), "the end marker");
            return list;
        }
        list.push(match kind {
            op::CREATE => Part::Create(text(r)),
            op::CREATE2 => Part::Create2(text(r), stat(r)),
            op::DELETE => Part::Delete,
            op::SET_DATA => Part::SetData(stat(r)),
            op::CHECK => Part::Check,
            op::GET_DATA => Part::Data(r.buffer().expect("data").map(<[u8]>::to_vec), stat(r)),
            op::GET_CHILDREN => Part::Children(texts(r)),
            -1 => {
                assert_eq!(r.int().expect("err"), code, "header and body of an error result");
                Part::Error(code)
            }
            other => panic!("a part of type {other}"),
        });
    }
}

/// What a server can send on an established connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Event(Event),
    Reply(Reply),
}

impl Message {
    /// From a frame without its length.
    #[track_caller]
    pub fn read(frame: &[u8]) -> Self {
        let mut r = Reader::unlimited(frame);
        let xid = r.int().expect("xid");
        let zxid = r.long().expect("zxid");
        let err = r.int().expect("err");
        if xid != -1 {
            return Message::Reply(Reply { xid, zxid, err, body: r.rest().to_vec() });
        }
        assert_eq!(err, 0, "an event's err");
        let event = Event {
            zxid,
            kind: r.int().expect("type"),
            state: r.int().expect("state"),
            path: text(&mut r),
        };
        assert_eq!(r.remaining(), 0, "bytes behind an event");
        Message::Event(event)
    }
}

/// The sending half of a connection.
pub struct Sender {
    stream: TcpStream,
}

impl Sender {
    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    /// Sends bytes; whether the connection took them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }
}

/// A connection, and usually a session on it.
pub struct RawClient {
    stream: TcpStream,
    input: Vec<u8>,
    events: VecDeque<Event>,
    xid: i32,
    /// Whether the server may be killed at any moment: then a connection may end inside a frame.
    pub lenient: bool,
    /// What the server said to the connect request; all zero before.
    pub welcome: Welcome,
}

impl RawClient {
    /// A connection on which nothing was said yet.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server accepts"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        let welcome =
            Welcome { version: 0, timeout_ms: 0, session: 0, password: vec![], read_only: None };
        RawClient {
            stream,
            input: Vec::new(),
            events: VecDeque::new(),
            xid: 0,
            lenient: false,
            welcome,
        }
    }

    /// A new session with a timeout that no test reaches.
    #[track_caller]
    pub fn new(server: &TestServer) -> Self {
        Self::connect(server, &Hello::default())
    }

    /// The socket, for what only a socket can do.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// A session by `hello`, which must not be refused.
    #[track_caller]
    pub fn connect(server: &TestServer, hello: &Hello) -> Self {
        let client = Self::knock(server, hello);
        assert!(!client.welcome.refused(), "the session was refused");
        client
    }

    /// Sends `hello` and takes the answer, whatever it is.
    #[track_caller]
    pub fn knock(server: &TestServer, hello: &Hello) -> Self {
        let mut client = Self::tcp(server.address());
        client.send(&hello.frame());
        client.take_welcome();
        client
    }

    /// What a server that may be killed at any moment says to `hello`, if it says anything.
    pub fn try_connect(address: SocketAddr, hello: &Hello) -> Option<Self> {
        let mut client = Self::over(TcpStream::connect(address).ok()?);
        client.lenient = true;
        if !client.try_send(&hello.frame()) {
            return None;
        }
        client.welcome = Welcome::read(&client.frame()?);
        Some(client)
    }

    /// Reads the connect response.
    #[track_caller]
    pub fn take_welcome(&mut self) {
        self.welcome = Welcome::read(&self.frame().expect("an answer to the connect request"));
    }

    /// The session's id.
    pub fn session(&self) -> i64 {
        self.welcome.session
    }

    /// The sending half, for a thread that sends while this one receives.
    #[track_caller]
    pub fn sender(&self) -> Sender {
        Sender { stream: self.stream.try_clone().expect("a second handle") }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    /// Sends bytes; whether the connection took them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame without its length; `None` when the server has closed the connection.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        self.frame_until(Instant::now() + DEADLINE).expect("a frame or an end before the deadline")
    }

    /// Like [`frame`](Self::frame), but `Err` when nothing whole has come by `deadline`.
    #[track_caller]
    pub fn frame_until(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, ()> {
        loop {
            if let Some(prefix) = self.input.first_chunk::<4>() {
                let length = i32::from_be_bytes(*prefix);
                let end = 4 + usize::try_from(length).expect("a sensible length");
                if self.input.len() >= end {
                    let frame = self.input[4..end].to_vec();
                    self.input.drain(..end);
                    return Ok(Some(frame));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(());
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout");
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    let whole = self.lenient || self.input.is_empty();
                    assert!(whole, "the connection ended inside a frame");
                    return Ok(None);
                }
                Ok(n) => self.input.extend_from_slice(&piece[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => panic!("reading: {e}"),
            }
        }
    }

    /// The server must close the connection and send nothing before.
    #[track_caller]
    pub fn expect_close(&mut self) {
        if let Some(frame) = self.frame() {
            panic!("a frame instead of the end: {}", super::hex::encode(&frame));
        }
    }

    /// The next message.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        Message::read(&self.frame().expect("a message, not the end"))
    }

    /// Sends a request without waiting; its xid.
    #[track_caller]
    pub fn submit(&mut self, op: i32, body: &[u8]) -> i32 {
        self.xid += 1;
        self.send(&bodies::frame(self.xid, op, body));
        self.xid
    }

    /// Sends a request, if the connection takes it; whether it did.
    pub fn try_submit(&mut self, op: i32, body: &[u8]) -> bool {
        self.xid += 1;
        self.try_send(&bodies::frame(self.xid, op, body))
    }

    /// Sends the same request so many times.
    #[track_caller]
    pub fn submit_many(&mut self, times: usize, op: i32, body: &[u8]) {
        for _ in 0..times {
            self.submit(op, body);
        }
    }

    /// Takes so many replies, which must be successes.
    #[track_caller]
    pub fn take_ok(&mut self, times: usize) {
        for _ in 0..times {
            self.reply().ok();
        }
    }

    /// The next reply; events before it are kept for [`event`](Self::event).
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        loop {
            match self.message() {
                Message::Event(event) => self.events.push_back(event),
                Message::Reply(reply) => return reply,
            }
        }
    }

    /// A request and its reply.
    #[track_caller]
    pub fn call(&mut self, op: i32, body: &[u8]) -> Reply {
        let xid = self.submit(op, body);
        let reply = self.reply();
        assert_eq!(reply.xid, xid, "the reply to this request");
        reply
    }

    /// The next event: one that came before an earlier reply, or the next message.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.message() {
            Message::Event(event) => event,
            Message::Reply(reply) => panic!("a reply where an event was due: {reply:?}"),
        }
    }

    /// Type and path of the next event.
    #[track_caller]
    pub fn fired(&mut self) -> (i32, String) {
        let event = self.event();
        (event.kind, event.path)
    }

    /// All events that this server owes this connection for what it has applied so far: those
    /// that come before the answer to a ping, whose zxid they may not exceed.
    #[track_caller]
    pub fn events(&mut self) -> Vec<Event> {
        self.ping();
        self.events.drain(..).collect()
    }

    /// Type and path of those events.
    #[track_caller]
    pub fn all_fired(&mut self) -> Vec<(i32, String)> {
        self.events().into_iter().map(|event| (event.kind, event.path)).collect()
    }

    /// A ping and its answer.
    #[track_caller]
    pub fn ping(&mut self) -> Reply {
        self.send(&bodies::frame(-2, op::PING, &[]));
        let reply = self.reply();
        assert_eq!((reply.xid, reply.err), (-2, 0), "the answer to a ping");
        reply
    }

    /// An open node with the given flags, by opcode 1.
    #[track_caller]
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        self.call(op::CREATE, &bodies::create(path, Some(data), &bodies::open_acl(), flags))
    }

    /// An open node with the given flags, by opcode 15.
    #[track_caller]
    pub fn create2(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        self.call(op::CREATE2, &bodies::create(path, Some(data), &bodies::open_acl(), flags))
    }

    /// A persistent node with this ACL.
    #[track_caller]
    pub fn create_with(&mut self, path: &str, acl: &[Acl]) -> Reply {
        self.call(op::CREATE, &bodies::create(path, Some(b""), acl, flag::PERSISTENT))
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str, version: i32) -> Reply {
        self.call(op::DELETE, &bodies::numbered(path, version))
    }

    #[track_caller]
    pub fn set_data(&mut self, path: &str, data: &[u8], version: i32) -> Reply {
        self.call(op::SET_DATA, &bodies::set_data(path, Some(data), version))
    }

    #[track_caller]
    pub fn get_data(&mut self, path: &str, watch: bool) -> Reply {
        self.call(op::GET_DATA, &bodies::watched(path, watch))
    }

    #[track_caller]
    pub fn exists(&mut self, path: &str, watch: bool) -> Reply {
        self.call(op::EXISTS, &bodies::watched(path, watch))
    }

    #[track_caller]
    pub fn get_children(&mut self, path: &str, watch: bool) -> Reply {
        self.call(op::GET_CHILDREN, &bodies::watched(path, watch))
    }

    #[track_caller]
    pub fn get_children2(&mut self, path: &str, watch: bool) -> Reply {
        self.call(op::GET_CHILDREN2, &bodies::watched(path, watch))
    }

    #[track_caller]
    pub fn get_acl(&mut self, path: &str) -> Reply {
        self.call(op::GET_ACL, &bodies::path(path))
    }

    #[track_caller]
    pub fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Reply {
        self.call(op::SET_ACL, &bodies::set_acl(path, acl, version))
    }

    #[track_caller]
    pub fn sync(&mut self, path: &str) -> Reply {
        self.call(op::SYNC, &bodies::path(path))
    }

    #[track_caller]
    pub fn multi(&mut self, parts: &[(i32, Vec<u8>)]) -> Reply {
        self.call(op::MULTI, &bodies::multi(parts))
    }

    #[track_caller]
    pub fn add_watch(&mut self, path: &str, mode: i32) -> Reply {
        self.call(op::ADD_WATCH, &bodies::numbered(path, mode))
    }

    #[track_caller]
    pub fn remove_watches(&mut self, path: &str, kind: i32) -> Reply {
        self.call(op::REMOVE_WATCHES, &bodies::numbered(path, kind))
    }

    #[track_caller]
    pub fn check_watches(&mut self, path: &str, kind: i32) -> Reply {
        self.call(op::CHECK_WATCHES, &bodies::numbered(path, kind))
    }

    /// setWatches with xid -8.
    #[track_caller]
    pub fn set_watches(&mut self, relative: i64, lists: [&[&str]; 3]) -> Reply {
        self.send(&bodies::frame(-8, op::SET_WATCHES, &bodies::set_watches(relative, &lists)));
        self.reply()
    }

    /// setWatches2 with xid -8.
    #[track_caller]
    pub fn set_watches2(&mut self, relative: i64, lists: [&[&str]; 5]) -> Reply {
        self.send(&bodies::frame(-8, op::SET_WATCHES2, &bodies::set_watches(relative, &lists)));
        self.reply()
    }

    /// auth with xid -4.
    #[track_caller]
    pub fn auth(&mut self, scheme: &str, data: &[u8]) -> Reply {
        self.send(&bodies::frame(-4, op::AUTH, &bodies::auth(scheme, data)));
        let reply = self.reply();
        assert_eq!((reply.xid, reply.zxid), (-4, 0), "the answer to auth");
        reply
    }

    /// closeSession, its reply and the end of the connection.
    #[track_caller]
    pub fn close(mut self) {
        self.call(op::CLOSE_SESSION, &[]).ok();
        self.expect_close();
    }

    /// A new open node at the top that no other test has; its path.
    #[track_caller]
    pub fn scratch(&mut self, name: &str) -> String {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let path = format!("/{name}-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        self.create(&path, b"", flag::PERSISTENT).ok();
        path
    }

    /// Whether the node is there.
    #[track_caller]
    pub fn has(&mut self, path: &str) -> bool {
        match self.exists(path, false).err {
            0 => true,
            super::err::NO_NODE => false,
            other => panic!("exists: {other}"),
        }
    }

    /// The node's stat.
    #[track_caller]
    pub fn stat(&mut self, path: &str) -> Stat {
        self.exists(path, false).stat()
    }
}
