//! The stage: what the clients of a run share – its clock, its history, its values.
//!
//! It has the names of the simulator's stage, because the same workload acts on both.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::history::{ClientEvent, ClientId, Event, History, Micros, OpId, Value};

/// One client's view of the stage.
#[derive(Clone)]
pub struct Stage {
    /// What time it is.
    pub agenda: Agenda,
    shared: Arc<Shared>,
}

struct Shared {
    history: Mutex<History>,
    values: AtomicU64,
    operations: AtomicU32,
}

/// The run's clock.
#[derive(Clone, Copy)]
pub struct Agenda {
    began: Instant,
    began_ms: u64,
}

impl Agenda {
    /// Since the run began.
    pub fn now(&self) -> Micros {
        self.began.elapsed().as_micros() as Micros
    }

    /// A moment of the run on the wall's clock, in milliseconds since 1970: what transactions bear.
    pub fn wall_ms(&self, at: Micros) -> i64 {
        (self.began_ms + at / 1000) as i64
    }
}

impl Stage {
    /// A stage on which nothing has happened.
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
        let agenda = Agenda { began: Instant::now(), began_ms: since.as_millis() as u64 };
        let shared = Shared {
            history: Mutex::new(History::default()),
            values: AtomicU64::new(0),
            operations: AtomicU32::new(0),
        };
        Stage { agenda, shared: Arc::new(shared) }
    }

    /// A client did something or was told something.
    pub fn client(&mut self, client: usize, event: ClientEvent) {
        self.push(Event::Client(ClientId(client as u32), event));
    }

    /// A fault.
    pub fn fault(&mut self, what: String) {
        self.push(Event::Fault(what));
    }

    fn push(&self, event: Event) {
        let mut history = self.shared.history.lock().expect("no client has panicked");
        // Asked for under the lock, so that the history's times never go back.
        history.push(self.agenda.now(), event);
    }

    /// The number of a new operation.
    pub fn operation(&self) -> OpId {
        OpId(self.shared.operations.fetch_add(1, Ordering::Relaxed))
    }

    /// A value that nobody has written.
    pub fn value(&mut self) -> Value {
        self.shared.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What happened; it begins anew.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.shared.history.lock().expect("no client has panicked"))
    }
}
