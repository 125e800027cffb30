use std::process::ExitCode;
use std::time::Duration;
use zkload::args::{Args, Common, Result};
use zkload::client::Client;
use zkload::json::Obj;
use zkload::loads::{self, CreateLoad, Mix};
use zkload::report::Totals;
use zkload::stats::{self, Sample};
use zkload::steady::{self, Load, Outcome};
use zkload::{churn, clock, failover, fanout, idle, store, watches};

const USAGE: &str = "\
zkload WORKLOAD [--flag value]...       prints one line of JSON; exit status 1 if
                                        anything was lost or answered wrongly

steady    get exists children set create create-delete mixed multi ping
sessions  connect (open and close) | idle (hold, ping)
watches   watch-fanout (many sessions, one node) | watches (many sessions, many nodes)
data      populate | verify | clean
failure   failover

all        --hosts a:p,b:p  --conns 8  --window 16  --size 100  --seconds 5  --warmup 1
           --root /zkload  --session-ms 30000  --op-timeout-ms 30000
           --pids 1,2 (servers whose CPU time and memory to report)
steady     --threads 1  --rate 0 (requests/s on a schedule; 0: as fast as replies come)
           --cleanup (create: delete the nodes afterwards, unmeasured)
           --keys 1000  --children 100  --multi-ops 10  --read-ratio 0.9
watch-fanout  --conns N watchers  --watch-mode oneshot|persistent|recursive
watches    --conns N watchers  --nodes 1000 (watched by each)  --distinct (by each its own)
           --fire N (set only so many of them, for each session)
           --stages (stop before and after the watches are set until a line is read)
populate, verify  --count 100000  --fanout 1000  --name tree
verify     --ledger FILE (written by failover)
failover   --conns 16  --window 1  --rate 1000  --ledger FILE  --kill-pid P (negative: group)  --kill-at 3
           --connect-timeout-ms 1000  --retry-ms 20  --recover-limit 60";

fn main() -> ExitCode {
    stats::raise_file_limit();
    let mut raw = std::env::args().skip(1);
    let name = raw.next().unwrap_or_default();
    match Args::parse(raw).and_then(|args| dispatch(&name, &args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("zkload {name}: {e}");
            if name.is_empty() || name.starts_with('-') || e.contains("unknown") {
                eprintln!("\n{USAGE}");
            }
            ExitCode::from(2)
        }
    }
}

fn dispatch(name: &str, args: &Args) -> Result<bool> {
    match name {
        "get" | "exists" | "children" | "set" | "mixed" | "multi" | "ping" | "create"
        | "create-delete" => steady_workload(name, args),
        "connect" => churn::run(args),
        "watch-fanout" => fanout::run(args),
        "watches" => watches::run(args),
        "idle" => idle::run(args),
        "populate" => store::populate(args),
        "verify" => store::verify(args),
        "clean" => store::clean(args),
        "failover" => failover::run(args),
        _ => Err(format!("unknown workload {name:?}")),
    }
}

fn steady_workload(name: &str, args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    let mix = Mix::from(args)?;
    let cleanup = name == "create" && args.get("cleanup", false)?;
    args.finish()?;
    let limit = Duration::from_millis(common.op_timeout_ms);
    let mut client = Client::open_any(&common.hosts, common.session_ms, limit)?;
    match name {
        "create" => {
            let loads = loads::create_loads(&common, clock::now(), &mut client)?;
            let setup_txns = client.close();
            let (outcome, loads) = steady::run(&common, loads, false)?;
            let mut undone = Totals::default();
            if cleanup {
                let undo = loads.into_iter().map(CreateLoad::undo).collect();
                let calm = Common { rate: 0.0, ..common.clone() };
                undone = steady::run(&calm, undo, true)?.0.totals;
            }
            Ok(report(name, &common, &outcome, setup_txns + undone.txns) && !undone.failed())
        }
        "create-delete" => {
            let loads = loads::create_delete_loads(&common, &mut client)?;
            plain_run(name, &common, client, loads)
        }
        _ => {
            let loads = loads::key_loads(name, &common, &mix, &mut client)?;
            plain_run(name, &common, client, loads)
        }
    }
}

fn plain_run<L: Load>(name: &str, common: &Common, client: Client, loads: Vec<L>) -> Result<bool> {
    let setup_txns = client.close();
    let (outcome, _) = steady::run(common, loads, false)?;
    Ok(report(name, common, &outcome, setup_txns))
}

/// Prints the result; whether all of it went well.
fn report(name: &str, common: &Common, outcome: &Outcome, other_txns: u64) -> bool {
    let Outcome { totals, begin, end } = outcome;
    let mut out = Obj::new();
    out.text("workload", name);
    out.put("conns", common.conns).put("window", common.window).put("size", common.size);
    out.float("rate", common.rate, 0).float("seconds", outcome.seconds(), 3);
    totals.report(outcome.seconds(), &mut out);
    out.put("total_txns", other_txns + totals.txns);
    Sample::report(begin, end, &common.pids, totals.ops(), &mut out);
    println!("{out}");
    !totals.failed()
}
