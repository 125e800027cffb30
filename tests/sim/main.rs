//! The simulator: whole ensembles in one thread, from one seed.
//!
//! The code under test is production's: driver, peer core, connection core, tree, sessions, watches,
//! disk queue, log, snapshots, restore and the codecs. Simulated are time, disks, network and clients
//! (`world`, `disk`, `network`, `client`), and what goes wrong (`faults`, `hostile`). What happened is
//! written down (`history`) and judged (`checkers`).
//!
//! ```text
//! cargo test --test sim                                                   the usual seeds
//! ZK_SIM_SEED=17 cargo test --test sim the_swarm -- --nocapture           one, with its trace
//! ZK_SIM_SEEDS=1..5001 cargo test --profile sim --test sim the_swarm -- --nocapture
//!                                                                         many, on all cores
//! ```

mod agenda;
#[allow(dead_code, reason = "other suites ask for more than the workload does")]
#[path = "../common/bodies.rs"]
mod bodies;
mod checkers;
mod client;
mod clock;
mod connection;
mod disk;
mod doors;
mod ensemble;
mod faults;
mod history;
mod hostile;
mod messages;
mod network;
mod peer;
mod process;
mod random;
mod stage;
mod swarm;
mod trace;
mod workload;
mod world;

use swarm::{Outcome, run, run_many};
use trace::Keep;

/// A number, or a range of them, from the environment.
fn asked(variable: &str) -> Option<std::ops::Range<u64>> {
    let text = std::env::var(variable).ok()?;
    let number = |text: &str| text.trim().parse().expect("a seed is a number");
    Some(match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    })
}

/// Runs the usual seeds, or those that are asked for.
fn swarm_of(usual: std::ops::Range<u64>, plan: fn(u64, Keep) -> world::Plan) -> swarm::Summary {
    if let Some(seeds) = asked("ZK_SIM_SEED") {
        // With the words of the code under test between the lines of the trace.
        let _ = tracing_subscriber::fmt()
            .without_time()
            .with_max_level(tracing::Level::DEBUG)
            .try_init();
        let outcome = run(plan(seeds.start, Keep::Print));
        assert!(outcome.violations.is_empty(), "{outcome}");
        println!("seed {}: nothing is wrong; {:?}", seeds.start, outcome.figures);
        return swarm::Summary::default();
    }
    let seeds = asked("ZK_SIM_SEEDS").unwrap_or(usual);
    let most_failures = asked("ZK_SIM_FAILURES").map_or(10, |most| most.start as usize);
    let summary = run_many(
        seeds,
        |seed| plan(seed, Keep::Nothing),
        most_failures,
        |outcome: &Outcome| {
            if !outcome.violations.is_empty() {
                println!("{outcome}");
            }
        },
    );
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{} seeds failed", summary.failed.len());
    summary
}

/// So that no change makes the runs empty ones.
fn must_be_eventful(summary: &swarm::Summary) {
    let many = summary.figures.len() >= 40;
    assert!(!many || summary.is_eventful(), "runs in which little happens prove little");
}

#[test]
fn the_swarm_finds_nothing() {
    must_be_eventful(&swarm_of(1..301, swarm::plan));
}

#[test]
fn three_servers_and_three_clients_are_simulated_fast() {
    must_be_eventful(&swarm_of(1..41, swarm::plain_plan));
}

#[test]
fn a_server_that_is_alone_survives_the_swarm() {
    swarm_of(1..101, swarm::alone_plan);
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for plan in [swarm::alone_plan, swarm::plan] {
        let first = run(plan(7, Keep::Lines));
        let second = run(plan(7, Keep::Lines));
        assert_eq!(first.hash, second.hash);
        assert!(first.trace == second.trace, "the traces differ");
    }
}
