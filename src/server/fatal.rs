//! The end of a process that must not go on, with Apache's exit codes.

use std::fmt::Display;

use super::logging;

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

/// Says why and ends the process at once. Nothing more is acknowledged, nothing is cleaned up:
/// what is durable is what the next start finds.
pub fn die(code: ExitCode, why: &dyn Display) -> ! {
    tracing::error!("{why}; the server stops (exit code {})", code as i32);
    logging::finish();
    std::process::exit(code as i32)
}

/// Makes a panic in any thread end the process: a half-stepped core must not go on.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(move |info| {
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!("{info}; the server stops\n{trace}");
        logging::finish();
        std::process::abort();
    }));
}
