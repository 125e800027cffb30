//! Deferring: small reads that wait in the queue, so that the writes behind them need not.

use bytes::Bytes;

use super::answers::PING_XID;
use super::{ConnectionCore, Surroundings};
use crate::jute::Reader;
use crate::processor::connection_queue::DeferredRead;
use crate::proto::OpCode;
use crate::proto::requests::{RequestHeader, WatchedRead};

/// Replies of deferred reads of one connection, expected bytes, at most.
pub(super) const MAX_DEFERRED_BYTES: usize = 64 << 10;

impl ConnectionCore {
    /// Leaves a read to the queue, if it is one whose reply is small as far as one can tell now.
    /// What it finds when its turn comes may have grown, but not its number.
    pub(super) fn defer(
        &mut self,
        now_ms: u64,
        header: RequestHeader,
        body: &[u8],
        around: &Surroundings,
    ) -> bool {
        let Some(op) = OpCode::from_int(header.op) else { return false };
        let mut r = Reader::new(body, around.options.max_field_bytes);
        let path = match op {
            OpCode::Ping => b"",
            OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
                match WatchedRead::read(&mut r) {
                    // Watches are set by the connection's own task, which also removes them: a
                    // watch must not outlive its connection (C-130).
                    Ok(WatchedRead { path: Some(path), watch: false }) => path,
                    _ => return false,
                }
            }
            _ => return false,
        };
        let bytes = expected_reply_bytes(op, path, around);
        if self.deferred_bytes + bytes > MAX_DEFERRED_BYTES {
            return false;
        }
        let xid = if op == OpCode::Ping { PING_XID } else { header.xid };
        let read = DeferredRead {
            after: self.submitted,
            xid,
            op,
            body: Bytes::copy_from_slice(body),
            session: self.session,
            identities: self.identities.clone(),
            received_ms: now_ms,
        };
        if self.queue.defer(read).is_err() {
            // What it would wait for has just been finished.
            self.drain();
            return false;
        }
        self.deferred_bytes += bytes;
        self.unfinished += 1;
        true
    }
}

/// What a read of `path` would have to send if it were answered now, roughly.
fn expected_reply_bytes(op: OpCode, path: &[u8], around: &Surroundings) -> usize {
    const FIXED: usize = 128;
    const NAME: usize = 32;
    if matches!(op, OpCode::Ping | OpCode::Exists) {
        return FIXED;
    }
    let db = around.database.read();
    let Some(node) = db.tree.node(path) else { return FIXED };
    FIXED + node.data().map_or(0, <[u8]>::len).max(node.num_children() * NAME)
}
