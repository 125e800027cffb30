//! The requests of one connection in numbers: what `cons` tells and `crst` resets.

use crate::proto::{OpCode, Zxid};

/// A connection's requests so far. Latencies run from a request's receipt to its reply, in
/// milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestStats {
    /// Requests taken, the handshake or a four-letter word included.
    pub received: u64,
    /// Replies and events given.
    pub sent: u64,
    /// What was answered last; `None` if that was nothing, or a write that failed.
    pub last_op: Option<OpCode>,
    /// The xid of the last request that had one: a ping's and other special ones are below zero.
    pub last_cxid: i32,
    /// The zxid that was answered last. -1 after a reset, in the sense of a signed field.
    pub last_zxid: Zxid,
    /// When the last reply was made, milliseconds on the monotonic clock.
    pub last_response_ms: u64,
    latency_ms_last: u32,
    latency_ms_min: u32,
    latency_ms_max: u32,
    latency_ms_sum: u64,
    answered: u64,
}

/// Requests that were answered together.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The last one's operation; `None` for a write that failed.
    pub op: Option<OpCode>,
    /// The last one's xid that is not below zero; below zero if there is none.
    pub cxid: i32,
    /// The zxid in the reply.
    pub zxid: Zxid,
    /// How many there are.
    pub count: u64,
    /// When they were answered, milliseconds on the monotonic clock.
    pub at_ms: u64,
    /// How long each took, in milliseconds.
    pub latency_ms: u64,
}

impl Default for RequestStats {
    fn default() -> Self {
        RequestStats {
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: 0,
            last_zxid: Zxid::ZERO,
            last_response_ms: 0,
            latency_ms_last: 0,
            latency_ms_min: u32::MAX,
            latency_ms_max: 0,
            latency_ms_sum: 0,
            answered: 0,
        }
    }
}

impl RequestStats {
    /// Takes requests into account that were answered.
    pub fn answered(&mut self, answered: &Answered) {
        let &Answered { op, cxid, zxid, count, at_ms, latency_ms } = answered;
        // What the client did last is of interest, not that it pinged since.
        if cxid >= 0 {
            self.last_cxid = cxid;
        }
        self.last_op = op;
        self.last_zxid = zxid;
        self.last_response_ms = at_ms;
        let latency_ms = u32::try_from(latency_ms).unwrap_or(u32::MAX);
        self.latency_ms_last = latency_ms;
        self.latency_ms_min = self.latency_ms_min.min(latency_ms);
        self.latency_ms_max = self.latency_ms_max.max(latency_ms);
        self.latency_ms_sum += u64::from(latency_ms) * count;
        self.answered += count;
    }

    /// Forgets everything (`crst`). Apache marks xid and zxid by -1 then.
    pub fn reset(&mut self) {
        let last_zxid = Zxid::from_long(-1);
        *self = RequestStats { last_cxid: -1, last_zxid, ..RequestStats::default() };
    }

    /// The last one.
    pub fn latency_ms_last(&self) -> u32 {
        self.latency_ms_last
    }

    /// The shortest, 0 before the first.
    pub fn latency_ms_min(&self) -> u32 {
        if self.answered == 0 { 0 } else { self.latency_ms_min }
    }

    /// The longest, 0 before the first.
    pub fn latency_ms_max(&self) -> u32 {
        self.latency_ms_max
    }

    /// The mean without its fraction, 0 before the first.
    pub fn latency_ms_avg(&self) -> u64 {
        self.latency_ms_sum.checked_div(self.answered).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(op: OpCode, cxid: i32, count: u64, latency_ms: u64) -> Answered {
        Answered { op: Some(op), cxid, zxid: Zxid(7), count, at_ms: 50, latency_ms }
    }

    #[test]
    fn a_ping_is_the_last_operation_but_not_the_last_xid() {
        let mut stats = RequestStats::default();
        stats.answered(&answered(OpCode::GetData, 3, 2, 4));
        stats.answered(&answered(OpCode::Ping, -2, 1, 1));
        assert_eq!((stats.last_op, stats.last_cxid), (Some(OpCode::Ping), 3));
        assert_eq!((stats.latency_ms_min(), stats.latency_ms_avg()), (1, 3));
        assert_eq!((stats.latency_ms_max(), stats.latency_ms_last()), (4, 1));
    }

    #[test]
    fn a_reset_leaves_no_xid_and_no_latency() {
        let mut stats = RequestStats::default();
        stats.answered(&answered(OpCode::GetData, 3, 1, 4));
        stats.reset();
        assert_eq!((stats.last_op, stats.last_cxid, stats.last_zxid.to_long()), (None, -1, -1));
        assert_eq!(
            (stats.latency_ms_min(), stats.latency_ms_avg(), stats.latency_ms_max()),
            (0, 0, 0)
        );
    }
}
