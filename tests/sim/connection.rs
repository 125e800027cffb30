//! A server's end of a client's connection: the connection core, and what moves its bytes.
//!
//! It does what `net::client_connection` does with a socket. The driver's flush sends at once, or,
//! as the seed has it, leaves the bytes to the connection's own task, which comes later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use zkserver::auth::Identities;
use zkserver::processor::connection::ConnectionCore;
use zkserver::processor::connection_queue::ConnectionQueue;
use zkserver::processor::connections::Connection;
use zkserver::proto::ConnectionId;

use crate::network::End;

/// Which connections have something to send, and when.
#[derive(Debug, Default)]
pub struct ToFlush {
    /// At once.
    pub now: Vec<ConnectionId>,
    /// When their tasks get to it.
    pub later: Vec<ConnectionId>,
}

/// One client's connection.
pub struct SimConnection {
    id: ConnectionId,
    /// Its end in the network.
    pub end: End,
    queue: Arc<ConnectionQueue>,
    core: Mutex<ConnectionCore>,
    touched: AtomicBool,
    flushes: Arc<Mutex<ToFlush>>,
}

impl SimConnection {
    /// A fresh connection.
    pub fn new(id: ConnectionId, end: End, flushes: Arc<Mutex<ToFlush>>) -> Self {
        let identities = Arc::new(Identities::of_peer([10, 0, 1, 1].into()));
        let queue = Arc::new(ConnectionQueue::new(id, identities.clone()));
        let core = Mutex::new(ConnectionCore::new(queue.clone(), identities));
        SimConnection { id, end, queue, core, touched: AtomicBool::new(false), flushes }
    }

    /// Its core.
    pub fn core(&self) -> MutexGuard<'_, ConnectionCore> {
        self.core.lock()
    }

    /// What is to be sent now; it counts as sent.
    pub fn take_output(core: &mut ConnectionCore) -> Option<Bytes> {
        let output = Bytes::copy_from_slice(core.output());
        core.wrote(output.len());
        (!output.is_empty()).then_some(output)
    }
}

impl Connection for SimConnection {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn queue(&self) -> &ConnectionQueue {
        &self.queue
    }

    fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }

    fn flush(&self) {
        self.touched.store(false, Ordering::Release);
        self.flushes.lock().now.push(self.id);
    }

    fn leave_to_task(&self) {
        self.touched.store(false, Ordering::Release);
        self.flushes.lock().later.push(self.id);
    }
}
