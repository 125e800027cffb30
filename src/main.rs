//! The command line of the server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zkserver::server::assembly;

/// A ZooKeeper server: Apache ZooKeeper's protocol, data and habits in one binary.
///
/// Without arguments it serves standalone on 127.0.0.1:2181 with its data in ./zkserver-data.
#[derive(Parser)]
#[command(name = "zkserver", version, about, long_about = None)]
struct Arguments {
    /// The configuration, a zoo.cfg as Apache ZooKeeper reads it.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,

    /// The same, as Apache's start script passes it.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    assembly::serve(arguments.config.or(arguments.file))
}
