//! The world of one run: servers, clients, network and faults, in one thread, from one seed.
//!
//! Time jumps from one entry of the agenda to the next. Whatever is drawn is drawn from the plan's
//! seed, each part from a stream of its own, so a run can be repeated byte for byte.

use std::sync::Arc;

use zkserver::proto::Zxid;

use crate::agenda::Agenda;
use crate::client::Client;
use crate::ensemble::Ensemble;
use crate::faults::Faults;
use crate::history::{History, Micros};
use crate::network::{Dial, Dialled, End, Network, NetworkEvent, Node, Payload};
use crate::peer::{Listens, Peer};
use crate::random::Random;
use crate::stage::{Happening, Stage};
use crate::trace::{Keep, Trace};
use crate::workload::{Paths, Workload};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The test that runs it, for its replay.
    pub test: &'static str,
    /// Everything else that is drawn is drawn from it.
    pub seed: u64,
    /// Who the members are.
    pub ensemble: Ensemble,
    /// How many clients.
    pub clients: usize,
    /// How long chaos lasts.
    pub chaos: Micros,
    /// How long peace lasts behind it.
    pub peace: Micros,
    /// Whether clients change the ensemble.
    pub reconfigs: bool,
    /// Whether sessions begin as local ones, and if so, whether they become global where a client
    /// asks for what only those have.
    pub local_sessions: Option<Upgrades>,
    /// Whether anything goes wrong in chaos.
    pub faults: bool,
    /// How long a message takes, usually.
    pub latency: Micros,
    /// What becomes of the trace.
    pub keep: Keep,
}

/// `localSessionsUpgradingEnabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrades(pub bool);

/// Everything that there is.
pub struct World {
    /// The plan.
    pub plan: Plan,
    /// What all act on.
    pub stage: Stage,
    /// The servers.
    pub peers: Vec<Peer>,
    /// The clients.
    pub clients: Vec<Client>,
    /// What goes wrong.
    pub faults: Faults,
}

impl World {
    /// Before anything has happened.
    pub fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let history = History {
            peace_at: plan.chaos,
            voters: plan.ensemble.voters(),
            observers: plan.ensemble.observers(),
            local_sessions: plan.local_sessions.is_some(),
            configs: plan.ensemble.config().iter().map(|c| (Zxid::ZERO, Arc::clone(c))).collect(),
            ..History::default()
        };
        let mut stage = Stage {
            agenda: Agenda::new(random.fork()),
            network: Network::new(random.fork(), plan.latency),
            history,
            trace: Trace::new(plan.keep),
            violations: Vec::new(),
            last_value: 0,
            operations: 0,
            moments: Vec::new(),
        };
        let mut chaos_random = random.fork();
        let faults = if plan.faults {
            Faults::new(chaos_random.fork(), &plan.ensemble, plan.reconfigs)
        } else {
            Faults::none()
        };
        let size = plan.ensemble.size();
        let peers: Vec<_> = (0..size).map(|n| Peer::new(n, &plan, random.fork())).collect();
        let observers = plan.ensemble.observers();
        let log_less = peers.iter().filter(|peer| !peer.logs() && observers.contains(&peer.sid()));
        stage.history.without_a_log = log_less.map(Peer::sid).collect();
        let paths = Paths::new(if plan.reconfigs { plan.ensemble.size() } else { 0 });
        let mut client = |index| {
            let mut random = random.fork();
            let work = Workload::new(index, Arc::clone(&paths), &mut random);
            let timeout_ms = random.pick(&[1_000, 2_000, 4_000]);
            Client::new(index, plan.ensemble.size(), timeout_ms, work, random, &mut stage)
        };
        let clients = (0..plan.clients).map(&mut client).collect();
        World { plan, stage, peers, clients, faults }
    }

    /// The servers start, and from then on things go wrong.
    pub fn begin(&mut self) {
        for peer in &mut self.peers {
            peer.start(&mut self.stage);
        }
        self.begin_chaos();
    }

    /// Everything up to that moment.
    pub fn run_until(&mut self, end: Micros) {
        while let Some(happening) = self.stage.agenda.next(end) {
            self.happen(happening);
            if !self.stage.moments.is_empty() {
                self.delicate_moments();
            }
        }
    }

    /// The server that leads and serves, if one does.
    pub fn leader(&self) -> Option<usize> {
        self.peers.iter().position(Peer::leads)
    }

    fn happen(&mut self, happening: Happening) {
        let stage = &mut self.stage;
        match happening {
            Happening::Network(NetworkEvent::Arrive(end)) => {
                let arrived = stage.network.arrive(&mut stage.agenda, end);
                let Some((node, payload)) = arrived else { return };
                self.arrive(node, end, payload);
            }
            Happening::Network(NetworkEvent::Dial(dial)) => self.dial(dial),
            Happening::Peer(server, life, event) => {
                let peer = &mut self.peers[server];
                if peer.life() == life {
                    peer.happen(stage, event);
                }
            }
            Happening::Client(client, alarm) => self.clients[client].wake(stage, alarm),
            Happening::Fault(event) => self.fault(event),
        }
    }

    fn arrive(&mut self, node: Node, end: End, payload: Payload) {
        let stage = &mut self.stage;
        match (node, payload) {
            (Node::Server(server), payload) => self.peers[server].arrive(stage, end, payload),
            (Node::Client(client), Payload::Bytes(bytes)) => {
                self.clients[client].receive(stage, end, &bytes);
            }
            (Node::Client(client), Payload::Fin) => self.clients[client].closed(stage, end),
            (Node::Stranger, _) => {}
        }
    }

    fn dial(&mut self, dial: Dial) {
        let stage = &mut self.stage;
        let Node::Server(server) = dial.to else { unreachable!("only servers are dialled") };
        let answer = match stage.network.try_dial(&mut stage.agenda, dial) {
            Dialled::Reached => match self.peers[server].listens(dial.port) {
                Listens::Accepts => {
                    let wire = stage.network.connect(dial.from, dial.to, dial.port);
                    self.peers[server].accept(stage, dial, End { wire, side: 1 });
                    Some(Some(End { wire, side: 0 }))
                }
                Listens::Refuses => Some(None),
                // Nobody is there to refuse.
                Listens::IsSilent => match stage.network.dial_again(&mut stage.agenda, dial) {
                    Dialled::GaveUp => Some(None),
                    Dialled::Reached | Dialled::Waits => None,
                },
            },
            Dialled::Waits => None,
            Dialled::GaveUp => Some(None),
        };
        let Some(end) = answer else { return };
        match dial.from {
            Node::Server(server) => self.peers[server].dialled(stage, dial, end),
            Node::Client(client) => self.clients[client].dialled(stage, dial.life, end),
            Node::Stranger => {}
        }
    }
}
