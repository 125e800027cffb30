//! What reading a configuration has to say: notices that are logged, errors that refuse.
//!
//! Each is one line: control characters in a key are escaped, long ones cut, and no value that
//! could be a secret is ever part of it.

use std::fmt;

use super::setting::Origin;

/// Something the operator should know; the server starts all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What sort of thing it is, so that a log can group them.
    pub kind: NoticeKind,
    /// The key, as written (made printable).
    pub key: String,
    /// Where it stands; None for what is missing.
    pub origin: Option<Origin>,
    /// What there is to say of the key.
    pub what: String,
}

/// The sorts of [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// Apache ZooKeeper knows the key, and it does nothing here yet.
    NotYet,
    /// The key means nothing to this server, now or later.
    Ignored,
    /// Nobody knows the key.
    Unknown,
    /// The value was taken, but probably not as the operator expected.
    Warning,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.origin, &self.key, &self.what)
    }
}

/// One reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key (made printable); empty where the line has none that could be read.
    pub key: String,
    /// Where it stands; None where something is missing.
    pub origin: Option<Origin>,
    /// What is wrong, what is allowed.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.origin, &self.key, &self.what)
    }
}

impl std::error::Error for ConfigError {}

/// Every reason why a file was refused; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file, as it was named; empty without one.
    pub file_name: String,
    /// In the order of the file; what is missing from it comes last.
    pub errors: Vec<ConfigError>,
    /// The keys that nobody knows: what is missing may be one of them, misspelt.
    pub unknown: Vec<Notice>,
}

impl ConfigErrors {
    /// Each error as a line of its own that names where it stands.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.errors.iter().map(|error| located(&self.file_name, error.origin, error))
    }

    /// The same for the unknown keys.
    pub fn hints(&self) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|notice| located(&self.file_name, notice.origin, notice))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().collect();
        f.write_str(&lines.join("\n"))
    }
}

/// `told`, which begins with its origin, behind the name of the file if it is the file's.
pub fn located(file_name: &str, origin: Option<Origin>, told: &dyn fmt::Display) -> String {
    match origin {
        Some(Origin::Variable(_) | Origin::CommandLine) => told.to_string(),
        _ if file_name.is_empty() => told.to_string(),
        Some(Origin::File { .. } | Origin::Dynamic { .. }) | None => format!("{file_name}: {told}"),
    }
}

impl std::error::Error for ConfigErrors {}

fn write_line(
    f: &mut fmt::Formatter<'_>,
    origin: Option<Origin>,
    key: &str,
    what: &str,
) -> fmt::Result {
    if let Some(origin) = origin {
        write!(f, "{origin}: ")?;
    }
    if !key.is_empty() {
        write!(f, "{key} ")?;
    }
    f.write_str(what)
}

/// `text` fit for one line of a log: escaped, and cut where it is absurdly long.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut line: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_one_line() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(printable(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
    }

    #[test]
    fn every_error_names_file_line_and_key() {
        let error = |key: &str, line: Option<usize>, what: &str| ConfigError {
            key: key.to_owned(),
            origin: line.map(Origin::line),
            what: what.to_owned(),
        };
        let errors = ConfigErrors {
            file_name: "zoo.cfg".to_owned(),
            errors: vec![
                error("tickTime", Some(3), "is wrong"),
                error("dataDir", None, "is missing"),
            ],
            unknown: Vec::new(),
        };
        assert_eq!(
            errors.to_string(),
            "zoo.cfg: line 3: tickTime is wrong\nzoo.cfg: dataDir is missing"
        );
    }
}
