//! What monitoring sees: `docs/metrics.md` held to a running server, and the expressions of the
//! common tools run against its answers (`tests/monitoring/`, each with its origin).

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "monitoring/document.rs"]
#[allow(dead_code, reason = "another suite asks for more")]
mod document;
#[path = "monitoring/expressions.rs"]
mod expressions;
#[path = "monitoring/moves.rs"]
mod moves;
#[path = "monitoring/stall.rs"]
mod stall;
#[path = "monitoring/table.rs"]
mod table;
#[path = "monitoring/tools.rs"]
mod tools;

use std::collections::BTreeMap;

use common::TestServer;

/// Every line of `mntr`, by its key.
fn mntr(server: &TestServer) -> BTreeMap<String, String> {
    let text = server.word("mntr");
    let lines = text.lines().map(|line| {
        let (key, value) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
        (key.to_owned(), value.to_owned())
    });
    let keys: BTreeMap<_, _> = lines.collect();
    assert_eq!(keys.len(), text.lines().count(), "a key is told once");
    keys
}
