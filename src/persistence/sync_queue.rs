//! The disk queue: writes what waits, syncs once, then says so.
//!
//! ```text
//! batch: append 7, append 8, roll, append 9
//!        └── one write, one sync ┘    └── new file, one write, one sync ┘   → Persisted { 9 }
//! ```
//!
//! A batch is written only after the one before it is durable, and a large one is written and
//! synced in pieces of at most [`MAX_BATCH_BYTES`]: what a power cut can tear is bounded, and so
//! can be told from rot. A ticket is reported only when
//! the bytes of every ticket up to it are; with `forceSync=no`, when they were written. The
//! first error is the last answer: after it the queue refuses everything, because a failed sync
//! is never repeated (C-252) and the process must end (C-254).
//!
//! A member of an ensemble asks for more than appends: its history is cut or replaced, its epochs
//! and configurations are written ([`MemberFiles`]). All of it is done in the order asked for, and
//! what was to be appended before is durable before.
//!
//! The queue is a plain value; a thread that collects requests and owns it is its shell.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::config_files;
use super::data_dir::DataDir;
use super::disk::{Disk, DiskError};
use super::epoch_files::{self, EpochFile};
use super::history::{self, WhatLiesAside};
use super::snapshot::{FirstSnapshot, spool_name};
use super::txn_log::{Appended, LogWriter, LogWriterOptions, MAX_BATCH_BYTES, ZeroFiller, record};
use crate::proto::{Epoch, LinkId, QuorumVerifier, Ticket, Zxid};
use crate::time::Clock;

/// Something to be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskRequest {
    /// Append a transaction to the log.
    Append {
        /// The number to report; higher than every one before.
        ticket: Ticket,
        /// The transaction's zxid; higher than every one before.
        zxid: Zxid,
        /// TxnHeader, body and optional TxnDigest.
        bytes: Bytes,
    },
    /// The next append begins a new file.
    Roll,
    /// Cut the history behind `to`. If it begins later, with a tree on trial, the history before that
    /// is gone back to, wherever it ends.
    Truncate {
        /// Reported when nothing of what was cut or given up can come back.
        ticket: Ticket,
        /// Where to cut.
        to: Zxid,
    },
    /// The tree that arrived over `link` takes the place of the history.
    InstallSnapshot {
        /// Reported when a restart would find it.
        ticket: Ticket,
        /// The link it came over.
        link: LinkId,
        /// Its zxid.
        zxid: Zxid,
    },
    /// Write `acceptedEpoch`.
    AcceptedEpoch {
        /// Reported when it is durable.
        ticket: Ticket,
        /// Its content.
        epoch: Epoch,
    },
    /// Write `currentEpoch`. From then on the member may vote, for it is synchronized.
    CurrentEpoch {
        /// Reported when it is durable.
        ticket: Ticket,
        /// Its content.
        epoch: Epoch,
    },
    /// Write `.dynamic.next`.
    LastSeenConfig {
        /// Reported when it is durable.
        ticket: Ticket,
        /// The configuration.
        config: Arc<QuorumVerifier>,
    },
    /// Write `.dynamic.<version>`, remove `.dynamic.next`.
    ActivateConfig {
        /// Reported when it is durable.
        ticket: Ticket,
        /// The configuration.
        config: Arc<QuorumVerifier>,
    },
}

/// Where the queue of a member finds what is not the log.
#[derive(Clone)]
pub struct MemberFiles {
    /// The directories of history and epochs.
    pub dir: Arc<DataDir>,
    /// The configuration file, beside which the dynamic ones lie; `None`: none are written
    /// (`reconfigEnabled=false`).
    pub config: Option<PathBuf>,
    /// How the first snapshot is written, of a member that began without data.
    pub first_snapshot: Option<FirstSnapshot>,
}

/// How the queue writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncQueueOptions {
    /// Whether the log is synced before a ticket is reported (`forceSync`).
    pub force_sync: bool,
    /// Room made ahead of the log's end at once, and in its next file, in KiB (`preAllocSize`); 0 or
    /// less is off.
    pub pre_alloc_kb: i64,
    /// Size of a log file after which a new one is begun, in KiB (`txnLogSizeLimitInKb`); 0 or
    /// less is off.
    pub txn_log_size_limit_kb: i64,
    /// A sync that takes longer is reported as slow, in milliseconds
    /// (`fsync.warningthresholdms`).
    pub fsync_warning_threshold_ms: u64,
}

impl Default for SyncQueueOptions {
    /// Apache ZooKeeper's defaults.
    fn default() -> Self {
        SyncQueueOptions {
            force_sync: true,
            pre_alloc_kb: 65536,
            txn_log_size_limit_kb: -1,
            fsync_warning_threshold_ms: 1000,
        }
    }
}

/// The disk's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persisted {
    /// Everything up to this ticket is durable.
    pub ticket: Ticket,
    /// Transactions in the batch.
    pub txns: usize,
    /// Bytes the batch added to the log, framing included.
    pub bytes: u64,
    /// Whether the bytes were synced, not only written (`forceSync=no`).
    pub synced: bool,
    /// When the batch was begun, on the clock's nanoseconds.
    pub began_nanos: u64,
    /// How long all of it took, in nanoseconds.
    pub nanos: u64,
    /// How long the syncs of the batch took, in nanoseconds; a write that is durable when it returns is
    /// one.
    pub sync_nanos: u64,
    /// Whether one of them took longer than the threshold.
    pub slow_sync: bool,
    /// Whether a new log file was begun.
    pub new_log: bool,
    /// Whether there is a snapshot that was not there before: a leader's, or one that came back.
    pub new_snapshot: bool,
}

/// The queue's writing end.
pub struct SyncQueue {
    log: LogWriter,
    options: SyncQueueOptions,
    clock: Arc<dyn Clock>,
    member: Option<MemberFiles>,
    /// The frames of the segment being built; kept for its memory.
    frames: Vec<u8>,
    last_ticket: Ticket,
    last_zxid: Zxid,
    /// A start is the end of every way back.
    aside: WhatLiesAside,
    failed: bool,
}

/// Memory kept for the next batch, at most.
const FRAMES_KEPT: usize = 4 << 20;

impl SyncQueue {
    /// A queue that appends to the log in `dir` behind the transaction `last_zxid`, the last one
    /// restored. `filler` gets the jobs that make room ahead.
    pub fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        last_zxid: Zxid,
        options: SyncQueueOptions,
        clock: Arc<dyn Clock>,
        filler: ZeroFiller,
    ) -> Self {
        let log_options = LogWriterOptions {
            pre_alloc_bytes: u64::try_from(options.pre_alloc_kb).unwrap_or(0).saturating_mul(1024),
            sync: options.force_sync,
        };
        SyncQueue {
            log: LogWriter::new(disk, dir, log_options, filler),
            options,
            clock,
            member: None,
            frames: Vec::new(),
            last_ticket: Ticket::default(),
            last_zxid,
            aside: WhatLiesAside::NothingOfUse,
            failed: false,
        }
    }

    /// The queue of a member of an ensemble.
    pub fn with_member_files(mut self, files: MemberFiles) -> Self {
        self.member = Some(files);
        self
    }

    /// Carries out everything in `batch`, in order, and empties it. The report covers every
    /// batch so far, so one without an append repeats the last ticket.
    ///
    /// # Errors
    /// The disk's. Nothing of the batch may be acknowledged, and the process must end.
    ///
    /// # Panics
    /// When a ticket or a zxid is not above the one before: the log would not be a history. When a
    /// server that is alone is asked for what only members need.
    pub fn process(&mut self, batch: &mut Vec<DiskRequest>) -> Result<Persisted, DiskError> {
        self.refuse_after_failure()?;
        let mut report = Persisted {
            ticket: self.last_ticket,
            txns: 0,
            bytes: 0,
            synced: self.options.force_sync,
            began_nanos: self.clock.nanos(),
            nanos: 0,
            sync_nanos: 0,
            slow_sync: false,
            new_log: false,
            new_snapshot: false,
        };
        self.failed = true;
        self.carry_out(batch, &mut report)?;
        self.failed = false;
        report.nanos = self.clock.nanos().saturating_sub(report.began_nanos);
        self.last_ticket = report.ticket;
        batch.clear();
        self.frames.shrink_to(FRAMES_KEPT);
        Ok(report)
    }

    /// The last transaction that was given to the log.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Finishes the log: cuts off the room that was made ahead. Call it on an orderly end.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(mut self) -> Result<(), DiskError> {
        self.refuse_after_failure()?;
        self.log.close()
    }

    fn carry_out(
        &mut self,
        batch: &[DiskRequest],
        report: &mut Persisted,
    ) -> Result<(), DiskError> {
        self.frames.clear();
        let mut first = None;
        for request in batch {
            match request {
                DiskRequest::Append { ticket, zxid, bytes } => {
                    self.admit_zxid(*zxid);
                    admit_ticket(*ticket, report.ticket);
                    self.begin_history()?;
                    if self.frames.len() + bytes.len() + record::OVERHEAD > MAX_BATCH_BYTES {
                        self.flush(first.take(), report)?;
                    }
                    first.get_or_insert(*zxid);
                    record::append(bytes, &mut self.frames);
                    report.ticket = *ticket;
                    report.txns += 1;
                }
                DiskRequest::Roll => {
                    // The old file is durable before the new one exists: a power cut must not
                    // leave a hole between them.
                    self.flush(first.take(), report)?;
                    self.log.roll()?;
                }
                DiskRequest::Truncate { ticket, .. }
                | DiskRequest::InstallSnapshot { ticket, .. }
                | DiskRequest::AcceptedEpoch { ticket, .. }
                | DiskRequest::CurrentEpoch { ticket, .. }
                | DiskRequest::LastSeenConfig { ticket, .. }
                | DiskRequest::ActivateConfig { ticket, .. } => {
                    admit_ticket(*ticket, report.ticket);
                    self.flush(first.take(), report)?;
                    self.change_files(request, report)?;
                    report.ticket = *ticket;
                }
            }
        }
        self.flush(first, report)?;
        let limit_kb = u64::try_from(self.options.txn_log_size_limit_kb).unwrap_or(0);
        if limit_kb > 0 && self.log.file_bytes() > limit_kb.saturating_mul(1024) {
            self.log.roll()?;
        }
        Ok(())
    }

    /// Of a member that began without data, before its first transaction or epoch.
    fn begin_history(&mut self) -> Result<(), DiskError> {
        if let Some(files) = &mut self.member
            && let Some(first) = files.first_snapshot.take()
        {
            first.write(&files.dir)?;
        }
        Ok(())
    }

    /// Carries out what is not an append; all appends before it are durable.
    fn change_files(
        &mut self,
        request: &DiskRequest,
        report: &mut Persisted,
    ) -> Result<(), DiskError> {
        if let DiskRequest::CurrentEpoch { .. } = request {
            self.begin_history()?;
        }
        let files = self.member.as_mut();
        let files = files.expect("a server that is alone asks for nothing but appends");
        let (dir, config_file) = (&files.dir, files.config.as_deref());
        let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
        match request {
            DiskRequest::Append { .. } | DiskRequest::Roll => unreachable!("it is an append"),
            DiskRequest::Truncate { to, .. } => {
                self.log.roll()?;
                let aside = self.aside;
                (self.last_zxid, self.aside) = history::truncate_or_go_back(dir, *to, aside)?;
                report.new_snapshot = self.aside != aside;
            }
            DiskRequest::InstallSnapshot { link, zxid, .. } => {
                self.log.roll()?;
                files.first_snapshot = None;
                let (tree, end) = (spool_name(*link), self.last_zxid);
                self.aside = history::replace(dir, &tree, *zxid, self.aside, end)?;
                self.last_zxid = *zxid;
                report.new_snapshot = true;
            }
            DiskRequest::AcceptedEpoch { epoch, .. } => {
                EpochFile::Accepted.write(disk, snapshot_dir, *epoch)?;
            }
            DiskRequest::CurrentEpoch { epoch, .. } => {
                self.aside = WhatLiesAside::NothingOfUse;
                EpochFile::Current.write(disk, snapshot_dir, *epoch)?;
                epoch_files::allow_vote(disk, snapshot_dir)?;
            }
            DiskRequest::LastSeenConfig { config, .. } => {
                config_files::keep_last_seen(disk, config_file, config)?;
            }
            DiskRequest::ActivateConfig { config, .. } => {
                config_files::activate(disk, config_file, config)?;
            }
        }
        Ok(())
    }

    /// Writes and syncs the frames collected since the last flush; `first` is the first one's
    /// zxid.
    fn flush(&mut self, first: Option<Zxid>, report: &mut Persisted) -> Result<(), DiskError> {
        let Some(first) = first else { return Ok(()) };
        report.new_log |= self.log.is_between_files();
        self.log.make_ready(first, self.frames.len())?;
        let write_began = self.clock.nanos();
        let appended = self.log.append(&self.frames)?;
        report.bytes += self.frames.len() as u64;
        self.frames.clear();
        if self.options.force_sync {
            let began = match appended {
                // The write was the sync.
                Appended::Durably => write_began,
                Appended::ToBeSynced => self.clock.nanos(),
            };
            self.log.sync()?;
            let took = self.clock.nanos().saturating_sub(began);
            report.sync_nanos += took;
            report.slow_sync |= took / 1_000_000 > self.options.fsync_warning_threshold_ms;
        }
        Ok(())
    }

    fn admit_zxid(&mut self, zxid: Zxid) {
        assert!(
            zxid > self.last_zxid,
            "transaction {zxid} was given to the log after {}",
            self.last_zxid
        );
        self.last_zxid = zxid;
    }

    fn refuse_after_failure(&self) -> Result<(), DiskError> {
        if !self.failed {
            return Ok(());
        }
        Err(DiskError {
            what: "write to the log".to_owned(),
            source: io::Error::other("an earlier write or sync failed, and is never repeated"),
        })
    }
}

fn admit_ticket(ticket: Ticket, last: Ticket) {
    assert!(ticket > last, "ticket {ticket:?} came after {last:?}");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;
    use crate::persistence::faulty_disk::FaultyDisk;
    use crate::persistence::txn_log::{LogReader, ZeroFill};
    use crate::proto::SessionId;
    use crate::proto::txns::{Txn, TxnHeader};
    use crate::time::Instant;

    pub(in crate::persistence) struct StoppedClock;

    impl Clock for StoppedClock {
        fn now(&self) -> Instant {
            Instant { mono_ms: 0, wall_ms: 0 }
        }
        fn nanos(&self) -> u64 {
            0
        }
    }

    fn append(zxid: u64) -> DiskRequest {
        let header = TxnHeader {
            client_id: SessionId(1),
            cxid: 0,
            zxid: Zxid(zxid),
            time: 0,
            txn_type: -10,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        Txn::CreateSession { timeout_ms: 5 }.write(&mut bytes);
        DiskRequest::Append { ticket: Ticket(zxid), zxid: Zxid(zxid), bytes: bytes.into() }
    }

    fn queue(
        disk: impl Disk + 'static,
        dir: &std::path::Path,
        options: SyncQueueOptions,
    ) -> SyncQueue {
        let run = Box::new(ZeroFill::run);
        let clock = Arc::new(StoppedClock);
        SyncQueue::new(Arc::new(disk), dir.to_owned(), Zxid::ZERO, options, clock, run)
    }

    fn zxids(dir: &std::path::Path, name: &str) -> Vec<u64> {
        let mut reader = LogReader::open(&RealDisk, &dir.join(name), 1 << 20).unwrap();
        let mut zxids = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            zxids.push(record.zxid.0);
        }
        assert_eq!(reader.end().unwrap().torn, None);
        zxids
    }

    #[test]
    fn a_batch_is_written_and_synced_once_and_reports_its_highest_ticket() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let mut queue = queue(disk.clone(), dir.path(), SyncQueueOptions::default());
        queue.process(&mut vec![append(1)]).unwrap();
        let before = disk.syncs();
        let mut batch = vec![append(2), append(3), append(4)];
        let report = queue.process(&mut batch).unwrap();
        assert_eq!(disk.syncs() - before, 1);
        assert_eq!((report.ticket, report.txns, report.synced), (Ticket(4), 3, true));
        assert!(batch.is_empty());
        queue.close().unwrap();
        assert_eq!(zxids(dir.path(), "log.1"), [1, 2, 3, 4]);
    }

    #[test]
    fn a_large_batch_is_synced_in_pieces_and_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let options = SyncQueueOptions { pre_alloc_kb: 0, ..Default::default() };
        let mut queue = queue(disk.clone(), dir.path(), options);
        queue.process(&mut vec![append(1)]).unwrap();
        let before = disk.syncs();
        let sizes = [MAX_BATCH_BYTES / 2 - 13, MAX_BATCH_BYTES / 2 - 13, 2 << 20, 100, 100];
        let mut batch = Vec::new();
        for (zxid, size) in (2..).zip(sizes) {
            let DiskRequest::Append { ticket, zxid, bytes } = append(zxid) else { unreachable!() };
            let mut bytes = bytes.to_vec();
            bytes.resize(size, 1);
            batch.push(DiskRequest::Append { ticket, zxid, bytes: bytes.into() });
        }
        let report = queue.process(&mut batch).unwrap();
        assert_eq!(disk.syncs() - before, 3, "two halves, one that is too large, the rest");
        assert_eq!((report.ticket, report.txns), (Ticket(6), 5));
        assert_eq!(report.bytes, sizes.iter().map(|size| *size as u64 + 13).sum::<u64>());
    }

    #[test]
    fn a_roll_begins_a_new_file_with_the_next_append() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = queue(RealDisk, dir.path(), SyncQueueOptions::default());
        let mut batch = vec![append(0xe), append(0xf), DiskRequest::Roll, append(0x10)];
        assert_eq!(queue.process(&mut batch).unwrap().ticket, Ticket(0x10));
        let report = queue.process(&mut vec![DiskRequest::Roll, DiskRequest::Roll]).unwrap();
        assert_eq!((report.ticket, report.bytes), (Ticket(0x10), 0));
        queue.process(&mut vec![append(0x11)]).unwrap();
        assert_eq!(zxids(dir.path(), "log.e"), [0xe, 0xf]);
        assert_eq!(zxids(dir.path(), "log.10"), [0x10]);
        assert_eq!(zxids(dir.path(), "log.11"), [0x11]);
        let size =
            |name| std::os::unix::fs::MetadataExt::size(&dir.path().join(name).metadata().unwrap());
        assert_eq!(size("log.e"), 16 + 2 * (36 + 13), "a finished file ends with its last record");
        assert_eq!(size("log.11"), 16 + (256 << 10) + (1 << 20), "a file in use has room ahead");
    }

    #[test]
    fn a_file_over_the_size_limit_is_the_last_of_its_batch() {
        let dir = tempfile::tempdir().unwrap();
        let options = SyncQueueOptions { txn_log_size_limit_kb: 1, ..Default::default() };
        let mut queue = queue(RealDisk, dir.path(), options);
        queue.process(&mut (1..=30).map(append).collect()).unwrap();
        queue.process(&mut vec![append(31)]).unwrap();
        assert_eq!(zxids(dir.path(), "log.1").len(), 30);
        assert_eq!(zxids(dir.path(), "log.1f"), [31]);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_reported_ever_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let mut queue = queue(disk.clone(), dir.path(), SyncQueueOptions::default());
        queue.process(&mut vec![append(1)]).unwrap();
        disk.fail_syncs_after(0);
        let error = queue.process(&mut vec![append(2)]).unwrap_err();
        let direct = error.to_string().starts_with("cannot write durably to /");
        assert!(direct || error.to_string().starts_with("cannot sync /"), "{error}");
        disk.fail_syncs_after(i64::MAX);
        assert!(queue.process(&mut vec![append(3)]).is_err());
        assert!(queue.close().is_err());
    }

    #[test]
    fn a_failed_write_is_an_error_and_never_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let mut queue = queue(disk.clone(), dir.path(), SyncQueueOptions::default());
        disk.fail_writes_after(0);
        assert!(queue.process(&mut vec![append(1)]).is_err());
        disk.fail_writes_after(i64::MAX);
        assert!(queue.process(&mut vec![append(2)]).is_err());
    }

    #[test]
    fn without_force_sync_nothing_is_synced_but_a_finished_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let options = SyncQueueOptions { force_sync: false, ..Default::default() };
        let mut queue = queue(disk.clone(), dir.path(), options);
        assert!(!queue.process(&mut vec![append(1)]).unwrap().synced);
        assert_eq!(disk.syncs(), 0);
        assert_eq!(zxids(dir.path(), "log.1"), [1]);
        queue.process(&mut vec![DiskRequest::Roll]).unwrap();
        assert_eq!((disk.syncs(), disk.dirs_synced().len()), (1, 1));
    }

    #[test]
    #[should_panic(expected = "transaction 0x1 was given to the log after 0x1")]
    fn a_zxid_that_is_not_above_the_last_is_our_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = queue(RealDisk, dir.path(), SyncQueueOptions::default());
        queue.process(&mut vec![append(1)]).unwrap();
        let DiskRequest::Append { zxid, bytes, .. } = append(1) else { unreachable!() };
        let again = DiskRequest::Append { ticket: Ticket(2), zxid, bytes };
        let _ = queue.process(&mut vec![again]);
    }
}
