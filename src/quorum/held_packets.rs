//! Packets that wait until something else is done, in order and within bounds: for a learner whose
//! log is surveyed, from a leader whose tree is being restored.

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;

use crate::proto::QuorumPacket;

/// More bytes do not wait for one link.
pub const MOST_HELD_BYTES: usize = 64 << 20;

/// The packets.
#[derive(Debug, Default)]
pub struct HeldPackets {
    packets: VecDeque<QuorumPacket>,
    bytes: usize,
}

/// More than [`MOST_HELD_BYTES`] would wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

impl HeldPackets {
    /// Another one waits.
    ///
    /// # Errors
    /// It is too much, and the link must end: behind a hole nothing is of use.
    pub fn push(&mut self, packet: QuorumPacket) -> Result<(), TooMuch> {
        self.bytes += packet.weight();
        if self.bytes > MOST_HELD_BYTES {
            return Err(TooMuch);
        }
        self.packets.push_back(packet);
        Ok(())
    }

    /// The oldest goes on.
    pub fn pop(&mut self) -> Option<QuorumPacket> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.weight();
        Some(packet)
    }
}

impl IntoIterator for HeldPackets {
    type Item = QuorumPacket;
    type IntoIter = IntoIter<QuorumPacket>;

    fn into_iter(self) -> Self::IntoIter {
        self.packets.into_iter()
    }
}
