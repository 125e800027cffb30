//! The format of `java.util.Properties`, read as Java reads it.
//!
//! * Bytes are ISO-8859-1; lines end with `\n`, `\r` or both.
//! * Blank lines, and lines whose first visible character is `#` or `!`, do not count.
//! * A line that ends with an odd number of backslashes goes on in the next one, whose leading
//!   blanks are dropped. A comment never goes on.
//! * The key ends at the first `=`, `:` or blank that has no backslash before it. Blanks around the
//!   separator are dropped; those at the end of a value are not.
//! * `\t \n \r \f \uXXXX` are escapes; a backslash before anything else vanishes.
//! * Of entries with the same key the last counts.
//!
//! Unlike Java's, every entry knows its line, and a lone backslash that ends the file is nothing.
//! ZooKeeper trims keys and values once more; so does this reader, with Java's idea of a blank
//! (everything up to U+0020).

use std::collections::BTreeMap;

use super::notice::ConfigError;
use super::setting::Origin;

/// One setting of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, trimmed.
    pub key: String,
    /// The value, trimmed; may be empty.
    pub value: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// The line of an earlier entry with the same key, which this one replaced.
    pub replaces: Option<usize>,
}

/// The settings of `text`, in the order of the lines that count.
///
/// # Errors
/// Every line with a `\u` that is not followed by four hexadecimal digits.
pub fn read(text: &[u8]) -> Result<Vec<Property>, Vec<ConfigError>> {
    let mut properties: Vec<Property> = Vec::new();
    let mut index = BTreeMap::<String, usize>::new();
    let mut errors = Vec::new();
    for LogicalLine { bytes, number } in LogicalLines::new(text) {
        let (key, value) = split(&bytes);
        let (Some(key), Some(value)) = (unescape(key), unescape(value)) else {
            errors.push(ConfigError {
                key: String::new(),
                origin: Some(Origin::line(number)),
                what: "has a \\u that is not followed by four hexadecimal digits \
                       (a backslash itself is written \\\\)"
                    .to_owned(),
            });
            continue;
        };
        let key = trim(&key).to_owned();
        let mut property =
            Property { value: trim(&value).to_owned(), line: number, replaces: None, key };
        match index.get(&property.key) {
            Some(&at) => {
                property.replaces = Some(properties[at].line);
                properties[at] = property;
            }
            None => {
                index.insert(property.key.clone(), properties.len());
                properties.push(property);
            }
        }
    }
    properties.sort_by_key(|property| property.line);
    if errors.is_empty() { Ok(properties) } else { Err(errors) }
}

/// Java's `String.trim`.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Key and value of a logical line, still escaped.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let key_end = line
        .iter()
        .position(|&byte| {
            let ends = !escaped && (is_separator(byte) || is_blank(byte));
            escaped = byte == b'\\' && !escaped;
            ends
        })
        .unwrap_or(line.len());
    let (key, rest) = line.split_at(key_end);
    let rest = skip_blanks(rest);
    let value = match rest.split_first() {
        Some((&byte, after)) if is_separator(byte) => skip_blanks(after),
        _ => rest,
    };
    (key, value)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'=' | b':')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let n = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
    &bytes[n..]
}

/// `bytes` with its escapes resolved; None for a malformed `\u`.
///
/// Escapes name UTF-16 units, so two of them may make one character; half a pair becomes U+FFFD.
fn unescape(bytes: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let Some(&escape) = rest.next() else { break };
        units.push(match escape {
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            b'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = char::from(*rest.next()?).to_digit(16)?;
                    unit = unit << 4 | digit as u16;
                }
                unit
            }
            other => u16::from(other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}

/// A line with its continuations joined, without leading blanks; never empty.
struct LogicalLine {
    bytes: Vec<u8>,
    /// Where it begins, from 1.
    number: usize,
}

/// Cuts a file into its logical lines, comments and blank lines left out.
struct LogicalLines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a [u8]) -> Self {
        LogicalLines { rest: text, number: 0 }
    }

    /// The next line as it stands in the file, without what ended it.
    fn natural_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = end else { return Some(std::mem::take(&mut self.rest)) };
        let (line, after) = self.rest.split_at(end);
        let terminator = if after.starts_with(b"\r\n") { 2 } else { 1 };
        self.rest = &after[terminator..];
        Some(line)
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = LogicalLine;

    fn next(&mut self) -> Option<LogicalLine> {
        let mut bytes = Vec::new();
        let mut number = 0;
        loop {
            let line = skip_blanks(self.natural_line()?);
            // Java asks only whether anything was collected, so behind a line of one backslash
            // blank lines and comments are skipped again.
            if bytes.is_empty() {
                if line.is_empty() || matches!(line[0], b'#' | b'!') {
                    continue;
                }
                number = self.number;
            }
            let backslashes = line.iter().rev().take_while(|&&byte| byte == b'\\').count();
            let goes_on = backslashes % 2 == 1;
            bytes.extend_from_slice(&line[..line.len() - usize::from(goes_on)]);
            // A lone backslash that ends the file is nothing, though an empty key to Java.
            if !bytes.is_empty() && (!goes_on || self.rest.is_empty()) {
                return Some(LogicalLine { bytes, number });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[u8]) -> Vec<(String, String, usize)> {
        let all = read(text).unwrap();
        all.into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    /// One entry on line 1.
    fn one(text: &[u8]) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{all:?}");
        let (key, value, line) = all.remove(0);
        assert_eq!(line, 1);
        (key, value)
    }

    #[test]
    fn separators_are_equals_colon_and_blank() {
        for text in
            ["k=v", "k:v", "k v", "k\tv", "k\x0cv", "  k = v  ", "k  :v", "\tk \t= v\r\n", "k   v"]
        {
            assert_eq!(one(text.as_bytes()), ("k".into(), "v".into()), "{text:?}");
        }
        assert_eq!(one(b"k"), ("k".into(), "".into()));
        assert_eq!(one(b"k="), ("k".into(), "".into()));
        assert_eq!(one(b"=v"), ("".into(), "v".into()));
        assert_eq!(one(b"k==v"), ("k".into(), "=v".into()));
        assert_eq!(one(b"k = = v"), ("k".into(), "= v".into()));
        assert_eq!(one(b"k a=b:c d"), ("k".into(), "a=b:c d".into()));
        assert_eq!(one(b"a\\=b\\ c\\:d=e"), ("a=b c:d".into(), "e".into()));
        assert_eq!(one(b"a\\\\=e"), ("a\\".into(), "e".into()));
    }

    #[test]
    fn comments_and_blank_lines_count_as_lines_only() {
        let text = b"# a=1\n\n  ! b=2\r\n \t\rc=3\n#d=4\\\ne=5";
        assert_eq!(pairs(text), [("c".into(), "3".into(), 5), ("e".into(), "5".into(), 7)]);
        assert_eq!(one(b"k=v # no comment"), ("k".into(), "v # no comment".into()));
    }

    #[test]
    fn a_backslash_joins_the_next_line() {
        assert_eq!(one(b"k=a,\\\n    b,\\\r\n\tc"), ("k".into(), "a,b,c".into()));
        assert_eq!(one(b"k=a\\\n#b"), ("k".into(), "a#b".into()));
        assert_eq!(one(b"k=a\\\n\n"), ("k".into(), "a".into()));
        assert_eq!(one(b"k=a\\"), ("k".into(), "a".into()));
        assert_eq!(one(b"k=a\\\\"), ("k".into(), "a\\".into()));
        assert_eq!(
            pairs(b"k=a\\\\\nb=c"),
            [("k".into(), "a\\".into(), 1), ("b".into(), "c".into(), 2)]
        );
        // Line 1 is only a backslash: nothing was collected, so line 2 is a comment.
        assert_eq!(pairs(b"\\\n#x\nk=v"), [("k".into(), "v".into(), 3)]);
        assert_eq!(pairs(b"k=v\n\\"), [("k".into(), "v".into(), 1)]);
        // An entry's line is the one it begins on.
        assert_eq!(
            pairs(b"\nk=a\\\n\\\n b\nc=d"),
            [("k".into(), "ab".into(), 2), ("c".into(), "d".into(), 5)]
        );
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(one(br"k=a\tb\nc\rd\fe"), ("k".into(), "a\tb\nc\rd\x0ce".into()));
        assert_eq!(one(br"\u006b=\u00fc\u20AC"), ("k".into(), "\u{fc}\u{20ac}".into()));
        assert_eq!(one(br"k=\ud83d\ude00"), ("k".into(), "\u{1f600}".into()));
        assert_eq!(one(br"k=x\ud83dx"), ("k".into(), "x\u{fffd}x".into()));
        assert_eq!(one(br"k=C:\data\zoo"), ("k".into(), "C:datazoo".into()));
        assert_eq!(one(b"k=\xfc\xc3\xa4"), ("k".into(), "\u{fc}\u{c3}\u{a4}".into()));
    }

    #[test]
    fn every_malformed_unicode_escape_is_named_by_its_line() {
        let errors = read(b"a=1\nb=\\u12\nc=\\u12g4\n\\u=3\nd=\\u00e4").unwrap_err();
        assert_eq!(
            errors.iter().map(|e| e.origin).collect::<Vec<_>>(),
            [2, 3, 4].map(|n| Some(Origin::line(n)))
        );
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_knows_the_one_before() {
        let all = read(b"a=1\nb=2\na : 3\n").unwrap();
        assert_eq!(all.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((all[1].value.as_str(), all[1].line, all[1].replaces), ("3", 3, Some(1)));
        assert_eq!(all[0].replaces, None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // All short strings over the bytes that mean something.
        let alphabet = b"\\u=# \n\ra1\xff";
        for length in 0..=6 {
            for mut n in 0..alphabet.len().pow(length) {
                let mut text = Vec::new();
                for _ in 0..length {
                    text.push(alphabet[n % alphabet.len()]);
                    n /= alphabet.len();
                }
                let lines = text.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
                match read(&text) {
                    Ok(all) => assert!(all.iter().all(|p| (1..=lines).contains(&p.line))),
                    Err(errors) => assert!(!errors.is_empty()),
                }
            }
        }
    }
}
