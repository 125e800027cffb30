//! The first frame of a connection: a four-letter word, or the wish for a session.

use super::{ConnectionCore, Ending, Pass, Phase, Surroundings, Word};
use crate::jute::Reader;
use crate::processor::connection_queue::CloseReason;
use crate::processor::connection_throttle::Asked;
use crate::processor::request::{ConnectAttempt, Submission};
use crate::proto::requests::ConnectRequest;
use crate::proto::responses::ConnectResponse;
use crate::proto::{SessionId, password};

/// What the beginning of the input is.
pub(super) enum IsWord {
    Yes,
    No,
    /// A word whose number is still on its way.
    NotYet,
}

impl ConnectionCore {
    /// Whether the input begins with a four-letter word. A word is no sensible length, so
    /// nothing else is lost by looking; and it is complete as soon as its letters are there, but
    /// for the one that a number belongs to.
    pub(super) fn is_word(&mut self, input: &[u8], around: &Surroundings) -> IsWord {
        let Some(&name) = input.first_chunk::<4>() else { return IsWord::No };
        if !around.options.words.contains(&name) {
            return IsWord::No;
        }
        let mut number = 0;
        if around.options.word_with_number == Some(name) {
            let Some(bytes) = input[4..].first_chunk::<8>() else { return IsWord::NotYet };
            number = i64::from_be_bytes(*bytes);
        }
        self.phase = Phase::Talking(Some(Word { name, number }));
        IsWord::Yes
    }

    /// Takes the connect request. The checks are in Apache's order, but for the password: it is
    /// checked before anything happens to the session's rightful connection (C-010).
    pub(super) fn connect(
        &mut self,
        now_ms: u64,
        body: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) {
        let last_processed = {
            let db = around.database.read();
            if !db.is_serving() {
                self.end(Ending::Asked(CloseReason::NotServing));
                return;
            }
            self.generation = db.generation();
            db.last_processed()
        };
        let mut r = Reader::new(body, around.options.max_field_bytes);
        let Ok(request) = ConnectRequest::read(&mut r) else {
            self.end(Ending::Garbage(format!("a connect request of {} bytes", body.len())));
            return;
        };
        if let Some(throttle) = &around.options.throttle {
            let is_new = request.session_id == SessionId::NONE;
            let asked = if is_new { Asked::New } else { Asked::Renewed };
            if !throttle.lock().admits(asked, now_ms) {
                self.end(Ending::Throttled);
                return;
            }
        }
        // A client that has seen more than this server must not see it go back (C-011).
        if request.last_zxid_seen.to_long() > last_processed.to_long() {
            self.end(Ending::AheadOfUs(request.last_zxid_seen));
            return;
        }
        let session = request.session_id;
        if session != SessionId::NONE
            && !password::check(session, request.password.unwrap_or_default())
        {
            let had_read_only = request.read_only.map(|_| false);
            ConnectResponse::refused(had_read_only).write(&mut self.output);
            pass.answered += 1;
            self.end(Ending::WrongPassword(session));
            return;
        }
        let timeout_ms = request
            .timeout_ms
            .clamp(around.options.min_session_timeout_ms, around.options.max_session_timeout_ms);
        self.admitted = around.policy.admits(&self.identities);
        self.phase = Phase::Opening;
        self.submitted += 1;
        self.unfinished += 1;
        pass.submissions.push(Submission::Connect(ConnectAttempt {
            connection: self.id,
            session,
            timeout_ms,
            had_read_only: request.read_only.is_some(),
            identities: self.identities.clone(),
            received_ms: now_ms,
        }));
    }
}
