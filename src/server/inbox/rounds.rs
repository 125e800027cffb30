//! Writes in rounds: the few clients that write at the same time share a write of the disks.
//!
//! ```text
//! each as it comes    disk    ├── A ──┤├─ B C ─┤├── A ──┤├─ B C ─┤├── A ──┤
//!
//! in rounds           disk    ├─ A B C ─┤  ┌──▶├─ A B C ─┤  ┌──▶├─ A B C ─┤
//!                     clients           └─▶┘             └─▶┘
//! ```
//!
//! A leader that proposes each request as it comes has the disk of every server write for the first, and
//! then for those who came meanwhile; when they have their answers and ask again it writes for the first
//! once more, and so they never meet. So a leader that is asked little at a time, by clients who come back
//! promptly when they have their answers,
//!
//! - leaves what it is asked in the inbox while its disk writes. Mostly it could not commit it sooner. Where
//!   the others could do so without this disk, because that is late, nothing waits any longer
//!   ([`LATE_NANOS`]);
//! - waits, when the disk is done, for those whose write that was and who came back promptly the last
//!   time. It does so for a moment at most ([`Rounds::patience`]), and who has let it wait in vain is not
//!   waited for before having come back promptly several times.
//!
//! A client that writes alone waits for nobody. Where much is asked, or large things are, the disk has its
//! share at any time, and nothing waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::SessionId;
use crate::time::Clock;

/// Requests of a round, at most: where it is usually more, each write has its share of them anyway.
const MOST_REQUESTS: usize = 64;

/// Bytes of a round's requests, at most: half of what one turn of the driver takes.
const MOST_BYTES: usize = 128 << 10;

/// Sessions that are remembered, each looked for in all of them.
const SESSIONS: usize = 32;

/// A disk that takes so long is late, however long it usually takes: what is asked goes on, and others may
/// commit it.
const LATE_NANOS: u64 = 20_000_000;

/// A slow disk's leader waits for so long at most.
const MOST_PATIENCE_NANOS: u64 = 5_000_000;

/// Waiting may take as long as two writes if that is not longer than this.
const SHORT_NANOS: u64 = 400_000;

/// Who has let others wait in vain must come back promptly so often.
const TIMES_AFTER_VAIN: u8 = 4;

/// The weight of all rounds before in an average, where the last one's is one.
const PAST: usize = 7;

/// Who asks, and whether what is asked must wait.
pub(super) struct Rounds {
    clock: Arc<dyn Clock>,
    leads: bool,
    gate: Gate,
    /// The gate stays open until everything has passed that is there.
    passes: bool,
    askers: Vec<Asker>,
    /// Requests that came since the disk was done last, and their bytes.
    came: usize,
    bytes: usize,
    /// How many that usually are: the average, times as much as all rounds weigh in it.
    usual: usize,
    /// When the disk was given the first that it is not done with, in nanoseconds.
    began: Option<u64>,
    /// It was given more while it wrote that.
    writes_more: bool,
    /// How long a write takes, on an average.
    write_nanos: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Until the disk is done.
    DiskWrites,
    /// Until so many more have come.
    Awaits(usize),
}

/// A session that has asked for something lately.
#[derive(Debug)]
struct Asker {
    session: SessionId,
    place: Place,
    /// So often it must still come back within [`Rounds::patience`] to be waited for.
    times_to_prove: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Something it has asked for waits in the inbox.
    Waits,
    /// What it has asked for is being written.
    Written,
    /// That was done then, and nothing came since; in the last round if it is awaited.
    Away { since: u64, awaited: bool },
}

impl Asker {
    fn is_prompt(&self) -> bool {
        self.times_to_prove == 0
    }

    /// In this round or the last; who was prompt once and is gone since is none to wait with.
    fn takes_part(&self) -> bool {
        !matches!(self.place, Place::Away { awaited: false, .. })
    }
}

impl Rounds {
    /// Nobody has asked yet.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Rounds {
            clock,
            leads: false,
            gate: Gate::Open,
            passes: false,
            askers: Vec::new(),
            came: 0,
            bytes: 0,
            usual: 0,
            began: None,
            writes_more: false,
            write_nanos: 0,
        }
    }

    /// Whether what is asked must wait.
    pub(super) fn must_wait(&self) -> bool {
        self.gate != Gate::Open
    }

    /// What is there waits no longer, nor does what comes before it has passed: it is much, or there is
    /// something among it that is no request.
    pub(super) fn open(&mut self) {
        self.gate = Gate::Open;
        self.passes = true;
    }

    /// Everything has passed that was there.
    pub(super) fn all_have_passed(&mut self) {
        self.passes = false;
    }

    /// Who is asked here leads no longer: all is forgotten but how fast the disk is.
    pub(super) fn forget(&mut self) {
        *self = Rounds { write_nanos: self.write_nanos, ..Rounds::new(self.clock.clone()) };
    }

    /// When the disk will be late for which requests must wait, milliseconds on the monotonic clock.
    pub(super) fn is_late_at_ms(&self) -> Option<u64> {
        let began = self.began.filter(|_| self.gate == Gate::DiskWrites)?;
        Some((began + LATE_NANOS).div_ceil(1_000_000))
    }

    /// Lets what waits pass if the disk is late.
    pub(super) fn look_at_the_clock(&mut self) {
        if self.gate == Gate::DiskWrites && self.is_late() {
            self.gate = Gate::Open;
        }
    }

    fn is_late(&self) -> bool {
        self.began.is_some_and(|began| self.clock.nanos().saturating_sub(began) >= LATE_NANOS)
    }

    /// A request is about to wait, of so many bytes, and of a session if it has one.
    pub(super) fn asked(&mut self, session: Option<SessionId>, bytes: usize) {
        if !self.leads {
            return;
        }
        self.came += 1;
        self.bytes += bytes;
        if self.came > MOST_REQUESTS || self.bytes > MOST_BYTES {
            self.open();
        }
        if self.are_usually_many() {
            return;
        }
        let Some(session) = session else { return };
        let patience = self.patience();
        let Some(asker) = self.askers.iter_mut().find(|asker| asker.session == session) else {
            return self.remember(session);
        };
        if let Place::Away { since, awaited } = asker.place {
            let is_late = self.clock.nanos().saturating_sub(since) > patience;
            let times = asker.times_to_prove;
            asker.times_to_prove = if is_late { times.max(1) } else { times.saturating_sub(1) };
            if awaited && let Gate::Awaits(missing) = self.gate {
                self.gate = if missing > 1 { Gate::Awaits(missing - 1) } else { Gate::Open };
            }
        }
        asker.place = Place::Waits;
    }

    fn remember(&mut self, session: SessionId) {
        let asker = Asker { session, place: Place::Waits, times_to_prove: 1 };
        if self.askers.len() < SESSIONS {
            return self.askers.push(asker);
        }
        let away = self.askers.iter_mut().filter_map(|asker| match asker.place {
            Place::Away { since, awaited: false } => Some((since, asker)),
            _ => None,
        });
        if let Some((_, longest)) = away.min_by_key(|(since, _)| *since) {
            *longest = asker;
        }
    }

    fn are_usually_many(&self) -> bool {
        self.usual > (PAST + 1) * MOST_REQUESTS
    }

    /// The session's request is on its way.
    pub(super) fn taken(&mut self, session: SessionId) {
        if let Some(asker) = self.askers.iter_mut().find(|asker| asker.session == session) {
            asker.place = Place::Written;
        }
    }

    /// The disk of a leader is given something.
    pub(super) fn begins(&mut self) {
        self.leads = true;
        if self.began.is_some() {
            self.writes_more = true;
        } else {
            self.began = Some(self.clock.nanos());
        }
        let are_many = self.came > MOST_REQUESTS || self.are_usually_many();
        if self.passes || are_many || self.is_late() {
            return;
        }
        if self.askers.iter().any(|asker| asker.is_prompt() && asker.takes_part()) {
            self.gate = Gate::DiskWrites;
        }
    }

    /// The disk is done with all it was given. Returns how long to wait until
    /// [`stop_waiting`](Self::stop_waiting) is to be called, if there is somebody to wait for.
    pub(super) fn ends(&mut self) -> Option<Duration> {
        self.gate = Gate::Open;
        let now = self.clock.nanos();
        // It may have been known to be done before it has told so.
        let took = now.saturating_sub(self.began.take()?);
        if !std::mem::take(&mut self.writes_more) {
            self.write_nanos = match self.write_nanos {
                0 => took,
                // A disk that stands still once is not slow.
                usual => (PAST as u64 * usual + took.min(2 * usual)) / (PAST as u64 + 1),
            };
        }
        self.usual = self.usual * PAST / (PAST + 1) + self.came;
        (self.came, self.bytes) = (0, 0);
        if self.are_usually_many() {
            self.askers.clear();
        }
        let (mut present, mut missing) = (0, 0);
        for asker in &mut self.askers {
            let is_prompt = asker.is_prompt();
            match &mut asker.place {
                Place::Waits => present += 1,
                Place::Written => {
                    missing += usize::from(is_prompt);
                    asker.place = Place::Away { since: now, awaited: is_prompt };
                }
                Place::Away { awaited, .. } => *awaited = false,
            }
        }
        if self.passes || missing == 0 || present + missing < 2 {
            return None;
        }
        self.gate = Gate::Awaits(missing);
        Some(Duration::from_nanos(self.patience()))
    }

    /// Whoever has not come by now is not waited for.
    pub(super) fn stop_waiting(&mut self) {
        let Gate::Awaits(_) = self.gate else { return };
        for asker in &mut self.askers {
            if let Place::Away { awaited: awaited @ true, .. } = &mut asker.place {
                (*awaited, asker.times_to_prove) = (false, TIMES_AFTER_VAIN);
            }
        }
        self.gate = Gate::Open;
    }

    /// The disk has more to write than it was known to have, and its thread no time to wait.
    pub(super) fn disk_goes_on(&mut self) {
        if let Gate::Awaits(_) = self.gate {
            self.gate = Gate::Open;
        }
    }

    /// How long others may wait for somebody, in nanoseconds. What a slow disk would take from them is
    /// time, so it is half a write that is risked. A fast one costs everybody's work instead, which
    /// takes more time than the disk.
    fn patience(&self) -> u64 {
        let write = self.write_nanos;
        (write / 2).clamp((2 * write).min(SHORT_NANOS), MOST_PATIENCE_NANOS)
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds")
            .field("gate", &self.gate)
            .field("askers", &self.askers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
