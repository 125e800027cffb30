//! auth and sasl: who the connection is from here on.

use std::sync::Arc;

use super::{ConnectionCore, Ending, Pass, Surroundings};
use crate::auth::AuthRefused;
use crate::jute::{Reader, Writer};
use crate::proto::requests::AuthPacket;
use crate::proto::responses::{ReplyFrame, ReplyHeader, write_header_only};
use crate::proto::{ErrorCode, Zxid};

impl ConnectionCore {
    /// Adds an identity, or tells the client that it may not and ends (C-198). A client that
    /// means another ensemble is not answered: it goes on to its next address.
    pub(super) fn auth(&mut self, xid: i32, body: &[u8], around: &Surroundings, pass: &mut Pass) {
        let mut r = Reader::new(body, around.options.max_field_bytes);
        let Ok(packet) = AuthPacket::read(&mut r) else {
            self.end(Ending::Garbage("an auth packet that ends early".to_owned()));
            return;
        };
        pass.heard = around.policy.hears(packet.scheme, packet.auth);
        match around.policy.authenticate(packet.scheme, packet.auth, &self.identities) {
            Ok(identities) => {
                self.admitted = around.policy.admits(&identities);
                self.identities = Arc::new(identities);
                self.queue.set_identities(self.identities.clone());
                self.tell(xid, 0, pass);
            }
            Err(AuthRefused::Failed) => {
                self.tell(xid, ErrorCode::AuthFailed.code(), pass);
                self.end(Ending::AuthFailed);
            }
            Err(AuthRefused::WrongEnsemble) => self.end(Ending::WrongEnsemble),
        }
    }

    /// Answers a request that came before authentication where that is required (C-205), and
    /// ends. The session lives on.
    pub(super) fn refuse_unauthenticated(&mut self, xid: i32, pass: &mut Pass) {
        self.tell(xid, ErrorCode::SessionClosedRequireSaslAuth.code(), pass);
        self.end(Ending::NotAuthenticated);
    }

    /// A header with no zxid: no state was looked at.
    fn tell(&mut self, xid: i32, err: i32, pass: &mut Pass) {
        write_header_only(ReplyHeader { xid, zxid: Zxid::ZERO, err }, &mut self.output);
        pass.answered += 1;
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
