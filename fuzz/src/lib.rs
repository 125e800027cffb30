//! What the fuzz targets check, as plain functions: a target feeds them whatever it invents,
//! `cargo test` of the server feeds them the corpus (`tests/fuzz_corpus.rs` includes this file).
//!
//! Each takes any bytes, and panics only when a property that its module names does not hold.

pub mod config;
pub mod frames;
pub mod jute;
pub mod memory_disk;
pub mod peers;
pub mod snapshot;
pub mod txn_log;
