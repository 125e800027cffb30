//! kill -9 under load, round after round on one directory: what was acknowledged is there, what
//! was deleted stays deleted, and the ephemerals of the dead are gone.
//!
//! Each writer owns the nodes below a node of its own and asks for one change after the other
//! without waiting for each. After a crash its nodes must be what they were after the first *n*
//! of its changes, for some *n* that is not below the number of acknowledged ones: no change may
//! be lost, none may be applied without those before it.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "crash/random.rs"]
mod random;
#[path = "crash/short_lived.rs"]
mod short_lived;
#[path = "crash/writer.rs"]
mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use common::{Hello, RawClient, Setup, TestServer, eventually};
use random::Random;
use writer::Writer;

const WRITERS: usize = 4;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_nanos() as u64
}

/// C-239, C-093, C-249: see the head of this file. Of C-155 this is the part that one server can
/// show: its own crash loses nothing; a minority of an ensemble is another matter.
#[test]
fn kill_9_under_load_loses_nothing() {
    let cycles = number("ZKSERVER_CRASH_CYCLES").unwrap_or(20);
    let seed = number("ZKSERVER_CRASH_SEED").unwrap_or_else(fresh_seed);
    println!(
        "crash: seed {seed}, {cycles} rounds (ZKSERVER_CRASH_SEED={seed} draws the same moments)"
    );
    let begin = Instant::now();
    let mut random = Random::new(seed);
    // Small numbers, so that logs roll and snapshots are written all the time.
    let mut setup =
        Setup::new(&[("tickTime", "100"), ("snapCount", "300"), ("preAllocSize", "64")]);
    // And old ones removed.
    setup.unset("autopurge.purgeInterval");
    let mut server = setup.start();
    let mut setup = RawClient::new(&server);
    setup.create("/short-lived", b"", 0).ok();
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|n| Writer::new(n, random.next(), &mut setup)).collect();
    drop(setup);

    let mut total = Total::default();
    for round in 0..cycles {
        let moment = Moment::draw(&mut random);
        total.rounds += 1;
        run_until(&mut server, &mut writers, moment, random.next(), &mut total);
        server.restart();
        let context = format!("seed {seed}, round {round}, {moment:?}");
        verify(&server, &mut writers, &context, &mut total);
    }
    println!(
        "crash: seed {seed}: {} rounds, {} changes acknowledged, {} of {} unacknowledged ones \
         survived, {} sessions ended, {} kills beside a new file, {:.1} s",
        total.rounds,
        total.acknowledged,
        total.survived,
        total.unacknowledged,
        total.ended,
        total.beside_files,
        begin.elapsed().as_secs_f32()
    );
    assert!(total.acknowledged > cycles * 100, "the load was too small to tell anything");
}

/// What the summary line tells.
#[derive(Default)]
struct Total {
    rounds: u64,
    acknowledged: u64,
    unacknowledged: u64,
    survived: u64,
    ended: u64,
    beside_files: u64,
    dead: BTreeSet<String>,
}

/// When to kill: after so many acknowledged changes, or, after those, as soon as a file appears
/// beside logs and snapshots, which is when the server is busy with rolling or snapshotting.
#[derive(Debug, Clone, Copy)]
struct Moment {
    changes: u64,
    beside_file: bool,
}

impl Moment {
    fn draw(random: &mut Random) -> Self {
        Moment { changes: 100 + random.below(1500), beside_file: random.below(2) == 0 }
    }
}

fn run_until(
    server: &mut TestServer,
    writers: &mut [Writer],
    moment: Moment,
    seed: u64,
    total: &mut Total,
) {
    let address = server.address();
    let acknowledged = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        for writer in writers.iter_mut() {
            scope.spawn(|| writer.run(address, &acknowledged));
        }
        let short_lived = [0, 1].map(|n| {
            let stop = &stop;
            scope.spawn(move || short_lived::run(address, seed ^ n, stop))
        });
        eventually("enough changes", || {
            (acknowledged.load(Ordering::Relaxed) >= moment.changes).then_some(())
        });
        if moment.beside_file {
            let before = server.files("");
            let limit = moment.changes + 3000;
            while server.files("") == before && acknowledged.load(Ordering::Relaxed) < limit {
                std::thread::yield_now();
            }
            total.beside_files += u64::from(server.files("") != before);
        }
        assert_eq!(server.exited(), None, "the server ended by itself");
        server.kill();
        stop.store(true, Ordering::Relaxed);
        short_lived.map(|thread| thread.join().expect("a thread of short-lived sessions"))
    });
    for paths in ended {
        total.ended += paths.len() as u64;
        total.dead.extend(paths);
    }
    total.acknowledged += acknowledged.load(Ordering::Relaxed);
}

fn verify(server: &TestServer, writers: &mut [Writer], context: &str, total: &mut Total) {
    let mut reader = RawClient::connect(server, &Hello::timeout(60_000));
    let left = reader.get_children("/short-lived", false).ok().children();
    for name in left {
        assert!(!total.dead.contains(&name), "{name} is back, whose session was closed: {context}");
    }
    for writer in writers {
        let (survived, unacknowledged) = writer.verify(server, &mut reader, context);
        total.survived += survived;
        total.unacknowledged += unacknowledged;
    }
    let mismatches = server.mntr("zk_digest_mismatches_count");
    assert_eq!(mismatches.as_deref(), Some("0"), "digests: {context}");
    eventually("the short-lived sessions that were not closed expire", || {
        reader.get_children("/short-lived", false).ok().children().is_empty().then_some(())
    });
    // Their names do not come again.
    total.dead.clear();
}
