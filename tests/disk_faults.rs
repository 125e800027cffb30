//! A server's disk side on a disk that fails. What must hold after any number of lives, each of which
//! may end with a failing, short or torn write, a failing sync, a full disk, a failed change of
//! names, a kill or a power cut at any operation:
//!
//! * **Nothing acknowledged is lost.** A start on a disk that works again serves a state that the
//!   history went through, at or behind the last transaction that was reported durable or served.
//! * **It starts.** A disk that works again, and that changed no bit, is never refused.
//! * **Never less, never a guess.** With a flipped bit in any file the start serves all that was
//!   acknowledged, exactly, or is refused with a sentence. So with a file that cannot be read.
//! * **A failure is final.** After the first one the queue refuses everything.
//! * **No panic**, no transaction twice, no digest that differs; and starting again changes nothing.
//!
//! The code under test is production's: `DataDir`, `restore`, `SyncQueue` with its rolls and fills,
//! and `write_snapshot`. A case is drawn from its seed alone. A failure prints the seed;
//! `ZKSERVER_FAULT_SEED=<seed>` runs that case of each test, with its story:
//!
//!     ZKSERVER_FAULT_SEED=17 cargo test --test disk_faults power_cuts -- --nocapture
//!
//! `ZKSERVER_FAULT_CASES=<n>` runs that many cases per test instead of the usual few hundred.

#[path = "disk_faults/disk.rs"]
mod disk;
#[path = "disk_faults/lives.rs"]
mod lives;
#[path = "crash/random.rs"]
mod random;

use std::io::ErrorKind::{Other, StorageFull};

use disk::{Fault, How, Op};
use lives::{Case, Peace};
use random::Random;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Says which case it was, should it fail.
struct Replay<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Replay { test, seed } = self;
            println!(
                "case {seed} failed; again, with its story: ZKSERVER_FAULT_SEED={seed} cargo test \
                 --test disk_faults {test} -- --nocapture"
            );
        }
    }
}

/// Runs `cases` cases with one fault drawn for each life; answers how many of their faults hit.
fn run(test: &str, cases: u64, mut fault: impl FnMut(&mut Random) -> Fault) -> u64 {
    let (first, count, tell) = match number("ZKSERVER_FAULT_SEED") {
        Some(seed) => (seed, 1, true),
        None => (1, number("ZKSERVER_FAULT_CASES").unwrap_or(cases), false),
    };
    let mut hits = 0;
    for seed in first..first + count {
        let _replay = Replay { test, seed };
        let mut case = Case::new(seed, tell);
        for _ in 0..1 + case.random.below(4) {
            let fault = fault(&mut case.random);
            hits += u64::from(case.life(Some(fault)));
        }
        case.peace(Peace::MustServe);
    }
    // So that no change of the code makes the test an empty one.
    assert!(count == 1 || hits * 2 > count, "{hits} faults hit in {count} cases");
    hits
}

fn any<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

const CHANGES: &[Op] =
    &[Op::Write, Op::SetLen, Op::Sync, Op::SyncDir, Op::Create, Op::Rename, Op::Remove];

/// C-156, C-239, C-240, C-253: the power goes at any operation, and any unsynced sectors and names
/// with it.
#[test]
fn power_cuts_lose_only_what_was_never_acknowledged() {
    run("power_cuts", 700, |random| Fault {
        hits: CHANGES.to_vec(),
        at: random.below(60),
        for_ever: false,
        how: How::PowerCut,
        kind: Other,
    });
}

/// C-239: the process is killed at any operation; the system lives on, until the power goes.
#[test]
fn killed_servers_lose_nothing() {
    run("killed_servers", 400, |random| Fault {
        hits: CHANGES.to_vec(),
        at: random.below(60),
        for_ever: false,
        how: How::Kill,
        kind: Other,
    });
}

/// C-254: writes fail, with nothing, a beginning or some sectors of them done.
#[test]
fn writes_that_fail_are_not_acknowledged() {
    run("writes_that_fail", 400, |random| Fault {
        hits: vec![Op::Write],
        at: random.below(40),
        for_ever: random.below(2) == 0,
        how: any(random, &[How::Fails, How::Short, How::Torn]),
        kind: any(random, &[Other, StorageFull]),
    });
}

/// C-252: a sync fails once or for ever, and what it did not write is gone with the next power cut.
#[test]
fn syncs_that_fail_are_not_acknowledged() {
    run("syncs_that_fail", 400, |random| Fault {
        hits: any(random, &[&[Op::Sync][..], &[Op::SyncDir], &[Op::Sync, Op::SyncDir]]).to_vec(),
        at: random.below(30),
        for_ever: random.below(2) == 0,
        how: How::Fails,
        kind: any(random, &[Other, StorageFull]),
    });
}

/// C-253, C-254: the disk is full from some call on, whatever asks for room.
#[test]
fn a_full_disk_loses_nothing() {
    run("a_full_disk", 400, |random| Fault {
        hits: vec![Op::Write, Op::Create, Op::Rename, Op::SyncDir, Op::Sync],
        at: random.below(60),
        for_ever: random.below(4) > 0,
        how: any(random, &[How::Fails, How::Short]),
        kind: StorageFull,
    });
}

/// C-261: names and reads fail; what cannot be read is never taken for absent.
#[test]
fn names_and_reads_that_fail_lose_nothing() {
    run("names_and_reads", 400, |random| {
        let names = [Op::Create, Op::Rename, Op::Remove, Op::SetLen];
        let reads = [Op::Open, Op::List, Op::Read];
        Fault {
            hits: any(random, &[&names[..], &reads]).to_vec(),
            at: random.below(25),
            for_ever: random.below(2) == 0,
            how: How::Fails,
            kind: Other,
        }
    });
}

/// C-242, C-243: one bit of any file is another.
#[test]
fn a_flipped_bit_is_healed_or_refused() {
    let test = "a_flipped_bit";
    let (first, count, tell) = match number("ZKSERVER_FAULT_SEED") {
        Some(seed) => (seed, 1, true),
        None => (1, number("ZKSERVER_FAULT_CASES").unwrap_or(600), false),
    };
    let (mut served, mut refused) = (0, 0);
    for seed in first..first + count {
        let _replay = Replay { test, seed };
        let mut case = Case::new(seed, tell);
        for _ in 0..1 + case.random.below(3) {
            case.life(None);
        }
        case.flip_a_bit();
        match case.peace(Peace::MayRefuse) {
            true => served += 1,
            false => refused += 1,
        }
    }
    assert!(count == 1 || (served > 50 && refused > 50), "{served} served, {refused} refused");
}
