//! A leader on a stage: what one step wants done, as lines, the disk's lane first, then the links',
//! then what clients see.
//!
//! The links of server `n` are called `n`, and, when it comes again, `n+10`.

use std::sync::Arc;

use super::*;
use crate::auth::Identities;
use crate::processor::request::{ConnectAttempt, Submission};
use crate::processor::testing::{in_words, request, tree_options};
use crate::proto::quorum_packet::{ForwardedRequest, LearnerInfo};
use crate::proto::txns::TxnRecord;
use crate::proto::{AuthInfo, ConnectionId, Epoch, LinkId, OpCode, SessionId, Sid, Ticket};
use crate::quorum::effect::{DiskEffect, Effects, LinkEffect, LogSurvey};
use crate::quorum::member::Member;
pub(super) use crate::quorum::testing::nothing;
use crate::quorum::testing::{self, ensemble};
use crate::time::Instant;
use crate::tree::Database;

pub(super) const NOTHING: [&str; 0] = [];

/// Server 1 leads. Ticks last 1 s; `initLimit` is 10, `syncLimit` 3.
pub(super) struct Play {
    pub member: Member,
    pub db: Database,
    pub leader: Option<Leader>,
    pub now_ms: u64,
    /// The last ticket of the disk's lane.
    pub ticket: u64,
    /// The configuration of the last NEWLEADER.
    pub told_config: Option<Bytes>,
}

impl Play {
    /// Server 1 of so many voters, and observers behind them, over a history that was applied.
    pub(super) fn over(voters: i64, observers: i64, history: &[u64]) -> Self {
        Play::of(member(voters, observers), history)
    }

    /// The same, of a member whose options were chosen.
    pub(super) fn of(mut member: Member, history: &[u64]) -> Self {
        let voters = member.configs.voters().len();
        let mut db = Database::new(tree_options());
        for &zxid in history {
            let zxid = Zxid(zxid);
            let record = nothing(zxid);
            db.apply(&TxnRecord::read(&record, usize::MAX).expect("a transaction"), &mut ());
            member.committed.push(zxid, record);
            member.last_logged = zxid;
            member.current_epoch = zxid.epoch();
            member.accepted_epoch = zxid.epoch();
        }
        let mut play = Play { member, db, leader: None, now_ms: 0, ticket: 0, told_config: None };
        let mut effects = Effects::default();
        let backers = play.member.configs.voters().into_iter().collect();
        let leader = Leader::new(&mut play.turn(&mut effects), backers);
        play.leader = Some(leader);
        let told = play.carry_out(effects);
        assert_eq!(told.is_empty(), voters > 1, "whoever is no quorum waits for others: {told:?}");
        play
    }

    /// An established leader of epoch 1 that servers 2 to `voters` follow, and that nobody asks for
    /// anything.
    pub(super) fn established(voters: i64, observers: i64) -> Self {
        let mut play = Play::over(voters, observers, &[]);
        play.establish(2..=voters);
        play
    }

    /// Brings servers in until they serve.
    pub(super) fn establish(&mut self, sids: impl IntoIterator<Item = i64> + Clone) {
        let last = self.member.last_logged;
        let epoch = self.member.accepted_epoch;
        for sid in sids.clone() {
            self.opened(sid);
            self.says(sid, follower_info(sid, epoch.0));
        }
        self.settle();
        for sid in sids.clone() {
            self.says(sid, ack_epoch(last.0, Some(self.member.current_epoch.0)));
        }
        self.settle();
        let start = self.member.accepted_epoch.start().0;
        for sid in sids.clone() {
            self.says(sid, ack(start));
        }
        for sid in sids {
            self.says(sid, ack(start));
        }
        assert!(self.leader.as_ref().is_some_and(|leader| leader.broadcast().is_some()));
    }

    fn turn<'a>(&'a mut self, effects: &'a mut Effects) -> Turn<'a> {
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.now_ms as i64 };
        Turn { now, db: &self.db, member: &mut self.member, effects }
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<String> {
        if let Input::Persisted(ticket) = &input {
            self.member.tickets.persisted(*ticket);
        }
        let mut leader = self.leader.take().expect("it leads");
        let mut effects = Effects::default();
        let outcome = leader.step(&mut self.turn(&mut effects), input);
        let mut lines = self.carry_out(effects);
        match outcome {
            Outcome::Stay => self.leader = Some(leader),
            Outcome::Leave { why, successor } => {
                lines.push(format!("leaves: {why}"));
                lines.extend(successor.map(|vote| format!("{} leads next", vote.leader)));
                let mut effects = Effects::default();
                let unapplied = leader.leave(&mut self.turn(&mut effects));
                lines.extend(effects.client.iter().map(client_in_words));
                lines.extend(unapplied.iter().map(|(zxid, _)| format!("not applied: {zxid}")));
            }
        }
        lines
    }

    fn carry_out(&mut self, effects: Effects) -> Vec<String> {
        let mut lines: Vec<_> = effects.disk.iter().map(|e| self.disk_in_words(e)).collect();
        lines.extend(effects.links.iter().map(link_in_words));
        for effect in &effects.links {
            if let LinkEffect::Send { packet: QuorumPacket::NewLeader { config, .. }, .. } = effect
            {
                self.told_config = config.clone();
            }
        }
        for effect in effects.client {
            lines.push(client_in_words(&effect));
            if let ClientEffect::Commit(proposal) = effect {
                let record = TxnRecord::read(&proposal.txn, usize::MAX).expect("a transaction");
                self.db.apply(&record, &mut ());
            }
        }
        lines
    }

    pub(super) fn opened(&mut self, link: i64) -> Vec<String> {
        self.step(Input::LinkOpened(link_of(link)))
    }

    pub(super) fn says(&mut self, link: i64, packet: QuorumPacket) -> Vec<String> {
        self.step(Input::Packet { link: link_of(link), packet })
    }

    pub(super) fn persisted(&mut self, ticket: u64) -> Vec<String> {
        self.step(Input::Persisted(Ticket(ticket)))
    }

    /// The disk reports everything.
    pub(super) fn settle(&mut self) -> Vec<String> {
        self.persisted(self.ticket)
    }

    pub(super) fn surveyed(&mut self, link: i64, survey: Option<LogSurvey>) -> Vec<String> {
        self.step(Input::LogSurveyed { link: link_of(link), survey })
    }

    /// A connection of the leader asks for a new session.
    pub(super) fn connect(&mut self, connection: u64, session: i64) -> Vec<String> {
        let attempt = ConnectAttempt {
            connection: ConnectionId(connection),
            session: SessionId(session),
            timeout_ms: 4000,
            had_read_only: false,
            identities: Arc::new(Identities::default()),
            received_ms: self.now_ms,
        };
        self.step(Input::Submitted(vec![Submission::Connect(attempt)]))
    }

    /// A session of the leader asks.
    pub(super) fn ask(&mut self, session: i64, op: OpCode, body: Vec<u8>) -> Vec<String> {
        self.step(Input::Submitted(vec![Submission::Request(request(session, op, body))]))
    }

    /// Wakes the leader whenever it wants to be, until then.
    pub(super) fn pass_time_until(&mut self, ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(leader) = &self.leader
            && let Some(deadline) = leader.next_deadline().filter(|deadline| *deadline <= ms)
        {
            self.now_ms = self.now_ms.max(deadline);
            for line in self.step(Input::Tick) {
                lines.push(format!("{} ms: {line}", self.now_ms));
            }
        }
        self.now_ms = ms;
        lines
    }

    /// Time passes, and these learners answer their PINGs.
    pub(super) fn talk_until(&mut self, ms: u64, sids: &[i64]) -> Vec<String> {
        let mut lines = Vec::new();
        while self.leader.is_some() && self.now_ms < ms {
            let next = (self.now_ms + 500).min(ms);
            for line in self.pass_time_until(next) {
                let sid = sids.iter().find(|sid| line.contains(&format!("to {sid}: PING")));
                match sid {
                    Some(sid) => lines.extend(self.says(*sid, pong(&[]))),
                    None if line.contains(": PING") => {}
                    None => lines.push(line),
                }
            }
        }
        lines
    }

    fn disk_in_words(&mut self, effect: &DiskEffect) -> String {
        match effect {
            DiskEffect::Append { ticket, zxid, txn } => {
                self.ticket = ticket.0;
                format!("disk: append {} as {zxid}, ticket {}", in_words(txn), ticket.0)
            }
            DiskEffect::AcceptedEpoch { ticket, epoch } => {
                self.ticket = ticket.0;
                format!("disk: acceptedEpoch {epoch}, ticket {}", ticket.0)
            }
            DiskEffect::CurrentEpoch { ticket, epoch } => {
                self.ticket = ticket.0;
                format!("disk: currentEpoch {epoch}, ticket {}", ticket.0)
            }
            DiskEffect::LastSeenConfig { ticket, config } => {
                self.ticket = ticket.0;
                format!("disk: next configuration {:x}, ticket {}", config.version, ticket.0)
            }
            DiskEffect::ActivateConfig { ticket, config } => {
                self.ticket = ticket.0;
                format!("disk: configuration {:x}, ticket {}", config.version, ticket.0)
            }
            other => format!("disk: {other:?}"),
        }
    }
}

/// Server 1 of so many voters, and observers behind them, with nothing.
pub(super) fn member(voters: i64, observers: i64) -> Member {
    let mut member = testing::member(1, &ensemble(voters, observers));
    member.options.tick_ms = 1000;
    member.options.sync_limit = 3;
    member.options.reconfig_enabled = false;
    member
}

pub(super) fn link_of(link: i64) -> LinkId {
    LinkId(LinkId::FIRST_ACCEPTED.0 + link as u64)
}

pub(super) fn info(sid: i64, accepted_epoch: u32) -> LearnerInfo {
    LearnerInfo {
        accepted_epoch: Epoch(accepted_epoch),
        sid: Some(Sid(sid)),
        protocol_version: 0x1_0000,
        config_version: 0,
    }
}

pub(super) fn follower_info(sid: i64, accepted_epoch: u32) -> QuorumPacket {
    QuorumPacket::FollowerInfo(info(sid, accepted_epoch))
}

pub(super) fn observer_info(sid: i64) -> QuorumPacket {
    QuorumPacket::ObserverInfo(info(sid, 0))
}

pub(super) fn ack_epoch(last_zxid: u64, current_epoch: Option<u32>) -> QuorumPacket {
    let current_epoch = current_epoch.map(Epoch);
    QuorumPacket::AckEpoch { last_zxid: Zxid(last_zxid), current_epoch }
}

pub(super) fn ack(zxid: u64) -> QuorumPacket {
    QuorumPacket::Ack { zxid: Zxid(zxid) }
}

/// An answer to a PING, with the sessions that were touched.
pub(super) fn pong(touched: &[i64]) -> QuorumPacket {
    let touched = touched.iter().map(|session| (SessionId(*session), 4000)).collect();
    QuorumPacket::Ping { zxid: Zxid::ZERO, touched: Some(touched) }
}

pub(super) fn forwarded(session: i64, op: i32, body: Vec<u8>) -> QuorumPacket {
    QuorumPacket::Request(ForwardedRequest {
        session: SessionId(session),
        cxid: 1,
        op,
        body: body.into(),
        auth: AuthInfo::default(),
    })
}

fn link_in_words(effect: &LinkEffect) -> String {
    let name = |link: &LinkId| link.0 - LinkId::FIRST_ACCEPTED.0;
    match effect {
        LinkEffect::Send { link, packet } => {
            format!("to {}: {}", name(link), packet_in_words(packet))
        }
        LinkEffect::Close { link, why } => format!("close {}: {why}", name(link)),
        LinkEffect::SurveyLog { link, peer, through } => {
            format!("survey for {}: the log from {peer} through {through}", name(link))
        }
        LinkEffect::SendLog { link, after, through } => {
            format!("to {}: the log after {after} through {through}", name(link))
        }
        other => format!("{other:?}"),
    }
}

fn packet_in_words(packet: &QuorumPacket) -> String {
    match packet {
        QuorumPacket::Proposal { zxid, .. } => format!("PROPOSAL {zxid}"),
        QuorumPacket::Commit { zxid } => format!("COMMIT {zxid}"),
        QuorumPacket::Inform { zxid, .. } => format!("INFORM {zxid}"),
        QuorumPacket::Ping { .. } => "PING".to_owned(),
        QuorumPacket::LeaderInfo { epoch, .. } => format!("LEADERINFO {epoch}"),
        QuorumPacket::NewLeader { zxid, .. } => format!("NEWLEADER {zxid}"),
        QuorumPacket::UpToDate => "UPTODATE".to_owned(),
        QuorumPacket::Sync => "SYNC".to_owned(),
        QuorumPacket::CommitAndActivate { zxid, designated } => {
            format!("COMMITANDACTIVATE {zxid} {designated}")
        }
        QuorumPacket::InformAndActivate { zxid, designated, .. } => {
            format!("INFORMANDACTIVATE {zxid} {designated}")
        }
        QuorumPacket::Diff { zxid } => format!("DIFF {zxid}"),
        QuorumPacket::Trunc { zxid } => format!("TRUNC {zxid}"),
        QuorumPacket::Revalidated { session, valid } => format!("REVALIDATE {session} {valid}"),
        other => format!("{other:?}"),
    }
}

fn client_in_words(effect: &ClientEffect) -> String {
    match effect {
        ClientEffect::Commit(proposal) => format!("commit {}", proposal.zxid),
        ClientEffect::AnswerSync(origin, _) => format!("answer sync of {}", origin.connection.0),
        ClientEffect::Resume(resumption) => format!("resume {}", resumption.grant.session),
        ClientEffect::Refuse { session, .. } => format!("refuse {session}"),
        ClientEffect::Drop(connection, reason) => format!("drop {}: {reason:?}", connection.0),
        ClientEffect::StartServing => "serve".to_owned(),
        ClientEffect::SendSnapshot { link, zxid } => {
            format!("to {}: the tree at {zxid}", link.0 - LinkId::FIRST_ACCEPTED.0)
        }
        ClientEffect::ActivateConfig(config) => {
            format!("configuration {:x} is in force", config.version)
        }
        other => format!("{other:?}"),
    }
}
