//! What the session tracker promises, by its conformance numbers.

use super::*;

const TICK: u64 = 1000;
const ID: SessionId = SessionId(0x77);

fn at(mono_ms: u64) -> Instant {
    Instant { mono_ms, wall_ms: 1_700_000_000_000 }
}

fn tracker() -> SessionTracker {
    SessionTracker::new(TICK, 1, 1_700_000_000_000)
}

/// Calls the tracker whenever it asks to be called, until `until`; returns who expired when.
fn run(tracker: &mut SessionTracker, until: u64) -> Vec<(u64, SessionId)> {
    let mut story = Vec::new();
    while let Some(deadline) = tracker.next_deadline() {
        if deadline > until {
            break;
        }
        story.extend(expire_at(tracker, deadline).into_iter().map(|id| (deadline, id)));
    }
    story
}

fn expire_at(tracker: &mut SessionTracker, mono_ms: u64) -> Vec<SessionId> {
    let mut expired = Vec::new();
    tracker.expired(at(mono_ms), &mut expired);
    expired
}

/// Pages list every usable session once, with the deadline its last touch has given it.
#[test]
fn pages_tell_who_expires_when() {
    let mut tracker = tracker();
    let touches: Vec<_> = (0..10).map(|id| tracker.track(SessionId(id), 2000, at(500))).collect();
    touches[3].touch(4200);
    tracker.set_closing(SessionId(4));
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = tracker.page(after, 4);
        assert!(page.sessions.len() <= 4);
        listed.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected = (0..10).filter(|id| *id != 4).map(|id| match id {
        3 => (7000, SessionId(3)),
        _ => (3000, SessionId(id)),
    });
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

/// C-014, with the figures a server of Apache ZooKeeper shows.
#[test]
fn a_silent_session_expires_between_timeout_and_timeout_plus_tick() {
    for (touched, timeout, expires) in
        [(400, 2000, 3000), (0, 3000, 4000), (999, 2000, 3000), (1000, 2000, 4000)]
    {
        let mut tracker = tracker();
        tracker.track(ID, timeout, at(touched));
        assert_eq!(run(&mut tracker, 100_000), [(expires, ID)]);
        assert!(!tracker.is_usable(ID));
    }
}

/// C-013
#[test]
fn a_session_that_keeps_talking_never_expires() {
    let mut tracker = tracker();
    let touch = tracker.track(ID, 2000, at(0));
    for now in (0..1_000_000).step_by(1999) {
        touch.touch(now);
        assert_eq!(run(&mut tracker, now), []);
    }
    assert!(tracker.is_usable(ID));
}

/// C-028
#[test]
fn ids_of_known_sessions_are_skipped() {
    let mut tracker = tracker();
    let first = tracker.create_id();
    tracker.track(SessionId(first.0 + 1), 4000, at(0));
    tracker.track(SessionId(first.0 + 2), 4000, at(0));
    assert_eq!(tracker.create_id(), SessionId(first.0 + 3));
    assert_eq!((first.0 as u64) >> 56, 1);
}

/// C-030
#[test]
fn the_renegotiated_timeout_counts_whether_shorter_or_longer() {
    let mut tracker = tracker();
    tracker.track(ID, 10_000, at(0));
    let touch = tracker.reopen(ID, 2000, at(500)).expect("the session is usable");
    assert_eq!(touch.timeout_ms(), 2000);
    assert_eq!(run(&mut tracker, 100_000), [(3000, ID)]);

    let mut tracker = super::tests::tracker();
    tracker.track(ID, 2000, at(0));
    assert!(tracker.reopen(ID, 10_000, at(500)).is_some());
    assert_eq!(run(&mut tracker, 100_000), [(11_000, ID)]);
}

#[test]
fn a_closing_session_cannot_be_reopened_and_does_not_expire() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    assert!(tracker.set_closing(ID));
    assert!(!tracker.set_closing(ID));
    assert!(tracker.reopen(ID, 2000, at(1)).is_none());
    assert_eq!(tracker.next_deadline(), None);
    assert_eq!(expire_at(&mut tracker, 100_000), []);
    tracker.track(ID, 2000, at(100_000));
    assert!(!tracker.is_usable(ID), "a repeated createSession does not revive it");
    assert_eq!(tracker.count(), 1);
    assert!(tracker.remove(ID));
    assert!(!tracker.remove(ID));
    assert_eq!(tracker.count(), 0);
}

#[test]
fn unknown_sessions_are_neither_usable_nor_reopened() {
    let mut tracker = tracker();
    assert!(!tracker.is_usable(ID));
    assert!(tracker.reopen(ID, 2000, at(0)).is_none());
    assert!(!tracker.set_closing(ID));
    assert_eq!(tracker.next_deadline(), None);
}

#[test]
fn an_expired_session_is_reported_once_and_remains_until_removed() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    assert_eq!(run(&mut tracker, 3000), [(3000, ID)]);
    assert_eq!(run(&mut tracker, 100_000), []);
    assert_eq!(tracker.ids().collect::<Vec<_>>(), [ID]);
    assert!(tracker.remove(ID));
}

/// C-033
#[test]
fn the_wall_clock_does_not_matter() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    let mut expired = Vec::new();
    for (mono_ms, wall_ms) in [(500, i64::MAX), (1000, 0), (1500, i64::MIN), (2000, 1)] {
        tracker.expired(Instant { mono_ms, wall_ms }, &mut expired);
        assert_eq!(expired, []);
    }
    assert_eq!(run(&mut tracker, 100_000), [(3000, ID)]);
}

/// C-034: the session talked all the time, but its touches reach the tracker after the pause.
#[test]
fn a_stalled_server_does_not_expire_who_kept_talking() {
    for stall in [TICK / 2, TICK, 7 * TICK + 1, 3_600_000] {
        let mut tracker = tracker();
        let touch = tracker.track(ID, 2000, at(0));
        assert_eq!(run(&mut tracker, 1500), []);
        let woken = tracker.next_deadline().expect("there is a session") + stall;
        assert_eq!(expire_at(&mut tracker, woken), []);
        touch.touch(woken + TICK / 2);
        assert_eq!(run(&mut tracker, woken + 2000), []);
        assert!(tracker.is_usable(ID));
    }
}

/// C-034: whenever the pause begins, not only when a session is about to expire.
#[test]
fn a_pause_that_ends_just_before_a_deadline_is_noticed_too() {
    let mut tracker = tracker();
    let touch = tracker.track(ID, 30_000, at(0));
    assert_eq!(run(&mut tracker, 5000), []);
    assert_eq!(expire_at(&mut tracker, 30_999), []);
    assert_eq!(expire_at(&mut tracker, 31_001), []);
    touch.touch(31_002);
    assert_eq!(run(&mut tracker, 61_000), []);
    assert_eq!(run(&mut tracker, 100_000), [(62_000, ID)]);
}

#[test]
fn a_session_silent_since_before_a_stall_expires_after_it() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    assert_eq!(run(&mut tracker, 2500), []);
    // Called 10 s after the deadline at 3000: all deadlines move by that and half a tick.
    assert_eq!(expire_at(&mut tracker, 13_000), []);
    assert_eq!(run(&mut tracker, 100_000), [(13_500, ID)]);
}

#[test]
fn a_server_that_is_always_late_still_expires_the_dead() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    let mut expired = Vec::new();
    while expired.is_empty() {
        let now = tracker.next_deadline().expect("the session is not expired") + TICK / 2;
        tracker.expired(at(now), &mut expired);
        assert!(now < 20_000, "the dead session is still there");
    }
    assert_eq!(expired, [ID]);
}

#[test]
fn time_without_sessions_is_no_stall() {
    let mut tracker = tracker();
    tracker.track(ID, 2000, at(0));
    tracker.remove(ID);
    tracker.track(ID, 2000, at(1_000_000));
    assert_eq!(run(&mut tracker, 2_000_000), [(1_003_000, ID)]);
}

#[test]
fn odd_timeouts_of_foreign_logs_do_no_harm() {
    for timeout in [i32::MIN, -1, 0, i32::MAX] {
        let mut tracker = tracker();
        tracker.track(ID, timeout, at(5000));
        let expected = 5000 + u64::try_from(timeout).unwrap_or(0) / TICK * TICK + TICK;
        assert!(tracker.is_usable(ID));
        expire_at(&mut tracker, 5000);
        tracker.heartbeat_mono_ms = u64::MAX;
        assert_eq!(tracker.next_deadline(), Some(expected));
    }
}

/// C-013, C-014, C-030: random sessions against the plain definition.
#[test]
fn no_session_expires_early_and_none_lingers() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut tracker = tracker();
    // Per session: touch, and the silence that is allowed from the last touch on.
    let mut living: Vec<(SessionId, Arc<SessionTouch>)> = Vec::new();
    let mut expired_count = 0;
    let mut now = 0;
    for _ in 0..50_000 {
        now += draw(40);
        // A punctual server: everything that is due up to now was done.
        for (when, id) in run(&mut tracker, now) {
            let place = living.iter().position(|(other, _)| *other == id);
            let (_, touch) = living.swap_remove(place.expect("only living sessions expire"));
            let allowed = touch.last_touch_mono_ms() + touch.timeout_ms() as u64;
            assert!(allowed < when && when <= allowed + TICK, "{id}: {allowed} {when}");
            assert!(tracker.remove(id));
            expired_count += 1;
        }
        let somebody = if living.is_empty() { 0 } else { draw(living.len() as u64) as usize };
        match draw(10) {
            0 => {
                let id = tracker.create_id();
                living.push((id, tracker.track(id, 2000 + draw(18_000) as i32, at(now))));
            }
            1 if !living.is_empty() => {
                let timeout = 2000 + draw(18_000) as i32;
                assert!(tracker.reopen(living[somebody].0, timeout, at(now)).is_some());
            }
            2 if draw(20) == 0 && !living.is_empty() => {
                let (id, _) = living.swap_remove(somebody);
                assert!(tracker.set_closing(id));
                assert!(tracker.remove(id));
            }
            3..=5 if !living.is_empty() => living[somebody].1.touch(now),
            _ => {}
        }
        assert_eq!(tracker.count(), living.len());
        assert_eq!(tracker.buckets.len(), living.len());
    }
    assert!(expired_count > 100, "the test has seen {expired_count} expiries only");
}
