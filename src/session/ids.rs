//! The sequence of session ids a server hands out.

use crate::proto::SessionId;

/// The bits below the server's id.
const SEQUENCE_BITS: u32 = 56;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

/// Ids `server id << 56 | low 40 bits of the start in ms << 16`, then one more per session.
///
/// Java takes the low bits from a monotonic clock, so that a rebooted machine can hand out ids of
/// living sessions. We take the wall clock, and the tracker skips ids it knows besides (C-028).
#[derive(Debug)]
pub(super) struct SessionIds {
    server_id: u8,
    sequence: u64,
}

impl SessionIds {
    /// The sequence of a server that started at `start_wall_ms`.
    pub(super) fn new(server_id: u8, start_wall_ms: i64) -> Self {
        // Unsigned all the way: a signed shift would let the clock's bits run into the server's
        // id (ZOOKEEPER-1622).
        SessionIds { server_id, sequence: ((start_wall_ms as u64) << 24) >> 8 }
    }

    /// The next id; never 0, which means no session, and never the owner that marks containers.
    pub(super) fn next(&mut self) -> SessionId {
        loop {
            let id = (u64::from(self.server_id) << SEQUENCE_BITS | self.sequence) as i64;
            self.sequence = (self.sequence + 1) & SEQUENCE_MASK;
            if id != 0 && id != i64::MIN {
                return SessionId(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_server_clock_and_count() {
        let mut ids = SessionIds::new(1, 0x17a6e6);
        assert_eq!(ids.next(), SessionId(0x0100_0017_a6e6_0000));
        assert_eq!(ids.next(), SessionId(0x0100_0017_a6e6_0001));
    }

    /// C-028: only the low 40 bits of the clock are taken.
    #[test]
    fn the_clock_never_reaches_the_top_byte() {
        for clock in [i64::MAX, -1, i64::MIN, 0xffff_ff00_0000_0000_u64 as i64] {
            let id = SessionIds::new(7, clock).next().0 as u64;
            assert_eq!(id >> 56, 7);
        }
    }

    /// C-029: the top byte is unsigned.
    #[test]
    fn server_ids_above_127_make_negative_ids() {
        let mut ids = SessionIds::new(200, 1_700_000_000_000);
        let id = ids.next();
        assert!(id.0 < 0);
        assert_eq!((id.0 as u64) >> 56, 200);
        assert_eq!(ids.next().0, id.0 + 1);
    }

    #[test]
    fn neither_no_session_nor_the_container_mark_is_handed_out() {
        assert_eq!(SessionIds::new(0, 0).next(), SessionId(1));
        assert_eq!(SessionIds::new(128, 0).next(), SessionId(i64::MIN + 1));
        // Also after the sequence has run around.
        let mut ids = SessionIds { server_id: 0, sequence: SEQUENCE_MASK };
        assert_eq!(ids.next(), SessionId(SEQUENCE_MASK as i64));
        assert_eq!(ids.next(), SessionId(1));
    }
}
