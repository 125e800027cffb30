//! Pins: stretches of the log that somebody reads, so that no purge takes them away meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::proto::Zxid;

/// The pins of one data directory; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
pub(super) struct Table {
    next: u64,
    from: BTreeMap<u64, Zxid>,
}

/// Keeps the log from some transaction on, until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    number: u64,
}

impl Pins {
    /// Keeps every log that can hold transactions from `from` on. Waits while a purge removes logs.
    pub fn pin(&self, from: Zxid) -> Pin {
        let mut table = self.0.lock();
        let number = table.next;
        table.next += 1;
        table.from.insert(number, from);
        Pin { pins: self.clone(), number }
    }

    /// Whether nothing is pinned.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.lock().from.is_empty()
    }

    /// No pin comes or goes while the guard is held.
    pub(super) fn hold(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

impl Table {
    /// The lowest transaction that is pinned.
    pub(super) fn lowest(&self) -> Option<Zxid> {
        self.from.values().min().copied()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.0.lock().from.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_pin_counts_until_it_is_dropped() {
        let pins = Pins::default();
        assert_eq!(pins.hold().lowest(), None);
        let (low, high) = (pins.pin(Zxid(5)), pins.pin(Zxid(9)));
        let again = pins.clone().pin(Zxid(5));
        assert_eq!(pins.hold().lowest(), Some(Zxid(5)));
        drop(low);
        assert_eq!(pins.hold().lowest(), Some(Zxid(5)));
        drop(again);
        assert_eq!(pins.hold().lowest(), Some(Zxid(9)));
        drop(high);
        assert_eq!(pins.hold().lowest(), None);
    }
}
