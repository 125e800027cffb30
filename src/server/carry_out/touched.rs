//! The connections that have something to send once the database is let go.

use std::sync::Arc;

use crate::processor::connections::Connection;

/// The driver itself sends the events of so many connections in a row.
const MOST_FLUSHED: usize = 1024;

/// Those that were touched since the last flush, each once.
pub(super) struct Touched<C> {
    /// Those that were answered.
    answered: Vec<Arc<C>>,
    /// Those that only have events, or must close.
    others: Vec<Arc<C>>,
}

impl<C: Connection> Touched<C> {
    pub(super) fn new() -> Self {
        Touched { answered: Vec::new(), others: Vec::new() }
    }

    /// The connection was answered.
    #[inline]
    pub(super) fn answered(&mut self, connection: &Arc<C>) {
        if connection.touch() {
            self.answered.push(connection.clone());
        }
    }

    /// The connection has an event, or must close.
    #[inline]
    pub(super) fn other(&mut self, connection: &Arc<C>) {
        if connection.touch() {
            self.others.push(connection.clone());
        }
    }

    /// Sends what is queued: answers first, then events. Of ten thousand that watch one node most
    /// are left to their own tasks, for the driver has other clients, too.
    pub(super) fn flush(&mut self) {
        for connection in self.answered.drain(..) {
            connection.flush();
        }
        for (n, connection) in self.others.drain(..).enumerate() {
            if n < MOST_FLUSHED {
                connection.flush();
            } else {
                connection.leave_to_task();
            }
        }
    }
}
