//! Just enough JSON to print one result line.

use std::fmt::{Display, Write};

#[derive(Default)]
pub struct Obj(String);

impl Obj {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number, boolean or ready-made JSON text.
    pub fn put(&mut self, key: &str, value: impl Display) -> &mut Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        let _ = write!(self.0, "{comma}\"{key}\":{value}");
        self
    }

    pub fn float(&mut self, key: &str, value: f64, digits: usize) -> &mut Self {
        if value.is_finite() {
            self.put(key, format_args!("{value:.digits$}"))
        } else {
            self.put(key, "null")
        }
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        let mut quoted = String::from("\"");
        for c in value.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if (c as u32) < 0x20 => {
                    let _ = write!(quoted, "\\u{:04x}", c as u32);
                }
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        self.put(key, quoted)
    }

    pub fn obj(&mut self, key: &str, value: &Obj) -> &mut Self {
        self.put(key, value)
    }

    pub fn list<T: Display>(&mut self, key: &str, items: impl IntoIterator<Item = T>) -> &mut Self {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        self.put(key, format_args!("[{}]", items.join(",")))
    }
}

impl Display for Obj {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_and_escapes() {
        let mut inner = Obj::new();
        inner.float("x", 1.25, 1).float("nan", f64::NAN, 1);
        let mut outer = Obj::new();
        outer.text("s", "a\"b\n").obj("o", &inner).list("l", [1, 2]);
        assert_eq!(outer.to_string(), r#"{"s":"a\"b\u000a","o":{"x":1.2,"nan":null},"l":[1,2]}"#);
    }
}
