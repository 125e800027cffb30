//! The links between servers, on real sockets: the driver's door to its learners and its leader.
//!
//! ```text
//! driver ──packets──▶ Link ─ try_write ─▶ socket        the driver writes itself what goes at once
//!                       └──── send task ──▶ socket        the rest, stretches of the log, trees
//! inbox ◀── packets, SnapshotArrived, LinkClosed ── receive task ◀── socket
//! ```
//!
//! What always holds:
//! * What is sent over a link arrives in the order in which the core gave it, a stretch of the log
//!   and a tree in their places.
//! * Of who comes to the quorum port the core hears with the first packet. Those who have said
//!   nothing are few: the oldest makes room.
//! * What waits in either direction is bounded: a learner that does not take what it is sent loses
//!   its link, and what the driver does not take is not read.
//! * A failure of the disk ends the process.

mod accept;
mod dial;
mod link;
mod receive;
mod send;
mod signs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use self::accept::Stranger;
use self::link::{Link, Over};
use super::doors::LinkDoor;
use super::fatal::{ExitCode, die_of_disk};
use super::inbox::Inbox;
use super::shared_driver::TurnInPlace;
use crate::net::half_open::HalfOpen;
use crate::net::link_buffer::LinkBuffer;
use crate::net::log_limit::LogLimit;
use crate::net::quorum_link::{LinkReader, LinkSocket};
use crate::persistence::snapshot::SnapshotStream;
use crate::persistence::txn_log::LogError;
use crate::persistence::{DataDir, log_size_limit, survey_log};
use crate::proto::{LinkId, Notification, QuorumVerifier, Sid, Zxid};
use crate::quorum::effect::{Input, LinkEffect, LogSurvey};
use crate::time::{Clock, Instant};
use crate::tree::{SharedDatabase, SnapshotCapture, TreeOptions};

/// What the links are told by the configuration.
#[derive(Debug, Clone)]
pub struct PeersOptions {
    /// The longest field of a packet, in bytes: `jute.maxbuffer` with its extrasize.
    pub max_field_bytes: usize,
    /// `leader.nodelay`: TCP_NODELAY towards learners.
    pub leader_nodelay: bool,
    /// `follower.nodelay`: TCP_NODELAY towards the leader.
    pub follower_nodelay: bool,
    /// `tcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// How long a dial may take, in milliseconds: `connectToLearnerMasterLimit` ticks, or
    /// `initLimit` ticks where that is 0.
    pub connect_timeout_ms: u64,
    /// How long whoever comes to the quorum port may take until it has said something, in
    /// milliseconds: `initLimit` ticks.
    pub greeting_timeout_ms: u64,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_ips: bool,
    /// `snapshotSizeFactor`: how much of the log is sent to one learner.
    pub snapshot_size_factor: f64,
    /// What the tree is made with that a leader sends.
    pub tree: TreeOptions,
}

/// The election mesh, as the driver's door needs it. None of it blocks.
pub trait Mesh: Send + Sync {
    /// Sends a notification; it replaces one that still waits. To oneself it comes back.
    fn notify(&self, to: Sid, notification: &Notification);
    /// Connects to every member that is not connected.
    fn connect_all(&self);
    /// A configuration is in force.
    fn set_members(&self, config: &QuorumVerifier);
    /// Sends nothing for so many milliseconds, then the newest.
    fn stand_back(&self, ms: u64);
}

/// What it takes to start.
pub struct PeersStart {
    /// Where the sockets live; a runtime apart from the clients'.
    pub runtime: Handle,
    /// This server.
    pub me: Sid,
    /// The members, with their addresses.
    pub members: Arc<QuorumVerifier>,
    /// The elections' connections.
    pub mesh: Arc<dyn Mesh>,
    /// Where the core is told.
    pub inbox: Arc<Inbox>,
    /// Where the log is, and where an arriving tree goes.
    pub dir: Arc<DataDir>,
    /// What is sent as a tree.
    pub database: Arc<SharedDatabase>,
    /// What the configuration says.
    pub options: PeersOptions,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The driver's door.
pub struct Peers {
    shared: Arc<Shared>,
    mesh: Arc<dyn Mesh>,
    /// Those the driver has sent something to.
    outlets: Vec<Outlet>,
}

/// A link, with what the present turn sends over it.
struct Outlet {
    link: Arc<Link>,
    packets: LinkBuffer,
}

/// For those beside the driver; clones are the same.
#[derive(Clone)]
pub struct PeersHandle {
    shared: Arc<Shared>,
    mesh: Arc<dyn Mesh>,
}

/// What the door and the tasks share.
struct Shared {
    runtime: Handle,
    inbox: Arc<Inbox>,
    dir: Arc<DataDir>,
    database: Arc<SharedDatabase>,
    options: PeersOptions,
    clock: Arc<dyn Clock>,
    members: Mutex<Arc<QuorumVerifier>>,
    links: Mutex<Links>,
    next_accepted: AtomicU64,
    /// Accepted links over which nothing has come: the core does not know of them.
    half_open: HalfOpen<Arc<Link>>,
    refusals: LogLimit,
    driver: OnceLock<Arc<dyn TurnInPlace>>,
}

#[derive(Default)]
struct Links {
    by_id: BTreeMap<LinkId, Arc<Link>>,
    listeners: Vec<AbortHandle>,
    listening: Vec<SocketAddr>,
    stopped: bool,
}

impl Peers {
    /// Binds the quorum port and accepts learners from now on, whoever leads: it is for the core to
    /// close their links.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(start: PeersStart) -> io::Result<(Peers, PeersHandle)> {
        let PeersStart { runtime, me, members, mesh, .. } = start;
        let shared = Arc::new(Shared {
            runtime,
            inbox: start.inbox,
            dir: start.dir,
            database: start.database,
            options: start.options,
            clock: start.clock,
            members: Mutex::new(members),
            links: Mutex::default(),
            next_accepted: AtomicU64::new(LinkId::FIRST_ACCEPTED.0),
            half_open: HalfOpen::default(),
            refusals: LogLimit::default(),
            driver: OnceLock::new(),
        });
        shared.listen(me)?;
        let peers = Peers { shared: shared.clone(), mesh: mesh.clone(), outlets: Vec::new() };
        Ok((peers, PeersHandle { shared, mesh }))
    }

    /// Where packets for a link go; `None` once it has ended.
    fn outlet(&mut self, id: LinkId) -> Option<&mut Outlet> {
        if let Some(at) = self.outlets.iter().position(|outlet| outlet.link.id == id) {
            return Some(&mut self.outlets[at]);
        }
        let link = self.shared.links.lock().by_id.get(&id)?.clone();
        self.outlets.retain(|outlet| !outlet.link.is_over());
        self.outlets.push(Outlet { link, packets: LinkBuffer::default() });
        self.outlets.last_mut()
    }

    fn close(&mut self, id: LinkId, why: &str) {
        tracing::debug!(link = id.0, why, "a link is closed");
        if let Some(outlet) = self.outlet(id) {
            outlet.flush();
            outlet.link.end(Over::Closed);
            self.shared.forget(id);
        }
        self.outlets.retain(|outlet| outlet.link.id != id);
    }
}

impl Outlet {
    fn flush(&mut self) {
        if !self.packets.is_empty() {
            self.link.send(&mut self.packets);
        }
    }
}

impl LinkDoor for Peers {
    fn carry_out(&mut self, _: Instant, effects: &mut Vec<LinkEffect>) {
        for effect in effects.drain(..) {
            match effect {
                LinkEffect::Send { link, packet } => {
                    if let Some(outlet) = self.outlet(link) {
                        outlet.packets.push(&packet);
                    }
                }
                LinkEffect::Notify { to, notification } => self.mesh.notify(to, &notification),
                LinkEffect::ConnectMesh => self.mesh.connect_all(),
                LinkEffect::Dial { link, leader } => self.shared.dial(link, leader),
                LinkEffect::SendLog { link, after, through } => {
                    if let Some(outlet) = self.outlet(link) {
                        outlet.flush();
                        outlet.link.send_log(after, through);
                    }
                }
                LinkEffect::SurveyLog { link, peer, through } => {
                    if let Some(outlet) = self.outlet(link) {
                        let link = outlet.link.clone();
                        self.shared.survey(link, peer, through);
                    }
                }
                LinkEffect::Close { link, why } => self.close(link, &why),
            }
        }
        self.outlets.iter_mut().for_each(Outlet::flush);
    }

    fn snapshot_comes(&mut self, link: LinkId) {
        if let Some(outlet) = self.outlet(link) {
            outlet.link.tree_comes();
        }
    }

    fn stand_back(&mut self, ms: u64) {
        self.mesh.stand_back(ms);
    }
}

impl PeersHandle {
    /// From now on whoever brings the only input turns this driver in its thread's place.
    pub fn driven_by(&self, driver: Arc<dyn TurnInPlace>) {
        // There is one driver; who gives another is not heard.
        let _ = self.shared.driver.set(driver);
    }

    /// Sends SNAP and the tree in the place that was kept for it. It blocks for nothing, and does
    /// not take the database.
    pub fn send_snapshot(&self, link: LinkId, capture: SnapshotCapture) {
        let link = self.shared.links.lock().by_id.get(&link).cloned();
        if let Some(link) = link {
            link.send_tree(SnapshotStream::new(capture));
        }
    }

    /// A configuration is in force: who is dialled from now on is looked for there.
    pub fn set_members(&self, config: &Arc<QuorumVerifier>) {
        *self.shared.members.lock() = config.clone();
        self.mesh.set_members(config);
    }

    /// Where the quorum port was bound at the start.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.shared.links.lock().listening.clone()
    }

    /// The links that are connected, with the address of the other end and how many bytes wait to
    /// be sent there.
    pub fn links(&self) -> BTreeMap<LinkId, (SocketAddr, usize)> {
        let links = self.shared.links.lock();
        let entry = |link: &Arc<Link>| Some((link.id, (link.peer()?, link.waiting_bytes())));
        links.by_id.values().filter(|link| !link.is_over()).filter_map(entry).collect()
    }

    /// Ends every link, and accepts no more.
    pub fn stop(&self) {
        let (links, listeners) = {
            let mut links = self.shared.links.lock();
            links.stopped = true;
            (std::mem::take(&mut links.by_id), std::mem::take(&mut links.listeners))
        };
        listeners.iter().for_each(AbortHandle::abort);
        links.values().for_each(|link| link.end(Over::Closed));
    }
}

impl Shared {
    /// The core hears of it in its lane.
    fn tell(&self, input: Input) {
        self.inbox.push(input).expect("only a learner's requests can be too many");
    }

    /// The driver has something to do, and its thread was not woken.
    fn turn(&self) {
        match self.driver.get() {
            Some(driver) => driver.turn_in_place(),
            None => self.inbox.wake_before(None),
        }
    }

    /// Enters a link; `false` if there are to be no more.
    fn enter(&self, link: &Arc<Link>) -> bool {
        let mut links = self.links.lock();
        if !links.stopped {
            links.by_id.insert(link.id, link.clone());
        }
        !links.stopped
    }

    fn forget(&self, link: LinkId) {
        self.links.lock().by_id.remove(&link);
    }

    /// A link is there: from now on it is read and written. The core hears of a stranger's when that
    /// has said something.
    fn serve(
        self: &Arc<Self>,
        link: &Arc<Link>,
        socket: LinkSocket,
        reader: LinkReader,
        stranger: Option<Stranger>,
    ) {
        if !link.connected(socket) {
            return;
        }
        if stranger.is_none() {
            self.tell(Input::LinkOpened(link.id));
        }
        self.runtime.spawn(send::run(self.clone(), link.clone()));
        self.runtime.spawn(receive::run(self.clone(), link.clone(), reader, stranger));
    }

    /// Looks what the log holds for a learner.
    fn survey(self: &Arc<Self>, link: Arc<Link>, peer: Zxid, through: Zxid) {
        let shared = self.clone();
        self.runtime.spawn_blocking(move || {
            if link.hold(shared.dir.pins().pin(peer)).is_err() {
                return;
            }
            let survey = shared.look_into_log(peer, through);
            shared.tell(Input::LogSurveyed { link: link.id, survey });
        });
    }

    fn look_into_log(&self, peer: Zxid, through: Zxid) -> Option<LogSurvey> {
        let limit = log_size_limit(&self.dir, self.options.snapshot_size_factor);
        let limit = limit.unwrap_or_else(|error| die_of_disk(ExitCode::UnexpectedError, &error))?;
        match survey_log(&self.dir, peer, through, limit, self.options.max_field_bytes) {
            Ok(found) => found
                .map(|found| LogSurvey { at_or_before: found.at_or_before, after: found.after }),
            Err(LogError::Disk(error)) => die_of_disk(ExitCode::UnexpectedError, &error),
            // An old log that rots is no reason to stop: the learner gets the tree.
            Err(error) => {
                tracing::warn!("{error}: a learner is sent the tree instead");
                None
            }
        }
    }

    /// Does what may wait for the disk, on a thread for that.
    async fn slow<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.runtime.spawn_blocking(work).await;
        done.map_err(|_| "the server stops".to_owned())?
    }
}
