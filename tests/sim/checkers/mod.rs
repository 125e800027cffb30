//! The checkers: one file per property, each a function from a run to the first thing that
//! violates it.
//!
//! ```text
//!  History ──▶ Run: chain (every transaction and its predecessor, and which are committed)
//!                   model (the tree that the committed transactions make, change by change)
//!                         │
//!       ┌─────────────────┼──────────────────┬─────────────────────┐
//!   the ZAB papers'    the disk's        the clients'           the sessions'
//!   leadership         durability        linearizability        ephemeral_lifetime
//!   prefix_consistency monotonic_epochs  replies_match_tree     fifo_per_session
//!   integrity …        no_tree_ahead…    watch_delivery         reads_never_go_back
//! ```
//!
//! What always holds:
//! * A checker believes only what the history says that disks, trees and connections did; it never
//!   asks a core what it thinks.
//! * The first violation of a property is reported and ends that checker; what follows from it
//!   would hide it.

mod agreement;
mod chain;
mod durability;
mod ephemeral_lifetime;
mod fifo_per_session;
mod global_primary_order;
mod handshakes_answered;
mod honest_peers;
mod initial_history;
mod integrity;
mod leadership;
mod linearizability;
mod local_primary_order;
mod model;
mod monotonic_epochs;
mod no_tree_ahead_of_log;
mod prefix_consistency;
mod primary_integrity;
mod reads_never_go_back;
mod real_time_order;
mod reaping;
mod replies_match_tree;
mod server_log;
#[cfg(test)]
mod testing;
mod total_order;
mod tree_digests;
mod watch_delivery;

use std::fmt::Arguments;

use crate::history::{History, Micros, Violation};
use chain::Chain;
use model::Story;

/// A run as all checkers see it.
pub struct Run<'a> {
    /// What happened.
    pub history: &'a History,
    /// Every transaction and its predecessor.
    pub chain: Chain,
    /// What the committed transactions made of the tree.
    pub story: Story<'a>,
}

/// A checker: the first violation of one property.
type Checker = fn(&Run<'_>) -> Result<(), Violation>;

/// Every checker by its property.
pub const CHECKERS: [(&str, Checker); 23] = [
    (leadership::NAME, leadership::check),
    (prefix_consistency::NAME, prefix_consistency::check),
    (integrity::NAME, integrity::check),
    (agreement::NAME, agreement::check),
    (total_order::NAME, total_order::check),
    (local_primary_order::NAME, local_primary_order::check),
    (global_primary_order::NAME, global_primary_order::check),
    (primary_integrity::NAME, primary_integrity::check),
    (durability::NAME, durability::check),
    (no_tree_ahead_of_log::NAME, no_tree_ahead_of_log::check),
    (initial_history::NAME, initial_history::check),
    (honest_peers::NAME, honest_peers::check),
    (monotonic_epochs::NAME, monotonic_epochs::check),
    (tree_digests::NAME, tree_digests::check),
    (linearizability::NAME, linearizability::check),
    (real_time_order::NAME, real_time_order::check),
    (replies_match_tree::NAME, replies_match_tree::check),
    (fifo_per_session::NAME, fifo_per_session::check),
    (reads_never_go_back::NAME, reads_never_go_back::check),
    (handshakes_answered::NAME, handshakes_answered::check),
    (watch_delivery::NAME, watch_delivery::check),
    (ephemeral_lifetime::NAME, ephemeral_lifetime::check),
    (reaping::NAME, reaping::check),
];

/// The first violation of each property, in the order in which they show.
pub fn check(history: &History) -> Vec<Violation> {
    let run = Run::new(history);
    let mut found: Vec<Violation> =
        CHECKERS.iter().filter_map(|(_, checker)| checker(&run).err()).collect();
    found.sort_by_key(|violation| violation.at);
    found
}

impl<'a> Run<'a> {
    /// Reads a history once, for all checkers.
    pub fn new(history: &'a History) -> Self {
        let chain = Chain::new(history);
        let story = Story::new(history, &chain);
        Run { history, chain, story }
    }
}

/// A violation in words.
fn violation(property: &'static str, at: Micros, what: Arguments<'_>) -> Violation {
    Violation { property, at, what: what.to_string() }
}

/// A moment, for the words of a violation.
struct At(Micros);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A map from the run's numbers, whose order nobody may see.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;
/// A set of the run's numbers, likewise.
type Set<K> = std::collections::HashSet<K, foldhash::fast::FixedState>;
