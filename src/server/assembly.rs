//! Assembly: from a configuration to a running server, and to its orderly end.

mod clients;
mod member;

use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::clients::ClientPort;
use self::member::Ensemble;
use super::carry_out::CarryOut;
use super::clock::{RealClock, random_seed};
use super::configuration::{CommandLine, Refusal, configuration, who_is_it};
use super::disk_care::{Care, DiskCare};
use super::disk_thread::{DiskInbox, SharedSyncQueue, ToDisk};
use super::doors::{JobsDoor, LinkDoor, NoPeers};
use super::driver::Driver;
use super::fatal::{ExitCode, abort_on_panic, die};
use super::inbox::Inbox;
use super::jobs::{SnapshotJobs, zero_filler};
use super::load::{Loaded, load};
use super::restorer::Restorer;
use super::role_watch::PublishedRole;
use super::shared_driver::{SharedDriver, TurnInPlace};
use super::throttle::Throttle;
use super::word_sources::WordSources;
use super::words::Words;
use super::{disk_thread, logging, options};
use crate::auth::AuthPolicy;
use crate::config::{Config, LogFormat, LogLevels};
use crate::metrics::Metrics;
use crate::net::Submit;
use crate::net::client_connection::{ClientConnection, Shared};
use crate::net::limits::ConnectionLimits;
use crate::net::log_limit::LogLimit;
use crate::operator::four_letter_words::{DEFAULT_TRACE_MASK, version};
use crate::persistence::{DataDir, Disk, MemberFiles, RealDisk, SyncQueue};
use crate::processor::connection::Surroundings;
use crate::processor::connection_queue::CloseReason;
use crate::processor::connections::Connections;
use crate::processor::request_throttler::RequestThrottler;
use crate::processor::sync::SyncRequestProcessor;
use crate::proto::Sid;
use crate::quorum::effect::Input;
use crate::quorum::peer::QuorumPeer;
use crate::quorum::standalone::Standalone;
use crate::session::SessionTracker;
use crate::time::{Clock, Instant};
use crate::tree::SharedDatabase;
use crate::watch::Watches;

/// The server id of a server that is alone, as Apache has it; it is the top byte of its session
/// ids.
const STANDALONE_SERVER_ID: u8 = 1;

/// Serves by what the command line says, or by the embedded default, until a signal ends it.
pub fn serve(command: &CommandLine) -> process::ExitCode {
    let configured = configuration(command).and_then(who_is_it);
    let (parsed, me) = match configured {
        Ok(configured) => configured,
        Err(Refusal { hints, errors }) => {
            logging::start(&LogLevels::default(), LogFormat::Text);
            for line in hints {
                tracing::warn!("{line}");
            }
            for line in errors {
                tracing::error!("{line}");
            }
            die(ExitCode::InvalidInvocation, &"the configuration is refused")
        }
    };
    let config = &parsed.config;
    logging::start(&config.log_levels, config.log_format);
    abort_on_panic();
    tracing::info!(version = version(config.compatibility_level), "zkserver starts");
    for notice in &parsed.notices {
        tracing::warn!("{}", parsed.told(notice));
    }
    for line in parsed.log_lines() {
        tracing::info!("{line}");
    }
    if command.is_bare() {
        welcome(config);
    }
    raise_descriptor_limit();
    Server::start(config, me).run_until_signal();
    logging::finish();
    process::ExitCode::SUCCESS
}

fn welcome(config: &Config) {
    let port = config.client_port.unwrap_or_default();
    tracing::info!(
        "no configuration given: standalone on 127.0.0.1:{port}, data in ./{}; try: \
         printf ruok | nc 127.0.0.1 {port}",
        config.data_dir.display()
    );
}

fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::info!(limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors stays as it is"),
    }
}

/// A server that runs.
struct Server {
    clients: Option<Runtime>,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    disk_inbox: Arc<DiskInbox>,
    driver: JoinHandle<()>,
    disk: JoinHandle<()>,
    care: Care,
    ensemble: Option<Ensemble>,
    _dir: Arc<DataDir>,
}

/// The driver, where its thread and the connections find it.
struct Turned {
    submit: Arc<dyn Submit>,
    in_place: Arc<dyn TurnInPlace>,
    run: Box<dyn FnOnce() + Send>,
    /// Where a member's role is published.
    role: Option<Arc<PublishedRole>>,
}

impl Server {
    /// Binds, loads, and starts everything. Ends the process if it cannot. `me` is the id of a
    /// member of an ensemble.
    fn start(config: &Config, me: Option<Sid>) -> Self {
        let (disk, clock) = disk_and_clock();
        let seed = random_seed();
        let member = me.zip(config.ensemble.as_ref());
        if config.client_port.is_none() && member.is_none() {
            die(ExitCode::InvalidInvocation, &"clientPort is not set: no client could connect");
        }
        let port = config.client_port.map(|port| ClientPort::bind(config, port, member.is_some()));
        let metrics = Arc::new(Metrics::new(seed));
        let restorer = member.is_some().then(Restorer::start);
        let mut loaded = match &restorer {
            None => load(config, None, (disk, &clock), seed, &metrics),
            Some(restorer) => {
                let (config, clock, metrics) = (config.clone(), clock.clone(), metrics.clone());
                restorer.wait(move || {
                    let member = me.zip(config.ensemble.as_ref());
                    load(&config, member, (disk, &clock), seed, &metrics)
                })
            }
        };
        let policy = options::policy(config);
        let watches = Arc::new(Watches::new(seed));
        let connections = Arc::new(Connections::new(seed));
        let inbox = Arc::new(match member {
            Some(_) => Inbox::in_rounds(clock.clone()),
            None => Inbox::default(),
        });
        let disk_inbox = Arc::new(DiskInbox::default());

        let care = DiskCare::start(
            config,
            loaded.dir.clone(),
            loaded.ledger.clone(),
            loaded.database.clone(),
            clock.clone(),
        );
        let clients = CarryOut::new(
            loaded.database.clone(),
            watches.clone(),
            policy.clone(),
            options::max_field_bytes(config),
            connections.clone(),
            metrics.clone(),
            seed,
        )
        .with_zxid_in_events(config.compatibility_level.events_have_zxid());
        let queue = sync_queue(config, &loaded, clock.clone());
        let queue = Arc::new(SharedSyncQueue::new(queue, metrics.clone(), care.wake.clone()));
        let door = ToDisk {
            inbox: disk_inbox.clone(),
            queue: queue.clone(),
            reports: inbox.clone(),
            snapshots: SnapshotJobs::new(loaded.snapshots.clone(), care.wake.clone()),
            // The others' pings, and what they ask for, must not wait for this server's disk.
            by_driver: member.is_none(),
            prepares: false,
        };
        let throttle =
            RequestThrottler::new(config.limits.requests.clone(), seed).map(|throttler| {
                let (connections, database) = (connections.clone(), loaded.database.clone());
                Throttle::new(throttler, connections, database, inbox.clone(), metrics.clone())
            });
        let around = AroundDriver {
            database: loaded.database.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            inbox: inbox.clone(),
            throttle,
        };
        let (driver, ensemble) = match (loaded.member.take(), member, restorer) {
            (Some(member), Some((_, ensemble)), Some(restorer)) => {
                let (ensemble, peers, jobs) = Ensemble::start(member::Start {
                    config,
                    ensemble,
                    member: &member,
                    loaded: &loaded,
                    restorer,
                    inbox: &inbox,
                    clock: &clock,
                    seed,
                });
                let clients = clients.with_config(member.configs.current.clone());
                let peer = QuorumPeer::member(*member);
                (around.turned(peer, (door, peers, jobs), clients), Some(ensemble))
            }
            _ => {
                loaded.database.write().start_serving();
                let peer = alone(config, &loaded, policy.clone(), clock.now(), seed);
                (around.turned(peer, (door, NoPeers, NoPeers), clients), None)
            }
        };

        let sources = WordSources {
            database: loaded.database.clone(),
            watches: watches.clone(),
            connections: connections.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            disk: loaded.disk.clone(),
            inbox: inbox.clone(),
            settings: options::settings(
                config,
                member,
                &loaded.dir,
                port.as_ref().map_or(0, ClientPort::number),
            ),
            level: config.compatibility_level,
            sessionless_timeout_ms: config.sessionless_cnxn_timeout_ms,
            serving_since_ms: clock.now().mono_ms,
            free: care.free.clone(),
            trace_mask: DEFAULT_TRACE_MASK.into(),
            role: driver.role,
            peers: ensemble.as_ref().map(|ensemble| ensemble.peers.clone()),
        };
        let words = Words::start(config.four_letter_whitelist.clone(), sources);
        let shared = Arc::new(Shared {
            around: Surroundings {
                database: loaded.database,
                watches,
                policy,
                options: options::connection(config, clock.now().mono_ms, seed),
            },
            submit: driver.submit,
            words: Arc::new(move |word, reply| words.answer(word, reply)),
            connections,
            limits: ConnectionLimits::new(
                config.max_client_cnxns,
                config.limits.max_cnxns,
                rlimit::Resource::NOFILE.get_soft().ok(),
                seed,
            ),
            tcp_keep_alive: config.limits.client_tcp_keep_alive,
            refusals: LogLimit::default(),
            breaches: LogLimit::default(),
            near_limits: LogLimit::default(),
            word_bytes: 0.into(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            outstanding_limit: options::outstanding_limit(config),
        });

        if let Some(ensemble) = &ensemble {
            ensemble.peers.driven_by(driver.in_place.clone());
        }
        let run = driver.run;
        let disk = spawn("disk", {
            let (disk_inbox, inbox) = (disk_inbox.clone(), inbox.clone());
            let in_place = driver.in_place;
            move || disk_thread::run(&queue, &disk_inbox, &inbox, &*in_place)
        });
        let driver = spawn("driver", run);
        let address = port.as_ref().map(ClientPort::to_string);
        let clients = port.map(|port| port.open(config, &shared, me.is_some()));
        let millis = clock.now().mono_ms;
        match (me, address) {
            (None, address) => {
                let address = address.expect("a server that is alone has one");
                tracing::info!(%address, millis, "serving standalone");
            }
            (Some(me), Some(address)) => tracing::info!(
                me = me.0,
                clients = %address,
                millis,
                "started as a member; clients are served once there is a leader"
            ),
            (Some(me), None) => {
                tracing::info!(me = me.0, millis, "started as a member that has no clients");
            }
        }
        Server {
            clients,
            shared,
            inbox,
            disk_inbox,
            driver,
            disk,
            care,
            ensemble,
            _dir: loaded.dir,
        }
    }

    /// Waits for SIGTERM or SIGINT, then ends in order: no new clients, the present ones closed,
    /// leadership given up, everything that was prepared made durable. Sessions live on (C-035).
    fn run_until_signal(self) {
        let name = wait_for_signal();
        tracing::info!("{name}: stopping");
        for connection in self.shared.connections.all() {
            connection.close(CloseReason::ServerStops);
        }
        if let Some(clients) = self.clients {
            clients.shutdown_timeout(Duration::from_secs(5));
        }
        if let Some(ensemble) = &self.ensemble {
            ensemble.leave_elections();
            self.inbox.push_first(Input::Stop);
        }
        self.inbox.stop();
        join(self.driver);
        // Now the others see that this server is gone, and look for a leader if it led.
        if let Some(ensemble) = self.ensemble {
            ensemble.stop();
        }
        self.disk_inbox.stop();
        join(self.disk);
        self.care.end();
        tracing::info!("stopped");
    }
}

/// The doors to the disk and to the clock. Only here does a build with the feature differ.
fn disk_and_clock() -> (Arc<dyn Disk>, Arc<dyn Clock>) {
    let doors: (Arc<dyn Disk>, Arc<dyn Clock>) = (Arc::new(RealDisk), Arc::new(RealClock::start()));
    #[cfg(feature = "fault-doors")]
    let doors = super::fault_doors::open(doors);
    doors
}

/// What a driver is made with, whatever its doors.
struct AroundDriver {
    database: Arc<SharedDatabase>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    inbox: Arc<Inbox>,
    throttle: Option<Throttle>,
}

impl AroundDriver {
    fn turned<L, J>(
        self,
        peer: QuorumPeer,
        doors: (ToDisk, L, J),
        clients: CarryOut<ClientConnection>,
    ) -> Turned
    where
        L: LinkDoor + Send + 'static,
        J: JobsDoor + Send + 'static,
    {
        let AroundDriver { database, metrics, clock, inbox, throttle } = self;
        let driver = Driver::new(peer, database, doors, clients, metrics, clock.clone());
        let role = driver.role();
        let driver = Arc::new(SharedDriver::new(driver, throttle, inbox, clock));
        let (submit, in_place) = (driver.clone(), driver.clone());
        Turned { submit, in_place, run: Box::new(move || driver.run()), role }
    }
}

fn wait_for_signal() -> &'static str {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error));
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
        let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
        std::future::poll_fn(|cx| {
            if terminate.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready("SIGTERM");
            }
            interrupt.poll_recv(cx).map(|_| "SIGINT")
        })
        .await
    })
}

fn alone(
    config: &Config,
    loaded: &Loaded,
    policy: AuthPolicy,
    now: Instant,
    seed: u64,
) -> QuorumPeer {
    let sessions =
        SessionTracker::new(config.tick_time_ms.into(), STANDALONE_SERVER_ID, now.wall_ms);
    let schedule = options::snapshot_schedule(config);
    let sync = SyncRequestProcessor::new(schedule, seed, loaded.txns_replayed, 0);
    let (prep, containers) = (options::prep(config, policy, seed), options::containers(config));
    let database = loaded.database.read();
    let standalone = Standalone::new(now, prep, sync, sessions, containers, &database);
    QuorumPeer::standalone(standalone)
}

fn sync_queue(config: &Config, loaded: &Loaded, clock: Arc<dyn Clock>) -> SyncQueue {
    let queue = SyncQueue::new(
        loaded.disk.clone(),
        loaded.dir.log_dir().to_owned(),
        loaded.database.read().last_processed(),
        options::sync_queue(config),
        clock,
        zero_filler(),
    );
    match loaded.member {
        None => queue,
        // Without reconfigEnabled nothing is written beside the configuration.
        Some(_) => queue.with_member_files(MemberFiles {
            dir: loaded.dir.clone(),
            config: None,
            first_snapshot: loaded.first_snapshot,
        }),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error))
}

fn join(thread: JoinHandle<()>) {
    // A panic has already aborted the process, so there is no other outcome.
    let _ = thread.join();
}
