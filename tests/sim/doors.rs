//! The driver's doors in the simulation: plain queues that the process empties after each turn.

use std::sync::Arc;

use parking_lot::Mutex;
use zkserver::proto::{LinkId, QuorumVerifier, Ticket};
use zkserver::quorum::effect::{ClientEffect, DiskEffect, LinkEffect};
use zkserver::server::doors::{DiskDoor, JobsDoor, LinkDoor};
use zkserver::time::Instant;
use zkserver::tree::{Database, SnapshotCapture};

/// What the driver has handed out in a turn.
#[derive(Default)]
pub struct HandedOut {
    /// For the disk queue.
    pub disk: Vec<DiskEffect>,
    /// What was asked was prepared here.
    pub leads: bool,
    /// For the links, in order.
    pub links: Vec<LinkEffect>,
    /// Links over which a tree will be sent: what they are given from now on goes behind it.
    pub trees_to_come: Vec<LinkId>,
    /// Slow work.
    pub jobs: Vec<Job>,
    /// What was carried out for clients, in order.
    pub witnessed: Vec<Witnessed>,
}

/// Slow work.
pub enum Job {
    /// Send this tree.
    SendSnapshot(LinkId, SnapshotCapture),
    /// Restore the database.
    Reload(Box<Database>),
    /// A configuration is in force.
    ActivateConfig(Arc<QuorumVerifier>),
}

/// An effect that clients can see, with the tree's digest behind it.
pub struct Witnessed {
    /// The effect, as far as it is of interest.
    pub what: Seen,
    /// The digest behind it.
    pub digest: u64,
    /// How often the tree was found to differ from its leader's, by then.
    pub mismatches: u64,
}

/// Of an effect, what is of interest.
pub enum Seen {
    /// A transaction was applied, as committed.
    Commit(zkserver::proto::Zxid, bytes::Bytes),
    /// A transaction was applied that nobody has committed yet.
    CatchUp(zkserver::proto::Zxid, bytes::Bytes),
    /// Clients are served from now on, or no longer.
    Serving(bool),
}

/// One of the doors; all of them lead to the same place.
#[derive(Clone, Default)]
pub struct Door(pub Arc<Mutex<HandedOut>>);

impl DiskDoor for Door {
    fn carry_out(
        &mut self,
        _now: Instant,
        effects: &mut Vec<DiskEffect>,
        _alone: bool,
    ) -> Option<Ticket> {
        self.0.lock().disk.append(effects);
        None
    }

    fn prepares(&mut self, prepares: bool) {
        self.0.lock().leads = prepares;
    }
}

impl LinkDoor for Door {
    fn carry_out(&mut self, _now: Instant, effects: &mut Vec<LinkEffect>) {
        self.0.lock().links.append(effects);
    }

    fn snapshot_comes(&mut self, link: LinkId) {
        self.0.lock().trees_to_come.push(link);
    }
}

impl JobsDoor for Door {
    fn send_snapshot(&mut self, link: LinkId, capture: SnapshotCapture) {
        self.0.lock().jobs.push(Job::SendSnapshot(link, capture));
    }

    fn reload(&mut self, old: Database) {
        self.0.lock().jobs.push(Job::Reload(Box::new(old)));
    }

    fn activate_config(&mut self, config: &Arc<QuorumVerifier>) {
        self.0.lock().jobs.push(Job::ActivateConfig(config.clone()));
    }

    fn carries_out(&mut self, effect: &ClientEffect) {
        let what = match effect {
            ClientEffect::Commit(proposal) => Seen::Commit(proposal.zxid, proposal.txn.clone()),
            ClientEffect::CatchUp { zxid, txn } => Seen::CatchUp(*zxid, txn.clone()),
            ClientEffect::StartServing => Seen::Serving(true),
            ClientEffect::StopServing => Seen::Serving(false),
            _ => return,
        };
        self.0.lock().witnessed.push(Witnessed { what, digest: 0, mismatches: 0 });
    }

    fn carried_out(&mut self, db: &Database) {
        if let Some(witnessed) = self.0.lock().witnessed.last_mut()
            && witnessed.digest == 0
        {
            witnessed.digest = db.tree.digest();
            witnessed.mismatches = db.digest_mismatches();
        }
    }
}
