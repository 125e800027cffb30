//! A set of node ids that is small while it holds few, with constant-time removal when it holds
//! many.
//!
//! A parent keeps its children in one, a session its ephemerals. Most hold a handful; some hold
//! a million, and deleting a queue's items one by one must not cost a scan each.

use hashbrown::{HashTable, hash_table};

/// A vector up to here, a table above.
const FEW: usize = 32;

/// A set of node ids in no particular order.
pub(super) enum IdSet {
    Few(Vec<u32>),
    Many(Box<HashTable<u32>>),
}

impl IdSet {
    pub(super) const fn new() -> Self {
        IdSet::Few(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            IdSet::Few(ids) => ids.len(),
            IdSet::Many(table) => table.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an id that is not in the set.
    pub(super) fn insert(&mut self, id: u32) {
        match self {
            IdSet::Few(ids) if ids.len() < FEW => ids.push(id),
            IdSet::Few(ids) => {
                let mut table = Box::new(HashTable::with_capacity(2 * FEW));
                for id in ids.drain(..).chain([id]) {
                    table.insert_unique(hash(id), id, |&id| hash(id));
                }
                *self = IdSet::Many(table);
            }
            IdSet::Many(table) => {
                table.insert_unique(hash(id), id, |&id| hash(id));
            }
        }
    }

    /// Takes an id out; whether it was in.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        match self {
            IdSet::Few(ids) => {
                let Some(place) = ids.iter().position(|&i| i == id) else { return false };
                ids.swap_remove(place);
                if ids.is_empty() {
                    *ids = Vec::new();
                }
                true
            }
            IdSet::Many(table) => {
                let Ok(found) = table.find_entry(hash(id), |&i| i == id) else { return false };
                found.remove();
                if table.len() <= FEW / 2 {
                    *self = IdSet::Few(table.iter().copied().collect());
                } else if table.len() < table.capacity() / 8 {
                    // A list of what is left must not scan what once was.
                    table.shrink_to(2 * table.len(), |&id| hash(id));
                }
                true
            }
        }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        match self {
            IdSet::Few(ids) => Iter::Few(ids.iter()),
            IdSet::Many(table) => Iter::Many(table.iter()),
        }
    }
}

impl Default for IdSet {
    fn default() -> Self {
        IdSet::new()
    }
}

/// The ids of an [`IdSet`].
#[derive(Clone)]
pub(super) enum Iter<'a> {
    Few(std::slice::Iter<'a, u32>),
    Many(hash_table::Iter<'a, u32>),
}

impl Iterator for Iter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Iter::Few(ids) => ids.next().copied(),
            Iter::Many(ids) => ids.next().copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Few(ids) => ids.size_hint(),
            Iter::Many(ids) => ids.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Ids are dense, so the product with an odd number spreads them perfectly over the buckets (its
/// low bits), and well over the table's tags (its high bits). Nobody chooses ids to collide.
fn hash(id: u32) -> u64 {
    u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_and_shrinks_without_losing_ids() {
        let mut set = IdSet::new();
        for id in 0..10_000 {
            set.insert(id);
            assert_eq!(set.len(), id as usize + 1);
        }
        assert!(!set.remove(10_000));
        for id in (0..10_000).filter(|id| id % 1000 != 0) {
            assert!(set.remove(id));
            assert!(!set.remove(id));
        }
        let mut left: Vec<u32> = set.iter().collect();
        left.sort_unstable();
        assert_eq!(left, (0..10).map(|n| n * 1000).collect::<Vec<_>>());
        assert!(matches!(set, IdSet::Few(_)));
    }

    #[test]
    fn a_shrunken_table_is_not_scanned_at_its_former_size() {
        let mut set = IdSet::new();
        (0..100_000).for_each(|id| set.insert(id));
        (100..100_000).for_each(|id| assert!(set.remove(id)));
        let IdSet::Many(table) = &set else { panic!("100 ids are many") };
        assert!(table.capacity() < 2_000, "capacity {}", table.capacity());
    }
}
