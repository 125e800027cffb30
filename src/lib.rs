//! zkserver: Apache ZooKeeper's protocol, data and habits in one binary.
//!
//! The modules, in reading order. Imports point only upwards in this list (see
//! `tests/architecture.rs`): bytes first, then what they say, then what is held, then how a
//! request travels, and last the shells that touch sockets, files and clocks.

pub mod jute;
pub mod metrics;
pub mod time;

pub mod proto;

pub mod auth;
pub mod config;
pub mod session;
pub mod status;
pub mod watch;

pub mod tree;

pub mod processor;

pub mod persistence;
pub mod quorum;

pub mod net;
pub mod operator;

pub mod server;

pub mod tools;
