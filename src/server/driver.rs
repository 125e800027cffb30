//! The driver: turn after turn, inputs into the core and effects out of it.
//!
//! A [`Driver`] is a synchronous value. The thread that owns it in production is [`run`]; a
//! simulation would call [`Driver::turn`] itself.

use std::sync::Arc;
use std::time::Duration;

use super::carry_out::CarryOut;
use super::inbox::Inbox;
use super::throttle::Throttle;
use crate::proto::{Ticket, Zxid};
use crate::quorum::effect::{DiskEffect, Effects, Input};
use crate::quorum::peer::QuorumPeer;
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;

/// Where the disk lane goes.
pub trait DiskDoor {
    /// Takes effects in order, and does not block. Unless the driver is `alone`, with nothing
    /// else to do: then the door may carry them out at once, and returns the ticket up to which
    /// everything is durable.
    fn carry_out(&mut self, effects: &mut Vec<DiskEffect>, alone: bool) -> Option<Ticket>;
}

/// The peer core with its doors.
pub struct Driver<D> {
    peer: QuorumPeer,
    database: Arc<SharedDatabase>,
    disk: D,
    clients: CarryOut,
    effects: Effects,
    applied: Option<Zxid>,
}

/// Inputs of one turn, at most.
const MOST_INPUTS: usize = 256;

impl<D: DiskDoor> Driver<D> {
    /// A driver of `peer`.
    pub fn new(
        peer: QuorumPeer,
        database: Arc<SharedDatabase>,
        disk: D,
        clients: CarryOut,
    ) -> Self {
        Driver { peer, database, disk, clients, effects: Effects::default(), applied: None }
    }

    /// Steps the core once for each input, then carries the effects out: first the disk's, which
    /// may run ahead, then what clients can see, in the order emitted. `more` says that further
    /// inputs wait.
    pub fn turn(&mut self, now: Instant, inputs: &mut Vec<Input>, more: bool) {
        let alone = !more && inputs.len() <= 1;
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
        if !self.effects.disk.is_empty()
            && let Some(ticket) = self.disk.carry_out(&mut self.effects.disk, alone)
        {
            let db = self.database.read();
            self.peer.step(now, Input::Persisted(ticket), &db, &mut self.effects);
        }
        if !self.effects.client.is_empty() {
            self.applied = self.clients.carry_out(&mut self.effects.client, now);
        }
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        self.peer.in_process()
    }

    fn patience(&self, now: Instant) -> Option<Duration> {
        if self.applied.is_some() {
            return Some(Duration::ZERO);
        }
        let deadline = self.peer.next_deadline()?;
        Some(Duration::from_millis(deadline.saturating_sub(now.mono_ms)))
    }
}

/// The driver's thread: takes what the inbox has and turns, until the inbox is stopped. Clients'
/// requests go through the throttle, if there is one.
pub fn run<D: DiskDoor>(
    mut driver: Driver<D>,
    inbox: &Inbox,
    clock: &dyn Clock,
    mut throttle: Option<Throttle>,
) {
    let mut inputs = Vec::with_capacity(MOST_INPUTS);
    loop {
        let now = clock.now();
        let mut patience = driver.patience(now);
        if let Some(throttle) = &throttle {
            patience = throttle.patience(patience, driver.in_process());
        }
        if !inbox.take(&mut inputs, MOST_INPUTS, patience) {
            return;
        }
        let now = clock.now();
        if let Some(throttle) = &mut throttle {
            throttle.pass(&mut inputs, driver.in_process(), now);
        }
        driver.turn(now, &mut inputs, !inbox.is_empty());
    }
}
