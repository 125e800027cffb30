//! The numbers that are not integers: each has a type, so that none is taken for another.

use std::fmt;

/// A transaction id: the epoch in the high 32 bits, a counter in the low 32. Totally ordered,
/// unsigned in meaning, though its field on the wire is a signed long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub u64);

impl Zxid {
    /// What a server without data says its last one is: -1 (C-226).
    pub const NO_DATA: Zxid = Zxid(u64::MAX);
    /// Before every transaction.
    pub const ZERO: Zxid = Zxid(0);

    /// From its signed field.
    pub fn from_long(value: i64) -> Self {
        Zxid(value as u64)
    }

    /// As its signed field.
    pub fn to_long(self) -> i64 {
        self.0 as i64
    }

    /// The epoch of the leader that made it.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Its place within the epoch.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The id after this one.
    pub fn next(self) -> Self {
        Zxid(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// The number of a leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The last there can be: zxids are signed on the wire.
    pub const LAST: Epoch = Epoch(i32::MAX as u32);

    /// The zxid in front of the epoch's first transaction: what NEWLEADER carries. No transaction
    /// has it.
    pub fn start(self) -> Zxid {
        Zxid(u64::from(self.0) << 32)
    }

    /// The epoch after this one.
    ///
    /// # Panics
    /// At the end of all epochs.
    pub fn next(self) -> Self {
        Epoch(
            self.0
                .checked_add(1)
                .expect("an ensemble elects less than four thousand million times"),
        )
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A server's id: the N of `server.N`, and the content of `myid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub i64);

impl Sid {
    /// What a server that may not be elected names as its leader in its own vote.
    pub const NOBODY: Sid = Sid(i64::MIN);
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0)
    }
}

/// A session's id. The top byte names the server that created it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: what a new client sends, and the session of the server's own requests.
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A client connection of this process, unique over the process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A connection between a leader and a learner, as this process numbers it; never used twice. Those
/// that the process dials count from 0, those that it accepts from [`LinkId::FIRST_ACCEPTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl LinkId {
    /// The first link that a process accepts.
    pub const FIRST_ACCEPTED: LinkId = LinkId(1 << 63);

    /// Whether the other end has dialled.
    pub fn is_accepted(self) -> bool {
        self >= LinkId::FIRST_ACCEPTED
    }
}

/// The disk queue's number for something that must become durable. Reports say "everything up to this ticket is durable".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The ticket after this one.
    pub fn next(self) -> Self {
        Ticket(self.0 + 1)
    }
}
