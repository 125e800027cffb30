//! Watch events: the only messages that a server sends unasked.

use super::ids::Zxid;
use crate::jute::Writer;

/// What happened to a watched node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum EventType {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

/// The xid of every event.
pub const EVENT_XID: i32 = -1;
/// The header zxid of events that setWatches catches up with.
pub const NO_ZXID: Zxid = Zxid(u64::MAX);
const SYNC_CONNECTED: i32 = 3;

/// Appends the whole frame of an event: header with xid -1 and the causing transaction's `zxid`,
/// then type, state and path.
pub fn write_event(event: EventType, path: &[u8], zxid: Zxid, out: &mut Vec<u8>) {
    out.put_int(16 + 12 + path.len() as i32);
    out.put_int(EVENT_XID);
    out.put_long(zxid.to_long());
    out.put_int(0);
    out.put_int(event as i32);
    out.put_int(SYNC_CONNECTED);
    out.put_ustring(path);
}
