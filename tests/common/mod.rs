//! What every black-box test uses: a server process, a client that speaks bytes, golden files.
//!
//! Nothing here sleeps to wait: whoever waits polls a condition and has a deadline.
#![allow(dead_code, unused_imports)]

pub mod bodies;
pub mod client;
pub mod golden;
pub mod hex;
pub mod server;
pub mod small_disk;

use std::time::{Duration, Instant};

pub use bodies::{flag, op};
pub use client::{Event, Hello, Message, Part, RawClient, Reply, Welcome};
pub use server::{Setup, TestServer, shared};
pub use zkserver::proto::{Acl, Stat};

/// How long anything may take before the test gives up. Far above what is normal, because a
/// loaded machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Error codes, as numbers on the wire.
pub mod err {
    pub const OK: i32 = 0;
    pub const RUNTIME_INCONSISTENCY: i32 = -2;
    pub const MARSHALLING: i32 = -5;
    pub const UNIMPLEMENTED: i32 = -6;
    pub const BAD_ARGUMENTS: i32 = -8;
    pub const NO_NODE: i32 = -101;
    pub const NO_AUTH: i32 = -102;
    pub const BAD_VERSION: i32 = -103;
    pub const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
    pub const NODE_EXISTS: i32 = -110;
    pub const NOT_EMPTY: i32 = -111;
    pub const SESSION_EXPIRED: i32 = -112;
    pub const INVALID_ACL: i32 = -114;
    pub const AUTH_FAILED: i32 = -115;
    pub const NO_WATCHER: i32 = -121;
    pub const RECONFIG_DISABLED: i32 = -123;
    pub const SASL_REQUIRED: i32 = -124;
    pub const QUOTA_EXCEEDED: i32 = -125;
    pub const THROTTLED_OP: i32 = -127;
}

/// Polls `condition` until it gives something; panics with `what` at the deadline.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        // The pause between two polls; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the suite is pointed at another server (see `tests/README.md`).
pub fn foreign_server() -> bool {
    std::env::var_os("ZKSERVER_TEST_COMMAND").is_some()
}

/// True, and says so, when the suite is pointed at another server. Called by tests of what
/// zkserver does differently from Apache ZooKeeper on purpose: they are of no use there.
pub fn skip_deviation(what: &str) -> bool {
    let skip = foreign_server();
    if skip {
        println!("skipped, a deliberate deviation: {what}");
    }
    skip
}
