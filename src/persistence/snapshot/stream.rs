//! The tree as a leader sends it behind a SNAP packet.
//!
//! ```text
//! sessions, ACLs, nodes, "/"     as in a file, without its header and its seals
//! ustring "BenWasHere"
//! ```

use super::SLASH;
use super::writer::append_head;
use crate::jute::Writer;
use crate::proto::Zxid;
use crate::tree::{CaptureLost, SharedDatabase, SnapshotCapture};

/// What ends the stream.
pub(super) const SIGNATURE: &[u8; 10] = b"BenWasHere";

/// A captured tree on its way to a learner.
pub struct SnapshotStream {
    capture: SnapshotCapture,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    Nodes,
    Nothing,
}

impl SnapshotStream {
    /// The stream of what was captured.
    pub fn new(capture: SnapshotCapture) -> Self {
        SnapshotStream { capture, next: Next::Head }
    }

    /// What the SNAP packet must say: the last transaction in the tree.
    pub fn zxid(&self) -> Zxid {
        self.capture.zxid()
    }

    /// Appends the next piece to `out`; `false` when that was the last one. A piece of nodes has a
    /// few hundred KiB, or one node; the sessions and ACL lists come in one piece.
    ///
    /// # Errors
    /// The tree was replaced: the stream cannot be completed.
    pub fn next_piece(
        &mut self,
        database: &SharedDatabase,
        out: &mut Vec<u8>,
    ) -> Result<bool, CaptureLost> {
        match self.next {
            Next::Head => {
                append_head(&self.capture, out);
                self.next = Next::Nodes;
            }
            Next::Nodes => {
                if !self.capture.next_nodes(database, out)? {
                    out.extend_from_slice(&SLASH);
                    out.put_buffer(Some(SIGNATURE));
                    self.next = Next::Nothing;
                }
            }
            Next::Nothing => {}
        }
        Ok(self.next != Next::Nothing)
    }
}
