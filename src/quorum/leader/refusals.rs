//! `Refusals`: nobody is told that a session is gone before a quorum has confirmed that this server
//! still leads.
//!
//! A leader that was deposed and has not noticed (it stood still, or is cut off with a minority)
//! does not know the sessions that its successor has begun. Apache's says at once that they are
//! expired, and such a client gives up its ephemerals and locks for nothing. So whoever asks for a
//! session that is not known here waits as a sync does (`syncs`); if it is never confirmed this server
//! leaves, and the client goes on elsewhere.
//!
//! Nobody else waits: what is behind a refusal does not depend on it.

use std::collections::VecDeque;

use super::syncs::{Asked, Syncs};
use crate::processor::proposal::Refusal;
use crate::proto::{LinkId, SessionId, Zxid};

/// Who is to be told that a session is gone.
#[derive(Debug)]
pub enum Refused {
    /// A client of this server.
    Own(Refusal),
    /// A learner, which has asked for a client of its own.
    Learner(LinkId, SessionId),
}

/// The refusals that wait, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Refusals(VecDeque<(Asked, Refused)>);

impl Refusals {
    /// To be told when that is confirmed.
    pub fn push(&mut self, asked: Asked, refused: Refused) {
        // The own wait for their place in the order first, so that they may come late.
        let place = self.0.partition_point(|(of, _)| *of <= asked);
        self.0.insert(place, (asked, refused));
    }

    /// The next that may be told, if everything up to `committed` is committed.
    pub fn pop(&mut self, syncs: &Syncs, committed: Zxid) -> Option<Refused> {
        let (asked, _) = self.0.front()?;
        if !syncs.is_confirmed(*asked, committed) {
            return None;
        }
        self.0.pop_front().map(|(_, refused)| refused)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
