//! An ensemble of real processes on 127.0.0.1, each with a directory, ports and a zoo.cfg of its own.
//!
//! What always holds:
//! * Members reach each other over [`Roads`] only; clients reach them directly.
//! * Every process is ended by its id, at the latest when the ensemble is dropped.
//! * Who waits for a role asks the servers' own words, and has a deadline.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::common::server::{command, command_of, ended_within, free_port};
use crate::common::{Hello, Message, RawClient, Reply, bodies, flag, op};
use crate::doors::{self, Order};
use crate::roads::{Id, Port, Roads};

/// How long an ensemble may take to agree. Far above what is normal.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// `tickTime`.
pub const TICK: Duration = Duration::from_millis(200);
/// `syncLimit`.
pub const SYNC_LIMIT_TICKS: u32 = 10;

const SETTINGS: &[(&str, &str)] = &[
    ("tickTime", "200"),
    ("initLimit", "50"),
    ("syncLimit", "10"),
    ("minSessionTimeout", "400"),
    ("maxSessionTimeout", "60000"),
    ("clientPortAddress", "127.0.0.1"),
    ("4lw.commands.whitelist", "*"),
    ("admin.enableServer", "false"),
    ("maxClientCnxns", "0"),
    ("autopurge.purgeInterval", "0"),
];

/// The members and the roads between them.
pub struct Ensemble {
    /// By their ids, from 1 on.
    pub members: BTreeMap<Id, Member>,
    /// The network.
    pub roads: Roads,
    _dir: tempfile::TempDir,
}

/// A member: its place, and its process while it has one.
pub struct Member {
    /// `myid`.
    pub id: Id,
    /// Whether it has no vote.
    pub is_observer: bool,
    /// The command line of another server than the one under test, as in `ZKSERVER_TEST_COMMAND`.
    pub stranger: Option<String>,
    /// Whether its doors to disk and clock open (`doors`).
    pub has_doors: bool,
    dir: PathBuf,
    settings: Vec<(String, String)>,
    port: u16,
    process: Option<Child>,
    paused: bool,
    /// How much its processes had said before the last one.
    said: usize,
}

impl Ensemble {
    /// So many voters, and observers behind them. Nothing runs yet.
    pub fn new(voters: usize, observers: usize, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ids: Vec<Id> = (1..=(voters + observers) as Id).collect();
        let ports: Vec<_> = ids.iter().map(|id| (*id, free_port(), free_port())).collect();
        let roads = Roads::new(&ports);
        let mut members = BTreeMap::new();
        for id in &ids {
            let is_observer = *id > voters as Id;
            let mut member = Member {
                id: *id,
                is_observer,
                stranger: None,
                has_doors: false,
                dir: dir.path().join(id.to_string()),
                settings: Vec::new(),
                port: free_port(),
                process: None,
                paused: false,
                said: 0,
            };
            std::fs::create_dir_all(member.data_dir()).expect("dataDir");
            std::fs::write(member.data_dir().join("myid"), format!("{id}\n")).expect("myid");
            member.set("dataDir", &member.data_dir().display().to_string());
            member.set("clientPort", &member.port.to_string());
            for (key, value) in SETTINGS.iter().chain(settings) {
                member.set(key, value);
            }
            if is_observer {
                member.set("peerType", "observer");
            }
            for (other, quorum, election) in &ports {
                let (quorum, election) = match other == id {
                    true => (*quorum, *election),
                    false => (
                        roads.port(*id, *other, Port::Quorum),
                        roads.port(*id, *other, Port::Election),
                    ),
                };
                let role = if *other > voters as Id { ":observer" } else { "" };
                let line = format!("127.0.0.1:{quorum}:{election}{role}");
                member.set(&format!("server.{other}"), &line);
            }
            members.insert(*id, member);
        }
        Ensemble { members, roads, _dir: dir }
    }

    /// Members that run and serve.
    #[track_caller]
    pub fn start(voters: usize, observers: usize, settings: &[(&str, &str)]) -> Self {
        let mut ensemble = Ensemble::new(voters, observers, settings);
        ensemble.members.values_mut().for_each(Member::start);
        ensemble.leader();
        ensemble
    }

    /// A member.
    #[track_caller]
    pub fn member(&mut self, id: Id) -> &mut Member {
        self.members.get_mut(&id).expect("a member")
    }

    /// Whether some of the members are other servers than the one under test.
    pub fn has_strangers(&self) -> bool {
        self.members.values().any(|member| member.stranger.is_some())
    }

    /// Everybody's id but this one's.
    pub fn others(&self, id: Id) -> Vec<Id> {
        self.members.keys().copied().filter(|other| *other != id).collect()
    }

    /// A voter that runs and does not lead.
    #[track_caller]
    pub fn follower(&mut self) -> Id {
        let leader = self.leader();
        let is_other =
            |member: &&Member| !member.is_observer && member.id != leader && member.is_running();
        self.members.values().find(is_other).expect("a follower").id
    }

    /// Waits until every member that runs serves, and answers who leads.
    #[track_caller]
    pub fn leader(&mut self) -> Id {
        self.wait("all members serve, and one leads", |members| {
            let running = members.values().filter(|member| member.is_running());
            let roles: Vec<_> = running.map(|member| Some((member.id, member.role()?))).collect();
            let roles: Vec<_> = roles.into_iter().collect::<Option<_>>()?;
            let mut leaders = roles.iter().filter(|(_, role)| role == "leader");
            let leader = leaders.next()?;
            leaders.next().is_none().then_some(leader.0)
        })
    }

    /// Waits until one of these leads.
    #[track_caller]
    pub fn leader_of(&mut self, ids: &[Id]) -> Id {
        self.wait(&format!("one of {ids:?} leads"), |members| {
            let leads = |id: &&Id| members[id].role().as_deref() == Some("leader");
            ids.iter().find(leads).copied()
        })
    }

    /// Waits until this member serves nobody.
    #[track_caller]
    pub fn serves_nobody(&mut self, id: Id) {
        self.wait(&format!("server {id} serves nobody"), |members| {
            members[&id].role().is_none().then_some(())
        });
    }

    /// Polls until `condition` gives something. A process that has ended by itself fails the test.
    #[track_caller]
    pub fn wait<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&BTreeMap<Id, Member>) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition(&self.members) {
                return value;
            }
            for member in self.members.values_mut() {
                if let Some(status) = member.ended() {
                    panic!("server {} ended with {status}; it said:\n{}", member.id, member.tail());
                }
            }
            assert!(Instant::now() < deadline, "gave up waiting: {what}\n{}", self.report());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every member's last words.
    pub fn report(&self) -> String {
        let told = |member: &Member| {
            format!(
                "--- server {} ({:?}) said, at last:\n{}\n",
                member.id,
                member.role(),
                member.tail()
            )
        };
        self.members.values().map(told).collect()
    }

    /// Waits until every member that runs has applied the same, and compares their trees, node by
    /// node, and the digests that they keep. Nobody writes meanwhile. The tree.
    #[track_caller]
    pub fn compare(&mut self) -> Tree {
        let leader = self.leader();
        let running: Vec<Id> =
            self.members.values().filter(|member| member.is_running()).map(|m| m.id).collect();
        let digests = self.digests(leader, &running);
        // A session is a transaction: they are all there before anything is read.
        let mut readers: BTreeMap<Id, RawClient> =
            running.iter().map(|id| (*id, self.members[id].client())).collect();
        // Sessions without a client may end meanwhile: then it is read again.
        let trees: Vec<(Id, Tree)> = self.wait("all trees are read at one zxid", |members| {
            let zxids = || running.iter().map(|id| members[id].zxid()).collect::<Option<Vec<_>>>();
            let before = zxids().filter(|zxids| zxids.iter().all(|zxid| *zxid == zxids[0]))?;
            let mut trees = Vec::new();
            for id in &running {
                let Some(tree) = tree(readers.get_mut(id).expect("a reader")) else {
                    readers.insert(*id, members[id].client());
                    return None;
                };
                trees.push((*id, tree));
            }
            (zxids()? == before).then_some(trees)
        });
        for pair in trees.windows(2) {
            let [(one, first), (other, second)] = pair else { continue };
            let differ = first.keys().chain(second.keys());
            let differ: Vec<_> =
                differ.filter(|path| first.get(*path) != second.get(*path)).collect();
            if let Some(path) = differ.first() {
                panic!(
                    "{} nodes differ, {leader} leads: {path} is {:?} on server {one}, {:?} on server {other}",
                    differ.len(),
                    first.get(*path),
                    second.get(*path)
                );
            }
        }
        for (id, digest) in &digests {
            assert_eq!(*digest, digests[0].1, "digests of servers {id} and {}", running[0]);
            // A leader of Apache's sends its tree while it changes, and does not say up to where: what is
            // applied on top passes through states that never were, and members of its kind count that.
            if self.has_strangers() {
                continue;
            }
            let mismatches = self.members[id].mntr("zk_digest_mismatches_count");
            assert_eq!(mismatches.as_deref(), Some("0"), "digest mismatches of server {id}");
        }
        trees.into_iter().next().expect("a running member").1
    }

    /// Everybody's digest behind one transaction, once all have applied it.
    #[track_caller]
    fn digests(&mut self, leader: Id, running: &[Id]) -> Vec<(Id, String)> {
        for _ in 0..10 {
            // Each server notes its digest at every 128th transaction.
            let written = write_many(&mut self.members[&leader].client());
            let Some(last) = written else { continue };
            self.wait(&format!("all have applied {last:x}"), |members| {
                let caught_up = |id: &Id| members[id].zxid().is_some_and(|zxid| zxid >= last);
                running.iter().all(caught_up).then_some(())
            });
            let noted = last & !127;
            let of = |id: &Id| Some((*id, self.members[id].digest_at(noted)?));
            // Who was given the tree behind that transaction has not noted it.
            if let Some(digests) = running.iter().map(of).collect() {
                return digests;
            }
        }
        panic!("somebody notes no digests\n{}", self.report());
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        self.members.values_mut().for_each(Member::kill);
    }
}

/// Every node: what it holds, and its stat.
pub type Tree = BTreeMap<String, (Vec<u8>, zkserver::proto::Stat)>;

/// Every node that a client sees, unless one goes while they are read.
/// `None` if the connection is gone.
fn tree(client: &mut RawClient) -> Option<Tree> {
    let mut tree = Tree::new();
    let mut paths = vec![String::from("/")];
    while let Some(path) = paths.pop() {
        // Each server puts the configuration there by itself.
        if path == "/zookeeper/config" {
            continue;
        }
        let body = bodies::watched(&path, false);
        let data = ask(client, op::GET_DATA, &body)?;
        let children = ask(client, op::GET_CHILDREN, &body)?;
        if data.err != 0 || children.err != 0 {
            continue;
        }
        let ((data, stat), below) = (data.data(), children.children());
        let parent = path.trim_end_matches('/');
        paths.extend(below.into_iter().map(|name| format!("{parent}/{name}")));
        tree.insert(path, (data.unwrap_or_default(), stat));
    }
    Some(tree)
}

/// A request and its reply, unless the connection is gone.
fn ask(client: &mut RawClient, op: i32, body: &[u8]) -> Option<Reply> {
    client.try_submit(op, body).then_some(())?;
    next_reply(client)
}

fn next_reply(client: &mut RawClient) -> Option<Reply> {
    loop {
        if let Message::Reply(reply) = Message::read(&client.frame()?) {
            return Some(reply);
        }
    }
}

/// So many writes, so that each server notes a digest behind one of them; the last one's zxid.
fn write_many(client: &mut RawClient) -> Option<i64> {
    let body = bodies::create("/digests", Some(b""), &bodies::open_acl(), flag::PERSISTENT);
    ask(client, op::CREATE, &body)?;
    let body = bodies::set_data("/digests", Some(b"x"), -1);
    let sent = (0..140).all(|_| client.try_submit(op::SET_DATA, &body));
    let mut last = None;
    for _ in 0..if sent { 140 } else { 0 } {
        last = Some(next_reply(client)?.ok().zxid);
    }
    last
}

impl Member {
    /// Sets or replaces one key of its configuration, for its next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(k, _)| k != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Takes a key out of its configuration, for its next start.
    pub fn unset(&mut self, key: &str) {
        self.settings.retain(|(k, _)| k != key);
    }

    /// Starts its process, and does not wait.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "server {} runs already", self.id);
        let line = |(key, value): &(String, String)| format!("{key}={value}\n");
        let config = self.dir.join("zoo.cfg");
        std::fs::write(&config, self.settings.iter().map(line).collect::<String>())
            .expect("zoo.cfg");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("server.log");
        self.said = log.metadata().expect("server.log").len() as usize;
        let mut command = match &self.stranger {
            Some(line) => command_of(Some(line), Vec::new(), &config, &self.settings),
            None if self.has_doors => {
                let mut command = Command::new(doors::binary());
                command.env(doors::VARIABLE, self.orders_path()).arg("--config").arg(&config);
                command
            }
            None => command(Vec::new(), &config, &self.settings),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("handle")).stderr(log);
        command.current_dir(&self.dir);
        self.process = Some(command.spawn().expect("the server's command runs"));
    }

    /// Orders something of its doors, instead of what was ordered before.
    pub fn order(&self, order: Order) {
        assert!(self.has_doors && self.stranger.is_none(), "server {} has no doors", self.id);
        let (new, path) = (self.dir.join("orders.new"), self.orders_path());
        std::fs::write(&new, order.text()).expect("orders");
        std::fs::rename(&new, &path).expect("orders");
    }

    /// Disk and clock are well again.
    pub fn order_nothing(&self) {
        std::fs::remove_file(self.orders_path()).expect("orders");
    }

    fn orders_path(&self) -> PathBuf {
        self.dir.join("orders")
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            self.paused = false;
        }
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        let mut process = self.process.take().expect("a running server");
        let status = ended_within(&mut process, PATIENCE);
        status.unwrap_or_else(|| {
            panic!("server {} did not end on SIGTERM:\n{}", self.id, self.tail())
        })
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn pause(&mut self) {
        self.signal("-STOP");
        self.paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal("-CONT");
        self.paused = false;
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("a running server").id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Whether it has a process that is not paused.
    pub fn is_running(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// How its process has ended by itself, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(|process| process.try_wait().expect("the child's state"))
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The process's resident memory in KiB.
    #[track_caller]
    pub fn resident_kib(&self) -> u64 {
        let process = self.process.as_ref().expect("a running server");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
        let status = status.expect("a live process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    /// `dataDir`.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where logs, snapshots and epochs are.
    pub fn version_dir(&self) -> PathBuf {
        self.data_dir().join("version-2")
    }

    /// Names of its files that begin with `prefix`, by their zxids.
    pub fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.version_dir()).into_iter().flatten();
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let zxid = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_prefix('.')?;
            u64::from_str_radix(name.split('.').next()?, 16).ok()
        };
        let mut files: Vec<_> = paths.filter_map(|path| Some((zxid(&path)?, path))).collect();
        files.sort();
        files.into_iter().map(|(_, path)| path).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// All that its processes have said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// What its present process has said, or its last.
    pub fn log_of_this_life(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.said..).unwrap_or_default()).into_owned()
    }

    /// The last lines of all.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The answer to a four-letter word, if there is one now.
    pub fn word(&self, word: &str) -> Option<String> {
        use std::io::{Read, Write};
        if !self.is_running() {
            return None;
        }
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    }

    fn srvr(&self, key: &str) -> Option<String> {
        let answer = self.word("srvr")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
        Some(line.to_owned())
    }

    /// leader, follower or observer, while it serves.
    pub fn role(&self) -> Option<String> {
        self.srvr("Mode")
    }

    /// The last zxid it has applied, while it serves.
    pub fn zxid(&self) -> Option<i64> {
        i64::from_str_radix(self.srvr("Zxid")?.strip_prefix("0x")?, 16).ok()
    }

    /// The value of `key` in mntr.
    pub fn mntr(&self, key: &str) -> Option<String> {
        self.word("mntr")?.lines().find_map(|line| {
            let (name, value) = line.split_once('\t')?;
            (name == key).then(|| value.to_owned())
        })
    }

    /// The digest of its tree behind a transaction, if it has noted it.
    fn digest_at(&self, zxid: i64) -> Option<String> {
        let hash = self.word("hash")?;
        let prefix = format!("{zxid:x}: ");
        hash.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }

    /// A client with a new session.
    #[track_caller]
    pub fn client(&self) -> RawClient {
        self.connect(&Hello::default())
    }

    /// A client, whatever the server answers.
    #[track_caller]
    pub fn knock(&self, hello: &Hello) -> RawClient {
        crate::common::eventually(&format!("server {} answers a client", self.id), || {
            RawClient::try_connect(self.address(), hello)
        })
    }

    /// Where it listens for votes and, if it leads, for learners; without a road.
    pub fn peer_addresses(&self) -> [SocketAddr; 2] {
        let key = format!("server.{}", self.id);
        let (_, line) = self.settings.iter().find(|(k, _)| *k == key).expect("its own line");
        let mut ports = line.split(':').skip(1).map(|port| port.parse().expect("a port"));
        let mut address = || SocketAddr::from((Ipv4Addr::LOCALHOST, ports.next().expect("a port")));
        let quorum = address();
        [address(), quorum]
    }

    /// What its `zoo.cfg` says of `key`.
    #[track_caller]
    pub fn setting(&self, key: &str) -> &str {
        let (_, value) = self.settings.iter().find(|(k, _)| k == key).expect("a setting");
        value
    }

    /// A client, connected once the server takes it.
    #[track_caller]
    pub fn connect(&self, hello: &Hello) -> RawClient {
        crate::common::eventually(&format!("server {} takes a client", self.id), || {
            let client = RawClient::try_connect(self.address(), hello)?;
            (!client.welcome.refused()).then_some(client)
        })
    }
}
