//! Ensembles of real processes: what kills, stops, cuts off and damages members, and what clients see of it.
//!
//! The processes are the real binary on real sockets and disks, its clients threads of this one
//! (`client`, with the simulator's workload). What goes wrong comes from outside: signals, files,
//! and the `roads` between the members. What happened is judged by the simulator's checkers
//! (`crowd`).
//!
//! ```text
//! cargo test --test ensemble
//! ZK_FAULT_CYCLES=300 cargo test --release --test ensemble random_faults -- --nocapture
//! ```

#![allow(clippy::disallowed_methods)]

#[path = "../sim/checkers/mod.rs"]
#[allow(dead_code, reason = "the simulator asks for more")]
mod checkers;
mod client;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod crowd;
#[path = "../monitoring/document.rs"]
#[allow(dead_code, reason = "another suite asks for more")]
mod document;
#[path = "../monitoring/expressions.rs"]
mod expressions;
#[path = "../sim/history.rs"]
#[allow(dead_code, reason = "the simulator asks for more")]
mod history;
#[path = "../sim/messages.rs"]
mod messages;
#[path = "../sim/random.rs"]
#[allow(dead_code, reason = "the simulator asks for more")]
mod random;
mod roads;
mod stage;
#[path = "../sim/workload.rs"]
#[allow(dead_code, reason = "the simulator asks for more")]
mod workload;

mod cycles;
mod damage;
mod doors;
mod elections;
mod keys;
mod rounds;
mod sessions;
mod silence;
mod strangers;
mod synchronization;
mod words;

use common::bodies;
