//! The network: connections between machines that delay, stall, break, and never reorder.
//!
//! ```text
//!  end 0 ── bytes, bytes, fin ──▶ end 1      each direction a FIFO with its own pace
//!  end 0 ◀── bytes ────────────── end 1
//! ```
//!
//! What always holds:
//! * A direction delivers in the order in which it was given; what is delivered is a beginning of
//!   that. A reset loses a tail, never something in the middle.
//! * A cut stalls the directions it concerns; when it is healed they go on, as TCP does, unless the
//!   connection was reset meanwhile.
//! * Nothing is delivered to an end that is closed, nor sent by one.
//! * A machine that lost its power says nothing; whoever is connected to it learns of it from its
//!   own deadlines, or from a reset when the machine is back.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::agenda::Agenda;
use crate::history::Micros;
use crate::random::Random;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The server of that index.
    Server(usize),
    /// The client of that index.
    Client(usize),
    /// Somebody who does not belong.
    Stranger,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub usize);

/// One end of a connection: 0 dialled, 1 accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The connection.
    pub wire: WireId,
    /// Which end.
    pub side: usize,
}

/// What is asked for by dialling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The election port: a connection of the mesh.
    Election,
    /// The quorum port: a learner's link, by the dialler's number.
    Quorum(u64),
    /// The client port.
    Client,
}

/// What comes out of a direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A message: a packet, a notification, some bytes of a client or of a stream.
    Bytes(Bytes),
    /// The other end is closed, or the connection is broken.
    Fin,
}

/// What the agenda keeps for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkEvent {
    /// The head of a direction may arrive at this end.
    Arrive(End),
    /// A dial reaches its server, or tries again.
    Dial(Dial),
}

/// Somebody dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// Who.
    pub from: Node,
    /// Which of its lives: a process that has died does not see the answer.
    pub life: u64,
    /// Whom.
    pub to: Node,
    /// What for.
    pub port: Port,
    /// When it gives up.
    pub until: Micros,
}

/// Answers to a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// The way is clear: whoever listens may be asked.
    Reached,
    /// Not yet; it will try again.
    Waits,
    /// It has given up.
    GaveUp,
}

#[derive(Debug)]
struct Wire {
    nodes: [Node; 2],
    port: Port,
    open: [bool; 2],
    /// The end's machine has lost its power, and says nothing of it.
    silent: [bool; 2],
    /// Towards the end of that index.
    towards: [Direction; 2],
}

#[derive(Debug)]
struct Direction {
    queue: VecDeque<(Micros, Payload)>,
    last_ready: Micros,
    latency: Micros,
    stalled: bool,
}

/// All connections, and what hampers them.
#[derive(Debug)]
pub struct Network {
    random: Random,
    wires: Vec<Option<Wire>>,
    /// The lowest that may still be there.
    first: usize,
    cuts: BTreeSet<(Node, Node)>,
    /// How long a message takes, usually.
    pub latency: Micros,
    /// Of a thousand dials so many take long.
    pub slow_dials: u64,
}

/// A dial is tried again so often.
const DIAL_AGAIN: Micros = 200_000;

impl<E: From<NetworkEvent>> Agenda<E> {
    fn arrive(&mut self, at: Micros, end: End) {
        self.add(at, NetworkEvent::Arrive(end).into());
    }
}

impl Network {
    /// Nobody is connected, and nothing is cut.
    pub fn new(random: Random, latency: Micros) -> Self {
        Network {
            random,
            wires: Vec::new(),
            first: 0,
            cuts: BTreeSet::new(),
            latency,
            slow_dials: 0,
        }
    }

    /// Begins to dial; the agenda will bring the [`NetworkEvent::Dial`].
    pub fn dial<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, dial: Dial) {
        let mut takes = self.random.about(self.latency * 2);
        if self.random.permille(self.slow_dials) {
            takes += self.random.below(2_000_000);
        }
        agenda.after(takes, NetworkEvent::Dial(dial).into());
    }

    /// Whether the dial gets through now.
    pub fn try_dial<E: From<NetworkEvent>>(
        &mut self,
        agenda: &mut Agenda<E>,
        dial: Dial,
    ) -> Dialled {
        if !self.is_cut(dial.from, dial.to) && !self.is_cut(dial.to, dial.from) {
            return Dialled::Reached;
        }
        self.dial_again(agenda, dial)
    }

    /// Nobody answers for now: it is tried again, until it is given up.
    pub fn dial_again<E: From<NetworkEvent>>(
        &mut self,
        agenda: &mut Agenda<E>,
        dial: Dial,
    ) -> Dialled {
        if agenda.now() >= dial.until {
            return Dialled::GaveUp;
        }
        agenda.after(DIAL_AGAIN, NetworkEvent::Dial(dial).into());
        Dialled::Waits
    }

    /// Messages take no longer than usual, also over connections that began when they did.
    pub fn is_well(&mut self, usual: Micros) {
        self.slow_dials = 0;
        self.latency = usual;
        for direction in self.wires.iter_mut().flatten().flat_map(|wire| &mut wire.towards) {
            direction.latency = direction.latency.min(usual * 3 / 2);
        }
    }

    /// A connection is there, from now on, at both ends.
    pub fn connect(&mut self, from: Node, to: Node, port: Port) -> WireId {
        let mut direction = || Direction {
            queue: VecDeque::new(),
            last_ready: 0,
            latency: self.random.between(self.latency / 2, self.latency * 3 / 2).max(1),
            stalled: false,
        };
        let wire = Wire {
            nodes: [from, to],
            port,
            open: [true; 2],
            silent: [false; 2],
            towards: [direction(), direction()],
        };
        self.wires.push(Some(wire));
        WireId(self.wires.len() - 1)
    }

    /// Sends from the end, behind everything that it has sent before.
    pub fn send<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, from: End, bytes: Bytes) {
        self.push(agenda, from, Payload::Bytes(bytes));
    }

    fn push<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, from: End, payload: Payload) {
        let Some(wire) = &mut self.wires[from.wire.0] else { return };
        let to = End { wire: from.wire, side: 1 - from.side };
        if (!wire.open[from.side] && payload != Payload::Fin) || wire.silent[to.side] {
            return;
        }
        let direction = &mut wire.towards[to.side];
        let takes = self.random.about(direction.latency);
        let ready = (agenda.now() + takes).max(direction.last_ready);
        direction.last_ready = ready;
        direction.queue.push_back((ready, payload));
        if direction.queue.len() == 1 && !direction.stalled {
            agenda.arrive(ready, to);
        }
    }

    /// What arrives at the end now, if it is open and nothing is in the way.
    pub fn arrive<E: From<NetworkEvent>>(
        &mut self,
        agenda: &mut Agenda<E>,
        end: End,
    ) -> Option<(Node, Payload)> {
        let cuts = &self.cuts;
        let wire = self.wires[end.wire.0].as_mut()?;
        let (from, to) = (wire.nodes[1 - end.side], wire.nodes[end.side]);
        let direction = &mut wire.towards[end.side];
        if cuts.contains(&(from, to)) {
            direction.stalled = true;
            return None;
        }
        // A head that was lost has left its arrival on the agenda.
        direction.queue.front().filter(|(ready, _)| *ready <= agenda.now())?;
        let (_, payload) = direction.queue.pop_front()?;
        if let Some((ready, _)) = direction.queue.front() {
            agenda.arrive(*ready, end);
        }
        let was_open = wire.open[end.side];
        if payload == Payload::Fin {
            wire.open[end.side] = false;
            direction_is_over(&mut self.wires, end.wire);
        }
        was_open.then_some((to, payload))
    }

    /// Closes the end. The other learns of it behind what was sent before, some of which is lost
    /// where this end had not read everything.
    pub fn close<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, end: End) {
        let Some(wire) = &mut self.wires[end.wire.0] else { return };
        if !std::mem::replace(&mut wire.open[end.side], false) {
            return;
        }
        let unread = !wire.towards[end.side].queue.is_empty();
        wire.towards[end.side].queue.clear();
        if unread && self.random.coin() {
            self.lose_tail(end);
        }
        self.push(agenda, end, Payload::Fin);
    }

    /// The connection breaks: both ends learn of it, and a tail of what was under way is lost.
    pub fn reset<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, wire: WireId) {
        for side in 0..2 {
            let end = End { wire, side };
            if self.wires[wire.0].is_some() {
                self.lose_tail(end);
                self.push(agenda, end, Payload::Fin);
            }
        }
    }

    /// Loses a tail of what goes from the end.
    fn lose_tail(&mut self, from: End) {
        let Some(wire) = &mut self.wires[from.wire.0] else { return };
        let queue = &mut wire.towards[1 - from.side].queue;
        let kept = self.random.below(queue.len() as u64 + 1) as usize;
        queue.truncate(kept);
    }

    /// The connections that have an open end at the node, each with that end.
    pub fn of(&self, node: Node) -> Vec<End> {
        let mut ends = Vec::new();
        for (number, wire) in self.wires.iter().enumerate().skip(self.first) {
            let Some(wire) = wire else { continue };
            for side in 0..2 {
                if wire.nodes[side] == node && wire.open[side] {
                    ends.push(End { wire: WireId(number), side });
                }
            }
        }
        ends
    }

    /// All connections between servers, or with clients too.
    pub fn wires(&self, with_clients: bool) -> Vec<WireId> {
        let is_server = |node: &Node| matches!(node, Node::Server(_));
        let present = |(number, wire): (usize, &Option<Wire>)| {
            let wire = wire.as_ref()?;
            let counts = with_clients || wire.nodes.iter().all(is_server);
            (counts && wire.open != [false; 2]).then_some(WireId(number))
        };
        self.wires.iter().enumerate().skip(self.first).filter_map(present).collect()
    }

    /// The links between learners and leaders that are open at both ends.
    pub fn links(&self) -> Vec<WireId> {
        let is_link = |(number, wire): (usize, &Option<Wire>)| {
            let wire = wire.as_ref()?;
            let counts = matches!(wire.port, Port::Quorum(_)) && wire.open == [true; 2];
            counts.then_some(WireId(number))
        };
        self.wires.iter().enumerate().skip(self.first).filter_map(is_link).collect()
    }

    /// The process at the node is gone. Its system closes what it had open; without power nobody
    /// says anything.
    pub fn process_gone<E: From<NetworkEvent>>(
        &mut self,
        agenda: &mut Agenda<E>,
        node: Node,
        power_cut: bool,
    ) {
        for end in self.of(node) {
            if !power_cut {
                self.close(agenda, end);
                continue;
            }
            let wire = self.wires[end.wire.0].as_mut().expect("it has an open end");
            wire.open[end.side] = false;
            wire.silent[end.side] = true;
            wire.towards[end.side].queue.clear();
        }
    }

    /// The machine has power again: whoever still sends to its former connections is told.
    pub fn power_is_back<E: From<NetworkEvent>>(&mut self, agenda: &mut Agenda<E>, node: Node) {
        for number in self.first..self.wires.len() {
            let Some(wire) = &mut self.wires[number] else { continue };
            for side in 0..2 {
                if wire.nodes[side] == node && wire.silent[side] {
                    wire.silent[side] = false;
                    self.push(agenda, End { wire: WireId(number), side }, Payload::Fin);
                    break;
                }
            }
        }
    }

    /// Nothing gets from the one to the other from now on.
    pub fn cut(&mut self, from: Node, to: Node) {
        self.cuts.insert((from, to));
    }

    /// Whether something gets from the one to the other.
    pub fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Heals the cuts for which `which` holds. Some of the connections that were stalled by them
    /// break in that moment.
    pub fn heal<E: From<NetworkEvent>>(
        &mut self,
        agenda: &mut Agenda<E>,
        which: impl Fn(Node, Node) -> bool,
    ) {
        self.cuts.retain(|(from, to)| !which(*from, *to));
        let mut broken = Vec::new();
        for (number, wire) in self.wires.iter_mut().enumerate().skip(self.first) {
            let Some(wire) = wire else { continue };
            for side in 0..2 {
                let (from, to) = (wire.nodes[1 - side], wire.nodes[side]);
                let direction = &mut wire.towards[side];
                if !direction.stalled || self.cuts.contains(&(from, to)) {
                    continue;
                }
                direction.stalled = false;
                if self.random.permille(200) {
                    broken.push(WireId(number));
                }
                if let Some((ready, _)) = direction.queue.front() {
                    let soon = agenda.now() + self.random.about(self.latency);
                    agenda.arrive(soon.max(*ready), End { wire: WireId(number), side });
                }
            }
        }
        for wire in broken {
            self.reset(agenda, wire);
        }
        while self.wires.get(self.first).is_some_and(Option::is_none) {
            self.first += 1;
        }
    }
}

/// Forgets the connection if neither end is open and nothing is under way.
fn direction_is_over(wires: &mut [Option<Wire>], id: WireId) {
    let over = wires[id.0].as_ref().is_some_and(|wire| {
        wire.open == [false; 2]
            && wire.silent == [false; 2]
            && wire.towards.iter().all(|direction| direction.queue.is_empty())
    });
    if over {
        wires[id.0] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl From<NetworkEvent> for NetworkEvent2 {
        fn from(event: NetworkEvent) -> Self {
            NetworkEvent2(event)
        }
    }

    /// The only thing on these tests' agendas.
    #[derive(Debug)]
    struct NetworkEvent2(NetworkEvent);

    const A: Node = Node::Server(0);
    const B: Node = Node::Server(1);

    struct Case {
        agenda: Agenda<NetworkEvent2>,
        network: Network,
        wire: WireId,
    }

    impl Case {
        fn new(seed: u64) -> Self {
            let mut network = Network::new(Random::new(seed), 1000);
            let wire = network.connect(A, B, Port::Election);
            Case { agenda: Agenda::new(Random::new(seed)), network, wire }
        }

        fn end(&self, side: usize) -> End {
            End { wire: self.wire, side }
        }

        fn send(&mut self, side: usize, what: &'static [u8]) {
            let end = self.end(side);
            self.network.send(&mut self.agenda, end, Bytes::from_static(what));
        }

        /// Everything that arrives at the end within a second.
        fn arrivals(&mut self, side: usize) -> Vec<Payload> {
            let (end, until) = (self.end(side), self.agenda.now() + 1_000_000);
            let mut arrived = Vec::new();
            while let Some(NetworkEvent2(event)) = self.agenda.next(until) {
                let NetworkEvent::Arrive(at) = event else { continue };
                let payload = self.network.arrive(&mut self.agenda, at);
                arrived.extend(payload.filter(|_| at == end).map(|(_, payload)| payload));
            }
            arrived
        }
    }

    fn bytes(what: &[&'static [u8]]) -> Vec<Payload> {
        what.iter().map(|what| Payload::Bytes(Bytes::from_static(what))).collect()
    }

    #[test]
    fn a_direction_is_a_fifo_and_ends_with_a_fin() {
        for seed in 0..50 {
            let mut case = Case::new(seed);
            case.send(0, b"a");
            case.send(0, b"b");
            case.send(0, b"c");
            let end = case.end(0);
            case.network.close(&mut case.agenda, end);
            case.send(0, b"not sent");
            let mut expected = bytes(&[b"a", b"b", b"c"]);
            expected.push(Payload::Fin);
            assert_eq!(case.arrivals(1), expected);
        }
    }

    #[test]
    fn a_cut_stalls_one_way_and_what_was_sent_comes_when_it_is_healed() {
        let mut stalled = 0;
        for seed in 0..50 {
            let mut case = Case::new(seed);
            case.network.cut(A, B);
            case.send(0, b"a");
            case.send(1, b"b");
            assert_eq!(case.arrivals(0), bytes(&[b"b"]));
            assert_eq!(case.arrivals(1), []);
            case.send(0, b"c");
            case.network.heal(&mut case.agenda, |_, _| true);
            let arrived = case.arrivals(1);
            stalled += usize::from(arrived == bytes(&[b"a", b"c"]));
        }
        assert!(stalled > 30, "now and then the connection breaks");
    }

    #[test]
    fn a_reset_loses_a_tail_and_nothing_else() {
        let mut lengths = BTreeSet::new();
        for seed in 0..100 {
            let mut case = Case::new(seed);
            case.send(0, b"a");
            case.send(0, b"b");
            case.network.reset(&mut case.agenda, case.wire);
            let arrived = case.arrivals(1);
            assert_eq!(arrived.last(), Some(&Payload::Fin));
            let before = &arrived[..arrived.len() - 1];
            assert_eq!(before, &bytes(&[b"a", b"b"])[..before.len()]);
            lengths.insert(before.len());
        }
        assert_eq!(lengths.len(), 3);
    }

    #[test]
    fn a_machine_without_power_is_silent_until_it_is_back() {
        let mut case = Case::new(3);
        case.send(1, b"last words");
        case.network.process_gone(&mut case.agenda, B, true);
        case.send(0, b"into the void");
        assert_eq!(case.arrivals(0), bytes(&[b"last words"]));
        case.network.power_is_back(&mut case.agenda, B);
        assert_eq!(case.arrivals(0), [Payload::Fin]);
    }

    #[test]
    fn a_dial_waits_for_a_cut_to_heal_and_gives_up() {
        let mut case = Case::new(1);
        case.network.cut(B, A);
        let dial = Dial { from: A, life: 1, to: B, port: Port::Client, until: 500_000 };
        case.network.dial(&mut case.agenda, dial);
        let mut answers = Vec::new();
        while let Some(NetworkEvent2(event)) = case.agenda.next(2_000_000) {
            let NetworkEvent::Dial(dial) = event else { continue };
            answers.push(case.network.try_dial(&mut case.agenda, dial));
        }
        let [waits @ .., last] = &answers[..] else { panic!("nothing came") };
        assert!(waits.len() >= 2 && waits.iter().all(|answer| *answer == Dialled::Waits));
        assert_eq!(*last, Dialled::GaveUp);
    }
}
