//! Assembly: from a configuration to a running server, and to its orderly end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::carry_out::CarryOut;
use super::clock::{RealClock, random_seed};
use super::disk_thread::{DiskInbox, ToDisk};
use super::driver::Driver;
use super::fatal::{ExitCode, abort_on_panic};
use super::inbox::Inbox;
use super::jobs::SnapshotJobs;
use super::words::WordSources;
use super::{disk_thread, driver};
use crate::auth::AuthPolicy;
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::net::client_connection::Shared;
use crate::net::client_listener;
use crate::net::connections::Connections;
use crate::net::limits::ConnectionLimits;
use crate::operator::four_letter_words::{VERSION, WORDS};
use crate::persistence::{Disk, RealDisk, SyncQueue, SyncQueueOptions};
use crate::processor::connection::{ConnectionOptions, Surroundings};
use crate::processor::connection_queue::CloseReason;
use crate::processor::prep::PrepOptions;
use crate::processor::sync::{SnapshotOptions, SyncRequestProcessor};
use crate::proto::stat::OwnerEncoding;
use crate::quorum::peer::{QuorumPeer, Role};
use crate::quorum::standalone::Standalone;
use crate::session::SessionTracker;
use crate::time::Clock;
use crate::tree::{Database, SharedDatabase, TreeOptions};
use crate::watch::Watches;

pub fn serve(file: Option<PathBuf>) -> process::ExitCode {
    abort_on_panic();
    let config = match file {
        Some(f) => config::parse(&RealDisk.read(&f).unwrap(), "x").unwrap().config,
        None => Config::embedded_default("zkserver-data"),
    };
    let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
    let seed = random_seed();
    let owners = OwnerEncoding {
        extended_types: config.extended_types,
        emulate_353_ttl: config.emulate_353_ttl,
    };
    let db = Database::new(TreeOptions {
        owners,
        digest_enabled: config.digest_enabled,
        hash_seed: seed,
    });
    let policy = AuthPolicy {
        skip_acl: config.skip_acl,
        super_digest: config.super_digest.as_ref().map(|s| s.expose().as_bytes().into()),
        digest_enabled: config.digest_provider_enabled,
    };
    let now = clock.now();
    let sync = SyncRequestProcessor::new(
        SnapshotOptions { snap_count: config.snap_count.into(), snap_size_limit_bytes: None },
        seed,
        0,
        0,
    );
    let tracker = SessionTracker::new(config.tick_time_ms.into(), 1, now.wall_ms);
    let prep = PrepOptions {
        policy: policy.clone(),
        owners,
        digest_enabled: config.digest_enabled,
        close_session_txn: true,
        reconfig_enabled: false,
        max_txn_bytes: 2 << 20,
        max_field_bytes: 2 << 20,
        hash_seed: seed,
    };
    let standalone = Standalone::new(now, prep, sync, tracker, &db);
    let dir = config.data_log_dir.join("version-2");
    RealDisk.create_dir_all(&dir).unwrap();
    let queue = SyncQueue::new(
        Arc::new(RealDisk),
        dir,
        db.last_processed(),
        SyncQueueOptions::default(),
        clock.clone(),
        Box::new(|job| {
            std::thread::spawn(move || job.run());
        }),
    );
    let database = Arc::new(SharedDatabase::new(db));
    let watches = Arc::new(Watches::new(seed));
    let connections = Arc::new(Connections::new(seed));
    let metrics = Arc::new(Metrics::default());
    let inbox = Arc::new(Inbox::default());
    let disk_inbox = Arc::new(DiskInbox::default());
    let clients = CarryOut::new(
        database.clone(),
        watches.clone(),
        policy.clone(),
        connections.clone(),
        metrics.clone(),
        seed,
    );
    let door = ToDisk { inbox: disk_inbox.clone(), snapshots: SnapshotJobs };
    let driver = Driver::new(
        QuorumPeer::new(Role::Standalone(Box::new(standalone))),
        database.clone(),
        door,
        clients,
    );
    {
        let (i, c) = (inbox.clone(), clock.clone());
        std::thread::spawn(move || driver::run(driver, &i, &*c));
    }
    {
        let (d, i, m) = (disk_inbox.clone(), inbox.clone(), metrics.clone());
        std::thread::spawn(move || disk_thread::run(queue, &d, &i, &m));
    }
    let words = WordSources {
        whitelist: config.four_letter_whitelist.clone(),
        database: database.clone(),
        watches: watches.clone(),
        connections: connections.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        serving_since_ms: 0,
    };
    let shared = Arc::new(Shared {
        around: Surroundings {
            database,
            watches,
            policy,
            options: ConnectionOptions {
                max_frame_bytes: config.jute_max_buffer,
                max_field_bytes: 2 << 20,
                min_session_timeout_ms: config.min_session_timeout_ms,
                max_session_timeout_ms: config.max_session_timeout_ms,
                words: WORDS,
            },
        },
        submit: inbox,
        words: Arc::new(move |w| words.answer(w)),
        connections,
        limits: ConnectionLimits::new(config.max_client_cnxns, seed),
        clock,
        metrics,
    });
    let rt =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async move {
        let l = client_listener::bind(
            SocketAddr::from(([127, 0, 0, 1], config.client_port.unwrap())),
            1024,
        )
        .unwrap();
        client_listener::accept_forever(tokio::net::TcpListener::from_std(l).unwrap(), shared).await
    });
    process::ExitCode::SUCCESS
}
