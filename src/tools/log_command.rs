//! `zkserver log …`: the command line of the tools for transaction logs.
//!
//! Besides the two subcommands it takes the arguments of Apache's TxnLogToolkit as they are, so
//! that what operators have in their fingers and scripts works: `zkserver log -r -y log.1`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::chop::chop;
use super::chop_in_place::chop_in_place;
use super::dump::{Doors, Recovery, dump};
use super::time_zone::TimeZone;
use super::{Ended, directory_of};
use crate::persistence::disk::DiskLock;
use crate::persistence::{Disk, RealDisk, data_dir};
use crate::proto::Zxid;

/// Looks into transaction logs, mends and shortens them; the server they belong to must be stopped
/// before they are written to.
#[derive(Debug, Parser)]
#[command(
    name = "log",
    bin_name = "zkserver log",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct LogArguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    toolkit: Toolkit,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints every transaction of a log.
    Dump(Dump),
    /// Copies a log up to a transaction, to FILE.chopped and ZXID in decimal.
    Chop(Chop),
}

/// How a log is dumped, by either command line.
#[derive(Debug, Args)]
struct DumpOptions {
    /// Writes FILE.fixed, a copy in which wrong checksums are made right; asks for each.
    #[arg(short, long)]
    recover: bool,
    /// In recovery, prints all transactions, not only those with wrong checksums.
    #[arg(short, long)]
    verbose: bool,
    /// In recovery, mends every checksum without asking.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Dump {
    #[command(flatten)]
    options: DumpOptions,
    /// The log, log.ZXID.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Chop {
    /// Makes FILE itself end with ZXID: the data directory's history ends there. The old file, later
    /// logs and later snapshots are kept as aside.*.
    #[arg(long)]
    in_place: bool,
    /// The log, log.ZXID.
    file: PathBuf,
    /// The last transaction to keep, 0x… or decimal.
    #[arg(value_parser = parse_zxid)]
    zxid: Zxid,
}

/// Apache's TxnLogToolkit.
#[derive(Debug, Args)]
struct Toolkit {
    /// Dump (the default).
    #[arg(short, long)]
    dump: bool,
    #[command(flatten)]
    options: DumpOptions,
    /// Chop, at --zxid.
    #[arg(short, long, requires = "zxid")]
    chop: bool,
    /// The last transaction to keep, 0x… or decimal.
    #[arg(short, long, value_parser = parse_zxid)]
    zxid: Option<Zxid>,
    /// The log.
    file: Option<PathBuf>,
}

/// A zxid as Java's `Long.decode` takes it, but for signs and octal numbers.
fn parse_zxid(text: &str) -> Result<Zxid, String> {
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let parsed = match hex {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    parsed.map(Zxid).ok_or_else(|| "a zxid is written 0x… or as a decimal number".to_owned())
}

/// Carries out `zkserver log` with these arguments, which begin behind `log`.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments =
        match LogArguments::try_parse_from(std::iter::once("log".into()).chain(arguments)) {
            Ok(arguments) => arguments,
            Err(error) => {
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
            }
        };
    let Err(Ended { code, why }) = carry_out(arguments) else { return ExitCode::SUCCESS };
    if !why.is_empty() {
        eprintln!("{why}");
    }
    ExitCode::from(code)
}

fn carry_out(arguments: LogArguments) -> Result<(), Ended> {
    let LogArguments { command, toolkit } = arguments;
    let command = match (command, toolkit) {
        (Some(command), _) => command,
        (None, Toolkit { file: None, .. }) => {
            return Err(Ended { code: 2, why: "which log? try: zkserver log --help".to_owned() });
        }
        (None, Toolkit { chop: true, zxid: Some(zxid), file: Some(file), .. }) => {
            Command::Chop(Chop { in_place: false, file, zxid })
        }
        (None, Toolkit { options, file: Some(file), .. }) => Command::Dump(Dump { options, file }),
    };
    let mut output = io::BufWriter::new(io::stdout().lock());
    let done = match command {
        Command::Dump(Dump { options, file }) => {
            let DumpOptions { recover, verbose, yes } = options;
            readable(&file)?;
            let _locks = if recover { lock(&file)? } else { None };
            let zone = TimeZone::of_system(&RealDisk, std::env::var("TZ").ok().as_deref());
            let input = &mut io::stdin().lock();
            let mut doors = Doors { disk: &RealDisk, input, output: &mut output };
            dump(&file, recover.then_some(Recovery { verbose, yes }), &zone, &mut doors)
        }
        Command::Chop(Chop { in_place, file, zxid }) => {
            readable(&file)?;
            let _locks = lock(&file)?;
            match in_place {
                true => chop_in_place(&file, zxid, &RealDisk, &mut output),
                false => chop(&file, zxid, &RealDisk, &mut output),
            }
        }
    };
    // What was printed comes before why it ended.
    let flushed = output.flush();
    done?;
    Ok(flushed?)
}

/// A file that is not there is told in Apache's words.
fn readable(file: &Path) -> Result<(), Ended> {
    let told = |_| Ended::failed(format!("File doesn't exist or not readable: {}", file.display()));
    RealDisk.open(file).map(drop).map_err(told)
}

/// Holds the lock of a server's directory while it is written to. A directory without a lock file
/// was never served by zkserver, and gets none.
fn lock(file: &Path) -> Result<Option<Box<dyn DiskLock>>, Ended> {
    let path = directory_of(file).join(data_dir::LOCK);
    if !RealDisk.exists(&path)? {
        return Ok(None);
    }
    match RealDisk.try_lock(&path) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Ended {
            code: 3,
            why: format!("a server is running in {}; stop it first", directory_of(file).display()),
        }),
        Err(error) => Err(Ended { code: 3, why: error.to_string() }),
    }
}
