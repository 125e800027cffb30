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
    ("std::fs", &["persistence/disk.rs", "persistence/disk/direct.rs"]),
    ("File::open", &["persistence/disk.rs"]),
    ("Instant::now", &["server/clock.rs"]),
    ("SystemTime", &["server/clock.rs"]),
    ("RandomState", &["server/clock.rs"]),
    ("thread::sleep", &["server/jobs.rs", "server/disk_care.rs", "server/fault_doors/"]),
    ("tokio::net", &["net/", "server/assembly.rs"]),
    ("tokio::time", &["net/", "server/"]),
    ("std::net::Tcp", &["net/"]),
    ("thread::spawn", &["server/"]),
    ("thread::Builder", &["server/"]),
    ("process::exit", &["server/fatal.rs"]),
    ("process::abort", &["server/fatal.rs"]),
];

/// Where plain synchronous code is: it is given the time and says what it wants done.
const CORES: &[&str] = &["jute/", "proto/", "session/", "tree/", "processor/", "quorum/"];

/// What no core says: sockets, files, clocks, randomness, threads, locks, `async`.
const NOT_IN_A_CORE: &[&str] = &[
    "std::net",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::time",
    "std::thread",
    "thread_local",
    "Clock",
    "Disk",
    "Random",
    "RandomState",
    "rand",
    "getrandom",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "sync::atomic",
    "mpsc",
    "parking_lot",
    "tokio",
    "async",
    "await",
];

/// A file of a core that says something of that all the same, and why it may. Locks here are held
/// for a few steps and never while another of these is asked for, but in the order that
/// `docs/ARCHITECTURE.md` has.
const MAY: &[(&str, &[&str], &str)] = &[
    ("proto/host_port.rs", &["std::net"], "an address is a value; nobody connects to it here"),
    (
        "session/touch.rs",
        &["sync::atomic"],
        "a session's sign of life: connections store it, the tracker looks when it is due",
    ),
    (
        "tree/shared_database.rs",
        &["parking_lot", "RwLock"],
        "the one lock of the database, around the core and not in it",
    ),
    (
        "tree/capture.rs",
        &["parking_lot", "Mutex"],
        "a snapshot's walk, which its thread and the one who changes the tree share",
    ),
    ("tree/data_tree.rs", &["parking_lot", "Mutex"], "the walks that a change must tell"),
    (
        "processor/connections.rs",
        &["parking_lot", "RwLock"],
        "the registry: client tasks enter themselves, the driver looks them up",
    ),
    (
        "processor/connection_queue.rs",
        &["parking_lot", "Mutex", "sync::atomic"],
        "where the driver leaves replies and events for a connection's task",
    ),
    (
        "processor/connection.rs",
        &["parking_lot", "Mutex"],
        "the throttle of new connections, which all of them share",
    ),
    (
        "processor/large_requests.rs",
        &["sync::atomic"],
        "the bytes of large requests under way, on all connections together",
    ),
    (
        "quorum/effect.rs",
        &["mpsc"],
        "who asks for a list is handed through to the answer; no core sends or receives",
    ),
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

/// The code of a file before its unit tests, without comments. A module of tests that is another
/// file ends nothing: it may stand anywhere.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_only_named = |at: usize| {
        let next = lines.get(at + 1).map_or("", |line| line.trim());
        next.contains("mod ") && next.ends_with(';')
    };
    let ends = |at: &usize| lines[*at].starts_with("#[cfg(test)]") && !is_only_named(*at);
    let end = (0..lines.len()).find(ends).unwrap_or(lines.len());
    let code = lines.into_iter().take(end).enumerate();
    code.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

/// Whether a file is nothing but tests, or what tests are told with.
fn is_of_tests(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("tests.rs") || file.ends_with("testing.rs")
}

/// Whether the line says these names, and not only longer ones that they are part of.
fn says(line: &str, names: &str) -> bool {
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(names).any(|(at, _)| {
        let behind = &line[at + names.len()..];
        !line[..at].ends_with(in_a_name) && !behind.starts_with(in_a_name)
    })
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
fn cores_have_no_socket_file_clock_randomness_lock_or_async() {
    let mut wrong = Vec::new();
    let mut needed = Vec::new();
    for (file, text) in all_sources() {
        if is_of_tests(&file) || !CORES.iter().any(|core| file.starts_with(core)) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in NOT_IN_A_CORE.iter().filter(|word| says(line, word)) {
                let may = |(place, words, _): &&(&str, &[&str], &str)| {
                    *place == file && words.contains(word)
                };
                match MAY.iter().find(may) {
                    Some((place, _, _)) => needed.push((*place, *word)),
                    None => wrong.push(format!("{file}:{number} says {word}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no business of a core:\n{}", wrong.join("\n"));
    for (place, words, why) in MAY {
        for word in *words {
            assert!(needed.contains(&(place, word)), "{place} says no {word} any more: {why}");
        }
    }
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
    let sample =
        "#[cfg(test)]\nmod tests;\nuse crate::a;\n#[cfg(test)]\nmod tests {\nuse crate::b;";
    let seen: Vec<_> = code(sample).flat_map(|(_, line)| imports(line)).collect();
    assert_eq!(seen, ["a"], "a file of tests is named before the code");
    assert!(says("a: sync::Mutex<T>", "Mutex") && says("use std::net::IpAddr", "std::net"));
    assert!(!says("let operand = 1", "rand") && !says("DiskEffect::Append", "Disk"));
}
