//! What a client can see of one server, one file per capability.
//!
//! A test is named by its claim; the number in its doc comment is the line of the conformance
//! list (`docs/conformance.md`) that it holds. Tests of a file share a server where that is safe
//! and keep to nodes of their own; who restarts, configures or counts has a server of its own.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "compat/acl.rs"]
mod acl;
#[path = "compat/children.rs"]
mod children;
#[path = "compat/connect.rs"]
mod connect;
#[path = "compat/containers_ttl.rs"]
mod containers_ttl;
#[path = "compat/create.rs"]
mod create;
#[path = "compat/crowds.rs"]
mod crowds;
#[path = "compat/data.rs"]
mod data;
#[path = "compat/ephemerals.rs"]
mod ephemerals;
#[path = "compat/foreign_client.rs"]
mod foreign_client;
#[path = "compat/four_letter.rs"]
mod four_letter;
#[path = "compat/full_disk.rs"]
mod full_disk;
#[path = "compat/fuzzy_snapshot.rs"]
mod fuzzy_snapshot;
#[path = "compat/hostile.rs"]
mod hostile;
#[path = "compat/levels.rs"]
mod levels;
#[path = "compat/limits.rs"]
mod limits;
#[path = "compat/multi.rs"]
mod multi;
#[path = "compat/order.rs"]
mod order;
#[path = "compat/purge.rs"]
mod purge;
#[path = "compat/quota.rs"]
mod quota;
#[path = "compat/recovery.rs"]
mod recovery;
#[path = "compat/sequence.rs"]
mod sequence;
#[path = "compat/sessions.rs"]
mod sessions;
#[path = "compat/throttling.rs"]
mod throttling;
#[path = "compat/watch_events.rs"]
mod watch_events;
#[path = "compat/watches.rs"]
mod watches;
