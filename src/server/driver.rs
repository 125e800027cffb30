//! The driver: turn after turn, inputs into the core and effects out of it.
//!
//! A [`Driver`] is a synchronous value over doors ([`doors`](super::doors)). A simulation calls
//! [`Driver::turn`] itself; in production [`SharedDriver`](super::shared_driver::SharedDriver) does.

use std::sync::Arc;

use super::carry_out::CarryOut;
use super::counts::Arrivals;
use super::doors::{DiskDoor, JobsDoor, LinkDoor};
use super::role_watch::{PublishedRole, RoleWatch};
use crate::metrics::Metrics;
use crate::processor::connections::Connection;
use crate::proto::Zxid;
use crate::quorum::effect::{ClientEffect, Effects, Input};
use crate::quorum::peer::QuorumPeer;
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;

/// The peer core with its doors.
pub struct Driver<D, L, J, C> {
    peer: QuorumPeer,
    database: Arc<SharedDatabase>,
    disk: D,
    links: L,
    jobs: J,
    clients: CarryOut<C>,
    effects: Effects,
    applied: Option<Zxid>,
    metrics: Arc<Metrics>,
    /// Only for measuring: what is decided is decided by the turn's moment.
    clock: Arc<dyn Clock>,
    /// What was counted of the change records so far: made, and retired.
    change_records: (u64, u64),
    /// Only a member has a role to watch.
    role: Option<Box<RoleWatch>>,
}

impl<D: DiskDoor, L: LinkDoor, J: JobsDoor, C: Connection> Driver<D, L, J, C> {
    /// A driver of `peer`.
    pub fn new(
        peer: QuorumPeer,
        database: Arc<SharedDatabase>,
        (disk, links, jobs): (D, L, J),
        clients: CarryOut<C>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let role = RoleWatch::of(&peer, metrics.clone(), clock.now()).map(Box::new);
        Driver {
            role,
            peer,
            database,
            disk,
            links,
            jobs,
            clients,
            effects: Effects::default(),
            applied: None,
            metrics,
            clock,
            change_records: (0, 0),
        }
    }

    /// Steps the core once for each input, then carries the effects out: first the disk's and the
    /// links', which may run ahead, then what clients can see, in the order emitted. `more` says
    /// that further inputs wait.
    pub fn turn(&mut self, now: Instant, inputs: &mut Vec<Input>, more: bool) {
        let alone = !more;
        let mut now = now;
        self.clients.drop_stale(inputs);
        if let Some(role) = &mut self.role {
            role.inputs(inputs, now);
        }
        let prepares = self.role.as_ref().is_none_or(|role| role.prepares());
        let arrivals = Arrivals::of(inputs, now, &self.metrics, prepares);
        self.clients.taken(arrivals.requests);
        self.disk.prepares(prepares);
        {
            // The driver is the only writer, so readers may come along.
            let db = self.database.read();
            if let Some(zxid) = self.applied.take() {
                self.peer.step(now, Input::Applied(zxid), &db, &mut self.effects);
            }
            for input in inputs.drain(..) {
                self.peer.step(now, input, &db, &mut self.effects);
            }
            if self.peer.next_deadline().is_some_and(|deadline| deadline <= now.mono_ms) {
                self.peer.step(now, Input::Tick, &db, &mut self.effects);
            }
        }
        self.count_preparation(now, &arrivals, prepares);
        if let Some(role) = &mut self.role {
            role.disk(&self.peer, &self.effects.disk);
        }
        if !self.effects.disk.is_empty()
            && let Some(ticket) = self.disk.carry_out(now, &mut self.effects.disk, alone)
        {
            // What the clients see next waited for the disk.
            now = self.clock.now();
            if let Some(role) = &mut self.role {
                role.persisted(ticket, now);
            }
            let db = self.database.read();
            self.peer.step(now, Input::Persisted(ticket), &db, &mut self.effects);
        }
        if let Some(role) = &mut self.role {
            role.links(&self.peer, &self.effects.links, &self.effects.client);
        }
        if let Some(role) = &mut self.role
            && let Some(ms) = role.stands_back(&self.peer, now)
        {
            self.links.stand_back(ms);
        }
        if !self.effects.links.is_empty() {
            for effect in &self.effects.client {
                if let ClientEffect::SendSnapshot { link, .. } = effect {
                    self.links.snapshot_comes(*link);
                }
            }
            self.links.carry_out(now, &mut self.effects.links);
        }
        if !self.effects.client.is_empty() {
            self.applied = self.clients.carry_out(&mut self.effects.client, now, &mut self.jobs);
        }
        if let Some(role) = &mut self.role {
            role.turn_ends(&self.peer, now);
        }
    }

    /// Where the role of a member is published after each turn that changes it; `None` for a server
    /// that is alone.
    pub fn role(&self) -> Option<Arc<PublishedRole>> {
        self.role.as_ref().map(|role| role.published())
    }

    /// The core.
    pub fn peer(&self) -> &QuorumPeer {
        &self.peer
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        self.peer.in_process()
    }

    fn count_preparation(&mut self, now: Instant, arrivals: &Arrivals, prepares: bool) {
        let metrics = &self.metrics;
        let (made, retired) = self.peer.change_records();
        if made < self.change_records.0 {
            // Another role, another prep: the counts begin again.
            self.change_records = (0, 0);
        }
        metrics.outstanding_changes_queued.add(made - self.change_records.0);
        metrics.outstanding_changes_removed.add(retired - self.change_records.1);
        self.change_records = (made, retired);
        if arrivals.for_prep() == 0 {
            return;
        }
        if !prepares {
            metrics.learner_request_processor_queue_size.record(arrivals.requests);
            return;
        }
        metrics.prep_processor_request_queued.add(arrivals.for_prep());
        metrics.prep_processor_queue_size.record(arrivals.for_prep());
        // Both moments are cut to whole milliseconds: too short as often as too long.
        let took_ms = (self.clock.nanos() / 1_000_000).saturating_sub(now.mono_ms);
        metrics.prep_process_time.record(took_ms);
        if arrivals.close_session {
            metrics.close_session_prep_time.record(took_ms);
        }
    }

    /// Whether something waits for the next turn to be done: what the disk's report called for while
    /// the disk was driven.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// When the next turn is due without any input, milliseconds on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        let is_due = self.applied.is_some() || self.has_effects();
        if is_due { Some(0) } else { self.peer.next_deadline() }
    }
}
