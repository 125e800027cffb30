//! SessionTracker: which sessions are alive, and which have been silent for too long.
//!
//! What always holds:
//! * A session is never expired earlier than its timeout after its last touch, and on a server
//!   that is not stalled at most one tick after that (C-014).
//! * Deadlines are multiples of the tick, so that sessions expire in buckets and the tracker is
//!   asked rarely, whatever the number of sessions.
//! * A usable session stands in exactly one bucket, a closing one in none. It stands there by
//!   the touch that was seen last; later touches are seen when the bucket is due.
//! * An expired session is closing, and is reported once.
//!
//! # A stalled server expires nobody who kept talking (C-034)
//!
//! After a pause (a suspended machine, a blocked thread) the timers are due at once, while the
//! signs of life that arrived meanwhile still wait in socket buffers. So the tracker publishes a
//! deadline ([`next_deadline`](SessionTracker::next_deadline)), at most half a tick ahead while
//! there is a session. Who calls [`expired`](SessionTracker::expired) half a tick after it or
//! later was stalled, and all deadlines move by the length of the stall and another half tick,
//! in which the waiting input is read. Java expires such sessions.
//!
//! The half tick is not granted twice in a row: a server so busy that it is always late must
//! still expire the dead, and it was awake since.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::SessionTouch;
use super::ids::SessionIds;
use crate::proto::SessionId;
use crate::time::Instant;

/// The sessions of an ensemble, kept by its leader, or those of a standalone server.
#[derive(Debug)]
pub struct SessionTracker {
    tick_ms: u64,
    next_ids: SessionIds,
    sessions: HashMap<SessionId, Tracked, FixedState>,
    /// The usable sessions by bucket. A bucket is a deadline less `shift_ms`, so that a stall
    /// moves all of them by a single addition; it can be below zero.
    buckets: BTreeSet<(i64, SessionId)>,
    shift_ms: i64,
    /// When the tracker wants to be called although no session is due, to notice a stall.
    heartbeat_mono_ms: u64,
    /// The last call of `expired` was late.
    was_late: bool,
    /// Where servers have local sessions: this one's id.
    local_elsewhere_than: Option<u8>,
}

/// Some of the usable sessions.
#[derive(Debug, Default)]
pub struct SessionsPage {
    /// Each with the moment at which it expires if it stays silent, milliseconds of the monotonic
    /// clock.
    pub sessions: Vec<(u64, SessionId)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<PagePlace>,
}

/// Where a page ended.
#[derive(Debug, Clone, Copy)]
pub struct PagePlace(pub(super) i64, pub(super) SessionId);

impl PagePlace {
    /// In the list of a learner, which has no buckets.
    pub(super) fn of_learner(id: SessionId) -> Self {
        PagePlace(i64::MIN, id)
    }

    /// Whether it is a place in the list of a [`LearnerSessionTracker`], not in one of those that
    /// expire.
    ///
    /// [`LearnerSessionTracker`]: super::LearnerSessionTracker
    pub fn is_of_learner(self) -> bool {
        self.0 == i64::MIN
    }
}

#[derive(Debug)]
struct Tracked {
    touch: Arc<SessionTouch>,
    /// `None` while closing.
    bucket: Option<i64>,
}

impl SessionTracker {
    /// A tracker without sessions.
    ///
    /// `tick_ms` is the width of a bucket (`tickTime`; at least 1). `server_id` becomes the top
    /// byte of new ids; a standalone server's is 1. `start_wall_ms` is the present time.
    pub fn new(tick_ms: u64, server_id: u8, start_wall_ms: i64) -> Self {
        assert!(tick_ms > 0, "a tick lasts at least a millisecond");
        SessionTracker {
            tick_ms,
            next_ids: SessionIds::new(server_id, start_wall_ms),
            // Clients do not choose ids, so that the start is seed enough.
            sessions: HashMap::with_hasher(FixedState::with_seed(start_wall_ms as u64)),
            buckets: BTreeSet::new(),
            shift_ms: 0,
            heartbeat_mono_ms: 0,
            was_late: false,
            local_elsewhere_than: None,
        }
    }

    /// An id for a new session, which is not tracked yet. Never an id that is known here (C-028).
    pub fn create_id(&mut self) -> SessionId {
        loop {
            let id = self.next_ids.next();
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Begins to watch over a session that was created, or found in the database at start: it
    /// has its full `timeout_ms` from `now` on. A session that is known already is reopened; if
    /// it is closing, it stays so.
    pub fn track(&mut self, id: SessionId, timeout_ms: i32, now: Instant) -> Arc<SessionTouch> {
        if let Some(tracked) = self.sessions.get(&id) {
            let touch = tracked.touch.clone();
            self.reopen(id, timeout_ms, now);
            return touch;
        }
        if self.buckets.is_empty() {
            // Nobody was asked to call while there was nothing to expire.
            self.heartbeat_mono_ms = self.half_a_tick_after(now);
            self.was_late = false;
        }
        let touch = Arc::new(SessionTouch::new(now.mono_ms, timeout_ms));
        let bucket = self.bucket_of(&touch);
        self.buckets.insert((bucket, id));
        self.sessions.insert(id, Tracked { touch: touch.clone(), bucket: Some(bucket) });
        touch
    }

    /// A client takes its session up again, or a learner reports it alive: touches it, and
    /// `timeout_ms` counts from here on (C-030). `None` if the session is unknown or closing.
    pub fn reopen(
        &mut self,
        id: SessionId,
        timeout_ms: i32,
        now: Instant,
    ) -> Option<Arc<SessionTouch>> {
        let (touch, old_bucket) = match self.sessions.get(&id) {
            Some(Tracked { touch, bucket: Some(bucket) }) => (touch.clone(), *bucket),
            Some(Tracked { bucket: None, .. }) | None => return None,
        };
        touch.touch(now.mono_ms);
        touch.set_timeout_ms(timeout_ms);
        let bucket = self.bucket_of(&touch);
        if bucket < old_bucket {
            // A longer timeout is seen in time when the old bucket is due, a shorter one is not.
            self.place(id, Some(bucket));
        }
        Some(touch)
    }

    /// Marks a session as closing: it can no longer be reopened, nor expire. Returns whether it
    /// was usable until now.
    pub fn set_closing(&mut self, id: SessionId) -> bool {
        let was_usable = self.is_usable(id);
        if was_usable {
            self.place(id, None);
        }
        was_usable
    }

    /// A tracker among servers that have local sessions: one that is not known here is taken for
    /// the local session of the server that its id names, and may write.
    pub fn with_local_sessions_elsewhere(mut self, own_server_id: u8) -> Self {
        self.local_elsewhere_than = Some(own_server_id);
        self
    }

    /// Whether requests of the session are executed: it is usable, or another server's local one.
    /// What only a global session may have asks for [`is_usable`](Self::is_usable).
    pub fn may_write(&self, id: SessionId) -> bool {
        match (self.sessions.get(&id), self.local_elsewhere_than) {
            (Some(tracked), _) => tracked.bucket.is_some(),
            (None, Some(own)) => (id.0 as u64 >> 56) as u8 != own,
            (None, None) => false,
        }
    }

    /// Whether the session is known and not closing.
    pub fn is_usable(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|tracked| tracked.bucket.is_some())
    }

    /// The timeout that counts for the session, in milliseconds.
    pub fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|tracked| tracked.touch.timeout_ms())
    }

    /// Forgets a session: its closeSession transaction was prepared. Returns whether it was known.
    pub fn remove(&mut self, id: SessionId) -> bool {
        let Some(tracked) = self.sessions.remove(&id) else { return false };
        if let Some(bucket) = tracked.bucket {
            self.buckets.remove(&(bucket, id));
        }
        true
    }

    /// Appends the sessions that were silent for too long at `now`, oldest deadline first, and
    /// marks them as closing. Touches that have arrived must have been stored before.
    pub fn expired(&mut self, now: Instant, into: &mut Vec<SessionId>) {
        self.make_up_for_a_stall(now);
        while let Some(&(bucket, id)) = self.buckets.first() {
            if self.due_at(bucket) > now.mono_ms {
                break;
            }
            let touch = &self.sessions.get(&id).expect("a bucket holds known sessions").touch;
            if self.deadline_of(touch) > now.mono_ms {
                let bucket = self.bucket_of(touch);
                self.place(id, Some(bucket));
            } else {
                self.place(id, None);
                into.push(id);
            }
        }
        self.heartbeat_mono_ms = self.half_a_tick_after(now);
    }

    /// When [`expired`](Self::expired) wants to be called next, in milliseconds of the monotonic
    /// clock; `None` while no session can expire. Calling it earlier does no harm; calling it
    /// half a tick later or more is taken for a stall.
    pub fn next_deadline(&self) -> Option<u64> {
        let &(bucket, _) = self.buckets.first()?;
        Some(self.heartbeat_mono_ms.min(self.due_at(bucket)))
    }

    /// At most `most` of the usable sessions (`dump`), those behind `after`, in an order of the
    /// tracker's own. A session that moves between two pages may be listed twice; the later
    /// deadline holds.
    pub fn page(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded((place.0, place.1)));
        let places = self.buckets.range((start, Bound::Unbounded)).take(most);
        let mut page = SessionsPage::default();
        for &(bucket, id) in places {
            let touch = &self.sessions.get(&id).expect("a bucket holds known sessions").touch;
            // Touches are seen when the bucket is due, so a look ahead sees them too.
            let deadline = self.due_at(bucket).max(self.deadline_of(touch));
            page.sessions.push((deadline, id));
            page.next = Some(PagePlace(bucket, id));
        }
        if page.sessions.len() < most {
            page.next = None;
        }
        page
    }

    /// How many sessions are known, closing ones included.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// The known sessions, closing ones included, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    fn make_up_for_a_stall(&mut self, now: Instant) {
        let Some(published) = self.next_deadline() else { return };
        let stall_ms = now.mono_ms.saturating_sub(published);
        let is_late = stall_ms >= self.tick_ms.div_ceil(2);
        if is_late {
            let grace_ms = if self.was_late { 0 } else { self.tick_ms.div_ceil(2) };
            self.shift_ms += signed(stall_ms.saturating_add(grace_ms));
        }
        self.was_late = is_late;
    }

    fn half_a_tick_after(&self, now: Instant) -> u64 {
        now.mono_ms.saturating_add(self.tick_ms.div_ceil(2))
    }

    /// The first multiple of the tick after the timeout has passed. A timeout below zero, which
    /// only a foreign log could contain, counts as none.
    fn deadline_of(&self, touch: &SessionTouch) -> u64 {
        let timeout_ms = u64::try_from(touch.timeout_ms()).unwrap_or(0);
        let silent_until = touch.last_touch_mono_ms().saturating_add(timeout_ms);
        (silent_until / self.tick_ms + 1).saturating_mul(self.tick_ms)
    }

    fn bucket_of(&self, touch: &SessionTouch) -> i64 {
        signed(self.deadline_of(touch)) - self.shift_ms
    }

    fn due_at(&self, bucket: i64) -> u64 {
        u64::try_from(bucket + self.shift_ms).expect("a deadline lies after the clock's start")
    }

    /// Moves a known session to another bucket, or out of them all.
    fn place(&mut self, id: SessionId, bucket: Option<i64>) {
        let tracked = self.sessions.get_mut(&id).expect("only known sessions are moved");
        if let Some(old) = tracked.bucket {
            self.buckets.remove(&(old, id));
        }
        tracked.bucket = bucket;
        if let Some(new) = bucket {
            self.buckets.insert((new, id));
        }
    }
}

fn signed(mono_ms: u64) -> i64 {
    i64::try_from(mono_ms).expect("the monotonic clock has not run for 300 million years")
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
