//! What fuzzing has collected stays true: every input of the corpora through the very checks that
//! the fuzz targets make (`fuzz/README.md`).

// The suite reads its corpora from the disk itself.
#![allow(clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code)]
mod checks;

use std::path::Path;

/// Checks every file of the corpus; a panic behind the file's name is that file's.
fn check_all(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("the corpus").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "the corpus of {target} has {} files", files.len());
    for file in files {
        // Shown only when the test fails; the last one is the one that did.
        println!("{}", file.display());
        check(&std::fs::read(file).expect("an input"));
    }
}

/// C-292, C-291: no record from outside panics or is believed.
#[test]
fn the_jute_reader_stands_its_corpus() {
    check_all("jute", checks::jute::check);
}

/// C-293: whatever a client sends, the server behind it can be restarted.
#[test]
fn a_connection_stands_its_corpus() {
    check_all("frames", checks::frames::check);
}

/// C-240, C-242: any log is read, cut or refused.
#[test]
fn the_log_reader_stands_its_corpus() {
    check_all("txn_log", checks::txn_log::check);
}

/// C-243: any snapshot is a database or damaged.
#[test]
fn the_snapshot_reader_stands_its_corpus() {
    check_all("snapshot", checks::snapshot::check);
}

/// any text is a configuration or refused in words.
#[test]
fn the_configuration_parser_stands_its_corpus() {
    check_all("config", checks::config::check);
}

/// Whatever another server sends is a message or refused in words.
#[test]
fn what_peers_send_stands_its_corpus() {
    check_all("peers", checks::peers::check);
}
