//! The two doors of a server, disk and clock: the binary that opens them, what is ordered of it, and what each fault
//! does to one member.
//!
//! The suite builds that binary itself, with the feature `fault-doors` and under another name, once
//! and when it is first wanted: `cargo test` cannot give one of two binaries a feature of its own,
//! and everything else here is to try the one that is shipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::cluster::{Ensemble, PATIENCE};
use crate::crowd::Crowd;
use crate::roads::Id;

/// The environment variable that names the file of the orders.
pub const VARIABLE: &str = "ZK_FAULT_DOORS";

/// Whether the server under test is ours, so that there is such a binary.
pub fn exist() -> bool {
    std::env::var_os("ZKSERVER_TEST_COMMAND").is_none()
}

/// The server whose doors open, as optimised as the one that cargo built for these tests.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        const NAME: &str = "zkserver-fault-doors";
        let place = Path::new(env!("CARGO_BIN_EXE_zkserver")).parent().expect("a directory");
        let profile = match place.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            name => name.expect("the directory of a profile"),
        };
        let target = place.parent().expect("the target directory");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--features", "fault-doors", "--bin", NAME]);
        build.args(["--profile", profile, "--target-dir"]).arg(target);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "{NAME} is built: {built}");
        place.join(NAME)
    })
}

/// What is ordered of a member.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// Each write and each sync takes so much longer.
    Slow(Duration),
    /// So many bytes fit on the disk.
    Full(u64),
    /// Syncs fail, and lose what they were to make durable.
    SyncFails,
    /// The wall clock is off by so many milliseconds.
    Jump(i64),
    /// So much faster than time passes on both clocks.
    Pace(f64),
}

impl Order {
    /// In the words of the file.
    pub fn text(self) -> String {
        match self {
            Order::Slow(time) => {
                let ms = time.as_millis();
                format!("disk.write_ms={ms}\ndisk.sync_ms={ms}\n")
            }
            Order::Full(bytes) => format!("disk.room={bytes}\n"),
            Order::SyncFails => "disk.sync=5\n".to_owned(),
            Order::Jump(ms) => format!("clock.wall_ms={ms}\n"),
            Order::Pace(pace) => format!("clock.pace={pace}\n"),
        }
    }

    /// What the system says of it, if it ends the process.
    fn error(self) -> &'static str {
        match self {
            Order::Full(_) => "No space left on device (os error 28)",
            Order::SyncFails => "Input/output error (os error 5)",
            Order::Slow(_) | Order::Jump(_) | Order::Pace(_) => "no error",
        }
    }
}

/// Waits until a member has ended by itself because of its disk, and asks how: with a documented
/// exit code, and with words that name the error and say what to do.
#[track_caller]
pub fn ends(ensemble: &mut Ensemble, id: Id, order: Order) {
    let member = ensemble.member(id);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = member.ended() {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "server {id} does not end: {order:?}\n{}",
            member.tail()
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = member.log_of_this_life();
    let code = status.code().unwrap_or_else(|| panic!("server {id}: {status}\n{}", member.tail()));
    let words = format!("the server stops (exit code {code})");
    let last = said.lines().find(|line| line.contains(&words));
    let last = last.unwrap_or_else(|| panic!("server {id} ended without {words:?}:\n{said}"));
    assert!([1, 3, 10].contains(&code), "{last}");
    assert!(last.contains(order.error()), "{last}");
    assert!(last.contains("start the server again"), "it says what to do: {last}");
    member.kill();
}

fn members(settings: &[(&str, &str)], seed: u64) -> Option<(Ensemble, Crowd)> {
    if !exist() {
        println!("skipped: only zkserver has doors that open");
        return None;
    }
    let mut ensemble = Ensemble::new(3, 0, settings);
    ensemble.members.values_mut().for_each(|member| member.has_doors = true);
    ensemble.members.values_mut().for_each(|member| member.start());
    ensemble.leader();
    let crowd = Crowd::start(&ensemble, 4, seed);
    crowd.goes_on(30);
    Some((ensemble, crowd))
}

/// The disk of a follower, then that of the leader: the process ends, ends again when it is started on
/// the disk as it is, and joins when the disk is well.
fn a_disk_that_ends_the_process(order: Order, seed: u64) {
    let Some((mut ensemble, mut crowd)) = members(&[("snapCount", "150")], seed) else { return };
    for id in [ensemble.follower(), ensemble.leader()] {
        crowd.fault(format!("{order:?} of {id}"));
        ensemble.member(id).order(order);
        ends(&mut ensemble, id, order);
        ensemble.leader();
        crowd.goes_on(20);
        ensemble.member(id).start();
        ends(&mut ensemble, id, order);
        crowd.goes_on(20);
        ensemble.member(id).order_nothing();
        ensemble.member(id).start();
        ensemble.leader();
        crowd.goes_on(20);
    }
    crowd.judge(&mut ensemble);
}

/// C-253, C-254.
#[test]
fn a_full_disk_ends_the_process_and_loses_nothing() {
    a_disk_that_ends_the_process(Order::Full(5_000), 50);
}

/// C-252.
#[test]
fn a_sync_that_fails_ends_the_process_and_loses_nothing() {
    a_disk_that_ends_the_process(Order::SyncFails, 51);
}

/// For tests in which nobody may leave: on a machine with too much to do a member may wait for longer
/// than `SYNC_LIMIT_TICKS`.
const PATIENT: (&str, &str) = ("syncLimit", "50");

/// Nobody is ended for it, and nobody leaves: a slow disk holds up no ping.
#[test]
fn a_slow_disk_slows_down_and_no_more() {
    let settings = [("snapCount", "150"), PATIENT];
    let Some((mut ensemble, mut crowd)) = members(&settings, 52) else { return };
    let leader = ensemble.leader();
    for id in [ensemble.follower(), leader] {
        let order = Order::Slow(Duration::from_millis(100));
        crowd.fault(format!("{order:?} of {id}"));
        ensemble.member(id).order(order);
        crowd.goes_on(15);
        ensemble.member(id).order_nothing();
        crowd.goes_on(15);
    }
    assert_eq!(ensemble.leader(), leader, "nobody else was elected");
    crowd.judge(&mut ensemble);
}

/// C-033: deadlines and sessions live on monotonic time: whatever the wall clock of a member says, nobody
/// leaves, and no session ends before its time.
#[test]
fn a_clock_that_jumps_ends_no_session() {
    let Some((mut ensemble, mut crowd)) = members(&[PATIENT], 53) else { return };
    let leader = ensemble.leader();
    crowd.clocks_lie(1.0);
    for id in [ensemble.follower(), leader] {
        for minutes in [10, -10, 600, -600] {
            let order = Order::Jump(minutes * 60_000);
            crowd.fault(format!("{order:?} of {id}"));
            ensemble.member(id).order(order);
            crowd.goes_on(10);
        }
        ensemble.member(id).order_nothing();
        crowd.goes_on(10);
    }
    assert_eq!(ensemble.leader(), leader, "nobody else was elected");
    crowd.judge(&mut ensemble);
}

/// A clock at half or at twice the pace of the others': limits are ticks of each member's own.
#[test]
fn a_clock_at_another_pace_ends_no_session() {
    let Some((mut ensemble, mut crowd)) = members(&[], 54) else { return };
    crowd.clocks_lie(2.0);
    for id in [ensemble.follower(), ensemble.leader()] {
        for pace in [0.5, 2.0] {
            let order = Order::Pace(pace);
            crowd.fault(format!("{order:?} of {id}"));
            ensemble.member(id).order(order);
            crowd.goes_on(40);
        }
        ensemble.member(id).order_nothing();
        crowd.goes_on(10);
    }
    ensemble.leader();
    crowd.judge(&mut ensemble);
}
