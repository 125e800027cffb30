//! Agreement: what a server is to the others, as plain synchronous code.
//!
//! [`QuorumPeer`](peer::QuorumPeer) takes one input at a time and returns effects; it says when
//! it next wants to be woken. This version knows one role, [`Standalone`](standalone::Standalone):
//! election and broadcast enter beside it, as further roles over the same stages.

pub mod committed_log;
pub mod configs;
pub mod durable;
pub mod effect;
pub mod election;
pub mod leader;
pub mod learner;
pub mod member;
pub mod peer;
pub mod request_chain;
pub mod standalone;
#[cfg(test)]
pub(crate) mod testing;
