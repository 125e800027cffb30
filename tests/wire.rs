//! Bytes are Apache ZooKeeper's: every record of every family decodes from captured bytes to the
//! values that are known to be in them, and encodes to the same bytes again.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "wire/acl.rs"]
mod acl;
#[path = "wire/connect.rs"]
mod connect;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/quorum.rs"]
mod quorum;
#[path = "wire/requests.rs"]
mod requests;
#[path = "wire/responses.rs"]
mod responses;
#[path = "wire/stat.rs"]
mod stat;
#[path = "wire/txns.rs"]
mod txns;
#[path = "wire/watch_events.rs"]
mod watch_events;
