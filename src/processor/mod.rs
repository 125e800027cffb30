//! The road of a request, stage by stage.
//!
//! ```text
//! reads    connection ─▶ read (under the reader's lock) ─▶ connection
//! writes   connection ─▶ prep ─▶ proposal ─▶ sync ─▶ commit ─▶ apply ─▶ final ─▶ connection
//!                        │                   │       │
//!                        zxid, time,         ticket  waits for the disk's report
//!                        change records
//! ```
//!
//! `RequestThrottler`, if the configuration asks for it, stands before prep.
//!
//! The stages are plain values that the role composes (`quorum::standalone`); apply and final run
//! where the effects are carried out (`server`). The names are Apache's: `PrepRequestProcessor`,
//! `SyncRequestProcessor`, `CommitProcessor`, `FinalRequestProcessor`.

pub mod change_record;
pub mod commit;
pub mod connection;
pub mod connection_queue;
pub mod connection_throttle;
pub mod connections;
pub mod container_manager;
pub mod final_request;
pub mod large_requests;
pub mod pending_usage;
pub mod prep;
pub mod proposal;
pub mod read;
pub mod request;
pub mod request_throttler;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
