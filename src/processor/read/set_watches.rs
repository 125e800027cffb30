//! setWatches: what a client that was away missed, and what it wants watched again.

use super::Reading;
use crate::proto::requests::SetWatches;
use crate::proto::watch_event::{NO_ZXID, write_event};
use crate::proto::{EventType, Zxid, perms};
use crate::tree::Node;
use crate::watch::Kind;

impl Reading<'_> {
    /// Appends the events the client missed since its last zxid, data list first, then exist,
    /// then child (C-131 to C-136), and sets the other watches again. A path whose event was
    /// missed is not watched. Persistent watches are set without catching up (C-134).
    ///
    /// Unlike Apache, an event about a node that the client may not read is withheld here as it
    /// is on delivery (N-11).
    pub(super) fn set_watches(&self, request: &SetWatches<'_>, out: &mut Vec<u8>) {
        // Signed, as Apache compares: a client that has seen nothing may send -1.
        let since = request.relative_zxid.to_long();
        for path in &request.data {
            let missed = |node: &Node<'_>| node.persisted().mzxid.to_long() > since;
            self.catch_up(path, EventType::NodeDataChanged, missed, Kind::Data, out);
        }
        for path in &request.exist {
            match self.db.tree.node(path) {
                Some(node) => self.missed(EventType::NodeCreated, path, Some(node), out),
                None => self.watches.add(self.connection, path, Kind::Data),
            }
        }
        for path in &request.child {
            let missed = |node: &Node<'_>| node.persisted().pzxid.to_long() > since;
            self.catch_up(path, EventType::NodeChildrenChanged, missed, Kind::Child, out);
        }
        for path in &request.persistent {
            self.watches.add(self.connection, path, Kind::Persistent);
        }
        for path in &request.persistent_recursive {
            self.watches.add(self.connection, path, Kind::PersistentRecursive);
        }
    }

    fn catch_up(
        &self,
        path: &[u8],
        changed: EventType,
        missed: impl Fn(&Node<'_>) -> bool,
        kind: Kind,
        out: &mut Vec<u8>,
    ) {
        match self.db.tree.node(path) {
            None => self.missed(EventType::NodeDeleted, path, None, out),
            Some(node) if missed(&node) => self.missed(changed, path, Some(node), out),
            Some(_) => self.watches.add(self.connection, path, kind),
        }
    }

    fn missed(&self, event: EventType, path: &[u8], node: Option<Node<'_>>, out: &mut Vec<u8>) {
        let readable =
            node.is_none_or(|node| self.policy.allows(node.acl(), perms::READ, self.identities));
        if readable {
            let zxid: Zxid = NO_ZXID;
            write_event(event, path, zxid, out);
        }
    }
}
