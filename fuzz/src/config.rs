//! The configuration parser: any text is either a configuration or refused in words, in both forms
//! that there are.
//!
//! * It never panics.
//! * A refusal has at least one reason; every sentence is one printable line.
//! * An accepted configuration can be shown.

use zkserver::config::{Notice, parse};

/// Parses `data` as a `zoo.cfg`, and as TOML.
pub fn check(data: &[u8]) {
    for file_name in ["zoo.cfg", "zoo.toml"] {
        check_as(data, file_name);
    }
}

fn check_as(data: &[u8], file_name: &str) {
    match parse(data, file_name) {
        Ok(parsed) => {
            for notice in &parsed.notices {
                printable(notice);
            }
            for (key, value) in parsed.config.effective() {
                assert!(!key.is_empty(), "a key without a name has the value {value}");
            }
        }
        Err(errors) => {
            assert!(!errors.errors.is_empty(), "a refusal without a reason");
            for error in &errors.errors {
                one_line(&error.to_string());
            }
        }
    }
}

fn printable(notice: &Notice) {
    one_line(&notice.to_string());
}

fn one_line(sentence: &str) {
    assert!(!sentence.is_empty() && !sentence.contains(char::is_control), "{sentence:?}");
}
