//! The command line of the server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zkserver::server::assembly;
use zkserver::server::configuration::{self, CommandLine};
use zkserver::tools::log_command;

/// A ZooKeeper server: Apache ZooKeeper's protocol, data and habits in one binary.
///
/// Without arguments it serves standalone on 127.0.0.1:2181 with its data in ./zkserver-data. Stop
/// it with Ctrl-C or SIGTERM.
#[derive(Parser)]
#[command(
    name = "zkserver",
    version = concat!(env!("CARGO_PKG_VERSION"), ", in place of Apache ZooKeeper, version 3.9.5"),
    max_term_width = 100,
    override_usage = "zkserver [OPTIONS] [FILE]\n       \
                      zkserver [OPTIONS] <PORT> <DATA_DIR> [TICK_TIME [MAX_CLIENT_CNXNS]]\n       \
                      zkserver log …  (prints, mends and chops transaction logs; --help says more)",
    after_help = "Examples:\n  \
                  zkserver                                  try it out\n  \
                  zkserver --config /etc/zookeeper/zoo.cfg  serve by a configuration\n  \
                  zkserver 2181 /var/lib/zookeeper          serve without one\n  \
                  zkserver --check-config zoo.cfg           see what a configuration means\n  \
                  zkserver -Dzookeeper.snapCount=50000 zoo.cfg\n\n\
                  -D in the variables SERVER_JVMFLAGS and JVMFLAGS is read too. Exit codes: 0 stopped in\n\
                  order, 1 an error, 2 wrong arguments or configuration, 3 the data directory cannot be used,\n\
                  10 a snapshot could not be written, 14 a port for other servers could not be\n\
                  bound."
)]
struct Arguments {
    /// The configuration: a zoo.cfg as Apache ZooKeeper reads it, or TOML if its name ends in .toml
    #[arg(long, value_name = "FILE", conflicts_with = "words")]
    config: Option<PathBuf>,

    /// Print the configuration, each value with its source, and all warnings; start nothing
    #[arg(long)]
    check_config: bool,

    /// Refuse keys that nobody knows, instead of warning about them
    #[arg(long)]
    strict: bool,

    /// Set a property, as for Apache ZooKeeper's Java; the file goes over it
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    define: Vec<String>,

    /// The configuration file; or the port and the directory of the data
    #[arg(value_name = "FILE | PORT DATA_DIR", num_args = 0..=4)]
    words: Vec<String>,
}

impl Arguments {
    fn command_line(self) -> CommandLine {
        // As Apache's QuorumPeerMain: one word is a file, more are the short form.
        let (file, short_form) = match &self.words[..] {
            [] => (self.config, Vec::new()),
            [file] => (Some(PathBuf::from(file)), Vec::new()),
            _ => (None, self.words),
        };
        CommandLine { file, short_form, defines: self.define, strict: self.strict }
    }
}

pub fn main() -> ExitCode {
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
    let check = arguments.check_config;
    let command = arguments.command_line();
    if check { configuration::check(&command) } else { assembly::serve(&command) }
}
