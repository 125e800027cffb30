//! The registry of the client connections that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockReadGuard};

use super::client_connection::ClientConnection;
use crate::proto::ConnectionId;

/// Connections by id.
pub type ConnectionMap = HashMap<ConnectionId, Arc<ClientConnection>, FixedState>;

/// All open client connections. A hold of the database keeps it for reading while it fills queues,
/// so whoever has it takes neither the database nor a connection.
#[derive(Debug)]
pub struct Connections {
    map: RwLock<ConnectionMap>,
    next: AtomicU64,
}

impl Connections {
    /// No connections.
    pub fn new(hash_seed: u64) -> Self {
        let map = HashMap::with_hasher(FixedState::with_seed(hash_seed));
        Connections { map: RwLock::new(map), next: AtomicU64::new(1) }
    }

    /// An id that no other connection has or had.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A connection was opened.
    pub fn insert(&self, connection: Arc<ClientConnection>) {
        self.map.write().insert(connection.id(), connection);
    }

    /// A connection is closed.
    pub fn remove(&self, id: ConnectionId) {
        self.map.write().remove(&id);
    }

    /// For looking several up.
    pub fn read(&self) -> RwLockReadGuard<'_, ConnectionMap> {
        self.map.read()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.map.read().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, for slow work that must not hold the registry.
    pub fn all(&self) -> Vec<Arc<ClientConnection>> {
        self.map.read().values().cloned().collect()
    }
}
