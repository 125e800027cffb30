//! Sockets: accepting clients, and moving their bytes to and from the connection core.
//!
//! What a request means is decided elsewhere: decoded submissions go to a [`Submit`], four-letter
//! words to a [`WordHandler`], both given by the server.

pub mod client_connection;
pub mod client_listener;
pub mod election_mesh;
pub mod half_open;
pub mod limits;
pub mod link_buffer;
pub mod log_limit;
pub mod own_port;
pub mod peer_addresses;
pub mod quorum_link;
pub mod quorum_listener;
pub mod race;
pub mod socket_options;

use client_connection::WordReply;

use crate::processor::connection::Word;
use crate::processor::request::Submission;

/// Takes what the connections ask for.
pub trait Submit: Send + Sync {
    /// Takes one connection's submissions of one pass, in order. When nothing else is going on it
    /// may carry them out at once: then the thread is away for as long as a few writes to the
    /// disk take.
    fn submit(&self, submissions: Vec<Submission>);
    /// Whether so much waits that only connections with nothing unfinished may submit.
    fn is_full(&self) -> bool;
}

/// Answers a four-letter word, on the spot or later from another thread. It is called on the
/// connection's task, which must not be held up.
pub type WordHandler = dyn Fn(Word, WordReply) + Send + Sync;
