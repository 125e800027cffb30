//! `CommitProcessor`: holds what is prepared until it is safe, and lets it go in order.
//!
//! Alone, safe means durable on the own disk: the quorum is one. A sync has no transaction; it
//! waits behind every proposal that was outstanding when it came.

use std::collections::VecDeque;

use bytes::Bytes;

use super::proposal::{Proposal, Resumption};
use super::request::Origin;
use crate::proto::Ticket;

/// Something that leaves the stage.
#[derive(Debug)]
pub enum Committed {
    /// A transaction to apply.
    Txn(Proposal),
    /// A sync to answer; its body is the path to echo.
    Sync(Origin, Bytes),
    /// A request to answer with THROTTLEDOP.
    Throttled(Origin),
    /// A session to resume.
    Resume(Resumption),
}

/// The queue of what is not safe yet.
#[derive(Debug, Default)]
pub struct CommitProcessor {
    waiting: VecDeque<(Ticket, Committed)>,
    durable: Ticket,
}

impl CommitProcessor {
    /// A proposal that may go once the disk has reported `ticket`.
    pub fn propose(&mut self, ticket: Ticket, proposal: Proposal) {
        self.waiting.push_back((ticket, Committed::Txn(proposal)));
    }

    /// A sync that may go after everything proposed before it.
    pub fn sync(&mut self, last_proposed: Ticket, origin: Origin, body: Bytes) {
        self.waiting.push_back((last_proposed, Committed::Sync(origin, body)));
    }

    /// A request that is not executed, but answered in its place.
    pub fn throttled(&mut self, last_proposed: Ticket, origin: Origin) {
        self.waiting.push_back((last_proposed, Committed::Throttled(origin)));
    }

    /// A session that may be resumed after everything proposed before it: whoever guesses the id
    /// of a session that is only being made must not be told of it before it is safe.
    pub fn resume(&mut self, last_proposed: Ticket, resumption: Resumption) {
        self.waiting.push_back((last_proposed, Committed::Resume(resumption)));
    }

    /// The disk has reported everything up to `ticket`.
    pub fn persisted(&mut self, ticket: Ticket) {
        assert!(ticket >= self.durable, "the disk reports its tickets in order");
        self.durable = ticket;
    }

    /// The next thing that may go.
    pub fn pop(&mut self) -> Option<Committed> {
        let (ticket, _) = self.waiting.front()?;
        if *ticket > self.durable {
            return None;
        }
        self.waiting.pop_front().map(|(_, committed)| committed)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
