//! Carrying the clients' lane out: apply, watch events, replies, in the order emitted.
//!
//! Under one hold of the database a batch of transactions is applied; each leaves its events and
//! then its reply in the queues of the connections concerned. Then the database is let go and
//! the connections touched are flushed.

mod delivery;
mod hold;
mod touched;

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use self::hold::Hold;
use self::touched::Touched;
use super::counts::Counts;
use super::doors::JobsDoor;
use crate::auth::AuthPolicy;
use crate::metrics::Metrics;
use crate::processor::connections::{Connection, Connections};
use crate::proto::{ConnectionId, QuorumVerifier, SessionId, Zxid};
use crate::quorum::effect::{ClientEffect, Input};
use crate::time::Instant;
use crate::tree::SharedDatabase;
use crate::watch::Watches;

/// After so many effects the connections concerned are flushed.
const MOST_PER_FLUSH: usize = 256;
/// One hold of the database does at most so much work before readers get their turn, and the rest
/// of a transaction: effects, changed nodes and events count one each.
const WORK_PER_HOLD: usize = 2000;

/// The clients' side of the driver.
pub struct CarryOut<C> {
    database: Arc<SharedDatabase>,
    watches: Arc<Watches>,
    policy: AuthPolicy,
    max_field_bytes: usize,
    events_have_zxid: bool,
    connections: Arc<Connections<C>>,
    metrics: Arc<Metrics>,
    /// Which connection holds a session.
    holders: HashMap<SessionId, ConnectionId, FixedState>,
    touched: Touched<C>,
    /// Submissions that were taken and are not finished.
    unfinished: i64,
    /// Connections with a lower id were closed when the server ceased to serve. What they have
    /// still submitted must not be carried out behind what was lost of theirs.
    served_from: ConnectionId,
    /// The configuration in force, of a server that is a member of an ensemble.
    config: Option<Arc<QuorumVerifier>>,
}

impl<C: Connection> CarryOut<C> {
    /// Over an empty set of connections.
    pub fn new(
        database: Arc<SharedDatabase>,
        watches: Arc<Watches>,
        policy: AuthPolicy,
        max_field_bytes: usize,
        connections: Arc<Connections<C>>,
        metrics: Arc<Metrics>,
        hash_seed: u64,
    ) -> Self {
        CarryOut {
            database,
            watches,
            policy,
            max_field_bytes,
            events_have_zxid: true,
            connections,
            metrics,
            holders: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            touched: Touched::new(),
            unfinished: 0,
            served_from: ConnectionId(0),
            config: None,
        }
    }

    /// Has events carry the zxid of the change they tell, or -1.
    pub fn with_zxid_in_events(self, events_have_zxid: bool) -> Self {
        CarryOut { events_have_zxid, ..self }
    }

    /// Has `/zookeeper/config` say, once the server serves, that this configuration is in force.
    pub fn with_config(self, config: Arc<QuorumVerifier>) -> Self {
        CarryOut { config: Some(config), ..self }
    }

    /// Takes out of the inputs what connections ask for that were closed meanwhile with all the
    /// others.
    pub fn drop_stale(&mut self, inputs: &mut [Input]) {
        if self.served_from == ConnectionId(0) {
            return;
        }
        let mut stale = 0;
        for input in inputs {
            let Input::Submitted(submissions) = input else { continue };
            let all = submissions.len();
            submissions.retain(|submission| {
                submission.connection().is_none_or(|connection| connection >= self.served_from)
            });
            stale += all - submissions.len();
        }
        self.metrics.outstanding_requests.add(-(stale as i64));
    }

    /// So many submissions were given to the core; each will be finished, or serving ends.
    pub fn taken(&mut self, submissions: u64) {
        self.unfinished += submissions as i64;
    }

    /// Carries everything out and empties the lane. Returns the last transaction applied, if any
    /// was.
    pub fn carry_out(
        &mut self,
        lane: &mut Vec<ClientEffect>,
        now: Instant,
        jobs: &mut impl JobsDoor,
    ) -> Option<Zxid> {
        let mut applied = None;
        let mut effects = lane.drain(..).peekable();
        while effects.peek().is_some() {
            let mut left = MOST_PER_FLUSH;
            while left > 0 && effects.peek().is_some() {
                let database = self.database.clone();
                let mut db = database.write();
                let connections = self.connections.clone();
                let mut hold = Hold {
                    watches: &self.watches,
                    policy: &self.policy,
                    max_field_bytes: self.max_field_bytes,
                    events_have_zxid: self.events_have_zxid,
                    connections: connections.read(),
                    holders: &mut self.holders,
                    touched: &mut self.touched,
                    served_from: &mut self.served_from,
                    config: &mut self.config,
                    now,
                    work: 0,
                    counts: Counts::new(&self.metrics, now, &mut self.unfinished),
                };
                while left > 0
                    && hold.work < WORK_PER_HOLD
                    && let Some(effect) = effects.next()
                {
                    if let ClientEffect::Commit(proposal) = &effect {
                        applied = Some(proposal.zxid);
                    } else if let ClientEffect::CatchUp { zxid, .. } = &effect {
                        applied = Some(*zxid);
                    }
                    jobs.carries_out(&effect);
                    hold.carry_out(effect, &mut db, jobs);
                    jobs.carried_out(&db);
                    hold.work += 1;
                    left -= 1;
                }
                drop(hold);
                if left > 0 && effects.peek().is_some() {
                    SharedDatabase::release(db);
                }
            }
            self.touched.flush();
        }
        applied
    }
}

#[cfg(test)]
mod tests;
