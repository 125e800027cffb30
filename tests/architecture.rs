//! The house stays as it was drawn: imports point up the ladder's reading order only, and the
//! doors to time, randomness, disk and network stay where they are.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with its row; a module imports only from rows above its own.
const LADDER: &[(&str, u32)] = &[
    ("jute", 0),
    ("time", 0),
    ("metrics", 0),
    ("proto", 1),
    ("config", 2),
    ("auth", 2),
    ("session", 2),
    ("watch", 2),
    ("status", 2),
    ("tree", 3),
    ("processor", 4),
    ("quorum", 5),
    ("persistence", 5),
    ("net", 6),
    ("operator", 6),
    ("server", 7),
    ("tools", 8),
    ("main", 8),
];

/// Strangers that meet only in the server: `net` imports neither of these.
const STRANGERS: &[(&str, &str)] = &[
    ("net", "quorum"),
    ("net", "persistence"),
    ("operator", "quorum"),
    ("operator", "persistence"),
    ("operator", "net"),
    ("operator", "processor"),
];

/// What only the named files may say.
const DOORS: &[(&str, &[&str])] = &[
    ("std::fs", &["persistence/disk.rs"]),
    ("File::open", &["persistence/disk.rs"]),
    ("Instant::now", &["server/clock.rs"]),
    ("SystemTime", &["server/clock.rs"]),
    ("RandomState", &["server/clock.rs"]),
    ("thread::sleep", &["server/jobs.rs", "server/disk_care.rs"]),
    ("tokio::net", &["net/", "server/assembly.rs"]),
    ("tokio::time", &["net/", "server/"]),
    ("std::net::Tcp", &["net/"]),
    ("thread::spawn", &["server/"]),
    ("thread::Builder", &["server/"]),
    ("process::exit", &["server/fatal.rs"]),
    ("process::abort", &["server/fatal.rs"]),
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() > 40, "the sources are found");
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn row(module: &str) -> Option<u32> {
    LADDER.iter().find(|(name, _)| *name == module).map(|(_, row)| *row)
}

/// The code of a file before its unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

/// Whether the file holds unit tests and nothing else.
fn is_of_tests(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("tests/")
}

/// The modules a line names after `crate::`, groups included.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        found.push(name);
    }
    found
}

#[test]
fn every_module_has_a_row() {
    for (file, _) in all_sources() {
        let module = module_of(&file);
        assert!(module == "lib" || row(module).is_some(), "{file} is not on the ladder");
    }
}

#[test]
fn imports_point_only_up_the_ladder() {
    let mut wrong = Vec::new();
    for (file, text) in all_sources() {
        let module = module_of(&file);
        let Some(own) = row(module) else { continue };
        for (number, line) in code(&text) {
            for import in imports(line) {
                if import == module {
                    continue;
                }
                match row(&import) {
                    Some(other) if other < own => {}
                    _ => wrong.push(format!("{file}:{number} imports {import}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the ladder:\n{}", wrong.join("\n"));
}

#[test]
fn strangers_stay_strangers() {
    for (file, text) in all_sources() {
        for (number, line) in code(&text) {
            for import in imports(line) {
                assert!(
                    !STRANGERS.contains(&(module_of(&file), import.as_str())),
                    "{file}:{number} imports {import}"
                );
            }
        }
    }
}

#[test]
fn doors_stay_where_they_are() {
    let mut wrong = Vec::new();
    // Unit tests may open files of their own, whether they are in a file of their own or not.
    let sources = all_sources().into_iter().filter(|(file, _)| !is_of_tests(file));
    for (file, text) in sources {
        for (number, line) in code(&text) {
            for (call, allowed) in DOORS {
                if line.contains(call) && !allowed.iter().any(|place| file.starts_with(place)) {
                    wrong.push(format!("{file}:{number} says {call}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "doors in the wrong place:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

#[test]
fn the_rules_see_what_they_forbid() {
    assert_eq!(imports("use crate::tree::{Database}; crate::net::x()"), ["tree", "net"]);
    let sample = "use crate::a;\n// crate::b\n#[cfg(test)]\nuse crate::c;";
    let seen: Vec<_> = code(sample).flat_map(|(_, line)| imports(line)).collect();
    assert_eq!(seen, ["a"]);
}
