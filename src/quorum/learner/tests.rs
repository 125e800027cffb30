//! Plays of a learner. Each line is what one step wants done: the disk's lane, the link, what
//! clients see, and last why it leaves.

mod broadcast;
mod discovery;
mod forwarding;
mod local_sessions;
mod reconfiguration;
mod synchronization;
