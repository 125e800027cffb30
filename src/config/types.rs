//! Whether a value has the type its key wants, for files that tell text from numbers.
//!
//! Which type that is, no table says: it is asked of the code that takes the key, by offering it a
//! word, so that the two cannot differ.

use super::asked::check_form;
use super::keys::{Class, Form, Key};
use super::parse::Draft;
use super::setting::{Setting, Shape};
use super::values::{Allowed, decoded};

/// Keys whose value is a list, so that it may be written as one.
const LISTS: &[&str] = &[
    "4lw.commands.whitelist",
    "enforce.auth.schemes",
    "log.level",
    "ssl.ciphersuites",
    "ssl.enabledProtocols",
    "ssl.quorum.ciphersuites",
    "ssl.quorum.enabledProtocols",
    "superUser",
];

/// `setting` as it is to be taken: `true` is `yes` where a key has `yes` and `no`.
///
/// # Errors
/// What is allowed in its place.
pub fn check(key: &Key, setting: &Setting) -> Result<Setting, Allowed> {
    let takes = |value: &str| takes(key, setting, value);
    // No other value is a word of its own choice.
    let wants_text = || takes("zq");
    match setting.shape {
        _ if !has_type(key) => {}
        Shape::Untyped => {}
        Shape::List if LISTS.contains(&setting.key.as_str()) => {}
        Shape::List => return Err("a single value, not a list".to_owned()),
        Shape::Quoted => {
            let bare = setting.value.parse::<bool>().is_ok()
                || decoded::<i64>(&setting.value, i64::MIN..=i64::MAX).is_ok();
            if bare && !wants_text() {
                return Err("without quotes".to_owned());
            }
        }
        Shape::Number | Shape::Boolean if wants_text() => {
            return Err("text, in quotes".to_owned());
        }
        Shape::Boolean if !takes(&setting.value) => {
            let word = if setting.value == "true" { "yes" } else { "no" };
            if takes(word) {
                return Ok(Setting { value: word.to_owned(), ..setting.clone() });
            }
        }
        Shape::Number | Shape::Boolean => {}
    }
    Ok(setting.clone())
}

fn has_type(key: &Key) -> bool {
    match key.class {
        Class::InEffect | Class::OfMembers => true,
        Class::NotYet(form) => !matches!(form, Form::Text(_)),
        Class::Ignored(_) | Class::Protection(..) | Class::Members => false,
    }
}

fn takes(key: &Key, setting: &Setting, value: &str) -> bool {
    let offered = Setting { value: value.to_owned(), ..setting.clone() };
    match key.class {
        Class::InEffect | Class::OfMembers => Draft::default().take(&offered).is_ok(),
        Class::NotYet(form) => check_form(form, value).is_ok(),
        Class::Ignored(_) | Class::Protection(..) | Class::Members => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn errors(line: &str) -> Vec<String> {
        let text = format!("dataDir = '/data'\nclientPort = 2181\n{line}");
        match parse(text.as_bytes(), "zoo.toml") {
            Ok(_) => Vec::new(),
            Err(errors) => errors.lines().collect(),
        }
    }

    #[test]
    fn numbers_and_switches_are_bare_and_text_is_quoted() {
        for line in [
            "tickTime = 1_500",
            "jute.maxbuffer = 0x400000",
            "forceSync = true",
            "skipACL = 'no'",
            "digest.enabled = false",
            "clientPortAddress = '127.0.0.1'",
            "4lw.commands.whitelist = ['ruok', 'stat']",
            "4lw.commands.whitelist = '*'",
            "autopurge.purgeInterval = 0",
            "autopurge.purgeInterval = '90m'",
            "connection_throttle_drop_increase = 0.02",
            "[server]\n1 = 'zk:2888:3888;2181'",
        ] {
            assert_eq!(errors(line), [""; 0], "{line}");
        }
        for (line, what) in [
            ("tickTime = '1500'", "tickTime must be without quotes"),
            ("tickTime = true", "tickTime must be a whole number"),
            ("tickTime = 1.5", "tickTime must be a whole number"),
            ("tickTime = [1500]", "tickTime must be a single value, not a list"),
            ("digest.enabled = 'false'", "digest.enabled must be without quotes"),
            ("digest.enabled = 1", "digest.enabled must be true or false"),
            ("forceSync = 1", "forceSync must be yes or no"),
            ("dataLogDir = 7", "dataLogDir must be text, in quotes"),
            ("dataLogDir = ['a', 'b']", "dataLogDir must be a single value"),
            ("clientPortAddress = true", "clientPortAddress must be text, in quotes"),
            ("initLimit = '10'", "initLimit must be without quotes"),
        ] {
            let told = errors(line);
            assert_eq!(told.len(), 1, "{line}: {told:?}");
            assert!(told[0].starts_with("zoo.toml: line 3, column "), "{told:?}");
            assert!(told[0].contains(&format!(": {what}")), "{told:?}");
        }
    }

    #[test]
    fn a_yes_written_as_true_is_yes() {
        let text = "dataDir = '/data'\nclientPort = 2181\nskipACL = true\nforceSync = false\n";
        let config = parse(text.as_bytes(), "zoo.toml").unwrap().config;
        assert!(config.skip_acl && !config.force_sync);
    }

    #[test]
    fn an_unknown_key_of_a_table_is_told_with_its_place_and_the_nearest_one() {
        let text = "dataDir = '/data'\nclientPort = 2181\n[autopurge]\n  purgeIntervall = 1\n";
        let parsed = parse(text.as_bytes(), "zoo.toml").unwrap();
        assert_eq!(
            parsed.notices[0].to_string(),
            "line 4, column 3: autopurge.purgeIntervall is unknown and has no effect; did you \
             mean autopurge.purgeInterval?"
        );
    }
}
