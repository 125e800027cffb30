//! The workload: what a client does with its session.
//!
//! Every client works on the same few nodes, so that they meet. Each opportunity draws one of:
//!
//! | what          | on                                                                      |
//! |---------------|-------------------------------------------------------------------------|
//! | registers     | `/r/N`: setData with and without a version, getData, sync and getData   |
//! | multi         | check and setData, create and delete, some of which must fail as one     |
//! | churn         | `/c/N`: create, delete, exists and getChildren with watches              |
//! | ephemerals    | `/e/…`: created, seen by others, gone with their session                 |
//! | queue         | `/q/…`: sequential nodes, taken by whoever deletes the first             |
//! | reaped        | `/k/N`: containers with a child now and then; `/t/N`: nodes with a TTL      |
//! | reconfig      | if the plan says so: members leave, join, get and lose their votes       |
//! | lock          | `/l/…`: ephemeral sequential nodes; who has the lowest holds the lock     |
//!
//! Reads behind writes, pipelined, are the usual case: a client asks up to its depth ahead.

use std::collections::BTreeSet;
use std::sync::Arc;

use zkserver::proto::{EventType, Zxid};

use crate::history::{Micros, Path, Request, Response};
use crate::random::Random;
use crate::stage::Stage;

/// How many registers, and how many nodes that come and go.
const REGISTERS: u64 = 4;
const CHURNED: u64 = 6;

const NODE_EXISTS: i32 = -110;

/// What one client does.
pub struct Workload {
    index: usize,
    depth: usize,
    /// The usual pause between two looks.
    pause: Micros,
    paths: Arc<Paths>,
    /// How many of the parents it has made sure of.
    parents: usize,
    lock: Lock,
    /// The queue's first node, when it was last looked at.
    first_in_queue: Option<Path>,
    /// The registers' versions, when they were last seen.
    versions: [i32; REGISTERS as usize],
    own_ephemerals: u64,
    data_watches: BTreeSet<Path>,
    exists_watches: BTreeSet<Path>,
    child_watches: BTreeSet<Path>,
    /// No watch from now on, and no lock: what is left is to be judged.
    quiet: bool,
    read_next: Option<Path>,
    may_close: bool,
}

/// The paths there are, made once.
pub struct Paths {
    parents: Vec<Path>,
    registers: Vec<Path>,
    churned: Vec<Path>,
    queue_prefix: Path,
    lock_prefix: Path,
    /// How many servers may join and leave; 0: the ensemble stays as it is.
    servers: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Lock {
    No,
    Asked,
    /// It has a node; who else has must be looked at.
    Look(Path),
    Looking(Path),
    /// Another is before it: a watch is to be left on that.
    Watch(Path, Path),
    /// The watch tells when that has gone.
    Waits(Path, Path),
    Held(Path, Micros),
    Releasing,
}

impl Paths {
    /// All of them.
    pub fn new(servers: usize) -> Arc<Paths> {
        let numbered = |parent: &str, count| -> Vec<Path> {
            (0..count).map(|n| format!("{parent}/{n}").into()).collect()
        };
        Arc::new(Paths {
            parents: ["/r", "/c", "/e", "/q", "/l", "/k", "/t"].map(Path::from).to_vec(),
            registers: numbered("/r", REGISTERS),
            churned: numbered("/c", CHURNED),
            queue_prefix: "/q/n-".into(),
            lock_prefix: "/l/n-".into(),
            servers: servers as u64,
        })
    }
}

impl Workload {
    /// One with a seed's character.
    pub fn new(index: usize, paths: Arc<Paths>, random: &mut Random) -> Self {
        Workload {
            index,
            depth: random.pick(&[1, 2, 4, 8]),
            pause: random.pick(&[50_000, 100_000, 150_000]),
            paths,
            parents: 0,
            lock: Lock::No,
            first_in_queue: None,
            versions: [0; REGISTERS as usize],
            own_ephemerals: 0,
            data_watches: BTreeSet::new(),
            exists_watches: BTreeSet::new(),
            child_watches: BTreeSet::new(),
            quiet: false,
            read_next: None,
            may_close: random.permille(300),
        }
    }

    /// How long until it looks again whether it wants something.
    pub fn think(&self, random: &mut Random) -> Micros {
        random.about(self.pause)
    }

    /// What it asks next, with so many requests unanswered. A new idea it has only when it has
    /// thought; what it was about to do goes on with each answer.
    pub fn next(
        &mut self,
        pending: usize,
        has_thought: bool,
        random: &mut Random,
        stage: &mut Stage,
    ) -> Option<Request> {
        if pending >= self.depth {
            return None;
        }
        if self.parents < self.paths.parents.len() + self.paths.registers.len() {
            return self.make_sure(stage);
        }
        if let Some(path) = self.read_next.take() {
            return Some(Request::GetData { path, watch: false });
        }
        if let Some(request) = self.lock_step(stage) {
            return Some(request);
        }
        // A pipeline is not always full.
        if !has_thought || (pending > 0 && random.permille(500)) {
            return None;
        }
        Some(self.draw(random, stage))
    }

    fn make_sure(&mut self, stage: &mut Stage) -> Option<Request> {
        let paths = &self.paths;
        let path = paths.parents.iter().chain(&paths.registers).nth(self.parents)?.clone();
        self.parents += 1;
        Some(create(path, stage, false, false))
    }

    fn draw(&mut self, random: &mut Random, stage: &mut Stage) -> Request {
        let register = random.below(REGISTERS) as usize;
        let path = self.paths.registers[register].clone();
        let churned = random.pick(&[0, 1, 2, 3, 4, 5]);
        let churned_path = self.paths.churned[churned].clone();
        let most = if self.quiet { 45 } else { 110 };
        match random.below(most) {
            0..16 => self.set_data(path, register, random, stage),
            16..32 => Request::GetData { watch: self.watch_data(&path, random), path },
            32..38 => {
                self.read_next = Some(path.clone());
                Request::Sync { path }
            }
            38..45 => self.multi(register, churned, random, stage),
            45..53 => create(churned_path, stage, random.permille(200), false),
            53..60 => Request::Delete { path: churned_path, version: -1 },
            60..66 => {
                let watch = random.coin();
                if watch {
                    self.exists_watches.insert(churned_path.clone());
                }
                Request::Exists { path: churned_path, watch }
            }
            66..72 => {
                let path = self.paths.parents[random.pick(&[1, 2])].clone();
                let watch = random.coin();
                if watch {
                    self.child_watches.insert(path.clone());
                }
                Request::GetChildren { path, watch }
            }
            72..77 => {
                let number = self.own_ephemerals % 3;
                self.own_ephemerals += 1;
                let path = format!("/e/{}-{number}", self.index).into();
                if random.permille(300) {
                    return Request::Delete { path, version: -1 };
                }
                create(path, stage, true, false)
            }
            77..83 => create(self.paths.queue_prefix.clone(), stage, false, true),
            83..90 => match self.first_in_queue.take() {
                Some(path) => Request::Delete { path, version: -1 },
                None => Request::GetChildren { path: self.paths.parents[3].clone(), watch: false },
            },
            90..99 if self.lock == Lock::No => {
                self.lock = Lock::Asked;
                create(self.paths.lock_prefix.clone(), stage, true, true)
            }
            90..99 => Request::Sync { path },
            99..108 => self.reaped(random, stage),
            _ if self.paths.servers > 0 && !self.may_close => self.reconfig(random),
            _ if self.may_close && random.permille(150) => Request::CloseSession,
            _ => Request::GetChildren { path: self.paths.parents[0].clone(), watch: false },
        }
    }

    /// Nodes that go by themselves.
    fn reaped(&mut self, random: &mut Random, stage: &mut Stage) -> Request {
        let number = random.below(3);
        let container: Path = format!("/k/{number}").into();
        let child: Path = format!("/k/{number}/child").into();
        let mortal: Path = format!("/t/{number}").into();
        let mut value = || stage.value();
        match random.below(9) {
            0 => Request::CreateReaped { path: container, value: value(), ttl_ms: None },
            1 => create(child, stage, false, false),
            2 => create(child, stage, true, false),
            3 | 4 => Request::Delete { path: child, version: -1 },
            5 => Request::GetChildren { path: container, watch: false },
            6 => {
                let ttl_ms = Some(random.pick(&[1, 700, 3_000]));
                Request::CreateReaped { path: mortal, value: value(), ttl_ms }
            }
            7 => Request::SetData { path: mortal, value: value(), version: -1 },
            _ => Request::GetData { path: mortal, watch: false },
        }
    }

    fn set_data(
        &mut self,
        path: Path,
        register: usize,
        random: &mut Random,
        stage: &mut Stage,
    ) -> Request {
        let version = if random.permille(300) { self.versions[register] } else { -1 };
        Request::SetData { path, value: stage.value(), version }
    }

    fn watch_data(&mut self, path: &Path, random: &mut Random) -> bool {
        let watch = !self.quiet && random.permille(300);
        if watch {
            self.data_watches.insert(path.clone());
        }
        watch
    }

    fn multi(
        &mut self,
        register: usize,
        churned: usize,
        random: &mut Random,
        stage: &mut Stage,
    ) -> Request {
        let path = self.paths.registers[register].clone();
        let other = self.paths.registers[(register + 1) % REGISTERS as usize].clone();
        let churned = self.paths.churned[churned].clone();
        let mut set = |path| Request::SetData { path, value: stage.value(), version: -1 };
        Request::Multi(match random.below(3) {
            0 => vec![set(path), set(other)],
            1 => {
                let version = self.versions[register];
                vec![Request::Check { path, version }, set(other)]
            }
            _ => {
                let middle = set(other);
                let made = create(churned.clone(), stage, false, false);
                vec![made, middle, Request::Delete { path: churned, version: -1 }]
            }
        })
    }

    /// Somebody leaves, joins, or gets or loses its vote.
    fn reconfig(&mut self, random: &mut Random) -> Request {
        let server = random.between(1, self.paths.servers);
        let role = random.pick(&["participant", "participant", "observer"]);
        let joining = format!("server.{server}=10.0.0.{server}:2888:3888:{role};2181");
        let (joining, leaving) = match random.below(4) {
            0 => (String::new(), server.to_string()),
            _ => (joining, String::new()),
        };
        Request::Reconfig { joining: joining.into(), leaving: leaving.into() }
    }

    fn lock_step(&mut self, stage: &mut Stage) -> Option<Request> {
        let now = stage.agenda.now();
        match &self.lock {
            Lock::Look(own) => {
                self.lock = Lock::Looking(own.clone());
                Some(Request::GetChildren { path: self.paths.parents[4].clone(), watch: false })
            }
            Lock::Watch(own, before) => {
                let path = before.clone();
                self.exists_watches.insert(path.clone());
                self.lock = Lock::Waits(own.clone(), path.clone());
                Some(Request::Exists { path, watch: true })
            }
            Lock::Held(own, until) if now >= *until => {
                let path = own.clone();
                self.lock = Lock::Releasing;
                Some(Request::Delete { path, version: -1 })
            }
            _ => None,
        }
    }

    /// An answer came.
    pub fn answered(&mut self, request: &Request, result: &Result<Response, i32>, now: Micros) {
        match (request, result) {
            (Request::Create { path, sequential: true, ephemeral: true, .. }, result)
                if *path == self.paths.lock_prefix && self.lock == Lock::Asked =>
            {
                self.lock = match result {
                    Ok(Response::Created { path, .. }) => Lock::Look(path.clone()),
                    _ => Lock::No,
                };
            }
            (Request::Create { sequential: true, ephemeral: true, .. }, _) => {}
            // Its container is gone.
            (Request::Create { path, .. }, Err(_)) if path.starts_with("/k/") => {}
            (Request::Create { path, .. }, Err(code)) if *code != NODE_EXISTS => {
                // A parent is missing: it was not created after all.
                let is_parent = self.paths.parents.contains(path);
                if is_parent || *code == -101 {
                    self.parents = 0;
                }
            }
            (Request::GetChildren { path, .. }, Ok(Response::Children { names, .. })) => {
                if *path == self.paths.parents[3] {
                    self.first_in_queue = names.first().map(|name| format!("/q/{name}").into());
                } else if *path == self.paths.parents[4] {
                    self.queue_of_the_lock(names, now);
                }
            }
            (Request::Exists { path, watch: true }, result) => {
                if let Lock::Waits(own, before) = &self.lock
                    && path == before
                    && result.is_err()
                {
                    self.lock = Lock::Look(own.clone());
                }
            }
            (Request::Delete { path, .. }, _)
                if path.starts_with("/l/") && self.lock == Lock::Releasing =>
            {
                self.lock = Lock::No;
            }
            (Request::SetData { path, .. }, Ok(Response::Stat(stat)))
            | (Request::GetData { path, .. }, Ok(Response::Data { stat, .. })) => {
                if let Some(n) = self.paths.registers.iter().position(|other| other == path) {
                    self.versions[n] = stat.version;
                }
            }
            _ => {}
        }
    }

    fn queue_of_the_lock(&mut self, names: &[Path], now: Micros) {
        let Lock::Looking(own) = &self.lock else { return };
        let own_name = own.strip_prefix("/l/").unwrap_or(own);
        self.lock = match names.iter().position(|name| **name == *own_name) {
            Some(0) => Lock::Held(own.clone(), now + 200_000),
            Some(place) => Lock::Watch(own.clone(), format!("/l/{}", names[place - 1]).into()),
            None => Lock::No,
        };
    }

    /// A watch fired.
    pub fn event(&mut self, event: EventType, path: &Path) {
        match event {
            EventType::NodeChildrenChanged => {
                self.child_watches.remove(path);
            }
            EventType::NodeCreated => {
                self.exists_watches.remove(path);
            }
            EventType::NodeDataChanged => {
                self.data_watches.remove(path);
                self.exists_watches.remove(path);
            }
            EventType::NodeDeleted => {
                if let Lock::Waits(own, before) = &self.lock
                    && before == path
                {
                    self.lock = Lock::Look(own.clone());
                }
                self.data_watches.remove(path);
                self.exists_watches.remove(path);
                self.child_watches.remove(path);
            }
        }
    }

    /// What it watches, to be asked for again by a resumed session.
    pub fn watches(&self, relative: Zxid) -> Option<Request> {
        let list = |set: &BTreeSet<Path>| set.iter().cloned().collect::<Vec<_>>();
        let (data, exists) = (list(&self.data_watches), list(&self.exists_watches));
        let children = list(&self.child_watches);
        if data.is_empty() && exists.is_empty() && children.is_empty() {
            return None;
        }
        Some(Request::SetWatches { relative, data, exists, children })
    }

    /// The connection is gone, and with it the answers.
    pub fn lost(&mut self) {
        self.read_next = None;
        self.parents = 0;
        self.lock = match std::mem::replace(&mut self.lock, Lock::No) {
            // Whether there is a node nobody knows; it goes with the session.
            Lock::No | Lock::Asked | Lock::Releasing => Lock::No,
            Lock::Look(own)
            | Lock::Looking(own)
            | Lock::Watch(own, _)
            | Lock::Waits(own, _)
            | Lock::Held(own, _) => Lock::Look(own),
        };
    }

    /// The session is another.
    pub fn new_session(&mut self) {
        self.lock = Lock::No;
        self.data_watches.clear();
        self.exists_watches.clear();
        self.child_watches.clear();
    }
}

fn create(path: Path, stage: &mut Stage, ephemeral: bool, sequential: bool) -> Request {
    Request::Create { path, value: stage.value(), ephemeral, sequential }
}
