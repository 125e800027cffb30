//! `CommitProcessor`: holds what is prepared until it is safe, and lets it go in order.
//!
//! How far things are safe is told as a place in the order. Alone that is a ticket of the disk: the
//! quorum is one. In an ensemble it is a zxid: committed by a quorum and durable here. A sync has no
//! transaction; it waits behind every proposal that was outstanding when it came.

use std::collections::VecDeque;

use bytes::Bytes;

use super::proposal::{Proposal, Refusal, Resumption};
use super::request::Origin;
use crate::proto::{ErrorCode, SessionId};

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
    /// A session that cannot be resumed.
    Refuse(Refusal),
    /// A request to answer with an error that was decided without a transaction.
    Error(Origin, ErrorCode),
    /// A session that only this server knew is over; whoever asked for it is answered.
    EndLocalSession(SessionId, Option<Origin>),
}

/// The queue of what is not safe yet.
#[derive(Debug)]
pub struct CommitProcessor<Place> {
    waiting: VecDeque<(Place, Committed)>,
    safe: Place,
}

impl<Place: Copy + Ord> CommitProcessor<Place> {
    /// A queue in which everything up to `safe` is safe.
    pub fn new(safe: Place) -> Self {
        CommitProcessor { waiting: VecDeque::new(), safe }
    }

    /// A proposal that may go once `place` is safe.
    pub fn propose(&mut self, place: Place, proposal: Proposal) {
        self.waiting.push_back((place, Committed::Txn(proposal)));
    }

    /// A sync that may go after everything proposed before it.
    pub fn sync(&mut self, last_proposed: Place, origin: Origin, body: Bytes) {
        self.waiting.push_back((last_proposed, Committed::Sync(origin, body)));
    }

    /// A request that is not executed, but answered in its place.
    pub fn throttled(&mut self, last_proposed: Place, origin: Origin) {
        self.waiting.push_back((last_proposed, Committed::Throttled(origin)));
    }

    /// A session that may be resumed after everything proposed before it: whoever guesses the id
    /// of a session that is only being made must not be told of it before it is safe.
    pub fn resume(&mut self, last_proposed: Place, resumption: Resumption) {
        self.waiting.push_back((last_proposed, Committed::Resume(resumption)));
    }

    /// A session that is refused after everything proposed before it: who was told that it is gone
    /// must not see its nodes here.
    pub fn refuse(&mut self, last_proposed: Place, refusal: Refusal) {
        self.waiting.push_back((last_proposed, Committed::Refuse(refusal)));
    }

    /// A request that failed without a transaction, answered in its place.
    pub fn fail(&mut self, last_proposed: Place, origin: Origin, error: ErrorCode) {
        self.waiting.push_back((last_proposed, Committed::Error(origin, error)));
    }

    /// A session that only this server knew ends after everything proposed before.
    pub fn end_local_session(
        &mut self,
        last_proposed: Place,
        session: SessionId,
        origin: Option<Origin>,
    ) {
        self.waiting.push_back((last_proposed, Committed::EndLocalSession(session, origin)));
    }

    /// Everything up to `place` is safe.
    pub fn is_safe(&mut self, place: Place) {
        assert!(place >= self.safe, "what is safe stays so");
        self.safe = place;
    }

    /// The next thing that may go.
    pub fn pop(&mut self) -> Option<Committed> {
        let (place, _) = self.waiting.front()?;
        if *place > self.safe {
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
