//! Learners that come before this server knows that it leads.
//!
//! Of those who elect a leader one knows it first, and dials at once. Turned away it would come back
//! after the pause between two dials, and nobody would be served before that. So a link that comes
//! while a leader is looked for is kept for a moment, with what the learner says of itself.

use std::collections::BTreeMap;

use super::effect::Input;
use crate::proto::{LinkId, QuorumPacket};

/// So many links are kept, at most: who comes is not known yet.
const MOST: usize = 64;

/// The links that are kept.
#[derive(Debug, Default)]
pub struct EarlyLinks(BTreeMap<LinkId, Early>);

#[derive(Debug)]
struct Early {
    until_ms: u64,
    /// What it says of itself: a learner says no more before it is answered.
    introduction: Option<QuorumPacket>,
}

impl EarlyLinks {
    /// Keeps a link until then, on the monotonic clock in milliseconds; false if there are too
    /// many.
    pub fn keep(&mut self, link: LinkId, until_ms: u64) -> bool {
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.insert(link, Early { until_ms, introduction: None });
        }
        has_room
    }

    /// Whether the link is kept.
    pub fn has(&self, link: LinkId) -> bool {
        self.0.contains_key(&link)
    }

    /// A packet came over a link that is kept; false if it says too much, or anything else.
    pub fn hear(&mut self, link: LinkId, packet: QuorumPacket) -> bool {
        use QuorumPacket::{FollowerInfo, ObserverInfo};
        let Some(early) = self.0.get_mut(&link) else { return false };
        matches!(packet, FollowerInfo(_) | ObserverInfo(_))
            && early.introduction.replace(packet).is_none()
    }

    /// The link is gone.
    pub fn forget(&mut self, link: LinkId) {
        self.0.remove(&link);
    }

    /// When the first of them has waited long enough.
    pub fn next_deadline(&self) -> Option<u64> {
        self.0.values().map(|early| early.until_ms).min()
    }

    /// Those that have waited long enough by `now_ms`; they are kept no longer.
    pub fn overdue(&mut self, now_ms: u64) -> Vec<LinkId> {
        let overdue = |early: &Early| early.until_ms <= now_ms;
        let links = self.0.iter().filter(|(_, early)| overdue(early)).map(|(link, _)| *link);
        let links: Vec<LinkId> = links.collect();
        links.iter().for_each(|link| self.forget(*link));
        links
    }

    /// All of them; none is kept any longer.
    pub fn take(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    /// What a leader hears of them, in order; none is kept any longer.
    pub fn inputs(&mut self) -> Vec<Input> {
        let kept = std::mem::take(&mut self.0).into_iter();
        let inputs = kept.flat_map(|(link, early)| {
            let packet = early.introduction.map(|packet| Input::Packet { link, packet });
            [Some(Input::LinkOpened(link)), packet]
        });
        inputs.flatten().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
