//! Data directories that Apache ZooKeeper left: whole ones are served, compressed ones and
//! damaged ones are refused in words.

mod common;

#[path = "golden_dirs/damage.rs"]
mod damage;
#[path = "golden_dirs/whole.rs"]
mod whole;
