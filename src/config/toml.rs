//! A configuration file in TOML: the keys of a `zoo.cfg`, with tables in place of dots.
//!
//! ```toml
//! dataDir = "/var/lib/zookeeper"
//! [autopurge]
//! purgeInterval = 24
//! ```
//!
//! is `dataDir=/var/lib/zookeeper` and `autopurge.purgeInterval=24`. Where a key is also the
//! beginning of another one (`jute.maxbuffer` and `jute.maxbuffer.extrasize`), the longer one is
//! written in quotes: `"jute.maxbuffer.extrasize" = 4096`. Numbers and booleans stand bare and text
//! in quotes; which of them a key wants is checked where its value is judged.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::notice::{ConfigError, printable};
use super::setting::{Origin, Setting, Shape};

/// The settings of `text`, in the order of the file. Keys are as written.
///
/// # Errors
/// Bytes that are not UTF-8, everything that is not TOML, and values that no key can have. What is
/// told shows no value.
pub fn read(text: &[u8]) -> Result<Vec<Setting>, Vec<ConfigError>> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let line = text[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            let what = "is not UTF-8, which TOML is written in".to_owned();
            return Err(vec![error_at(Some(Origin::line(line)), "", what)]);
        }
    };
    let place = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        let line_begins = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[line_begins..].chars().count() + 1;
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Origin::File { line, column: Some(column) }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let told = |error: &toml::de::Error| {
            let origin = error.span().map(|span| place(span.start));
            error_at(origin, "", format!("is not TOML: {}", printable(error.message())))
        };
        return Err(errors.iter().map(told).collect());
    }
    let mut walk = Walk { place: &place, settings: Vec::new(), errors: Vec::new() };
    walk.table("", document.get_ref());
    let Walk { mut settings, mut errors, .. } = walk;
    settings.sort_by_key(|setting| setting.origin.order());
    let mut seen = BTreeMap::new();
    for setting in &settings {
        if let Some(first) = seen.insert(&setting.key, setting.origin) {
            let what = format!("stands in {first} too");
            errors.push(error_at(Some(setting.origin), &setting.key, what));
        }
    }
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

fn error_at(origin: Option<Origin>, key: &str, what: String) -> ConfigError {
    ConfigError { key: printable(key), origin, what }
}

struct Walk<'a> {
    place: &'a dyn Fn(usize) -> Origin,
    settings: Vec<Setting>,
    errors: Vec<ConfigError>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let origin = (self.place)(name.span().start);
            let key = format!("{prefix}{}", name.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&format!("{key}."), inner);
                continue;
            }
            match scalar_or_list(value.get_ref()) {
                Ok((value, shape)) => self.settings.push(Setting {
                    written: key.clone(),
                    key,
                    value,
                    shape,
                    origin,
                    replaces: None,
                }),
                Err(what) => self.errors.push(error_at(Some(origin), &key, what.to_owned())),
            }
        }
    }
}

fn scalar_or_list(value: &DeValue<'_>) -> Result<(String, Shape), &'static str> {
    let DeValue::Array(members) = value else { return scalar(value) };
    let mut list = Vec::new();
    for member in members {
        let (text, _) = scalar(member.get_ref())?;
        if text.contains(',') {
            return Err("has a comma inside a member of its list");
        }
        list.push(text);
    }
    Ok((list.join(","), Shape::List))
}

fn scalar(value: &DeValue<'_>) -> Result<(String, Shape), &'static str> {
    match value {
        DeValue::String(text) => Ok((text.trim_matches(|c| c <= ' ').to_owned(), Shape::Quoted)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| (number.to_string(), Shape::Number))
            .map_err(|_| "is a number beyond 64 bits"),
        DeValue::Float(number) => Ok((number.as_str().to_owned(), Shape::Number)),
        DeValue::Boolean(switch) => Ok((switch.to_string(), Shape::Boolean)),
        DeValue::Datetime(_) => Err("is a date, which no key can be"),
        DeValue::Array(_) => Err("is a list of lists, which no key can be"),
        DeValue::Table(_) => Err("is a list of tables, which no key can be"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(String, String, Shape, String)> {
        let all = read(text.as_bytes()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        all.into_iter().map(|s| (s.key, s.value, s.shape, s.origin.to_string())).collect()
    }

    fn errors(text: &[u8]) -> Vec<String> {
        read(text).expect_err("an error").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tables_are_dots_and_the_order_is_the_files() {
        let text = "tickTime = 2_000\ndataDir = \" /zk \"\n[autopurge]\npurgeInterval = 24\n\
                    [server]\n1 = \"zk:2888:3888\"\n[jute]\nmaxbuffer = 0xfffff\n\
                    'maxbuffer.extrasize' = 0o10\n[4lw.commands]\nwhitelist = ['ruok', 'stat']\n\
                    [connection]\nratio = 0.5\non = false\n";
        let at = |line: usize| format!("line {line}, column 1");
        let told = |key: &str, value: &str, shape, line| {
            (key.to_owned(), value.to_owned(), shape, at(line))
        };
        assert_eq!(
            settings(text),
            [
                told("tickTime", "2000", Shape::Number, 1),
                told("dataDir", "/zk", Shape::Quoted, 2),
                told("autopurge.purgeInterval", "24", Shape::Number, 4),
                told("server.1", "zk:2888:3888", Shape::Quoted, 6),
                told("jute.maxbuffer", "1048575", Shape::Number, 8),
                told("jute.maxbuffer.extrasize", "8", Shape::Number, 9),
                told("4lw.commands.whitelist", "ruok,stat", Shape::List, 11),
                told("connection.ratio", "0.5", Shape::Number, 13),
                told("connection.on", "false", Shape::Boolean, 14),
            ]
        );
    }

    #[test]
    fn a_setting_inside_a_line_has_its_column() {
        let all = settings("'ä' = { b = 1, c = 2 }");
        assert_eq!(all[1].3, "line 1, column 16");
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_place_and_without_its_value() {
        let told = errors(b"dataDir = \"/zk\"\nclientPort=2181\npassword = geheim\n");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("line 3, column 12: is not TOML: "), "{told:?}");
        assert!(!told[0].contains("geheim") && !told[0].contains('\n'), "{told:?}");
        assert!(errors(b"a = 1\na = 2")[0].starts_with("line 2, column 1: is not TOML"));
        assert_eq!(
            errors(b"a = 1\nb = '\xff'"),
            ["line 2: is not UTF-8, which TOML is written in"]
        );
    }

    #[test]
    fn a_value_that_no_key_can_have_is_refused() {
        for (text, what) in [
            ("a = 1979-05-27", "a is a date"),
            ("a = [[1]]", "a is a list of lists"),
            ("[[a]]\nb = 1", "a is a list of tables"),
            ("a = 99999999999999999999", "a is a number beyond 64 bits"),
            ("a = ['x,y']", "a has a comma"),
            ("a.b = 1\n'a.b' = 2", "a.b stands in line 1, column 3 too"),
        ] {
            let told = errors(text.as_bytes());
            assert!(told.len() == 1 && told[0].contains(what), "{told:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let text = b"a = 1\n[b.'c']\nd = [\"x\", 0x1f, 1.5, true]\ne = { f = 1979-05-27 }\n";
        for at in 0..text.len() {
            for byte in [0, b'\n', b'\\', b'=', b'.', b'[', b']', b'"', b'\'', b'{', b',', 0xff] {
                let mut changed = text.to_vec();
                changed[at] = byte;
                let _ = read(&changed);
                let _ = read(&changed[..at]);
            }
        }
        let _ = read(&[b'['; 10_000]);
        let _ = read(format!("a = {}", "[".repeat(10_000)).as_bytes());
    }
}
