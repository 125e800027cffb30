//! The doors through which the driver's effects leave: the disk, the links, and the slow jobs.
//!
//! In production there are threads and sockets behind them, in a simulation plain queues.

use std::sync::Arc;

use crate::proto::{LinkId, QuorumVerifier, Ticket};
use crate::quorum::effect::{ClientEffect, DiskEffect, LinkEffect};
use crate::time::Instant;
use crate::tree::{Database, SnapshotCapture};

/// Where the disk lane goes.
pub trait DiskDoor {
    /// Takes effects in order, and does not block. Unless the driver is `alone`, with nothing
    /// behind what it does: then the door may carry them out at once, and returns the ticket up
    /// to which everything is durable.
    fn carry_out(
        &mut self,
        now: Instant,
        effects: &mut Vec<DiskEffect>,
        alone: bool,
    ) -> Option<Ticket>;

    /// Whether what is asked is prepared here, from now on.
    fn prepares(&mut self, prepares: bool);
}

/// Where the links' lane goes.
pub trait LinkDoor {
    /// Takes effects in order, and does not block.
    fn carry_out(&mut self, now: Instant, effects: &mut Vec<LinkEffect>);

    /// A tree is about to be sent over the link ([`JobsDoor::send_snapshot`]): what the link is
    /// given from now on goes behind it. The links' lane may run ahead of the clients' lane, in
    /// which the tree has its place, so it is told before.
    fn snapshot_comes(&mut self, link: LinkId);

    /// For so many milliseconds nothing is said in elections; then the newest of what there was to
    /// say. To the others that is as if this server could not be reached, so nothing depends on it.
    fn stand_back(&mut self, _ms: u64) {}
}

/// Where slow work goes that has its place among what clients can see.
///
/// All of it is called while the database is held for writing: it hands the work over, and neither
/// blocks nor takes the database.
pub trait JobsDoor {
    /// Sends SNAP and the tree over the link, behind everything sent over it before. If it cannot,
    /// the link ends.
    fn send_snapshot(&mut self, link: LinkId, capture: SnapshotCapture);

    /// Restores the database from the disk: drops `old`, which it was, then puts what was restored
    /// in the place of the empty one that is there now ([`Database::replace`]), and then reports
    /// [`Input::Reloaded`](crate::quorum::effect::Input::Reloaded).
    fn reload(&mut self, old: Database);

    /// A configuration is in force: mesh, ports and links follow it.
    fn activate_config(&mut self, config: &Arc<QuorumVerifier>);

    /// An effect is carried out next. For those who check what happens; nothing depends on it.
    #[inline]
    fn carries_out(&mut self, _effect: &ClientEffect) {}

    /// It was, and `db` is what it made of the database.
    #[inline]
    fn carried_out(&mut self, _db: &Database) {}
}

/// The doors of a server that is alone, which are never opened.
#[derive(Debug)]
pub struct NoPeers;

impl LinkDoor for NoPeers {
    fn carry_out(&mut self, _: Instant, effects: &mut Vec<LinkEffect>) {
        unreachable!("a server that is alone has no peers: {effects:?}")
    }

    fn snapshot_comes(&mut self, link: LinkId) {
        unreachable!("a server that is alone has no peers: {link:?}")
    }
}

impl JobsDoor for NoPeers {
    fn send_snapshot(&mut self, link: LinkId, _: SnapshotCapture) {
        unreachable!("a server that is alone has no peers: {link:?}")
    }

    fn reload(&mut self, _: Database) {
        unreachable!("a server that is alone keeps its database")
    }

    fn activate_config(&mut self, config: &Arc<QuorumVerifier>) {
        unreachable!("a server that is alone has no configuration of an ensemble: {config:?}")
    }
}
