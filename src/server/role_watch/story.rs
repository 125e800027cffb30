//! What an operator reads of a member: a line when its role begins, when it serves, and of each
//! learner when it has everything.
//!
//! Why a role ends, and why a learner goes, is said by the core, which knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::traffic::Traffic;
use crate::proto::host_port::Delimited;
use crate::proto::{LinkId, QuorumVerifier, ServerState, Sid};
use crate::status::{LearnerStatus, MemberStatus, Stage, SyncMode, ZabState};

/// What was told so far.
#[derive(Debug)]
pub(super) struct Story {
    stage: Stage,
    /// When the role began, in milliseconds.
    since_ms: u64,
    /// A search for a leader that is not over then is told of, in milliseconds after it began.
    patience_ms: u64,
    learners: BTreeMap<LinkId, Learner>,
}

/// A learner that has said who it is.
#[derive(Debug)]
struct Learner {
    sid: Sid,
    came_ms: u64,
    follows: bool,
}

/// A search for a leader that takes so long is told of, and again at twice the time …
const FIRST_PATIENCE_MS: u64 = 10_000;
/// … but not more rarely than this.
const MOST_PATIENCE_MS: u64 = 300_000;

impl Story {
    /// It begins with a server that looks for a leader.
    pub(super) fn new(stage: Stage, now_ms: u64) -> Self {
        Story { stage, since_ms: now_ms, patience_ms: FIRST_PATIENCE_MS, learners: BTreeMap::new() }
    }

    /// Tells what is new. `traffic` knows how everybody was synchronized; `idle_ms` is for how long
    /// the server has not served, and `connected` with whom it has connections for elections.
    pub(super) fn goes_on(
        &mut self,
        now: &MemberStatus,
        traffic: &Traffic,
        idle_ms: u64,
        connected: &BTreeSet<Sid>,
    ) {
        let before = std::mem::replace(&mut self.stage, now.stage);
        if before.state != now.stage.state {
            self.since_ms = now.at_ms;
            self.patience_ms = FIRST_PATIENCE_MS;
            self.learners.clear();
            self.role_begins(now);
        }
        if now.stage.state == ServerState::Looking && self.takes_long(now.at_ms) {
            let seconds = (now.at_ms - self.since_ms) / 1000;
            let needed = Listed(now.config.voters().filter(|sid| *sid != now.sid).collect());
            let connected = Listed(connected.iter().copied().collect());
            let votes = match now.may_vote {
                true => "",
                false => ", but this one has no vote before it has a leader's data",
            };
            tracing::warn!(
                seconds,
                %connected,
                "no leader yet; a quorum of the voters must reach each other at their election \
                 addresses; the others are {needed}{votes}"
            );
        }
        if before.zab != ZabState::Broadcast && now.stage.zab == ZabState::Broadcast {
            self.serves(now, Sync(traffic.own_sync()), idle_ms);
        }
        if now.stage.state == ServerState::Leading {
            self.learners(now, traffic);
        }
    }

    /// This server was elected to lead, and no quorum came to its quorum port.
    pub(super) fn led_in_vain(
        &self,
        config: &QuorumVerifier,
        me: Sid,
        times: u32,
        came: &BTreeSet<Sid>,
        stand_back_ms: Option<u64>,
    ) {
        let address = config.members.get(&me).and_then(|server| server.addresses.first());
        let at = address.map(|at| format!("{}:{}", Delimited(&at.host), at.quorum_port));
        let at = at.unwrap_or_default();
        let came = Listed(came.iter().copied().collect());
        tracing::warn!(
            times,
            %came,
            "elected to lead, and no quorum came to the quorum port: the others reach this server \
             at its election port, and must reach it at {at} as well, the first port of its server \
             line; look for a firewall between them, and for another port in their configurations"
        );
        if let Some(ms) = stand_back_ms {
            tracing::warn!(ms, "says nothing in elections for a while, so that another can lead");
        }
    }

    /// Whether it is time to say that no leader is found.
    fn takes_long(&mut self, now_ms: u64) -> bool {
        let looked_ms = now_ms - self.since_ms;
        if looked_ms < self.patience_ms {
            return false;
        }
        self.patience_ms = looked_ms + looked_ms.min(MOST_PATIENCE_MS);
        true
    }

    fn role_begins(&self, now: &MemberStatus) {
        let election_ms = now.election_ms.unwrap_or_default();
        let (last, leader) = (now.last_logged, At(now, now.leader));
        match now.stage.state {
            // Why, and that it looks, was said when the role before ended.
            ServerState::Looking => {}
            ServerState::Leading => {
                tracing::info!(%last, election_ms, "elected to lead: waits for a quorum");
            }
            ServerState::Following | ServerState::Observing => {
                tracing::info!(%leader, %last, election_ms, "a leader is elected: joins it");
            }
        }
    }

    fn serves(&self, now: &MemberStatus, sync: Sync, idle_ms: u64) {
        let (epoch, last) = (now.current_epoch.0, now.last_logged);
        let sync_ms = now.at_ms - self.since_ms;
        let leader = At(now, now.leader);
        match now.stage.state {
            ServerState::Looking => {}
            ServerState::Leading => {
                tracing::info!(epoch, %last, sync_ms, idle_ms, "leads");
            }
            ServerState::Following => {
                tracing::info!(%leader, epoch, %last, %sync, sync_ms, idle_ms, "follows");
            }
            ServerState::Observing => {
                tracing::info!(%leader, epoch, %last, %sync, sync_ms, idle_ms, "observes");
            }
        }
    }

    fn learners(&mut self, now: &MemberStatus, traffic: &Traffic) {
        self.learners.retain(|link, _| now.learners.iter().any(|status| status.link == *link));
        for status in &now.learners {
            let Some((sid, _)) = status.peer else { continue };
            let came_ms = now.at_ms;
            let learner = self.learners.entry(status.link).or_insert(Learner {
                sid,
                came_ms,
                follows: false,
            });
            learner.goes_on(status, now, traffic);
        }
    }
}

impl Learner {
    fn goes_on(&mut self, status: &LearnerStatus, now: &MemberStatus, traffic: &Traffic) {
        if self.follows || status.zab != ZabState::Broadcast {
            return;
        }
        self.follows = true;
        let sync = Sync(traffic.sync_of(status.link));
        let (votes, last) = (status.votes, now.last_committed);
        let sync_ms = now.at_ms - self.came_ms;
        tracing::info!(learner = self.sid.0, votes, %sync, sync_ms, %last, "a learner has joined");
    }
}

/// A server with its address for learners.
struct At<'a>(&'a MemberStatus, Option<Sid>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At(status, Some(sid)) = self else { return f.write_str("none") };
        let address = status.config.members.get(sid).and_then(|server| server.addresses.first());
        match address {
            Some(at) => write!(f, "{sid} at {}:{}", Delimited(&at.host), at.quorum_port),
            None => write!(f, "{sid}"),
        }
    }
}

/// Servers, by their ids.
struct Listed(Vec<Sid>);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.0.iter().map(|sid| sid.0.to_string()).collect();
        if ids.is_empty() { f.write_str("nobody") } else { f.write_str(&ids.join(",")) }
    }
}

/// How somebody was synchronized.
struct Sync(Option<SyncMode>);

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "none",
            Some(SyncMode::Diff) => "diff",
            Some(SyncMode::Snap) => "snap",
            Some(SyncMode::Trunc) => "trunc",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_lasts_is_told_of_now_and_then() {
        let looks = Stage { state: ServerState::Looking, zab: ZabState::Election };
        let mut story = Story::new(looks, 1_000);
        let told = (1..=2000).filter(|second| story.takes_long(1_000 + second * 1_000));
        assert_eq!(
            told.collect::<Vec<u64>>(),
            [10, 20, 40, 80, 160, 320, 620, 920, 1220, 1520, 1820]
        );
    }
}
