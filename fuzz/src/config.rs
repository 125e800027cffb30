//! The configuration parser: any text is either a configuration or refused in words, in both forms
//! that there are, and as the file of an ensemble's members.
//!
//! * It never panics.
//! * A refusal has at least one reason; every sentence is one printable line.
//! * An accepted configuration can be shown.

use zkserver::config::{ConfigErrors, File, Given, Notice, Parsed, parse, resolve};

/// Parses `data` as a `zoo.cfg`, as TOML, and as what a `dynamicConfigFile` has.
pub fn check(data: &[u8]) {
    for file_name in ["zoo.cfg", "zoo.toml"] {
        judge(parse(data, file_name));
    }
    let text = b"dataDir=/data\ninitLimit=10\nsyncLimit=5\nmultiAddress.enabled=true\n\
                 dynamicConfigFile=/zoo.cfg.dynamic\n";
    judge(resolve(&Given {
        file: Some(File { name: "zoo.cfg", text }),
        dynamic: Some(File { name: "/zoo.cfg.dynamic", text: data }),
        ..Given::default()
    }));
}

fn judge(parsed: Result<Parsed, ConfigErrors>) {
    if let Ok(member) = &parsed
        && let Some(ensemble) = &member.config.ensemble
    {
        for sid in ensemble.members.members.keys().take(3) {
            judge_one(member.clone().as_member(*sid));
        }
    }
    judge_one(parsed);
}

fn judge_one(parsed: Result<Parsed, ConfigErrors>) {
    match parsed {
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
