use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::persistence::disk::RealDisk;
use crate::persistence::faulty_disk::FaultyDisk;
use crate::persistence::txn_log::{ZeroFill, record};

fn records(zxids: std::ops::RangeInclusive<u64>, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for zxid in zxids {
        let mut txn = vec![0xaa; size];
        txn[12..20].copy_from_slice(&zxid.to_be_bytes());
        record::append(&txn, &mut out);
    }
    out
}

fn count(path: &Path) -> usize {
    let mut reader = LogReader::open(&RealDisk, path, 1 << 30).unwrap();
    let mut n = 0;
    while reader.next().unwrap().is_some() {
        n += 1;
    }
    assert_eq!(reader.end().unwrap().torn, None);
    n
}

const OPTIONS: LogWriterOptions = LogWriterOptions { pre_alloc_bytes: 64 << 20, sync: true };

fn append(log: &mut LogWriter, first: u64, records: &[u8]) -> Result<Appended, DiskError> {
    log.make_ready(Zxid(first), records.len())?;
    log.append(records)
}

/// A record of which so few zeros are left that more are asked for.
const ASKS_FOR_A_FILL: usize = 150 << 10;

/// A filler that keeps jobs for the test to run.
fn kept() -> (ZeroFiller, std::sync::mpsc::Receiver<ZeroFill>) {
    let (send, receive) = std::sync::mpsc::channel();
    (Box::new(move |job| send.send(job).unwrap()), receive)
}

/// Whether the job is for a file that was not made in advance: those are filled in whole blocks.
fn is_behind_the_first_zeros(job: &ZeroFill) -> bool {
    job.range().0 % BLOCK_BYTES == FILE_HEADER.len() as u64
}

#[test]
fn a_batch_that_reaches_a_fill_in_flight_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
    append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
    let job = jobs.try_recv().unwrap();
    // Within the first zeros: no waiting, though the fill has not run.
    append(&mut log, 2, &records(2..=2, 1000)).unwrap();
    let (written, wait) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (log, written) = (&mut log, written);
        scope.spawn(move || {
            append(log, 3, &records(3..=3, 300 << 10)).unwrap();
            written.send(()).unwrap();
        });
        assert!(wait.try_recv().is_err());
        job.run();
        wait.recv().unwrap();
    });
    log.sync().unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 3);
}

#[test]
fn a_batch_larger_than_everything_filled_extends_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let run = Box::new(ZeroFill::run);
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
    append(&mut log, 1, &records(1..=9, 1 << 20)).unwrap();
    append(&mut log, 10, &records(10..=18, 1 << 20)).unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 18);
    log.sync().unwrap();
    log.close().unwrap();
    let size = RealDisk.list(dir.path()).unwrap()[0].size;
    assert_eq!(size, 16 + 18 * ((1 << 20) + 13));
}

#[test]
fn no_room_for_zeros_is_no_failure_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let faults = disk.clone();
    let filler: ZeroFiller = Box::new(move |job| {
        faults.fail_writes_after(0);
        job.run();
        faults.fail_writes_after(i64::MAX);
    });
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    for zxid in 1..=40 {
        append(&mut log, zxid, &records(zxid..=zxid, 10 << 10)).unwrap();
        log.sync().unwrap();
    }
    log.close().unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 40);
}

#[test]
fn a_new_log_without_room_for_zeros_takes_records() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    disk.fail_writes_longer_than(10 << 10);
    let run = Box::new(ZeroFill::run);
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, run);
    append(&mut log, 1, &records(1..=9, 1000)).unwrap();
    log.sync().unwrap();
    log.close().unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 9);
    assert_eq!(RealDisk.list(dir.path()).unwrap()[0].size, 16 + 9 * 1013);
}

#[test]
fn a_disk_that_fails_a_write_of_zeros_fails_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    disk.break_down();
    let faults = disk.clone();
    let filler: ZeroFiller = Box::new(move |job| {
        faults.fail_writes_after(0);
        job.run();
        faults.fail_writes_after(i64::MAX);
    });
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
    assert!(log.sync().is_err(), "known before anything is acknowledged");
}

#[test]
fn a_fill_does_not_hear_of_the_logs_lost_bytes_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    disk.cache_all_writes();
    let faults = disk.clone();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
    faults.lose_written_bytes();
    // The fill syncs between the log's write and its sync. That it is told as well is known
    // only when it has reported.
    let job = jobs.try_recv().unwrap();
    let outcome = job.run_unreported();
    assert!(outcome.is_err());
    assert!(log.sync().is_err(), "the log must be told itself");
}

#[test]
fn a_failed_sync_of_zeros_fails_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let faults = disk.clone();
    let filler: ZeroFiller = Box::new(move |job| {
        faults.fail_syncs_after(0);
        job.run();
        faults.fail_syncs_after(i64::MAX);
    });
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    append(&mut log, 1, &records(1..=1, ASKS_FOR_A_FILL)).unwrap();
    assert!(append(&mut log, 2, &records(2..=2, 100)).is_err());
}

#[test]
fn a_log_that_never_got_a_record_gives_way_and_one_with_records_does_not() {
    let dir = tempfile::tempdir().unwrap();
    for leftover in [&b""[..], &FILE_HEADER[..7], &FILE_HEADER, &[0; 700]] {
        let path = dir.path().join("log.1");
        RealDisk.create_new(&path).unwrap().write_all_at(0, leftover).unwrap();
        let run = Box::new(ZeroFill::run);
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
        append(&mut log, 1, &records(1..=1, 100)).unwrap();
        log.close().unwrap();
        assert_eq!(count(&path), 1);
        let run = Box::new(ZeroFill::run);
        let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
        let error = append(&mut log, 1, &records(1..=1, 100)).unwrap_err();
        assert!(error.to_string().contains("holds transactions already"), "{error}");
        RealDisk.remove(&path).unwrap();
    }
}
/// What the log has appended and how: of each record whether it was durable at once.
fn append_each(disk: &FaultyDisk, dir: &std::path::Path, lengths: &[usize]) -> Vec<bool> {
    let run = Box::new(ZeroFill::run);
    let mut log = LogWriter::new(Arc::new(disk.clone()), dir.to_owned(), OPTIONS, run);
    let append = |(zxid, length): (u64, &usize)| {
        let appended = append(&mut log, zxid, &records(zxid..=zxid, *length)).unwrap();
        log.sync().unwrap();
        appended == Appended::Durably
    };
    let how = (1..).zip(lengths).map(append).collect();
    log.close().unwrap();
    how
}

#[test]
fn what_lies_within_the_zeros_is_durable_at_once_and_the_files_are_the_same() {
    let lengths = [100, 5000, 4096 - 13, 40, 3 << 20, 100, 5 << 20, 100, 70_000, 41];
    let (direct, cached) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = FaultyDisk::new();
    let how = append_each(&disk, direct.path(), &lengths);
    disk.cache_all_writes();
    assert_eq!(append_each(&disk, cached.path(), &lengths), [false; 10]);
    if how[0] {
        let over = |n: usize| lengths[n] > 2 << 20;
        assert_eq!(how, (0..10).map(|n| !over(n)).collect::<Vec<_>>());
    } else {
        eprintln!("skipped: {} takes no direct writes", direct.path().display());
    }
    let content = |dir: &tempfile::TempDir| RealDisk.read(&dir.path().join("log.1")).unwrap();
    assert!(content(&direct) == content(&cached));
    assert_eq!(count(&direct.path().join("log.1")), 10);
}

#[test]
fn behind_zeros_that_were_not_written_nothing_is_taken_for_a_zero() {
    let dir = tempfile::tempdir().unwrap();
    let dropped: ZeroFiller = Box::new(drop);
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, dropped);
    for zxid in 1..=40 {
        let appended = append(&mut log, zxid, &records(zxid..=zxid, 10 << 10)).unwrap();
        assert!(zxid < 20 || appended == Appended::ToBeSynced);
        log.sync().unwrap();
    }
    log.close().unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 40);
}

#[test]
fn zeros_are_added_by_how_much_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
    let mut zxids = 1..;
    let mut next_fill = |length: usize| loop {
        let zxid = zxids.next().unwrap();
        append(&mut log, zxid, &records(zxid..=zxid, length)).unwrap();
        if let Some(job) = jobs.try_iter().find(is_behind_the_first_zeros) {
            let (from, to) = job.range();
            job.run();
            return to - from;
        }
    };
    assert_eq!(next_fill(1000), 1 << 20);
    next_fill(30_000);
    let step = next_fill(30_000);
    assert!((3 << 19..=30_013 * 64 + BLOCK_BYTES).contains(&step), "{step}");
    next_fill(1 << 20);
    assert_eq!(next_fill(1 << 20), 4 << 20);
    next_fill(100);
    assert_eq!(next_fill(100), 1 << 20);
}

/// The names in the directory, in order, and how long the files are.
fn files(dir: &tempfile::TempDir) -> Vec<(String, u64)> {
    let entries = RealDisk.list(dir.path()).unwrap().into_iter();
    let mut files: Vec<_> = entries.map(|entry| (entry.name, entry.size)).collect();
    files.sort();
    files
}

/// Appends and syncs so many records of 10,000 bytes; of each whether it was durable at once.
fn append_tens(log: &mut LogWriter, zxids: std::ops::RangeInclusive<u64>) -> Vec<bool> {
    let append = |zxid| {
        let appended = append(log, zxid, &records(zxid..=zxid, 10_000)).unwrap();
        log.sync().unwrap();
        appended == Appended::Durably
    };
    zxids.map(append).collect()
}

#[test]
fn the_next_log_has_its_zeros_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
    let direct = append_tens(&mut log, 1..=1) == [true];
    let made = |log: &mut LogWriter, zxids| {
        for zxid in zxids {
            append_tens(log, zxid..=zxid);
            jobs.try_iter().for_each(ZeroFill::run);
        }
    };
    made(&mut log, 2..=300);
    let next = &files(&dir)[1];
    assert_eq!(next.0, "tmp.next-log");
    assert!((3_000_000..=3_900_000).contains(&next.1), "as long and a fourth more: {next:?}");
    log.roll().unwrap();
    let how = append_tens(&mut log, 301..=550);
    assert_eq!(jobs.try_iter().filter(|job| job.range().0 > 0).count(), 0, "no zeros are wanted");
    assert_eq!(files(&dir)[1].0, "log.12d");
    assert_eq!(files(&dir)[1].1, next.1, "nor was it made longer");
    if direct {
        assert_eq!(how, [true; 250]);
    } else {
        eprintln!("skipped: {} takes no direct writes", dir.path().display());
    }
    log.close().unwrap();
    let lengths = [300, 250].map(|n| 16 + n * 10_013);
    assert_eq!(files(&dir), [("log.1".to_owned(), lengths[0]), ("log.12d".to_owned(), lengths[1])]);
    assert_eq!(count(&dir.path().join("log.12d")), 250);
}

#[test]
fn a_log_longer_than_the_last_goes_on_in_zeros_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let run = Box::new(ZeroFill::run);
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, run);
    append_tens(&mut log, 1..=150);
    log.roll().unwrap();
    append_tens(&mut log, 151..=650);
    log.close().unwrap();
    assert_eq!(files(&dir).len(), 2);
    assert_eq!(count(&dir.path().join("log.97")), 500);
}

#[test]
fn a_next_log_that_cannot_be_made_is_made_when_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let (faults, attempts) = (disk.clone(), Arc::new(AtomicUsize::new(0)));
    let count_attempts = Arc::clone(&attempts);
    let filler: ZeroFiller = Box::new(move |job| {
        if is_behind_the_first_zeros(&job) {
            return job.run();
        }
        count_attempts.fetch_add(1, Ordering::SeqCst);
        faults.fail_writes_after(3);
        job.run();
        faults.fail_writes_after(i64::MAX);
    });
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    append_tens(&mut log, 1..=300);
    assert_eq!(files(&dir).len(), 1, "there was no room");
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((1..=2).contains(&attempts), "it is not tried again: {attempts}");
    log.roll().unwrap();
    append_tens(&mut log, 301..=310);
    log.close().unwrap();
    assert_eq!(count(&dir.path().join("log.12d")), 10);
}

#[test]
fn a_disk_that_fails_the_next_log_fails_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let faults = disk.clone();
    let filler: ZeroFiller = Box::new(move |job| {
        if job.range().0 == 0 {
            faults.break_down();
            faults.fail_writes_after(1);
        }
        job.run();
        faults.fail_writes_after(i64::MAX);
    });
    let mut log = LogWriter::new(Arc::new(disk), dir.path().to_owned(), OPTIONS, filler);
    let failed =
        (1..=300).find(|zxid| append(&mut log, *zxid, &records(*zxid..=*zxid, 10_000)).is_err());
    assert_eq!(failed, Some(106), "with the first behind a MiB");
}

#[test]
fn a_log_without_room_gets_that_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(disk.clone()), dir.path().to_owned(), OPTIONS, filler);
    for zxid in 1..=250 {
        append_tens(&mut log, zxid..=zxid);
        jobs.try_iter().for_each(ZeroFill::run);
    }
    assert_eq!(files(&dir).len(), 2);
    for zxid in 251..=450 {
        append_tens(&mut log, zxid..=zxid);
        for job in jobs.try_iter() {
            disk.fail_writes_after(if is_behind_the_first_zeros(&job) { 0 } else { i64::MAX });
            job.run();
            disk.fail_writes_after(i64::MAX);
        }
    }
    assert_eq!(files(&dir).len(), 1, "the log needs it more");
    log.close().unwrap();
    assert_eq!(count(&dir.path().join("log.1")), 450);
}

#[test]
fn a_log_that_is_closed_leaves_no_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
    let mut late = None;
    for zxid in 1..=300 {
        append_tens(&mut log, zxid..=zxid);
        for job in jobs.try_iter() {
            if is_behind_the_first_zeros(&job) { job.run() } else { late = Some(job) }
        }
    }
    let late = late.expect("a first piece, which is still to be written");
    std::thread::scope(|scope| {
        let close = scope.spawn(|| log.close().unwrap());
        late.run_and_then(|| assert!(!close.is_finished()));
    });
    assert_eq!(files(&dir), [("log.1".to_owned(), 16 + 300 * 10_013)]);
}

#[test]
fn the_next_log_is_made_in_pieces_by_how_much_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (filler, jobs) = kept();
    let mut log = LogWriter::new(Arc::new(RealDisk), dir.path().to_owned(), OPTIONS, filler);
    let mut zxids = 1..;
    let mut next_piece = |length: usize| loop {
        let zxid = zxids.next().unwrap();
        append(&mut log, zxid, &records(zxid..=zxid, length)).unwrap();
        let mut pieces = Vec::new();
        for job in jobs.try_iter() {
            if !is_behind_the_first_zeros(&job) {
                pieces.push(job.range().1 - job.range().0);
            }
            job.run();
        }
        if let [piece] = pieces[..] {
            return piece;
        }
    };
    assert_eq!(next_piece(900), 64 << 10);
    assert_eq!(next_piece(900), 64 << 10);
    let large = std::iter::repeat_with(|| next_piece(200 << 10)).take(9).last();
    assert_eq!(large, Some(1 << 20));
}

#[test]
fn without_force_sync_the_next_log_is_not_synced_either() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let unsynced = LogWriterOptions { sync: false, ..OPTIONS };
    let run = Box::new(ZeroFill::run);
    let mut log = LogWriter::new(Arc::new(disk.clone()), dir.path().to_owned(), unsynced, run);
    for zxid in 1..=300 {
        append(&mut log, zxid, &records(zxid..=zxid, 10_000)).unwrap();
    }
    assert_eq!((files(&dir).len(), disk.syncs()), (2, 0));
}
