//! One setting: a key, its value, and where it was given.

use std::fmt;

/// A setting as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key as the table of keys has it; where the table has none, as it was written.
    pub key: String,
    /// The key as it was written, for what is told: an alias, or `-D` and the name of a property.
    pub written: String,
    /// The value, trimmed; may be empty.
    pub value: String,
    /// How the value was written.
    pub shape: Shape,
    /// Where it stands.
    pub origin: Origin,
    /// The line of an earlier entry of the file with the same key, which this one replaced.
    pub replaces: Option<usize>,
}

/// Where a setting was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the file.
    File {
        /// From 1.
        line: usize,
        /// In characters from 1, where a line may hold several settings.
        column: Option<usize>,
    },
    /// In the file that `dynamicConfigFile` names.
    Dynamic {
        /// From 1.
        line: usize,
    },
    /// In `SERVER_JVMFLAGS` or `JVMFLAGS`.
    Variable(&'static str),
    /// Among the arguments of the program.
    CommandLine,
}

impl Origin {
    /// A line of a `zoo.cfg`.
    pub fn line(line: usize) -> Origin {
        Origin::File { line, column: None }
    }

    /// For a stable sort into the order in which things are told: the file's first.
    pub fn order(self) -> (u8, usize, usize) {
        match self {
            Origin::File { line, column } => (0, line, column.unwrap_or_default()),
            Origin::Dynamic { line } => (1, line, 0),
            Origin::Variable(_) => (2, 0, 0),
            Origin::CommandLine => (3, 0, 0),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { line, column: None } => write!(f, "line {line}"),
            Origin::File { line, column: Some(column) } => {
                write!(f, "line {line}, column {column}")
            }
            Origin::Dynamic { line } => write!(f, "dynamicConfigFile, line {line}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// How a value was written. Only TOML tells text from numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Where everything is text.
    Untyped,
    /// Text in quotes.
    Quoted,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list, its members joined with commas.
    List,
}
