//! Agreement: what a server is to the others, as plain synchronous code.
//!
//! [`QuorumPeer`](peer::QuorumPeer) takes one input at a time and returns effects; it says when
//! it next wants to be woken. A server that is alone has one role,
//! [`Standalone`](standalone::Standalone); a member of an ensemble goes from an
//! [election](election::FastLeaderElection) to a [`Leader`](leader::Leader) or a
//! [`Learner`](learner::Learner) and back, and keeps a [`Member`](member::Member) all the way.
//!
//! To read first: [`effect`], the vocabulary; [`member`], what a role has at hand; [`peer`], how roles
//! follow each other. Whatever is acknowledged is [`durable`].

pub mod committed_log;
pub mod configs;
pub mod durable;
pub mod early_links;
pub mod effect;
pub mod election;
pub mod held_packets;
pub mod lately;
pub mod leader;
pub mod learner;
pub mod member;
pub mod peer;
pub mod request_chain;
pub mod standalone;
#[cfg(test)]
pub(crate) mod testing;
