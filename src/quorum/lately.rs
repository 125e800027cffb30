//! What members that look for a leader have said to this server while it still had one.
//!
//! When a leader dies its followers notice one after the other, within a moment. Whoever notices
//! first tells its vote to those that have not, and says nothing more until they have had time to
//! answer. So a vote is remembered for a moment, and counts if this server looks for a leader, too.

use std::collections::BTreeMap;

use crate::proto::{Notification, ServerState, Sid};

/// The last word of each member, with when it was heard, if it was one that looks for a leader.
#[derive(Debug, Default)]
pub struct Lately(BTreeMap<Sid, (u64, Notification)>);

impl Lately {
    /// A member has said that.
    pub fn hear(&mut self, now_ms: u64, from: Sid, notification: &Notification) {
        if notification.state == ServerState::Looking {
            self.0.insert(from, (now_ms, notification.clone()));
        } else {
            self.0.remove(&from);
        }
    }

    /// There is no connection with that member any more: it may be gone.
    pub fn forget(&mut self, sid: Sid) {
        self.0.remove(&sid);
    }

    /// What was said in the last `within_ms`. Whoever said it before has said more since, or it
    /// does not look for a leader any more.
    pub fn take(&mut self, now_ms: u64, within_ms: u64) -> BTreeMap<Sid, Notification> {
        let lately = std::mem::take(&mut self.0).into_iter();
        let is_new = |at_ms: u64| now_ms.saturating_sub(at_ms) <= within_ms;
        lately.filter(|(_, (at_ms, _))| is_new(*at_ms)).map(|(sid, (_, n))| (sid, n)).collect()
    }
}
