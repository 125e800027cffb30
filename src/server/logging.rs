//! The log: lines to standard output, written by a thread of its own.
//!
//! A reader that stalls, a full disk or a closed pipe behind standard output must not stop the
//! server: lines that cannot be taken are lost, and counted for nothing else. The lines that say
//! why a process ends are waited for, briefly.

use parking_lot::Mutex;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::log_format::Json;
use crate::config::{Level, LogFormat, LogLevels};

/// Ends the writing thread when it is dropped, after what is queued.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Lines that wait for a slow reader, at most; later ones are lost.
const MOST_LINES: usize = 16 << 10;

/// Begins to log.
pub fn start(levels: &LogLevels, format: LogFormat) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MOST_LINES)
        .thread_name("log")
        .finish(std::io::stdout());
    *WRITER.lock() = Some(guard);
    let lines = fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false)
        // A line that cannot be written is not worth a panic on standard error.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(targets(levels)).init();
}

fn targets(levels: &LogLevels) -> Targets {
    let modules = levels.modules.iter();
    let modules = modules.map(|(name, level)| (format!("zkserver::{name}"), filter(*level)));
    Targets::new().with_default(filter(levels.all)).with_targets(modules)
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// Waits, not for long, until what was logged has been written; nothing is logged afterwards.
pub fn finish() {
    drop(WRITER.lock().take());
}
