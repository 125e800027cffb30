//! What is logged, and in which form.

use std::fmt;

use super::suggest::nearest;
use super::values::Allowed;

/// How much is logged. The order is from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// Why the server ends.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happens, seldom enough to be read.
    Info,
    /// What happens to single connections.
    Debug,
    /// Everything.
    Trace,
}

const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

/// The modules whose level can be set: the folders of the source.
const MODULES: [&str; 10] = [
    "auth",
    "net",
    "operator",
    "persistence",
    "processor",
    "quorum",
    "server",
    "session",
    "tree",
    "watch",
];

/// `log.level`: a level for all, and other ones for some modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevels {
    /// Where nothing else is said.
    pub all: Level,
    /// Module and level.
    pub modules: Vec<(String, Level)>,
}

impl Default for LogLevels {
    fn default() -> LogLevels {
        LogLevels { all: Level::Info, modules: Vec::new() }
    }
}

impl LogLevels {
    /// Reads a list with commas: a level for all, `module=level` for one; the later counts.
    pub fn parse(value: &str) -> Result<LogLevels, Allowed> {
        let mut levels = LogLevels::default();
        for part in value.split(',').map(str::trim) {
            match part.split_once('=') {
                None => levels.all = level(part)?,
                Some((module, word)) => {
                    let module = module.trim();
                    if !MODULES.contains(&module) {
                        let hint = nearest(module, MODULES.into_iter());
                        let hint = hint.map(|name| format!(" (did you mean {name}?)"));
                        let hint = hint.unwrap_or_default();
                        return Err(format!("for modules out of {}{hint}", MODULES.join(", ")));
                    }
                    levels.modules.retain(|(name, _)| name != module);
                    levels.modules.push((module.to_owned(), level(word.trim())?));
                }
            }
        }
        Ok(levels)
    }
}

fn level(word: &str) -> Result<Level, Allowed> {
    let found = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, level)| *level).ok_or_else(|| {
        "error, warn, info, debug, trace or off, and behind commas module=level".to_owned()
    })
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LEVELS.iter().find(|(_, level)| level == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl fmt::Display for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.all)?;
        self.modules.iter().try_for_each(|(module, level)| write!(f, ",{module}={level}"))
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Reads `text` or `json`.
    pub fn parse(value: &str) -> Result<LogFormat, Allowed> {
        match value.to_ascii_lowercase().as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("text or json".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_for_all_and_others_for_some() {
        let levels = LogLevels::parse("WARN, persistence=debug,net=off, net = trace").unwrap();
        assert_eq!(levels.to_string(), "warn,persistence=debug,net=trace");
        assert_eq!(LogLevels::parse("net=debug").unwrap().to_string(), "info,net=debug");
        assert_eq!(LogLevels::parse(&levels.to_string()), Ok(levels));
    }

    #[test]
    fn a_wrong_word_is_told_with_what_is_allowed() {
        for (value, what) in [
            ("", "error, warn"),
            ("verbose", "error, warn"),
            ("info,", "error, warn"),
            ("net=", "error, warn"),
            ("persistance=debug", "did you mean persistence?"),
            ("org.apache=debug", "out of auth, net"),
        ] {
            assert!(LogLevels::parse(value).expect_err(value).contains(what), "{value}");
        }
        assert!(LogFormat::parse("xml").is_err());
        assert_eq!(LogFormat::parse("JSON"), Ok(LogFormat::Json));
    }

    #[test]
    fn every_module_is_a_folder_of_the_source() {
        let source = include_str!("../lib.rs");
        for module in MODULES {
            assert!(source.contains(&format!("pub mod {module};")), "{module}");
        }
    }
}
