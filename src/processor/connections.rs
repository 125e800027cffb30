//! The registry of the client connections that are open, and what the server's side asks of one.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockReadGuard};

use super::connection_queue::ConnectionQueue;
use crate::proto::ConnectionId;

/// A client's connection, as whoever answers it sees it: a socket's in production, a simulated
/// one elsewhere.
pub trait Connection {
    /// The connection's id.
    fn id(&self) -> ConnectionId;
    /// The queue through which the server speaks to the client.
    fn queue(&self) -> &ConnectionQueue;
    /// Marks the connection as one to flush; true for whoever marks it first.
    fn touch(&self) -> bool;
    /// Takes the mark away, and sends what is queued if that can be done at once; otherwise has the
    /// connection's task do it. Whoever calls holds nothing.
    fn flush(&self);
    /// Takes the mark away, and has the connection's own task send what is queued.
    fn leave_to_task(&self);
}

/// Connections by id.
pub type ConnectionMap<C> = HashMap<ConnectionId, Arc<C>, FixedState>;

/// All open client connections. A hold of the database keeps it for reading while it fills queues,
/// so whoever has it takes neither the database nor a connection.
#[derive(Debug)]
pub struct Connections<C> {
    open: RwLock<Open<C>>,
}

#[derive(Debug)]
struct Open<C> {
    map: ConnectionMap<C>,
    next: ConnectionId,
}

/// The registry, held for reading.
pub struct HeldConnections<'a, C>(RwLockReadGuard<'a, Open<C>>);

impl<C> Connections<C> {
    /// No connections.
    pub fn new(hash_seed: u64) -> Self {
        let map = HashMap::with_hasher(FixedState::with_seed(hash_seed));
        Connections { open: RwLock::new(Open { map, next: ConnectionId(1) }) }
    }

    /// A connection is opened, with an id above those of all that are open or were. It is made
    /// while the registry is held, so that whoever closes all that there are misses none with a
    /// lower id than the next.
    pub fn open(&self, make: impl FnOnce(ConnectionId) -> C) -> Arc<C> {
        let mut open = self.open.write();
        let id = open.next;
        open.next = ConnectionId(id.0 + 1);
        let connection = Arc::new(make(id));
        open.map.insert(id, connection.clone());
        connection
    }

    /// A connection is closed.
    pub fn remove(&self, id: ConnectionId) {
        self.open.write().map.remove(&id);
    }

    /// For looking several up.
    pub fn read(&self) -> HeldConnections<'_, C> {
        HeldConnections(self.open.read())
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.read().map.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, for slow work that must not hold the registry.
    pub fn all(&self) -> Vec<Arc<C>> {
        self.open.read().map.values().cloned().collect()
    }
}

impl<C> HeldConnections<'_, C> {
    /// The connection, if it is open.
    #[inline]
    pub fn get(&self, id: ConnectionId) -> Option<&Arc<C>> {
        self.0.map.get(&id)
    }

    /// Whether the connection is open.
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.0.map.contains_key(&id)
    }

    /// The id that the next connection will have.
    pub fn next_id(&self) -> ConnectionId {
        self.0.next
    }

    /// All of them in the order of their ids.
    pub fn in_order(&self) -> Vec<&Arc<C>> {
        let mut all: Vec<_> = self.0.map.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter().map(|(_, connection)| connection).collect()
    }
}
