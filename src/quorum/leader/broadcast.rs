//! `Broadcast`: an established leader's chain, from a request to what everybody is told.
//!
//! ```text
//!  own clients ─▶ chain (prep) ─▶ propose ─▶ own log, PROPOSAL ─▶ quorums ─▶ COMMIT, INFORM
//!  REQUESTs    ─▶                                                    └─ durable here ─▶ own clients
//! ```
//!
//! A forwarded request always becomes a transaction, if only one that says why not: its server
//! waits for it. The leader's own clients see a transaction when it is committed and durable here,
//! in order; so syncs, resumptions and throttled requests wait in the same lane.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::forwarding::Askers;
use super::learner_handler::{Limits, State};
use super::learners::Learners;
use super::proposals::{CommittedTxn, Proposals};
use super::refusals::{Refusals, Refused};
use super::session_owners::SessionOwners;
use super::syncs::{Asked, Syncs};
use crate::processor::commit::{CommitProcessor, Committed};
use crate::processor::connection_queue::CloseReason;
use crate::processor::proposal::Proposal;
use crate::processor::request::{Origin, Request, Submission};
use crate::proto::{
    Epoch, ErrorCode, LinkId, OpCode, QuorumPacket, QuorumVerifier, SessionId, Sid, Zxid,
};
use crate::quorum::effect::ClientEffect;
use crate::quorum::member::Turn;
use crate::quorum::request_chain::{RequestChain, Taken};
use crate::session::SessionTracker;

/// What only an established leader has.
#[derive(Debug)]
pub struct Broadcast {
    pub(super) epoch: Epoch,
    pub(super) chain: RequestChain,
    pub(super) commit: CommitProcessor<Zxid>,
    pub(super) syncs: Syncs,
    /// When the own clients' syncs and refusals were asked for, in the order of those.
    own_asked: VecDeque<Asked>,
    /// A sync that may go when it is confirmed; what is behind it waits too.
    first_sync: Option<(Asked, Origin, Bytes)>,
    pub(super) refusals: Refusals,
    pub(super) owners: SessionOwners,
    pub(super) askers: Askers,
    /// Set by a reconfiguration under which this server does not lead: nothing behind it is
    /// committed here any more, and when it went to apply this server leaves.
    pub(super) handing_over: Option<(Zxid, Sid)>,
}

/// Where proposals go.
pub struct Road<'a> {
    /// Who gets them.
    pub learners: &'a mut Learners,
    /// Where they wait for their quorums.
    pub proposals: &'a mut Proposals,
    /// How long learners may be silent.
    pub limits: Limits,
}

impl Broadcast {
    /// The chain over a tree that equals the log. Every session has its full timeout from now on.
    pub fn new(turn: &mut Turn<'_>, epoch: Epoch) -> Self {
        let member = &*turn.member;
        let options = &member.options;
        // The top byte of a session's id names the server; ids above are cut, as Apache cuts them.
        let me = member.me.0 as u8;
        let mut sessions = SessionTracker::new(options.tick_ms, me, turn.now.wall_ms);
        if options.local_sessions {
            sessions = sessions.with_local_sessions_elsewhere(me);
        }
        let chain = RequestChain::new(
            turn.now,
            options.prep.clone(),
            sessions,
            options.containers,
            turn.db,
        );
        let mut chain = chain.with_last_counter(options.last_counter);
        if options.local_sessions {
            chain = chain.with_local_sessions(options.local_sessions_upgrade);
        }
        let history = chain.prep.last_zxid();
        assert_eq!(history, member.last_logged, "the tree of a leader equals its log");
        chain.prep.begin(epoch);
        Broadcast {
            epoch,
            chain,
            commit: CommitProcessor::new(history),
            syncs: Syncs::default(),
            own_asked: VecDeque::new(),
            first_sync: None,
            refusals: Refusals::default(),
            owners: SessionOwners::new(options.prep.hash_seed),
            askers: Askers::new(options.prep.hash_seed),
            handing_over: None,
        }
    }

    /// Whether the next zxid would be one that is never handed out.
    pub fn is_exhausted(&self) -> bool {
        self.chain.is_exhausted()
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        let syncs = usize::from(self.first_sync.is_some()) + self.syncs.len();
        self.commit.len() + syncs + self.refusals.len()
    }

    /// Syncs that learners wait for.
    pub fn pending_syncs(&self) -> usize {
        self.syncs.len()
    }

    /// Sessions that only this server knows.
    pub fn local_sessions(&self) -> usize {
        self.chain.local_sessions()
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        self.chain.change_records()
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.chain.next_deadline()
    }

    /// Everything up to `zxid` has been applied.
    pub fn applied(&mut self, zxid: Zxid) {
        self.chain.prep.retire(zxid);
    }

    /// The last round of PINGs that was sent.
    pub fn round(&self) -> u64 {
        self.syncs.sent()
    }

    /// The sessions, for whoever asks for a page of them.
    pub fn sessions(&self) -> &SessionTracker {
        &self.chain.sessions
    }

    /// The own clients' submissions.
    pub fn submitted(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        submissions: Vec<Submission>,
    ) {
        for submission in submissions {
            if self.is_exhausted() {
                return;
            }
            self.take(turn, road, submission);
            turn.effects.client.extend(self.chain.quota_refusals());
        }
    }

    fn take(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>, submission: Submission) {
        let me = turn.member.me;
        if let Submission::Request(request) = &submission
            && request.op == OpCode::Reconfig
            && !request.throttled
            && self.chain.sessions.is_usable(request.session)
        {
            return self.reconfig(turn, road, request, me);
        }
        if let Submission::Request(request) = &submission
            && request.op != OpCode::CloseSession
            && self.has_moved(request.session, me)
        {
            let Request { session, xid, origin, .. } = *request;
            if request.op == OpCode::Sync {
                let reason = CloseReason::SessionTakenOver;
                let drop = origin.map(|origin| ClientEffect::Drop(origin.connection, reason));
                turn.effects.client.extend(drop);
            } else {
                self.refuse(turn, road, (session, xid, origin), ErrorCode::SessionMoved);
            }
            return;
        }
        if let Submission::Request(request) = &submission
            && request.op == OpCode::CloseSession
        {
            self.owners.remove(request.session);
        }
        let last = road.proposals.last();
        match self.chain.submitted(turn.now, submission, turn.db) {
            Taken::Propose(proposal) => {
                if proposal.new_session.is_some() {
                    self.owners.set(proposal.session, me);
                }
                self.propose(turn, road, proposal);
            }
            Taken::Sync(origin, body) => {
                self.own_asked.push_back(self.syncs.ask(last));
                self.commit.sync(last, origin, body);
            }
            Taken::Throttled(origin) => self.commit.throttled(last, origin),
            Taken::Resume(resumption) => {
                self.owners.set(resumption.grant.session, me);
                self.commit.resume(last, resumption);
            }
            Taken::Upgrade(both) => {
                for proposal in *both {
                    self.propose(turn, road, proposal);
                }
            }
            Taken::Fail(origin, error) => self.commit.fail(last, origin, error),
            Taken::EndLocalSession(session, origin) => {
                self.commit.end_local_session(last, session, Some(origin));
            }
            // Who is told that it is gone must not see its nodes here.
            Taken::Refuse(refusal) => {
                self.own_asked.push_back(self.syncs.ask(last));
                self.commit.refuse(last, refusal);
            }
            Taken::Drop(connection, reason) => {
                turn.effects.client.push(ClientEffect::Drop(connection, reason));
            }
        }
    }

    /// Proposes what is due without anybody asking.
    pub fn due(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>) {
        let (now, db) = (turn.now, turn.db);
        let Broadcast { chain, owners, commit, .. } = self;
        chain.due(now, db, |proposal| {
            owners.remove(proposal.session);
            propose(turn, road, commit, proposal, None);
        });
        for session in chain.expired_local_sessions() {
            owners.remove(session);
            commit.end_local_session(road.proposals.last(), session, None);
        }
    }

    /// Begins a round of PINGs.
    pub fn ping(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>) {
        self.syncs.begin_round();
        let zxid = road.proposals.last().max(self.epoch.start());
        ping(turn, road.learners, zxid);
    }

    /// Goes on as far as acknowledgements, the disk and the rounds allow.
    pub fn advance(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>) {
        let me = turn.member.me;
        road.proposals.own_log(me, &turn.member.tickets);
        while self.handing_over.is_none()
            && let Some(CommittedTxn { zxid, txn, config }) = road.proposals.commit_next()
        {
            turn.member.committed.push(zxid, txn.clone());
            if let Some(config) = config {
                self.activate(turn, road, (zxid, txn), config);
                continue;
            }
            let commit = QuorumPacket::Commit { zxid };
            let inform = QuorumPacket::Inform { zxid, txn };
            self.tell_committed(turn, road, zxid, (&commit, &inform));
        }
        self.syncs.count(me, &turn.member.configs, road.learners);
        if self.syncs.wants_a_round() {
            self.ping(turn, road);
            self.syncs.count(me, &turn.member.configs, road.learners);
        }
        self.let_go(turn, road);
        while let Some(refused) = self.refusals.pop(&self.syncs, turn.member.committed.max()) {
            match refused {
                Refused::Own(refusal) => {
                    turn.effects.client.push(Committed::Refuse(refusal).into());
                }
                Refused::Learner(link, session) if road.learners.get(link).is_some() => {
                    turn.send(link, QuorumPacket::Revalidated { session, valid: false });
                }
                Refused::Learner(..) => {}
            }
        }
        while let Some(link) = self.syncs.pop(turn.member.committed.max()) {
            answer_sync(turn, road.learners, link);
        }
    }

    /// Tells the learners of a commit; whoever waits for an answer to a sync gets that first.
    pub(super) fn tell_committed(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        zxid: Zxid,
        (commit, inform): (&QuorumPacket, &QuorumPacket),
    ) {
        while let Some(link) = self.syncs.pop_before(zxid) {
            answer_sync(turn, road.learners, link);
        }
        road.learners.broadcast(turn, Some(commit), Some(inform));
    }

    fn let_go(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>) {
        self.commit.is_safe(road.proposals.safe());
        loop {
            if let Some((asked, origin, body)) = self.first_sync.take() {
                if !self.syncs.is_confirmed(asked, turn.member.committed.max()) {
                    self.first_sync = Some((asked, origin, body));
                    return;
                }
                turn.effects.client.push(ClientEffect::AnswerSync(origin, body));
            }
            let Some(committed) = self.commit.pop() else { return };
            match committed {
                Committed::Txn(proposal) => {
                    let config = road.proposals.let_go(proposal.zxid);
                    turn.effects.client.push(ClientEffect::Commit(proposal));
                    turn.effects.client.extend(config.map(ClientEffect::ActivateConfig));
                }
                Committed::Sync(origin, body) => {
                    self.first_sync = Some((self.own_asked(), origin, body));
                }
                Committed::Refuse(refusal) => {
                    let asked = self.own_asked();
                    self.refusals.push(asked, Refused::Own(refusal));
                }
                other @ (Committed::Throttled(_)
                | Committed::Error(..)
                | Committed::EndLocalSession(..)
                | Committed::Resume(_)) => turn.effects.client.push(other.into()),
            }
        }
    }

    fn own_asked(&mut self) -> Asked {
        let asked = self.own_asked.pop_front();
        asked.expect("it is known of every own sync and refusal when it came")
    }

    pub(super) fn has_moved(&mut self, session: SessionId, sid: Sid) -> bool {
        self.chain.sessions.is_usable(session) && self.owners.has_moved(session, sid)
    }

    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        (session, cxid, origin): (SessionId, i32, Option<Origin>),
        code: ErrorCode,
    ) {
        let proposal = self.chain.prep.refuse(turn.now, session, cxid, origin, code);
        self.propose(turn, road, proposal);
    }

    pub(super) fn propose(&mut self, turn: &mut Turn<'_>, road: &mut Road<'_>, proposal: Proposal) {
        propose(turn, road, &mut self.commit, proposal, None);
    }
}

/// Logging a transaction and sending it to everybody who is registered are one step: no history is
/// between the two (TLA+ 2).
pub(super) fn propose(
    turn: &mut Turn<'_>,
    road: &mut Road<'_>,
    commit: &mut CommitProcessor<Zxid>,
    proposal: Proposal,
    config: Option<Arc<QuorumVerifier>>,
) {
    let (zxid, txn) = (proposal.zxid, proposal.txn.clone());
    let pending = turn.log(zxid, txn.clone());
    let packet = QuorumPacket::Proposal { zxid, txn: txn.clone() };
    road.learners.broadcast(turn, Some(&packet), None);
    let (configs, now_ms) = (&turn.member.configs, turn.now.mono_ms);
    road.proposals.propose((zxid, txn), pending, configs, config, now_ms);
    commit.propose(zxid, proposal);
}

/// Answers a learner's sync, if it is still there.
fn answer_sync(turn: &mut Turn<'_>, learners: &Learners, link: LinkId) {
    if learners.get(link).is_some() {
        turn.send(link, QuorumPacket::Sync);
    }
}

/// Sends a PING to everybody who has everything.
pub fn ping(turn: &mut Turn<'_>, learners: &Learners, zxid: Zxid) {
    for handler in learners.iter() {
        if matches!(handler.state(), State::Synced(_) | State::Serving(_)) {
            turn.send(handler.link(), QuorumPacket::Ping { zxid, touched: None });
        }
    }
}
