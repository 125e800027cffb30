//! The load generator against the floor server, in one process.

use std::net::TcpListener;
use std::time::Duration;
use zkload::args::{Args, Common};
use zkload::client::Client;
use zkload::floor::{Floor, Log, Prealloc};
use zkload::loads::{self, Mix};
use zkload::steady;

const PORT: u16 = 24198;

fn common(flags: &str) -> (Common, Mix) {
    let text =
        format!("--hosts 127.0.0.1:{PORT} --conns 3 --window 5 --seconds 0.3 --warmup 0.1 {flags}");
    let args = Args::parse(text.split_whitespace().map(String::from)).unwrap();
    (Common::from(&args).unwrap(), Mix::from(&args).unwrap())
}

fn run(name: &str, flags: &str) -> steady::Outcome {
    let (common, mix) = common(flags);
    let mut client = Client::open_any(&common.hosts, 30_000, Duration::from_secs(5)).unwrap();
    let loads = loads::key_loads(name, &common, &mix, &mut client).unwrap();
    client.close();
    steady::run(&common, loads, false).unwrap().0
}

#[test]
fn every_request_is_answered_and_counted_once() {
    let file = std::env::temp_dir().join(format!("zkload-floor-test-{}", std::process::id()));
    let log = Log::create(file.to_str().unwrap(), Prealloc::None).unwrap();
    let floor = Floor::bind(&format!("127.0.0.1:{PORT}"), 68, Some(log)).unwrap();
    assert_eq!(floor.port().unwrap(), PORT);
    assert!(TcpListener::bind(("127.0.0.1", PORT)).is_err());
    std::thread::spawn(move || floor.serve());

    let closed = run("set", "--threads 2").totals;
    assert!(!closed.failed());
    assert!(closed.ops() > 0 && closed.ops() <= closed.done);
    assert_eq!(closed.txns, closed.done + 2 * 3, "writes, and three sessions opened and closed");

    let paced = run("get", "--rate 2000");
    assert!(!paced.totals.failed());
    let rate = paced.totals.ops() as f64 / paced.seconds();
    assert!((1500.0..2500.0).contains(&rate), "{rate}");
    std::fs::remove_file(file).unwrap();
}
