//! The disk queue: writes what waits, syncs once, then says so.
//!
//! ```text
//! batch: append 7, append 8, roll, append 9
//!        └── one write, one sync ┘    └── new file, one write, one sync ┘   → Persisted { 9 }
//! ```
//!
//! A batch is written only after the one before it is durable. A ticket is reported only when
//! the bytes of every ticket up to it are; with `forceSync=no`, when they were written. The
//! first error is the last answer: after it the queue refuses everything, because a failed sync
//! is never repeated (C-252) and the process must end (C-254).
//!
//! The queue is a plain value; a thread that collects requests and owns it is its shell.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, DiskError};
use super::txn_log::{LogWriter, LogWriterOptions, ZeroFiller, record};
use crate::proto::{Ticket, Zxid};
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
}

/// How the queue writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncQueueOptions {
    /// Whether the log is synced before a ticket is reported (`forceSync`).
    pub force_sync: bool,
    /// Room made ahead of the log's end, in KiB (`preAllocSize`); 0 or less is off.
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
    /// How long the syncs of the batch took, in nanoseconds.
    pub sync_nanos: u64,
    /// Whether one of them took longer than the threshold.
    pub slow_sync: bool,
}

/// The queue's writing end.
pub struct SyncQueue {
    log: LogWriter,
    options: SyncQueueOptions,
    clock: Arc<dyn Clock>,
    /// The frames of the segment being built; kept for its memory.
    frames: Vec<u8>,
    last_ticket: Ticket,
    last_zxid: Zxid,
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
            frames: Vec::new(),
            last_ticket: Ticket::default(),
            last_zxid,
            failed: false,
        }
    }

    /// Carries out everything in `batch`, in order, and empties it. The report covers every
    /// batch so far, so one without an append repeats the last ticket.
    ///
    /// # Errors
    /// The disk's. Nothing of the batch may be acknowledged, and the process must end.
    ///
    /// # Panics
    /// When a ticket or a zxid is not above the one before: the log would not be a history.
    pub fn process(&mut self, batch: &mut Vec<DiskRequest>) -> Result<Persisted, DiskError> {
        self.refuse_after_failure()?;
        let mut report = Persisted {
            ticket: self.last_ticket,
            txns: 0,
            bytes: 0,
            synced: self.options.force_sync,
            sync_nanos: 0,
            slow_sync: false,
        };
        self.failed = true;
        self.carry_out(batch, &mut report)?;
        self.failed = false;
        self.last_ticket = report.ticket;
        batch.clear();
        self.frames.shrink_to(FRAMES_KEPT);
        Ok(report)
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
                    self.admit(*ticket, *zxid, report.ticket);
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
            }
        }
        self.flush(first, report)?;
        let limit_kb = u64::try_from(self.options.txn_log_size_limit_kb).unwrap_or(0);
        if limit_kb > 0 && self.log.file_bytes() > limit_kb.saturating_mul(1024) {
            self.log.roll()?;
        }
        Ok(())
    }

    /// Writes and syncs the frames collected since the last flush; `first` is the first one's
    /// zxid.
    fn flush(&mut self, first: Option<Zxid>, report: &mut Persisted) -> Result<(), DiskError> {
        let Some(first) = first else { return Ok(()) };
        self.log.append(first, &self.frames)?;
        report.bytes += self.frames.len() as u64;
        self.frames.clear();
        if self.options.force_sync {
            let began = self.clock.nanos();
            self.log.sync()?;
            let took = self.clock.nanos().saturating_sub(began);
            report.sync_nanos += took;
            report.slow_sync |= took / 1_000_000 > self.options.fsync_warning_threshold_ms;
        }
        Ok(())
    }

    fn admit(&mut self, ticket: Ticket, zxid: Zxid, last_ticket: Ticket) {
        assert!(
            zxid > self.last_zxid,
            "transaction {zxid} was given to the log after {}",
            self.last_zxid
        );
        assert!(ticket > last_ticket, "ticket {ticket:?} came after {last_ticket:?}");
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
