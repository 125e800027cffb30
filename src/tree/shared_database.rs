//! The database behind its lock.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::capture::SnapshotCapture;
use super::database::Database;

/// One writer, many readers.
///
/// Hold one guard at a time, and briefly: a second read guard of the same thread can wait for a
/// writer that waits for the first. The kind of lock is not part of the interface, so that a
/// sharded one can replace it on many cores.
pub struct SharedDatabase {
    lock: RwLock<Database>,
}

impl SharedDatabase {
    /// Puts a database behind a lock.
    pub fn new(database: Database) -> Self {
        SharedDatabase { lock: RwLock::new(database) }
    }

    /// The database without its lock.
    pub fn into_inner(self) -> Database {
        self.lock.into_inner()
    }

    /// For reading.
    pub fn read(&self) -> RwLockReadGuard<'_, Database> {
        self.lock.read()
    }

    /// For applying.
    pub fn write(&self) -> RwLockWriteGuard<'_, Database> {
        self.lock.write()
    }

    /// Ends a hold of the writer, who may come again at once: readers that wait go first.
    pub fn release(guard: RwLockWriteGuard<'_, Database>) {
        RwLockWriteGuard::unlock_fair(guard);
    }

    /// Begins an exact snapshot of the database as it is now. Writers wait only while the
    /// sessions and ACL lists are copied.
    pub fn begin_snapshot(&self) -> SnapshotCapture {
        SnapshotCapture::begin(&mut self.write())
    }
}
