//! What a member's role is, seen by the driver: counted as it changes, and published for the words.
//!
//! The core counts nothing and knows no metrics. Before and after its steps the driver shows what
//! goes in and what comes out; a server that is alone has none of this.

mod story;
mod traffic;
mod vain;

use std::sync::Arc;

use parking_lot::Mutex;

use self::story::Story;
use self::traffic::Traffic;
use self::vain::{InVain, Vain};
use crate::metrics::Metrics;
use crate::proto::{QuorumPacket, ServerState, Sid, Ticket};
use crate::quorum::effect::{ClientEffect, DiskEffect, Input, LinkEffect};
use crate::quorum::peer::QuorumPeer;
use crate::status::{MemberStatus, Stage, ZabState};
use crate::time::Instant;

/// What only grows older is published again after so many milliseconds …
const PERIOD_MS: u64 = 100;
/// … and between that so often, when a learner has answered a PING: each does at about the same
/// moment, and would else be told as silent until the next.
const ANSWERS_PER_PERIOD: u32 = 8;

/// What a member is, as its driver has published it last.
#[derive(Debug)]
pub struct PublishedRole(Mutex<Arc<MemberStatus>>);

impl PublishedRole {
    /// The last that was published.
    pub fn get(&self) -> Arc<MemberStatus> {
        self.0.lock().clone()
    }
}

/// Watches a member's role.
#[derive(Debug)]
pub struct RoleWatch {
    me: Sid,
    metrics: Arc<Metrics>,
    traffic: Traffic,
    story: Story,
    vain: Vain,
    stage: Stage,
    /// Of the stage and the learners: what is told at once when it changes.
    mark: u64,
    times: Times,
    /// The next publication, if nothing changes before.
    next_ms: u64,
    /// Whether a learner has answered a PING in this turn.
    answered: bool,
    /// Answers to PINGs that may still be published before that.
    answers_left: u32,
    published: Arc<PublishedRole>,
}

/// Moments, in milliseconds on the monotonic clock.
#[derive(Debug)]
struct Times {
    looks_since: u64,
    syncs_since: u64,
    unavailable_since: u64,
    serves_since: Option<u64>,
    /// How long the last election took.
    election_ms: Option<u64>,
}

impl RoleWatch {
    /// Watches `peer` from `now` on; `None` for a server that is alone.
    pub fn of(peer: &QuorumPeer, metrics: Arc<Metrics>, now: Instant) -> Option<Self> {
        let status = peer.describe(now)?;
        metrics.looking_count.add(1);
        Some(RoleWatch::with(status, metrics))
    }

    fn with(status: MemberStatus, metrics: Arc<Metrics>) -> Self {
        let now_ms = status.at_ms;
        RoleWatch {
            me: status.sid,
            traffic: Traffic::new(metrics.clone()),
            story: Story::new(status.stage, now_ms),
            vain: Vain::default(),
            metrics,
            stage: status.stage,
            mark: 0,
            times: Times {
                looks_since: now_ms,
                syncs_since: now_ms,
                unavailable_since: now_ms,
                serves_since: None,
                election_ms: None,
            },
            next_ms: now_ms,
            answered: false,
            answers_left: ANSWERS_PER_PERIOD,
            published: Arc::new(PublishedRole(Mutex::new(Arc::new(status)))),
        }
    }

    /// Where the words find it.
    pub fn published(&self) -> Arc<PublishedRole> {
        self.published.clone()
    }

    /// Whether requests are prepared here, and not forwarded.
    pub fn prepares(&self) -> bool {
        self.stage.state == ServerState::Leading
    }

    /// What the core is given next.
    pub fn inputs(&mut self, inputs: &[Input], now: Instant) {
        for input in inputs {
            match input {
                Input::Packet { link, packet } => {
                    self.traffic.arrives(self.stage, *link, packet, now);
                    self.answered |= self.prepares() && matches!(packet, QuorumPacket::Ping { .. });
                }
                Input::LinkClosed { link, .. } => self.traffic.closed(*link),
                Input::Persisted(ticket) => self.persisted(*ticket, now),
                _ => {}
            }
        }
    }

    /// Everything up to that ticket is durable.
    pub fn persisted(&mut self, ticket: Ticket, now: Instant) {
        self.traffic.durable(self.stage, self.me, ticket, now);
    }

    /// What the disk is asked for.
    pub fn disk(&mut self, peer: &QuorumPeer, effects: &[DiskEffect]) {
        // The new role's first transactions are its own.
        let stage = peer.stage().unwrap_or(self.stage);
        self.traffic.logged(stage, effects);
    }

    /// What other servers are sent.
    pub fn links(&mut self, peer: &QuorumPeer, links: &[LinkEffect], clients: &[ClientEffect]) {
        if peer.stage().is_some_and(|stage| stage.state == ServerState::Leading) {
            self.traffic.sent(links, clients);
        }
    }

    /// For how long the server is to say nothing in elections, in milliseconds, if it is to from now
    /// on: before whatever it would say next.
    pub fn stands_back(&mut self, peer: &QuorumPeer, now: Instant) -> Option<u64> {
        let Stage { state, zab } = self.stage;
        if state != ServerState::Leading || zab == ZabState::Broadcast {
            return None;
        }
        let (member, stage) = (peer.as_member()?, peer.stage()?);
        if stage.state == ServerState::Leading {
            return None;
        }
        let init_ms = member.ticks(member.options.init_limit);
        let in_vain = self.vain.ends(now.mono_ms, init_ms, |came| {
            member.configs.contains_quorum(|sid| sid == self.me || came.contains(&sid))
        })?;
        let InVain { count, came, stand_back_ms } = in_vain;
        self.story.led_in_vain(&member.configs.current, self.me, count, &came, stand_back_ms);
        stand_back_ms
    }

    /// The turn is over.
    pub fn turn_ends(&mut self, peer: &QuorumPeer, now: Instant) {
        let Some(stage) = peer.stage() else { return };
        if let Some(member) = peer.as_member() {
            self.traffic.committed(stage, member.committed.max(), now);
        }
        if stage != self.stage {
            let before = std::mem::replace(&mut self.stage, stage);
            self.changes(before, stage, now.mono_ms);
        }
        let sync = self.traffic.own_sync().map_or(0, |mode| 1 + mode as u64);
        let own = (stage.state.to_int() as u64) << 16 | (stage.zab as u64) << 8 | sync;
        let mark = peer.learners_mark().wrapping_mul(31).wrapping_add(own);
        if !self.is_due(mark, now.mono_ms) {
            return;
        }
        let Some(mut status) = peer.describe(now) else { return };
        status.election_ms = self.times.election_ms;
        status.serving_since_ms = self.times.serves_since;
        self.traffic.tell(&mut status);
        let idle_ms = now.mono_ms.saturating_sub(self.times.unavailable_since);
        if let Some(member) = peer.as_member() {
            if stage.state == ServerState::Leading {
                self.vain.goes_on(&status);
            }
            self.story.goes_on(&status, &self.traffic, idle_ms, &member.connected);
        }
        *self.published.0.lock() = Arc::new(status);
    }

    /// Whether the role is published after a turn that leaves it with this mark.
    fn is_due(&mut self, mark: u64, now_ms: u64) -> bool {
        let answered = std::mem::take(&mut self.answered) && self.answers_left > 0;
        if now_ms >= self.next_ms {
            self.next_ms = now_ms + PERIOD_MS;
            self.answers_left = ANSWERS_PER_PERIOD;
        } else if answered {
            self.answers_left -= 1;
        } else if mark == self.mark {
            return false;
        }
        self.mark = mark;
        true
    }

    fn changes(&mut self, before: Stage, stage: Stage, now_ms: u64) {
        let (metrics, times) = (&self.metrics, &mut self.times);
        let is_new_role = before.state != stage.state;
        if is_new_role {
            self.traffic.role_ends();
        }
        if before.zab == ZabState::Broadcast {
            times.unavailable_since = now_ms;
            times.serves_since = None;
        }
        if is_new_role && stage.state == ServerState::Looking {
            metrics.looking_count.add(1);
            times.looks_since = now_ms;
        }
        if before.state == ServerState::Looking && is_new_role {
            let election_ms = now_ms - times.looks_since;
            times.election_ms = Some(election_ms);
            times.syncs_since = now_ms;
            // An observer gives no vote, and Apache counts none of its elections.
            if stage.state != ServerState::Observing {
                metrics.election_time.record(election_ms);
            }
        }
        if stage.zab == ZabState::Synchronization {
            times.syncs_since = now_ms;
        }
        if stage.zab == ZabState::Broadcast {
            self.vain.serves();
            times.serves_since = Some(now_ms);
            let unavailable_ms = now_ms - times.unavailable_since;
            metrics.unavailable_time.record(unavailable_ms);
            let sync_ms = now_ms - times.syncs_since;
            match stage.state {
                ServerState::Leading => {
                    metrics.leader_unavailable_time.record(unavailable_ms);
                }
                ServerState::Following => metrics.follower_sync_time.record(sync_ms),
                ServerState::Observing => metrics.observer_sync_time.record(sync_ms),
                ServerState::Looking => {}
            }
        }
        if stage.state == ServerState::Leading && is_new_role {
            metrics.begins_to_lead();
            self.vain.begins(now_ms);
        }
    }
}

#[cfg(test)]
mod tests;
