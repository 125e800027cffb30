//! What a member of an ensemble has beside a server that is alone: the mesh of elections, the links
//! with other servers, and the runtime that both live on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::super::fatal::{ExitCode, die};
use super::super::inbox::Inbox;
use super::super::load::Loaded;
use super::super::options;
use super::super::peers::{Mesh, Peers, PeersHandle, PeersOptions, PeersStart};
use super::super::reload::{MemberJobs, Reload};
use super::super::restorer::Restorer;
use crate::config::{Config, EnsembleConfig, Ratio};
use crate::net::election_mesh::{ElectionMesh, MeshEvents, MeshOptions, MeshStartError};
use crate::net::peer_addresses::HostPort;
use crate::proto::membership::{QuorumServer, ServerAddress};
use crate::proto::{Notification, QuorumVerifier, Sid};
use crate::quorum::effect::Input;
use crate::quorum::member::Member;
use crate::time::Clock;

/// A member's side towards the other servers.
pub(super) struct Ensemble {
    runtime: Runtime,
    mesh: ElectionMesh,
    /// The links, for those beside the driver.
    pub(super) peers: PeersHandle,
}

/// What starts it.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) ensemble: &'a EnsembleConfig,
    pub(super) member: &'a Member,
    pub(super) loaded: &'a Loaded,
    pub(super) restorer: Restorer,
    pub(super) inbox: &'a Arc<Inbox>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) seed: u64,
}

impl Ensemble {
    /// Opens the ports for other servers, and returns the driver's doors. Ends the process if it
    /// cannot.
    pub(super) fn start(start: Start<'_>) -> (Self, Peers, MemberJobs) {
        let Start { config, ensemble, member, loaded, restorer, inbox, clock, seed } = start;
        let runtime = runtime();
        let members = member.configs.current.clone();
        let mesh = ElectionMesh::start(
            runtime.handle(),
            mesh_options(config, ensemble, member.me, clock.clone()),
            election_addresses(&members),
            Arc::new(ToInbox(inbox.clone())),
        )
        .unwrap_or_else(|error| die(ExitCode::InvalidInvocation, &error));
        let (peers, handle) = Peers::start(PeersStart {
            runtime: runtime.handle().clone(),
            me: member.me,
            members,
            mesh: Arc::new(OfElections(mesh.clone())),
            inbox: inbox.clone(),
            dir: loaded.dir.clone(),
            database: loaded.database.clone(),
            options: links_options(config, ensemble, seed),
            clock: clock.clone(),
        })
        .unwrap_or_else(|error| die(ExitCode::UnableToBindQuorumPort, &error));
        let reload = Reload {
            dir: loaded.dir.clone(),
            options: options::member_restore(config, ensemble, seed),
            database: loaded.database.clone(),
            ledger: loaded.ledger.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
        };
        let jobs = MemberJobs { peers: handle.clone(), reload, restorer };
        (Ensemble { runtime, mesh, peers: handle }, peers, jobs)
    }

    /// Says no more in elections. A leader that gives up its leadership must not be elected again by
    /// those whom it leaves.
    pub(super) fn leave_elections(&self) {
        self.mesh.stop();
    }

    /// Closes the ports and all connections with other servers.
    pub(super) fn stop(self) {
        self.leave_elections();
        self.peers.stop();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// Apart from the clients': a PING of the leader must not wait for a crowd of them.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("peers")
        .enable_all()
        .build()
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error))
}

fn mesh_options(
    config: &Config,
    ensemble: &EnsembleConfig,
    me: Sid,
    clock: Arc<dyn Clock>,
) -> MeshOptions {
    let sync_limit_ms = u64::from(ensemble.sync_limit_ticks) * u64::from(config.tick_time_ms);
    MeshOptions {
        me,
        connect_timeout_ms: ensemble.cnx_timeout_ms,
        greeting_timeout_ms: ensemble.quorum_cnxn_timeout_ms.unwrap_or(sync_limit_ms),
        tcp_keep_alive: ensemble.tcp_keep_alive,
        bind_retries: ensemble.election_port_bind_retry,
        listen_on_all_ips: ensemble.quorum_listen_on_all_ips,
        multi_address: ensemble.multi_address,
        clock,
    }
}

fn links_options(config: &Config, ensemble: &EnsembleConfig, hash_seed: u64) -> PeersOptions {
    let ticks = match ensemble.connect_to_learner_master_limit_ticks {
        0 => ensemble.init_limit_ticks,
        ticks => ticks,
    };
    PeersOptions {
        max_field_bytes: options::max_field_bytes(config),
        leader_nodelay: ensemble.leader_nodelay,
        follower_nodelay: ensemble.follower_nodelay,
        tcp_keep_alive: ensemble.tcp_keep_alive,
        connect_timeout_ms: u64::from(ticks) * u64::from(config.tick_time_ms),
        greeting_timeout_ms: u64::from(ensemble.init_limit_ticks) * u64::from(config.tick_time_ms),
        listen_on_all_ips: ensemble.quorum_listen_on_all_ips,
        snapshot_size_factor: ensemble.snapshot_size_factor.map_or(-1.0, Ratio::get),
        tree: options::restore(config, hash_seed).tree,
    }
}

/// Where elections are held with each member.
fn election_addresses(config: &QuorumVerifier) -> BTreeMap<Sid, Vec<HostPort>> {
    let address = |address: &ServerAddress| HostPort {
        host: address.host.clone(),
        port: address.election_port,
    };
    let addresses = |server: &QuorumServer| server.addresses.iter().map(address).collect();
    config.members.iter().map(|(sid, server)| (*sid, addresses(server))).collect()
}

/// What the mesh has to tell goes to the driver.
struct ToInbox(Arc<Inbox>);

impl MeshEvents for ToInbox {
    fn notified(&self, from: Sid, notification: Notification) {
        self.0.push_first(Input::Notified { from, notification });
    }

    fn up(&self, peer: Sid) {
        self.0.push_first(Input::Mesh { peer, up: true });
    }

    fn down(&self, peer: Sid) {
        self.0.push_first(Input::Mesh { peer, up: false });
    }

    fn deaf(&self, why: MeshStartError) {
        die(ExitCode::UnableToBindQuorumPort, &why)
    }
}

/// The mesh as the driver's door needs it.
struct OfElections(ElectionMesh);

impl Mesh for OfElections {
    fn notify(&self, to: Sid, notification: &Notification) {
        self.0.notify(to, notification);
    }

    fn connect_all(&self) {
        self.0.connect_all();
    }

    fn set_members(&self, config: &QuorumVerifier) {
        self.0.set_members(election_addresses(config));
    }

    fn stand_back(&self, ms: u64) {
        self.0.stand_back(ms);
    }
}
