//! Bytes on their way to another server: small packets copied together, large ones shared.
//!
//! What always holds: the bytes come out in the order in which they were put in, and memory is given
//! back as they go.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::proto::QuorumPacket;
use crate::proto::quorum_packet::TAIL;

/// A transaction of so many bytes is worth a slice of its own.
const SHARED_FROM: usize = 4096;
/// Copied bytes are kept in pieces of about this size.
const PIECE: usize = 64 << 10;
/// Slices written at once, at most.
pub const MOST_SLICES: usize = 32;

/// Bytes that wait for a socket.
#[derive(Debug, Default)]
pub struct LinkBuffer {
    /// What is before the last piece.
    full: VecDeque<Piece>,
    /// Where small packets are copied to.
    last: Vec<u8>,
    /// How much of the first piece is written.
    written: usize,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

impl LinkBuffer {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a packet.
    pub fn push(&mut self, packet: &QuorumPacket) {
        let before = self.last.len();
        match packet {
            QuorumPacket::Proposal { txn, .. } | QuorumPacket::Inform { txn, .. }
                if txn.len() >= SHARED_FROM =>
            {
                packet.write_head(&mut self.last);
                self.len += self.last.len() - before + txn.len() + TAIL.len();
                self.close_last();
                self.full.push_back(Piece::Shared(txn.clone()));
                self.last.extend_from_slice(&TAIL);
            }
            packet => {
                packet.write(&mut self.last);
                self.len += self.last.len() - before;
                if self.last.len() >= PIECE {
                    self.close_last();
                }
            }
        }
    }

    /// Adds everything that `other` has, which is empty then.
    pub fn append(&mut self, other: &mut LinkBuffer) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        assert!(other.written == 0, "what is being written is not moved");
        self.len += std::mem::take(&mut other.len);
        if other.full.is_empty() && self.last.len() + other.last.len() <= PIECE {
            self.last.append(&mut other.last);
            return;
        }
        self.close_last();
        self.full.append(&mut other.full);
        std::mem::swap(&mut self.last, &mut other.last);
    }

    /// Fills `slices` with what comes next, and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.full.iter().map(Piece::bytes);
        let pieces = pieces.chain((!self.last.is_empty()).then_some(&self.last[..]));
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            let skipped = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece[skipped..]);
            filled += 1;
        }
        filled
    }

    /// The next `count` bytes were written.
    pub fn wrote(&mut self, count: usize) {
        assert!(count <= self.len, "{count} bytes were written of {}", self.len);
        self.len -= count;
        if self.len == 0 {
            self.full.clear();
            self.last.clear();
            // A burst's memory is not kept.
            self.last.shrink_to(PIECE);
            self.written = 0;
            return;
        }
        self.written += count;
        while let Some(first) = self.full.front()
            && self.written >= first.bytes().len()
        {
            self.written -= first.bytes().len();
            self.full.pop_front();
        }
    }

    fn close_last(&mut self) {
        if !self.last.is_empty() {
            self.full.push_back(Piece::Copied(std::mem::take(&mut self.last)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Zxid;

    fn proposal(zxid: u64, bytes: usize) -> QuorumPacket {
        QuorumPacket::Proposal { zxid: Zxid(zxid), txn: vec![zxid as u8; bytes].into() }
    }

    fn ack(zxid: u64) -> QuorumPacket {
        QuorumPacket::Ack { zxid: Zxid(zxid) }
    }

    /// Everything, taken so many bytes at a time.
    fn drain(buffer: &mut LinkBuffer, at_a_time: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !buffer.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = buffer.slices(&mut slices);
            assert!(filled > 0 && slices[..filled].iter().all(|slice| !slice.is_empty()));
            let before = out.len();
            for slice in &slices[..filled] {
                let left = at_a_time - (out.len() - before);
                out.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            buffer.wrote(out.len() - before);
        }
        assert_eq!(buffer.slices(&mut [IoSlice::new(&[]); 3]), 0);
        out
    }

    fn plain(packets: &[QuorumPacket]) -> Vec<u8> {
        let mut out = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut out));
        out
    }

    #[test]
    fn small_and_large_packets_come_out_as_they_were_put_in() {
        let mut packets = vec![ack(1), proposal(2, 10), proposal(3, SHARED_FROM), ack(4)];
        packets.extend((5..9).map(|n| proposal(n, PIECE - 20 + 10 * n as usize)));
        packets.extend((9..3000).map(ack));
        for at_a_time in [1, 7, 4000, usize::MAX] {
            let mut buffer = LinkBuffer::default();
            packets.iter().for_each(|packet| buffer.push(packet));
            assert_eq!(buffer.len(), plain(&packets).len());
            assert_eq!(drain(&mut buffer, at_a_time), plain(&packets), "{at_a_time}");
        }
    }

    #[test]
    fn what_is_appended_comes_behind_what_is_half_written() {
        let sizes = [1, 10, SHARED_FROM, SHARED_FROM - 1, PIECE, 3];
        for first in sizes {
            for second in sizes {
                let (mut buffer, mut other) = (LinkBuffer::default(), LinkBuffer::default());
                buffer.push(&proposal(1, first));
                buffer.wrote(5);
                other.push(&proposal(2, second));
                other.push(&ack(3));
                buffer.append(&mut other);
                buffer.push(&ack(4));
                assert!(other.is_empty() && drain(&mut other, 1).is_empty());
                other.push(&ack(9));
                assert_eq!(drain(&mut other, 1), plain(&[ack(9)]));
                let all = plain(&[proposal(1, first), proposal(2, second), ack(3), ack(4)]);
                assert_eq!(drain(&mut buffer, 100), all[5..]);
            }
        }
    }
}
