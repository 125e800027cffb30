//! Zeros written ahead of the log, before it comes there: in its file, or in the next (`next_file`).
//!
//! A sync of bytes that lie in blocks written before commits no metadata, so it costs one disk
//! write and no journal commit. Merely reserving the space does not achieve that: the first
//! write to each reserved block changes the file's map. So zeros are really written, in steps,
//! and synced, beside the log's own writes: the writer hands out a [`ZeroFill`], whoever is given
//! it runs it, at once or on a thread of its own.
//!
//! Never do zeros meet records: the writer touches nothing of a range whose fill is unfinished.
//!
//! A fill has an open file of its own. Linux tells of bytes that it could not write back once for
//! each, with the next sync: through a shared one, a fill's sync could be the one that is told of
//! the log's own bytes, and the log's sync would find nothing wrong.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::persistence::disk::{DiskError, DiskFile};

/// Gets each [`ZeroFill`]; may run it at once, later on another thread, or drop it.
pub type ZeroFiller = Box<dyn FnMut(ZeroFill) + Send>;

/// A job: write zeros over one range of a log file, durably if the log is synced.
pub struct ZeroFill {
    write: Box<dyn Fn(u64, u64) -> FillOutcome + Send>,
    from: u64,
    to: u64,
    outcome: Arc<SharedOutcome>,
}

impl ZeroFill {
    /// Writes the zeros and reports. Blocks for the disk.
    pub fn run(self) {
        let outcome = self.write();
        self.outcome.report(outcome);
    }

    /// What is to be filled, from and to.
    #[cfg(test)]
    pub(super) fn range(&self) -> (u64, u64) {
        (self.from, self.to)
    }

    /// Writes the zeros, does something else, and then reports.
    #[cfg(test)]
    pub(super) fn run_and_then(self, before_the_report: impl FnOnce()) {
        let outcome = self.write();
        before_the_report();
        self.outcome.report(outcome);
    }

    /// Writes the zeros; the writer is told only that the job has gone.
    #[cfg(test)]
    pub(super) fn run_unreported(self) -> Result<(), DiskError> {
        match self.write() {
            FillOutcome::Failed(error) => Err(error),
            FillOutcome::Filled | FillOutcome::NotWritten => Ok(()),
        }
    }

    fn write(&self) -> FillOutcome {
        (self.write)(self.from, self.to)
    }
}

/// Writes zeros from one offset to another.
pub(super) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> Result<(), DiskError> {
    let mut at = from;
    while at < to {
        let n = (to - at).min(ZEROS.len() as u64);
        file.write_all_at(at, &ZEROS[..n as usize])?;
        at += n;
    }
    Ok(())
}

/// Writes zeros in a file that the log is in, and syncs them if it is `synced`. Lack of room is no failure as
/// long as nothing was to be kept: of a sync it may be the log's own bytes that are lost.
pub(super) fn fill_log(file: &dyn DiskFile, from: u64, to: u64, synced: bool) -> FillOutcome {
    match write_zeros(file, from, to) {
        Ok(()) => {}
        Err(error) if error.is_no_room() => {
            warn_of_no_room(&error);
            return FillOutcome::NotWritten;
        }
        Err(error) => return FillOutcome::Failed(error),
    }
    match synced.then(|| file.sync_data()) {
        Some(Err(error)) => FillOutcome::Failed(error),
        Some(Ok(())) | None => FillOutcome::Filled,
    }
}

/// Records may still fit; if they do not, that ends the process.
pub(super) fn warn_of_no_room(error: &DiskError) {
    tracing::warn!(%error, "no room could be made ahead of the log");
}

impl Drop for ZeroFill {
    /// A job that was never run must not keep the writer waiting.
    fn drop(&mut self) {
        self.outcome.report(FillOutcome::NotWritten);
    }
}

/// What became of a job.
pub(super) enum FillOutcome {
    Filled,
    /// There was no room, or the job was dropped. No harm: the log then grows record by record.
    NotWritten,
    /// The disk failed; the log's own bytes may be among those that were lost.
    Failed(DiskError),
}

/// The writer's hold on a job it has handed out.
pub(super) struct PendingFill {
    pub(super) from: u64,
    pub(super) to: u64,
    outcome: Arc<SharedOutcome>,
}

impl PendingFill {
    /// A job for the bytes `from..to`, which `write` writes zeros to, with the hold on it.
    pub(super) fn new(
        from: u64,
        to: u64,
        write: impl Fn(u64, u64) -> FillOutcome + Send + 'static,
    ) -> (ZeroFill, PendingFill) {
        assert!(from < to, "a fill of nothing: {from}..{to}");
        let outcome = Arc::new(SharedOutcome::default());
        let job = ZeroFill { write: Box::new(write), from, to, outcome: Arc::clone(&outcome) };
        (job, PendingFill { from, to, outcome })
    }

    /// What became of it, if it has ended.
    pub(super) fn poll(&self) -> Option<FillOutcome> {
        self.outcome.slot.lock().take()
    }

    /// Waits until it has ended.
    pub(super) fn wait(&self) -> FillOutcome {
        let mut slot = self.outcome.slot.lock();
        loop {
            if let Some(outcome) = slot.take() {
                return outcome;
            }
            self.outcome.ended.wait(&mut slot);
        }
    }
}

#[derive(Default)]
struct SharedOutcome {
    slot: Mutex<Option<FillOutcome>>,
    ended: Condvar,
}

impl SharedOutcome {
    /// The first report counts; the one from dropping the job comes after it.
    fn report(&self, outcome: FillOutcome) {
        self.slot.lock().get_or_insert(outcome);
        self.ended.notify_all();
    }
}

pub(super) static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
