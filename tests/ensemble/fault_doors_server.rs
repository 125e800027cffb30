//! The server under another name, for a build whose doors to disk and clock open (`docs/faults.md`): so it
//! stands beside the one that is shipped, in one target directory, and is never taken for it.

use std::process::ExitCode;

#[path = "../../src/main.rs"]
mod server;

fn main() -> ExitCode {
    server::main()
}
