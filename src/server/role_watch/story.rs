//! What an operator reads of a member: a line when its role begins, when it serves, and of each
//! learner when it has everything.
//!
//! Why a role ends, and why a learner goes, is said by the core, which knows it.

use std::collections::BTreeMap;
use std::fmt;

use crate::proto::host_port::Delimited;
use crate::proto::{LinkId, ServerState, Sid};
use crate::status::{LearnerStatus, MemberStatus, Stage, SyncMode, ZabState};

/// What was told so far.
#[derive(Debug)]
pub(super) struct Story {
    stage: Stage,
    /// When the stage before serving began, in milliseconds.
    since_ms: u64,
    learners: BTreeMap<LinkId, Learner>,
}

/// A learner that has said who it is.
#[derive(Debug)]
struct Learner {
    sid: Sid,
    came_ms: u64,
    sync: Option<SyncMode>,
    follows: bool,
}

impl Story {
    /// It begins with a server that looks for a leader.
    pub(super) fn new(stage: Stage, now_ms: u64) -> Self {
        Story { stage, since_ms: now_ms, learners: BTreeMap::new() }
    }

    /// Tells what is new. `sync` is how this server was synchronized last, and `idle_ms` for how long
    /// it has not served.
    pub(super) fn goes_on(&mut self, now: &MemberStatus, sync: Option<SyncMode>, idle_ms: u64) {
        let before = std::mem::replace(&mut self.stage, now.stage);
        if before.state != now.stage.state {
            self.since_ms = now.at_ms;
            self.learners.clear();
            self.role_begins(now);
        }
        if before.zab != ZabState::Broadcast && now.stage.zab == ZabState::Broadcast {
            self.serves(now, Sync(sync), idle_ms);
        }
        if now.stage.state == ServerState::Leading {
            self.learners(now);
        }
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

    fn learners(&mut self, now: &MemberStatus) {
        self.learners.retain(|link, _| now.learners.iter().any(|status| status.link == *link));
        for status in &now.learners {
            let Some((sid, _)) = status.peer else { continue };
            let came_ms = now.at_ms;
            let learner = self.learners.entry(status.link).or_insert(Learner {
                sid,
                came_ms,
                sync: None,
                follows: false,
            });
            learner.goes_on(status, now);
        }
    }
}

impl Learner {
    fn goes_on(&mut self, status: &LearnerStatus, now: &MemberStatus) {
        self.sync = status.sync.or(self.sync);
        if self.follows || status.zab != ZabState::Broadcast {
            return;
        }
        self.follows = true;
        let (votes, sync, last) = (status.votes, Sync(self.sync), now.last_committed);
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
