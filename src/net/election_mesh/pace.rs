//! How fast a server may talk and be heard at once.
//!
//! It is the server's pace, over whatever connections: one that comes back again and again is heard no
//! faster for that, and to come is counted as well.

use std::time::Duration;

use parking_lot::Mutex;

use crate::time::Clock;

/// What a server may send within [`PERIOD_MS`] and have it heard at once, a connection, a message and
/// each of its pages counting as one. An election among many servers sends each some dozens.
const MOST_PER_PERIOD: usize = 200;
const PERIOD_MS: u64 = 100;
const PAGE: usize = 4 << 10;

/// Lets nobody talk faster than it can be listened to: what a server sends beyond that waits in its
/// own socket.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Period>);

#[derive(Debug, Default)]
struct Period {
    since_ms: u64,
    heard: usize,
}

impl Pace {
    /// It has sent so many bytes, or has come, with none. Returns when it may be heard again.
    pub async fn keep(&self, clock: &dyn Clock, bytes: usize) {
        let now_ms = clock.now().mono_ms;
        let waits = {
            let mut period = self.0.lock();
            if now_ms >= period.since_ms + PERIOD_MS {
                *period = Period { since_ms: now_ms, heard: 0 };
            }
            period.heard += 1 + bytes / PAGE;
            period.heard >= MOST_PER_PERIOD
        };
        if waits {
            tokio::time::sleep(Duration::from_millis(PERIOD_MS)).await;
        }
    }
}
