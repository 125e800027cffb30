//! Holds `docs/conformance.md` to the tests it names: all 299 lines are there, once and in order,
//! and each named test exists, and each test whose doc comment cites a line is named by it. A test
//! that is ignored holds nothing, so its line must say that it waits.

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

/// A test and a line that its doc comment cites.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Citation {
    number: String,
    test: String,
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

fn makes_a_test(attribute: &str) -> bool {
    attribute == "#[test]" || attribute.starts_with("#[tokio::")
}

/// The lines that a doc comment cites: C-001, and C-001 to C-003 with all between.
fn cited(doc: &str) -> Vec<String> {
    let mut numbers: Vec<usize> = Vec::new();
    let mut before = "";
    for piece in doc.split("C-") {
        let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        if let Ok(number) = piece[..digits].parse() {
            match numbers.last() {
                Some(last) if before == " to " => numbers.extend(last + 1..=number),
                _ => numbers.push(number),
            }
        }
        before = &piece[digits..];
    }
    numbers.into_iter().map(|number| format!("C-{number:03}")).collect()
}

/// What the tests of a Rust file cite; `name` as the list's third column has it.
fn citations(name: &str, source: &str) -> Vec<Citation> {
    let mut all = Vec::new();
    let (mut doc, mut is_test) = (String::new(), false);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with('#') {
            is_test |= makes_a_test(line);
        } else {
            let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some((function, _)) = rest.filter(|_| is_test).and_then(|f| f.split_once('(')) {
                let test = format!("{name}::{function}");
                let cited = cited(&doc).into_iter();
                all.extend(cited.map(|number| Citation { number, test: test.clone() }));
            }
            (doc, is_test) = (String::new(), false);
        }
    }
    all
}

/// All Rust files below a directory.
fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
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
    attributes
        .iter()
        .any(|line| makes_a_test(line))
        .then(|| attributes.iter().any(|line| line.starts_with("#[ignore")))
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

#[test]
fn every_citation_of_a_line_is_named_by_it() {
    let mut files = Vec::new();
    for dir in ["src", "tests"] {
        rust_files(&root().join(dir), &mut files);
    }
    let mut citations_of_all = Vec::new();
    for path in files {
        let source = std::fs::read_to_string(&path).expect("a source");
        let name = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8");
        let name = name.strip_prefix("tests/").unwrap_or(name);
        citations_of_all.extend(citations(name, &source));
    }
    assert!(citations_of_all.len() > LINES, "the tests were not found");
    let rows: BTreeMap<String, Row> =
        rows().into_iter().map(|row| (row.number.clone(), row)).collect();
    citations_of_all.retain(|citation| {
        let row = rows.get(&citation.number);
        !row.is_some_and(|row| row.held_by.contains(&format!("`{}`", citation.test)))
    });
    citations_of_all.sort();
    let wrong: Vec<String> = citations_of_all
        .into_iter()
        .map(|Citation { number, test }| {
            format!("{number}: does not name `{test}`, which cites it")
        })
        .collect();
    assert!(wrong.is_empty(), "docs/conformance.md:\n{}", wrong.join("\n"));
}

#[test]
fn citations_are_read_with_their_ranges() {
    let source = "/// C-125 to C-127, C-004\n/// (see C-299; N-1).\n#[test]\nfn one() {}\n\
                  /// C-007: no test.\nfn two() {}\n#[tokio::test]\nasync fn three() {}\n";
    let found = citations("a.rs", source);
    let numbers: Vec<&str> = found.iter().map(|citation| citation.number.as_str()).collect();
    assert_eq!(numbers, ["C-125", "C-126", "C-127", "C-004", "C-299"]);
    assert!(found.iter().all(|citation| citation.test == "a.rs::one"));
}
