//! Replay: the logged transactions above a snapshot, applied in order.
//!
//! Only what follows without a hole is applied. Nothing is changed on the disk.

use std::path::{Path, PathBuf};

use super::refusal::RestoreError;
use super::{Recent, RestoreOptions, RestoreStage, follows};
use crate::persistence::data_dir::{DataDir, LogFile};
use crate::persistence::txn_log::{LogReader, TornTail};
use crate::proto::Zxid;
use crate::proto::txns::{CreateKind, Txn, TxnRecord};
use crate::tree::Database;

/// The transactions above the snapshot being applied.
pub(super) struct Replay<'d> {
    pub(super) dir: &'d DataDir,
    pub(super) options: &'d RestoreOptions,
    /// Up to here the snapshot has everything.
    pub(super) snapshot: Zxid,
    pub(super) last: Zxid,
    pub(super) database: Database,
    pub(super) txns: u64,
    pub(super) notices: &'d mut Vec<String>,
    pub(super) torn: Option<TornTail>,
    pub(super) tell: &'d mut dyn FnMut(RestoreStage<'_>),
    /// Bytes of the files before, and of all files.
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) tail: Option<Tail>,
    pub(super) recent: Recent,
}

/// So many bytes of a log are applied before it is told.
const TOLD_EVERY: u64 = 1 << 20;

impl Replay<'_> {
    /// Applies what a log adds to the database.
    pub(super) fn file(&mut self, log: &LogFile, is_last: bool) -> Result<(), RestoreError> {
        let path = self.dir.log_dir().join(&log.name);
        let mut reader = LogReader::open(&**self.dir.disk(), &path, self.options.max_record)?
            .as_last_file(is_last);
        let mut repeated = 0u64;
        let (mut told, mut last_record) = (0, 0);
        while let Some(record) = reader.next()? {
            last_record = record.offset;
            if record.offset >= told + TOLD_EVERY {
                told = record.offset;
                let (done, total, txns) = (self.done + told, self.total, self.txns);
                let file = &log.name;
                (self.tell)(RestoreStage::Reading { file, done, total, txns });
            }
            self.recent.push(record.zxid, record.txn);
            if record.zxid <= self.last {
                // Below the snapshot that is how it should be. Above it, servers of 3.8 and
                // before could log one zxid twice (N-4); what came first was promised.
                repeated += u64::from(record.zxid > self.snapshot);
                continue;
            }
            let (zxid, offset) = (record.zxid, record.offset);
            self.refuse_hole(&path, offset, zxid)?;
            let txn = TxnRecord::read(record.txn, self.options.max_record).map_err(|error| {
                let last = self.last;
                RestoreError::UnreadableTxn { path: path.clone(), offset, last, error }
            })?;
            self.refuse_ttl(&txn.txn)?;
            self.database.apply(&txn, &mut ());
            self.last = zxid;
            self.txns += 1;
        }
        self.done += log.size;
        if repeated > 0 {
            self.notices.push(format!(
                "{} repeats zxids, as Apache's logs do after a request it could not decode: \
                 {repeated} skipped",
                path.display()
            ));
        }
        if is_last {
            let end = reader.end().map_or(last_record, |end| end.offset);
            self.tail = Some(Tail { path, last_record, end });
        }
        if let Some(torn) = reader.end().and_then(|end| end.torn.clone()) {
            if is_last {
                self.torn = Some(torn);
            } else {
                // What Apache's server promised behind it shows no hole.
                self.notices.push(format!(
                    "{torn}; it is left there, for Apache's server goes on in a new file"
                ));
            }
        }
        Ok(())
    }

    /// No server ever leaves a zxid out: failed requests are logged too. An epoch begins with 1,
    /// and what the one before it ended with cannot be known; but a lone server, which no election
    /// gives a new epoch, counts on into it.
    fn refuse_hole(&self, path: &Path, offset: u64, found: Zxid) -> Result<(), RestoreError> {
        let last = self.last;
        if follows(found, last) {
            return Ok(());
        }
        Err(RestoreError::Hole { path: path.to_owned(), offset, last, found })
    }

    fn refuse_ttl(&self, txn: &Txn<'_>) -> Result<(), RestoreError> {
        if self.options.tree.owners.extended_types {
            return Ok(());
        }
        let ttl_path = |txn: &Txn<'_>| match txn {
            Txn::Create(create) if matches!(create.kind, CreateKind::Ttl(_)) => {
                Some(create.path.to_vec())
            }
            _ => None,
        };
        let path = match txn {
            Txn::Multi(multi) if !multi.failed() => {
                multi.parts().find_map(|(_, txn)| ttl_path(&txn))
            }
            txn => ttl_path(txn),
        };
        path.map_or(Ok(()), |path| Err(RestoreError::TtlNode(path)))
    }
}

/// Where the records of the last log end.
pub(super) struct Tail {
    pub(super) path: PathBuf,
    /// Where its last record starts.
    pub(super) last_record: u64,
    pub(super) end: u64,
}
