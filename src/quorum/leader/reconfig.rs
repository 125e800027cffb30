//! Which configurations may be proposed, and who leads in one that is committed.
//!
//! A new configuration is seen from the moment it is proposed: its transaction, and every one
//! behind it, needs quorums of the old members and of the new ones (C-269). When it is committed
//! it is in force, and the leader stays if it has a vote in it at the same address; else it hands
//! its leadership over.

use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::{Broadcast, Road, propose};
use super::learner_handler::{Limits, State};
use super::learners::Learners;
use super::proposals::Proposals;
use crate::processor::request::Request;
use crate::proto::membership::{LearnerType, ReconfigRules, reconfig};
use crate::proto::requests::ReconfigRequest;
use crate::proto::{ErrorCode, QuorumPacket, QuorumVerifier, Sid, Vote, Zxid};
use crate::quorum::member::{Member, Turn};

impl Broadcast {
    /// A reconfiguration, asked for through `sid`. From its proposal on the new configuration
    /// counts; it goes to the disk in front of its transaction, whose ticket covers it.
    pub(super) fn reconfig(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        request: &Request,
        sid: Sid,
    ) {
        let has_moved = self.has_moved(request.session, sid);
        let (member, now_ms) = (&*turn.member, turn.now.mono_ms);
        let chain = &mut self.chain;
        let (proposal, next) =
            chain.prep.prepare_reconfig(turn.now, request, turn.db, &chain.sessions, |asked| {
                match has_moved {
                    true => Err(ErrorCode::SessionMoved),
                    false => judge(asked, member, road.learners, (now_ms, road.limits)),
                }
            });
        let next = next.map(Arc::new);
        if let Some(config) = &next {
            turn.see_config(config.clone());
        }
        propose(turn, road, &mut self.commit, proposal, next);
    }

    /// A reconfiguration is committed: it is in force, here and for whoever is told so.
    pub(super) fn activate(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        (zxid, txn): (Zxid, Bytes),
        (config, acks): (Arc<QuorumVerifier>, Vec<Sid>),
    ) {
        let designated = designated(&config, zxid, &acks, turn.member, road.proposals);
        let commit = QuorumPacket::CommitAndActivate { zxid, designated };
        let inform = QuorumPacket::InformAndActivate { zxid, designated, txn };
        self.tell_committed(turn, road, zxid, (&commit, &inform));
        turn.enforce_config(config);
        if designated != turn.member.me {
            self.handing_over = Some((zxid, designated));
        }
    }

    /// Who leads from here on, if it is another server, and everything up to its beginning went to
    /// apply.
    pub fn successor(&self, proposals: &Proposals) -> Option<Vote> {
        let (zxid, leader) = self.handing_over?;
        let peer_epoch = self.epoch.0.into();
        (proposals.last_let_go() >= zxid).then_some(Vote {
            leader,
            zxid: zxid.to_long(),
            peer_epoch,
        })
    }
}

/// The configuration that is asked for.
///
/// # Errors
/// RECONFIGINPROGRESS while another one is not committed; whatever is wrong with the request;
/// NEWCONFIGNOQUORUM if no quorum of it is in sync now. Observers that it would promote are not,
/// for they acknowledge nothing yet.
fn judge(
    asked: &ReconfigRequest<'_>,
    member: &Member,
    learners: &Learners,
    (now_ms, limits): (u64, Limits),
) -> Result<QuorumVerifier, ErrorCode> {
    let configs = &member.configs;
    if configs.proposed().is_some() {
        return Err(ErrorCode::ReconfigInProgress);
    }
    let rules = ReconfigRules {
        standalone_enabled: member.options.standalone_enabled,
        multi_address_enabled: member.options.multi_address,
    };
    let next = reconfig(&configs.current, asked, rules)?;
    let in_sync = |sid| {
        sid == member.me
            || learners.iter().any(|handler| {
                handler.acknowledger() == Some(sid)
                    && matches!(handler.state(), State::Serving(_))
                    && handler.is_heard(now_ms, limits)
            })
    };
    if !next.contains_quorum(in_sync) {
        return Err(ErrorCode::NewConfigNoQuorum);
    }
    Ok(next)
}

/// Who leads in `next` from its transaction `zxid` on: this server, if it may; else the voter that
/// has acknowledged the most behind it, so that it has everything that was committed.
fn designated(
    next: &QuorumVerifier,
    zxid: Zxid,
    acks: &[Sid],
    member: &Member,
    proposals: &Proposals,
) -> Sid {
    let me = member.me;
    if stays(next, member) {
        return me;
    }
    let mut candidates: Vec<Sid> =
        acks.iter().copied().filter(|sid| *sid != me && next.is_voter(*sid)).collect();
    candidates.sort_unstable();
    let most = |sid: &Sid| proposals.acknowledged_from(*sid, zxid);
    candidates.into_iter().rev().max_by_key(most).unwrap_or(me)
}

/// Whether this server may lead in `next`: with a vote, at the address it has.
pub fn stays(next: &QuorumVerifier, member: &Member) -> bool {
    let own = |config: &QuorumVerifier| config.members.get(&member.me).cloned();
    let Some(new) = own(next) else { return false };
    let moved = own(&member.configs.current).is_some_and(|old| {
        let ports = |server: &crate::proto::membership::QuorumServer| {
            let of = server.addresses.iter();
            of.map(|address| (address.host.clone(), address.quorum_port)).collect::<Vec<_>>()
        };
        ports(&old) != ports(&new)
    });
    new.learner_type == LearnerType::Participant && !moved
}
