//! One link: what waits to be sent over it, and whether it has ended.
//!
//! What always holds:
//! * What is given to a link goes out in that order: behind a stretch of the log or a tree nothing is
//!   written before that is through.
//! * Whoever writes holds the lock and does not wait; only the link's own task waits for the socket,
//!   and reads log and tree.
//! * A link ends once, and keeps nothing then. A pin is only let go where one may wait, for a purge may
//!   be under way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::net::link_buffer::LinkBuffer;
use crate::net::quorum_link::LinkSocket;
use crate::persistence::pins::Pin;
use crate::persistence::snapshot::SnapshotStream;
use crate::proto::quorum_packet::Side;
use crate::proto::{LinkId, Zxid};

/// More bytes must not wait for the other end.
const MOST_BYTES: usize = 64 << 20;

/// A link with a learner, or with the leader.
pub(super) struct Link {
    pub id: LinkId,
    state: Mutex<State>,
    /// Wakes the task that writes.
    pub work: Notify,
}

#[derive(Default)]
struct State {
    /// `None` before it is dialled, and after its end.
    socket: Option<Arc<LinkSocket>>,
    peer: Option<SocketAddr>,
    /// The task that dials.
    dial: Option<AbortHandle>,
    waiting: VecDeque<Waiting>,
    /// Bytes of packets among what waits.
    bytes: usize,
    /// The link's task sends a stretch of the log, or a tree.
    busy: bool,
    /// It does or did, and something waits behind since.
    behind: bool,
    /// The tree for the first place that waits for one.
    tree: Option<Box<SnapshotStream>>,
    /// What a learner may need of the log stays.
    pin: Option<Pin>,
    over: Option<Over>,
}

enum Waiting {
    Packets(LinkBuffer),
    Log { after: Zxid, through: Zxid },
    Tree,
}

/// Why a link has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Over {
    /// The core wanted it, or does not know of it: it is not told.
    Closed,
    /// It broke, in words.
    Broken(String),
}

/// What the task that writes does next.
pub(super) enum Next {
    /// Wait until the socket takes more.
    Full(Arc<LinkSocket>),
    /// Wait until there is something.
    Idle,
    Log {
        socket: Arc<LinkSocket>,
        after: Zxid,
        through: Zxid,
    },
    Tree {
        socket: Arc<LinkSocket>,
        tree: Box<SnapshotStream>,
    },
    /// The link has ended.
    End,
}

impl Link {
    pub(super) fn new(id: LinkId) -> Arc<Self> {
        Arc::new(Link { id, state: Mutex::default(), work: Notify::new() })
    }

    /// Who speaks at the other end.
    pub(super) fn other(&self) -> Side {
        if self.id.is_accepted() { Side::Learner } else { Side::Leader }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.state.lock().peer
    }

    /// Bytes of packets that wait to be sent.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.state.lock().bytes
    }

    pub(super) fn over(&self) -> Option<Over> {
        self.state.lock().over.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over.is_some()
    }

    /// The task that dials ends with the link.
    pub(super) fn dialled_by(&self, task: AbortHandle) {
        let mut state = self.state.lock();
        match state.over {
            None => state.dial = Some(task),
            Some(_) => task.abort(),
        }
    }

    /// The link is connected; false if it has ended meanwhile.
    pub(super) fn connected(&self, socket: LinkSocket) -> bool {
        let mut state = self.state.lock();
        state.dial = None;
        let goes_on = state.over.is_none();
        if goes_on {
            state.peer = Some(socket.peer());
            state.socket = Some(Arc::new(socket));
        }
        goes_on
    }

    /// Sends packets, which are taken: straight away what the socket takes, if nothing waits.
    pub(super) fn send(&self, packets: &mut LinkBuffer) {
        let mut state = self.state.lock();
        if state.over.is_some() {
            *packets = LinkBuffer::default();
            return;
        }
        state.bytes += packets.len();
        match state.waiting.back_mut() {
            Some(Waiting::Packets(waiting)) => waiting.append(packets),
            _ => state.waiting.push_back(Waiting::Packets(std::mem::take(packets))),
        }
        self.write(&mut state);
        if state.bytes > MOST_BYTES {
            let why = format!("more than {MOST_BYTES} bytes wait to be sent to it");
            self.finish(&mut state, Over::Broken(why));
        }
    }

    /// Sends a stretch of the log.
    pub(super) fn send_log(&self, after: Zxid, through: Zxid) {
        self.push(Waiting::Log { after, through });
    }

    /// A tree has its place here.
    pub(super) fn tree_comes(&self) {
        self.push(Waiting::Tree);
    }

    /// The tree for that place.
    pub(super) fn send_tree(&self, tree: SnapshotStream) {
        let mut state = self.state.lock();
        if state.over.is_none() {
            state.tree = Some(Box::new(tree));
            self.work.notify_one();
        }
    }

    /// What a learner may need of the log stays, until it is sent or the link ends. Returns the pin
    /// if it has ended, or the one before.
    pub(super) fn hold(&self, pin: Pin) -> Result<Option<Pin>, Pin> {
        let mut state = self.state.lock();
        match state.over {
            None => Ok(state.pin.replace(pin)),
            Some(_) => Err(pin),
        }
    }

    /// The link needs the pin no more.
    pub(super) fn take_pin(&self) -> Option<Pin> {
        self.state.lock().pin.take()
    }

    /// The task that writes has sent the stretch of the log or the tree.
    pub(super) fn is_free(&self) {
        self.state.lock().busy = false;
    }

    /// Writes what the socket takes, and says what is to be done then; and whether something of what
    /// waited behind a tree or a stretch of the log has left. For the task that writes.
    pub(super) fn next(&self) -> (Next, bool) {
        let mut state = self.state.lock();
        let (before, behind) = (state.bytes, state.behind);
        self.write(&mut state);
        let has_left = behind && state.bytes < before;
        (self.after_writing(&mut state), has_left)
    }

    fn after_writing(&self, state: &mut State) -> Next {
        let State { over: None, socket: Some(socket), .. } = state else {
            return if state.over.is_some() { Next::End } else { Next::Idle };
        };
        let socket = socket.clone();
        match state.waiting.front() {
            None => Next::Idle,
            Some(Waiting::Packets(_)) => Next::Full(socket),
            Some(&Waiting::Log { after, through }) => {
                state.waiting.pop_front();
                (state.busy, state.behind) = (true, true);
                Next::Log { socket, after, through }
            }
            Some(Waiting::Tree) => match state.tree.take() {
                None => Next::Idle,
                Some(tree) => {
                    state.waiting.pop_front();
                    (state.busy, state.behind) = (true, true);
                    Next::Tree { socket, tree }
                }
            },
        }
    }

    /// Ends the link, unless it has ended.
    pub(super) fn end(&self, over: Over) {
        self.finish(&mut self.state.lock(), over);
    }

    fn push(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        if state.over.is_none() {
            state.waiting.push_back(waiting);
            self.work.notify_one();
        }
    }

    /// Writes packets as far as the socket takes them. What is left is the task's business.
    fn write(&self, state: &mut State) {
        if state.busy {
            return;
        }
        let Some(socket) = state.socket.clone() else { return };
        while let Some(Waiting::Packets(packets)) = state.waiting.front_mut() {
            let before = packets.len();
            let written = socket.try_write(packets);
            state.bytes -= before - packets.len();
            match written {
                Ok(true) => drop(state.waiting.pop_front()),
                Ok(false) => return self.work.notify_one(),
                Err(error) => return self.finish(state, Over::Broken(error.to_string())),
            }
        }
        state.behind &= !state.waiting.is_empty();
    }

    fn finish(&self, state: &mut State, over: Over) {
        if state.over.is_some() {
            return;
        }
        if let Some(socket) = &state.socket {
            socket.end();
        }
        if let Some(task) = &state.dial {
            task.abort();
        }
        let (peer, pin) = (state.peer, state.pin.take());
        *state = State { over: Some(over), peer, pin, ..State::default() };
        self.work.notify_one();
    }
}
