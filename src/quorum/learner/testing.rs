//! What the plays of a learner share: server 2 of three, or observer 4, that follows server 1 into
//! epoch 5.

use std::sync::Arc;

use bytes::Bytes;

use super::{Learner, words};
use crate::auth::Identities;
use crate::processor::request::{ConnectAttempt, Origin, Request, Submission};
use crate::processor::testing::{in_words, open, tree_options};
use crate::proto::membership::LearnerType;
use crate::proto::txns::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord, write_path_vector};
use crate::proto::{
    ConnectionId, Epoch, LinkId, OpCode, QuorumPacket, SessionId, Sid, Ticket, Vote, Zxid,
};
use crate::quorum::effect::{ClientEffect, DiskEffect, Effects, Input, LinkEffect, Restored};
use crate::quorum::member::{Member, Outcome, Turn};
use crate::quorum::testing::{self, ensemble};
use crate::time::Instant;
use crate::tree::Database;

pub(super) const NOTHING: [&str; 0] = [];

/// The transaction `counter` of an epoch.
pub(super) fn zxid(epoch: u32, counter: u64) -> Zxid {
    Zxid(Epoch(epoch).start().0 + counter)
}

/// A learner, the database it works on, and the time in milliseconds since the start.
pub(super) struct Play {
    pub(super) db: Database,
    pub(super) member: Member,
    /// `None` once it has left.
    pub(super) learner: Option<Learner>,
    pub(super) unapplied: Vec<Zxid>,
    pub(super) now_ms: u64,
    /// The last ticket that was asked for.
    pub(super) asked: Ticket,
}

impl Play {
    /// Server 2, whose history ends with two transactions of epoch 4.
    pub(super) fn follower() -> Self {
        Play::of(2, LearnerType::Participant, |_| {})
    }

    /// Observer 4 with that history.
    pub(super) fn observer() -> Self {
        Play::of(4, LearnerType::Observer, |_| {})
    }

    pub(super) fn of(me: i64, kind: LearnerType, change: impl Fn(&mut Member)) -> Self {
        let mut db = Database::new(tree_options());
        let mut member = member(me);
        for counter in [1, 2] {
            let (zxid, txn) = (zxid(4, counter), error(4, counter));
            db.apply(&TxnRecord::read(&txn, usize::MAX).expect("a transaction"), &mut ());
            member.committed.push(zxid, txn);
            member.last_logged = zxid;
        }
        change(&mut member);
        let mut effects = Effects::default();
        let now = Instant { mono_ms: 0, wall_ms: 0 };
        let mut turn = Turn { now, db: &db, member: &mut member, effects: &mut effects };
        let learner = Some(Learner::new(&mut turn, Sid(1), kind));
        let unapplied = Vec::new();
        Play { db, member, learner, unapplied, now_ms: 0, asked: Ticket::default() }
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Effects::default();
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.now_ms as i64 };
        if let Input::Persisted(ticket) = &input {
            self.member.tickets.persisted(*ticket);
        }
        let (db, member) = (&self.db, &mut self.member);
        let mut turn = Turn { now, db, member, effects: &mut effects };
        let learner = self.learner.as_mut().expect("it has not left");
        let outcome = learner.step(&mut turn, input);
        let mut last_words = None;
        if let Outcome::Leave { why, successor } = outcome {
            last_words = Some(match successor {
                None => format!("leaves: {why}"),
                Some(vote) => format!("leaves for {}: {why}", vote.leader),
            });
            let learner = self.learner.take().expect("it was there a moment ago");
            self.unapplied =
                learner.leave(&mut turn, &why).into_iter().map(|(zxid, _)| zxid).collect();
        }
        let mut lines = Vec::new();
        for effect in &effects.disk {
            lines.push(self.disk_in_words(effect));
        }
        lines.extend(effects.links.iter().map(link_in_words));
        for effect in effects.client {
            lines.push(client_in_words(&effect));
            match effect {
                ClientEffect::Commit(proposal) => {
                    let record = TxnRecord::read(&proposal.txn, usize::MAX).expect("a transaction");
                    self.db.apply(&record, &mut ());
                }
                ClientEffect::SessionsListed { page, to } => to.send(page).expect("asked for"),
                _ => {}
            }
        }
        lines.extend(last_words);
        lines
    }

    /// The leader sends a packet over the first link.
    pub(super) fn hears(&mut self, packet: QuorumPacket) -> Vec<String> {
        self.step(Input::Packet { link: LinkId(0), packet })
    }

    /// The disk reports everything it was asked for.
    pub(super) fn persisted(&mut self) -> Vec<String> {
        self.step(Input::Persisted(self.asked))
    }

    pub(super) fn waits(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        self.step(Input::Tick)
    }

    pub(super) fn reloaded(&mut self, last_zxid: Zxid) -> Vec<String> {
        self.step(Input::Reloaded(Restored { last_zxid, recent: Vec::new() }))
    }

    /// Up to ACKEPOCH.
    pub(super) fn discovers(&mut self) {
        self.step(Input::LinkOpened(LinkId(0)));
        self.hears(leader_info(5));
        let told = self.persisted();
        assert_eq!(told, ["send ACKEPOCH of epoch 4 with 0x400000002"]);
    }

    /// Up to UPTODATE, with nothing to bring up.
    pub(super) fn joins(&mut self) {
        self.discovers();
        assert_eq!(self.hears(QuorumPacket::Diff { zxid: zxid(4, 2) }), NOTHING);
        assert_eq!(self.hears(new_leader(5)), ["disk: currentEpoch 5"]);
        assert_eq!(self.persisted(), ["send ACK 0x500000000"]);
        assert_eq!(self.hears(QuorumPacket::UpToDate), ["send ACK 0x500000000", "serve"]);
    }

    pub(super) fn proposal(&mut self, counter: u64) -> Vec<String> {
        self.hears(proposal(5, counter))
    }

    pub(super) fn commit(&mut self, counter: u64) -> Vec<String> {
        self.hears(commit(5, counter))
    }

    pub(super) fn submits(&mut self, submission: Submission) -> Vec<String> {
        self.step(Input::Submitted(vec![submission]))
    }

    fn disk_in_words(&mut self, effect: &DiskEffect) -> String {
        self.asked = testing::ticket_of(effect).unwrap_or(self.asked);
        match effect {
            DiskEffect::Append { zxid, txn, .. } => {
                format!("disk: append {} as {zxid}", in_words(txn))
            }
            DiskEffect::Truncate { to, .. } => format!("disk: truncate to {to}"),
            DiskEffect::InstallSnapshot { zxid, .. } => {
                format!("disk: install the snapshot {zxid}")
            }
            other => testing::disk_in_words(other),
        }
    }
}

/// A connection asks for a session: 0 for a new one.
pub(super) fn connect(connection: u64, session: i64) -> Submission {
    Submission::Connect(ConnectAttempt {
        connection: ConnectionId(connection),
        session: SessionId(session),
        timeout_ms: 4000,
        had_read_only: false,
        identities: Arc::new(Identities::default()),
        received_ms: 0,
    })
}

/// A session asks, on the connection of the same number.
pub(super) fn ask(session: i64, xid: i32, op: OpCode) -> Request {
    let connection = ConnectionId(session as u64);
    Request {
        session: SessionId(session),
        xid,
        op,
        body: Bytes::new(),
        identities: Arc::new(Identities::default()),
        origin: Some(Origin { connection, xid, op, received_ms: 0 }),
        throttled: false,
    }
}

pub(super) fn leader_info(epoch: u32) -> QuorumPacket {
    QuorumPacket::LeaderInfo { epoch: Epoch(epoch), protocol_version: 0x10000 }
}

pub(super) fn new_leader(epoch: u32) -> QuorumPacket {
    QuorumPacket::NewLeader { zxid: Epoch(epoch).start(), config: None }
}

pub(super) fn proposal(epoch: u32, counter: u64) -> QuorumPacket {
    QuorumPacket::Proposal { zxid: zxid(epoch, counter), txn: error(epoch, counter) }
}

pub(super) fn commit(epoch: u32, counter: u64) -> QuorumPacket {
    QuorumPacket::Commit { zxid: zxid(epoch, counter) }
}

pub(super) fn inform(epoch: u32, counter: u64) -> QuorumPacket {
    QuorumPacket::Inform { zxid: zxid(epoch, counter), txn: error(epoch, counter) }
}

/// A failed request of nobody here.
pub(super) fn error(epoch: u32, counter: u64) -> Bytes {
    txn(zxid(epoch, counter), 99, 1, -1, &Txn::Error { err: -101 })
}

/// A proposal of a mebibyte.
pub(super) fn big_proposal(epoch: u32, counter: u64) -> QuorumPacket {
    let (zxid, data) = (zxid(epoch, counter), vec![0; 1 << 20]);
    let body = Txn::SetData { path: b"/big", data: Some(&data), version: 1 };
    QuorumPacket::Proposal { zxid, txn: txn(zxid, 99, 1, OpCode::SetData.to_int(), &body) }
}

/// A create by request `cxid` of a session.
pub(super) fn create(zxid: Zxid, session: i64, cxid: i32, path: &str) -> Bytes {
    let acl = open();
    let body = Txn::Create(CreateTxn {
        path: path.as_bytes(),
        data: Some(b""),
        acl: &acl,
        parent_cversion: 1,
        kind: CreateKind::Plain { ephemeral: false, with_stat: false },
    });
    txn(zxid, session, cxid, OpCode::Create.to_int(), &body)
}

pub(super) fn txn(zxid: Zxid, session: i64, cxid: i32, txn_type: i32, body: &Txn<'_>) -> Bytes {
    let client_id = SessionId(session);
    let mut out = Vec::new();
    TxnHeader { client_id, cxid, zxid, time: 0, txn_type }.write(&mut out);
    body.write(&mut out);
    out.into()
}

/// The end of a session without ephemerals that nobody here asked for.
pub(super) fn end_of_session(zxid: Zxid, session: i64) -> Bytes {
    let (client_id, txn_type) = (SessionId(session), OpCode::CloseSession.to_int());
    let mut out = Vec::new();
    TxnHeader { client_id, cxid: 0, zxid, time: 0, txn_type }.write(&mut out);
    write_path_vector(std::iter::empty(), &mut out);
    out.into()
}

fn link_in_words(effect: &LinkEffect) -> String {
    match effect {
        LinkEffect::Dial { link, leader } => format!("dial {leader} over link {}", link.0),
        LinkEffect::Send { packet, .. } => format!("send {}", packet_in_words(packet)),
        LinkEffect::Close { link, why } => format!("close link {}: {why}", link.0),
        other => format!("{other:?}"),
    }
}

fn packet_in_words(packet: &QuorumPacket) -> String {
    match packet {
        QuorumPacket::AckEpoch { last_zxid, current_epoch: Some(epoch) } => {
            format!("ACKEPOCH of epoch {epoch} with {last_zxid}")
        }
        QuorumPacket::AckEpoch { last_zxid, current_epoch: None } => {
            format!("ACKEPOCH once more with {last_zxid}")
        }
        QuorumPacket::FollowerInfo(info) | QuorumPacket::ObserverInfo(info) => {
            format!("{} of epoch {}", words::name(packet), info.accepted_epoch)
        }
        QuorumPacket::Ping { zxid, touched } => {
            let touched = touched.as_ref().expect("an answer has a list");
            let touched: Vec<_> =
                touched.iter().map(|(id, timeout_ms)| format!("{id} {timeout_ms}")).collect();
            format!("PING {zxid} [{}]", touched.join(", "))
        }
        QuorumPacket::Request(request) => {
            let op = OpCode::from_int(request.op).expect("known");
            format!("REQUEST {op:?} {} of {}", request.cxid, request.session)
        }
        packet => words::name(packet),
    }
}

fn client_in_words(effect: &ClientEffect) -> String {
    match effect {
        ClientEffect::Commit(proposal) => {
            let origin = proposal.origin.map_or(String::new(), |origin| {
                format!(", answer {} of {}", origin.xid, origin.connection.0)
            });
            let new = proposal.new_session.as_ref();
            let new = new.map_or(String::new(), |new| format!(", for {} ms", new.timeout_ms));
            format!("commit {}{origin}{new}", proposal.zxid)
        }
        ClientEffect::AnswerSync(origin, _) => format!("answer sync of {}", origin.connection.0),
        ClientEffect::AnswerThrottled(origin) => {
            format!("answer throttled {} of {}", origin.xid, origin.connection.0)
        }
        ClientEffect::Resume(resumption) => {
            format!("resume {} on {}", resumption.grant.session, resumption.connection.0)
        }
        ClientEffect::Refuse { connection, session, .. } => {
            format!("refuse {session} on {}", connection.0)
        }
        ClientEffect::StartServing => "serve".to_owned(),
        ClientEffect::SessionsListed { page, .. } => {
            let ids = page.sessions.iter().map(|(_, id)| id.to_string());
            format!("list {}", ids.collect::<Vec<_>>().join(" "))
        }
        ClientEffect::Reload => "reload".to_owned(),
        ClientEffect::AnswerError(origin, error) => {
            format!("answer {} to {} of {}", error.code(), origin.xid, origin.connection.0)
        }
        ClientEffect::EndLocalSession(session, origin) => {
            let origin = origin.map_or(String::new(), |origin| {
                format!(", answer {} of {}", origin.xid, origin.connection.0)
            });
            format!("end {session}{origin}")
        }
        other => testing::client_in_words(other),
    }
}

/// Servers 1 to 3 vote, 4 observes. Ticks of 100 ms; 10 of them to be synchronized, 5 of silence.
fn member(me: i64) -> Member {
    let mut member = testing::member(me, &ensemble(3, 1));
    member.options.tick_ms = 100;
    member.accepted_epoch = Epoch(4);
    member.current_epoch = Epoch(4);
    member.vote = (Vote { leader: Sid(1), zxid: zxid(4, 2).to_long(), peer_epoch: 4 }, 1);
    member
}
