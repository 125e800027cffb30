//! What the server sends: replies, written straight into a connection's output.
//!
//! A reply is a frame: its length, a [`ReplyHeader`], and a body. [`ReplyFrame`] opens one and
//! fills the length in when the body is known.

use super::ids::{SessionId, Zxid};
use super::password::{NO_PASSWORD, Password};
use super::requests::MultiHeader;
use crate::jute::Writer;

/// The header of every reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's xid.
    pub xid: i32,
    /// A write's own transaction, or the last one applied when a read was answered.
    pub zxid: Zxid,
    /// 0, or an [`ErrorCode`](super::ErrorCode)'s number.
    pub err: i32,
}

impl ReplyHeader {
    /// Bytes of the record.
    pub const SIZE: usize = 16;

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid);
        out.put_long(self.zxid.to_long());
        out.put_int(self.err);
    }
}

/// A frame being written: remembers where its length goes.
#[derive(Debug)]
#[must_use = "a frame has no length until it is finished"]
pub struct ReplyFrame {
    start: usize,
}

impl ReplyFrame {
    /// Opens a frame without a header.
    pub fn bare(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.put_int(0);
        ReplyFrame { start }
    }

    /// Opens a reply: the length's place and the header.
    pub fn open(header: ReplyHeader, out: &mut Vec<u8>) -> Self {
        let frame = ReplyFrame::bare(out);
        header.write(out);
        frame
    }

    /// The frame that begins where the output does.
    pub fn at_start() -> Self {
        ReplyFrame { start: 0 }
    }

    /// Fills the length in.
    pub fn finish(self, out: &mut Vec<u8>) {
        let length = out.len() - self.start - 4;
        out.set_int(self.start, i32::try_from(length).expect("a reply is below 2 GiB"));
    }
}

/// Appends a reply that is its header alone, as every error is.
pub fn write_header_only(header: ReplyHeader, out: &mut Vec<u8>) {
    out.put_int(ReplyHeader::SIZE as i32);
    header.write(out);
}

/// The answer to a [`ConnectRequest`](super::requests::ConnectRequest).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectResponse {
    /// The negotiated timeout in milliseconds; 0 refuses.
    pub timeout_ms: i32,
    /// The session's id; 0 refuses.
    pub session_id: SessionId,
    /// The session's password.
    pub password: Password,
    /// Sent only to clients whose request had the field (ZOOKEEPER-4814).
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The refusal: the client takes its session for expired.
    pub fn refused(read_only: Option<bool>) -> Self {
        ConnectResponse {
            timeout_ms: 0,
            session_id: SessionId::NONE,
            password: NO_PASSWORD,
            read_only,
        }
    }

    /// Appends the whole frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let frame = ReplyFrame::bare(out);
        out.put_int(0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
        frame.finish(out);
    }
}

/// Appends a multi's or multiRead's error result: header with type -1, then the code again.
pub fn write_error_result(err: i32, out: &mut Vec<u8>) {
    MultiHeader { op: -1, done: false, err }.write(out);
    out.put_int(err);
}
