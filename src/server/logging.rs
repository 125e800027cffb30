//! The log: lines to standard output, written by a thread of its own.
//!
//! A reader that stalls, a full disk or a closed pipe behind standard output must not stop the
//! server: lines that cannot be taken are lost, and counted for nothing else. The lines that say
//! why a process ends are waited for, briefly.

use parking_lot::Mutex;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// Ends the writing thread when it is dropped, after what is queued.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Lines that wait for a slow reader, at most; later ones are lost.
const MOST_LINES: usize = 16 << 10;

/// Begins to log.
pub fn start() {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MOST_LINES)
        .thread_name("log")
        .finish(std::io::stdout());
    *WRITER.lock() = Some(guard);
    tracing_subscriber::fmt()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false)
        // A line that cannot be written is not worth a panic on standard error.
        .log_internal_errors(false)
        .init();
}

/// Waits, not for long, until what was logged has been written; nothing is logged afterwards.
pub fn finish() {
    drop(WRITER.lock().take());
}
