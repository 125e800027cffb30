//! Roads: the network between the members of an ensemble, which a test blocks, cuts and mends.
//!
//! ```text
//!  server i ── dials ──▶ road i→j ──▶ server j      one for the election port, one for the quorum port
//! ```
//!
//! What always holds:
//! * Nothing goes past the roads. A server that is told another's election address in a greeting may
//!   dial that one instead of its own configuration's; so the road puts itself in its place.
//! * A blocked direction is silent: its connections stay, and nobody is told. A cut one has none.
//! * Where no server listens nobody is accepted: whoever dials is refused, as without a road.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::server::free_port;

/// A server's id.
pub type Id = i64;

/// Which of a server's ports a road leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Where a leader awaits its learners.
    Quorum,
    /// Where votes are exchanged.
    Election,
}

/// How a leader begins to synchronise a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Diff,
    Trunc,
    Snap,
}

/// All roads of an ensemble.
pub struct Roads {
    shared: Arc<Shared>,
    ports: HashMap<(Id, Id, Port), u16>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By sender and receiver.
    blocked: HashSet<(Id, Id)>,
    /// By dialler and dialled, both ways.
    cut: HashSet<(Id, Id)>,
    links: Vec<(Id, Id, [TcpStream; 2])>,
    syncs: Vec<(Id, Id, Sync)>,
    over: bool,
}

impl Roads {
    /// Roads from everybody to everybody; `real` are each server's quorum and election ports.
    pub fn new(real: &[(Id, u16, u16)]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut ports = HashMap::new();
        for (from, ..) in real {
            for (to, ..) in real.iter().filter(|(to, ..)| to != from) {
                for kind in [Port::Quorum, Port::Election] {
                    ports.insert((*from, *to, kind), free_port());
                }
            }
        }
        for (to, quorum, election) in real {
            for (kind, real) in [(Port::Quorum, *quorum), (Port::Election, *election)] {
                let others = real_ids(&ports, *to, kind);
                let roads = others.into_iter().map(|(from, port)| {
                    let (shared, to, back) = (shared.clone(), *to, ports[&(*to, from, kind)]);
                    (port, Road { shared, from, to, kind, real, back })
                });
                let roads: Vec<(u16, Road)> = roads.collect();
                let shared = shared.clone();
                std::thread::spawn(move || follow(&shared, real, &roads));
            }
        }
        Roads { shared, ports }
    }

    /// Where `from` dials `to`.
    pub fn port(&self, from: Id, to: Id, kind: Port) -> u16 {
        self.ports[&(from, to, kind)]
    }

    /// What one sends to the other stays on the road from now on.
    pub fn block(&self, sender: Id, receiver: Id) {
        self.shared.lock().blocked.insert((sender, receiver));
    }

    /// No byte goes between the two groups, in neither direction.
    pub fn part(&self, some: &[Id], others: &[Id]) {
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |o| (*one, *o))) {
            self.block(one, other);
            self.block(other, one);
        }
    }

    /// Ends every connection between the two, and each new one at once.
    pub fn cut(&self, one: Id, other: Id) {
        let mut state = self.shared.lock();
        state.cut.extend([(one, other), (other, one)]);
        state.links.retain(|(from, to, ends)| {
            let ended = (*from, *to) == (one, other) || (*from, *to) == (other, one);
            if ended {
                ends.iter().for_each(hang_up);
            }
            !ended
        });
    }

    /// Every road is open again, and what a blocked one held goes on.
    pub fn mend(&self) {
        let mut state = self.shared.lock();
        state.blocked.clear();
        state.cut.clear();
        self.shared.changed.notify_all();
    }

    /// How this leader has begun to synchronise this learner, each time.
    pub fn syncs(&self, leader: Id, learner: Id) -> Vec<Sync> {
        let state = self.shared.lock();
        let of_both =
            |(a, b, sync): &(Id, Id, Sync)| ((*a, *b) == (leader, learner)).then_some(*sync);
        state.syncs.iter().filter_map(of_both).collect()
    }
}

impl Drop for Roads {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        state.links.drain(..).for_each(|(_, _, ends)| ends.iter().for_each(hang_up));
        self.shared.changed.notify_all();
        drop(state);
    }
}

/// Who dials that port of `to`, and where.
fn real_ids(ports: &HashMap<(Id, Id, Port), u16>, to: Id, kind: Port) -> Vec<(Id, u16)> {
    let leads_there = |((from, at, of), port): (&(Id, Id, Port), &u16)| {
        ((*at, *of) == (to, kind)).then_some((*from, *port))
    };
    ports.iter().filter_map(leads_there).collect()
}

/// Keeps the roads to one port open while a server listens there.
fn follow(shared: &Shared, real: u16, roads: &[(u16, Road)]) {
    let mut listeners: Vec<TcpListener> = Vec::new();
    while !shared.lock().over {
        match (is_listening(real), listeners.is_empty()) {
            (true, true) => {
                for (port, road) in roads {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
                    let listener = listener.expect("the road's port is its own");
                    let (copy, road) = (listener.try_clone().expect("a handle"), road.clone());
                    std::thread::spawn(move || road.accept(&copy));
                    listeners.push(listener);
                }
            }
            (false, false) => close(&mut listeners),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    close(&mut listeners);
}

/// Ends listeners of which another thread has a handle and waits in `accept`.
fn close(listeners: &mut Vec<TcpListener>) {
    for listener in listeners.drain(..) {
        let _ = Socket::from(listener).shutdown(Shutdown::Both);
    }
}

/// Whether a server listens there; without a connection, which it would notice.
fn is_listening(port: u16) -> bool {
    let probe = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    probe.set_reuse_address(true).expect("an option");
    let address = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    probe.bind(&address.into()).is_err()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until that direction is open. False if the roads are gone.
    fn pass(&self, sender: Id, receiver: Id) -> bool {
        let mut state = self.lock();
        while state.blocked.contains(&(sender, receiver)) && !state.over {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        !state.over
    }
}

/// A road in one direction of dialling.
#[derive(Clone)]
struct Road {
    shared: Arc<Shared>,
    from: Id,
    to: Id,
    kind: Port,
    /// The port of the server at its end.
    real: u16,
    /// The port of the road that leads back.
    back: u16,
}

impl Road {
    fn accept(self, listener: &TcpListener) {
        while let Ok((dialler, _)) = listener.accept() {
            if self.shared.lock().over {
                return;
            }
            let road = self.clone();
            std::thread::spawn(move || road.link(dialler));
        }
    }

    fn link(self, dialler: TcpStream) {
        // A dial goes both ways: over a blocked road nobody arrives.
        if !self.shared.pass(self.from, self.to) || !self.shared.pass(self.to, self.from) {
            return;
        }
        if self.shared.lock().cut.contains(&(self.from, self.to)) {
            return;
        }
        let Ok(dialled) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.real)) else { return };
        let copy = |end: &TcpStream| end.try_clone().expect("a second handle");
        for end in [&dialler, &dialled] {
            let _ = end.set_nodelay(true);
        }
        {
            let mut state = self.shared.lock();
            // What has ended is not kept.
            state.links.retain(|(_, _, ends)| ends[0].peer_addr().is_ok());
            state.links.push((self.from, self.to, [copy(&dialler), copy(&dialled)]));
        }
        let (there, back) = match self.kind {
            Port::Election => (Change::Greeting(Vec::new()), Change::Nothing),
            Port::Quorum => (Change::Nothing, Change::Header(Vec::new())),
        };
        let other = self.clone();
        let (source, sink) = (copy(&dialled), copy(&dialler));
        std::thread::spawn(move || other.carry(source, sink, true, back));
        self.carry(dialler, dialled, false, there);
    }

    /// Carries what one socket says to another until either ends.
    fn carry(
        &self,
        mut source: TcpStream,
        mut sink: TcpStream,
        backwards: bool,
        mut change: Change,
    ) {
        let (sender, receiver) =
            if backwards { (self.to, self.from) } else { (self.from, self.to) };
        let mut piece = vec![0; 1 << 16];
        loop {
            let size = source.read(&mut piece).unwrap_or(0);
            // The end of a conversation is news as well.
            if !self.shared.pass(sender, receiver) || size == 0 {
                break;
            }
            let said = self.changed(&piece[..size], &mut change);
            if sink.write_all(said.as_deref().unwrap_or(&piece[..size])).is_err() {
                break;
            }
        }
        hang_up(&source);
        hang_up(&sink);
    }

    /// What is said instead of this piece, if it is something else.
    fn changed(&self, piece: &[u8], change: &mut Change) -> Option<Vec<u8>> {
        match change {
            Change::Nothing => None,
            Change::Greeting(read) => {
                read.extend_from_slice(piece);
                let Some(greeting) = greeting(read, self.back) else { return Some(Vec::new()) };
                *change = Change::Nothing;
                Some(greeting)
            }
            Change::Header(read) => {
                read.extend_from_slice(piece);
                if let Some(sync) = header(read) {
                    let seen = sync.map(|sync| (self.to, self.from, sync));
                    self.shared.lock().syncs.extend(seen);
                    *change = Change::Nothing;
                }
                None
            }
        }
    }
}

/// What happens to the beginning of a stream; what was read of it is kept.
enum Change {
    Nothing,
    /// The dialler's greeting gets another address.
    Greeting(Vec<u8>),
    /// The leader's second packet is looked for.
    Header(Vec<u8>),
}

/// The greeting – version, id, the address's length, the address – with the port of a road, once it
/// is whole; older greetings have no address and stay.
fn greeting(read: &[u8], port: u16) -> Option<Vec<u8>> {
    let version = i64::from_be_bytes(*read.first_chunk()?);
    if !matches!(version, -65536 | -65535) {
        return Some(read.to_vec());
    }
    let length = i32::from_be_bytes(*read.get(16..)?.first_chunk()?);
    let rest = read.get(20 + usize::try_from(length).unwrap_or(0)..)?;
    let address = format!("127.0.0.1:{port}");
    let mut said = read[..16].to_vec();
    said.extend_from_slice(&(address.len() as i32).to_be_bytes());
    said.extend_from_slice(address.as_bytes());
    said.extend_from_slice(rest);
    Some(said)
}

/// What is behind LEADERINFO, once it is there. A packet is its type, a zxid, a buffer and a vector
/// of identities that nobody sends.
fn header(read: &[u8]) -> Option<Option<Sync>> {
    let length = i32::from_be_bytes(*read.get(12..)?.first_chunk()?);
    let second = read.get(16 + usize::try_from(length).unwrap_or(0) + 4..)?;
    Some(match i32::from_be_bytes(*second.first_chunk()?) {
        13 => Some(Sync::Diff),
        14 => Some(Sync::Trunc),
        15 => Some(Sync::Snap),
        _ => None,
    })
}

fn hang_up(end: &TcpStream) {
    let _ = end.shutdown(Shutdown::Both);
}
