//! The slow work of a member's driver: trees to be sent, and the restore of a history that was cut
//! or replaced.

use std::sync::Arc;

use parking_lot::Mutex;

use super::doors::JobsDoor;
use super::inbox::Inbox;
use super::load::{refused, tell_notices, telling};
use super::peers::PeersHandle;
use super::progress::Progress;
use super::restorer::Restorer;
use crate::persistence::{
    DataDir, HistoryRestored, Ledger, MemberRestoreOptions, RestoreStage, restore_history,
};
use crate::proto::{LinkId, QuorumVerifier};
use crate::quorum::effect::{Input, Restored};
use crate::time::Clock;
use crate::tree::{Database, SharedDatabase, SnapshotCapture};

/// The driver's door to slow work.
pub struct MemberJobs {
    /// Who sends trees.
    pub peers: PeersHandle,
    /// What is restored, and how.
    pub reload: Reload,
    /// Where it is: the thread that restored the old tree.
    pub restorer: Restorer,
}

/// Restores the database from the disk.
#[derive(Clone)]
pub struct Reload {
    /// Where the history is.
    pub dir: Arc<DataDir>,
    /// How it is read.
    pub options: MemberRestoreOptions,
    /// What takes it up.
    pub database: Arc<SharedDatabase>,
    /// Who remembers which snapshots are damaged.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Where it is reported.
    pub inbox: Arc<Inbox>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl JobsDoor for MemberJobs {
    fn send_snapshot(&mut self, link: LinkId, capture: SnapshotCapture) {
        self.peers.send_snapshot(link, capture);
    }

    fn reload(&mut self, old: Database) {
        let reload = self.reload.clone();
        self.restorer.begin(move || reload.run(old));
    }

    fn activate_config(&mut self, config: &Arc<QuorumVerifier>) {
        self.peers.set_members(config);
    }
}

impl Reload {
    fn run(self, old: Database) {
        let Reload { dir, options, database, ledger, inbox, clock } = self;
        // Both in memory at once would be twice the tree.
        drop(old);
        let began_ms = clock.now().mono_ms;
        let mut progress = Progress::new(&*clock);
        let mut tell = |stage: RestoreStage<'_>| telling(&mut progress, stage);
        let restored = restore_history(&dir, &options, &mut tell);
        let HistoryRestored { database: new, last_zxid, recent, report } =
            restored.unwrap_or_else(refused);
        tell_notices(&report.notices);
        ledger.lock().note_damaged(report.damaged_snapshots);
        let (znodes, sessions) = (new.tree.node_count(), new.session_count());
        drop(database.write().replace(new));
        dir.snapshot_gate().open();
        tracing::info!(
            %last_zxid,
            txns_replayed = report.txns_replayed,
            znodes,
            sessions,
            millis = clock.now().mono_ms - began_ms,
            "data loaded again"
        );
        inbox.push_first(Input::Reloaded(Restored { last_zxid, recent }));
    }
}
