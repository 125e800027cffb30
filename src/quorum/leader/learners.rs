//! `Learners`: all the links of a leader.
//!
//! A server has one link at most: a newer one replaces the older, whose end may not have been
//! noticed yet.

use std::collections::BTreeMap;

use super::learner_handler::{LearnerHandler, Limits};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket, Sid};
use crate::quorum::member::Turn;

/// The learners by link.
#[derive(Debug, Default)]
pub struct Learners(BTreeMap<LinkId, LearnerHandler>);

impl Learners {
    /// A link was opened.
    pub fn opened(&mut self, link: LinkId, now_ms: u64) {
        self.0.insert(link, LearnerHandler::new(link, now_ms));
    }

    /// A link is gone.
    pub fn closed(&mut self, link: LinkId, why: &str) {
        let Some(handler) = self.0.remove(&link) else { return };
        if let Some(peer) = handler.peer() {
            tracing::info!(learner = peer.sid.0, why, "a learner is gone");
        }
    }

    /// Ends a link.
    pub fn drop(&mut self, turn: &mut Turn<'_>, link: LinkId, why: impl Into<String>) {
        if let Some(handler) = self.0.remove(&link) {
            let why = why.into();
            let learner = handler.peer().map(|peer| peer.sid.0);
            tracing::warn!(learner, why, "a learner is dropped");
            turn.close(link, why);
        }
    }

    /// Ends the link that `sid` had before `link`, if there is one.
    pub fn replace(&mut self, turn: &mut Turn<'_>, sid: Sid, link: LinkId) {
        let is_older = |other: &LearnerHandler| {
            other.link() != link && other.peer().is_some_and(|peer| peer.sid == sid)
        };
        for old in self.links_where(is_older) {
            self.drop(turn, old, "it has connected anew");
        }
    }

    /// The learner at a link.
    pub fn get(&self, link: LinkId) -> Option<&LearnerHandler> {
        self.0.get(&link)
    }

    /// The learner at a link, to be changed.
    pub fn get_mut(&mut self, link: LinkId) -> Option<&mut LearnerHandler> {
        self.0.get_mut(&link)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &LearnerHandler> {
        self.0.values()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut LearnerHandler> {
        self.0.values_mut()
    }

    /// The links of those for whom `has` holds.
    pub fn links_where(&self, has: impl Fn(&LearnerHandler) -> bool) -> Vec<LinkId> {
        self.iter().filter(|handler| has(handler)).map(LearnerHandler::link).collect()
    }

    /// Sends a packet to every registered learner: participants get the one, observers the other.
    pub fn broadcast(
        &mut self,
        turn: &mut Turn<'_>,
        participants: Option<&QuorumPacket>,
        observers: Option<&QuorumPacket>,
    ) {
        let now_ms = turn.now.mono_ms;
        let mut failed = Vec::new();
        for handler in self.0.values_mut().filter(|handler| handler.is_registered()) {
            let Some(peer) = handler.peer() else { continue };
            let packet = match peer.kind {
                LearnerType::Participant => participants,
                LearnerType::Observer => observers,
            };
            let Some(packet) = packet else { continue };
            if let Err(why) = handler.send(turn, packet.clone()) {
                failed.push((handler.link(), why));
                continue;
            }
            if let QuorumPacket::Proposal { zxid, .. } = packet {
                handler.proposed(*zxid, now_ms);
            }
        }
        for (link, why) in failed {
            self.drop(turn, link, why);
        }
    }

    /// Drops those that are silent for too long, or whose disk is stuck (C-222).
    pub fn drop_overdue(&mut self, turn: &mut Turn<'_>, limits: Limits) {
        let now_ms = turn.now.mono_ms;
        let overdue: Vec<_> = self
            .iter()
            .filter_map(|handler| Some((handler.link(), handler.overdue(now_ms, limits)?)))
            .collect();
        for (link, why) in overdue {
            self.drop(turn, link, why);
        }
    }

    /// Ends every link.
    pub fn close_all(&mut self, turn: &mut Turn<'_>, why: &str) {
        while let Some((link, _)) = self.0.pop_first() {
            turn.close(link, why);
        }
    }
}
