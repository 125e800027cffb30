//! The end of a process that must not go on, with Apache's exit codes.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;

use super::logging;
use crate::persistence::DiskError;

/// `ExitCode`: why the process ended. Scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ExitCode {
    /// An orderly end.
    ExecutionFinished = 0,
    /// An error that nothing else here names; a failed write or sync of the log among them.
    UnexpectedError = 1,
    /// Wrong arguments or a wrong configuration.
    InvalidInvocation = 2,
    /// The data directory cannot be used.
    UnableToAccessDatadir = 3,
    /// A snapshot could not be written.
    ErrorWritingSnapshot = 10,
    /// The port for learners or for elections cannot be bound.
    UnableToBindQuorumPort = 14,
}

/// Held by the one that ends the process. A disk that fails does so for several threads at once: the
/// exit code is that of the words that were said.
static ENDING: Mutex<()> = Mutex::new(());

/// Whoever comes here first ends the process; it has so long for that.
const TIME_TO_END: Duration = Duration::from_secs(5);

/// Waits for the end, if somebody has begun to end the process.
fn begin_to_end() {
    std::mem::forget(ENDING.try_lock_for(TIME_TO_END));
}

/// Says why and ends the process at once. Nothing more is acknowledged, nothing is cleaned up:
/// what is durable is what the next start finds.
pub fn die(code: ExitCode, why: &dyn Display) -> ! {
    begin_to_end();
    tracing::error!("{why}; the server stops (exit code {})", code as i32);
    logging::finish();
    std::process::exit(code as i32)
}

/// The same for a disk that could not do what it must, with what is to be done about it.
pub fn die_of_disk(code: ExitCode, error: &DiskError) -> ! {
    match advice(error) {
        Some(advice) => die(code, &format!("{error}; {advice}")),
        None => die(code, error),
    }
}

/// `None` where the error itself says what is wrong: a file that is not there, or not ours.
fn advice(error: &DiskError) -> Option<&'static str> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    if error.is_no_room() {
        return Some("make room on the disk, and start the server again");
    }
    let is_plain = matches!(error.source.kind(), NotFound | PermissionDenied);
    (!is_plain).then_some(
        "see what is wrong with the disk (dmesg may tell), and start the server again once it is well",
    )
}

/// Makes a panic in any thread end the process: a half-stepped core must not go on.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(move |info| {
        begin_to_end();
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!("{info}; the server stops\n{trace}");
        logging::finish();
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_disk_that_ends_a_server_comes_with_advice() {
        let advice = |code| {
            let source = io::Error::from_raw_os_error(code);
            advice(&DiskError::new("write to", Path::new("/data/log.1"), source))
        };
        let [io, no_room, read_only, not_found, denied] = [5, 28, 30, 2, 13].map(advice);
        assert!(no_room.is_some_and(|advice| advice.contains("make room")));
        assert!(io == read_only && io.is_some_and(|advice| advice.contains("dmesg")));
        assert_eq!((not_found, denied), (None, None));
    }
}
