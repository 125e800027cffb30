//! Plays of a leader. Each line is what one step wants done.

mod bad_packets;
mod broadcast;
mod discovery;
mod liveness;
mod local_sessions;
mod reconfig;
mod sessions;
mod synchronization;
mod syncs;

use super::testing::*;
use super::*;
use crate::proto::quorum_packet::LearnerInfo;
use crate::quorum::testing::ensemble;
