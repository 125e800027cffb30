//! What monitoring tools expect of the words.
//!
//! A file for each tool (`tests/monitoring/*.json`): where its expressions were found, and what
//! each asks of which word. An expression that Apache ZooKeeper itself has stopped to satisfy is
//! kept with the reason, and must not fit here either.

use regex::Regex;
use serde_json::Value;

/// Every tool by its name.
pub fn tools() -> Vec<(String, Value)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitoring");
    let files = std::fs::read_dir(dir).expect("the directory");
    let files = files.map(|file| file.expect("an entry").path());
    let json = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let tools = json.map(|path| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    });
    tools.collect()
}

fn strings(value: &Value) -> Vec<&str> {
    let strings = value.as_array().expect("a list").iter();
    strings.map(|string| string.as_str().expect("a string")).collect()
}

fn value_of<'a>(answer: &'a str, key: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'))
}

/// Whether each expression of the list fits a line, in that order; lines between do not matter.
fn in_order(expressions: &[&str], answer: &str) -> bool {
    let mut lines = answer.lines();
    expressions.iter().all(|expression| {
        let expression = regex(expression);
        lines.any(|line| expression.is_match(line))
    })
}

fn regex(expression: &str) -> Regex {
    Regex::new(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// What does not hold of the answer, in words.
pub fn complaint(expected: &Value, answer: &str) -> Option<String> {
    let mut known = 0;
    let mut answer = answer;
    let mut complaints = Vec::new();
    let mut complain = |complaint: String| complaints.push(complaint);
    if let Some(bytes) = expected["within_bytes"].as_u64() {
        answer = &answer[..answer.len().min(bytes as usize)];
    }
    let mut each = |name: &str, check: &mut dyn FnMut(&str)| {
        if let Some(value) = expected.get(name) {
            known += 1;
            match value {
                Value::String(one) => check(one),
                list => strings(list).into_iter().for_each(check),
            }
        }
    };
    each("exactly", &mut |text| {
        if answer != text {
            complain(format!("not {text:?}"));
        }
    });
    each("first_line", &mut |e| {
        if !regex(e).is_match(answer.lines().next().unwrap_or_default()) {
            complain(format!("the first line does not fit {e}"));
        }
    });
    each("every_line", &mut |e| {
        let e = regex(e);
        if let Some(line) = answer.lines().find(|line| !e.is_match(line)) {
            complain(format!("{line:?} does not fit {e}"));
        }
    });
    each("every_session", &mut |e| {
        let e = regex(e);
        let mut sessions = answer.lines().filter(|line| line.contains(",sid=")).peekable();
        if sessions.peek().is_none() || !sessions.all(|line| e.is_match(line)) {
            complain(format!("a session's line does not fit {e}"));
        }
    });
    each("some_line", &mut |e| {
        let e = regex(e);
        if !answer.lines().any(|line| e.is_match(line)) {
            complain(format!("no line fits {e}"));
        }
    });
    each("whole", &mut |e| {
        if !regex(e).is_match(answer) {
            complain(format!("it does not fit {e}"));
        }
    });
    each("keys", &mut |key| {
        if value_of(answer, key).is_none() {
            complain(format!("{key} is missing"));
        }
    });
    each("floats", &mut |key| {
        if value_of(answer, key).is_none_or(|value| value.parse::<f64>().is_err()) {
            complain(format!("{key} is no number"));
        }
    });
    let key = expected["value_of"].as_str().unwrap_or_default();
    each("matches", &mut |e| {
        if !value_of(answer, key).is_some_and(|value| regex(e).is_match(value)) {
            complain(format!("{key} does not fit {e}"));
        }
    });
    if let Some(list) = expected.get("lines_in_order") {
        known += 1;
        if !in_order(&strings(list), answer) {
            complaints.push("its lines are not in order".to_owned());
        }
    }
    assert!(known > 0, "nothing is asked: {expected}");
    (!complaints.is_empty()).then(|| complaints.join("; "))
}
