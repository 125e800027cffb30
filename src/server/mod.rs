//! The shells: they own the threads, and join the cores to sockets, disk and clock.
//!
//! ```text
//! client tasks ─submissions─▶ inbox ─▶ (throttle) ─▶ driver ─appends─▶ disk thread
//!      ▲                        ▲                      │  ▲                │
//!      └──── replies, events ───┼──────────────────────┘  └── applied      │
//!                               └────────────────────── persisted ─────────┘
//! ```
//!
//! The driver has a thread of its own; but when nothing else is going on, whoever brings the only
//! input turns it, and on a server that is alone does the disk's work if nothing waits behind.

pub mod assembly;
pub mod carry_out;
pub mod clock;
pub mod configuration;
pub mod counts;
pub mod disk_care;
pub mod disk_room;
pub mod disk_thread;
pub mod doors;
pub mod driver;
pub mod environment;
pub mod fatal;
#[cfg(any(test, feature = "fault-doors"))]
pub mod fault_doors;
pub mod inbox;
pub mod jobs;
pub mod load;
pub mod log_format;
pub mod logging;
pub mod member;
pub mod options;
pub mod peers;
pub mod progress;
pub mod quota_figures;
pub mod reload;
pub mod restorer;
pub mod role_watch;
pub mod shared_driver;
pub mod sweep;
pub mod throttle;
pub mod word_sources;
pub mod words;
