//! What a configuration comes to, told with where each value came from.

use super::notice::located;
use super::{ConfigError, ConfigErrors, Notice, NoticeKind, Origin, Parsed};

/// Where a value that nobody gave comes from.
const DEFAULT: &str = "default";

impl Parsed {
    /// Where the value of `key` came from, in words.
    pub fn source(&self, key: &str) -> String {
        match self.origins.get(key) {
            None => DEFAULT.to_owned(),
            Some(origin @ (Origin::File { .. } | Origin::Dynamic { .. })) => {
                format!("{}, {origin}", self.file_name)
            }
            Some(origin) => origin.to_string(),
        }
    }

    /// Every key in effect: `key=value`, and where the value came from.
    pub fn effective(&self) -> Vec<(String, String)> {
        let pairs = self.config.effective();
        pairs
            .into_iter()
            .map(|(key, value)| (format!("{key}={value}"), self.source(&key)))
            .collect()
    }

    /// The same for a log: what was given stands in a line of its own, all defaults share one.
    pub fn log_lines(&self) -> Vec<String> {
        let (defaults, given): (Vec<_>, Vec<_>) =
            self.effective().into_iter().partition(|(_, source)| source == DEFAULT);
        let mut lines: Vec<String> =
            given.into_iter().map(|(pair, source)| format!("{pair} ({source})")).collect();
        let defaults: Vec<String> = defaults.into_iter().map(|(pair, _)| pair).collect();
        lines.push(format!("by default: {}", defaults.join(" ")));
        lines
    }

    /// A notice as a line that names where it stands.
    pub fn told(&self, notice: &Notice) -> String {
        located(&self.file_name, notice.origin, notice)
    }

    /// The same, unless something was given that nobody knows.
    ///
    /// # Errors
    /// Every key that is unknown or has no effect the way it is written.
    pub fn strict(self) -> Result<Parsed, ConfigErrors> {
        let unknown = self.notices.iter().filter(|notice| notice.kind == NoticeKind::Unknown);
        let errors: Vec<ConfigError> = unknown
            .map(|notice| ConfigError {
                key: notice.key.clone(),
                origin: notice.origin,
                what: notice.what.clone(),
            })
            .collect();
        if errors.is_empty() {
            return Ok(self);
        }
        Err(ConfigErrors { file_name: self.file_name, errors, unknown: Vec::new() })
    }

    /// The whole as text: the configuration, a key a line with where it is from behind a `#`, then
    /// what there is to say of it.
    pub fn report(&self) -> String {
        let pairs = self.effective();
        // One long value must not push all the others' sources out of sight.
        let width = pairs.iter().map(|(pair, _)| pair.len()).filter(|len| *len <= 60).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        for (pair, source) in pairs {
            text.push_str(&format!("{pair:width$}  # {source}\n"));
        }
        let (first, rest): (Vec<&Notice>, Vec<&Notice>) = self
            .notices
            .iter()
            .partition(|n| matches!(n.kind, NoticeKind::Unknown | NoticeKind::Warning));
        for (title, notices) in [("Look at these:", first), ("Without effect:", rest)] {
            if !notices.is_empty() {
                text.push_str(&format!("\n{title}\n"));
            }
            for notice in notices {
                text.push_str(&format!("  {}\n", self.told(notice)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn the_report_names_each_value_with_its_source_and_then_every_notice() {
        let text = "dataDir=/data\nclientPort=2181\nadmin.serverPort=8081\nsnapcount=7\nforceSync=no\n\
                    DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n";
        let parsed = parse(text.as_bytes(), "zoo.cfg").unwrap();
        let report = parsed.report();
        let line = |begins: &str| {
            let line = report.lines().find(|line| line.starts_with(begins));
            let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
            words.join(" ")
        };
        assert_eq!(line("clientPort="), "clientPort=2181 # zoo.cfg, line 2");
        assert_eq!(line("dataLogDir="), "dataLogDir=/data # default");
        assert!(line("DigestAuthenticationProvider.superDigest=").contains("=*** #"), "{report}");
        let (_, told) = report.split_once("\n\n").unwrap();
        assert_eq!(
            told,
            "Look at these:\n\
             \x20 zoo.cfg: line 4: snapcount is unknown and has no effect; did you mean snapCount?\n\
             \x20 zoo.cfg: line 5: forceSync is no: acknowledged changes can be lost if the machine \
             stops\n\
             \n\
             Without effect:\n\
             \x20 zoo.cfg: line 3: admin.serverPort is known but not yet in effect in this version\n"
        );
        assert!(!report.contains("D/InIHSb7"));
    }

    #[test]
    fn strict_refuses_what_nobody_knows_and_nothing_else() {
        let base = "dataDir=/data\nclientPort=2181\nadmin.serverPort=8081\n";
        assert!(parse(base.as_bytes(), "f").unwrap().strict().is_ok());
        let text = format!("{base}snapcount=7\nzookeeper.snapCount=7\n");
        let errors = parse(text.as_bytes(), "f").unwrap().strict().unwrap_err();
        assert_eq!(errors.lines().count(), 2, "{errors}");
        assert!(errors.to_string().starts_with("f: line 4: snapcount is unknown"), "{errors}");
    }
}
