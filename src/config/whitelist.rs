//! The four-letter words that are answered.

use std::collections::BTreeSet;
use std::fmt;

/// `4lw.commands.whitelist`. `srvr` is always in it: `zkServer.sh status` needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FourLetterWhitelist {
    /// `*`: every word.
    All,
    /// These words and no other.
    Only(BTreeSet<String>),
}

/// Every word of Apache ZooKeeper.
pub const WORDS: [&str; 20] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "icfg", "isro", "mntr", "ruok",
    "srst", "srvr", "stat", "stmk", "sysp", "wchc", "wchp", "wchs",
];

impl FourLetterWhitelist {
    /// `srvr` and `words`.
    pub fn only<const N: usize>(words: [&str; N]) -> FourLetterWhitelist {
        FourLetterWhitelist::of(words)
    }

    /// A comma-separated list as it stands in the file; blanks around a word do not count, and a
    /// `*` anywhere allows all.
    pub fn parse(value: &str) -> FourLetterWhitelist {
        let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
        if words.clone().any(|word| word == "*") {
            return FourLetterWhitelist::All;
        }
        FourLetterWhitelist::of(words)
    }

    /// Whether `word` is answered.
    pub fn allows(&self, word: &str) -> bool {
        match self {
            FourLetterWhitelist::All => true,
            FourLetterWhitelist::Only(words) => words.contains(word),
        }
    }

    /// Allows `word` too.
    pub fn add(&mut self, word: &str) {
        if let FourLetterWhitelist::Only(words) = self {
            words.insert(word.to_owned());
        }
    }

    /// Listed words that do not exist.
    pub fn unknown_words(&self) -> impl Iterator<Item = &str> {
        let words = match self {
            FourLetterWhitelist::All => None,
            FourLetterWhitelist::Only(words) => Some(words),
        };
        words.into_iter().flatten().map(String::as_str).filter(|word| !WORDS.contains(word))
    }

    fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> FourLetterWhitelist {
        let mut set: BTreeSet<String> = words.into_iter().map(str::to_owned).collect();
        set.insert("srvr".to_owned());
        FourLetterWhitelist::Only(set)
    }
}

impl fmt::Display for FourLetterWhitelist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FourLetterWhitelist::All => f.write_str("*"),
            FourLetterWhitelist::Only(words) => {
                let mut separator = "";
                for word in words {
                    write!(f, "{separator}{word}")?;
                    separator = ",";
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_do_not_count_and_srvr_is_always_in() {
        let list = FourLetterWhitelist::parse(" stat , ruok,,");
        assert_eq!(list.to_string(), "ruok,srvr,stat");
        assert!(list.allows("srvr") && list.allows("stat") && !list.allows("mntr"));
        assert_eq!(FourLetterWhitelist::parse("").to_string(), "srvr");
    }

    #[test]
    fn a_star_anywhere_allows_all() {
        for value in ["*", " * ", "stat, *"] {
            assert_eq!(FourLetterWhitelist::parse(value), FourLetterWhitelist::All);
        }
        assert_eq!(FourLetterWhitelist::All.to_string(), "*");
        assert!(FourLetterWhitelist::All.allows("wchp"));
        assert_eq!(FourLetterWhitelist::All.unknown_words().count(), 0);
    }

    #[test]
    fn a_word_that_does_not_exist_is_found() {
        let list = FourLetterWhitelist::parse("stat,rouk");
        assert_eq!(list.unknown_words().collect::<Vec<_>>(), ["rouk"]);
    }
}
