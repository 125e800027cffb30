//! Two servers' links over loopback.

mod ends;
mod hostile;
mod order;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::*;
use crate::persistence::restore_tests::{Home, TREE, creates, database};
use crate::proto::membership::{LearnerType, QuorumServer, ServerAddress};
use crate::proto::{QuorumPacket, Zxid};
use crate::server::clock::RealClock;

/// The leader, and its learner.
const ONE: Sid = Sid(1);
const TWO: Sid = Sid(2);

/// The learner's link, as it numbers it, and as the leader does.
const DIALLED: LinkId = LinkId(0);
const ACCEPTED: LinkId = LinkId::FIRST_ACCEPTED;

const MAX_FIELD: usize = 1 << 20;

#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Mesh for Noted {
    fn notify(&self, to: Sid, _: &Notification) {
        self.0.lock().push(format!("notify {to}"));
    }

    fn connect_all(&self) {
        self.0.lock().push("connect all".to_owned());
    }

    fn stand_back(&self, ms: u64) {
        self.0.lock().push(format!("stand back for {ms} ms"));
    }

    fn set_members(&self, config: &QuorumVerifier) {
        self.0.lock().push(format!("{} members", config.members.len()));
    }
}

/// A server with its door, its inbox and its files.
struct Server {
    peers: Peers,
    handle: PeersHandle,
    inbox: Arc<Inbox>,
    database: Arc<SharedDatabase>,
    clock: Arc<dyn Clock>,
    mesh: Arc<Noted>,
    home: Home,
    dir: Arc<DataDir>,
    came: Vec<Input>,
    /// How often bytes have moved.
    signs: usize,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Both servers on this machine; the leader's quorum port as given.
fn config(port: u16) -> Arc<QuorumVerifier> {
    let server = |quorum_port| QuorumServer {
        addresses: vec![ServerAddress {
            host: "127.0.0.1".to_owned(),
            quorum_port,
            election_port: 1,
        }],
        learner_type: LearnerType::Participant,
        client: None,
        secure_client: None,
    };
    let members = [(ONE, server(port)), (TWO, server(0))].into();
    Arc::new(QuorumVerifier { members, version: 0, hierarchy: None })
}

fn options() -> PeersOptions {
    PeersOptions {
        max_field_bytes: MAX_FIELD,
        leader_nodelay: true,
        follower_nodelay: true,
        tcp_keep_alive: true,
        connect_timeout_ms: 10_000,
        greeting_timeout_ms: 3_600_000,
        listen_on_all_ips: false,
        snapshot_size_factor: 0.0,
        tree: TREE,
    }
}

impl Server {
    fn start(runtime: &Runtime, me: Sid, members: Arc<QuorumVerifier>, txns: &[Vec<u8>]) -> Self {
        Self::start_with(options(), runtime, me, members, txns)
    }

    fn start_with(
        options: PeersOptions,
        runtime: &Runtime,
        me: Sid,
        members: Arc<QuorumVerifier>,
        txns: &[Vec<u8>],
    ) -> Self {
        let home = Home::new();
        if !txns.is_empty() {
            home.log(txns);
        }
        let dir = Arc::new(home.open().unwrap());
        let (inbox, mesh) = (Arc::new(Inbox::default()), Arc::new(Noted::default()));
        let database = Arc::new(SharedDatabase::new(database(txns)));
        let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
        let start = PeersStart {
            runtime: runtime.handle().clone(),
            me,
            members,
            mesh: mesh.clone(),
            inbox: inbox.clone(),
            dir: dir.clone(),
            database: database.clone(),
            options,
            clock: clock.clone(),
        };
        let (peers, handle) = Peers::start(start).unwrap();
        let came = Vec::new();
        Server { peers, handle, inbox, database, clock, mesh, home, dir, came, signs: 0 }
    }

    fn turn(&mut self, effects: impl IntoIterator<Item = LinkEffect>) {
        let mut effects = effects.into_iter().collect();
        self.peers.carry_out(self.clock.now(), &mut effects);
        assert!(effects.is_empty());
    }

    fn send(&mut self, link: LinkId, packets: impl IntoIterator<Item = QuorumPacket>) {
        self.turn(packets.into_iter().map(|packet| LinkEffect::Send { link, packet }));
    }

    /// The next input.
    #[track_caller]
    fn next(&mut self) -> Input {
        let until = self.clock.now().after(Duration::from_secs(20));
        while self.came.is_empty() {
            self.inbox.wait(Some(until), &*self.clock);
            let mut came = Vec::new();
            self.inbox.take(&mut came, 256);
            came.retain(|input| match input {
                Input::BytesMoved(_) => {
                    self.signs += 1;
                    false
                }
                _ => true,
            });
            came.reverse();
            self.came = came;
            assert!(self.clock.now().mono_ms < until, "nothing comes");
        }
        self.came.pop().unwrap()
    }

    /// The next packet of the link, which comes next.
    #[track_caller]
    fn packet(&mut self, from: LinkId) -> QuorumPacket {
        match self.next() {
            Input::Packet { link, packet } if link == from => packet,
            other => panic!("{other:?} comes"),
        }
    }

    /// Why the link ends, which it does next.
    #[track_caller]
    fn end(&mut self, of: LinkId) -> String {
        match self.next() {
            Input::LinkClosed { link, why } if link == of => why,
            other => panic!("{other:?} comes"),
        }
    }

    #[track_caller]
    fn opened(&mut self, expected: LinkId) {
        match self.next() {
            Input::LinkOpened(link) if link == expected => {}
            other => panic!("{other:?} comes"),
        }
    }
}

/// A leader with these transactions, and a learner whose link with it is open.
fn pair(runtime: &Runtime, txns: &[Vec<u8>]) -> (Server, Server) {
    let mut leader = Server::start(runtime, ONE, config(0), txns);
    let port = leader.handle.listening()[0].port();
    let mut learner = Server::start(runtime, TWO, config(port), &[]);
    learner.turn([LinkEffect::Dial { link: DIALLED, leader: ONE }]);
    learner.opened(DIALLED);
    greet(&mut learner, DIALLED, &mut leader, ACCEPTED);
    (leader, learner)
}

/// The leader hears of the learner with the first that it says.
fn greet(learner: &mut Server, dialled: LinkId, leader: &mut Server, accepted: LinkId) {
    learner.send(dialled, [ack(0)]);
    leader.opened(accepted);
    assert_eq!(leader.packet(accepted), ack(0));
}

fn ack(zxid: u64) -> QuorumPacket {
    QuorumPacket::Ack { zxid: Zxid(zxid) }
}

fn commit(zxid: u64) -> QuorumPacket {
    QuorumPacket::Commit { zxid: Zxid(zxid) }
}

#[test]
fn what_the_mesh_is_for_goes_to_the_mesh() {
    let runtime = runtime();
    let mut server = Server::start(&runtime, ONE, config(0), &[]);
    server.turn([LinkEffect::ConnectMesh]);
    server.handle.set_members(&config(5));
    server.peers.stand_back(7);
    let told = ["connect all", "2 members", "stand back for 7 ms"];
    assert_eq!(*server.mesh.0.lock(), told);
}
