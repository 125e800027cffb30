//! Holds `docs/conformance.md` to the tests it names: all 299 lines are there, once and in order,
//! and each named test exists. A test that is ignored holds nothing, so its line must say that it
//! waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LINES: usize = 299;
/// Begins the third column of a line that no test holds yet.
const OPEN: [&str; 3] = ["not yet", "next version", "not held"];

/// A row of the list.
struct Row {
    number: String,
    rule: String,
    held_by: String,
}

/// A test that a row names: `file::function`, the file below `tests/` or `src/…`.
struct Named {
    file: String,
    function: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/conformance.md")).expect("the list");
    let rows = text.lines().filter(|line| line.starts_with("| C-")).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", number, rule, held_by, ""] = cells[..] else { panic!("three columns: {line}") };
        Row { number: number.into(), rule: rule.into(), held_by: held_by.into() }
    });
    rows.collect()
}

impl Row {
    fn is_open(&self) -> bool {
        OPEN.iter().any(|word| self.held_by.starts_with(word))
    }

    /// The tests it names, and the texts between backquotes that are none.
    fn named(&self) -> Vec<Named> {
        let quoted = self.held_by.split('`').skip(1).step_by(2);
        let named = quoted.map(|name| {
            let (file, function) = name
                .rsplit_once("::")
                .unwrap_or_else(|| panic!("{}: `{name}` is not file::function", self.number));
            Named { file: file.into(), function: function.into() }
        });
        named.collect()
    }
}

impl Named {
    fn path(&self) -> PathBuf {
        if self.file.starts_with("src/") {
            root().join(&self.file)
        } else {
            root().join("tests").join(&self.file)
        }
    }
}

/// Whether the function is there as a test, and whether it is ignored; `None` if it is not.
fn find(source: &str, named: &Named) -> Option<bool> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    if named.file.ends_with(".py") {
        let definition = format!("def {}(", named.function);
        return lines.iter().any(|line| line.starts_with(&definition)).then_some(false);
    }
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").is_some_and(|rest| {
            rest.strip_prefix(named.function.as_str()).is_some_and(|rest| rest.starts_with('('))
        })
    };
    let at = lines.iter().position(|line| begins(line))?;
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
    let attributes: Vec<_> = attributes.collect();
    let is_test =
        attributes.iter().any(|line| **line == "#[test]" || line.starts_with("#[tokio::"));
    is_test.then(|| attributes.iter().any(|line| line.starts_with("#[ignore")))
}

#[test]
fn every_line_is_there_once_and_in_order() {
    let numbers: Vec<String> = rows().into_iter().map(|row| row.number).collect();
    let expected: Vec<String> = (1..=LINES).map(|n| format!("C-{n:03}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn every_line_has_a_rule_and_names_a_test_or_says_why_not() {
    for row in rows() {
        assert!(!row.rule.is_empty(), "{} has no rule", row.number);
        assert!(
            row.is_open() || !row.named().is_empty(),
            "{} names no test and does not begin with one of {OPEN:?}",
            row.number
        );
    }
}

#[test]
fn every_named_test_exists_and_an_ignored_one_holds_nothing() {
    let mut sources: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows() {
        for named in row.named() {
            let path = named.path();
            let Named { file, function } = &named;
            if !sources.contains_key(&path) {
                let Ok(source) = std::fs::read_to_string(&path) else {
                    wrong.push(format!("{}: there is no file {file}", row.number));
                    continue;
                };
                sources.insert(path.clone(), source);
            }
            match find(&sources[&path], &named) {
                None => wrong.push(format!("{}: {file} has no test {function}", row.number)),
                Some(true) if !row.is_open() => {
                    wrong.push(format!("{}: {file}::{function} is ignored", row.number));
                }
                Some(false) if row.held_by.starts_with("not yet") => {
                    wrong.push(format!("{}: {file}::{function} no longer waits", row.number));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "docs/conformance.md:\n{}", wrong.join("\n"));
}
