//! The program as it is called: arguments, environment, files, exit codes, and the scripts in `bin/`.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "command_line/arguments.rs"]
mod arguments;
#[path = "command_line/members.rs"]
mod members;
#[path = "command_line/process.rs"]
mod process;
#[path = "command_line/scripts.rs"]
mod scripts;
