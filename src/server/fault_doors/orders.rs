//! What is ordered from outside, and where that stands.

use std::path::PathBuf;

use parking_lot::Mutex;

use crate::persistence::{Disk, RealDisk};

/// What is to go wrong. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Orders {
    /// Each write takes so many milliseconds more.
    pub(super) write_ms: u64,
    /// Each sync takes so many milliseconds more.
    pub(super) sync_ms: u64,
    /// Bytes that may be written in all; no bound if `None`.
    pub(super) room: Option<u64>,
    /// The error of the system with which syncs fail.
    pub(super) sync_error: Option<i32>,
    /// What the wall clock is off by, in milliseconds.
    pub(super) wall_ms: i64,
    /// Seconds that seem to pass in a second.
    pub(super) pace: f64,
}

impl Default for Orders {
    fn default() -> Self {
        Orders { write_ms: 0, sync_ms: 0, room: None, sync_error: None, wall_ms: 0, pace: 1.0 }
    }
}

impl Orders {
    fn parse(text: &str) -> Result<Self, String> {
        let mut orders = Orders::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once('=').ok_or_else(|| format!("no '=' in {line:?}"))?;
            let wrong = || format!("{line:?} has no value that fits");
            match key.trim() {
                "disk.write_ms" => orders.write_ms = number(value).ok_or_else(wrong)?,
                "disk.sync_ms" => orders.sync_ms = number(value).ok_or_else(wrong)?,
                "disk.room" => orders.room = Some(number(value).ok_or_else(wrong)?),
                "disk.sync" => orders.sync_error = Some(number(value).ok_or_else(wrong)?),
                "clock.wall_ms" => orders.wall_ms = number(value).ok_or_else(wrong)?,
                "clock.pace" => {
                    let pace = number(value).filter(|pace: &f64| *pace >= 0.0 && pace.is_finite());
                    orders.pace = pace.ok_or_else(wrong)?;
                }
                _ => return Err(format!("{line:?} is no order")),
            }
        }
        Ok(orders)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// The file of the orders.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    last: Mutex<Last>,
}

/// The orders as they were read last.
#[derive(Debug, Default)]
struct Last {
    text: String,
    orders: Orders,
    /// Bytes written since they are these.
    written: u64,
}

impl Control {
    /// Orders that stand in `path`, or will.
    pub(super) fn new(path: PathBuf) -> Self {
        Control { path, last: Mutex::default() }
    }

    /// The present orders.
    ///
    /// # Panics
    /// If they are none: whoever runs a test of faults wants to know that it tests nothing.
    pub(super) fn orders(&self) -> Orders {
        self.look(|last| last.orders)
    }

    /// How many of `bytes` may be written; those are counted.
    pub(super) fn admit(&self, bytes: usize) -> usize {
        self.look(|last| {
            let admitted = last.left().map_or(bytes, |left| bytes.min(left as usize));
            last.written += admitted as u64;
            admitted
        })
    }

    /// How many bytes may still be written; `None` if nobody has set a bound.
    pub(super) fn room(&self) -> Option<u64> {
        self.look(|last| last.left())
    }

    fn look<T>(&self, then: impl FnOnce(&mut Last) -> T) -> T {
        let mut last = self.last.lock();
        let text = match RealDisk.read(&self.path) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.is_not_found() => String::new(),
            Err(error) => panic!("the orders of the fault doors: {error}"),
        };
        if last.text != text {
            let orders = Orders::parse(&text)
                .unwrap_or_else(|why| panic!("the orders of the fault doors: {why}"));
            *last = Last { text, orders, written: 0 };
        }
        then(&mut last)
    }
}

impl Last {
    fn left(&self) -> Option<u64> {
        self.orders.room.map(|room| room.saturating_sub(self.written))
    }
}

/// Orders for unit tests: a file, and what is written there.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;

    use super::Control;

    pub(crate) struct Ordered {
        pub(crate) control: Arc<Control>,
        pub(crate) dir: tempfile::TempDir,
    }

    impl Ordered {
        pub(crate) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let control = Arc::new(Control::new(dir.path().join("orders")));
            Ordered { control, dir }
        }

        pub(crate) fn order(&self, text: &str) {
            std::fs::write(self.dir.path().join("orders"), text).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Ordered;
    use super::*;

    #[test]
    fn orders_hold_while_they_stand_there() {
        let ordered = Ordered::new();
        assert_eq!(ordered.control.orders(), Orders::default());
        ordered.order("disk.write_ms=1\ndisk.sync_ms=2\ndisk.room=3\ndisk.sync=5\n");
        let orders = ordered.control.orders();
        let disk = (orders.write_ms, orders.sync_ms, orders.room, orders.sync_error);
        assert_eq!(disk, (1, 2, Some(3), Some(5)));
        ordered.order("clock.wall_ms=-60000\nclock.pace=0.5");
        let expected = Orders { wall_ms: -60_000, pace: 0.5, ..Orders::default() };
        assert_eq!(ordered.control.orders(), expected);
        std::fs::remove_file(ordered.dir.path().join("orders")).unwrap();
        assert_eq!(ordered.control.orders(), Orders::default());
    }

    #[test]
    fn room_is_spent_until_the_orders_change() {
        let ordered = Ordered::new();
        assert_eq!((ordered.control.room(), ordered.control.admit(1 << 30)), (None, 1 << 30));
        ordered.order("disk.room=10");
        assert_eq!(ordered.control.admit(7), 7);
        assert_eq!(ordered.control.room(), Some(3));
        assert_eq!(ordered.control.admit(7), 3);
        assert_eq!(ordered.control.admit(1), 0);
        ordered.order("disk.room=11");
        assert_eq!(ordered.control.room(), Some(11));
    }

    #[test]
    fn what_is_no_order_is_said() {
        for text in ["disk.sync_ms", "disk.sync_ms=soon", "clock.pace=-1", "clock.pace=NaN", "x=1"]
        {
            let why = Orders::parse(text).expect_err(text);
            assert!(why.contains(text), "{why}");
        }
    }
}
