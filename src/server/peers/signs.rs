//! Signs of life of a link on which a tree or a stretch of the log is under way.

use std::sync::Arc;

use super::Shared;
use crate::proto::LinkId;
use crate::quorum::effect::Input;

/// The core is told no more often than so, in milliseconds: a few times in the shortest tick.
const PERIOD_MS: u64 = 50;

/// Tells the core that bytes move.
pub(super) struct Signs {
    shared: Arc<Shared>,
    link: LinkId,
    next_ms: u64,
}

impl Signs {
    pub(super) fn new(shared: &Arc<Shared>, link: LinkId) -> Self {
        Signs { shared: shared.clone(), link, next_ms: 0 }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self) {
        let now_ms = self.shared.clock.now().mono_ms;
        if now_ms >= self.next_ms {
            self.next_ms = now_ms + PERIOD_MS;
            self.shared.tell(Input::BytesMoved(self.link));
        }
    }
}
