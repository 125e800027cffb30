//! The ACL lists of all nodes, each kept once.
//!
//! Lists are told apart by their encoding. A list lives as long as a node uses it; its id is then
//! given out again. Two ids are special:
//!
//! * [`NULL_ACL`] is Java's index -1, the list that is null: everyone may do everything. Only the
//!   root, `/zookeeper` and `/zookeeper/quota` start with it; a client that asks for the same
//!   rights gets a list of its own.
//! * [`MISSING_ACL`] stands for an index that a snapshot used but did not define. It allows
//!   nothing, so that no lost list ever opens a node; whoever loads the snapshot refuses if one
//!   is left after the replay.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::jute::{JuteError, Reader};
use crate::proto::acl::{read_acl_vector, write_acl_vector};
use crate::proto::{Acl, AclList, perms};

/// The null list.
pub(super) const NULL_ACL: u32 = 0;
/// The list of a node whose own is not known.
pub(super) const MISSING_ACL: u32 = u32::MAX;

/// The lists in use.
pub(super) struct AclCache {
    /// By id; place 0 is the null list.
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Ids by the hash of the encoding.
    by_encoding: HashTable<u32>,
    missing: Entry,
    state: FixedState,
}

struct Entry {
    list: AclList,
    encoded: Box<[u8]>,
    /// How many nodes use it.
    users: usize,
}

impl Entry {
    fn new(list: Vec<Acl>) -> Self {
        let mut encoded = Vec::new();
        write_acl_vector(&list, &mut encoded);
        Entry { list: list.into(), encoded: encoded.into(), users: 0 }
    }
}

impl AclCache {
    pub(super) fn new(seed: u64) -> Self {
        AclCache {
            entries: vec![Some(Entry::new(vec![Acl::new(perms::ALL, b"world", b"anyone")]))],
            free: Vec::new(),
            by_encoding: HashTable::new(),
            // Not the empty list: Java reads that as no restriction.
            missing: Entry::new(vec![Acl::new(0, b"world", b"anyone")]),
            state: FixedState::with_seed(seed),
        }
    }

    /// The id of the list with that encoding, which gains a user.
    ///
    /// # Errors
    /// `raw` is no encoded vector of ACL entries.
    pub(super) fn acquire(&mut self, raw: &[u8]) -> Result<u32, JuteError> {
        let id = self.intern(raw)?;
        self.add_user(id);
        Ok(id)
    }

    /// The id of the list with that encoding, without a user so far
    /// ([`drop_unused`](Self::drop_unused)).
    pub(super) fn intern(&mut self, raw: &[u8]) -> Result<u32, JuteError> {
        if let Some(id) = self.find(raw) {
            return Ok(id);
        }
        let mut reader = Reader::unlimited(raw);
        let Some(list) = read_acl_vector(&mut reader)? else { return Ok(NULL_ACL) };
        // The bytes as we write them: a reader forgives some that are not (a count below -1).
        let entry = Entry::new(list);
        if let Some(id) = self.find(&entry.encoded) {
            return Ok(id);
        }
        let hash = self.hash(&entry.encoded);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer ACL lists than nodes")
            }
        };
        let AclCache { entries, by_encoding, state, .. } = self;
        by_encoding.insert_unique(hash, id, |&id| {
            state.hash_one(&*entries[id as usize].as_ref().expect(IN_USE).encoded)
        });
        Ok(id)
    }

    /// The list with that encoding, if a node uses it.
    pub(super) fn in_use(&self, encoded: &[u8]) -> Option<&AclList> {
        self.find(encoded).map(|id| &self.entry(id).list)
    }

    fn find(&self, encoded: &[u8]) -> Option<u32> {
        let same = |&id: &u32| *self.entry(id).encoded == *encoded;
        self.by_encoding.find(self.hash(encoded), same).copied()
    }

    fn hash(&self, encoded: &[u8]) -> u64 {
        self.state.hash_one(encoded)
    }

    fn entry(&self, id: u32) -> &Entry {
        match id {
            MISSING_ACL => &self.missing,
            _ => self.entries[id as usize].as_ref().expect(IN_USE),
        }
    }

    /// One more node uses the list.
    pub(super) fn add_user(&mut self, id: u32) {
        match id {
            NULL_ACL | MISSING_ACL => {}
            _ => self.entries[id as usize].as_mut().expect(IN_USE).users += 1,
        }
    }

    /// One node less uses the list; the last takes it along.
    pub(super) fn release(&mut self, id: u32) {
        if matches!(id, NULL_ACL | MISSING_ACL) {
            return;
        }
        let entry = self.entries[id as usize].as_mut().expect(IN_USE);
        entry.users -= 1;
        if entry.users == 0 {
            self.forget(id);
        }
    }

    /// Forgets the lists that no node uses.
    pub(super) fn drop_unused(&mut self) {
        for id in 1..self.entries.len() as u32 {
            if self.entries[id as usize].as_ref().is_some_and(|entry| entry.users == 0) {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: u32) {
        let entry = self.entries[id as usize].take().expect(IN_USE);
        match self.by_encoding.find_entry(self.hash(&entry.encoded), |&other| other == id) {
            Ok(found) => found.remove(),
            Err(_) => panic!("ACL list {id} is missing from its table"),
        };
        self.free.push(id);
    }

    pub(super) fn list(&self, id: u32) -> &AclList {
        &self.entry(id).list
    }

    pub(super) fn encoded(&self, id: u32) -> &[u8] {
        &self.entry(id).encoded
    }

    /// How many lists are in use, the null list not counted.
    pub(super) fn len(&self) -> usize {
        self.by_encoding.len()
    }

    /// Every list in use but the null list, by ascending id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let lists = self.entries.iter().enumerate().skip(1);
        lists.filter_map(|(id, entry)| Some((id as u32, &*entry.as_ref()?.encoded)))
    }
}

const IN_USE: &str = "a node's ACL list is in the cache";

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(perms: i32) -> Vec<u8> {
        let mut out = Vec::new();
        write_acl_vector(&[Acl::new(perms, b"world", b"anyone")], &mut out);
        out
    }

    #[test]
    fn a_list_lives_as_long_as_it_is_used() {
        let mut cache = AclCache::new(1);
        let read = cache.acquire(&encoded(1)).unwrap();
        assert_eq!(cache.acquire(&encoded(1)), Ok(read));
        let all = cache.acquire(&encoded(31)).unwrap();
        assert_eq!((read, all, cache.len()), (1, 2, 2));
        cache.release(read);
        assert_eq!(cache.encoded(read), encoded(1));
        cache.release(read);
        assert_eq!(cache.acquire(&encoded(7)), Ok(read));
        assert_eq!(cache.iter().map(|(id, _)| id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_null_list_is_open_and_the_missing_one_is_not() {
        let mut cache = AclCache::new(1);
        assert_eq!(cache.acquire(&[0xff; 4]), Ok(NULL_ACL));
        assert_eq!(cache.list(NULL_ACL)[0].perms, perms::ALL);
        assert_eq!((cache.list(MISSING_ACL).len(), cache.list(MISSING_ACL)[0].perms), (1, 0));
        assert_ne!(cache.acquire(&encoded(31)), Ok(NULL_ACL));
        assert_ne!(cache.acquire(&encoded(0)), Ok(MISSING_ACL));
    }

    #[test]
    fn a_negative_count_is_the_empty_list() {
        let mut cache = AclCache::new(1);
        let empty = cache.acquire(&[0; 4]).unwrap();
        assert_eq!(cache.acquire(&[0xff, 0xff, 0xff, 0xfe]), Ok(empty));
        assert_eq!(cache.encoded(empty), [0; 4]);
        assert_eq!(cache.acquire(&[0, 0, 0, 1]), Err(JuteError::Truncated));
    }
}
