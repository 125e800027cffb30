//! Damaged and disordered directories: torn is not rotten, and what is rotten is never skipped.

use std::path::Path;
use std::process::Command;

use crate::common::server::Refusal;
use crate::common::{RawClient, Setup, TestServer, foreign_server, golden, skip_deviation};
use crate::whole::{assert_tree, setup};

/// Where the last record of a golden log begins, and where it ends.
fn last_record(directory: &str, log: &str) -> (usize, usize) {
    let golden = golden::json(&format!("{directory}/expected-txns.json"));
    let last = golden[log]["records"].as_array().expect("records").last().expect("one").clone();
    let end = golden[log]["endOfRecords"].as_u64().expect("a number") as usize;
    (last["offset"].as_u64().expect("a number") as usize, end)
}

fn change(file: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).expect("the file");
    how(&mut bytes);
    std::fs::write(file, bytes).expect("the file");
}

fn damaged(log: &str, how: impl FnOnce(&mut Vec<u8>)) -> Setup {
    let setup = setup("standalone-3.9/version-2", &[]);
    change(&setup.version_dir().join(log), how);
    setup
}

/// The one command that a refusal offers, carried out by a shell that knows zkserver.
#[track_caller]
fn carry_out_advice(refusal: &Refusal, begins: &str) {
    let from = refusal.log.find(begins).unwrap_or_else(|| panic!("no {begins}: {refusal:?}"));
    let advice = refusal.log[from..].split("; the server stops").next().expect("an end");
    let binary = Path::new(env!("CARGO_BIN_EXE_zkserver"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().expect("a directory").display());
    let done = Command::new("sh").args(["-c", advice]).env("PATH", path).output().expect("sh");
    assert!(done.status.success(), "{advice}: {done:?}");
}

/// Refused, then served by following the advice; nothing was thrown away.
#[track_caller]
fn served_after_advice(setup: Setup, begins: &str, zxid: i64) -> TestServer {
    let before = sizes(&setup);
    let (setup, refusal) = setup.refuses();
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert_eq!(sizes(&setup), before, "a refused start changes nothing");
    carry_out_advice(&refusal, begins);
    let kept = sizes(&setup);
    for size in before {
        assert!(kept.contains(&size), "{size} bytes are gone, left are {kept:?}");
    }
    let server = setup.start();
    assert_eq!(server.zxid(), zxid);
    server
}

/// The sizes of all files that are kept, sorted.
fn sizes(setup: &Setup) -> Vec<u64> {
    let mut sizes = Vec::new();
    let mut dirs = vec![setup.version_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("listed") {
            let entry = entry.expect("an entry");
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else if entry.file_name() != "zkserver.lock" {
                sizes.push(entry.metadata().expect("a file").len());
            }
        }
    }
    sizes.sort();
    sizes
}

const CHOP: &str = "zkserver log chop --in-place";

#[track_caller]
fn assert_refused(setup: Setup, file: &str) {
    let refusal = setup.refusal();
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(foreign_server() || refusal.log.contains(file), "it names the file: {refusal:?}");
}

/// C-240: a record that ends with the file is cut off, and all before it is served.
#[test]
fn a_torn_last_record_is_dropped() {
    let (start, end) = last_record("standalone-3.9", "log.42");
    for at in [start + 1, start + 11, start + 20, end - 1] {
        let server = damaged("log.42", |bytes| bytes.truncate(at)).start();
        assert_eq!(server.zxid(), 0x60, "cut at {at}");
    }
}

/// C-240: what was cut is cut: the next start finds neither it nor a hole.
#[test]
fn after_a_torn_record_writes_go_on_and_survive() {
    let (_, end) = last_record("standalone-3.9", "log.42");
    let mut server = damaged("log.42", |bytes| bytes.truncate(end - 3)).start();
    let mut client = RawClient::new(&server);
    assert_eq!(client.create("/after", b"torn", 0).ok().zxid, 0x62);
    server.kill();
    server.restart();
    assert_eq!(RawClient::new(&server).get_data("/after", false).ok().data().0.unwrap(), b"torn");
    assert_eq!(server.files("log.42"), ["log.42"]);
}

/// C-241: a tail of zeros, and a log without one, are the log's end.
#[test]
fn zeros_are_the_end_of_a_log() {
    let (_, end) = last_record("standalone-3.9", "log.42");
    let server = damaged("log.42", |bytes| bytes.truncate(end)).start();
    assert_eq!(server.zxid(), 0x61);
    let server = damaged("log.42", |bytes| bytes.resize(bytes.len() + 100_000, 0)).start();
    assert_eq!(server.zxid(), 0x61);
}

/// C-242: a complete record with a wrong checksum is rot, at the tail as in the middle.
#[test]
fn a_flipped_bit_is_refused() {
    let (start, end) = last_record("standalone-3.9", "log.42");
    assert_refused(damaged("log.42", |bytes| bytes[end - 5] ^= 1), "log.42");
    assert_refused(damaged("log.42", |bytes| bytes[start] ^= 0x40), "log.42");
    assert_refused(damaged("log.42", |bytes| bytes[16 + 12 + 40] ^= 0x10), "log.42");
}

/// C-242: a record is judged by its content too: an unknown type with a right checksum.
#[test]
fn an_unknown_transaction_type_is_refused() {
    let (start, end) = last_record("standalone-3.9", "log.42");
    let setup = damaged("log.42", |bytes| {
        bytes[start + 12 + 28..start + 12 + 32].copy_from_slice(&99i32.to_be_bytes());
        let mut adler = simd_adler32::Adler32::new();
        adler.write(&bytes[start + 12..end - 1]);
        bytes[start..start + 8].copy_from_slice(&u64::from(adler.finish()).to_be_bytes());
    });
    assert_refused(setup, "log.42");
}

/// a log that does not begin like one.
#[test]
fn a_wrong_magic_number_is_refused() {
    assert_refused(damaged("log.42", |bytes| bytes[0] = b'X'), "log.42");
}

/// an empty last log is what a crash leaves between creating and writing it.
#[test]
fn an_empty_last_log_is_ignored() {
    let server = damaged("log.42", |bytes| bytes.clear()).start();
    assert_eq!(server.zxid(), 0x41);
}

/// C-243: the newest snapshot is damaged; the one before it and the logs have everything.
#[test]
fn a_damaged_newest_snapshot_is_passed_over() {
    for how in [
        (|bytes: &mut Vec<u8>| bytes[100] ^= 1) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
    ] {
        let setup = setup("standalone-3.9/version-2", &[]);
        change(&setup.version_dir().join("snapshot.41"), how);
        let server = setup.start();
        assert_eq!(server.zxid(), 0x61);
        assert_tree(&server, &golden::json("standalone-3.9/expected-tree.json"));
    }
}

/// C-244: with all snapshots damaged there is no state to begin with.
#[test]
fn damaged_snapshots_only_are_refused() {
    let setup = setup("standalone-3.9/version-2", &[]);
    for name in ["snapshot.0", "snapshot.41"] {
        change(&setup.version_dir().join(name), |bytes| bytes[60] ^= 1);
    }
    assert_refused(setup, "snapshot");
}

/// C-245: logs without any snapshot.
#[test]
fn logs_without_a_snapshot_are_refused() {
    let setup = setup("standalone-3.9/version-2", &[]);
    for name in ["snapshot.0", "snapshot.41"] {
        std::fs::remove_file(setup.version_dir().join(name)).expect("a snapshot");
    }
    assert_refused(setup, "snapshot");
}

/// transactions are missing between the snapshot and the log.
#[test]
fn a_hole_behind_the_snapshot_is_refused() {
    if skip_deviation("Java does not notice holes") {
        return;
    }
    let setup = setup("standalone-3.9/version-2", &[]);
    for name in ["snapshot.41", "log.1"] {
        std::fs::remove_file(setup.version_dir().join(name)).expect("the file");
    }
    let refusal = setup.refusal();
    assert_eq!(refusal.code, Some(1));
    assert!(refusal.log.contains("log.42"), "{refusal:?}");
}

/// C-258: with separate directories, logs beside the snapshots are a mistake.
#[test]
fn logs_in_the_snapshot_directory_are_refused() {
    let mut setup = setup("standalone-3.9/version-2", &[]);
    let logs = setup.root().join("logs");
    std::fs::create_dir_all(&logs).expect("a directory");
    setup.set("dataLogDir", &logs.display().to_string());
    let refusal = setup.refusal();
    assert_ne!(refusal.code, Some(0));
    assert!(foreign_server() || refusal.log.contains("dataLogDir"), "{refusal:?}");
}

/// C-258: the same directory, sorted, is served.
#[test]
fn separate_directories_are_served() {
    let mut setup = setup("standalone-3.9/version-2", &[]);
    let logs = setup.root().join("logs");
    std::fs::create_dir_all(logs.join("version-2")).expect("a directory");
    for name in ["log.1", "log.42"] {
        let to = logs.join("version-2").join(name);
        std::fs::rename(setup.version_dir().join(name), to).expect("moved");
    }
    setup.set("dataLogDir", &logs.display().to_string());
    let server = setup.start();
    assert_eq!(server.zxid(), 0x61);
    assert_tree(&server, &golden::json("standalone-3.9/expected-tree.json"));
}

/// C-261: a log that cannot be read, here because it is a directory, is not taken for absent.
#[test]
fn an_unreadable_log_is_refused() {
    if skip_deviation("Java skips a directory in the place of a log") {
        return;
    }
    let setup = setup("standalone-3.9/version-2", &[]);
    let log = setup.version_dir().join("log.42");
    std::fs::remove_file(&log).expect("the log");
    std::fs::create_dir(&log).expect("a directory in its place");
    assert_refused(setup, "log.42");
}

/// C-242: the one command that a refusal offers ends the history before the damage.
#[test]
fn the_advice_against_rot_helps() {
    if skip_deviation("Java gives no advice") {
        return;
    }
    let (start, _) = last_record("standalone-3.9", "log.42");
    // In the last record, in the first, and in a file that has none before it.
    served_after_advice(damaged("log.42", |bytes| bytes[start + 40] ^= 1), CHOP, 0x60);
    served_after_advice(damaged("log.42", |bytes| bytes[16 + 40] ^= 1), CHOP, 0x41);
    served_after_advice(damaged("log.42", |bytes| bytes[0] = b'X'), CHOP, 0x41);
    let wrong_type = damaged("log.42", |bytes| {
        bytes[start + 12 + 28..start + 12 + 32].copy_from_slice(&99i32.to_be_bytes());
        let length = i32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap()) as usize;
        let mut adler = simd_adler32::Adler32::new();
        adler.write(&bytes[start + 12..start + 12 + length]);
        bytes[start..start + 8].copy_from_slice(&u64::from(adler.finish()).to_be_bytes());
    });
    served_after_advice(wrong_type, CHOP, 0x60);
}

/// the same in a path that a shell would take apart.
#[test]
fn the_advice_can_be_pasted() {
    if skip_deviation("Java gives no advice") {
        return;
    }
    let mut setup = damaged("log.42", |bytes| bytes[16 + 40] ^= 1);
    let odd = setup.root().join("it's an odd (place)");
    std::fs::rename(setup.data_dir(), &odd).expect("moved");
    setup.set("dataDir", &odd.display().to_string());
    let (setup, refusal) = setup.refuses();
    carry_out_advice(&refusal, CHOP);
    assert_eq!(setup.start().zxid(), 0x41);
}

/// a hole: what comes behind it is put aside.
#[test]
fn the_advice_against_a_hole_helps() {
    if skip_deviation("Java does not notice holes") {
        return;
    }
    let setup = setup("standalone-3.9/version-2", &[]);
    for name in ["snapshot.41", "log.1"] {
        std::fs::remove_file(setup.version_dir().join(name)).expect("the file");
    }
    served_after_advice(setup, CHOP, 0);
}

/// a snapshot that shows that more was there.
#[test]
fn the_advice_about_a_snapshot_ahead_helps() {
    if skip_deviation("Java serves less than it had") {
        return;
    }
    let setup = setup("standalone-3.9/version-2", &[]);
    change(&setup.version_dir().join("snapshot.41"), |bytes| bytes[100] ^= 1);
    let log = setup.version_dir().join("log.1");
    let golden = golden::json("standalone-3.9/expected-txns.json");
    let records = golden["log.1"]["records"].as_array().expect("records");
    let last = records.last().expect("one")["offset"].as_u64().expect("a number");
    change(&log, |bytes| bytes.truncate(last as usize));
    std::fs::remove_file(setup.version_dir().join("log.42")).expect("the later log");
    served_after_advice(setup, "mv ", 0x40);
}

/// C-244: no usable snapshot, but logs from the very first transaction on.
#[test]
fn the_advice_without_a_snapshot_helps() {
    if skip_deviation("Java gives no advice") {
        return;
    }
    let mut setup = setup("standalone-3.9/version-2", &[]);
    for name in ["snapshot.0", "snapshot.41"] {
        change(&setup.version_dir().join(name), |bytes| bytes[60] ^= 1);
    }
    setup.set("snapshot.trust.empty", "true");
    let server = served_after_advice(setup, "mkdir ", 0x61);
    assert_tree(&server, &golden::json("standalone-3.9/expected-tree.json"));
}

/// a log without its header in the middle is not what a crash leaves.
#[test]
fn a_log_in_the_middle_without_a_header_is_refused_with_advice() {
    if skip_deviation("Java gives no advice") {
        return;
    }
    let setup = setup("standalone-3.9/version-2", &[]);
    std::fs::remove_file(setup.version_dir().join("snapshot.41")).expect("the snapshot");
    change(&setup.version_dir().join("log.1"), |bytes| bytes.truncate(8));
    served_after_advice(setup, CHOP, 0);
}
