//! Who watches which path, and who hears of a change.
//!
//! ```text
//!   path shards (by hash of the path)              connections (by hash of the id)
//!   "/a" ─▶ { slot 3: DATA|CHILD, slot 9: … }      slot 3 = connection 17 ─▶ { "/a", "/b" }
//! ```
//!
//! What always holds:
//! * A slot is in a path's set if and only if the path is in that connection's set; both are
//!   changed under the lock of the path's shard. (While a connection is being removed its own
//!   set is empty already.)
//! * A connection holds every kind of watch at most once per path (C-104), several kinds side by
//!   side (ZOOKEEPER-4466).
//! * A standard watch is gone once it fired, whether or not its event is delivered (C-139).
//!
//! Nothing here decides when a watch may be registered: a read that sets one does so while it
//! holds the database's read lock, and changes trigger under its write lock, so that no change
//! falls between (C-112). Paths are compared as bytes: the root's watches stand under `/`, and a
//! watch on the empty path is another one, which no change triggers (F-8).
//!
//! Locks are taken in the order path shard, then connections; neither is held while events are
//! delivered.

mod connections;
mod id_set;
mod kind;
mod paths;
mod slab;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use parking_lot::Mutex;
use smallvec::SmallVec;

pub use kind::{Kind, Kinds, WatcherType};

use crate::proto::{AclList, ConnectionId, EventType, Zxid};
use connections::{Connections, PathRef};
use paths::{PathShard, WatchedPath, slot_and_kinds, watcher};

/// As many as a [`PathRef`] can tell apart.
const SHARDS: usize = 16;
/// A look at all watches visits at most so many paths and watchers at once, or one path.
const MOST_PER_HOLD: usize = 1024;

/// Takes events on their way to connections.
pub trait Deliver {
    /// The connection `to` watches what `event` at `path` means. Whether it may know is decided
    /// here, by `acl`, the list that the event is judged by. The connection can be closed already.
    fn deliver(
        &mut self,
        to: ConnectionId,
        event: EventType,
        path: &[u8],
        zxid: Zxid,
        acl: &AclList,
    );
}

/// All watches of a server's connections.
#[derive(Debug)]
pub struct Watches {
    hasher: FixedState,
    shards: [Mutex<PathShard>; SHARDS],
    connections: Connections,
    /// Java's count; 0 if and only if there is no watch at all.
    count: AtomicUsize,
    /// How many recursive watches there are: without one no ancestor is looked at.
    recursive_count: AtomicUsize,
}

/// What `wchs` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchesSummary {
    /// Connections with a watch in the data table.
    pub connections: usize,
    /// Paths with a watch in the data table.
    pub paths: usize,
    /// Pairs of the two.
    pub watches: usize,
}

impl Watches {
    /// No watches. `seed` keeps clients from choosing paths that collide.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Watches {
            hasher,
            shards: Default::default(),
            connections: Connections::new(FixedState::with_seed(seed)),
            count: AtomicUsize::new(0),
            recursive_count: AtomicUsize::new(0),
        }
    }

    /// Registers a watch. Setting the same one twice is setting it once.
    ///
    /// The caller is the connection's own task, and does not call this once it has begun
    /// [`remove_connection`](Self::remove_connection): a watch set later would never be removed
    /// (C-130, ZOOKEEPER-3131).
    pub fn add(&self, connection: ConnectionId, path: &[u8], kind: Kind) {
        let (number, hash) = self.place(path);
        let mut shard = self.shards[number].lock();
        let index = shard.find_or_insert(&self.hasher, hash, path);
        let slot = self.connections.add(connection, PathRef::new(number, index));
        let watchers = shard.watchers_mut(index).expect("the path was just found or inserted");
        let old = watchers.get(slot).map_or(Kinds::NONE, |watcher| slot_and_kinds(watcher).1);
        let new = old.or(kind.into());
        watchers.insert(watcher(slot, new));
        self.recount(old, new);
    }

    /// A change happened: every connection that watches it is handed to `out` once, in the order
    /// of the connections' ids, and the standard watches that fired are gone.
    ///
    /// The caller calls it in the order of the changes, holding the database's write lock. A
    /// connection that is being removed meanwhile may or may not be handed over. Returns how many
    /// were.
    pub fn trigger(
        &self,
        event: EventType,
        path: &[u8],
        acl: &AclList,
        zxid: Zxid,
        out: &mut impl Deliver,
    ) -> usize {
        if self.count.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let mut hearing = SmallVec::<[ConnectionId; 16]>::new();
        self.fire(path, Kinds::hearing(event), &mut hearing);
        if event != EventType::NodeChildrenChanged
            && self.recursive_count.load(Ordering::Acquire) > 0
        {
            for ancestor in ancestors(path) {
                self.fire(ancestor, Kind::PersistentRecursive.into(), &mut hearing);
            }
        }
        hearing.sort_unstable();
        hearing.dedup();
        for &connection in &hearing {
            out.deliver(connection, event, path, zxid, acl);
        }
        hearing.len()
    }

    /// Whether the connection has a watch of that type on exactly that path (C-128). A persistent
    /// watch is not a `Children` or `Data` one, although its events include theirs.
    pub fn contains(&self, connection: ConnectionId, path: &[u8], wanted: WatcherType) -> bool {
        let (number, hash) = self.place(path);
        let shard = self.shards[number].lock();
        let kinds = shard.find(hash, path).and_then(|index| {
            let slot = self.connections.slot(connection)?;
            Some(slot_and_kinds(shard.watchers(index).get(slot)?).1)
        });
        !kinds.unwrap_or_default().and(wanted.kinds()).is_empty()
    }

    /// Removes the connection's watches of that type on exactly that path. Returns whether there
    /// were any (C-125 to C-127).
    pub fn remove(&self, connection: ConnectionId, path: &[u8], unwanted: WatcherType) -> bool {
        let (number, hash) = self.place(path);
        let mut shard = self.shards[number].lock();
        let Some(index) = shard.find(hash, path) else { return false };
        let Some(slot) = self.connections.slot(connection) else { return false };
        let watchers = shard.watchers_mut(index).expect("the path was just found");
        let Some(found) = watchers.get(slot) else { return false };
        let old = slot_and_kinds(found).1;
        let new = old.without(unwanted.kinds());
        if new.is_empty() {
            watchers.remove(slot);
            self.connections.forget(slot, PathRef::new(number, index));
            shard.remove_if_unwatched(&self.hasher, index);
        } else {
            watchers.insert(watcher(slot, new));
        }
        self.recount(old, new);
        old != new
    }

    /// Removes all watches of a connection, in time proportional to their number (C-129).
    pub fn remove_connection(&self, connection: ConnectionId) {
        let Some((slot, mut paths)) = self.connections.take(connection) else { return };
        paths.sort_unstable();
        for of_shard in paths.chunk_by(|a, b| a.shard() == b.shard()) {
            let mut shard = self.shards[of_shard[0].shard()].lock();
            for path in of_shard {
                // A watch that fired meanwhile may have taken the path with it, and the place
                // may be another path's by now: then this slot is not in its set.
                let Some(watchers) = shard.watchers_mut(path.index()) else { continue };
                let Some(found) = watchers.get(slot) else { continue };
                watchers.remove(slot);
                shard.remove_if_unwatched(&self.hasher, path.index());
                self.recount(slot_and_kinds(found).1, Kinds::NONE);
            }
        }
        self.connections.release(slot);
    }

    /// The number of watches as Java counts them (`zk_watch_count`): a connection and a path
    /// count once for the data table and once for the child table; a persistent watch is in both.
    pub fn watch_count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How many connections watch anything.
    pub fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// The numbers of `wchs`, which looks at the data table only. Visits every watch, a piece at
    /// a time: what changes between two pieces may be seen or not.
    pub fn summary(&self) -> WatchesSummary {
        let mut summary = WatchesSummary::default();
        let mut slots = HashSet::with_hasher(self.hasher.clone());
        self.by_pieces(
            |watched| {
                let before = summary.watches;
                for slot in in_data_table(watched) {
                    summary.watches += 1;
                    slots.insert(slot);
                }
                let watchers = summary.watches - before;
                summary.paths += usize::from(watchers > 0);
                watchers
            },
            || {},
        );
        summary.connections = slots.len();
        summary
    }

    /// Every watched path of the data table with its connections (`wchc`, `wchp`), in no
    /// particular order. Visits every watch, a piece at a time: what changes between two pieces
    /// may be seen or not.
    pub fn data_table(&self) -> Vec<(Box<[u8]>, Vec<ConnectionId>)> {
        let mut table = Vec::new();
        self.by_pieces(
            |watched| {
                let slots = in_data_table(watched);
                let mut ids: Vec<_> = slots.map(|slot| self.connections.id(slot)).collect();
                let watchers = ids.len();
                if watchers > 0 {
                    ids.sort_unstable();
                    table.push((watched.path.clone(), ids));
                }
                watchers
            },
            || {},
        );
        table
    }

    /// Shows every watched path to `look`, which tells how many watchers it looked at. A shard is
    /// locked for [`MOST_PER_HOLD`] of both together, or for one path; then it is let go, and
    /// `pause` is called.
    fn by_pieces(&self, mut look: impl FnMut(&WatchedPath) -> usize, mut pause: impl FnMut()) {
        for shard in &self.shards {
            let mut next = Some(0);
            while let Some(first) = next.take() {
                let shard = shard.lock();
                let mut seen = 0;
                for (index, watched) in shard.iter_from(first) {
                    if seen >= MOST_PER_HOLD {
                        next = Some(index);
                        break;
                    }
                    seen += 1 + look(watched);
                }
                drop(shard);
                pause();
            }
        }
    }

    /// Tells every watch, a shard at a time.
    #[cfg(test)]
    fn for_each(&self, mut tell: impl FnMut(ConnectionId, &[u8], Kinds)) {
        for shard in &self.shards {
            for (_, watched) in shard.lock().iter_from(0) {
                for (slot, kinds) in watched.watchers.iter().map(slot_and_kinds) {
                    tell(self.connections.id(slot), &watched.path, kinds);
                }
            }
        }
    }

    /// Notes who has a watch of `kinds` on `path`, and removes those that fire only once.
    fn fire(&self, path: &[u8], kinds: Kinds, hearing: &mut SmallVec<[ConnectionId; 16]>) {
        let (number, hash) = self.place(path);
        let mut shard = self.shards[number].lock();
        let Some(index) = shard.find(hash, path) else { return };
        let path_ref = PathRef::new(number, index);
        let watchers = shard.watchers_mut(index).expect("the path was just found");
        watchers.retain(|element| {
            let (slot, old) = slot_and_kinds(*element);
            let fired = old.and(kinds);
            if fired.is_empty() {
                return true;
            }
            let new = old.without(fired.one_shot());
            if new != old {
                self.recount(old, new);
            }
            if new.is_empty() {
                hearing.push(self.connections.forget(slot, path_ref));
                return false;
            }
            hearing.push(self.connections.id(slot));
            *element = watcher(slot, new);
            true
        });
        shard.remove_if_unwatched(&self.hasher, index);
    }

    fn recount(&self, old: Kinds, new: Kinds) {
        move_by(&self.count, old.table_entries(), new.table_entries());
        let recursive = |kinds: Kinds| usize::from(kinds.has(Kind::PersistentRecursive));
        move_by(&self.recursive_count, recursive(old), recursive(new));
    }

    fn place(&self, path: &[u8]) -> (usize, u64) {
        let hash = self.hasher.hash_one(path);
        // Not the bits that the tables use: those are the highest and the lowest.
        ((hash >> 32) as usize % SHARDS, hash)
    }
}

/// The slots of those who watch the path's data.
fn in_data_table(watched: &WatchedPath) -> impl Iterator<Item = u32> {
    let watchers = watched.watchers.iter().map(slot_and_kinds);
    watchers.filter(|(_, kinds)| kinds.in_data_table()).map(|(slot, _)| slot)
}

fn move_by(count: &AtomicUsize, old: usize, new: usize) {
    if new > old {
        count.fetch_add(new - old, Ordering::AcqRel);
    } else if old > new {
        count.fetch_sub(old - new, Ordering::AcqRel);
    }
}

/// The paths above `path`, nearest first: `/a/b` has `/a` and `/`, the root has none.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |below| {
        let slash = below.iter().rposition(|&byte| byte == b'/')?;
        (below.len() > 1).then(|| &below[..slash.max(1)])
    })
    .skip(1)
}

#[cfg(test)]
mod tests;
