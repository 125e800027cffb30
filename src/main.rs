//! The command line of the server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zkserver::server::assembly;
use zkserver::tools::log_command;

/// A ZooKeeper server: Apache ZooKeeper's protocol, data and habits in one binary.
///
/// Without arguments it serves standalone on 127.0.0.1:2181 with its data in ./zkserver-data.
#[derive(Parser)]
#[command(name = "zkserver", version, about, long_about = None, after_help = TOOLS)]
struct Arguments {
    /// The configuration, a zoo.cfg as Apache ZooKeeper reads it.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,

    /// The same, as Apache's start script passes it.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What the binary does besides serving.
const TOOLS: &str =
    "Tools:\n  zkserver log    Prints, mends and chops transaction logs; see zkserver log --help";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "log") {
        return log_command::run(words);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    assembly::serve(arguments.config.or(arguments.file))
}
