//! Messages that come near the largest frame, which an operator wants to hear of before one passes
//! it.
//!
//! A request above `jute.maxbuffer` ends its connection, and a reply above it is refused by clients
//! with the same limit, which then reconnect and ask again.

use super::{ConnectionCore, ConnectionOptions, Pass};
use crate::jute::Reader;
use crate::proto::requests::read_path;
use crate::proto::{OpCode, SessionId};

/// A message that is worth a warning: nothing of it went wrong yet, but the next may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearLimit {
    /// What was asked.
    pub op: Option<OpCode>,
    /// The path asked for; of several, the first.
    pub path: Box<[u8]>,
    /// Whose connection it is.
    pub session: SessionId,
    /// How long the message is.
    pub bytes: usize,
    /// Whether it is the reply; else it is the request.
    pub is_reply: bool,
}

impl ConnectionOptions {
    /// A message of more bytes than these four fifths of the largest frame is worth a warning.
    pub(super) fn near_limit_bytes(&self) -> usize {
        self.max_frame_bytes / 5 * 4
    }
}

impl ConnectionCore {
    /// Leaves a note of a message in the pass.
    #[cold]
    pub(super) fn note_size(
        &self,
        op: Option<OpCode>,
        body: &[u8],
        bytes: usize,
        is_reply: bool,
        pass: &mut Pass,
    ) {
        // In a multi the header of the first part comes first.
        let is_multi = matches!(op, Some(OpCode::Multi | OpCode::MultiRead));
        let body = if is_multi { body.get(9..).unwrap_or_default() } else { body };
        let path = match op {
            Some(OpCode::SetWatches | OpCode::SetWatches2 | OpCode::Auth) | None => None,
            Some(_) => read_path(&mut Reader::new(body, bytes)).ok().flatten(),
        };
        let path = path.unwrap_or_default().into();
        pass.near_limit =
            Some(Box::new(NearLimit { op, path, session: self.session, bytes, is_reply }));
    }
}
