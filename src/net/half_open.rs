//! Connections of which it is not known yet whose they are: few, and the oldest makes room.
//!
//! Whoever belongs to an ensemble says who it is with its first bytes, so the oldest of many does not
//! belong to it. To turn the newest away instead would let those who say nothing keep everybody out.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// So many, at once.
const MOST: usize = 64;

/// The half-open connections of a port; of each it keeps what it takes to end it.
#[derive(Debug)]
pub struct HalfOpen<T>(Mutex<Waiting<T>>);

#[derive(Debug)]
struct Waiting<T> {
    made: u64,
    /// With their numbers, the oldest first.
    all: VecDeque<(u64, T)>,
}

impl<T> Default for HalfOpen<T> {
    fn default() -> Self {
        HalfOpen(Mutex::new(Waiting { made: 0, all: VecDeque::new() }))
    }
}

impl<T> HalfOpen<T> {
    /// Enters one more, which `make` makes of its number before anybody can say that it is
    /// [no longer](Self::leaves) half-open. Returns the oldest if it has to make room: it is to be
    /// ended.
    pub fn enters(&self, make: impl FnOnce(u64) -> T) -> Option<T> {
        let mut waiting = self.0.lock();
        let oldest = match waiting.all.len() >= MOST {
            true => waiting.all.pop_front().map(|(_, oldest)| oldest),
            false => None,
        };
        waiting.made += 1;
        let number = waiting.made;
        waiting.all.push_back((number, make(number)));
        oldest
    }

    /// It has said who it is, or is gone. False if it has made room before: then it ends.
    pub fn leaves(&self, number: u64) -> bool {
        let mut waiting = self.0.lock();
        let before = waiting.all.len();
        waiting.all.retain(|(other, _)| *other != number);
        waiting.all.len() < before
    }

    /// Takes all of them: they are to be ended.
    pub fn take_all(&self) -> impl Iterator<Item = T> + use<T> {
        let all = std::mem::take(&mut self.0.lock().all);
        all.into_iter().map(|(_, one)| one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_still_half_open_makes_room() {
        let half_open = HalfOpen::default();
        for n in 1..=MOST as u64 {
            assert_eq!(half_open.enters(|number| number), None, "{n}");
        }
        assert!(half_open.leaves(1) && !half_open.leaves(1));
        assert_eq!(half_open.enters(|number| number), None);
        assert_eq!(half_open.enters(|number| number), Some(2));
        assert!(!half_open.leaves(2));
        assert_eq!(half_open.take_all().count(), MOST);
        assert_eq!(half_open.take_all().count(), 0);
    }
}
