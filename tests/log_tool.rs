//! `zkserver log`: dumps byte for byte as Apache's TxnLogToolkit prints them (`golden/log-dump`),
//! and chops that lose nothing which was not to be lost.

// The suite drives real processes: it looks at the clock and the disk itself.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{RawClient, Setup, golden};

/// Runs the tool in UTC.
fn tool(arguments: &[&str]) -> Output {
    tool_in("UTC", arguments)
}

fn tool_in(zone: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zkserver"))
        .arg("log")
        .args(arguments)
        .env("TZ", zone)
        .stdin(Stdio::null())
        .output()
        .expect("the tool runs")
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = tool(arguments);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).to_owned()
}

/// A copy of a golden log, alone in a directory.
fn copy(dir: &Path, log: &str) -> PathBuf {
    let to = dir.join(log.rsplit('/').next().expect("a name"));
    std::fs::copy(golden::path(log), &to).expect("copied");
    to
}

const LOG: &str = "standalone-3.9/version-2/log.1";

fn word(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn dumps_are_apaches_byte_for_byte() {
    for log in [
        "standalone-3.9/version-2/log.1",
        "standalone-3.9/version-2/log.42",
        "quorum-3.8.0/server1/version-2/log.100000001",
        "legacy-3.4/version-2/log.1",
    ] {
        let name = log.replace("/version-2/", "-").replace('/', "-");
        let expected = golden::path(&format!("log-dump/{name}.txt"));
        let expected = std::fs::read(expected).expect("the dump");
        for form in [&["dump"][..], &["-d"], &[]] {
            let path = golden::path(log);
            let output = tool(&[form, &[word(&path)]].concat());
            assert_eq!(output.status.code(), Some(0));
            assert!(output.stdout == expected, "{log} as {form:?}: {}", text(&output.stdout));
        }
    }
}

#[test]
fn dates_are_those_of_the_zone() {
    let path = golden::path(LOG);
    let dump = |zone| text(&tool_in(zone, &["dump", word(&path)]).stdout).to_owned();
    assert!(dump("EST5EDT,M3.2.0,M11.1.0").contains("\n11/21/26, 2:26:55 PM EST session "));
    assert!(dump("UTC").contains("\n11/21/26, 7:26:55 PM UTC session "));
}

#[test]
fn what_is_no_log_is_told_with_apaches_exit_codes() {
    let missing = tool(&["dump", "/nonexistent/log.1"]);
    assert_eq!(missing.status.code(), Some(1));
    let told = text(&missing.stderr);
    assert_eq!(told, "File doesn't exist or not readable: /nonexistent/log.1\n");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, "tickTime=2000\nclientPort=2181\n").expect("written");
    let other = tool(&["dump", word(&file)]);
    assert_eq!(other.status.code(), Some(2));
    assert_eq!(text(&other.stderr), "Invalid magic number for zoo.cfg\n");
    assert_eq!(tool(&[]).status.code(), Some(2));
}

#[test]
fn wrong_checksums_are_shown_and_mended_in_a_copy() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = copy(dir.path(), LOG);
    let sound = std::fs::read(&log).expect("the log");
    let mut rotten = sound.clone();
    rotten[16 + 7] ^= 1;
    std::fs::write(&log, &rotten).expect("the log");
    let dump = succeed(&["dump", word(&log)]);
    assert_eq!(dump.matches("CRC ERROR - 11/21/26").count(), 1, "{dump}");
    let recovered = succeed(&["dump", "-r", "-y", word(&log)]);
    let fixed = dir.path().join("log.1.fixed");
    let last =
        format!("Recovery file {} has been written with 1 fixed CRC error(s)\n", fixed.display());
    assert!(
        recovered.contains("CRC FIXED - 11/21/26") && recovered.ends_with(&last),
        "{recovered}"
    );
    let bytes = std::fs::read(&fixed).expect("the copy");
    assert!(sound.starts_with(&bytes), "the copy is what the log was before it rotted");
    assert!(bytes.len() > 5_000);
    assert_eq!(std::fs::read(&log).expect("the log"), rotten, "the log is left as it is");
    let again = tool(&["dump", "-r", "-y", word(&log)]);
    assert_eq!(again.status.code(), Some(1), "a copy is never written over");
    let unanswered = dir.path().join("other.1");
    std::fs::copy(&log, &unanswered).expect("copied");
    assert_eq!(tool(&["-r", word(&unanswered)]).status.code(), Some(1), "nobody answers");
    assert!(!dir.path().join("other.1.fixed").exists());
}

#[test]
fn a_chop_is_a_copy_up_to_the_zxid() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = copy(dir.path(), LOG);
    let whole = std::fs::read(&log).expect("the log");
    let told = succeed(&["chop", word(&log), "0x10"]);
    assert!(told.ends_with("Chopping at 10 new log has 16 records\n"), "{told}");
    let chopped = std::fs::read(dir.path().join("log.1.chopped16")).expect("the copy");
    assert!(whole.starts_with(&chopped) && chopped.len() > 500);
    assert_eq!(std::fs::read(&log).expect("the log"), whole);
    let dump = succeed(&["dump", word(&dir.path().join("log.1.chopped16"))]);
    assert!(dump.ends_with("EOF reached after 16 txns.\n"));
    // The same by Apache's arguments; what is not in the log leaves no copy.
    succeed(&["-c", "-z", "16", word(&log)]);
    let absent = tool(&["chop", word(&log), "0x999"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent.stdout).ends_with("Got exception: Failed to chop log.1\n"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 2);
}

#[test]
fn a_running_servers_directory_is_not_written_to() {
    let server = Setup::new(&[]).start();
    let mut client = RawClient::new(&server);
    for name in ["/a", "/b", "/c"] {
        client.create(name, b"", 0).ok();
    }
    let log = server.version_dir().join("log.1");
    // What the server itself writes meanwhile is its own business.
    let files = |prefix: &str| server.files(prefix);
    let before = (files("log."), files("snapshot."), files("aside."));
    for arguments in [&["chop"][..], &["chop", "--in-place"]] {
        let refused = tool(&[arguments, &[word(&log), "2"]].concat());
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stderr).contains("a server is running in"), "{refused:?}");
    }
    assert_eq!(tool(&["dump", "-r", "-y", word(&log)]).status.code(), Some(3));
    assert_eq!((files("log."), files("snapshot."), files("aside.")), before);
    assert!(succeed(&["dump", word(&log)]).contains(" create /a,"), "looking is allowed");
}

/// The way back of an operator without a backup: the history ends before the damage.
#[test]
fn a_chop_in_place_ends_the_history_there() {
    let mut server = Setup::new(&[]).start();
    let mut client = RawClient::new(&server);
    let zxid = client.create("/kept", b"", 0).ok().zxid;
    client.create("/lost", b"", 0).ok();
    server.kill();
    server.restart();
    RawClient::new(&server).create("/later", b"", 0).ok();
    server.kill();
    let log = server.version_dir().join("log.1");
    let wrong = tool(&["chop", "--in-place", word(&log), "0x999"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let told = succeed(&["chop", "--in-place", word(&log), &format!("0x{zxid:x}")]);
    assert!(told.contains("log.1 as it was: aside.log.1\n"), "{told}");
    assert_eq!(server.files("aside.").len(), 2, "the later log too");
    server.restart();
    assert_eq!(server.zxid(), zxid);
    let mut client = RawClient::new(&server);
    assert!(client.has("/kept") && !client.has("/lost") && !client.has("/later"));
}
