//! How much room there is on the disks, and when to speak of it: before it runs out.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::{Kind, Sample, Value};
use crate::persistence::Room;

/// Bytes that are free, as they were found last; the four-letter words read them.
#[derive(Debug)]
pub struct FreeBytes {
    data: AtomicU64,
    log: AtomicU64,
    short: AtomicU64,
}

/// Stands for not known.
const UNKNOWN: u64 = u64::MAX;

impl Default for FreeBytes {
    fn default() -> Self {
        FreeBytes { data: UNKNOWN.into(), log: UNKNOWN.into(), short: 0.into() }
    }
}

impl FreeBytes {
    /// What was found: where snapshots lie, where logs lie, and whether either is short of room.
    pub fn set(&self, data: Option<u64>, log: Option<u64>, short: bool) {
        self.data.store(data.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.log.store(log.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.short.store(short.into(), Ordering::Relaxed);
    }

    /// As metrics; none of what is not known.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        [
            ("data_dir_free_bytes", "Bytes free where the snapshots are.", &self.data),
            ("data_log_dir_free_bytes", "Bytes free where the logs are.", &self.log),
            ("disk_reserve_reached", "1 while either is below its reserve.", &self.short),
        ]
        .into_iter()
        .filter_map(|(name, help, value)| {
            let value = value.load(Ordering::Relaxed);
            let number = i64::try_from(value).unwrap_or(i64::MAX);
            let value = (value != UNKNOWN).then_some(Value::Integer(number))?;
            Some(Sample { name, key: None, kind: Kind::Gauge, help, value })
        })
    }
}

/// What is to be kept free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Nothing is watched.
    Off,
    /// So many bytes.
    Bytes(u64),
    /// What seems right for the disk.
    Default,
}

/// The reserve of a server that was not told one, on a disk that is large enough.
const DEFAULT_RESERVE: u64 = 512 << 20;

impl Reserve {
    /// `diskReserveInMb`.
    pub fn from_mb(mb: Option<u64>) -> Self {
        match mb {
            None => Reserve::Default,
            Some(0) => Reserve::Off,
            Some(mb) => Reserve::Bytes(mb << 20),
        }
    }

    /// What is to be free in `room`, where the newest snapshot has `newest_snapshot` bytes (0 if
    /// none lies there): the next one must fit beside it, and so must the log that is written
    /// meanwhile. `None` if nothing is watched.
    pub fn bytes(self, room: Room, newest_snapshot: u64) -> Option<u64> {
        let reserve = match self {
            Reserve::Off => return None,
            Reserve::Bytes(bytes) => bytes,
            Reserve::Default => DEFAULT_RESERVE.min(room.total / 10),
        };
        Some(reserve.max(newest_snapshot.saturating_mul(2)))
    }
}

/// Whether one disk is short of room, and what was said of it.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was free when it was warned of last, while it is short.
    warned_at: Option<u64>,
}

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// There is less than the reserve, or only half of what there was at the last warning.
    Short,
    /// There is enough again.
    Enough,
}

impl Watch {
    /// Judges what is free now. A disk that was short must have a quarter more than the reserve
    /// before it counts as large enough: figures go up and down with each log.
    pub fn judge(&mut self, free: u64, reserve: u64) -> Option<Say> {
        match self.warned_at {
            None if free < reserve => {}
            Some(at) if free <= at / 2 => {}
            Some(_) if free >= reserve.saturating_add(reserve / 4) => {
                self.warned_at = None;
                return Some(Say::Enough);
            }
            _ => return None,
        }
        self.warned_at = Some(free);
        Some(Say::Short)
    }

    /// Whether it is short of room.
    pub fn is_short(&self) -> bool {
        self.warned_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_then_at_each_half_and_when_there_is_clearly_enough() {
        let mut watch = Watch::default();
        let free = [500, 100, 99, 101, 110, 90, 60, 49, 48, 25, 24, 0, 0, 124, 125, 200, 99];
        let said: Vec<_> =
            free.iter().filter_map(|free| Some((*free, watch.judge(*free, 100)?))).collect();
        let expected = [(99, Say::Short), (49, Say::Short), (24, Say::Short), (0, Say::Short)];
        assert_eq!(said[..4], expected);
        assert_eq!(said[4..], [(0, Say::Short), (125, Say::Enough), (99, Say::Short)]);
    }

    #[test]
    fn the_reserve_fits_the_disk_and_the_snapshot() {
        const MIB: u64 = 1 << 20;
        let room = |total| Room { free: 1, total };
        let bytes = |mb, total, snapshot| Reserve::from_mb(mb).bytes(room(total), snapshot);
        assert_eq!(bytes(None, 100 << 30, 0), Some(512 * MIB));
        assert_eq!(bytes(None, 1000 * MIB, 0), Some(100 * MIB));
        assert_eq!(bytes(None, 1000 * MIB, 70 * MIB), Some(140 * MIB));
        assert_eq!(bytes(Some(2), 1000 * MIB, 0), Some(2 * MIB));
        assert_eq!(bytes(Some(2), 1000 * MIB, 70 * MIB), Some(140 * MIB));
        assert_eq!(bytes(Some(0), 1000 * MIB, 70 * MIB), None);
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        let free = FreeBytes::default();
        let told = || free.samples().map(|s| (s.name, s.value)).collect::<Vec<_>>();
        assert_eq!(told(), [("disk_reserve_reached", Value::Integer(0))]);
        free.set(Some(5), Some(7), true);
        let names = ["data_dir_free_bytes", "data_log_dir_free_bytes", "disk_reserve_reached"];
        let [data, log, short] = [5, 7, 1].map(Value::Integer);
        assert_eq!(told(), [(names[0], data), (names[1], log), (names[2], short)]);
    }
}
