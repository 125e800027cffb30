//! One client's socket and the task that moves its bytes.
//!
//! The task reads, lets the connection core take what came, and writes what the core gives. It
//! decides nothing. The driver may write too: after an apply it takes the core if nobody has it
//! and sends the replies straight away, which saves waking the task; otherwise it wakes the task.
//!
//! An idle connection is this struct and one small task: the read buffer belongs to the thread,
//! and no timer or channel exists per connection.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::limits::ConnectionLimits;
use super::log_limit::LogLimit;
use super::{Submit, WordHandler};
use crate::auth::{Heard, Identities};
use crate::metrics::Metrics;
use crate::processor::connection::{ConnectionCore, Ending, NearLimit, Pass, Surroundings};
use crate::processor::connection_queue::{CloseReason, ConnectionQueue};
use crate::processor::connections::{Connection, Connections};
use crate::proto::{ConnectionId, SessionId};
use crate::status::{Answered, ClientLine};
use crate::time::{Clock, Instant};

/// What all connections of a listener share.
pub struct Shared {
    /// The core's surroundings.
    pub around: Surroundings,
    /// Where submissions go.
    pub submit: Arc<dyn Submit>,
    /// Who answers words.
    pub words: Arc<WordHandler>,
    /// The open connections.
    pub connections: Arc<Connections<ClientConnection>>,
    /// How many connections there may be.
    pub limits: ConnectionLimits,
    /// `clientTcpKeepAlive`: the system probes silent connections.
    pub tcp_keep_alive: bool,
    /// Lines of the log about refused connections …
    pub refusals: LogLimit,
    /// … about connections that broke the protocol …
    pub breaches: LogLimit,
    /// … and about messages that nearly reach `jute.maxbuffer`.
    pub near_limits: LogLimit,
    /// Bytes of answers to words that their clients have not taken yet.
    pub word_bytes: AtomicUsize,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// `globalOutstandingLimit`: unfinished requests above which a connection with one of them
    /// is not read. A connection with none may always send one (C-161).
    pub outstanding_limit: u64,
}

impl Shared {
    fn is_busy(&self) -> bool {
        self.submit.is_full() || self.metrics.outstanding_requests.get() > self.outstanding_limit
    }
}

/// A client's connection, shared by its task and the driver.
pub struct ClientConnection {
    id: ConnectionId,
    peer: SocketAddr,
    opened_ms: u64,
    queue: Arc<ConnectionQueue>,
    core: Mutex<ConnectionCore>,
    writer: OwnedWriteHalf,
    waker: AtomicWaker,
    touched: AtomicBool,
    /// The task does not read until something of the connection is finished.
    paused: AtomicBool,
    /// Since when the connection should be over and is not, because the client does not take its
    /// last bytes; milliseconds on the monotonic clock, 0 if it need not be over.
    ending_since_ms: AtomicU64,
    /// The client has had its chance.
    abandoned: AtomicBool,
    /// Bytes of the answer to its word.
    word_bytes: AtomicUsize,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConnection").field("id", &self.id).field("peer", &self.peer).finish()
    }
}

const READ_BUFFER_BYTES: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

impl ClientConnection {
    /// Registers a connection for an accepted socket and returns the future that serves it.
    pub fn open(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) -> ConnectionTask {
        let identities = Arc::new(Identities::of_peer(peer.ip()));
        let (reader, writer) = stream.into_split();
        let opened_ms = shared.clock.now().mono_ms;
        let connection = shared.connections.open(|id| {
            let queue = Arc::new(ConnectionQueue::new(id, identities.clone()));
            ClientConnection {
                id,
                peer,
                opened_ms,
                core: Mutex::new(ConnectionCore::new(queue.clone(), identities)),
                queue,
                writer,
                waker: AtomicWaker::new(),
                touched: AtomicBool::new(false),
                paused: AtomicBool::new(false),
                ending_since_ms: AtomicU64::new(0),
                abandoned: AtomicBool::new(false),
                word_bytes: AtomicUsize::new(0),
                shared: shared.clone(),
            }
        });
        ConnectionTask { reader, connection }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When it was accepted, milliseconds on the monotonic clock.
    pub fn opened_ms(&self) -> u64 {
        self.opened_ms
    }

    /// Whether the connection has, or had, a session.
    pub fn is_established(&self) -> bool {
        self.core.lock().is_established()
    }

    /// The connection's session, [`SessionId::NONE`] before it has one.
    pub fn session(&self) -> SessionId {
        self.core.lock().session()
    }

    /// The connection as operators see it at `now`.
    pub fn describe(&self, now: Instant) -> ClientLine {
        let core = self.core.lock();
        let reads = !self.paused.load(Ordering::Relaxed) && core.wants_input();
        let writes = !core.output().is_empty();
        ClientLine {
            address: self.peer,
            interest_ops: u8::from(reads) | u8::from(writes) << 2,
            queued: core.unfinished(),
            stats: self.queue.stats(),
            established_wall_ms: now.wall_ms - now.mono_ms.saturating_sub(self.opened_ms) as i64,
            session: core.session_timeout_ms().map(|timeout_ms| (core.session(), timeout_ms)),
        }
    }

    /// Asks the connection to close and wakes its task.
    pub fn close(&self, reason: CloseReason) {
        self.queue.close(reason);
        self.waker.wake();
    }

    /// Since when the connection waits for its client to take its last bytes, milliseconds on the
    /// monotonic clock.
    pub fn ending_since_ms(&self) -> Option<u64> {
        Some(self.ending_since_ms.load(Ordering::Acquire)).filter(|since| *since > 0)
    }

    /// Ends the connection without waiting for its client any longer.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Writes as much of the core's output as the socket takes, and at most a piece.
    fn write(&self, core: &mut ConnectionCore) -> io::Result<()> {
        let mut left = MOST_WRITTEN;
        while !core.output().is_empty() && left > 0 {
            let piece = core.output().len().min(left);
            match self.writer.try_write(&core.output()[..piece]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    core.wrote(n);
                    left -= n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.queue.set_unsent(core.output().len());
        Ok(())
    }

    /// Counts what a pass gave that began at `start` on the clock's nanoseconds.
    /// Reads that waited for something unfinished count from here, not from their receipt.
    fn count(&self, pass: &mut Pass, start: u64) {
        let (taken, answered) = (pass.taken as u64, pass.answered as u64);
        let metrics = &self.shared.metrics;
        if !pass.submissions.is_empty() {
            metrics.outstanding_requests.add(pass.submissions.len() as i64);
        }
        if taken == 0 && answered == 0 {
            return;
        }
        if let Some(near) = &pass.near_limit {
            self.warn_of_size(near);
        }
        metrics.packets_received.add(taken);
        metrics.packets_sent.add(answered);
        metrics.connection_request_count.add(pass.connects as u64);
        metrics.read_per_namespace.take(&mut pass.namespaces);
        match pass.heard {
            None => {}
            Some(Heard::Nothing) => metrics.ensemble_auth_skip.add(1),
            Some(Heard::OurName) => metrics.ensemble_auth_success.add(1),
            Some(Heard::OtherName) => metrics.ensemble_auth_fail.add(1),
        }
        let mut reads = None;
        if answered > 0 {
            let end = self.shared.clock.nanos();
            let latency_ms = end.saturating_sub(start) / 1_000_000;
            metrics.response_bytes.take(pass.sizes, end);
            metrics.readlatency.record_many(latency_ms, answered);
            reads = pass.last_read.as_ref().map(|last| Answered {
                op: Some(last.op),
                cxid: last.cxid,
                zxid: last.zxid,
                count: answered,
                at_ms: end / 1_000_000,
                latency_ms,
            });
        }
        self.queue.count(taken, answered, reads.as_ref());
    }
}

impl Connection for ClientConnection {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn queue(&self) -> &ConnectionQueue {
        &self.queue
    }

    fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }

    fn flush(&self) {
        self.touched.store(false, Ordering::Release);
        let Some(mut core) = self.core.try_lock() else {
            // Whoever holds the core looks at the queue again.
            self.waker.wake();
            return;
        };
        core.drain();
        let broken = self.write(&mut core).is_err();
        let task_needed = broken
            || self.paused.load(Ordering::Acquire)
            || core.has_waiting_input()
            || !core.output().is_empty()
            || core.ending().is_some();
        drop(core);
        if task_needed || self.queue.is_filled() {
            self.waker.wake();
        }
    }

    fn leave_to_task(&self) {
        self.touched.store(false, Ordering::Release);
        self.waker.wake();
    }
}

impl Drop for ClientConnection {
    /// The descriptor is closed with it, so only now there is room for another.
    fn drop(&mut self) {
        self.shared.limits.release(self.peer.ip());
        self.shared.word_bytes.fetch_sub(*self.word_bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Above so many bytes of answers that clients have not taken, words are not answered.
const MAX_WORD_BYTES: usize = 64 << 20;

impl ClientConnection {
    /// Says which message comes near `jute.maxbuffer`, before one goes over it.
    #[cold]
    fn warn_of_size(&self, near: &NearLimit) {
        let shared = &self.shared;
        let Some(withheld) = shared.near_limits.admit(shared.clock.now().mono_ms) else { return };
        let NearLimit { op, bytes, is_reply, .. } = *near;
        let path = String::from_utf8_lossy(&near.path);
        let limit = shared.around.options.max_frame_bytes;
        let (peer, session) = (self.peer, near.session);
        if !is_reply {
            let what = "a request nearly reaches jute.maxbuffer; a larger one ends its connection";
            tracing::warn!(%peer, %session, ?op, %path, bytes, limit, withheld, "{what}");
        } else if bytes <= limit {
            let what = "a reply nearly reaches jute.maxbuffer; clients refuse larger ones";
            tracing::warn!(%peer, %session, ?op, %path, bytes, limit, withheld, "{what}");
        } else {
            let what = "a reply is above jute.maxbuffer; a client with this limit refuses it and \
                        reconnects";
            tracing::warn!(%peer, %session, ?op, %path, bytes, limit, withheld, "{what}");
        }
    }
}

/// Where the answer to a four-letter word goes.
pub struct WordReply {
    connection: Arc<ClientConnection>,
}

impl WordReply {
    /// Has the text sent, after which the connection closes. Never blocks for long. While
    /// others' answers fill the memory that answers may have, the connection only closes.
    pub fn send(self, text: &[u8]) {
        let connection = &*self.connection;
        let waiting = connection.shared.word_bytes.fetch_add(text.len(), Ordering::Relaxed);
        connection.word_bytes.store(text.len(), Ordering::Relaxed);
        if waiting > MAX_WORD_BYTES {
            connection.close(CloseReason::TooManyUnreadAnswers);
            return;
        }
        connection.core.lock().answer_word(text);
        connection.shared.metrics.packets_sent.add(1);
        connection.waker.wake();
    }
}

/// Serves one connection until it ends.
pub struct ConnectionTask {
    reader: OwnedReadHalf,
    connection: Arc<ClientConnection>,
}

/// Whether nothing of what the client has not taken yet is worth waiting for.
fn is_final(ending: &Ending) -> bool {
    matches!(
        ending,
        Ending::Asked(
            CloseReason::SessionExpired
                | CloseReason::SessionTakenOver
                | CloseReason::TooManyUnreadEvents
                | CloseReason::TooManyUnreadAnswers
                | CloseReason::StaleRequest
                | CloseReason::NoHandshake
                | CloseReason::NotServing
                | CloseReason::ServerStops
        )
    )
}

enum Progress {
    /// Look again when other tasks had their turn.
    Yield,
    /// Look again: something may have changed.
    Again,
    /// Wait for the socket, the server, or both.
    Wait,
    /// The connection is over.
    Over,
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..TURNS_IN_A_ROW {
            // Before looking, so that whatever comes after the look wakes us.
            this.connection.waker.register(cx.waker());
            match this.turn(cx) {
                Progress::Again => {}
                Progress::Yield => break,
                Progress::Wait => return Poll::Pending,
                Progress::Over => return Poll::Ready(()),
            }
        }
        // Behind all that are ready now.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Bytes written in one turn, at most: the kernel copies a megabyte in a quarter of a millisecond,
/// and others want theirs.
const MOST_WRITTEN: usize = 32 << 10;
/// Turns of one connection before the others get theirs; a turn reads at most once.
const TURNS_IN_A_ROW: usize = 4;

impl ConnectionTask {
    fn turn(&mut self, cx: &mut Context<'_>) -> Progress {
        let connection = &self.connection;
        let shared = &connection.shared;
        if connection.abandoned.load(Ordering::Acquire) {
            return Progress::Over;
        }
        let mut core = connection.core.lock();
        let mut more = false;
        if connection.queue.is_filled() || core.has_waiting_input() {
            let start = shared.clock.nanos();
            let mut pass = core.resume(start / 1_000_000, &shared.around);
            more = pass.more;
            connection.count(&mut pass, start);
            if !pass.submissions.is_empty() {
                // Free, so that an answer that is here at once can be sent at once.
                drop(core);
                shared.submit.submit(pass.submissions);
                core = connection.core.lock();
            }
        }
        if let Some(word) = core.take_word() {
            drop(core);
            connection.queue.count(1, 0, None);
            shared.metrics.packets_received.add(1);
            (shared.words)(word, WordReply { connection: connection.clone() });
            core = connection.core.lock();
        }
        if connection.write(&mut core).is_err() {
            return Progress::Over;
        }
        let all_written = core.output().is_empty();
        if all_written && more {
            return Progress::Yield;
        }
        if all_written && core.has_waiting_input() && connection.queue.is_filled() {
            return Progress::Again;
        }
        if core.ending().is_some_and(|ending| all_written || is_final(ending)) {
            return Progress::Over;
        }
        if all_written && core.is_done(&shared.around) {
            return Progress::Over;
        }
        let wants_input = core.wants_input() && !(core.has_unfinished() && shared.is_busy());
        connection.paused.store(!wants_input, Ordering::Release);
        let talked = core.is_done_talking();
        let should_be_over = talked || core.ending().is_some();
        drop(core);
        if talked && all_written {
            return Progress::Over;
        }
        if should_be_over && connection.ending_since_ms().is_none() {
            connection.ending_since_ms.store(shared.clock.now().mono_ms.max(1), Ordering::Release);
        }
        if !all_written {
            match self.reader.as_ref().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => return Progress::Yield,
                Poll::Ready(Err(_)) => return Progress::Over,
                Poll::Pending => {}
            }
        }
        if wants_input { self.read(cx) } else { Progress::Wait }
    }

    /// Reads once and lets the core take it.
    fn read(&mut self, cx: &mut Context<'_>) -> Progress {
        let ConnectionTask { reader, connection } = self;
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => return Progress::Wait,
                Poll::Ready(Err(_)) => return Progress::Over,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    connection.core.lock().client_is_done();
                    return Progress::Again;
                }
                Poll::Ready(Ok(())) => {}
            }
            // More of the same waits behind it: others first.
            let then = if buffer.remaining() == 0 { Progress::Yield } else { Progress::Again };
            let shared = &connection.shared;
            let start = shared.clock.nanos();
            let mut core = connection.core.lock();
            let mut pass = core.receive(start / 1_000_000, buffer.filled(), &shared.around);
            shared.metrics.bytes_received_count.add(buffer.filled().len() as u64);
            connection.count(&mut pass, start);
            let written = connection.write(&mut core);
            drop(core);
            if !pass.submissions.is_empty() {
                shared.submit.submit(pass.submissions);
            }
            match written {
                Ok(()) => then,
                Err(_) => Progress::Over,
            }
        })
    }
}

impl Drop for ConnectionTask {
    /// The watches go with the connection, the session stays (C-016, C-129).
    fn drop(&mut self) {
        let connection = &self.connection;
        let shared = &connection.shared;
        shared.connections.remove(connection.id);
        connection.queue.kill();
        let core = connection.core.lock();
        shared.around.watches.remove_connection(connection.id);
        if core.ending().is_none() && !core.is_talking() {
            shared.metrics.connection_drop_count.add(1);
        }
        log_ending(&core, connection);
        // A reset would take away what was just written, and unread input causes one.
        discard_input(&self.reader);
    }
}

fn discard_input(reader: &OwnedReadHalf) {
    const MOST: usize = 1 << 20;
    READ_BUFFER.with(|buffer| {
        let Ok(mut buffer) = buffer.try_borrow_mut() else { return };
        let mut discarded = 0;
        while let Ok(n) = reader.try_read(&mut buffer) {
            discarded += n;
            if n == 0 || discarded > MOST {
                break;
            }
        }
    });
}

fn log_ending(core: &ConnectionCore, connection: &ClientConnection) {
    let (session, peer, shared) = (core.session(), connection.peer, &connection.shared);
    // What hostile clients can cause as often as they like is not written as often.
    let breach = || shared.breaches.admit(shared.clock.now().mono_ms);
    match core.ending() {
        None => tracing::debug!(%peer, %session, "the client closed its connection"),
        Some(Ending::Asked(
            reason @ (CloseReason::SessionClosed
            | CloseReason::NotServing
            | CloseReason::ServerStops),
        )) => {
            tracing::debug!(%peer, %session, ?reason, "connection closed");
        }
        Some(Ending::Asked(CloseReason::NoHandshake)) => {
            if let Some(withheld) = breach() {
                tracing::info!(%peer, withheld, "connection closed: no session was asked for");
            }
        }
        Some(Ending::Asked(reason)) => {
            tracing::info!(%peer, %session, ?reason, "connection closed");
        }
        Some(Ending::Garbage(what)) => {
            if let Some(withheld) = breach() {
                tracing::warn!(
                    %peer, %session, %what, withheld, "connection closed: it broke the protocol"
                );
            }
        }
        Some(Ending::AheadOfUs(seen)) => {
            if let Some(withheld) = breach() {
                let what = "connection refused: the client has seen a newer state";
                tracing::info!(%peer, %seen, withheld, "{what}");
            }
        }
        Some(Ending::WrongPassword(session)) => {
            if let Some(withheld) = breach() {
                tracing::warn!(%peer, %session, withheld, "session refused: wrong password");
            }
        }
        Some(Ending::AuthFailed) => {
            if let Some(withheld) = breach() {
                let what = "connection closed: authentication failed";
                tracing::warn!(%peer, %session, withheld, "{what}");
            }
        }
        Some(Ending::NotAuthenticated) => {
            tracing::warn!(
                %peer, %session,
                "connection closed: it asked for something before it authenticated"
            );
        }
        Some(Ending::WrongEnsemble) => {
            tracing::warn!(%peer, %session, "connection closed: it means another ensemble");
        }
        Some(Ending::ReplyTooLarge) => {
            tracing::warn!(%peer, %session, "connection closed: a multiRead's reply is too large");
        }
        Some(Ending::Throttled) => {
            shared.metrics.connection_rejected.add(1);
            if let Some(withheld) = shared.refusals.admit(shared.clock.now().mono_ms) {
                let why = "too many sessions begin (connection_throttle_tokens)";
                tracing::warn!(%peer, withheld, "connection refused: {why}");
            }
        }
        Some(Ending::TooManyLargeRequests(bytes)) => {
            shared.metrics.large_requests_rejected.add(1);
            if let Some(withheld) = breach() {
                let why = "no room for another large request (largeRequestMaxBytes)";
                tracing::warn!(%peer, %session, bytes, withheld, "connection closed: {why}");
            }
        }
    }
}
