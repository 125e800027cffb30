//! A value in several copies, so that threads that change it at once do not share a cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More copies than a server has busy threads.
const COPIES: usize = 16;

/// A copy for each thread. Threads may share one when there are many, so what is in it must still
/// be safe to share; what all of them hold together is the value.
#[derive(Debug)]
pub(super) struct PerThread<T>([Aligned<T>; COPIES]);

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> PerThread<T> {
    pub(super) fn new(mut copy: impl FnMut() -> T) -> Self {
        PerThread(std::array::from_fn(|_| Aligned(copy())))
    }

    /// The calling thread's copy.
    #[inline]
    pub(super) fn mine(&self) -> &T {
        &self.0[number_of_thread() % COPIES].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|copy| &copy.0)
    }
}

/// Threads are numbered in the order in which they first count something.
#[inline]
fn number_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
