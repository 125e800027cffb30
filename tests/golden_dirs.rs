//! Data directories that Apache ZooKeeper left: whole ones are served, damaged ones are
//! refused in words.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "golden_dirs/damage.rs"]
mod damage;
#[path = "golden_dirs/member.rs"]
mod member;
#[path = "golden_dirs/truncated.rs"]
mod truncated;
#[path = "golden_dirs/whole.rs"]
mod whole;
