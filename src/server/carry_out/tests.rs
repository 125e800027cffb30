//! A member's clients' lane, with connections that are cores without sockets.

mod endings;
mod serving;
mod tree;

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::auth::Identities;
use crate::jute::{Reader, Writer, next_frame};
use crate::processor::connection::{ConnectionCore, ConnectionOptions, Pass, Surroundings};
use crate::processor::connection_queue::ConnectionQueue;
use crate::processor::proposal::{NewSession, Proposal};
use crate::processor::request::{Origin, Submission};
use crate::processor::testing::{create, open, policy, tree_options};
use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader};
use crate::proto::{LinkId, OpCode, QuorumVerifier};
use crate::session::SessionTouch;
use crate::tree::{Database, SnapshotCapture};

const NOW: Instant = Instant { mono_ms: 5_000, wall_ms: 7_000 };
const MAX_FRAME: usize = 1 << 20;

/// A connection without a socket: what is flushed is in the core's output.
struct Client {
    id: ConnectionId,
    queue: Arc<ConnectionQueue>,
    core: Mutex<ConnectionCore>,
    touched: AtomicBool,
}

impl Connection for Client {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn queue(&self) -> &ConnectionQueue {
        &self.queue
    }

    fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::Relaxed)
    }

    fn flush(&self) {
        self.touched.store(false, Ordering::Relaxed);
        self.core.lock().drain();
    }

    fn leave_to_task(&self) {
        unreachable!("there are not so many");
    }
}

impl Client {
    /// Why it ends, in a word.
    fn ending(&self) -> String {
        self.core.lock().ending().map_or(String::new(), |ending| format!("{ending:?}"))
    }

    /// The xids of what it was sent; a connect response has none and counts as 0.
    fn xids(&self) -> Vec<i32> {
        let mut core = self.core.lock();
        let bytes = core.output().to_vec();
        core.wrote(bytes.len());
        let mut rest = &bytes[..];
        let mut xids = Vec::new();
        while let Some(frame) = next_frame(rest, usize::MAX).expect("a reply") {
            xids.push(Reader::unlimited(frame.body).int().unwrap());
            rest = &rest[frame.size..];
        }
        xids
    }
}

/// What goes through the doors, in words; and what can be taken on from there.
#[derive(Default)]
struct Doors {
    log: Vec<String>,
    captures: Vec<SnapshotCapture>,
}

impl JobsDoor for Doors {
    fn send_snapshot(&mut self, link: LinkId, capture: SnapshotCapture) {
        self.log.push(format!("send {} over {}", capture.zxid(), link.0));
        self.captures.push(capture);
    }

    fn reload(&mut self, old: Database) {
        self.log.push(format!("reload what ended with {}", old.last_processed()));
    }

    fn activate_config(&mut self, config: &Arc<QuorumVerifier>) {
        self.log.push(format!("activate 0x{:x}", config.version));
    }
}

/// A member's shell around its clients.
struct House {
    around: Surroundings,
    connections: Arc<Connections<Client>>,
    metrics: Arc<Metrics>,
    clients: CarryOut<Client>,
    doors: Doors,
    last: Zxid,
}

impl House {
    fn new() -> Self {
        let database = Arc::new(SharedDatabase::new(Database::new(tree_options())));
        let (watches, metrics) = (Arc::new(Watches::new(7)), Arc::new(Metrics::new(7)));
        let connections = Arc::new(Connections::new(7));
        let clients = CarryOut::new(
            database.clone(),
            watches.clone(),
            policy(),
            MAX_FRAME,
            connections.clone(),
            metrics.clone(),
            7,
        );
        let options = ConnectionOptions {
            max_frame_bytes: MAX_FRAME,
            max_field_bytes: MAX_FRAME,
            min_session_timeout_ms: 4_000,
            max_session_timeout_ms: 40_000,
            words: &[],
            throttle: None,
            large_requests: None,
            word_with_number: None,
        };
        let around = Surroundings { database, watches, policy: policy(), options };
        House {
            around,
            connections,
            metrics,
            clients,
            doors: Doors::default(),
            last: Zxid(0x1_0000_0000),
        }
    }

    fn serving() -> Self {
        let mut house = House::new();
        house.carry_out([ClientEffect::StartServing]);
        house
    }

    fn carry_out<const N: usize>(&mut self, effects: [ClientEffect; N]) -> Option<Zxid> {
        self.clients.carry_out(&mut effects.into(), NOW, &mut self.doors)
    }

    fn accept(&self) -> Arc<Client> {
        self.connections.open(|id| {
            let identities = Arc::new(Identities::of_peer([127, 0, 0, 1].into()));
            let queue = Arc::new(ConnectionQueue::new(id, identities.clone()));
            let core = Mutex::new(ConnectionCore::new(queue.clone(), identities));
            Client { id, queue, core, touched: AtomicBool::new(false) }
        })
    }

    /// A client sends something; its submissions are counted as the net counts them.
    fn send(&self, client: &Client, bytes: &[u8]) -> Pass {
        let pass = client.core.lock().receive(NOW.mono_ms, bytes, &self.around);
        self.metrics.outstanding_requests.add(pass.submissions.len() as i64);
        pass
    }

    /// A client with a session that has read the answer. Its session's number is its own.
    fn client(&mut self) -> Arc<Client> {
        let client = self.accept();
        let pass = self.send(&client, &connect());
        assert_eq!(pass.submissions.len(), 1);
        self.taken(pass);
        let session = SessionId(client.id.0 as i64);
        let touch = Arc::new(SessionTouch::new(0, 10_000));
        let txn =
            self.txn(session, OpCode::CreateSession, &Txn::CreateSession { timeout_ms: 10_000 });
        let new_session = Some(NewSession { timeout_ms: 10_000, had_read_only: false, touch });
        let origin = Some(origin(&client, 0, OpCode::CreateSession));
        let proposal = Proposal { zxid: self.last, txn, session, origin, new_session };
        self.carry_out([ClientEffect::Commit(proposal)]);
        assert_eq!(client.xids(), [0]);
        client
    }

    /// The core takes what was submitted.
    fn taken(&mut self, pass: Pass) -> Vec<Submission> {
        let mut inputs = [Input::Submitted(pass.submissions)];
        self.clients.drop_stale(&mut inputs);
        let [Input::Submitted(submissions)] = inputs else { unreachable!("as it was made") };
        self.clients.taken(submissions.len() as u64);
        submissions
    }

    /// The next transaction.
    fn txn(&mut self, session: SessionId, op: OpCode, txn: &Txn<'_>) -> Bytes {
        self.last = self.last.next();
        let (zxid, txn_type) = (self.last, op.to_int());
        let header = TxnHeader { client_id: session, cxid: 1, zxid, time: 9, txn_type };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        txn.write(&mut bytes);
        bytes.into()
    }

    /// The next transaction creates `path`.
    fn create(&mut self, path: &str) -> Bytes {
        let acl = open();
        let txn = Txn::Create(CreateTxn {
            path: path.as_bytes(),
            data: Some(b"data"),
            acl: &acl,
            parent_cversion: 1,
            kind: CreateKind::Plain { ephemeral: false, with_stat: false },
        });
        self.txn(SessionId::NONE, OpCode::Create, &txn)
    }

    /// The same, committed, and answered to `to` if somebody asked.
    fn commit(&mut self, path: &str, to: Option<(&Client, i32)>) -> ClientEffect {
        let txn = self.create(path);
        let origin = to.map(|(client, xid)| origin(client, xid, OpCode::Create));
        let (zxid, session) = (self.last, SessionId::NONE);
        ClientEffect::Commit(Proposal { zxid, txn, session, origin, new_session: None })
    }

    /// The same, logged and not known to be committed.
    fn catch_up(&mut self, path: &str) -> ClientEffect {
        let txn = self.create(path);
        ClientEffect::CatchUp { zxid: self.last, txn }
    }

    fn has(&self, path: &str) -> bool {
        self.around.database.read().tree.node(path.as_bytes()).is_some()
    }

    fn outstanding(&self) -> i64 {
        self.metrics.outstanding_requests.get() as i64
    }
}

fn origin(client: &Client, xid: i32, op: OpCode) -> Origin {
    Origin { connection: client.id, xid, op, received_ms: NOW.mono_ms }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_buffer(Some(body));
    bytes
}

fn connect() -> Vec<u8> {
    let mut body = Vec::new();
    body.put_int(0);
    body.put_long(0);
    body.put_int(10_000);
    body.put_long(0);
    body.put_buffer(Some(b""));
    body.put_bool(false);
    frame(&body)
}

fn request(xid: i32, op: OpCode, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record.put_int(xid);
    record.put_int(op.to_int());
    record.extend_from_slice(body);
    frame(&record)
}

fn write(xid: i32, path: &str) -> Vec<u8> {
    request(xid, OpCode::Create, &create(path, 0))
}

fn exists(xid: i32, path: &str, watch: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_ustring(path.as_bytes());
    body.put_bool(watch);
    request(xid, OpCode::Exists, &body)
}
