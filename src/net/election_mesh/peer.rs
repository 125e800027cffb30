//! One server's place in the mesh: what waits for it, and which connection counts.
//!
//! Two locks: one around the message that waits, taken for a moment by whoever sends; one around
//! the connection, held while [`MeshEvents`] is told, and asked for only by who holds neither. So
//! who sends never waits for who listens, and what is told has an order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::pace::Pace;
use super::{Mesh, MeshEvents, connection};
use crate::net::log_limit::LogLimit;
use crate::net::peer_addresses::HostPort;
use crate::proto::{Notification, Sid};

/// A server's place.
pub struct Peer {
    sid: Sid,
    outgoing: Mutex<Outgoing>,
    line: Mutex<Line>,
    /// Whether there is something for its keeper to do.
    wanted: watch::Sender<bool>,
    hurry: Notify,
    /// Lines of the log about its connections.
    lines: LogLimit,
    pace: Pace,
}

#[derive(Default)]
struct Outgoing {
    unsent: Option<Bytes>,
    last: Option<Bytes>,
    /// The connection that may send, with how its writer is woken.
    writer: Option<(u64, Arc<Notify>)>,
}

struct Line {
    /// Where the configuration says it is; nowhere, if it is no member.
    configured: Vec<HostPort>,
    /// Where it said itself that it can be called back.
    told: Vec<HostPort>,
    /// It has asked for a connection since the last one was made.
    summoned: bool,
    connection: Option<Current>,
    /// Of the connections so far.
    made: u64,
    /// It is nobody's place any more.
    gone: bool,
}

struct Current {
    id: u64,
    task: AbortHandle,
}

/// What a keeper has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Errand {
    /// To dial these addresses.
    Dial {
        /// Those of the configuration.
        configured: Vec<HostPort>,
        /// Those that it has told itself, which may be anybody's.
        told: Vec<HostPort>,
    },
    /// Nothing, ever again, for a server that is no member and has left.
    Leave,
}

/// The place is nobody's any more; there may be a new one.
#[derive(Debug)]
pub struct Gone;

impl Peer {
    /// The place of a server without a connection; `configured` is empty if it is no member.
    pub fn new(sid: Sid, configured: Vec<HostPort>) -> Self {
        let is_member = !configured.is_empty();
        let line = Line {
            configured,
            told: Vec::new(),
            summoned: false,
            connection: None,
            made: 0,
            gone: false,
        };
        Peer {
            sid,
            outgoing: Mutex::default(),
            line: Mutex::new(line),
            wanted: watch::Sender::new(is_member),
            hurry: Notify::new(),
            lines: LogLimit::default(),
            pace: Pace::default(),
        }
    }

    /// Whether a line about its connections may be written; if so, how many were withheld before
    /// it. Those that are no members share one limit: there is no end to their ids.
    pub fn admits_line(&self, mesh: &Mesh) -> Option<u64> {
        let lines = if self.is_member() { &self.lines } else { &mesh.strangers.lines };
        lines.admit(mesh.options.clock.now().mono_ms)
    }

    /// It has sent so many bytes, or has come, with none. Returns when it may be heard again.
    pub async fn keeps_pace(&self, mesh: &Mesh, bytes: usize) {
        let pace = if self.is_member() { &self.pace } else { &mesh.strangers.pace };
        pace.keep(&*mesh.options.clock, bytes).await;
    }

    fn is_member(&self) -> bool {
        !self.line.lock().configured.is_empty()
    }

    /// Its id.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// The message takes the place of one that waits.
    pub fn send(&self, message: Bytes) {
        self.outgoing.lock().unsent = Some(message);
        self.wake_writer();
    }

    /// There may be something to send.
    pub fn wake_writer(&self) {
        if let Some((_, wake)) = &self.outgoing.lock().writer {
            wake.notify_one();
        }
    }

    /// The message that waits, for the writer of that connection; none in a silence.
    pub fn next_message(&self, mesh: &Mesh, connection: u64) -> Option<Bytes> {
        if mesh.is_silent.load(Ordering::Relaxed) {
            return None;
        }
        let mut outgoing = self.outgoing.lock();
        outgoing.writer.as_ref().filter(|(id, _)| *id == connection)?;
        let message = outgoing.unsent.take()?;
        outgoing.last = Some(message.clone());
        Some(message)
    }

    /// If it is to be dialled, then now.
    pub fn hurry(&self) {
        if *self.wanted.borrow() {
            self.hurry.notify_one();
        }
    }

    /// Returns when somebody is in a hurry.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Tells when there is something for its keeper to do.
    pub fn wanted(&self) -> watch::Receiver<bool> {
        self.wanted.subscribe()
    }

    /// What there is to do.
    pub fn errand(&self) -> Errand {
        let line = self.line.lock();
        if line.configured.is_empty() && !line.summoned {
            return Errand::Leave;
        }
        // The configuration comes first: anybody can say that it can be called back somewhere else.
        let configured = line.configured.clone();
        let told = line.told.iter().filter(|told| !configured.contains(told)).cloned().collect();
        Errand::Dial { configured, told }
    }

    /// The configuration says something else of it; nothing, if it is no member any more.
    pub fn configure(&self, configured: Vec<HostPort>) {
        let mut line = self.line.lock();
        let moved = line.configured != configured;
        line.configured = configured;
        self.look(&line);
        if moved {
            self.hurry();
        }
    }

    /// It has asked to be called back.
    ///
    /// # Errors
    /// The place is nobody's any more.
    pub fn summon(&self, told: Vec<HostPort>) -> Result<(), Gone> {
        let mut line = self.line.lock();
        if line.gone {
            return Err(Gone);
        }
        line.told = told;
        line.summoned = true;
        self.look(&line);
        self.hurry();
        Ok(())
    }

    /// A connection begins, in the place of the one that there may be. `input` was read from it
    /// already.
    ///
    /// # Errors
    /// The place is nobody's any more; the stream comes back.
    pub fn begin(
        self: &Arc<Self>,
        mesh: &Arc<Mesh>,
        stream: TcpStream,
        input: BytesMut,
    ) -> Result<(), (TcpStream, BytesMut)> {
        let mut line = self.line.lock();
        if line.gone {
            return Err((stream, input));
        }
        line.made += 1;
        let id = line.made;
        let wake = Arc::new(Notify::new());
        {
            let mut outgoing = self.outgoing.lock();
            outgoing.writer = Some((id, wake.clone()));
            if outgoing.unsent.is_none() {
                outgoing.unsent = outgoing.last.clone();
            }
        }
        tracing::debug!(peer = %self.sid, number = id, "election connection is made");
        mesh.events.up(self.sid);
        let serving = connection::serve(mesh.clone(), self.clone(), id, stream, input, wake);
        let task = mesh.handle.spawn(serving).abort_handle();
        if let Some(older) = line.connection.replace(Current { id, task }) {
            older.task.abort();
        }
        line.summoned = false;
        self.look(&line);
        Ok(())
    }

    /// A message came over that connection.
    pub fn hear(&self, events: &dyn MeshEvents, connection: u64, notification: Notification) {
        let line = self.line.lock();
        if line.connection.as_ref().is_some_and(|current| current.id == connection) {
            events.notified(self.sid, notification);
        }
    }

    /// That connection is over. Whether it was the one that counts.
    pub fn ended(&self, events: &dyn MeshEvents, connection: u64) -> bool {
        let mut line = self.line.lock();
        let current = line.connection.take_if(|current| current.id == connection).is_some();
        if current {
            self.outgoing.lock().writer = None;
            events.down(self.sid);
            self.look(&line);
        }
        current
    }

    /// Nobody answers where it should be called back: what connection there was is worth nothing.
    pub fn unreachable(&self, events: &dyn MeshEvents) {
        let mut line = self.line.lock();
        if std::mem::take(&mut line.summoned) {
            self.drop_connection(&mut line, events);
        }
        self.look(&line);
    }

    /// Ends whatever it has, for good.
    pub fn end(&self, events: &dyn MeshEvents) {
        let mut line = self.line.lock();
        line.gone = true;
        self.drop_connection(&mut line, events);
    }

    /// As [`Peer::end`], without a word.
    pub fn discard(&self) {
        let mut line = self.line.lock();
        line.gone = true;
        if let Some(current) = line.connection.take() {
            current.task.abort();
        }
    }

    /// A server that is no member and has no connection gives its place up. Whether it is so.
    pub fn leave(&self) -> bool {
        let mut line = self.line.lock();
        let leaves = line.configured.is_empty() && !line.summoned && line.connection.is_none();
        line.gone |= leaves;
        leaves
    }

    fn drop_connection(&self, line: &mut Line, events: &dyn MeshEvents) {
        if let Some(current) = line.connection.take() {
            current.task.abort();
            self.outgoing.lock().writer = None;
            events.down(self.sid);
        }
    }

    /// Wakes the keeper if there is something to do.
    fn look(&self, line: &Line) {
        self.wanted.send_replace(line.connection.is_none() || line.summoned);
    }
}
