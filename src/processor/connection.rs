//! The connection core: one client's conversation, from bytes to bytes.
//!
//! It takes what the client sent and what the server queued, and gives what the client is to be
//! sent, in order. It does no I/O; `net` moves the bytes, and a simulated client talks to this
//! very code.
//!
//! ```text
//!             connect frame          grant from the queue            closeSession
//! Connecting ───────────────▶ Opening ─────────────────▶ Established ─────────────▶ Ending
//!      │ a four-letter word                                   │ garbage, unknown opcode
//!      └──────────────────▶ Talking                           └──────────────────▶ closed
//! ```
//!
//! What always holds:
//! - Frames are taken in the order they came. A frame that is not a submission waits while a
//!   submission is unfinished, and everything behind it waits too; so replies have the order of
//!   the requests and a read sees the writes before it (C-144, C-145). `auth` waits as well:
//!   Apache lets it overtake, but some clients count on the order.
//! - A small read does its waiting in the queue ([`connection_queue`](super::connection_queue)),
//!   so that the writes behind it need not wait too.
//! - The queue is drained under the same hold of the database that answers a read.
//! - Where authentication is required, nothing but `auth` and `sasl` is looked at before it
//!   (C-205).
//! - A connection is served by the stretch of serving in which it asked for its session. Whoever
//!   comes while the server does not serve, or stays when the stretch has ended, is not answered:
//!   it closes.
//! - After closeSession, or once it must close, no further frame is looked at (C-019).

mod answers;
mod authentication;
mod defer;
mod handshake;
mod long_list;
mod near_limit;
mod submit;

use std::sync::Arc;

use parking_lot::Mutex;

use self::handshake::IsWord;
pub use self::near_limit::NearLimit;
use super::connection_queue::{CloseReason, ConnectionQueue};
use super::connection_throttle::BlueThrottle;
use super::large_requests::{LargeRequests, LargeShare};
use super::read::LongList;
use super::request::Submission;
use crate::auth::{AuthPolicy, Heard, Identities};
use crate::jute::{Reader, next_frame};
use crate::metrics::{Namespaces, Sizes};
use crate::proto::requests::RequestHeader;
use crate::proto::responses::{ReplyHeader, write_header_only};
use crate::proto::{ConnectionId, ErrorCode, OpCode, SessionId, Zxid};
use crate::session::SessionTouch;
use crate::tree::{Database, SharedDatabase};
use crate::watch::Watches;

/// What every connection of a server shares.
pub struct Surroundings {
    /// The tree and its sessions.
    pub database: Arc<SharedDatabase>,
    /// The watch tables.
    pub watches: Arc<Watches>,
    /// How identities are made and judged.
    pub policy: AuthPolicy,
    /// Limits and bounds.
    pub options: ConnectionOptions,
}

/// Limits and bounds of a connection.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// `jute.maxbuffer`: the largest frame, in bytes.
    pub max_frame_bytes: usize,
    /// The longest field of a record, in bytes: `jute.maxbuffer` plus its extrasize.
    pub max_field_bytes: usize,
    /// The smallest session timeout, in milliseconds.
    pub min_session_timeout_ms: i32,
    /// The largest session timeout, in milliseconds.
    pub max_session_timeout_ms: i32,
    /// The four-letter words that are looked for before the handshake.
    pub words: &'static [[u8; 4]],
    /// How many sessions may begin in a time, if that is limited.
    pub throttle: Option<Arc<Mutex<BlueThrottle>>>,
    /// What large requests under way may have, if that is limited.
    pub large_requests: Option<Arc<LargeRequests>>,
    /// The word that is complete only with the eight bytes behind it, if there is one.
    pub word_with_number: Option<[u8; 4]>,
}

/// A four-letter word that a client said instead of asking for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Its letters.
    pub name: [u8; 4],
    /// The number behind it, 0 where none belongs there.
    pub number: i64,
}

/// One pass takes at most so many requests, and a hold more: others want their turn.
const MAX_PER_PASS: usize = 1024;
/// Above so many bytes of output no further request is taken before some are written.
pub const MAX_OUTPUT_BYTES: usize = 256 << 10;
/// A buffer of more bytes is given back when it is empty.
const KEPT_BYTES: usize = 4096;
/// Above so many bytes of submitted and unfinished requests no further one is submitted.
const MAX_UNFINISHED_BYTES: usize = 1 << 20;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The server's side asks for it.
    Asked(CloseReason),
    /// The client broke the protocol: what came, in words.
    Garbage(String),
    /// The client has seen a newer state than this server has.
    AheadOfUs(Zxid),
    /// The client gave a wrong password.
    WrongPassword(SessionId),
    /// Authentication failed; the client was told.
    AuthFailed,
    /// The client asked for something before it authenticated, where that is required; it was
    /// told.
    NotAuthenticated,
    /// The client means another ensemble.
    WrongEnsemble,
    /// A reply grew beyond what is kept for one connection.
    ReplyTooLarge,
    /// Too many sessions begin at the moment.
    Throttled,
    /// Too many large requests are under way, this one of so many bytes among them.
    TooManyLargeRequests(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Opening,
    Established,
    /// A word was asked for; it is here until somebody takes it away to answer it.
    Talking(Option<Word>),
    /// Nothing more is taken from the client.
    Ending,
}

/// The core of one connection.
#[derive(Debug)]
pub struct ConnectionCore {
    id: ConnectionId,
    queue: Arc<ConnectionQueue>,
    phase: Phase,
    session: SessionId,
    /// The stretch of serving in which the session was asked for.
    generation: u64,
    touch: Option<Arc<SessionTouch>>,
    identities: Arc<Identities>,
    /// The identities suffice to ask for something.
    admitted: bool,
    /// Bytes that came, of which so many at the start have been taken.
    input: Vec<u8>,
    taken: usize,
    /// Bytes to send, and how many of them have been.
    output: Vec<u8>,
    written: usize,
    /// Submissions and deferred reads that have no reply yet.
    unfinished: usize,
    unfinished_bytes: usize,
    /// What the replies to deferred reads may amount to.
    deferred_bytes: usize,
    /// The large requests among what was submitted or comes.
    large: LargeShare,
    /// What there is of the answer to the first request, if that is a long list of children.
    long_list: Option<Box<LongList>>,
    /// Submissions since the connection began.
    submitted: u64,
    ending: Option<Ending>,
    /// A four-letter word was answered.
    talked: bool,
    /// The client has closed its side.
    half_closed: bool,
}

/// What one pass over the input left to be done by the caller.
#[derive(Debug, Default)]
pub struct Pass {
    /// To be handed to the server, in this order.
    pub submissions: Vec<Submission>,
    /// Requests taken.
    pub taken: usize,
    /// Connect requests among them.
    pub connects: usize,
    /// What the client said last of the ensemble that it means.
    pub heard: Option<Heard>,
    /// Requests answered at once.
    pub answered: usize,
    /// The sizes of the replies to reads.
    pub sizes: Sizes,
    /// What the reads read, by namespace.
    pub namespaces: Namespaces,
    /// The last of the reads among these.
    pub last_read: Option<LastRead>,
    /// One of the messages that nearly reach the largest frame, or pass it.
    pub near_limit: Option<Box<NearLimit>>,
    /// There is more input that could be answered, were it not for the bound of one pass.
    pub more: bool,
}

/// A read that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRead {
    /// What was asked.
    pub op: OpCode,
    /// The last xid that is not below zero, of it or of a read before it in the pass; -1 if none.
    pub cxid: i32,
    /// The zxid of the state that was read.
    pub zxid: Zxid,
}

enum Taken {
    /// The frame was dealt with.
    Done,
    /// The frame must wait for what is unfinished, or for output to be written.
    Wait,
}

impl ConnectionCore {
    /// The core of a fresh connection.
    pub fn new(queue: Arc<ConnectionQueue>, identities: Arc<Identities>) -> Self {
        ConnectionCore {
            id: queue.id(),
            queue,
            phase: Phase::Connecting,
            session: SessionId::NONE,
            generation: 0,
            touch: None,
            identities,
            admitted: false,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            written: 0,
            unfinished: 0,
            unfinished_bytes: 0,
            deferred_bytes: 0,
            large: LargeShare::default(),
            long_list: None,
            submitted: 0,
            ending: None,
            talked: false,
            half_closed: false,
        }
    }

    /// Takes what the client sent, and whatever waited before it.
    ///
    /// A whole request is a sign of life, even one that has to wait; a piece of one is not.
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8], around: &Surroundings) -> Pass {
        let mut pass = Pass::default();
        if self.input.is_empty() {
            let used = self.take_frames(now_ms, bytes, around, &mut pass);
            if !self.is_ending() {
                self.input.extend_from_slice(&bytes[used..]);
            }
        } else {
            self.input.extend_from_slice(bytes);
            self.drain();
            self.take_waiting(now_ms, around, &mut pass);
        }
        if let Some(touch) = &self.touch
            && (pass.taken > 0 || self.has_whole_frame(around))
        {
            touch.touch(now_ms);
        }
        pass
    }

    /// Takes what the server queued, then whatever could not be taken before.
    pub fn resume(&mut self, now_ms: u64, around: &Surroundings) -> Pass {
        self.drain();
        let mut pass = Pass::default();
        self.take_waiting(now_ms, around, &mut pass);
        pass
    }

    fn take_waiting(&mut self, now_ms: u64, around: &Surroundings, pass: &mut Pass) {
        if self.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        self.taken += self.take_frames(now_ms, &input[self.taken..], around, pass);
        if self.is_ending() {
            return;
        }
        if self.taken == input.len() {
            self.taken = 0;
            // A large buffer is not kept for a connection that may now be idle.
            if input.capacity() > KEPT_BYTES {
                return;
            }
            input.clear();
        } else if self.taken > input.len() / 2 {
            // Not for every frame: moving the rest would cost more than taking it.
            input.drain(..self.taken);
            self.taken = 0;
        }
        self.input = input;
    }

    /// Moves what the server queued to the output.
    pub fn drain(&mut self) {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        let drained = self.queue.drain(&mut self.output);
        self.unfinished =
            self.unfinished.checked_sub(drained.finished).expect("a submission is finished once");
        if self.unfinished == 0 {
            self.unfinished_bytes = 0;
            self.deferred_bytes = 0;
            self.large.finished();
        }
        // A connection that has ended meanwhile has no use for its session; it lives on.
        if let Some(grant) = drained.grant
            && self.phase == Phase::Opening
        {
            self.session = grant.session;
            self.touch = Some(grant.touch);
            self.phase = Phase::Established;
        }
        if let Some(reason) = drained.close {
            self.end(Ending::Asked(reason));
        }
    }

    /// What is to be sent next.
    pub fn output(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// The first `n` bytes of the output have been sent.
    pub fn wrote(&mut self, n: usize) {
        self.written += n;
        if self.written == self.output.len() {
            // An idle connection keeps no large buffer.
            if self.output.capacity() > KEPT_BYTES {
                self.output = Vec::new();
            } else {
                self.output.clear();
            }
            self.written = 0;
        } else if self.written > self.output.len() / 2 {
            // A client that always has a little left to read must not make the buffer grow.
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// Whether more bytes of the client are welcome.
    pub fn wants_input(&self) -> bool {
        !self.is_ending()
            && self.output().len() < MAX_OUTPUT_BYTES
            && !self.half_closed
            && (self.input.len() - self.taken < MAX_UNFINISHED_BYTES || self.unfinished == 0)
    }

    /// Whether input waits that may be taken by now.
    pub fn has_waiting_input(&self) -> bool {
        !self.input.is_empty() && !self.is_ending()
    }

    /// The client will send no more. What it has sent is still carried out, closeSession
    /// included.
    pub fn client_is_done(&mut self) {
        self.half_closed = true;
    }

    /// Whether the client has sent its last and everything it sent is done.
    pub fn is_done(&self, around: &Surroundings) -> bool {
        self.half_closed && self.unfinished == 0 && !self.has_whole_frame(around)
    }

    /// Why the connection must close, once its output is written.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The word that was asked for instead of a session; given once.
    pub fn take_word(&mut self) -> Option<Word> {
        match &mut self.phase {
            Phase::Talking(word) => word.take(),
            _ => None,
        }
    }

    /// The answer to the word, after which the connection closes.
    pub fn answer_word(&mut self, text: &[u8]) {
        if self.ending.is_some() {
            return;
        }
        self.output.extend_from_slice(text);
        self.phase = Phase::Ending;
        self.talked = true;
    }

    /// Whether a word was asked for instead of a session.
    pub fn is_talking(&self) -> bool {
        self.talked || matches!(self.phase, Phase::Talking(_))
    }

    /// Whether a word was answered: the connection ends once the answer is written.
    pub fn is_done_talking(&self) -> bool {
        self.phase == Phase::Ending && self.talked
    }

    /// Whether submissions are unfinished.
    pub fn has_unfinished(&self) -> bool {
        self.unfinished > 0
    }

    /// How many submissions are unfinished.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether a session was granted.
    pub fn is_established(&self) -> bool {
        self.session != SessionId::NONE
    }

    /// The connection's session, [`SessionId::NONE`] before it has one.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session's timeout in milliseconds, once there is a session.
    pub fn session_timeout_ms(&self) -> Option<i32> {
        self.touch.as_ref().map(|touch| touch.timeout_ms())
    }

    /// Ends the connection for `ending`, unless it ends already.
    pub fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.phase = Phase::Ending;
        self.input = Vec::new();
        self.taken = 0;
    }

    /// Whether the connection may be answered from the database. If not it ends.
    #[inline]
    fn is_served(&mut self, db: &Database) -> bool {
        if db.generation() == self.generation {
            return true;
        }
        self.end(Ending::Asked(CloseReason::NotServing));
        false
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Talking(_))
    }

    fn has_whole_frame(&self, around: &Surroundings) -> bool {
        let waiting = self.input.get(self.taken..).unwrap_or_default();
        !self.is_ending()
            && matches!(next_frame(waiting, around.options.max_frame_bytes), Ok(Some(_)))
    }

    /// Takes frames from `input` until one must wait, and returns how many bytes they took.
    fn take_frames(
        &mut self,
        now_ms: u64,
        input: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) -> usize {
        let mut used = 0;
        while !self.is_ending() && self.phase != Phase::Opening {
            if self.phase == Phase::Connecting {
                match self.is_word(&input[used..], around) {
                    IsWord::Yes => return input.len(),
                    IsWord::NotYet => break,
                    IsWord::No => {}
                }
            }
            let rest = &input[used..];
            let frame = match next_frame(rest, around.options.max_frame_bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    if let (Some(limit), Some(length)) =
                        (&around.options.large_requests, rest.first_chunk::<4>())
                    {
                        self.large_request_comes(i32::from_be_bytes(*length) as usize, limit);
                    }
                    break;
                }
                Err(error) => {
                    let limit = around.options.max_frame_bytes;
                    self.end(Ending::Garbage(format!("{error} (jute.maxbuffer is {limit})")));
                    break;
                }
            };
            if self.output().len() >= MAX_OUTPUT_BYTES || pass.taken >= MAX_PER_PASS {
                pass.more = true;
                break;
            }
            match self.phase {
                Phase::Connecting => {
                    self.connect(now_ms, frame.body, around, pass);
                    self.large.is_answered();
                    pass.taken += 1;
                    pass.connects += 1;
                    used += frame.size;
                }
                Phase::Established => {
                    if let Some(limit) = &around.options.large_requests {
                        self.large_request_comes(frame.body.len(), limit);
                        if self.is_ending() {
                            break;
                        }
                    }
                    let Some((header, op)) = self.header(frame.body) else { break };
                    if !self.admitted && !matches!(op, Some(OpCode::Auth | OpCode::Sasl)) {
                        self.refuse_unauthenticated(header.xid, pass);
                        pass.taken += 1;
                        used += frame.size;
                        continue;
                    }
                    if frame.body.len() > around.options.near_limit_bytes() {
                        let bytes = frame.body.len();
                        self.note_size(op, &frame.body[8..], bytes, false, pass);
                    }
                    if op.is_some_and(OpCode::is_read) {
                        if self.unfinished == 0 {
                            let answered = self.answer_reads(rest, around, pass);
                            if answered == 0 {
                                break;
                            }
                            used += answered;
                        } else if self.defer(now_ms, header, &frame.body[8..], around) {
                            self.large.is_answered();
                            pass.taken += 1;
                            used += frame.size;
                        } else if self.unfinished > 0 {
                            break;
                        }
                        continue;
                    }
                    match self.take(now_ms, header, op, &frame.body[8..], around, pass) {
                        Taken::Done => {
                            self.large.is_answered();
                            pass.taken += 1;
                            used += frame.size;
                        }
                        Taken::Wait => break,
                    }
                }
                Phase::Opening | Phase::Talking(_) | Phase::Ending => {
                    unreachable!("checked by the loop")
                }
            }
        }
        used
    }

    fn header(&mut self, body: &[u8]) -> Option<(RequestHeader, Option<OpCode>)> {
        match RequestHeader::read(&mut Reader::unlimited(body)) {
            Ok(header) => Some((header, OpCode::from_int(header.op))),
            Err(_) => {
                self.end(Ending::Garbage(format!("a request of {} bytes", body.len())));
                None
            }
        }
    }

    /// Takes a request that is no read.
    fn take(
        &mut self,
        now_ms: u64,
        header: RequestHeader,
        op: Option<OpCode>,
        body: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) -> Taken {
        match op {
            Some(op) if op.is_write() => {
                if self.unfinished_bytes > MAX_UNFINISHED_BYTES {
                    return Taken::Wait;
                }
                self.submit(now_ms, header.xid, op, body, pass);
                Taken::Done
            }
            _ if self.unfinished > 0 => Taken::Wait,
            Some(OpCode::Sync) => {
                self.sync(now_ms, header.xid, body, around, pass);
                Taken::Done
            }
            Some(OpCode::Auth) => {
                self.auth(header.xid, body, around, pass);
                Taken::Done
            }
            Some(OpCode::Sasl) => {
                self.sasl(header.xid, body, around, pass);
                Taken::Done
            }
            _ => {
                // Known to nobody, or the server's own business: create session, delete
                // container, error, a bare check (N-5, N-6, ZOOKEEPER-2623).
                let err = ErrorCode::Unimplemented.code();
                let zxid = Zxid::from_long(-1);
                write_header_only(ReplyHeader { xid: header.xid, zxid, err }, &mut self.output);
                pass.answered += 1;
                self.end(Ending::Garbage(format!("operation {}", header.op)));
                Taken::Done
            }
        }
    }
}

#[cfg(test)]
mod tests;
