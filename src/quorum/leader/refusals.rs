//! `Refusals`: nobody is told that a session is gone before a quorum has confirmed that this server
//! still leads.
//!
//! A leader that was deposed and has not noticed (it stood still, or is cut off with a minority)
//! does not know the sessions that its successor has begun. Apache's says at once that they are
//! expired, and such a client gives up its ephemerals and locks for nothing. So whoever asks for a
//! session that is not known here waits for a round of PINGs behind the question, as a sync does
//! (`syncs`); if that is never answered this server leaves, and the client goes on elsewhere.
//!
//! Nobody else waits: what is behind a refusal does not depend on it.

use std::collections::VecDeque;

use super::syncs::Syncs;
use crate::processor::proposal::Refusal;
use crate::proto::{LinkId, SessionId};

/// Who is to be told that a session is gone.
#[derive(Debug)]
pub enum Refused {
    /// A client of this server.
    Own(Refusal),
    /// A learner, which has asked for a client of its own.
    Learner(LinkId, SessionId),
}

/// The refusals that wait for their rounds, in the order of those.
#[derive(Debug, Default)]
pub struct Refusals(VecDeque<(u64, Refused)>);

impl Refusals {
    /// To be told when `round` is confirmed.
    pub fn push(&mut self, round: u64, refused: Refused) {
        // The own wait for their place in the order first, so that they may come late.
        let place = self.0.partition_point(|(of, _)| *of <= round);
        self.0.insert(place, (round, refused));
    }

    /// The next that may be told.
    pub fn pop(&mut self, syncs: &Syncs) -> Option<Refused> {
        let (round, _) = self.0.front()?;
        if !syncs.is_confirmed(*round) {
            return None;
        }
        self.0.pop_front().map(|(_, refused)| refused)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
