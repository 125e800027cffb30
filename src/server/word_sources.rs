//! What the four-letter words report, gathered from the running server.
//!
//! Nothing is held for long, because the driver and the clients go on meanwhile: sessions,
//! ephemerals and watches are looked at a piece at a time. So a long answer is not one moment's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;

use super::disk_room::FreeBytes;
use super::environment::environment;
use super::inbox::Inbox;
use super::jobs::open_descriptors;
use super::peers::PeersHandle;
use super::quota_figures::quota_figures;
use super::role_watch::PublishedRole;
use crate::metrics::{Metrics, Sample};
use crate::net::client_connection::ClientConnection;
use crate::operator::four_letter_words::{Sources, version};
use crate::persistence::Disk;
use crate::processor::connections::{Connection, Connections};
use crate::proto::{CompatibilityLevel, ConnectionId, SessionId, Zxid};
use crate::quorum::effect::Input;
use crate::status::{
    ClientLine, Descriptors, DirSizes, Dump, MemberStatus, Settings, Status, TrackedSessions,
    WatchedPath,
};
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;
use crate::watch::{Watches, WatchesSummary};

/// One turn of the driver lists at most so many sessions.
const SESSIONS_PER_PAGE: usize = 1024;
/// One hold of the database copies so many paths, or one session's.
const PATHS_PER_HOLD: usize = 1024;

/// Everything a word may ask about.
pub struct WordSources {
    /// The tree.
    pub database: Arc<SharedDatabase>,
    /// The watches.
    pub watches: Arc<Watches>,
    /// The connections.
    pub connections: Arc<Connections<ClientConnection>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The disk of the directories.
    pub disk: Arc<dyn Disk>,
    /// The driver, which knows when sessions expire.
    pub inbox: Arc<Inbox>,
    /// The configuration.
    pub settings: Settings,
    /// `compatibilityLevel`.
    pub level: CompatibilityLevel,
    /// `nio.sessionlessCnxnTimeout`, in milliseconds.
    pub sessionless_timeout_ms: u64,
    /// When a server that is alone began to serve, milliseconds on the monotonic clock.
    pub serving_since_ms: u64,
    /// The room on the disks.
    pub free: Arc<FreeBytes>,
    /// What `stmk` sets.
    pub trace_mask: AtomicI64,
    /// What a member of an ensemble is; `None` for a server that is alone.
    pub role: Option<Arc<PublishedRole>>,
    /// Its links with other servers.
    pub peers: Option<PeersHandle>,
}

impl Sources for WordSources {
    fn version(&self) -> &'static str {
        version(self.level)
    }

    fn member(&self) -> Option<Arc<MemberStatus>> {
        let mut member = self.role.as_ref()?.get();
        if let Some(peers) = &self.peers
            && !member.learners.is_empty()
        {
            let links = peers.links();
            for learner in &mut Arc::make_mut(&mut member).learners {
                let Some((address, queued_bytes)) = links.get(&learner.link) else { continue };
                learner.address = Some(*address);
                learner.queued_bytes = *queued_bytes as u64;
            }
        }
        Some(member)
    }

    fn is_running(&self) -> bool {
        self.role.as_ref().is_none_or(|role| role.get().is_running())
    }

    fn status(&self) -> Status {
        let metrics = &self.metrics;
        let latency = metrics.latency();
        let member = self.member();
        let serving_since_ms = match &member {
            None => Some(self.serving_since_ms),
            Some(member) => member.serving_since_ms,
        };
        let now_ms = self.clock.now().mono_ms;
        let db = self.database.read();
        Status {
            connections: self.connections.len(),
            latency_ms_min: latency.min,
            latency_ms_avg: latency.avg(),
            latency_ms_max: latency.max,
            packets_received: metrics.packets_received.get(),
            packets_sent: metrics.packets_sent.get(),
            outstanding_requests: metrics.outstanding_requests.get(),
            last_zxid: db.last_processed(),
            // The root is counted under both its names, as Apache counts it (F-12).
            znode_count: db.tree.node_count() + 1,
            ephemerals_count: db.tree.ephemerals_count(),
            approximate_data_size: db.tree.approximate_data_size(),
            global_sessions: db.session_count(),
            digest_mismatches: db.digest_mismatches(),
            watch_count: self.watches.watch_count(),
            reply_bytes_last: metrics.response_bytes.last(),
            reply_bytes_min: metrics.response_bytes.min(),
            reply_bytes_max: metrics.response_bytes.max(),
            uptime_ms: serving_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms)),
            proposal_bytes_last: metrics.proposal_bytes.last(),
            proposal_bytes_min: metrics.proposal_bytes.min(),
            proposal_bytes_max: metrics.proposal_bytes.max(),
            member,
        }
    }

    fn metrics(&self) -> Vec<Sample> {
        let mut samples = self.metrics.samples();
        samples.extend(quota_figures(&self.database.read().tree));
        samples.extend(self.free.samples());
        samples
    }

    fn descriptors(&self) -> Descriptors {
        Descriptors { open: open_descriptors(), max: rlimit::Resource::NOFILE.get_soft().ok() }
    }

    fn clients(&self) -> Vec<ClientLine> {
        let now = self.clock.now();
        self.connections.all().iter().map(|connection| connection.describe(now)).collect()
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn dir_sizes(&self) -> DirSizes {
        let data = self.dir_size(&self.settings.data_dir);
        DirSizes { data, log: self.dir_size(&self.settings.data_log_dir) }
    }

    fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        environment(&*self.disk, self.level)
    }

    fn dump(&self) -> Dump {
        let deadlines = self.deadlines();
        let now = self.clock.now();
        let connections = self.connections.all();
        let connections = connections.iter().map(|connection| {
            let session = connection.session();
            let deadline = self.connection_deadline(connection, session, &deadlines, now);
            (on_the_wall(deadline, now), connection.peer(), session)
        });
        let connections = connections.collect();
        let (local_sessions, sessions) = self.tracked(&deadlines, now);
        Dump { local_sessions, sessions, ephemerals: self.ephemerals(), connections }
    }

    fn watches_summary(&self) -> WatchesSummary {
        self.watches.summary()
    }

    fn watched_paths(&self) -> Vec<WatchedPath> {
        let table = self.watches.data_table();
        let sessions: BTreeMap<ConnectionId, SessionId> =
            self.connections.all().iter().map(|c| (c.id(), c.session())).collect();
        let name = |(path, watchers): (Box<[u8]>, Vec<ConnectionId>)| {
            // A connection that has ended since has no watches any more.
            let sessions: Vec<_> =
                watchers.iter().filter_map(|id| sessions.get(id).copied()).collect();
            (!sessions.is_empty()).then_some(WatchedPath { path, sessions })
        };
        table.into_iter().filter_map(name).collect()
    }

    fn digests(&self) -> Vec<(Zxid, u64)> {
        self.database.read().digest_log().collect()
    }

    fn trace_mask(&self) -> i64 {
        self.trace_mask.load(Ordering::Relaxed)
    }

    fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.store(mask, Ordering::Relaxed);
    }

    fn reset_server_stats(&self) {
        self.metrics.reset();
    }

    fn reset_connection_stats(&self) {
        for connection in self.connections.all() {
            connection.queue().reset_stats();
        }
    }
}

impl WordSources {
    /// The sessions that can expire, and when, on the monotonic clock. Only the driver knows: it
    /// is asked for a page at a time.
    fn deadlines(&self) -> BTreeMap<SessionId, u64> {
        let mut deadlines = BTreeMap::new();
        let mut after = None;
        loop {
            let (to, answer) = mpsc::channel();
            self.inbox.ask(Input::ListSessions { after, most: SESSIONS_PER_PAGE, to });
            // A driver that stops answers no more; nor does anyone read what we say then.
            let Ok(page) = answer.recv() else { return deadlines };
            deadlines.extend(page.sessions.into_iter().map(|(at, id)| (id, at)));
            after = page.next;
            if after.is_none() {
                return deadlines;
            }
        }
    }

    /// The sessions as this server knows them: those that nobody else does, where there can be any,
    /// and the others.
    fn tracked(
        &self,
        deadlines: &BTreeMap<SessionId, u64>,
        now: Instant,
    ) -> (Option<Vec<(i64, SessionId)>>, TrackedSessions) {
        let on_the_wall = |(id, at): (&SessionId, &u64)| (on_the_wall(*at, now), *id);
        let db = self.database.read();
        let is_local = |id: &SessionId| db.session_timeout(*id).is_none();
        let has_local = self.settings.ensemble.as_ref().is_some_and(|of| of.local_sessions);
        let local = deadlines.iter().filter(|(id, _)| is_local(id)).map(on_the_wall);
        let local = has_local.then(|| local.collect());
        if !self.member().is_none_or(|member| member.leads()) {
            return (local, TrackedSessions::Led(db.sessions().collect()));
        }
        let led = deadlines.iter().filter(|(id, _)| !has_local || !is_local(id));
        (local, TrackedSessions::Expiring(led.map(on_the_wall).collect()))
    }

    /// A connection ends with its session; without one it has a time of its own. Rounded up to a
    /// tick, as sessions are.
    fn connection_deadline(
        &self,
        connection: &ClientConnection,
        session: SessionId,
        sessions: &BTreeMap<SessionId, u64>,
        now: Instant,
    ) -> u64 {
        if session == SessionId::NONE {
            let tick_ms = u64::from(self.settings.tick_time_ms);
            let deadline = connection.opened_ms().saturating_add(self.sessionless_timeout_ms);
            return (deadline / tick_ms + 1).saturating_mul(tick_ms);
        }
        // A session that is not listed is ending.
        sessions.get(&session).copied().unwrap_or(now.mono_ms)
    }

    fn ephemerals(&self) -> Vec<(SessionId, Vec<Vec<u8>>)> {
        let mut owners: Vec<SessionId> =
            self.database.read().tree.ephemeral_owners().map(|(owner, _)| owner).collect();
        owners.sort_unstable();
        let mut ephemerals = Vec::with_capacity(owners.len());
        let mut owners = owners.into_iter().peekable();
        while owners.peek().is_some() {
            let db = self.database.read();
            let mut copied = 0;
            while copied < PATHS_PER_HOLD
                && let Some(owner) = owners.next()
            {
                let mut paths = db.tree.ephemerals_of(owner);
                copied += 1 + paths.len();
                if !paths.is_empty() {
                    paths.sort_unstable();
                    ephemerals.push((owner, paths));
                }
            }
        }
        ephemerals
    }

    /// Bytes of the files in `dir`; as in Apache ZooKeeper, 0 if it cannot be listed.
    fn dir_size(&self, dir: &Path) -> u64 {
        match self.disk.list(dir) {
            Ok(entries) => entries.iter().map(|entry| entry.size).sum(),
            Err(error) => {
                tracing::warn!(%error, "a directory's size is told as 0");
                0
            }
        }
    }
}

/// A moment of the monotonic clock in milliseconds since 1970, as the two stand now.
fn on_the_wall(mono_ms: u64, now: Instant) -> i64 {
    let ahead = i128::from(mono_ms) - i128::from(now.mono_ms);
    now.wall_ms.saturating_add(i64::try_from(ahead).unwrap_or(i64::MAX))
}
