//! Slow work: what production does on threads of its own, here a piece at a time on the agenda.

use zkserver::persistence::restore::restore_history;
use zkserver::persistence::snapshot::stream::SnapshotStream;
use zkserver::persistence::snapshot::{SnapshotWriteError, write_snapshot_with_pass};
use zkserver::persistence::snapshot_gate::SnapshotPass;
use zkserver::persistence::txn_log::LogError;
use zkserver::persistence::{Ledger, LogRange, purge, survey_log};
use zkserver::proto::{LinkId, QuorumPacket, Zxid};
use zkserver::quorum::effect::{Input, LogSurvey, Restored};
use zkserver::tree::SnapshotCapture;

use super::{MAX_FIELD, Process};
use crate::doors::Job;
use crate::history::{Micros, ServerEvent};
use crate::peer::PeerEvent;
use crate::stage::Stage;

/// Slow work under way.
pub(super) enum Slow {
    Snapshot(SnapshotPass, SnapshotCapture),
    Reload,
    Survey { link: LinkId, peer: Zxid, through: Zxid },
    SendLog { link: LinkId, range: Box<LogRange> },
    SendTree { link: LinkId, tree: Box<SnapshotStream> },
}

impl Process {
    pub(super) fn take_snapshot(&mut self, stage: &mut Stage) {
        if std::mem::replace(&mut self.snapshot_runs, true) {
            return;
        }
        // It shows the database as it is when the job gets hold of it.
        let pass = self.dir.snapshot_gate().pass();
        let capture = self.database.begin_snapshot();
        self.begin(stage, Slow::Snapshot(pass, capture), 300_000);
    }

    /// Slow work that the core asked for.
    pub(super) fn begin_job(&mut self, stage: &mut Stage, job: Job) {
        match job {
            Job::SendSnapshot(link, capture) => {
                if let Some(waiting) = self.links.get_mut(&link) {
                    waiting.tree = Some(SnapshotStream::new(capture));
                    self.send_on(stage, link);
                }
            }
            Job::Reload(old) => {
                drop(old);
                self.begin(stage, Slow::Reload, 20_000);
            }
            Job::ActivateConfig(config) => {
                self.members = config.members.keys().copied().collect();
            }
        }
    }

    pub(super) fn survey(&mut self, stage: &mut Stage, link: LinkId, peer: Zxid, through: Zxid) {
        let Some(waiting) = self.links.get_mut(&link) else { return };
        waiting.pin = Some(self.dir.pins().pin(peer));
        self.begin(stage, Slow::Survey { link, peer, through }, 5_000);
    }

    pub(super) fn begin_log(
        &mut self,
        stage: &mut Stage,
        link: LinkId,
        after: Zxid,
        through: Zxid,
    ) {
        match LogRange::new(&self.dir, after, through, MAX_FIELD) {
            Ok(range) => {
                if let Some(waiting) = self.links.get_mut(&link) {
                    waiting.pin = None;
                }
                self.begin(stage, Slow::SendLog { link, range: Box::new(range) }, 2_000);
            }
            Err(error) => self.link_is_over(stage, link, error.to_string()),
        }
    }

    pub(super) fn begin_tree(&mut self, stage: &mut Stage, link: LinkId, tree: SnapshotStream) {
        let mut bytes = Vec::new();
        QuorumPacket::Snap { zxid: tree.zxid() }.write(&mut bytes);
        self.send_slowly(stage, link, bytes);
        self.begin(stage, Slow::SendTree { link, tree: Box::new(tree) }, 2_000);
    }

    /// Begins slow work that takes about so long.
    fn begin(&mut self, stage: &mut Stage, work: Slow, takes: Micros) {
        self.next_job += 1;
        self.jobs.insert(self.next_job, work);
        let at = stage.agenda.now() + self.random.about(takes);
        self.plan(stage, at, PeerEvent::Job(self.next_job));
    }

    /// Slow work goes on.
    ///
    /// # Errors
    /// The disk's, in words.
    pub(super) fn job(&mut self, stage: &mut Stage, job: u64) -> Result<(), String> {
        let Some(work) = self.jobs.remove(&job) else { return Ok(()) };
        match work {
            Slow::Snapshot(pass, capture) => {
                self.snapshot_runs = false;
                self.write_snapshot(&pass, capture)?;
                if self.character.purges {
                    self.purge()?;
                }
            }
            Slow::Reload => self.reload(stage)?,
            Slow::Survey { link, peer, through } => {
                // Half of the servers allow little.
                let limit = self.character.log_limit;
                let survey = match survey_log(&self.dir, peer, through, limit, MAX_FIELD) {
                    Ok(found) => found.map(|found| LogSurvey {
                        at_or_before: found.at_or_before,
                        after: found.after,
                    }),
                    Err(LogError::Disk(error)) => return Err(error.to_string()),
                    // An old log that rots is no reason to stop: the learner gets the tree.
                    Err(_) => None,
                };
                self.hear(Input::LogSurveyed { link, survey });
            }
            Slow::SendLog { link, mut range } => {
                let mut bytes = Vec::new();
                for _ in 0..20 {
                    match range.next() {
                        None => {
                            self.send_slowly(stage, link, bytes);
                            self.is_free(stage, link);
                            return Ok(());
                        }
                        Some(Ok((zxid, txn))) => {
                            QuorumPacket::Proposal { zxid, txn }.write(&mut bytes);
                            QuorumPacket::Commit { zxid }.write(&mut bytes);
                        }
                        Some(Err(error)) => {
                            self.link_is_over(stage, link, error.to_string());
                            return Ok(());
                        }
                    }
                }
                if self.send_slowly(stage, link, bytes) {
                    self.begin(stage, Slow::SendLog { link, range }, 2_000);
                }
            }
            Slow::SendTree { link, mut tree } => {
                let mut bytes = Vec::new();
                match tree.next_piece(&self.database, &mut bytes) {
                    Err(lost) => self.link_is_over(stage, link, lost.to_string()),
                    Ok(more) => {
                        let goes_on = self.send_slowly(stage, link, bytes);
                        if goes_on && more {
                            self.begin(stage, Slow::SendTree { link, tree }, 2_000);
                        } else {
                            self.is_free(stage, link);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn is_free(&mut self, stage: &mut Stage, link: LinkId) {
        if let Some(waiting) = self.links.get_mut(&link) {
            waiting.busy = false;
            self.send_on(stage, link);
        }
    }

    /// What is under way at the end goes as far as the disk lets it.
    pub(super) fn end_jobs_anyhow(&mut self) {
        for (_, job) in std::mem::take(&mut self.jobs) {
            if let Slow::Snapshot(pass, capture) = job {
                let _ = self.write_snapshot(&pass, capture);
            }
        }
    }

    fn write_snapshot(&self, pass: &SnapshotPass, capture: SnapshotCapture) -> Result<(), String> {
        let (dir, database) = (self.dir.snapshot_dir(), &self.database);
        let options = self.character.snapshots();
        let written = write_snapshot_with_pass(
            &self.disk,
            dir,
            database,
            capture,
            options,
            Some(pass),
            |_| (),
        );
        match written {
            Ok(_)
            | Err(SnapshotWriteError::CaptureLost(_) | SnapshotWriteError::HistoryChanged(_)) => {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn purge(&mut self) -> Result<(), String> {
        let ledger = Ledger::open(&self.dir).map_err(|error| error.to_string())?;
        purge(&self.dir, &ledger, 3, false).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn reload(&mut self, stage: &mut Stage) -> Result<(), String> {
        let options = super::start::member_restore_options(self.character, self.seed);
        let restored = restore_history(&self.dir, &options, &mut |_| ());
        let history = restored.map_err(|refusal| refusal.to_string())?;
        let (zxid, digest) = (history.last_zxid, history.database.tree.digest());
        drop(self.database.write().replace(history.database));
        self.dir.snapshot_gate().open();
        let recent = history.recent.iter();
        let recent = recent.map(|(zxid, txn)| (*zxid, stage.history.txn(txn))).collect();
        self.reloaded = Some((zxid, recent));
        stage.server(self.sid, ServerEvent::Reloaded { zxid, digest });
        let restored = Restored { last_zxid: zxid, recent: history.recent };
        self.hear(Input::Reloaded(restored));
        Ok(())
    }
}
