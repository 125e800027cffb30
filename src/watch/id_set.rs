//! IdSet: a set of small numbers in 16 bytes, for the many that are small and the few that are
//! huge.
//!
//! Watches need two kinds of sets: a path's watchers, and a connection's paths. Nearly all have
//! one element, some have thousands, and none may be slow to take an element out of, or closing
//! a thousand connections that watch the same thousand nodes would take quadratic time.
//!
//! An element is a number that is not 0, of which all but the lowest `TAG_BITS` bits are its key;
//! the tag travels with it. With `TAG_BITS` 0 the element is the key.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// As many as make the smallest block an allocator usually hands out, 24 bytes.
const FEW: usize = 6;

#[derive(Debug, Default)]
pub(super) enum IdSet<const TAG_BITS: u32> {
    #[default]
    Empty,
    One(u32),
    /// 0 marks a free place.
    Few(Box<[u32; FEW]>),
    Many(Box<HashTable<u32>>),
}

const _: () = assert!(size_of::<IdSet<0>>() == 16);

fn hash(key: u32) -> u64 {
    // Keys are our own small indices: nobody outside can choose them to collide.
    FixedState::with_seed(0).hash_one(key)
}

impl<const TAG_BITS: u32> IdSet<TAG_BITS> {
    fn key(element: u32) -> u32 {
        element >> TAG_BITS
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, IdSet::Empty)
    }

    /// The element with that key.
    pub(super) fn get(&self, key: u32) -> Option<u32> {
        let has_key = |&element: &u32| element != 0 && Self::key(element) == key;
        match self {
            IdSet::Empty => None,
            IdSet::One(element) => Some(*element).filter(has_key),
            IdSet::Few(places) => places.iter().copied().find(has_key),
            IdSet::Many(table) => table.find(hash(key), |e| Self::key(*e) == key).copied(),
        }
    }

    /// Puts an element in, in the place of one with the same key. Returns whether there was none.
    pub(super) fn insert(&mut self, element: u32) -> bool {
        assert_ne!(element, 0, "0 marks a free place in a set of ids");
        let key = Self::key(element);
        match self {
            IdSet::Empty => *self = IdSet::One(element),
            IdSet::One(one) if Self::key(*one) == key => {
                *one = element;
                return false;
            }
            IdSet::One(one) => {
                let mut places = Box::new([0; FEW]);
                places[0] = *one;
                places[1] = element;
                *self = IdSet::Few(places);
            }
            IdSet::Few(places) => {
                if let Some(old) = places.iter_mut().find(|e| **e != 0 && Self::key(**e) == key) {
                    *old = element;
                    return false;
                }
                if let Some(free) = places.iter_mut().find(|e| **e == 0) {
                    *free = element;
                } else {
                    let mut table = HashTable::with_capacity(FEW + 1);
                    for e in places.iter().copied().chain([element]) {
                        table.insert_unique(hash(Self::key(e)), e, |e| hash(Self::key(*e)));
                    }
                    *self = IdSet::Many(Box::new(table));
                }
            }
            IdSet::Many(table) => {
                if let Some(old) = table.find_mut(hash(key), |e| Self::key(*e) == key) {
                    *old = element;
                    return false;
                }
                table.insert_unique(hash(key), element, |e| hash(Self::key(*e)));
            }
        }
        true
    }

    /// Takes the element with that key out. Returns whether there was one.
    pub(super) fn remove(&mut self, key: u32) -> bool {
        match self {
            IdSet::Many(table) => {
                let Ok(found) = table.find_entry(hash(key), |e| Self::key(*e) == key) else {
                    return false;
                };
                found.remove();
                self.shrink();
                true
            }
            IdSet::Empty | IdSet::One(_) | IdSet::Few(_) => {
                let mut found = false;
                self.retain(|element| {
                    let is_it = Self::key(*element) == key;
                    found |= is_it;
                    !is_it
                });
                found
            }
        }
    }

    /// Keeps the elements of which `keep` says so; it may change their tags, not their keys.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut u32) -> bool) {
        match self {
            IdSet::Empty => {}
            IdSet::One(element) => {
                if !keep(element) {
                    *self = IdSet::Empty;
                }
            }
            IdSet::Few(places) => {
                for element in places.iter_mut().filter(|element| **element != 0) {
                    if !keep(element) {
                        *element = 0;
                    }
                }
            }
            IdSet::Many(table) => table.retain(keep),
        }
        self.shrink();
    }

    /// Every element, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (places, table): (&[u32], _) = match self {
            IdSet::Empty => (&[], None),
            IdSet::One(element) => (std::slice::from_ref(element), None),
            IdSet::Few(places) => (&places[..], None),
            IdSet::Many(table) => (&[], Some(table)),
        };
        let listed = places.iter().copied().filter(|element| *element != 0);
        listed.chain(table.into_iter().flat_map(|table| table.iter().copied()))
    }

    /// Gives memory back that far fewer elements do not need. Leaves some room between the sizes
    /// at which a form is taken and left, or a set that hovers there would change it each time.
    fn shrink(&mut self) {
        match self {
            IdSet::Few(places) => {
                let mut left = places.iter().copied().filter(|element| *element != 0);
                let first_two = (left.next(), left.next());
                match first_two {
                    (None, _) => *self = IdSet::Empty,
                    (Some(element), None) => *self = IdSet::One(element),
                    (Some(_), Some(_)) => {}
                }
            }
            IdSet::Many(table) if table.len() <= FEW / 2 => {
                let mut places = [0; FEW];
                for (place, element) in places.iter_mut().zip(table.iter()) {
                    *place = *element;
                }
                *self = IdSet::Few(Box::new(places));
                self.shrink();
            }
            IdSet::Many(table) if table.len() < table.capacity() / 8 => {
                table.shrink_to(table.len() * 2, |e| hash(Self::key(*e)));
            }
            IdSet::Empty | IdSet::One(_) | IdSet::Many(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_from_key_to_tag_whatever_its_size() {
        let mut random = 88172645463325252_u64;
        for keys in [1, 2, 3, 7, 8, 40, 3000] {
            let mut set = IdSet::<4>::default();
            let mut model = BTreeMap::new();
            for step in 0..20_000 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let key = (random >> 20) as u32 % keys;
                let tag = 1 + (random >> 8) as u32 % 15;
                match random % 5 {
                    // Grow for a while, then shrink.
                    0..=1 => {
                        let is_new = model.insert(key, tag).is_none();
                        assert_eq!(set.insert(key << 4 | tag), is_new);
                    }
                    2 if step % 7000 < 5000 => {}
                    2..=3 => assert_eq!(set.remove(key), model.remove(&key).is_some()),
                    _ if random % 100 == 4 => {
                        set.retain(|element| {
                            *element |= 1;
                            *element & 4 != 0
                        });
                        model.retain(|_, tag| {
                            *tag |= 1;
                            *tag & 4 != 0
                        });
                    }
                    _ => assert_eq!(set.get(key), model.get(&key).map(|tag| key << 4 | tag)),
                }
                assert_eq!(set.is_empty(), model.is_empty());
            }
            let mut elements: Vec<u32> = set.iter().collect();
            elements.sort_unstable();
            let expected: Vec<u32> = model.iter().map(|(key, tag)| key << 4 | tag).collect();
            assert_eq!(elements, expected);
        }
    }

    #[test]
    fn a_set_that_was_huge_does_not_stay_so() {
        let mut set = IdSet::<0>::default();
        for key in 1..=100_000 {
            set.insert(key);
        }
        for key in 101..=100_000 {
            set.remove(key);
        }
        match &set {
            IdSet::Many(table) => assert!(table.capacity() < 2000, "{}", table.capacity()),
            other => panic!("a hundred elements are many, not {other:?}"),
        }
        set.retain(|element| *element == 7);
        assert!(matches!(set, IdSet::One(7)));
    }
}
