//! Our server on a stage: the production core, a tree, and a disk in memory that reports what it is
//! asked for after each step.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use zkserver::proto::txns::TxnRecord;
use zkserver::proto::{
    LinkId, Notification, QuorumPacket, ServerState, SessionId, Sid, Ticket, Vote, Zxid,
};
use zkserver::quorum::effect::{
    ClientEffect, DiskEffect, Effects, Input, LinkEffect, LogSurvey, Restored,
};
use zkserver::quorum::member::Member;
use zkserver::quorum::peer::QuorumPeer;
use zkserver::session::SessionTouch;
use zkserver::time::Instant;
use zkserver::tree::Database;

use crate::beginning::Beginning;
use crate::recording::MAX_LENGTH;
use crate::tree;

/// A server.
pub struct Server {
    peer: QuorumPeer,
    pub db: Database,
    pub now_ms: u64,
    pub wall_ms: i64,
    asked: Ticket,
    reported: Ticket,
    /// What its threads report next.
    reports: VecDeque<Input>,
    reload: bool,
    /// The stream that came last.
    stream: Bytes,
    /// The snapshot on the disk.
    snapshot: Option<(Zxid, Bytes)>,
    /// What is on the disk behind the snapshot.
    pub log: Vec<(Zxid, Bytes)>,
    /// What was sent, and not yet taken from here.
    pub sent: Vec<(LinkId, QuorumPacket)>,
    /// What was told in elections, likewise.
    pub told: Vec<(Sid, Notification)>,
    /// The last leader that was dialled.
    pub dialled: Option<(LinkId, Sid)>,
    /// Links that it ended, and why.
    pub closed: Vec<(LinkId, String)>,
    /// Transactions that clients may see, in order.
    pub let_go: Vec<Zxid>,
    /// How many clients were answered by a transaction, and by a sync.
    pub answered: usize,
    pub synced: usize,
    /// Sessions that were resumed, and refused.
    pub resumed: Vec<SessionId>,
    pub refused: Vec<SessionId>,
    /// The trees that were sent.
    pub trees: Vec<(Zxid, tree::InShort)>,
    /// The sessions it serves.
    pub touches: Vec<(SessionId, Arc<SessionTouch>)>,
}

impl Server {
    /// A server that looks for a leader.
    pub fn new(beginning: Beginning) -> Self {
        let log = beginning.history.clone();
        let (member, db) = beginning.member();
        let peer = QuorumPeer::member(member);
        let mut server = Server {
            peer,
            db,
            now_ms: 0,
            wall_ms: 0,
            asked: Ticket::default(),
            reported: Ticket::default(),
            reports: VecDeque::new(),
            reload: false,
            stream: Bytes::new(),
            snapshot: None,
            log,
            sent: Vec::new(),
            told: Vec::new(),
            dialled: None,
            closed: Vec::new(),
            let_go: Vec::new(),
            answered: 0,
            synced: 0,
            resumed: Vec::new(),
            refused: Vec::new(),
            trees: Vec::new(),
            touches: Vec::new(),
        };
        server.take(Input::Tick);
        server
    }

    pub fn member(&self) -> &Member {
        self.peer.as_member().expect("a member")
    }

    pub fn state(&self) -> ServerState {
        self.peer.state().expect("a member")
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.peer.next_deadline()
    }

    /// Takes an input, and everything the disk reports behind it.
    pub fn take(&mut self, input: Input) {
        self.step(input);
        loop {
            if self.reported < self.asked {
                self.reported = self.asked;
                self.step(Input::Persisted(self.asked));
            } else if std::mem::take(&mut self.reload) {
                let restored = self.restore();
                self.step(Input::Reloaded(restored));
            } else if let Some(report) = self.reports.pop_front() {
                self.step(report);
            } else {
                return;
            }
        }
    }

    /// Looks for a leader no longer: a quorum says that it follows `leader`.
    pub fn hears_who_leads(&mut self, leader: Sid) {
        let config = self.member().configs.current.clone();
        for from in config.voters() {
            let led = from == leader;
            let state = if led { ServerState::Leading } else { ServerState::Following };
            let vote = Vote { leader, zxid: 0, peer_epoch: 1 };
            let notification = Notification { state, vote, round: 1, version: 2, config: None };
            if from != self.member().me {
                self.take(Input::Notified { from, notification });
            }
        }
        let (_, dialled) = self.dialled.expect("it dials");
        assert_eq!(dialled, leader);
    }

    /// Its election ends: a voter that it never reached may still come until then.
    pub fn settles(&mut self) {
        self.pass_time_until(self.now_ms + self.member().options.finalize_wait_ms);
    }

    /// Time passes until then; the core is woken whenever it wants to be.
    pub fn pass_time_until(&mut self, ms: u64) {
        while let Some(deadline) = self.next_deadline().filter(|deadline| *deadline <= ms) {
            self.now_ms = self.now_ms.max(deadline);
            self.take(Input::Tick);
        }
        self.now_ms = self.now_ms.max(ms);
    }

    /// The session's connection has heard of its client.
    pub fn touch(&mut self, session: SessionId) {
        let now_ms = self.now_ms;
        let of_session = self.touches.iter().filter(|(id, _)| *id == session);
        of_session.for_each(|(_, touch)| touch.touch(now_ms));
    }

    /// The stream behind a SNAP packet has come.
    pub fn snapshot_arrived(&mut self, link: LinkId, stream: Bytes) {
        self.stream = stream;
        self.take(Input::SnapshotArrived(link));
    }

    fn step(&mut self, input: Input) {
        let mut effects = Effects::default();
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.wall_ms };
        self.peer.step(now, input, &self.db, &mut effects);
        for effect in effects.disk {
            self.disk(effect);
        }
        let said_before = self.sent.len();
        for effect in effects.links {
            self.link(effect);
        }
        for effect in effects.client {
            match effect {
                // What was sent over the link in this step goes behind it.
                ClientEffect::SendSnapshot { link, zxid } => {
                    assert_eq!(zxid, self.db.last_processed());
                    self.trees.push((zxid, tree::in_short(&self.db)));
                    self.sent.insert(said_before, (link, QuorumPacket::Snap { zxid }));
                }
                effect => self.client(effect),
            }
        }
    }

    fn disk(&mut self, effect: DiskEffect) {
        self.asked = match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                self.log.push((zxid, txn));
                ticket
            }
            DiskEffect::Truncate { ticket, to } => {
                self.log.retain(|(zxid, _)| *zxid <= to);
                ticket
            }
            DiskEffect::InstallSnapshot { ticket, zxid, .. } => {
                self.snapshot = Some((zxid, self.stream.clone()));
                self.log.clear();
                ticket
            }
            DiskEffect::AcceptedEpoch { ticket, .. }
            | DiskEffect::CurrentEpoch { ticket, .. }
            | DiskEffect::LastSeenConfig { ticket, .. }
            | DiskEffect::ActivateConfig { ticket, .. } => ticket,
            DiskEffect::RollAndSnapshot => return,
        };
    }

    fn link(&mut self, effect: LinkEffect) {
        match effect {
            LinkEffect::Notify { to, notification } => self.told.push((to, notification)),
            LinkEffect::ConnectMesh => {}
            LinkEffect::Dial { link, leader } => self.dialled = Some((link, leader)),
            LinkEffect::Send { link, packet } => self.sent.push((link, packet)),
            LinkEffect::Close { link, why } => self.closed.push((link, why)),
            LinkEffect::SurveyLog { link, peer, .. } => {
                let here = self.log.iter().rposition(|(zxid, _)| *zxid <= peer);
                let survey = here.and_then(|at| {
                    let after = self.log.get(at + 1)?.0;
                    Some(LogSurvey { at_or_before: self.log[at].0, after })
                });
                self.reports.push_back(Input::LogSurveyed { link, survey });
            }
            LinkEffect::SendLog { .. } => panic!("everything is in memory"),
        }
    }

    fn client(&mut self, effect: ClientEffect) {
        match effect {
            ClientEffect::Commit(proposal) => {
                self.apply(proposal.zxid, &proposal.txn);
                self.answered += usize::from(proposal.origin.is_some());
                if let Some(new) = proposal.new_session {
                    self.touches.push((proposal.session, new.touch));
                }
            }
            ClientEffect::CatchUp { zxid, txn } => self.apply(zxid, &txn),
            ClientEffect::AnswerSync(..) => self.synced += 1,
            ClientEffect::Resume(resumption) => {
                self.resumed.push(resumption.grant.session);
                self.touches.push((resumption.grant.session, resumption.grant.touch));
            }
            ClientEffect::Refuse { session, .. } => self.refused.push(session),
            ClientEffect::Reload => self.reload = true,
            ClientEffect::StartServing
            | ClientEffect::StopServing
            | ClientEffect::ActivateConfig(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn apply(&mut self, zxid: Zxid, txn: &[u8]) {
        let record = TxnRecord::read(txn, MAX_LENGTH).expect("a transaction");
        self.db.apply(&record, &mut ());
        self.let_go.push(zxid);
        self.reports.push_back(Input::Applied(zxid));
    }

    fn restore(&mut self) -> Restored {
        let mut db = match &self.snapshot {
            Some((zxid, stream)) => tree::received(*zxid, stream),
            None => Database::new(tree::OPTIONS),
        };
        for (_, txn) in &self.log {
            db.apply(&TxnRecord::read(txn, MAX_LENGTH).expect("a transaction"), &mut ());
        }
        let last_zxid = db.last_processed();
        self.db.replace(db);
        Restored { last_zxid, recent: self.log.clone() }
    }
}
