//! Sessions as their expiring server sees them: who lives, until when, and what id comes next.
//!
//! ```text
//!            track                set_closing, or expired
//!  unknown ─────────▶ usable ────────────────────────────────▶ closing
//!     ▲                 │ remove                                  │ remove
//!     └─────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! The replicated table of sessions lives in the database and is changed only by transactions;
//! this tracker belongs to the leader or the standalone server alone, and a new leader starts
//! with a new one, so that every session has its full timeout again (C-027). It has no clock: the
//! time is handed in, and only the monotonic half of it counts (C-033).

mod ids;
mod learner_tracker;
mod touch;
mod tracker;

pub use learner_tracker::LearnerSessionTracker;
pub use touch::SessionTouch;
pub use tracker::{PagePlace, SessionTracker, SessionsPage};
