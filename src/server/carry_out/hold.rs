//! One hold of the database: what each effect does to it, and to the connections' queues.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::delivery::Delivery;
use super::touched::Touched;
use crate::auth::AuthPolicy;
use crate::jute::{Reader, Writer};
use crate::processor::connection_queue::{CloseReason, Grant};
use crate::processor::connections::{Connection, HeldConnections};
use crate::processor::final_request::write_reply;
use crate::processor::proposal::{Proposal, Resumption};
use crate::processor::read::Reading;
use crate::processor::request::Origin;
use crate::proto::responses::{ConnectResponse, ReplyFrame, ReplyHeader, write_header_only};
use crate::proto::txns::{Txn, TxnRecord};
use crate::proto::{ConnectionId, ErrorCode, OpCode, QuorumVerifier, SessionId, Zxid, password};
use crate::quorum::effect::ClientEffect;
use crate::server::counts::Counts;
use crate::server::doors::JobsDoor;
use crate::status::Answered;
use crate::time::Instant;
use crate::tree::{Applied, Database, PartApplied, SnapshotCapture};
use crate::watch::Watches;

/// What is at hand while the database is held.
pub(super) struct Hold<'a, C> {
    pub(super) watches: &'a Watches,
    pub(super) policy: &'a AuthPolicy,
    pub(super) max_field_bytes: usize,
    pub(super) events_have_zxid: bool,
    pub(super) connections: HeldConnections<'a, C>,
    pub(super) holders: &'a mut HashMap<SessionId, ConnectionId, FixedState>,
    pub(super) touched: &'a mut Touched<C>,
    /// Connections with lower ids are not served any more.
    pub(super) served_from: &'a mut ConnectionId,
    /// The configuration in force, of a server that is a member.
    pub(super) config: &'a mut Option<Arc<QuorumVerifier>>,
    pub(super) now: Instant,
    /// What was done in this hold.
    pub(super) work: usize,
    pub(super) counts: Counts<'a>,
}

impl<C: Connection> Hold<'_, C> {
    pub(super) fn carry_out(
        &mut self,
        effect: ClientEffect,
        db: &mut Database,
        jobs: &mut impl JobsDoor,
    ) {
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
            ClientEffect::CatchUp { zxid, txn } => {
                assert!(!db.is_serving(), "what no leader has committed is seen by nobody");
                let (record, _) = self.apply(&txn, db);
                assert_eq!(record.header.zxid, zxid, "a transaction carries its zxid");
            }
            ClientEffect::StartServing => {
                // What was restored may tell of another one, or of none.
                self.tell_config(db);
                db.start_serving();
            }
            ClientEffect::StopServing => self.stop_serving(db),
            ClientEffect::SendSnapshot { link, zxid } => {
                let capture = SnapshotCapture::begin(db);
                assert_eq!(capture.zxid(), zxid, "the tree is sent at its place in the order");
                jobs.send_snapshot(link, capture);
            }
            ClientEffect::Reload => {
                assert!(!db.is_serving(), "a tree that is served is not dropped");
                jobs.reload(db.take());
            }
            ClientEffect::ActivateConfig(config) => {
                jobs.activate_config(&config);
                *self.config = Some(config);
                self.tell_config(db);
            }
        }
    }

    /// The one road of a transaction into the tree, and to the watches.
    fn apply<'t>(&mut self, txn: &'t [u8], db: &mut Database) -> (TxnRecord<'t>, Applied) {
        let record = TxnRecord::read(txn, usize::MAX).expect("what was logged can be read");
        let applied = db.apply(&record, &mut Delivery::new(self));
        self.counts.committed(&record.header, &record.txn);
        (record, applied)
    }

    /// Has `/zookeeper/config` say which configuration is in force. That is no transaction: it
    /// counts in no digest, and the moment of the change is this server's own.
    fn tell_config(&self, db: &mut Database) {
        let Some(config) = &*self.config else { return };
        let version = Zxid::from_long(config.version);
        db.tree.set_config(config.to_text().as_bytes(), version, self.now.wall_ms);
    }

    /// Every connection closes behind what it was answered so far, and is told nothing more.
    fn stop_serving(&mut self, db: &mut Database) {
        db.stop_serving();
        self.holders.clear();
        self.counts.abandoned();
        *self.served_from = self.connections.next_id();
        for connection in self.connections.in_order() {
            connection.queue().sever(CloseReason::NotServing);
            self.touched.other(connection);
        }
    }

    fn commit(&mut self, proposal: &Proposal, db: &mut Database) {
        let (record, applied) = self.apply(&proposal.txn, db);
        if let Some(origin) = &proposal.origin {
            self.counts.finished();
            if has_moved(&applied) {
                // It is not answered, nor is anything behind it: the client is elsewhere.
                self.close(origin.connection, CloseReason::SessionTakenOver);
                return;
            }
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
        let Some(connection) = self.connections.get(connection) else { return };
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
                self.touched.other(connection);
                return;
            }
            let latency_ms = self.counts.read_latency_ms(read.received_ms);
            let answered = Answered {
                op: Some(read.op),
                cxid: read.xid,
                zxid: db.last_processed(),
                count: 1,
                at_ms: self.now.mono_ms,
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
        let latency_ms = self.now.mono_ms.saturating_sub(origin.received_ms);
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
        let Some(connection) = self.connections.get(connection) else { return };
        let response = ConnectResponse {
            timeout_ms,
            session_id: grant.session,
            password: password::generate(grant.session),
            read_only: had_read_only.then_some(false),
        };
        self.counts.granted();
        connection.queue().grant(grant, answered, |out| response.write(out));
        self.touched.answered(connection);
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
        Answered { op, cxid: origin.xid, zxid, count: 1, at_ms: self.now.mono_ms, latency_ms }
    }

    /// Returns the reply's size in bytes, 0 if there is no connection any more.
    fn reply(
        &mut self,
        connection: ConnectionId,
        answered: Option<&Answered>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let Some(connection) = self.connections.get(connection) else { return 0 };
        let size = connection.queue().reply(answered, write);
        self.touched.answered(connection);
        size
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get(connection) else { return };
        connection.queue().close(reason);
        self.touched.other(connection);
    }
}

/// Whether the request failed because its session belongs to another server by now (C-177).
fn has_moved(applied: &Applied) -> bool {
    let moved = ErrorCode::SessionMoved.code();
    match applied {
        Applied::Error(err) => *err == moved,
        Applied::Multi(parts) => {
            parts.iter().any(|part| matches!(part, PartApplied::Error(err) if *err == moved))
        }
        Applied::Done | Applied::Stat(_) => false,
    }
}
