//! What Apache's start script hands to the Java virtual machine, read for its `-D`.
//!
//! A variable is split into words as a shell would: at blanks, with quotes and backslashes. (The
//! script itself knows no quotes; a value without blanks means the same to both.)

/// What a list of flags comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JvmFlags {
    /// Name and value of each `-D`, in order. Without a `=` the value is empty, as Java has it.
    pub properties: Vec<(String, String)>,
    /// Everything else, which means nothing without a virtual machine.
    pub others: Vec<String>,
}

impl JvmFlags {
    /// Reads a variable's value; None if a quote is not closed.
    pub fn read(text: &str) -> Option<JvmFlags> {
        let mut flags = JvmFlags::default();
        for word in split(text)? {
            match word.strip_prefix("-D") {
                Some(property) => flags.properties.push(name_and_value(property)),
                None => flags.others.push(word),
            }
        }
        Some(flags)
    }
}

/// `name=value`, without the `-D` before it.
pub fn name_and_value(property: &str) -> (String, String) {
    let (name, value) = property.split_once('=').unwrap_or((property, ""));
    (name.trim().to_owned(), value.trim().to_owned())
}

/// The words of `text`; None if a quote is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_shells() {
        let words = |text| split(text).map(|words| words.join("|"));
        for (text, expected) in [
            ("", ""),
            ("  \t\n ", ""),
            ("-Xmx1g  -Da=b", "-Xmx1g|-Da=b"),
            (r#"-Da='b c' -Dd="e f""#, "-Da=b c|-Dd=e f"),
            (r#"-Da=b\ c "-Dq=\"x\" \n""#, r#"-Da=b c|-Dq="x" \n"#),
            ("''", ""),
            (r"'a\b'", r"a\b"),
            ("a\\", "a"),
        ] {
            assert_eq!(words(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["'", "\"", "-Da='b", r#""\"#, r#"-Da="b\""#] {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn properties_are_told_from_other_flags() {
        let flags =
            JvmFlags::read("-Xmx512m -Dzookeeper.snapCount=5 -Dx -cp /lib/a.jar -D=y").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            flags.properties,
            [pair("zookeeper.snapCount", "5"), pair("x", ""), pair("", "y")]
        );
        assert_eq!(flags.others, ["-Xmx512m", "-cp", "/lib/a.jar"]);
    }
}
