//! Carrying the clients' lane out: apply, watch events, replies, in the order emitted.
//!
//! Under one hold of the database a batch of transactions is applied; each leaves its events and
//! then its reply in the queues of the connections concerned. Then the database is let go and
//! the connections touched are flushed.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::RwLockReadGuard;

use super::counts::Counts;
use crate::auth::AuthPolicy;
use crate::jute::{Reader, Writer};
use crate::metrics::Metrics;
use crate::net::client_connection::ClientConnection;
use crate::net::connections::{ConnectionMap, Connections};
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::final_request::write_reply;
use crate::processor::proposal::{Proposal, Resumption};
use crate::processor::read::Reading;
use crate::processor::request::Origin;
use crate::proto::responses::{ConnectResponse, ReplyFrame, ReplyHeader, write_header_only};
use crate::proto::txns::{Txn, TxnRecord};
use crate::proto::watch_event::write_event;
use crate::proto::{
    AclList, ConnectionId, ErrorCode, EventType, OpCode, SessionId, Zxid, password,
};
use crate::quorum::effect::ClientEffect;
use crate::status::Answered;
use crate::time::Instant;
use crate::tree::{Applied, Database, Observer, SharedDatabase};
use crate::watch::{Deliver, Watches};

/// After so many effects the connections concerned are flushed.
const MOST_PER_FLUSH: usize = 256;
/// The driver itself sends the events of so many connections in a row.
const MOST_FLUSHED: usize = 1024;
/// One hold of the database does at most so much work before readers get their turn, and the rest
/// of a transaction: effects, changed nodes and events count one each.
const WORK_PER_HOLD: usize = 2000;

/// The clients' side of the driver.
pub struct CarryOut {
    database: Arc<SharedDatabase>,
    watches: Arc<Watches>,
    policy: AuthPolicy,
    max_field_bytes: usize,
    events_have_zxid: bool,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
    /// Which connection holds a session.
    holders: HashMap<SessionId, ConnectionId, FixedState>,
    touched: Touched,
}

/// The connections that have something to send.
#[derive(Default)]
struct Touched {
    /// Those that were answered.
    answered: Vec<Arc<ClientConnection>>,
    /// Those that only have events, or must close.
    others: Vec<Arc<ClientConnection>>,
}

impl Touched {
    /// Sends what is queued: answers first, then events. Of ten thousand that watch one node most
    /// are left to their own tasks, for the driver has other clients, too.
    fn flush(&mut self) {
        for connection in self.answered.drain(..) {
            connection.flush();
        }
        for (n, connection) in self.others.drain(..).enumerate() {
            if n < MOST_FLUSHED {
                connection.flush();
            } else {
                connection.leave_to_task();
            }
        }
    }
}

impl CarryOut {
    /// Over an empty set of connections.
    pub fn new(
        database: Arc<SharedDatabase>,
        watches: Arc<Watches>,
        policy: AuthPolicy,
        max_field_bytes: usize,
        connections: Arc<Connections>,
        metrics: Arc<Metrics>,
        hash_seed: u64,
    ) -> Self {
        CarryOut {
            database,
            watches,
            policy,
            max_field_bytes,
            events_have_zxid: true,
            connections,
            metrics,
            holders: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            touched: Touched::default(),
        }
    }

    /// Has events carry the zxid of the change they tell, or -1.
    pub fn with_zxid_in_events(self, events_have_zxid: bool) -> Self {
        CarryOut { events_have_zxid, ..self }
    }

    /// Carries everything out and empties the lane. Returns the last transaction applied, if any
    /// was.
    pub fn carry_out(&mut self, lane: &mut Vec<ClientEffect>, now: Instant) -> Option<Zxid> {
        let mut applied = None;
        let mut effects = lane.drain(..).peekable();
        while effects.peek().is_some() {
            let mut left = MOST_PER_FLUSH;
            while left > 0 && effects.peek().is_some() {
                let database = self.database.clone();
                let mut db = database.write();
                let connections = self.connections.clone();
                let mut hold = Hold {
                    watches: &self.watches,
                    policy: &self.policy,
                    max_field_bytes: self.max_field_bytes,
                    events_have_zxid: self.events_have_zxid,
                    connections: connections.read(),
                    holders: &mut self.holders,
                    touched: &mut self.touched,
                    now_ms: now.mono_ms,
                    work: 0,
                    counts: Counts::new(&self.metrics, now),
                };
                while left > 0
                    && hold.work < WORK_PER_HOLD
                    && let Some(effect) = effects.next()
                {
                    if let ClientEffect::Commit(proposal) = &effect {
                        applied = Some(proposal.zxid);
                    }
                    hold.carry_out(effect, &mut db);
                    hold.work += 1;
                    left -= 1;
                }
                drop(hold);
                if left > 0 && effects.peek().is_some() {
                    SharedDatabase::release(db);
                }
            }
            self.touched.flush();
        }
        applied
    }
}

/// What is at hand while the database is held.
struct Hold<'a> {
    watches: &'a Watches,
    policy: &'a AuthPolicy,
    max_field_bytes: usize,
    events_have_zxid: bool,
    connections: RwLockReadGuard<'a, ConnectionMap>,
    holders: &'a mut HashMap<SessionId, ConnectionId, FixedState>,
    touched: &'a mut Touched,
    now_ms: u64,
    /// What was done in this hold.
    work: usize,
    counts: Counts<'a>,
}

impl Hold<'_> {
    fn carry_out(&mut self, effect: ClientEffect, db: &mut Database) {
        match effect {
            ClientEffect::Commit(proposal) => self.commit(&proposal, db),
            ClientEffect::AnswerSync(origin, body) => self.answer_sync(&origin, &body, db),
            ClientEffect::AnswerThrottled(origin) => {
                self.answer_error(&origin, ErrorCode::ThrottledOp, db);
            }
            ClientEffect::AnswerError(origin, error) => self.answer_error(&origin, error, db),
            ClientEffect::EndLocalSession(session, origin) => {
                self.local_session_ended(session, origin, db);
            }
            ClientEffect::Resume(resumption) => {
                let Resumption { connection, timeout_ms, had_read_only, grant } = resumption;
                self.take_over(grant.session, connection);
                self.grant(connection, timeout_ms, had_read_only, grant, None);
                self.counts.finished();
            }
            ClientEffect::Refuse { connection, session, had_read_only } => {
                self.counts.finished();
                tracing::info!(%session, "session refused: it is not known here");
                let response = ConnectResponse::refused(had_read_only.then_some(false));
                self.counts.granted();
                self.reply(connection, None, |out| response.write(out));
                self.close(connection, CloseReason::SessionRefused);
            }
            ClientEffect::Drop(connection, reason) => {
                self.counts.finished();
                self.close(connection, reason);
            }
            ClientEffect::QuotaExceeded(namespace) => {
                self.counts.quota_exceeded(&namespace);
            }
            ClientEffect::SessionsListed { page, to } => {
                // Whoever asked may have given up.
                let _ = to.send(page);
            }
            ClientEffect::CatchUp { .. }
            | ClientEffect::StartServing
            | ClientEffect::StopServing
            | ClientEffect::SendSnapshot { .. }
            | ClientEffect::Reload
            | ClientEffect::ActivateConfig(_) => {
                unreachable!("a server that is alone asks for none")
            }
        }
    }

    fn commit(&mut self, proposal: &Proposal, db: &mut Database) {
        let record =
            TxnRecord::read(&proposal.txn, usize::MAX).expect("what prep has written can be read");
        let mut delivery = Delivery { hold: self, frame: Vec::new() };
        let applied = db.apply(&record, &mut delivery);
        self.counts.committed(&record.header, &record.txn);
        if let Some(origin) = &proposal.origin {
            self.counts.finished();
            let latency_ms = self.counts.update_latency_ms(origin);
            // A write that failed has no operation to its name, as in Apache ZooKeeper.
            let op = (!matches!(applied, Applied::Error(_))).then_some(origin.op);
            let answered = self.answered(origin, op, proposal.zxid, latency_ms);
            match &proposal.new_session {
                None => {
                    let size = self.reply(origin.connection, Some(&answered), |out| {
                        write_reply(origin, &record, &applied, out)
                    });
                    self.counts.replied(size);
                }
                Some(new) => {
                    let session = proposal.session;
                    self.holders.insert(session, origin.connection);
                    let grant = Grant { session, touch: new.touch.clone() };
                    let (timeout_ms, had_read_only) = (new.timeout_ms, new.had_read_only);
                    let answered = Some(&answered);
                    self.grant(origin.connection, timeout_ms, had_read_only, grant, answered);
                }
            }
        }
        if let Txn::CloseSession { .. } = record.txn {
            self.session_closed(proposal);
        } else if let Some(origin) = &proposal.origin {
            self.answer_deferred(origin.connection, db);
        }
    }

    /// Answers the reads that waited for what this connection was just answered: they see it, and
    /// nothing behind it (C-145).
    fn answer_deferred(&mut self, connection: ConnectionId, db: &Database) {
        let Some(connection) = self.connections.get(&connection) else { return };
        let mut frame = Vec::new();
        while let Some(read) = connection.queue().next_deferred() {
            let reading = Reading {
                db,
                watches: self.watches,
                policy: self.policy,
                connection: connection.id(),
                session: read.session,
                identities: &read.identities,
                max_field_bytes: self.max_field_bytes,
                long_lists: true,
            };
            frame.clear();
            if reading.answer(read.xid, read.op, &read.body, &mut frame).is_err() {
                // It was small when it was deferred, and has grown beyond all bounds since.
                connection.queue().close(CloseReason::ReplyTooLarge);
                touch(&mut self.touched.others, connection);
                return;
            }
            let latency_ms = self.counts.read_latency_ms(read.received_ms);
            let answered = Answered {
                op: Some(read.op),
                cxid: read.xid,
                zxid: db.last_processed(),
                count: 1,
                at_ms: self.now_ms,
                latency_ms,
            };
            connection.queue().answer_deferred(&answered, &frame);
            self.counts.replied(frame.len());
            self.counts.read(read.op, &read.body, &frame);
        }
    }

    /// Whoever holds a session that has ended loses its connection (C-015, C-017).
    fn session_closed(&mut self, proposal: &Proposal) {
        let reason = match proposal.origin {
            Some(origin) => {
                self.close(origin.connection, CloseReason::SessionClosed);
                CloseReason::SessionClosed
            }
            None => {
                self.counts.expired();
                CloseReason::SessionExpired
            }
        };
        if let Some(holder) = self.holders.remove(&proposal.session) {
            self.close(holder, reason);
        }
    }

    fn answer_sync(&mut self, origin: &Origin, body: &[u8], db: &Database) {
        self.counts.finished();
        let latency_ms = self.counts.read_latency_ms(origin.received_ms);
        let answered = self.answered(origin, Some(origin.op), db.last_processed(), latency_ms);
        let path = Reader::unlimited(body).ustring().unwrap_or_default();
        let header = ReplyHeader { xid: origin.xid, zxid: db.last_processed(), err: 0 };
        let size = self.reply(origin.connection, Some(&answered), |out| {
            let frame = ReplyFrame::open(header, out);
            out.put_buffer(path);
            frame.finish(out);
        });
        self.counts.replied(size);
        self.answer_deferred(origin.connection, db);
    }

    /// The request was not executed; what waits behind it is answered as if it had not come
    /// (C-162).
    fn answer_error(&mut self, origin: &Origin, error: ErrorCode, db: &Database) {
        self.answer_header(origin, error.code(), db);
        self.answer_deferred(origin.connection, db);
    }

    /// Answers a request that had no transaction with a header alone.
    fn answer_header(&mut self, origin: &Origin, err: i32, db: &Database) {
        self.counts.finished();
        let latency_ms = self.now_ms.saturating_sub(origin.received_ms);
        let answered = self.answered(origin, None, db.last_processed(), latency_ms);
        let header = ReplyHeader { xid: origin.xid, zxid: db.last_processed(), err };
        let size =
            self.reply(origin.connection, Some(&answered), |out| write_header_only(header, out));
        self.counts.replied(size);
    }

    /// Ends a session without a transaction, as [`session_closed`](Self::session_closed) does with.
    fn local_session_ended(&mut self, session: SessionId, origin: Option<Origin>, db: &Database) {
        let reason = match origin {
            Some(origin) => {
                self.answer_header(&origin, 0, db);
                self.close(origin.connection, CloseReason::SessionClosed);
                CloseReason::SessionClosed
            }
            None => {
                self.counts.expired();
                CloseReason::SessionExpired
            }
        };
        if let Some(holder) = self.holders.remove(&session) {
            self.close(holder, reason);
        }
    }

    fn grant(
        &mut self,
        connection: ConnectionId,
        timeout_ms: i32,
        had_read_only: bool,
        grant: Grant,
        answered: Option<&Answered>,
    ) {
        let Some(connection) = self.connections.get(&connection) else { return };
        let response = ConnectResponse {
            timeout_ms,
            session_id: grant.session,
            password: password::generate(grant.session),
            read_only: had_read_only.then_some(false),
        };
        self.counts.granted();
        connection.queue().grant(grant, answered, |out| response.write(out));
        touch(&mut self.touched.answered, connection);
    }

    /// The session's former connection closes (C-020).
    fn take_over(&mut self, session: SessionId, connection: ConnectionId) {
        if let Some(former) = self.holders.insert(session, connection)
            && former != connection
        {
            self.close(former, CloseReason::SessionTakenOver);
        }
    }

    /// A submission that is answered now.
    fn answered(
        &self,
        origin: &Origin,
        op: Option<OpCode>,
        zxid: Zxid,
        latency_ms: u64,
    ) -> Answered {
        Answered { op, cxid: origin.xid, zxid, count: 1, at_ms: self.now_ms, latency_ms }
    }

    /// Returns the reply's size in bytes, 0 if there is no connection any more.
    fn reply(
        &mut self,
        connection: ConnectionId,
        answered: Option<&Answered>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let Some(connection) = self.connections.get(&connection) else { return 0 };
        let size = connection.queue().reply(answered, write);
        touch(&mut self.touched.answered, connection);
        size
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get(&connection) else { return };
        connection.queue().close(reason);
        touch(&mut self.touched.others, connection);
    }
}

fn touch(touched: &mut Vec<Arc<ClientConnection>>, connection: &Arc<ClientConnection>) {
    if connection.touch() {
        touched.push(connection.clone());
    }
}

/// Brings the changes of one transaction to the watches, and the events to the queues.
struct Delivery<'h, 'a> {
    hold: &'h mut Hold<'a>,
    /// The event at hand, encoded once for all who watch.
    frame: Vec<u8>,
}

impl Observer for Delivery<'_, '_> {
    fn changed(&mut self, event: EventType, path: &[u8], acl: &AclList, zxid: Zxid) {
        self.frame.clear();
        self.hold.work += 1;
        let watches = self.hold.watches;
        let clients = watches.trigger(event, path, acl, zxid, self);
        self.hold.counts.triggered(event, clients);
    }
}

impl Deliver for Delivery<'_, '_> {
    fn deliver(
        &mut self,
        to: ConnectionId,
        event: EventType,
        path: &[u8],
        zxid: Zxid,
        acl: &AclList,
    ) {
        if self.frame.is_empty() {
            let zxid = if self.hold.events_have_zxid { zxid } else { Zxid::from_long(-1) };
            write_event(event, path, zxid, &mut self.frame);
        }
        self.hold.work += 1;
        let Some(connection) = self.hold.connections.get(&to) else { return };
        if connection.queue().event(&self.frame, acl, self.hold.policy) {
            self.hold.counts.notified(self.frame.len());
            touch(&mut self.hold.touched.others, connection);
        }
    }
}
