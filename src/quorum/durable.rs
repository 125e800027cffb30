//! Tickets, and what they prove: that something is on the disk.
//!
//! Who wants to acknowledge something must show a [`Durable`] of it, and only the disk's report
//! makes one, out of the [`Pending`] that was handed out with the effect. So "durable before
//! promised" is held by types: forgetting to wait does not compile.
//!
//! Tickets belong to the member, not to its role: a report for what an earlier role asked for is
//! never taken for the new role's (ZOOKEEPER-4712, C-221).

use crate::proto::Ticket;

/// Hands out tickets and knows which of them the disk has reported.
#[derive(Debug, Default)]
pub struct Tickets {
    last: Ticket,
    durable: Ticket,
}

/// Something that was given to the disk queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending<T> {
    ticket: Ticket,
    what: T,
}

/// Something that is durable. There is no other way to one than [`Tickets::redeem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable<T>(T);

impl Tickets {
    /// The ticket for the next effect of the disk's lane, which makes `what` durable.
    pub fn issue<T>(&mut self, what: T) -> (Ticket, Pending<T>) {
        self.last = self.last.next();
        (self.last, Pending { ticket: self.last, what })
    }

    /// The disk has reported everything up to `ticket`.
    ///
    /// # Panics
    /// If the disk reports what it was not asked for, or goes back.
    pub fn persisted(&mut self, ticket: Ticket) {
        assert!(ticket >= self.durable, "the disk reports its tickets in order");
        assert!(ticket <= self.last, "the disk reports what it was asked for");
        self.durable = ticket;
    }

    /// The proof, if the disk has reported it.
    pub fn redeem<T: Copy>(&self, pending: &Pending<T>) -> Option<Durable<T>> {
        (pending.ticket <= self.durable).then_some(Durable(pending.what))
    }

    /// Whether the disk has reported everything it was asked for.
    pub fn is_drained(&self) -> bool {
        self.durable == self.last
    }
}

impl<T: Copy> Durable<T> {
    /// What is durable.
    pub fn what(&self) -> T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_reported_can_be_redeemed() {
        let mut tickets = Tickets::default();
        let (first, one) = tickets.issue('a');
        let (second, two) = tickets.issue('b');
        assert_eq!(tickets.redeem(&one), None);
        tickets.persisted(first);
        assert_eq!(tickets.redeem(&one).map(|durable| durable.what()), Some('a'));
        assert_eq!(tickets.redeem(&two), None);
        assert!(!tickets.is_drained());
        tickets.persisted(second);
        assert!(tickets.redeem(&two).is_some() && tickets.is_drained());
    }

    #[test]
    #[should_panic(expected = "the disk reports what it was asked for")]
    fn a_ticket_that_was_not_issued_is_our_mistake() {
        Tickets::default().persisted(Ticket(1));
    }
}
