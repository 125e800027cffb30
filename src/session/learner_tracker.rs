//! `LearnerSessionTracker`: the sessions whose clients are connected to a learner.
//!
//! It decides nothing about life and death: it hands out ids for its own clients' sessions, and
//! tells the leader with each PING which sessions showed a sign of life. A session that its client
//! has taken elsewhere stays here silently until it ends.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::ids::SessionIds;
use super::tracker::PagePlace;
use super::{SessionTouch, SessionsPage};
use crate::proto::SessionId;

/// The sessions that a learner serves.
#[derive(Debug)]
pub struct LearnerSessionTracker {
    ids: SessionIds,
    /// In the order of their ids, so that the same story is told twice alike.
    sessions: BTreeMap<SessionId, Served>,
}

#[derive(Debug)]
struct Served {
    touch: Arc<SessionTouch>,
    /// The touch that the leader knows of.
    told_mono_ms: Option<u64>,
}

impl LearnerSessionTracker {
    /// A tracker without sessions. `server_id` becomes the top byte of new ids, `start_wall_ms` is
    /// the present time.
    pub fn new(server_id: u8, start_wall_ms: i64) -> Self {
        let ids = SessionIds::new(server_id, start_wall_ms);
        LearnerSessionTracker { ids, sessions: BTreeMap::new() }
    }

    /// An id for a new session, none for which `is_known` holds (C-028).
    pub fn create_id(&mut self, is_known: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            let id = self.ids.next();
            if !self.sessions.contains_key(&id) && !is_known(id) {
                return id;
            }
        }
    }

    /// A client has its session here from now on. What its former connection here leaves in the
    /// old touch no longer counts.
    pub fn serve(&mut self, id: SessionId, touch: Arc<SessionTouch>) {
        self.sessions.insert(id, Served { touch, told_mono_ms: None });
    }

    /// A session has ended.
    pub fn remove(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// The sessions that were touched since the last call, with their timeouts in milliseconds.
    pub fn take_touched(&mut self) -> Vec<(SessionId, i32)> {
        let mut touched = Vec::new();
        for (id, served) in &mut self.sessions {
            let last = served.touch.last_touch_mono_ms();
            if served.told_mono_ms.replace(last) != Some(last) {
                touched.push((*id, served.touch.timeout_ms()));
            }
        }
        touched
    }

    /// At most `most` of the sessions, those behind `after`, by their ids. The deadlines are those
    /// of the last touch here; the leader rounds them up.
    pub fn page(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded(place.1));
        let mut page = SessionsPage::default();
        for (id, served) in self.sessions.range((start, Bound::Unbounded)).take(most) {
            let timeout_ms = u64::try_from(served.touch.timeout_ms()).unwrap_or(0);
            let deadline = served.touch.last_touch_mono_ms().saturating_add(timeout_ms);
            page.sessions.push((deadline, *id));
            page.next = Some(PagePlace::of_learner(*id));
        }
        if page.sessions.len() < most {
            page.next = None;
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(mono_ms: u64) -> Arc<SessionTouch> {
        Arc::new(SessionTouch::new(mono_ms, 4000))
    }

    /// C-013: the leader hears of every sign of life once.
    #[test]
    fn a_touch_is_told_once() {
        let mut tracker = LearnerSessionTracker::new(2, 0);
        let (one, two) = (touch(10), touch(10));
        tracker.serve(SessionId(1), one.clone());
        tracker.serve(SessionId(2), two);
        assert_eq!(tracker.take_touched(), [(SessionId(1), 4000), (SessionId(2), 4000)]);
        assert_eq!(tracker.take_touched(), []);
        one.touch(11);
        assert_eq!(tracker.take_touched(), [(SessionId(1), 4000)]);
        one.touch(12);
        tracker.remove(SessionId(1));
        assert_eq!(tracker.take_touched(), []);
    }

    #[test]
    fn a_former_connection_keeps_no_session_alive() {
        let mut tracker = LearnerSessionTracker::new(2, 0);
        let old = touch(10);
        tracker.serve(SessionId(1), old.clone());
        tracker.serve(SessionId(1), touch(20));
        assert_eq!(tracker.take_touched(), [(SessionId(1), 4000)]);
        old.touch(30);
        assert_eq!(tracker.take_touched(), []);
    }

    /// C-028
    #[test]
    fn an_id_that_is_known_is_not_handed_out() {
        let mut tracker = LearnerSessionTracker::new(2, 0);
        let first = tracker.create_id(|_| false);
        assert_eq!(first.0 >> 56, 2);
        let third = tracker.create_id(|id| id.0 == first.0 + 1);
        assert_eq!(third.0, first.0 + 2);
    }

    #[test]
    fn pages_list_every_session_once() {
        let mut tracker = LearnerSessionTracker::new(2, 0);
        for id in 1..=5 {
            tracker.serve(SessionId(id), touch(10));
        }
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = tracker.page(after, 2);
            listed.extend(page.sessions.iter().map(|(deadline, id)| (*deadline, id.0)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, [(4010, 1), (4010, 2), (4010, 3), (4010, 4), (4010, 5)]);
    }
}
