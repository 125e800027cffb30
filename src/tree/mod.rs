//! What is held: the znodes, who may touch them, whose they are, and the one way they change.
//!
//! ```text
//!  transactions ──▶ Database::apply ──▶ apply.rs ─────▶ DataTree ──▶ Observer: what changed
//!  (restart, sync,   sessions, zxid,    one rule for    │
//!   broadcast)       digest compared    each type       ├─ Index      path ──▶ id, no paths kept
//!                                                       ├─ NodeStore  id ──▶ 64 bytes, names
//!  snapshot ──▶ DatabaseBuilder ───────────────────────▶├─ AclCache   each list once
//!  snapshot ◀── SnapshotCapture ◀── (set aside first) ──├─ ephemerals, containers, TTL nodes
//!                                                       └─ digest     a sum, kept up to date
//! ```
//!
//! What always holds:
//!
//! * There is one road in: [`Database::apply`], and before it [`DatabaseBuilder`]. What it does to
//!   a tree depends on the transaction and the tree alone, so all servers have the same tree after
//!   the same transactions, and the same digest. (A quota's statistics, which no digest covers,
//!   depend on the snapshot too: they are counted when it is loaded.)
//! * Apply never fails as a whole and never panics, whatever a decoded record says: a transaction
//!   was checked before it was proposed, and one that does not fit (a snapshot of Apache's holds
//!   effects of later transactions) is ignored as far as it does not fit.
//! * Every node has a parent, and every node but the root is among its parent's children and in
//!   the index. The four reserved nodes are always there.
//! * Nothing recurses: a path may be thousands of names deep.
//! * A snapshot is exact: it shows the tree at one zxid though writers go on ([`SnapshotCapture`]).
//!
//! `node_store` draws the memory of a node, `capture` how a snapshot is taken.

mod acl_cache;
mod apply;
mod blob;
mod builder;
mod capture;
mod data_tree;
mod database;
mod digest;
mod id_set;
mod index;
mod listing;
mod node_store;
mod observer;
mod quota;
mod shared_database;
mod slab;
mod stats_track;
#[cfg(test)]
mod testing;

pub use apply::{Applied, PartApplied};
pub use builder::{DatabaseBuilder, LoadError};
pub use capture::{CaptureLost, SnapshotCapture};
pub use data_tree::{DataTree, Node, TreeOptions};
pub use database::Database;
pub use listing::ChildrenListing;
pub use observer::Observer;
pub use quota::Quota;
pub use shared_database::SharedDatabase;
pub use stats_track::StatsTrack;
