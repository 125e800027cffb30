//! The stage: what every part of a simulated world acts on.

use crate::agenda::Agenda;
use crate::faults::FaultEvent;
use crate::history::{ClientEvent, ClientId, Event, History, ServerEvent, Value, Violation};
use crate::network::{Network, NetworkEvent};
use crate::peer::PeerEvent;
use crate::trace::Trace;
use zkserver::proto::Sid;

/// Time, network, and the records of what happens.
pub struct Stage {
    /// What will happen.
    pub agenda: Agenda<Happening>,
    /// The connections.
    pub network: Network,
    /// What happened, for the checkers.
    pub history: History,
    /// What happened, for a reader.
    pub trace: Trace,
    /// What was found wrong on the way, where it shows at once.
    pub violations: Vec<Violation>,
    /// The last value that a client wrote.
    pub last_value: Value,
    /// Servers (by index) that are in a moment where an accident would be untimely.
    pub moments: Vec<usize>,
    /// How many operations were asked for.
    pub operations: u32,
}

/// Something on the agenda.
#[derive(Debug)]
pub enum Happening {
    /// In the network.
    Network(NetworkEvent),
    /// In the server of that index, if that life of its process still goes on.
    Peer(usize, u64, PeerEvent),
    /// The client of that index looks what there is to do, if this is its last alarm.
    Client(usize, u64),
    /// A fault begins or ends.
    Fault(FaultEvent),
}

impl From<NetworkEvent> for Happening {
    fn from(event: NetworkEvent) -> Self {
        Happening::Network(event)
    }
}

/// Adds a line to the trace.
macro_rules! say {
    ($stage:expr, $($what:tt)*) => {{
        let now = $stage.agenda.now();
        $stage.trace.say(now, format_args!($($what)*))
    }};
}

pub(crate) use say;

impl Stage {
    /// A client did something or was told something.
    pub fn client(&mut self, client: usize, event: ClientEvent) {
        say!(self, "client {client} {event:?}");
        self.history.push(self.agenda.now(), Event::Client(ClientId(client as u32), event));
    }

    /// A server did something.
    pub fn server(&mut self, sid: Sid, event: ServerEvent) {
        say!(self, "{sid} {event:?}");
        if is_delicate(&event) {
            self.moments.push(sid.0 as usize - 1);
        }
        self.history.push(self.agenda.now(), Event::Server(sid, event));
    }

    /// A fault.
    pub fn fault(&mut self, what: String) {
        say!(self, "FAULT {what}");
        self.history.push(self.agenda.now(), Event::Fault(what));
    }

    /// Something is wrong at once.
    pub fn violation(&mut self, property: &'static str, what: String) {
        say!(self, "VIOLATION {property}: {what}");
        self.violations.push(Violation { property, at: self.agenda.now(), what });
    }

    /// A value that nobody has written.
    pub fn value(&mut self) -> Value {
        self.last_value += 1;
        self.last_value
    }
}

/// Whether a server has just begun or done something that takes several steps.
fn is_delicate(event: &ServerEvent) -> bool {
    use zkserver::proto::ServerState::Looking;
    match event {
        ServerEvent::Role(state) => *state != Looking,
        ServerEvent::AcceptedEpoch(_)
        | ServerEvent::CurrentEpoch(_)
        | ServerEvent::Established(_)
        | ServerEvent::Truncated { .. }
        | ServerEvent::SnapshotInstalled { .. }
        | ServerEvent::Reloaded { .. }
        | ServerEvent::Serving(true) => true,
        _ => false,
    }
}
