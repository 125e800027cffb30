//! A line of the log as a JSON object.
//!
//! ```json
//! {"time":"2026-11-25T21:23:06.123456Z","level":"INFO","module":"server","message":"…","millis":3}
//! ```
//!
//! The fields of an event stand beside its message under their own names; one that has the name of
//! something that is always there gets a `_` behind it. A line is always one line.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, time as timer};
use tracing_subscriber::registry::LookupSpan;

/// Formats events as JSON.
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        // The clock of the text lines.
        timer().format_time(&mut Writer::new(&mut time))?;
        let mut line = String::from("{");
        text(&mut line, "time", &time);
        text(&mut line, "level", event.metadata().level().as_str());
        text(&mut line, "module", module(event.metadata().target()));
        let mut object = Object { line, message: String::new() };
        event.record(&mut object);
        let Object { mut line, message } = object;
        text(&mut line, "message", &message);
        writeln!(writer, "{line}}}")
    }
}

/// `zkserver::server::assembly` is `server` here, as in `log.level`.
fn module(target: &str) -> &str {
    let inner = target.strip_prefix("zkserver::").unwrap_or(target);
    inner.split("::").next().unwrap_or(inner)
}

struct Object {
    line: String,
    message: String,
}

impl Object {
    fn name(field: &Field) -> String {
        match field.name() {
            taken @ ("time" | "level" | "module" | "message") => format!("{taken}_"),
            other => other.to_owned(),
        }
    }

    fn bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        key(&mut self.line, &Self::name(field));
        // Writing to a string does not fail.
        let _ = write!(self.line, "{value}");
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            text(&mut self.line, &Self::name(field), &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        text(&mut self.line, &Self::name(field), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }
}

fn key(line: &mut String, name: &str) {
    if !line.ends_with('{') {
        line.push(',');
    }
    quoted(line, name);
    line.push(':');
}

fn text(line: &mut String, name: &str, value: &str) {
    key(line, name);
    quoted(line, value);
}

fn quoted(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => line.extend(['\\', letter]),
            '\n' => line.push_str("\\n"),
            control if control < ' ' => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_one_json_object() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let session = 0x10u64;
            tracing::info!(session, on = true, path = "/a\"b", "a \"word\"\n\u{1b}[31m and {}", 5);
            tracing::warn!(level = -1, error = %io::Error::other("x"), list = ?["y"], "second");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!(objects.len(), 2, "{text}");
        let first = &objects[0];
        assert_eq!(first["message"], "a \"word\"\n\u{1b}[31m and 5");
        assert_eq!((&first["level"], &first["module"]), (&"INFO".into(), &"server".into()));
        assert_eq!((&first["session"], &first["on"]), (&16.into(), &true.into()));
        assert_eq!(first["path"], "/a\"b");
        assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
        let second = &objects[1];
        assert_eq!((&second["level"], &second["level_"]), (&"WARN".into(), &(-1).into()));
        assert_eq!((&second["error"], &second["list"]), (&"x".into(), &"[\"y\"]".into()));
    }
}
