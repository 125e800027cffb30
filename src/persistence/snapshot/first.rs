//! The snapshot of an empty tree, with which a history begins.

use super::{SnapshotOptions, SnapshotWriteError, write_snapshot};
use crate::persistence::data_dir::DataDir;
use crate::persistence::disk::DiskError;
use crate::tree::{Database, SharedDatabase, TreeOptions};

/// How `snapshot.0` is written. Logs without a snapshot are refused, by Apache and by us: it comes
/// first, of a new database at its start, and of a member without data when it takes up the history
/// of its leader, be that ever so short. Not before: an empty directory may still be told to be a
/// new database's (`initialize`).
#[derive(Debug, Clone, Copy)]
pub struct FirstSnapshot {
    /// What the tree depends on.
    pub tree: TreeOptions,
    /// How snapshots are written.
    pub options: SnapshotOptions,
}

impl FirstSnapshot {
    /// Writes it.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(self, dir: &DataDir) -> Result<(), DiskError> {
        let empty = SharedDatabase::new(Database::new(self.tree));
        let capture = empty.begin_snapshot();
        let (disk, snapshot_dir) = (&**dir.disk(), dir.snapshot_dir());
        match write_snapshot(disk, snapshot_dir, &empty, capture, self.options, |_| ()) {
            Ok(_) => Ok(()),
            Err(SnapshotWriteError::Disk(error)) => Err(error),
            Err(SnapshotWriteError::CaptureLost(_) | SnapshotWriteError::HistoryChanged(_)) => {
                unreachable!("nobody else has this database")
            }
        }
    }
}
