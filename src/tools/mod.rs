//! The operator's instruments: what the binary does besides serving.
//!
//! They work on the files of a server that does not run. None writes into a directory that a
//! running server has locked, and none removes anything: what must give way is renamed.

mod chop;
mod chop_in_place;
mod dump;
mod java_date;
pub mod log_command;
mod raw_log;
mod time_zone;
mod txn_text;

use std::io;
use std::path::Path;

use self::raw_log::RawLogError;
use crate::persistence::DiskError;

/// How a tool ended before its end.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    /// The process's exit code: 1 is a file that is not as it should be, 2 a wrong invocation, 3 a
    /// directory that may not be written to.
    code: u8,
    /// Why, in words.
    why: String,
}

impl Ended {
    fn failed(why: impl Into<String>) -> Self {
        Ended { code: 1, why: why.into() }
    }
}

impl From<DiskError> for Ended {
    fn from(error: DiskError) -> Self {
        Ended::failed(error.to_string())
    }
}

impl From<io::Error> for Ended {
    /// Of standard input and output. Whoever closed the pipe has seen enough.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Ended { code: 0, why: String::new() },
            _ => Ended::failed(error.to_string()),
        }
    }
}

impl From<RawLogError> for Ended {
    fn from(error: RawLogError) -> Self {
        let code = match error {
            RawLogError::NotALog(_) => 2,
            RawLogError::Disk(_) | RawLogError::NoHeader => 1,
        };
        Ended { code, why: error.to_string() }
    }
}

/// The directory that a file is in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
