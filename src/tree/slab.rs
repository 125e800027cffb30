//! A slab: values under small ids, in chunks, so that growing never copies a value.
//!
//! ```text
//! id  = chunk number (20 bits) | place in the chunk (12 bits)
//! slot = Used(value) | Free(next free id)        freed ids are given out again, last in first out
//! ```
//!
//! A value that contains a pointer lends `Slot` its niche, so a slot is as large as its value.

use std::ops::{Index, IndexMut};

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Ends the list of free slots; never an id.
const NO_ID: u32 = u32::MAX;

/// Values under ids that stay theirs until they are removed.
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    first_free: u32,
    len: usize,
}

pub(super) enum Slot<T> {
    Used(T),
    Free(u32),
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab { chunks: Vec::new(), first_free: NO_ID, len: 0 }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Every id given out so far is below this.
    pub(super) fn limit(&self) -> u32 {
        match self.chunks.last() {
            None => 0,
            Some(last) => ((self.chunks.len() - 1) * CHUNK + last.len()) as u32,
        }
    }

    /// Keeps `value` and returns its id.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.first_free != NO_ID {
            let id = self.first_free;
            let slot = self.slot_mut(id);
            let Slot::Free(next) = *slot else { panic!("free slot {id} of a slab is in use") };
            *slot = Slot::Used(value);
            self.first_free = next;
            return id;
        }
        let id = self.limit();
        assert!(id < NO_ID, "a slab is full: 2^32 values");
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(Slot::Used(value)),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Slot::Used(value));
                self.chunks.push(chunk);
            }
        }
        id
    }

    /// Takes a value out; its id may be given out again.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let next = self.first_free;
        match std::mem::replace(self.slot_mut(id), Slot::Free(next)) {
            Slot::Used(value) => {
                self.first_free = id;
                self.len -= 1;
                value
            }
            Slot::Free(_) => panic!("slot {id} of a slab is freed twice"),
        }
    }

    /// The value with that id, if there is one now.
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        match self.chunks.get((id >> CHUNK_BITS) as usize)?.get(id as usize & (CHUNK - 1))? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    fn slot_mut(&mut self, id: u32) -> &mut Slot<T> {
        &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)]
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        match &self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)] {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("slot {id} of a slab is read after it was freed"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        match self.slot_mut(id) {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("slot {id} of a slab is changed after it was freed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_ids_come_again_before_new_ones() {
        let mut slab = Slab::new();
        let ids: Vec<u32> = (0..10_000).map(|n| slab.insert(Box::new(n))).collect();
        assert_eq!(ids, (0..10_000).collect::<Vec<u32>>());
        assert_eq!(*slab.remove(7), 7);
        assert_eq!(*slab.remove(9_000), 9_000);
        assert_eq!((slab.len(), slab.get(7).is_none()), (9_998, true));
        assert_eq!(slab.insert(Box::new(1)), 9_000);
        assert_eq!(slab.insert(Box::new(2)), 7);
        assert_eq!(slab.insert(Box::new(3)), 10_000);
        assert_eq!((*slab[7], *slab[9_999], slab.limit()), (2, 9_999, 10_001));
        assert!(slab.get(10_001).is_none() && slab.get(NO_ID).is_none());
    }
}
