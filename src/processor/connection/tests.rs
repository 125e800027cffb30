//! One client's conversation, bytes to bytes, with a scripted server behind it.

mod authentication;
mod bounds;
mod handshake;
mod long_lists;
mod order;
mod serving;

use super::answers::MAX_READS_PER_HOLD;
use super::defer::MAX_DEFERRED_BYTES;
use super::*;
use crate::jute::Writer;
use crate::processor::connection_queue::Grant;
use crate::processor::read::Reading;
use crate::processor::testing::{open, policy, tree_options};
use crate::proto::password;
use crate::proto::responses::ConnectResponse;
use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord};
use crate::session::SessionTouch;
use crate::status::Answered;
use crate::tree::Database;

const SESSION: SessionId = SessionId(0x77);
const MAX_FRAME: usize = 4 << 20;
const WORDS: &[[u8; 4]] = &[*b"ruok", *b"stmk"];

/// A connection, and the server's side of it.
struct Client {
    core: ConnectionCore,
    queue: Arc<ConnectionQueue>,
    around: Surroundings,
    touch: Arc<SessionTouch>,
    now_ms: u64,
}

/// A reply's header, and what stands behind it.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    xid: i32,
    zxid: i64,
    err: i32,
    body: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let identities = Arc::new(Identities::of_peer([127, 0, 0, 1].into()));
        let queue = Arc::new(ConnectionQueue::new(ConnectionId(1), identities.clone()));
        let options = ConnectionOptions {
            max_frame_bytes: MAX_FRAME,
            max_field_bytes: MAX_FRAME,
            min_session_timeout_ms: 4_000,
            max_session_timeout_ms: 40_000,
            words: WORDS,
            throttle: None,
            large_requests: None,
            word_with_number: Some(*b"stmk"),
        };
        let mut database = Database::new(tree_options());
        database.start_serving();
        let around = Surroundings {
            database: Arc::new(SharedDatabase::new(database)),
            watches: Arc::new(Watches::new(7)),
            policy: policy(),
            options,
        };
        let core = ConnectionCore::new(queue.clone(), identities);
        let touch = Arc::new(SessionTouch::new(0, 10_000));
        Client { core, queue, around, touch, now_ms: 100 }
    }

    /// A client whose session was granted and who has read the answer.
    fn established() -> Self {
        let mut client = Client::new();
        let pass = client.send(&connect(0, 10_000, b""));
        assert_eq!(words(&pass), ["connect 0x0 10000"]);
        client.grant();
        client.resume();
        assert!(client.core.is_established());
        client.read_all();
        client
    }

    fn send(&mut self, bytes: &[u8]) -> Pass {
        self.core.receive(self.now_ms, bytes, &self.around)
    }

    fn resume(&mut self) -> Pass {
        self.core.resume(self.now_ms, &self.around)
    }

    fn grant(&mut self) {
        let response = ConnectResponse {
            timeout_ms: 10_000,
            session_id: SESSION,
            password: password::generate(SESSION),
            read_only: Some(false),
        };
        let grant = Grant { session: SESSION, touch: self.touch.clone() };
        self.queue.grant(grant, None, |out| response.write(out));
    }

    /// The server applies a create of `path`, answers whoever asked and the reads behind it.
    fn commit(&mut self, xid: i32, path: &str, data: &[u8]) {
        let mut db = self.around.database.write();
        let zxid = db.last_processed().next();
        let txn = Txn::Create(CreateTxn {
            path: path.as_bytes(),
            data: Some(data),
            acl: &open(),
            parent_cversion: zxid.0 as i32,
            kind: CreateKind::Plain { ephemeral: false, with_stat: false },
        });
        let header = TxnHeader { client_id: SESSION, cxid: xid, zxid, time: 1, txn_type: 1 };
        db.apply(&TxnRecord { header, txn, digest: None }, &mut ());
        self.queue.reply(None, |out| write_header_only(ReplyHeader { xid, zxid, err: 0 }, out));
        while let Some(read) = self.queue.next_deferred() {
            let reading = Reading {
                db: &db,
                watches: &self.around.watches,
                policy: &self.around.policy,
                connection: ConnectionId(1),
                session: read.session,
                identities: &read.identities,
                max_field_bytes: MAX_FRAME,
                long_lists: true,
            };
            let mut frame = Vec::new();
            assert!(reading.answer(read.xid, read.op, &read.body, &mut frame).is_ok());
            let (op, cxid) = (Some(read.op), read.xid);
            let answered = Answered { op, cxid, zxid, count: 1, at_ms: 0, latency_ms: 0 };
            self.queue.answer_deferred(&answered, &frame);
        }
    }

    /// The client reads everything that waits for it.
    fn read_all(&mut self) -> Vec<u8> {
        let bytes = self.core.output().to_vec();
        self.core.wrote(bytes.len());
        bytes
    }

    fn replies(&mut self) -> Vec<Reply> {
        let bytes = self.read_all();
        let mut rest = &bytes[..];
        let mut replies = Vec::new();
        while let Some(frame) = next_frame(rest, usize::MAX).expect("a reply") {
            let mut r = Reader::unlimited(frame.body);
            let (xid, zxid, err) = (r.int().unwrap(), r.long().unwrap(), r.int().unwrap());
            replies.push(Reply { xid, zxid, err, body: r.rest().to_vec() });
            rest = &rest[frame.size..];
        }
        assert!(rest.is_empty(), "whole replies only");
        replies
    }

    /// The replies by xid and error.
    fn codes(&mut self) -> Vec<(i32, i32)> {
        self.replies().iter().map(|reply| (reply.xid, reply.err)).collect()
    }

    fn garbage(&self) -> bool {
        matches!(self.core.ending(), Some(Ending::Garbage(_)))
    }
}

/// What a pass hands to the server, in words.
fn words(pass: &Pass) -> Vec<String> {
    let submissions = pass.submissions.iter();
    submissions
        .map(|submission| match submission {
            Submission::Connect(attempt) => {
                format!("connect {} {}", attempt.session, attempt.timeout_ms)
            }
            Submission::Request(request) => format!("{} {:?}", request.xid, request.op),
            Submission::Dropped(_) => unreachable!("a connection drops nothing"),
        })
        .collect()
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_buffer(Some(body));
    bytes
}

fn connect(session: i64, timeout_ms: i32, password: &[u8]) -> Vec<u8> {
    connect_after(0, session, timeout_ms, password)
}

fn connect_after(last_zxid: i64, session: i64, timeout_ms: i32, password: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_int(0);
    body.put_long(last_zxid);
    body.put_int(timeout_ms);
    body.put_long(session);
    body.put_buffer(Some(password));
    body.put_bool(false);
    frame(&body)
}

fn request(xid: i32, op: OpCode, body: &[u8]) -> Vec<u8> {
    request_of(xid, op.to_int(), body)
}

fn request_of(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record.put_int(xid);
    record.put_int(op);
    record.extend_from_slice(body);
    frame(&record)
}

fn create(xid: i32, path: &str) -> Vec<u8> {
    request(xid, OpCode::Create, &crate::processor::testing::create(path, 0))
}

fn read(xid: i32, op: OpCode, path: &str, watch: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.put_bool(watch);
    request(xid, op, &body)
}

fn exists(xid: i32, path: &str) -> Vec<u8> {
    read(xid, OpCode::Exists, path, false)
}

fn ping() -> Vec<u8> {
    request(-2, OpCode::Ping, b"")
}

fn auth(user: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_int(0);
    body.put_ustring(b"digest");
    body.put_buffer(Some(user));
    request(-4, OpCode::Auth, &body)
}
