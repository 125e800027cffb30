//! Agenda: what will happen, in the order of its virtual time.
//!
//! Time jumps to the next entry. Entries of one moment come in an order that the seed draws.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::history::Micros;
use crate::random::Random;

/// Entries to come.
#[derive(Debug)]
pub struct Agenda<E> {
    now: Micros,
    heap: BinaryHeap<Entry<E>>,
    random: Random,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Micros,
    /// Drawn, so that nothing can count on who was first to ask.
    rank: u32,
    /// Makes the order total.
    number: u64,
    what: E,
}

impl<E> Agenda<E> {
    /// An empty one, at the beginning of time.
    pub fn new(random: Random) -> Self {
        Agenda { now: 0, heap: BinaryHeap::new(), random, added: 0 }
    }

    /// The present moment.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Adds an entry; what is past already comes at once.
    pub fn add(&mut self, at: Micros, what: E) {
        let (at, rank) = (at.max(self.now), self.random.next() as u32);
        self.added += 1;
        self.heap.push(Entry { at, rank, number: self.added, what });
    }

    /// Adds an entry `after` so many microseconds.
    pub fn after(&mut self, after: Micros, what: E) {
        self.add(self.now.saturating_add(after), what);
    }

    /// The next entry before `end`; time is there then. At the end, time is the end.
    pub fn next(&mut self, end: Micros) -> Option<E> {
        if self.heap.peek().is_none_or(|entry| entry.at >= end) {
            self.now = self.now.max(end);
            return None;
        }
        let entry = self.heap.pop().expect("peeked");
        self.now = entry.at;
        Some(entry.what)
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (Micros, u32, u64) {
        (self.at, self.rank, self.number)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The heap has its greatest on top; that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[test]
fn time_jumps_to_the_next_entry_and_ends_at_the_end() {
    let mut agenda = Agenda::new(Random::new(1));
    agenda.add(5_000_000, 'c');
    agenda.add(7, 'a');
    assert_eq!((agenda.next(9_000_000), agenda.now()), (Some('a'), 7));
    agenda.after(1, 'b');
    agenda.add(3, 'x');
    assert_eq!((agenda.next(9_000_000), agenda.now()), (Some('x'), 7), "the past comes at once");
    assert_eq!((agenda.next(9_000_000), agenda.now()), (Some('b'), 8));
    assert_eq!((agenda.next(1_000), agenda.now()), (None, 1_000));
    assert_eq!((agenda.next(9_000_000), agenda.now()), (Some('c'), 5_000_000));
    assert_eq!((agenda.next(9_000_000), agenda.now()), (None, 9_000_000));
}

#[test]
fn entries_of_one_moment_come_in_the_seeds_order() {
    let order = |seed| {
        let mut agenda = Agenda::new(Random::new(seed));
        (0..8).for_each(|n| agenda.add(1, n));
        std::iter::from_fn(|| agenda.next(2)).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert!((2..6).any(|seed| order(seed) != order(1)));
}
