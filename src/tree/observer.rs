//! Whoever wants to know what a transaction changed, while it changes: the watches.

use crate::proto::{AclList, EventType, Zxid};

/// Told of every change, in the order in which ZooKeeper's watches fire.
///
/// | change  | told                                                              |
/// |---------|-------------------------------------------------------------------|
/// | create  | `NodeCreated` of the node, `NodeChildrenChanged` of its parent    |
/// | delete  | `NodeDeleted` of the node, `NodeChildrenChanged` of its parent    |
/// | setData | `NodeDataChanged` of the node                                     |
/// | setACL  | nothing                                                           |
///
/// A multi tells part by part, a closeSession node by node.
pub trait Observer {
    /// `event` happened to `path` (the root is `/`). `acl` is the list the node has, or had before
    /// it was deleted: who may not read it is not told (CVE-2024-23944).
    fn changed(&mut self, event: EventType, path: &[u8], acl: &AclList, zxid: Zxid);
}

/// Nobody watches: a restart, a synchronization.
impl Observer for () {
    fn changed(&mut self, _: EventType, _: &[u8], _: &AclList, _: Zxid) {}
}
