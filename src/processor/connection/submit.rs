//! What a connection hands to the server instead of answering it.

use std::sync::Arc;

use bytes::Bytes;

use super::{ConnectionCore, Ending, Pass, Phase, Surroundings};
use crate::jute::Reader;
use crate::processor::large_requests::LargeRequests;
use crate::processor::request::{Origin, Request, Submission};
use crate::proto::requests::read_path;
use crate::proto::responses::{ReplyHeader, write_header_only};
use crate::proto::{ErrorCode, OpCode};

impl ConnectionCore {
    /// A request of `length` bytes comes, or came: if it is large there must be room for it.
    pub(super) fn large_request_comes(&mut self, length: usize, limit: &Arc<LargeRequests>) {
        if self.large.comes(length, limit).is_err() {
            self.end(Ending::TooManyLargeRequests(length));
        }
    }

    /// Hands a request to the server; its reply comes through the queue.
    pub(super) fn submit(
        &mut self,
        now_ms: u64,
        xid: i32,
        op: OpCode,
        body: &[u8],
        pass: &mut Pass,
    ) {
        if op == OpCode::CloseSession {
            self.phase = Phase::Ending;
        }
        let request = Request {
            session: self.session,
            xid,
            op,
            body: Bytes::copy_from_slice(body),
            identities: self.identities.clone(),
            origin: Some(Origin { connection: self.id, xid, op, received_ms: now_ms }),
            throttled: false,
        };
        self.large.is_submitted();
        let submission = Submission::Request(request);
        self.submitted += 1;
        self.unfinished += 1;
        self.unfinished_bytes += submission.weight();
        pass.submissions.push(submission);
    }

    /// A sync goes to the server like a write; its path is echoed, never looked at (C-153).
    pub(super) fn sync(
        &mut self,
        now_ms: u64,
        xid: i32,
        body: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) {
        if read_path(&mut Reader::new(body, around.options.max_field_bytes)).is_ok() {
            self.submit(now_ms, xid, OpCode::Sync, body, pass);
            return;
        }
        let db = around.database.read();
        if !self.is_served(&db) {
            return;
        }
        let zxid = db.last_processed();
        let err = ErrorCode::MarshallingError.code();
        write_header_only(ReplyHeader { xid, zxid, err }, &mut self.output);
        pass.answered += 1;
    }
}
