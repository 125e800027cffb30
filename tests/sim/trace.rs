//! Trace: what happened in a run, line by line.
//!
//! A running hash of when and what is always kept; lines only when asked for. Two runs of one seed
//! have the same hash, and the same lines byte for byte.

use std::fmt::{self, Write as _};

use crate::history::Micros;

/// What becomes of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// They are kept.
    Lines,
    /// They are printed as they come.
    Print,
}

/// The lines so far, and the hash.
#[derive(Debug)]
pub struct Trace {
    keep: Keep,
    hash: u64,
    lines: String,
}

impl Trace {
    /// No line yet.
    pub fn new(keep: Keep) -> Self {
        Trace { keep, hash: 0, lines: String::new() }
    }

    /// Adds a line; it is not even formatted where nobody reads it.
    pub fn say(&mut self, at: Micros, what: fmt::Arguments<'_>) {
        self.mark(at, 1);
        if self.keep == Keep::Nothing {
            return;
        }
        let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
        if self.keep == Keep::Print {
            println!("{seconds:3}.{micros:06} {what}");
        } else {
            writeln!(self.lines, "{seconds:3}.{micros:06} {what}").expect("memory for a line");
        }
    }

    /// Adds something that has no line of its own.
    pub fn mark(&mut self, at: Micros, what: u64) {
        self.hash = (self.hash.rotate_left(5) ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what;
    }

    /// Whether anybody reads the lines.
    pub fn is_read(&self) -> bool {
        self.keep != Keep::Nothing
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> &str {
        &self.lines
    }
}
