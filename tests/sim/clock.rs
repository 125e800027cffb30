//! A server's clock: virtual time, as far as that machine keeps pace with it.

use parking_lot::Mutex;
use zkserver::time::{Clock, Instant};

use crate::history::Micros;

/// The clock of one machine.
#[derive(Debug)]
pub struct SimClock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The world's time.
    now: Micros,
    /// Both times when the pace last changed.
    since: Micros,
    own: Micros,
    /// How many of its milliseconds pass in a second of the world.
    pace: u64,
    wall_ms: i64,
}

/// When every run begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

impl SimClock {
    /// One that is right.
    pub fn new() -> Self {
        SimClock(Mutex::new(State { now: 0, since: 0, own: 0, pace: 1000, wall_ms: EPOCH_MS }))
    }

    /// The world's time is this now.
    pub fn set(&self, now: Micros) {
        self.0.lock().now = now;
    }

    /// From now on so many of its milliseconds pass in a second of the world.
    pub fn set_pace(&self, pace: u64) {
        let mut state = self.0.lock();
        state.own = state.own();
        state.since = state.now;
        state.pace = pace;
    }

    /// The wall clock jumps.
    pub fn jump_wall(&self, ms: i64) {
        self.0.lock().wall_ms += ms;
    }

    /// When the world will see this clock's monotonic milliseconds reach `mono_ms`.
    pub fn when(&self, mono_ms: u64) -> Micros {
        let state = self.0.lock();
        let missing = mono_ms.saturating_mul(1000).saturating_sub(state.own);
        state.since.saturating_add(missing.saturating_mul(1000).div_ceil(state.pace))
    }
}

impl State {
    fn own(&self) -> Micros {
        self.own + (self.now - self.since) * self.pace / 1000
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        let state = self.0.lock();
        let mono_ms = state.own() / 1000;
        Instant { mono_ms, wall_ms: state.wall_ms + mono_ms as i64 }
    }

    fn nanos(&self) -> u64 {
        self.0.lock().own() * 1000
    }
}

#[test]
fn a_clock_that_goes_too_fast_reaches_its_deadlines_early() {
    let clock = SimClock::new();
    clock.set(2_000_000);
    assert_eq!((clock.now().mono_ms, clock.when(3000)), (2000, 3_000_000));
    clock.set_pace(2000);
    assert_eq!(clock.when(3000), 2_500_000);
    clock.set(clock.when(3000));
    assert_eq!(clock.now().mono_ms, 3000);
    assert_eq!(clock.when(1), 2_000_000, "what is past is past");
    clock.set_pace(300);
    clock.set(clock.when(4001));
    assert_eq!(clock.now().mono_ms, 4001);
}
