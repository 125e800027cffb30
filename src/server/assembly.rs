//! Assembly: from a configuration to a running server, and to its orderly end.

use std::io;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::carry_out::CarryOut;
use super::clock::{RealClock, random_seed};
use super::configuration::{CommandLine, Refusal, configuration};
use super::disk_care::{Care, DiskCare};
use super::disk_thread::{DiskInbox, SharedSyncQueue, ToDisk};
use super::doors::NoPeers;
use super::driver::Driver;
use super::fatal::{ExitCode, abort_on_panic, die};
use super::inbox::Inbox;
use super::jobs::{SnapshotJobs, zero_filler};
use super::load::{Loaded, load};
use super::shared_driver::SharedDriver;
use super::sweep::sweep_forever;
use super::throttle::Throttle;
use super::word_sources::WordSources;
use super::words::Words;
use super::{disk_thread, logging, options};
use crate::auth::AuthPolicy;
use crate::config::{Config, LogFormat, LogLevels};
use crate::metrics::Metrics;
use crate::net::client_connection::Shared;
use crate::net::client_listener::{accept_forever, bind, resolve};
use crate::net::limits::ConnectionLimits;
use crate::net::log_limit::LogLimit;
use crate::operator::four_letter_words::{DEFAULT_TRACE_MASK, version};
use crate::persistence::{DataDir, SyncQueue};
use crate::processor::connection::Surroundings;
use crate::processor::connection_queue::CloseReason;
use crate::processor::connections::Connections;
use crate::processor::request_throttler::RequestThrottler;
use crate::processor::sync::SyncRequestProcessor;
use crate::quorum::peer::QuorumPeer;
use crate::quorum::standalone::Standalone;
use crate::session::SessionTracker;
use crate::time::{Clock, Instant};
use crate::watch::Watches;

/// The server id of a server that is alone, as Apache has it; it is the top byte of its session
/// ids.
const STANDALONE_SERVER_ID: u8 = 1;

/// Serves by what the command line says, or by the embedded default, until a signal ends it.
pub fn serve(command: &CommandLine) -> process::ExitCode {
    let parsed = match configuration(command) {
        Ok(parsed) => parsed,
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
    if config.ensemble.is_some() {
        die(ExitCode::InvalidInvocation, &"members of an ensemble cannot be started yet");
    }
    raise_descriptor_limit();
    Server::start(config).run_until_signal();
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

/// A server that serves.
struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    disk_inbox: Arc<DiskInbox>,
    driver: JoinHandle<()>,
    disk: JoinHandle<()>,
    care: Care,
    _dir: Arc<DataDir>,
}

impl Server {
    /// Binds, loads, and starts everything. Ends the process if it cannot.
    fn start(config: &Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
        let seed = random_seed();
        let Some(port) = config.client_port else {
            die(ExitCode::InvalidInvocation, &"clientPort is not set: no client could connect")
        };
        // Before the data is loaded: a port in use is said at once, and clients that come early
        // wait in the backlog instead of being turned away.
        let backlog = config.client_port_listen_backlog.map_or(1024, |n| n as i32);
        let listener = resolve(config.client_port_address.as_deref(), port)
            .and_then(|address| bind(address, backlog).map(|listener| (listener, address)));
        let (listener, address) = listener.unwrap_or_else(|error| {
            let host = config.client_port_address.as_deref().unwrap_or("every address");
            let help = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("; ss -ltnp 'sport = :{port}' tells which process has it")
                }
                io::ErrorKind::AddrNotAvailable => {
                    "; clientPortAddress must be an address of this machine".to_owned()
                }
                _ => String::new(),
            };
            die(ExitCode::UnexpectedError, &format!("port {port} of {host}: {error}{help}"))
        });

        let metrics = Arc::new(Metrics::new(seed));
        let loaded = load(config, &clock, seed, &metrics);
        let policy = options::policy(config);
        let watches = Arc::new(Watches::new(seed));
        let connections = Arc::new(Connections::new(seed));
        let inbox = Arc::new(Inbox::default());
        let disk_inbox = Arc::new(DiskInbox::default());

        let care = DiskCare::start(
            config,
            loaded.dir.clone(),
            loaded.ledger.clone(),
            loaded.database.clone(),
            clock.clone(),
        );
        loaded.database.write().start_serving();
        let peer = peer(config, &loaded, policy.clone(), clock.now(), seed);
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
        };
        let driver = Driver::new(
            peer,
            loaded.database.clone(),
            (door, NoPeers, NoPeers),
            clients,
            metrics.clone(),
            clock.clone(),
        );
        let throttle =
            RequestThrottler::new(config.limits.requests.clone(), seed).map(|throttler| {
                let (connections, database) = (connections.clone(), loaded.database.clone());
                Throttle::new(throttler, connections, database, inbox.clone(), metrics.clone())
            });
        let role = driver.role();
        let driver = Arc::new(SharedDriver::new(driver, throttle, inbox.clone(), clock.clone()));

        let listening = listener.local_addr().unwrap_or(address);
        let sources = WordSources {
            database: loaded.database.clone(),
            watches: watches.clone(),
            connections: connections.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            disk: loaded.disk.clone(),
            inbox: inbox.clone(),
            settings: options::settings(config, &loaded.dir, listening.port()),
            level: config.compatibility_level,
            sessionless_timeout_ms: config.sessionless_cnxn_timeout_ms,
            serving_since_ms: clock.now().mono_ms,
            free: care.free.clone(),
            trace_mask: DEFAULT_TRACE_MASK.into(),
            role,
        };
        let words = Words::start(config.four_letter_whitelist.clone(), sources);
        let shared = Arc::new(Shared {
            around: Surroundings {
                database: loaded.database,
                watches,
                policy,
                options: options::connection(config, clock.now().mono_ms, seed),
            },
            submit: driver.clone(),
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
            outstanding_limit: config.global_outstanding_limit.into(),
        });

        let driver = spawn("driver", move || driver.run());
        let disk = spawn("disk", {
            let (disk_inbox, inbox) = (disk_inbox.clone(), inbox.clone());
            move || disk_thread::run(&queue, &disk_inbox, &inbox)
        });
        let runtime = runtime();
        runtime.spawn(accept_forever(listener, shared.clone()));
        let patience = Duration::from_millis(config.sessionless_cnxn_timeout_ms);
        runtime.spawn(sweep_forever(shared.clone(), patience));
        let millis = clock.now().mono_ms;
        tracing::info!(%address, millis, "serving standalone");
        Server { runtime, shared, inbox, disk_inbox, driver, disk, care, _dir: loaded.dir }
    }

    /// Waits for SIGTERM or SIGINT, then ends in order: no new clients, the present ones closed,
    /// everything that was prepared made durable. Sessions live on (C-035).
    fn run_until_signal(self) {
        let name = self.runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
            let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
            std::future::poll_fn(|cx| {
                if terminate.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready("SIGTERM");
                }
                interrupt.poll_recv(cx).map(|_| "SIGINT")
            })
            .await
        });
        tracing::info!("{name}: stopping");
        for connection in self.shared.connections.all() {
            connection.close(CloseReason::ServerStops);
        }
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        self.inbox.stop();
        join(self.driver);
        self.disk_inbox.stop();
        join(self.disk);
        self.care.end();
        tracing::info!("stopped");
    }
}

fn peer(
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
    SyncQueue::new(
        loaded.disk.clone(),
        loaded.dir.log_dir().to_owned(),
        loaded.database.read().last_processed(),
        options::sync_queue(config),
        clock,
        zero_filler(),
    )
}

fn runtime() -> Runtime {
    // At least two: one of them may be waiting for the disk.
    let workers = thread::available_parallelism().map_or(2, usize::from).max(2);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("client")
        // Sockets are looked at after so many tasks. With tokio's 61, a client with one request
        // waits for 61 others with a thousand each.
        .event_interval(7)
        .enable_all()
        .build()
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error))
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
