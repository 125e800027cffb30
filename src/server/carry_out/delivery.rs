//! From what apply changes to the watches, and from there to the connections' queues.

use super::hold::Hold;
use crate::processor::connections::Connection;
use crate::proto::watch_event::write_event;
use crate::proto::{AclList, ConnectionId, EventType, Zxid};
use crate::tree::Observer;
use crate::watch::Deliver;

/// Brings the changes of one transaction to the watches, and the events to the queues.
pub(super) struct Delivery<'h, 'a, C> {
    hold: &'h mut Hold<'a, C>,
    /// The event at hand, encoded once for all who watch.
    frame: Vec<u8>,
}

impl<'h, 'a, C> Delivery<'h, 'a, C> {
    pub(super) fn new(hold: &'h mut Hold<'a, C>) -> Self {
        Delivery { hold, frame: Vec::new() }
    }
}

impl<C: Connection> Observer for Delivery<'_, '_, C> {
    fn changed(&mut self, event: EventType, path: &[u8], acl: &AclList, zxid: Zxid) {
        self.frame.clear();
        self.hold.work += 1;
        let watches = self.hold.watches;
        let clients = watches.trigger(event, path, acl, zxid, self);
        self.hold.counts.triggered(event, clients);
    }
}

impl<C: Connection> Deliver for Delivery<'_, '_, C> {
    fn deliver(
        &mut self,
        to: ConnectionId,
        event: EventType,
        path: &[u8],
        zxid: Zxid,
        acl: &AclList,
    ) {
        if self.frame.is_empty() {
            let zxid = if self.hold.events_have_zxid { zxid } else { Zxid::from_long(-1) };
            write_event(event, path, zxid, &mut self.frame);
        }
        self.hold.work += 1;
        let Some(connection) = self.hold.connections.get(to) else { return };
        if connection.queue().event(&self.frame, acl, self.hold.policy) {
            self.hold.counts.notified(self.frame.len());
            self.hold.touched.other(connection);
        }
    }
}
