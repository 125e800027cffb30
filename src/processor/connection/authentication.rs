//! auth and sasl: who the connection is from here on.

use std::sync::Arc;

use super::{ConnectionCore, Ending, Pass, Surroundings};
use crate::jute::{Reader, Writer};
use crate::proto::requests::AuthPacket;
use crate::proto::responses::{ReplyFrame, ReplyHeader, write_header_only};
use crate::proto::{ErrorCode, Zxid};

impl ConnectionCore {
    /// Adds an identity, or tells the client that it may not and ends (C-198).
    pub(super) fn auth(&mut self, xid: i32, body: &[u8], around: &Surroundings, pass: &mut Pass) {
        let mut r = Reader::new(body, around.options.max_field_bytes);
        let Ok(packet) = AuthPacket::read(&mut r) else {
            self.end(Ending::Garbage("an auth packet that ends early".to_owned()));
            return;
        };
        pass.answered += 1;
        let header = ReplyHeader { xid, zxid: Zxid::ZERO, err: 0 };
        match around.policy.authenticate(packet.scheme, packet.auth, &self.identities) {
            Ok(identities) => {
                self.identities = Arc::new(identities);
                self.queue.set_identities(self.identities.clone());
                write_header_only(header, &mut self.output);
            }
            Err(_) => {
                let err = ErrorCode::AuthFailed.code();
                write_header_only(ReplyHeader { err, ..header }, &mut self.output);
                self.end(Ending::AuthFailed);
            }
        }
    }

    /// SASL is not configured: the client gets a null token and goes on without. It must have
    /// sent one itself.
    pub(super) fn sasl(&mut self, xid: i32, body: &[u8], around: &Surroundings, pass: &mut Pass) {
        let token = Reader::new(body, around.options.max_field_bytes).buffer();
        if !matches!(token, Ok(Some(_))) {
            self.end(Ending::Garbage("a sasl request without a token".to_owned()));
            return;
        }
        let header = ReplyHeader { xid, zxid: Zxid::ZERO, err: 0 };
        let frame = ReplyFrame::open(header, &mut self.output);
        self.output.put_buffer(None);
        frame.finish(&mut self.output);
        pass.answered += 1;
    }
}
