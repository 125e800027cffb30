//! A member of an ensemble at its start: what is wrong with its id, its ports and its data is said,
//! with Apache ZooKeeper's exit codes. Nobody else of its ensemble is there.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Output;

use crate::common::eventually;
use crate::process::{BINARY, Place, free_port, stdout};

/// A place with a member's configuration: server 1 of three.
struct Home {
    place: Place,
    file: String,
    quorum_port: u16,
    election_port: u16,
}

impl Home {
    fn new(lines: &str) -> Self {
        let place = Place::new();
        let (quorum_port, election_port) = (free_port(), free_port());
        let (second, third) = (free_port(), free_port());
        let lines = format!(
            "initLimit=5\nsyncLimit=2\n4lw.commands.whitelist=*\n\
             server.1=127.0.0.1:{quorum_port}:{election_port}\n\
             server.2=127.0.0.2:{second}:{third}\nserver.3=127.0.0.3:{second}:{third}\n{lines}"
        );
        let file = place.zoo_cfg("zoo.cfg", &lines);
        Home { place, file, quorum_port, election_port }
    }

    fn with_id(id: &str, lines: &str) -> Self {
        let home = Home::new(lines);
        home.place.write("data/myid", id);
        home
    }

    /// Runs the server until it ends by itself.
    fn ends(&self) -> Output {
        self.place.run(&[&self.file])
    }

    /// Starts the server, and waits until it has said `what`.
    fn until_said(&mut self, what: &str) -> String {
        let command = self.place.command(BINARY, &[&self.file]);
        self.place.spawn(command, "log");
        eventually(what, || Some(self.place.text("log")).filter(|text| text.contains(what)))
    }
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, words: &str) {
    let told = stdout(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(words), "{words}\n{told}");
}

#[test]
fn a_wrong_id_is_told_and_ends_with_2() {
    let home = Home::new("");
    assert_ends(&home.ends(), 2, "data/myid is missing: it must have this server's number");
    assert!(!home.place.path("data").exists(), "nothing was touched");
    for (id, words) in [
        ("", "data/myid has \"\""),
        ("one\n", "data/myid has \"one\": it must have this server's number"),
        ("7\n", "server.7 is not among the members (server.1, server.2, server.3)"),
    ] {
        assert_ends(&Home::with_id(id, "").ends(), 2, words);
    }
    assert!(!home.place.path("data/version-2").exists(), "nothing was touched");
}

#[test]
fn a_port_for_other_servers_that_is_taken_ends_with_14() {
    let home = Home::with_id("1", "electionPortBindRetry=1\n");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, home.election_port)).unwrap();
    let words = format!("the election address 127.0.0.1:{} cannot be", home.election_port);
    assert_ends(&home.ends(), 14, &words);
    drop(taken);
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, home.quorum_port)).unwrap();
    let words = format!("the quorum port {} of 127.0.0.1 cannot be bound", home.quorum_port);
    assert_ends(&home.ends(), 14, &words);
}

#[test]
fn an_epoch_file_that_holds_no_number_ends_with_1() {
    let home = Home::with_id("1", "");
    home.place.write("data/version-2/currentEpoch", "five");
    assert_ends(&home.ends(), 1, "currentEpoch does not hold a number but \"five\"");
}

/// C-246, C-251: the data may have been lost, so the server says how it goes on, and does.
#[test]
fn a_member_that_may_have_forgotten_something_says_so_and_looks_for_a_leader() {
    let mut empty = Home::with_id("1", "db.autocreate=false\n");
    let told = empty.until_said("started as a member");
    assert!(told.contains("joins without a vote"), "{told}");
    assert!(!empty.place.path("data/version-2/snapshot.0").exists(), "it has no data to show");

    let mut behind = Home::with_id("1", "");
    behind.place.write("data/version-2/acceptedEpoch", "4");
    behind.place.write("data/version-2/currentEpoch", "5");
    let told = behind.until_said("started as a member");
    assert!(told.contains("epoch 5 was promised, but there is no data"), "{told}");
    let answer = behind.place.word("srvr").expect("an answer");
    assert_eq!(answer, "This ZooKeeper instance is not currently serving requests\n");
}

/// What the refusal says is followed to the letter.
#[test]
fn a_member_whose_data_is_damaged_is_told_how_to_get_that_of_the_others() {
    let mut home = Home::with_id("1", "");
    let data = home.place.path("data/version-2");
    for (name, text) in [("snapshot.500000007", "?"), ("acceptedEpoch", "5"), ("currentEpoch", "5")]
    {
        home.place.write(&format!("data/version-2/{name}"), text);
    }
    let output = home.ends();
    assert_ends(&output, 1, "none of the 1 snapshots");
    let told = stdout(&output);
    let (_, command) = told.split_once("needs only its epoch files: ").expect("a command");
    let (command, _) = command.split_once("; the server stops").expect("its end");
    let shell = home.place.command("sh", &["-c", command]).output().expect("a shell");
    assert!(data.join("aside/snapshot.500000007").exists(), "{shell:?}");
    let told = home.until_said("started as a member");
    assert!(told.contains("joins without a vote"), "{told}");
}

/// The operator's word that an empty database is meant.
#[test]
fn a_member_that_is_told_to_initialize_has_a_vote() {
    let mut home = Home::with_id("1", "db.autocreate=false\n");
    home.place.write("data/initialize", "");
    let told = home.until_said("started as a member");
    assert!(!told.contains("without a vote"), "{told}");
    assert!(home.place.path("data/version-2/snapshot.0").exists());
    assert!(!home.place.path("data/initialize").exists(), "it counts once");
}

#[test]
fn a_member_that_looks_for_a_leader_stops_when_it_is_told_to() {
    let mut home = Home::with_id("1", "");
    home.until_said("started as a member");
    assert_eq!(home.place.terminate(), Some(0));
    let told = home.place.text("log");
    assert!(told.ends_with("INFO stopped\n"), "{told}");
    let written: Vec<_> = std::fs::read_dir(home.place.path(".")).unwrap().collect();
    assert_eq!(written.len(), 3, "data, log, zoo.cfg, and nothing beside: {written:?}");
}
