//! The golden files: where they are, and how the captured sessions read.

use std::path::PathBuf;

use super::hex;

/// The path of a golden file or directory.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A golden JSON file.
pub fn json(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path(name)).expect("a golden file");
    serde_json::from_str(&text).expect("JSON")
}

/// A golden file's bytes.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a golden file")
}

/// One line of a captured session.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whether the client sent it.
    pub to_server: bool,
    /// Which connection it belongs to.
    pub connection: String,
    /// The whole frame with its length; empty when the server closed the connection.
    pub bytes: Vec<u8>,
    pub note: String,
}

impl Line {
    /// The frame without its length.
    pub fn body(&self) -> &[u8] {
        &self.bytes[4..]
    }
}

/// The captured session in `name`, line by line.
pub fn session(name: &str) -> Vec<Line> {
    let text = String::from_utf8(bytes(name)).expect("UTF-8");
    let lines: Vec<Line> = text.lines().filter(|line| !line.starts_with('#')).map(parse).collect();
    assert!(!lines.is_empty(), "{name} has lines");
    lines
}

fn parse(line: &str) -> Line {
    let (frame, note) = line.split_once("  # ").unwrap_or((line, ""));
    let mut words = frame.split_whitespace();
    let direction = words.next().expect("a direction");
    assert!(direction == ">" || direction == "<", "{line}");
    Line {
        to_server: direction == ">",
        connection: words.next().expect("a connection").to_owned(),
        bytes: hex::decode(words.next().unwrap_or("")),
        note: note.to_owned(),
    }
}
