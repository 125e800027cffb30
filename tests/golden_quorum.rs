//! Apache ZooKeeper's side of captured conversations, played to our cores: whatever Apache's leader
//! says is answered as Apache's learner answered it, and the other way round, and elections end as
//! they ended.
//!
//! A [`Server`](server::Server) is the production core over a tree, with a disk that reports all it
//! is asked for after each step. What is compared are the bytes of every packet. Each place where
//! our server says something else than the captured one is named where it is.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "golden_quorum/beginning.rs"]
mod beginning;
#[path = "golden_quorum/election.rs"]
mod election;
#[path = "golden_quorum/leading.rs"]
mod leading;
#[path = "golden_quorum/learning.rs"]
mod learning;
#[path = "golden_quorum/recording.rs"]
mod recording;
#[path = "golden_quorum/server.rs"]
mod server;
#[path = "golden_quorum/tree.rs"]
mod tree;
