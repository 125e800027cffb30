//! The file that the log goes on in, made while the one before it is written.
//!
//! ```text
//! nothing ──▶ tmp.next-log: header, zeros ──▶ … more zeros ──▶ log.<zxid>, with its first record
//!                  └───────────────────────────────┴──▶ removed: no room, or the log is closed
//! ```
//!
//! Zeros ahead in the file that is being written (`zero_fill`) keep its syncs waiting: they are written
//! under the same lock, and the map they change has to be in the file system's journal before what comes
//! after them is durable. A file that nobody waits for is filled without that. So while the log is in one
//! file, the next gets as many zeros as that has bytes, and some more, by and by: it is as long as the log
//! has been of late, whatever that is, and the disk has one small piece of it to write at a time.
//!
//! Always holds: until it has a log's name it means nothing, and a start removes it; it gets that name
//! when no piece is being written, all of it is durable (without `forceSync` as much as anything is), and
//! it holds nothing but header and zeros; and it takes no room that others may need soon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::FILE_HEADER;
use super::zero_fill::{FillOutcome, PendingFill, ZEROS, ZeroFill, warn_of_no_room, write_zeros};
use crate::persistence::data_dir::unfinished_name;
use crate::persistence::disk::{BLOCK_BYTES, Disk, DiskError, DiskFile, WriteThroughFile};

/// A file of fewer bytes is hardly the first of many.
const SHORTEST: u64 = 1 << 20;

/// So many times the longest next file must be free on the disk, or there is none.
const TIMES_FREE: u64 = 4;

/// A log file that has no log in it yet.
pub(super) struct NextFile {
    shared: Arc<Shared>,
    /// Bytes of it that are there, header and zeros; whole blocks.
    filled: u64,
    fill: Option<PendingFill>,
}

impl NextFile {
    /// The next file in `dir`; nothing is done yet. `sync`: whether what is in it is to be durable.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, sync: bool) -> Self {
        let path = dir.join(unfinished_name("next-log"));
        let shared = Shared { disk, path, sync, open: Mutex::new(None) };
        NextFile { shared: Arc::new(shared), filled: 0, fill: None }
    }

    /// The next piece of it, of about `piece_bytes`, if there is to be more of it now that the log's file
    /// has `log_bytes`. It does not become longer than `limit_bytes`.
    pub(super) fn next_piece(
        &mut self,
        log_bytes: u64,
        piece_bytes: u64,
        limit_bytes: u64,
    ) -> Option<ZeroFill> {
        let limit = limit_bytes - limit_bytes % BLOCK_BYTES;
        let piece = piece_bytes.min(limit / 4).next_multiple_of(BLOCK_BYTES);
        let piece = piece.min(limit - self.filled);
        let wanted = (log_bytes + log_bytes / 4).min(limit);
        let is_time = log_bytes >= SHORTEST.min(limit) && self.filled + piece <= wanted;
        if self.fill.is_some() || piece == 0 || !is_time {
            return None;
        }
        let (from, to) = (self.filled, self.filled + piece);
        let shared = Arc::clone(&self.shared);
        let (job, fill) = PendingFill::new(from, to, move |from, to| shared.fill(from, to, limit));
        self.fill = Some(fill);
        Some(job)
    }

    /// Takes note of a piece that has been written. False if it could not be, and the file has gone.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn settle(&mut self) -> Result<bool, DiskError> {
        let outcome = self.fill.as_ref().and_then(PendingFill::poll);
        outcome.map_or(Ok(true), |outcome| self.ended(outcome))
    }

    /// Makes it the file `log`; the directory is still to be synced. Waits for a piece that is being
    /// written. Returns where its zeros end, `None` if it is not there or has fewer than `least_bytes`.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn becomes(
        mut self,
        log: &Path,
        least_bytes: u64,
    ) -> Result<Option<u64>, DiskError> {
        if !self.finish()? || self.filled == 0 {
            return Ok(None);
        }
        if self.filled < least_bytes {
            self.shared.remove()?;
            return Ok(None);
        }
        match self.shared.disk.rename(&self.shared.path, log) {
            Ok(()) => Ok(Some(self.filled)),
            // Such names mean nothing: whoever removed it was right to think so.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes it: there will be no log in it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn discard(mut self) -> Result<(), DiskError> {
        self.finish()?;
        self.shared.remove()
    }

    fn finish(&mut self) -> Result<bool, DiskError> {
        let outcome = self.fill.as_ref().map(PendingFill::wait);
        outcome.map_or(Ok(true), |outcome| self.ended(outcome))
    }

    fn ended(&mut self, outcome: FillOutcome) -> Result<bool, DiskError> {
        let fill = self.fill.take().expect("a fill that ended was pending");
        match outcome {
            FillOutcome::Filled => self.filled = fill.to,
            FillOutcome::NotWritten => {
                // It has gone unless nobody ever ran the job.
                self.shared.remove()?;
                return Ok(false);
            }
            FillOutcome::Failed(error) => return Err(error),
        }
        Ok(true)
    }
}

/// What its jobs, one after the other, and the log's writer have of it.
struct Shared {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    sync: bool,
    open: Mutex<Option<Open>>,
}

struct Open {
    file: Arc<dyn DiskFile>,
    /// The same file, past the page cache; `None` where that is not to be had.
    durable: Option<Box<dyn WriteThroughFile>>,
}

impl Shared {
    /// Writes the zeros, and what comes before them. What only says that there cannot be such a file now
    /// is no failure, a sync without room for what it should keep neither: no log is in it. A broken disk
    /// is one, even so.
    fn fill(&self, from: u64, to: u64, limit: u64) -> FillOutcome {
        let mut open = self.open.lock();
        let result = match &mut *open {
            _ if !self.is_enough_free(from, limit) => None,
            None => Some(self.create(to).map(|created| *open = Some(created))),
            Some(files) => Some(self.extend(files, from, to)),
        };
        match result {
            Some(Ok(())) => return FillOutcome::Filled,
            Some(Err(error)) if error.is_no_room() || error.is_too_many_open() => {
                warn_of_no_room(&error);
            }
            Some(Err(error)) => return FillOutcome::Failed(error),
            None => {}
        }
        // Its room is free when nobody has it open.
        *open = None;
        self.remove().map_or_else(FillOutcome::Failed, |()| FillOutcome::NotWritten)
    }

    /// Whether enough would be free without what there is of it. Where the disk does not tell, it is.
    fn is_enough_free(&self, filled: u64, limit: u64) -> bool {
        let room = self.path.parent().map(|dir| self.disk.room(dir));
        let Some(Ok(Some(room))) = room else { return true };
        room.free.saturating_add(filled) >= limit.saturating_mul(TIMES_FREE)
    }

    fn create(&self, to: u64) -> Result<Open, DiskError> {
        self.remove()?;
        let file = self.disk.create_new(&self.path)?;
        file.write_all_at(0, &FILE_HEADER)?;
        write_zeros(&*file, FILE_HEADER.len() as u64, to)?;
        let mut durable = None;
        if self.sync {
            file.sync_all()?;
            durable = self.disk.open_write_through(&self.path)?;
        }
        Ok(Open { file, durable })
    }

    /// What one direct write can take is written so. More of them would be as many syncs, of a map that each
    /// has changed.
    fn extend(&self, files: &mut Open, from: u64, to: u64) -> Result<(), DiskError> {
        match (&mut files.durable, ZEROS.get(..(to - from) as usize)) {
            (Some(durable), Some(zeros)) => {
                files.file.set_len(to)?;
                durable.overwrite(from, zeros)
            }
            _ => {
                write_zeros(&*files.file, from, to)?;
                if self.sync { files.file.sync_data() } else { Ok(()) }
            }
        }
    }

    fn remove(&self) -> Result<(), DiskError> {
        if self.disk.exists(&self.path)? { self.disk.remove(&self.path) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;
    use crate::persistence::faulty_disk::FaultyDisk;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 64 << 20;

    fn next_file(disk: &FaultyDisk, dir: &tempfile::TempDir) -> NextFile {
        NextFile::new(Arc::new(disk.clone()), dir.path(), true)
    }

    /// How long the file would be beside a log of so many bytes, in pieces of a MiB.
    fn length_beside(log_bytes: u64, limit: u64) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        while let Some(job) = next.next_piece(log_bytes, MIB, limit) {
            job.run();
            assert!(next.settle().unwrap());
        }
        let size = RealDisk.list(dir.path()).unwrap().first().map_or(0, |entry| entry.size);
        assert_eq!(size, next.filled);
        size
    }

    #[test]
    fn it_is_about_as_long_as_the_one_before() {
        assert_eq!(length_beside(MIB - 1, LIMIT), 0, "hardly the first of many");
        assert_eq!(length_beside(MIB, LIMIT), MIB);
        assert_eq!(length_beside(5 * MIB, LIMIT), 6 * MIB);
        assert_eq!(length_beside(40 * MIB, 8 * MIB), 8 * MIB);
        assert_eq!(length_beside(40 * MIB, 3 * MIB + 10_000), 3 * MIB + 8192, "whole blocks");
        assert_eq!(length_beside(36 * MIB, LIMIT), 45 * MIB);
        assert_eq!(length_beside(36 * MIB - 4, LIMIT), 44 * MIB);
        assert_eq!(length_beside(8192, 4096), 4096);
        assert_eq!(length_beside(40 * MIB, 4095), 0);
    }

    #[test]
    fn there_is_one_piece_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        let first = next.next_piece(8 * MIB, 100, LIMIT).unwrap();
        assert_eq!(first.range(), (0, 4096), "whole blocks");
        assert!(next.next_piece(8 * MIB, 100, LIMIT).is_none());
        first.run();
        assert!(next.next_piece(8 * MIB, 100, LIMIT).is_none(), "not settled");
        assert!(next.settle().unwrap());
        assert_eq!(next.next_piece(8 * MIB, MIB, LIMIT).unwrap().range(), (4096, 4096 + MIB));
    }

    #[test]
    fn a_piece_is_a_fourth_of_the_longest_file_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        assert_eq!(next.next_piece(8 * MIB, MIB, 65_000).unwrap().range(), (0, 16_384));
    }

    #[test]
    fn past_the_page_cache_or_not_a_piece_is_one_sync() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
        let mut next = next_file(&disk, &dir);
        next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
        assert!(next.settle().unwrap());
        if next.shared.open.lock().as_ref().unwrap().durable.is_none() {
            eprintln!("skipped: {} takes no direct writes", dir.path().display());
            return;
        }
        for piece in [64 << 10, 256 << 10, MIB] {
            let (syncs, filled) = (disk.syncs(), next.filled);
            next.next_piece(40 * MIB, piece, LIMIT).unwrap().run();
            assert!(next.settle().unwrap());
            assert_eq!((disk.syncs(), next.filled), (syncs + 1, filled + piece));
        }
        let content = RealDisk.read(&next.shared.path).unwrap();
        assert_eq!(content.len() as u64, next.filled);
        assert!(content[16..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn it_takes_no_room_that_others_may_need_soon() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
        let mut next = next_file(&disk, &dir);
        let mut is_made = |free: u64| {
            disk.has_free(free);
            next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
            next.settle().unwrap()
        };
        assert!(is_made(4 * LIMIT) && is_made(4 * LIMIT - MIB), "its own room counts as free");
        assert!(!is_made(4 * LIMIT - 2 * MIB - 1));
        assert!(RealDisk.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn who_removes_it_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
        RealDisk.remove(&next.shared.path).unwrap();
        assert_eq!(next.becomes(&dir.path().join("log.1"), 1).unwrap(), None);
    }

    #[test]
    fn a_log_does_not_begin_with_less_than_it_would_have_anyway() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
        assert_eq!(next.becomes(&dir.path().join("log.1"), MIB + 1).unwrap(), None);
        assert!(RealDisk.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn each_piece_is_synced_where_the_log_is() {
        for (sync, syncs) in [(true, 3), (false, 0)] {
            let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
            disk.cache_all_writes();
            let mut next = NextFile::new(Arc::new(disk.clone()), dir.path(), sync);
            for _ in 0..3 {
                next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
                assert!(next.settle().unwrap());
            }
            assert_eq!((disk.syncs(), next.filled), (syncs, 3 * MIB));
        }
    }

    #[test]
    fn what_is_found_under_its_name_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        let path = next.shared.path.clone();
        RealDisk.create_new(&path).unwrap().write_all_at(0, &[7; 99_999]).unwrap();
        next.next_piece(MIB, 8192, LIMIT).unwrap().run();
        let content = RealDisk.read(&path).unwrap();
        assert_eq!(content.len(), 8192);
        assert!(content.starts_with(&FILE_HEADER) && content[16..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn without_room_nothing_is_left_of_it() {
        for full_after in 0..12 {
            let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
            if full_after % 2 == 0 {
                disk.cache_all_writes();
            }
            let mut next = next_file(&disk, &dir);
            disk.fail_writes_after(full_after);
            let is_there = (0..12).all(|_| {
                next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
                next.settle().unwrap()
            });
            assert!(!is_there);
            assert!(RealDisk.list(dir.path()).unwrap().is_empty(), "{full_after}");
        }
    }

    #[test]
    fn a_sync_without_room_costs_no_more_than_the_file() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
        let mut next = next_file(&disk, &dir);
        disk.fail_syncs_after(0);
        next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
        assert!(!next.settle().unwrap());
        assert!(RealDisk.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_broken_disk_is_told_of_and_so_is_a_failed_sync() {
        for syncs in [false, true] {
            let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::new());
            disk.break_down();
            let mut next = next_file(&disk, &dir);
            if syncs {
                disk.fail_syncs_after(0);
            } else {
                disk.fail_writes_after(2);
            }
            next.next_piece(40 * MIB, MIB, LIMIT).unwrap().run();
            assert!(next.settle().is_err());
        }
    }

    #[test]
    fn a_log_gets_it_when_the_last_piece_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = next_file(&FaultyDisk::new(), &dir);
        let log = dir.path().join("log.1");
        let job = next.next_piece(MIB, MIB, LIMIT).unwrap();
        let (answer, became) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| answer.send(next.becomes(&log, MIB).unwrap()).unwrap());
            // Whoever does not wait has answered by the time that a file is written and synced.
            job.run_and_then(|| assert!(became.try_recv().is_err()));
            assert_eq!(became.recv().unwrap(), Some(MIB));
        });
        let names: Vec<_> = RealDisk.list(dir.path()).unwrap();
        assert_eq!(names.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["log.1"]);
    }

    #[test]
    fn no_log_gets_what_was_never_begun_or_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.1");
        assert_eq!(next_file(&FaultyDisk::new(), &dir).becomes(&log, 0).unwrap(), None);
        let mut next = next_file(&FaultyDisk::new(), &dir);
        next.next_piece(8 * MIB, MIB, LIMIT).unwrap().run();
        assert!(next.settle().unwrap());
        drop(next.next_piece(8 * MIB, MIB, LIMIT).unwrap());
        assert_eq!(next.becomes(&log, 0).unwrap(), None);
        assert!(RealDisk.list(dir.path()).unwrap().is_empty(), "nor is anything left");
    }
}
