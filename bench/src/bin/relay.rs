use std::process::ExitCode;
use zkload::{args::Args, relay};

const USAGE: &str = "\
relay --roads PORT:TARGET[:BACK],...
    carries what comes to 127.0.0.1:PORT to 127.0.0.1:TARGET and back, each way so
    many microseconds later as the last line of the standard input said (at first
    0); with BACK, election greetings name this port as their sender's. Ends with
    the input";

fn main() -> ExitCode {
    let args = std::env::args().skip(1);
    match Args::parse(args).and_then(|args| relay::main(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("relay: {e}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
