//! What falls due while the driver is turned in its thread's place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::auth::Identities;
use crate::metrics::Metrics;
use crate::processor::connection_queue::ConnectionQueue;
use crate::processor::connections::Connections;
use crate::processor::container_manager::ContainerOptions;
use crate::processor::request::ConnectAttempt;
use crate::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use crate::processor::testing::{policy, prep_options, tree_options};
use crate::proto::{ConnectionId, SessionId, Ticket};
use crate::quorum::effect::DiskEffect;
use crate::quorum::peer::QuorumPeer;
use crate::quorum::standalone::Standalone;
use crate::server::carry_out::CarryOut;
use crate::server::doors::NoPeers;
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::{Database, SharedDatabase};
use crate::watch::Watches;

/// So long that no moment here is late by half of it, which would be forgiven.
const TICK_MS: u64 = 1_000_000;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Instant {
        let mono_ms = self.0.load(Ordering::SeqCst);
        Instant { mono_ms, wall_ms: mono_ms as i64 }
    }

    fn nanos(&self) -> u64 {
        0
    }
}

/// A disk that the driver drives; the next time that takes long.
struct Disk {
    clock: Arc<SetClock>,
    takes_ms: Arc<AtomicU64>,
    appended: mpsc::Sender<Ticket>,
}

impl DiskDoor for Disk {
    fn prepares(&mut self, _: bool) {}

    fn carry_out(&mut self, _: Instant, effects: &mut Vec<DiskEffect>, _: bool) -> Option<Ticket> {
        let tickets = effects.drain(..).map(|effect| match effect {
            DiskEffect::Append { ticket, .. } => {
                self.appended.send(ticket).expect("the test listens");
                ticket
            }
            other => panic!("{other:?}"),
        });
        let last = tickets.last();
        self.clock.0.fetch_add(self.takes_ms.swap(0, Ordering::SeqCst), Ordering::SeqCst);
        last
    }
}

/// Nobody is connected.
struct Nobody;

impl Connection for Nobody {
    fn id(&self) -> ConnectionId {
        unreachable!("nobody is")
    }

    fn queue(&self) -> &ConnectionQueue {
        unreachable!("nobody is")
    }

    fn touch(&self) -> bool {
        unreachable!("nobody is")
    }

    fn flush(&self) {
        unreachable!("nobody is")
    }

    fn leave_to_task(&self) {
        unreachable!("nobody is")
    }
}

fn connect(connection: u64) -> Vec<Submission> {
    vec![Submission::Connect(ConnectAttempt {
        connection: ConnectionId(connection),
        session: SessionId::NONE,
        timeout_ms: 60_000,
        had_read_only: false,
        identities: Arc::new(Identities::default()),
        received_ms: 0,
    })]
}

/// The disk was slow, and sessions have expired meanwhile: their ends are logged at once, though the
/// thread sleeps until a later time.
#[test]
fn what_falls_due_while_the_disk_is_driven_in_place_does_not_wait() {
    let clock = Arc::new(SetClock::default());
    let takes_ms = Arc::new(AtomicU64::new(0));
    let (appended, appends) = mpsc::channel();
    let database = Arc::new(SharedDatabase::new(Database::new(tree_options())));
    let schedule = SnapshotSchedule { snap_count: 1_000_000, snap_size_limit_bytes: None };
    let sync = SyncRequestProcessor::new(schedule, 7, 0, 0);
    let containers = ContainerOptions {
        check_interval_ms: 86_400_000,
        max_per_minute: 10_000,
        max_never_used_ms: 0,
    };
    let role = Standalone::new(
        clock.now(),
        prep_options(),
        sync,
        SessionTracker::new(TICK_MS, 0, 0),
        containers,
        &database.read(),
    );
    database.write().start_serving();
    let metrics = Arc::new(Metrics::new(7));
    let connections = Arc::new(Connections::<Nobody>::new(7));
    let watches = Arc::new(Watches::new(7));
    let clients = CarryOut::new(
        database.clone(),
        watches,
        policy(),
        1 << 20,
        connections,
        metrics.clone(),
        7,
    );
    let disk = Disk { clock: clock.clone(), takes_ms: takes_ms.clone(), appended };
    let peer = QuorumPeer::standalone(role);
    let driver =
        Driver::new(peer, database, (disk, NoPeers, NoPeers), clients, metrics, clock.clone());
    let inbox = Arc::new(Inbox::default());
    let driver = SharedDriver::new(driver, None, inbox.clone(), clock.clone());
    thread::scope(|scope| {
        scope.spawn(|| driver.run());
        let submit = |connection| {
            while !inbox.is_waited_on() {
                thread::yield_now();
            }
            driver.submit(connect(connection));
        };
        submit(1);
        clock.0.store(TICK_MS / 2 - 1, Ordering::SeqCst);
        submit(2);
        clock.0.store(TICK_MS - 10, Ordering::SeqCst);
        takes_ms.store(20, Ordering::SeqCst);
        submit(3);
        // Three begin; the first two end.
        let tickets: Vec<_> = (0..5).map(|_| appends.recv_timeout(PATIENCE)).collect();
        inbox.stop();
        assert_eq!(tickets, (1..=5).map(|ticket| Ok(Ticket(ticket))).collect::<Vec<_>>());
    });
}
