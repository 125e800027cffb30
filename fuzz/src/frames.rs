//! The client frame decoder: a connection fed with anything, and a whole server without I/O
//! behind it.
//!
//! * Nothing panics, whatever a client sends before or after its session is granted.
//! * What must be kept of a client's bytes and of replies is bounded.
//! * Every transaction can be read back within the limit of `jute.maxbuffer`, and all of them
//!   replayed give the tree and the sessions that were served.
//!
//! The first byte chooses: whether the rest is bytes as they come, or requests to be framed
//! first; whether a session is asked for before; how much comes at once.

use std::collections::HashMap;
use std::sync::Arc;

use zkserver::auth::{AuthPolicy, Identities};
use zkserver::processor::connection::{
    ConnectionCore, ConnectionOptions, MAX_OUTPUT_BYTES, Pass, Surroundings,
};
use zkserver::processor::connection_queue::{CloseReason, ConnectionQueue, Grant};
use zkserver::processor::container_manager::ContainerOptions;
use zkserver::processor::final_request::write_reply;
use zkserver::processor::prep::PrepOptions;
use zkserver::processor::proposal::{Proposal, Resumption};
use zkserver::processor::read::Reading;
use zkserver::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use zkserver::proto::responses::{ConnectResponse, ReplyHeader, write_header_only};
use zkserver::proto::txns::{Txn, TxnRecord};
use zkserver::proto::watch_event::write_event;
use zkserver::proto::{
    AclList, ConnectionId, EventType, OpCode, SessionId, Ticket, Zxid, password,
};
use zkserver::quorum::effect::{ClientEffect, DiskEffect, Effects, Input};
use zkserver::quorum::standalone::Standalone;
use zkserver::session::SessionTracker;
use zkserver::status::Answered;
use zkserver::time::Instant;
use zkserver::tree::{Database, Observer, SharedDatabase};
use zkserver::watch::{Deliver, Watches};

use super::txn_log::TREE;

const MAX_FRAME: usize = 1 << 16;
const WORDS: &[[u8; 4]] = &[*b"ruok", *b"stmk"];
/// What a transaction may have: the limit and Java's allowance for headers.
const MAX_TXN: usize = MAX_FRAME + 1024;

/// Feeds `data` to a connection.
pub fn check(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let mut play = Play::new();
    if mode & 2 == 0 {
        play.receive(&connect());
        play.serve();
    }
    let input = if mode & 1 == 0 { rest.to_vec() } else { framed(rest) };
    let chunk = [1 << 16, 1000, 100, 13][usize::from(mode >> 2) % 4];
    for (i, bytes) in input.chunks(chunk).enumerate() {
        if !play.core.wants_input() {
            play.serve();
            play.write(usize::MAX);
        }
        if !play.core.wants_input() {
            break;
        }
        play.receive(bytes);
        if i % 3 != usize::from(mode >> 4) % 3 {
            play.serve();
        }
        play.write(1 + usize::from(mode) * 97);
    }
    play.core.client_is_done();
    play.finish();
}

/// A wish for a session, with everything in it as it should be.
fn connect() -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 45];
    frame.extend_from_slice(&[0; 12]);
    frame.extend_from_slice(&10_000i32.to_be_bytes());
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&16i32.to_be_bytes());
    frame.extend_from_slice(&[0; 17]);
    frame
}

/// The requests in `bytes`: each an operation in a byte, a length in two, and a body.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    const OPS: &[i32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 100, 101, 102,
        103, 104, 105, 106, 107, -10, -11, -1,
    ];
    let mut frames = Vec::new();
    let mut xid = 1i32;
    while let Some(([op, high, low], rest)) = bytes.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (body, rest) = rest.split_at(length);
        bytes = rest;
        frames.extend_from_slice(&(length as i32 + 8).to_be_bytes());
        frames.extend_from_slice(&xid.to_be_bytes());
        frames.extend_from_slice(&OPS[usize::from(*op) % OPS.len()].to_be_bytes());
        frames.extend_from_slice(body);
        xid += 1;
    }
    frames
}

/// A server with one connection, its disk always ready.
struct Play {
    core: ConnectionCore,
    queue: Arc<ConnectionQueue>,
    around: Surroundings,
    role: Standalone,
    log: Vec<Proposal>,
    tickets: Option<Ticket>,
    inputs: Vec<Input>,
    holders: HashMap<SessionId, ConnectionId>,
    now_ms: u64,
}

impl Play {
    fn new() -> Self {
        let policy = AuthPolicy::default();
        let identities = Arc::new(Identities::of_peer([127, 0, 0, 1].into()));
        let queue = Arc::new(ConnectionQueue::new(ConnectionId(1), identities.clone()));
        let options = ConnectionOptions {
            max_frame_bytes: MAX_FRAME,
            max_field_bytes: MAX_FRAME,
            min_session_timeout_ms: 4_000,
            max_session_timeout_ms: 40_000,
            words: WORDS,
            word_with_number: Some(*b"stmk"),
            throttle: None,
            large_requests: None,
        };
        let prep = PrepOptions {
            policy: policy.clone(),
            owners: TREE.owners,
            digest_enabled: true,
            close_session_txn: true,
            multi_has_create2: true,
            reconfig_enabled: false,
            enforce_quota: true,
            max_txn_bytes: MAX_TXN,
            max_field_bytes: MAX_FRAME,
            hash_seed: 7,
        };
        let schedule = SnapshotSchedule { snap_count: 100, snap_size_limit_bytes: None };
        let sync = SyncRequestProcessor::new(schedule, 7, 0, 0);
        let sweeps = ContainerOptions {
            check_interval_ms: 1_000,
            max_per_minute: 10_000,
            max_never_used_ms: 5_000,
        };
        let mut database = Database::new(TREE);
        database.start_serving();
        let sessions = SessionTracker::new(1000, 0, 0);
        let start = Instant { mono_ms: 0, wall_ms: 0 };
        let role = Standalone::new(start, prep, sync, sessions, sweeps, &database);
        let database = Arc::new(SharedDatabase::new(database));
        let around = Surroundings { database, watches: Arc::new(Watches::new(7)), policy, options };
        Play {
            core: ConnectionCore::new(queue.clone(), identities),
            queue,
            around,
            role,
            log: Vec::new(),
            tickets: None,
            inputs: Vec::new(),
            holders: HashMap::new(),
            now_ms: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant { mono_ms: self.now_ms, wall_ms: self.now_ms as i64 }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.now_ms += 100;
        let pass = self.core.receive(self.now_ms, bytes, &self.around);
        self.take(pass);
        if let Some(word) = self.core.take_word() {
            self.core.answer_word(&word.name);
        }
    }

    fn take(&mut self, pass: Pass) {
        if !pass.submissions.is_empty() {
            self.inputs.push(Input::Submitted(pass.submissions));
        }
    }

    /// Writes, at most so many bytes.
    fn write(&mut self, most: usize) {
        // One pass, one deferred answer and one multiRead of small nodes may go over the bound.
        let waiting = self.core.output().len();
        if waiting >= MAX_OUTPUT_BYTES {
            assert!(!self.core.wants_input(), "{waiting} bytes wait and more are asked for");
        }
        self.core.wrote(waiting.min(most));
    }

    /// Steps until nothing is left to be done.
    fn serve(&mut self) {
        for _ in 0..10_000 {
            let mut effects = Effects::default();
            let inputs = std::mem::take(&mut self.inputs);
            let due = self.role.next_deadline().is_some_and(|at| at <= self.now_ms);
            if inputs.is_empty() && !due && self.tickets.is_none() {
                let pass = self.core.resume(self.now_ms, &self.around);
                let took = pass.taken > 0;
                self.take(pass);
                if took || !self.inputs.is_empty() {
                    continue;
                }
                return;
            }
            let now = self.now();
            let tick = due.then_some(Input::Tick);
            let persisted = self.tickets.take().map(Input::Persisted);
            for input in persisted.into_iter().chain(inputs).chain(tick) {
                let db = self.around.database.read();
                self.role.step(now, input, &db, &mut effects);
            }
            self.carry_out(effects);
        }
        panic!("the server never comes to rest");
    }

    fn carry_out(&mut self, effects: Effects) {
        for effect in effects.disk {
            if let DiskEffect::Append { ticket, txn, .. } = effect {
                let record = TxnRecord::read(&txn, MAX_TXN);
                assert!(
                    txn.len() <= MAX_TXN && record.is_ok(),
                    "a record that cannot be read back"
                );
                self.tickets = Some(ticket);
            }
        }
        for effect in effects.client {
            match effect {
                ClientEffect::Commit(proposal) => self.commit(proposal),
                ClientEffect::AnswerSync(origin, _) => {
                    let zxid = self.around.database.read().last_processed();
                    let header = ReplyHeader { xid: origin.xid, zxid, err: 0 };
                    self.queue.reply(None, |out| write_header_only(header, out));
                    self.answer_deferred();
                }
                ClientEffect::Resume(Resumption { timeout_ms, had_read_only, grant, .. }) => {
                    self.grant(timeout_ms, had_read_only, grant);
                }
                ClientEffect::Refuse { had_read_only, .. } => {
                    let response = ConnectResponse::refused(had_read_only.then_some(false));
                    self.queue.reply(None, |out| response.write(out));
                    self.queue.close(CloseReason::SessionRefused);
                }
                ClientEffect::Drop(_, reason) => self.queue.close(reason),
                _ => unreachable!("nobody asked for it"),
            }
        }
    }

    fn commit(&mut self, proposal: Proposal) {
        let record = TxnRecord::read(&proposal.txn, MAX_TXN).expect("read before");
        let applied = {
            let around = &self.around;
            let mut events = Events { around, queue: &self.queue };
            around.database.write().apply(&record, &mut events)
        };
        if let Some(origin) = &proposal.origin {
            match &proposal.new_session {
                None => {
                    self.queue.reply(None, |out| write_reply(origin, &record, &applied, out));
                }
                Some(new) => {
                    self.holders.insert(proposal.session, origin.connection);
                    let grant = Grant { session: proposal.session, touch: new.touch.clone() };
                    self.grant(new.timeout_ms, new.had_read_only, grant);
                }
            }
            self.answer_deferred();
        }
        if let Txn::CloseSession { .. } = record.txn
            && self.holders.remove(&proposal.session).is_some()
        {
            self.queue.close(CloseReason::SessionClosed);
        }
        self.inputs.push(Input::Applied(proposal.zxid));
        self.log.push(proposal);
    }

    fn grant(&mut self, timeout_ms: i32, had_read_only: bool, grant: Grant) {
        let response = ConnectResponse {
            timeout_ms,
            session_id: grant.session,
            password: password::generate(grant.session),
            read_only: had_read_only.then_some(false),
        };
        self.queue.grant(grant, None, |out| response.write(out));
    }

    fn answer_deferred(&self) {
        let db = self.around.database.read();
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
            if reading.answer(read.xid, read.op, &read.body, &mut frame).is_err() {
                self.queue.close(CloseReason::ReplyTooLarge);
                return;
            }
            let zxid = db.last_processed();
            let (op, cxid): (Option<OpCode>, _) = (Some(read.op), read.xid);
            let answered = Answered { op, cxid, zxid, count: 1, at_ms: 0, latency_ms: 0 };
            self.queue.answer_deferred(&answered, &frame);
        }
    }

    /// Everything is done; what was logged is replayed.
    fn finish(&mut self) {
        for _ in 0..3 {
            self.serve();
            self.write(usize::MAX);
        }
        let mut replayed = Database::new(TREE);
        for (proposal, zxid) in self.log.iter().zip(1..) {
            assert_eq!(proposal.zxid, Zxid(zxid), "no zxid is left out");
            let record = TxnRecord::read(&proposal.txn, MAX_TXN).expect("read before");
            replayed.apply(&record, &mut ());
        }
        let served = self.around.database.read();
        assert_eq!(replayed.digest_mismatches(), 0, "digests in the log are the tree's");
        assert_eq!(replayed.tree.digest(), served.tree.digest());
        let sessions = |db: &Database| {
            let mut sessions: Vec<_> = db.sessions().collect();
            sessions.sort_by_key(|(id, _)| id.0);
            sessions
        };
        assert_eq!(sessions(&replayed), sessions(&served));
    }
}

struct Events<'a> {
    around: &'a Surroundings,
    queue: &'a ConnectionQueue,
}

impl Observer for Events<'_> {
    fn changed(&mut self, event: EventType, path: &[u8], acl: &AclList, zxid: Zxid) {
        self.around.watches.trigger(event, path, acl, zxid, self);
    }
}

impl Deliver for Events<'_> {
    fn deliver(
        &mut self,
        _: ConnectionId,
        event: EventType,
        path: &[u8],
        zxid: Zxid,
        acl: &AclList,
    ) {
        let mut frame = Vec::new();
        write_event(event, path, zxid, &mut frame);
        self.queue.event(&frame, acl, &self.around.policy);
    }
}
