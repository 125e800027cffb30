//! `QuorumCnxManager`: the connections over which servers elect a leader, one between each two.
//!
//! ```text
//!              notify ──▶ the newest message ──▶ writer ─┐
//!  a peer's                                              ├─ one connection ── the other server
//!    place    notified ◀──────────────────────── reader ─┘
//!                 keeper: dials while there is no connection, or when the other asks for one
//! ```
//!
//! What always holds:
//! * The server with the larger id makes the connection. One with a smaller id dials, says who it
//!   is, and hangs up; that asks the other to call back.
//! * What waits for a server is one message, the newest. When a connection begins and nothing
//!   waits, the last message is sent again, since it may not have arrived.
//! * Of each server, [`MeshEvents`] hears in this order: up, its messages, down. A connection that
//!   takes another's place is told as another up; no message of the older one comes behind it.
//! * Nobody waits for anybody: each server has its own tasks, a name is looked up aside, and what a
//!   server sends or does not read takes bounded memory. None is heard faster than its pace, however
//!   often it comes back; strangers share one.
//! * Whoever connects is heard, member or not, because a server that is not yet a member learns of
//!   the leader here. But connections that have not said who they are, and servers that are no
//!   members, are few: the oldest make room.

mod connection;
mod greeting;
mod keeper;
mod listener;
mod pace;
mod peer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::pace::Pace;
use self::peer::Peer;
use super::half_open::HalfOpen;
use super::log_limit::LogLimit;
use super::peer_addresses::{HostPort, Listed, Names};
use super::socket_options::SocketOptions;
use crate::proto::{Notification, Sid};
use crate::time::Clock;

/// What a mesh is told to be.
#[derive(Clone)]
pub struct MeshOptions {
    /// The own id.
    pub me: Sid,
    /// How long a dial may take, names and all, in milliseconds; 0 is as long as the system takes
    /// (`cnxTimeout`).
    pub connect_timeout_ms: u64,
    /// How long whoever connects may take to say who it is, in milliseconds; 0 is without end
    /// (`quorumCnxnTimeoutMs`, or syncLimit ticks).
    pub greeting_timeout_ms: u64,
    /// Whether the system probes silent connections (`tcpKeepAlive`).
    pub tcp_keep_alive: bool,
    /// How often listening is tried, a second apart, before it is given up; 0 is without end
    /// (`electionPortBindRetry`).
    pub bind_retries: u32,
    /// Whether to listen on all addresses of the machine instead of the configured ones
    /// (`quorumListenOnAllIPs`).
    pub listen_on_all_ips: bool,
    /// Whether to tell the others of all own addresses instead of the first, which servers of
    /// before 3.6 do not understand (`multiAddress.enabled`).
    pub multi_address: bool,
    /// The time, for lines of the log.
    pub clock: Arc<dyn Clock>,
}

/// Who hears of the mesh.
///
/// It is called from the mesh's tasks, and for messages to oneself from within
/// [`ElectionMesh::notify`]. It must be quick, and not call the mesh.
pub trait MeshEvents: Send + Sync {
    /// A server, or this one itself, has sent a notification.
    fn notified(&self, from: Sid, notification: Notification);
    /// There is a connection with that server now, perhaps in another's place.
    fn up(&self, peer: Sid);
    /// There is none any more.
    fn down(&self, peer: Sid);
    /// Nobody can connect to this server, and it is no longer tried: Apache ZooKeeper ends with
    /// exit code 14.
    fn deaf(&self, why: MeshStartError);
}

/// Why a mesh cannot be.
#[derive(Debug, thiserror::Error)]
pub enum MeshStartError {
    /// The members have no election address of this server.
    #[error("{0} is not among the servers of the configuration, or has no election address")]
    NotAMember(Sid),
    /// The own election address cannot be listened on.
    #[error(
        "the election address {address} cannot be listened on: {error}. Whoever listens there must \
         go, or the server line with this server's id must name an address of this machine; \
         electionPortBindRetry says how often it is tried"
    )]
    CannotListen {
        /// The address.
        address: String,
        /// What the system says.
        error: io::Error,
    },
}

/// A server's part of the mesh. Clones are the same one.
#[derive(Clone)]
pub struct ElectionMesh {
    mesh: Arc<Mesh>,
}

impl std::fmt::Debug for ElectionMesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElectionMesh").field("me", &self.mesh.options.me).finish_non_exhaustive()
    }
}

impl ElectionMesh {
    /// Listens and begins to dial, on the runtime behind `handle`. `members` are the election
    /// addresses of all servers, the own ones among them.
    ///
    /// An own address that cannot be listened on is tried again in the background, as often as the
    /// options say, and [`MeshEvents::deaf`] is told in the end. A name that means nothing yet does
    /// not count: it is waited for.
    ///
    /// # Errors
    /// This server has no address among the members.
    pub fn start(
        handle: &Handle,
        options: MeshOptions,
        members: BTreeMap<Sid, Vec<HostPort>>,
        events: Arc<dyn MeshEvents>,
    ) -> Result<Self, MeshStartError> {
        Self::start_with(handle, options, members, events, Names::system().clone())
    }

    fn start_with(
        handle: &Handle,
        options: MeshOptions,
        members: BTreeMap<Sid, Vec<HostPort>>,
        events: Arc<dyn MeshEvents>,
        names: Names,
    ) -> Result<Self, MeshStartError> {
        if members.get(&options.me).is_none_or(Vec::is_empty) {
            return Err(MeshStartError::NotAMember(options.me));
        }
        let mesh = Arc::new(Mesh {
            options,
            names,
            events,
            handle: handle.clone(),
            places: Mutex::default(),
            half_open: HalfOpen::default(),
            is_silent: AtomicBool::new(false),
            listening: watch::Sender::new(false),
            refusals: LogLimit::default(),
            strangers: Strangers::default(),
        });
        mesh.set_members(members);
        Ok(ElectionMesh { mesh })
    }

    /// Sends a notification, as soon as there is a connection; what waits for that server is
    /// replaced. One to this server itself is heard before this returns. Never blocks.
    pub fn notify(&self, to: Sid, notification: &Notification) {
        if to == self.mesh.options.me {
            return self.mesh.events.notified(to, notification.clone());
        }
        let Some(peer) = self.mesh.peer(to) else {
            tracing::debug!(%to, "a notification for a server that is not there any more");
            return;
        };
        let mut bytes = Vec::new();
        notification.write(&mut bytes);
        peer.send(Bytes::from(bytes));
        peer.hurry();
    }

    /// Dials every member with which there is no connection, without waiting any longer.
    pub fn connect_all(&self) {
        let places = self.mesh.places.lock();
        places.peers.values().for_each(|place| place.peer.hurry());
    }

    /// Other members, or other addresses, from now on. Who is no member any more keeps its
    /// connection, but is not dialled again.
    pub fn set_members(&self, members: BTreeMap<Sid, Vec<HostPort>>) {
        self.mesh.set_members(members);
    }

    /// For so many milliseconds nothing is sent, to nobody; then to each the newest that there was to
    /// send. Who speaks is heard.
    pub fn stand_back(&self, ms: u64) {
        let mut places = self.mesh.places.lock();
        if places.stopped {
            return;
        }
        self.mesh.is_silent.store(true, Ordering::Relaxed);
        let mesh = self.mesh.clone();
        let silence = self.mesh.handle.spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            mesh.is_silent.store(false, Ordering::Relaxed);
            mesh.places.lock().peers.values().for_each(|place| place.peer.wake_writer());
        });
        if let Some(older) = places.silence.replace(silence.abort_handle()) {
            older.abort();
        }
    }

    /// Ends all connections and listens no more. When it returns nothing more is heard, except of
    /// what another thread is telling this moment.
    pub fn stop(&self) {
        let mut places = self.mesh.places.lock();
        places.stopped = true;
        places.listener.take().inspect(AbortHandle::abort);
        places.silence.take().inspect(AbortHandle::abort);
        for place in std::mem::take(&mut places.peers).into_values() {
            place.keeper.abort();
            place.peer.discard();
        }
        self.mesh.half_open.take_all().for_each(|task| task.abort());
    }
}

/// What all tasks of a mesh share.
struct Mesh {
    options: MeshOptions,
    names: Names,
    events: Arc<dyn MeshEvents>,
    handle: Handle,
    places: Mutex<Places>,
    half_open: HalfOpen<AbortHandle>,
    /// Nothing is sent.
    is_silent: AtomicBool,
    /// Whether others can connect.
    listening: watch::Sender<bool>,
    /// Lines of the log about connections that were not taken.
    refusals: LogLimit,
    strangers: Strangers,
}

/// What servers that are no members share: there is no end to their ids.
#[derive(Default)]
struct Strangers {
    lines: LogLimit,
    pace: Pace,
}

/// Everybody else.
#[derive(Default)]
struct Places {
    stopped: bool,
    /// The own addresses.
    own: Vec<HostPort>,
    listener: Option<AbortHandle>,
    /// Ends the silence.
    silence: Option<AbortHandle>,
    peers: BTreeMap<Sid, Place>,
    /// Of the places so far.
    made: u64,
    /// Of the servers without an id of their own so far.
    anonymous: i64,
}

/// A server that is a member, or is here.
struct Place {
    peer: Arc<Peer>,
    keeper: AbortHandle,
    /// Its number among the places, the older the smaller.
    number: u64,
    is_member: bool,
}

/// Servers that are no members, at once. Each may fill the memory of one message.
const MOST_STRANGERS: usize = 32;

impl Places {
    /// Takes the place of the stranger that has been here longest, if no other has room.
    fn oldest_of_too_many(&mut self) -> Option<Place> {
        let strangers = || self.peers.iter().filter(|(_, place)| !place.is_member);
        let oldest = strangers().min_by_key(|(_, place)| place.number).map(|(sid, _)| *sid);
        oldest
            .filter(|_| strangers().count() >= MOST_STRANGERS)
            .and_then(|sid| self.peers.remove(&sid))
    }
}

impl Mesh {
    fn peer(&self, sid: Sid) -> Option<Arc<Peer>> {
        self.places.lock().peers.get(&sid).map(|place| place.peer.clone())
    }

    /// The place of a server that is here; a new one, if it is no member. `None` once the mesh has
    /// ended.
    fn place_of(self: &Arc<Self>, sid: Sid) -> Option<Arc<Peer>> {
        let mut places = self.places.lock();
        if places.stopped {
            return None;
        }
        if let Some(place) = places.peers.get(&sid) {
            return Some(place.peer.clone());
        }
        let oldest = places.oldest_of_too_many();
        let made = self.add(&mut places, sid, Vec::new());
        drop(places);
        if let Some(Place { peer, keeper, .. }) = oldest {
            keeper.abort();
            peer.end(&*self.events);
            let gone = peer.sid();
            self.log_refusal(format_args!("{gone} is no member and makes room for {sid}"));
        }
        Some(made)
    }

    fn add(
        self: &Arc<Self>,
        places: &mut Places,
        sid: Sid,
        configured: Vec<HostPort>,
    ) -> Arc<Peer> {
        let is_member = !configured.is_empty();
        let peer = Arc::new(Peer::new(sid, configured));
        let keeper = self.handle.spawn(keeper::keep(self.clone(), peer.clone())).abort_handle();
        places.made += 1;
        let number = places.made;
        places.peers.insert(sid, Place { peer: peer.clone(), keeper, number, is_member });
        peer
    }

    /// A stranger's keeper ends.
    fn forget(&self, peer: &Arc<Peer>) -> bool {
        let mut places = self.places.lock();
        let gone = peer.leave();
        if gone && places.peers.get(&peer.sid()).is_some_and(|p| Arc::ptr_eq(&p.peer, peer)) {
            places.peers.remove(&peer.sid());
        }
        gone
    }

    fn set_members(self: &Arc<Self>, mut members: BTreeMap<Sid, Vec<HostPort>>) {
        let mut places = self.places.lock();
        if places.stopped {
            return;
        }
        let own = members.remove(&self.options.me).unwrap_or_default();
        for (sid, place) in &mut places.peers {
            let configured = members.remove(sid).unwrap_or_default();
            place.is_member = !configured.is_empty();
            place.peer.configure(configured);
        }
        for (sid, configured) in members {
            self.add(&mut places, sid, configured);
        }
        // A server that is no member any more can still be called back where it was.
        if !own.is_empty() && own != places.own {
            tracing::info!(addresses = %Listed(&own), "elections are held here");
            places.own = own.clone();
            places.listener.take().inspect(AbortHandle::abort);
            let listening = listener::listen(self.clone(), own);
            places.listener = Some(self.handle.spawn(listening).abort_handle());
        }
    }

    /// An id for a server that has none.
    fn private_sid(&self) -> Sid {
        let mut places = self.places.lock();
        places.anonymous -= 1;
        Sid(places.anonymous)
    }

    /// What both sides of a connection want of it.
    fn socket_options(&self) -> SocketOptions {
        SocketOptions { nodelay: true, keep_alive: self.options.tcp_keep_alive }
    }

    fn connect_timeout(&self) -> Duration {
        limit(self.options.connect_timeout_ms)
    }

    fn log_refusal(&self, what: std::fmt::Arguments<'_>) {
        if let Some(withheld) = self.refusals.admit(self.options.clock.now().mono_ms) {
            tracing::warn!(withheld, "election connection refused: {what}");
        }
    }
}

/// A time limit as Java has it, where 0 is none.
fn limit(ms: u64) -> Duration {
    if ms == 0 { Duration::MAX } else { Duration::from_millis(ms) }
}
