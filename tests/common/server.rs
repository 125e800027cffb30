//! A server process with a directory and a port of its own.
//!
//! By default the binary that cargo built. `ZKSERVER_TEST_COMMAND` names another server's command
//! line, in which `{cfg}` stands for the configuration file and `{properties}` for the settings
//! as `-Dkey=value` (Apache ZooKeeper reads some of them only so).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::{DEADLINE, eventually};

/// Settings every server of the suite has unless a test says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("tickTime", "200"),
    ("maxSessionTimeout", "60000"),
    ("clientPortAddress", "127.0.0.1"),
    ("4lw.commands.whitelist", "*"),
    ("admin.enableServer", "false"),
    ("maxClientCnxns", "0"),
    // Many tests look at the files that were written.
    ("autopurge.purgeInterval", "0"),
];

/// `super:test`, as `superDigest` wants it.
pub const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// A directory with a configuration, before a server runs on it.
pub struct Setup {
    dir: tempfile::TempDir,
    settings: Vec<(String, String)>,
    launcher: Vec<String>,
    port: u16,
}

impl Setup {
    /// A new directory; `settings` go over the defaults.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut setup =
            Setup { dir, settings: Vec::new(), launcher: Vec::new(), port: free_port() };
        let data_dir = setup.data_dir().display().to_string();
        std::fs::create_dir_all(&data_dir).expect("dataDir");
        setup.set("dataDir", &data_dir);
        for (key, value) in DEFAULTS.iter().chain(settings) {
            setup.set(key, value);
        }
        setup
    }

    /// Sets or replaces one key of the configuration.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(k, _)| k != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Leaves one key out of the configuration, also one that every server of the suite has.
    pub fn unset(&mut self, key: &str) {
        self.settings.retain(|(k, _)| k != key);
    }

    /// Starts the server as the last words of this command line, which must become the server.
    pub fn launch_by(&mut self, launcher: Vec<String>) {
        self.launcher = launcher;
    }

    /// The directory around everything the server has.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// `dataDir`.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where logs and snapshots are.
    pub fn version_dir(&self) -> PathBuf {
        self.data_dir().join("version-2")
    }

    /// Copies the files of `from` into the directory of logs and snapshots.
    pub fn with_files_of(self, from: &Path) -> Self {
        copy_files(from, &self.version_dir());
        self
    }

    /// Starts a server and waits until it serves.
    #[track_caller]
    pub fn start(self) -> TestServer {
        match self.try_start() {
            Ok(server) => server,
            Err(refusal) => panic!("the server did not start: {refusal:?}"),
        }
    }

    /// Starts a server; waits until it serves or has ended.
    #[track_caller]
    pub fn try_start(mut self) -> Result<TestServer, Refusal> {
        for _ in 0..5 {
            let mut server = TestServer { setup: self, process: None };
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(refusal) if refusal.log.contains("in use") => {
                    self = server.into_setup();
                    self.port = free_port();
                }
                Err(refusal) => return Err(refusal),
            }
        }
        panic!("no free port");
    }

    /// Starts a server that must refuse to serve.
    #[track_caller]
    pub fn refusal(self) -> Refusal {
        match self.try_start() {
            Ok(_) => panic!("the server serves, though it should refuse"),
            Err(refusal) => refusal,
        }
    }

    /// The same, with the directory kept for another try.
    #[track_caller]
    pub fn refuses(self) -> (Setup, Refusal) {
        let mut server = TestServer { setup: self, process: None };
        match server.launch() {
            Ok(()) => panic!("the server serves, though it should refuse"),
            Err(refusal) => (server.into_setup(), refusal),
        }
    }

    fn write_config(&self) -> PathBuf {
        let mut text = String::new();
        for (key, value) in &self.settings {
            text.push_str(&format!("{key}={value}\n"));
        }
        text.push_str(&format!("clientPort={}\n", self.port));
        let path = self.dir.path().join("zoo.cfg");
        std::fs::write(&path, text).expect("zoo.cfg");
        path
    }

    fn command(&self, config: &Path) -> Command {
        command(self.launcher.clone(), config, &self.settings)
    }
}

/// The command line that starts the server under test with this configuration file, which says the
/// same as `settings`; `launcher` are words in front of it.
pub fn command(launcher: Vec<String>, config: &Path, settings: &[(String, String)]) -> Command {
    let line = std::env::var("ZKSERVER_TEST_COMMAND").ok();
    command_of(line.as_deref(), launcher, config, settings)
}

/// The same of the server that `line` names, or of the one that cargo built.
pub fn command_of(
    line: Option<&str>,
    launcher: Vec<String>,
    config: &Path,
    settings: &[(String, String)],
) -> Command {
    let mut words = launcher;
    let config = config.display().to_string();
    match line {
        Some(line) => {
            for word in line.split_whitespace() {
                if word == "{properties}" {
                    words.extend(settings.iter().map(|(key, value)| format!("-D{key}={value}")));
                } else {
                    words.push(word.replace("{cfg}", &config));
                }
            }
        }
        None => {
            let server = [env!("CARGO_BIN_EXE_zkserver"), "--config"];
            words.extend(server.map(str::to_owned));
            words.push(config);
        }
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// A server that ended instead of serving: what it exited with, and all it said.
#[derive(Debug)]
pub struct Refusal {
    pub code: Option<i32>,
    pub log: String,
}

/// A running server. Dropping it kills the process, by its id, and removes the directory.
pub struct TestServer {
    setup: Setup,
    process: Option<Child>,
}

impl TestServer {
    /// A server of its own with `settings` over the defaults.
    #[track_caller]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Setup::new(settings).start()
    }

    fn into_setup(mut self) -> Setup {
        self.kill();
        let empty = Setup {
            dir: tempfile::tempdir().expect("a temporary directory"),
            settings: Vec::new(),
            launcher: Vec::new(),
            port: 0,
        };
        std::mem::replace(&mut self.setup, empty)
    }

    fn launch(&mut self) -> Result<(), Refusal> {
        let config = self.setup.write_config();
        let log = std::fs::File::create(self.log_path()).expect("server.log");
        let mut command = self.setup.command(&config);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("handle")).stderr(log);
        command.current_dir(self.setup.root());
        let mut process = command.spawn().expect("the server's command runs");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = process.try_wait().expect("the child's state") {
                return Err(Refusal { code: status.code(), log: self.log() });
            }
            let serving = self.try_word("srvr").is_some_and(|answer| answer.contains("Mode: "));
            // Somebody else may have taken the port meanwhile: then ours ends by itself.
            if serving && process.try_wait().expect("the child's state").is_none() {
                self.process = Some(process);
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                panic!("the server neither serves nor ends; it said:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// From the next start on nothing stands before the server's command.
    pub fn launch_plainly(&mut self) {
        self.setup.launcher = Vec::new();
    }

    /// Where the server listens for clients.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.setup.port))
    }

    /// `dataDir`.
    pub fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// Where logs and snapshots are.
    pub fn version_dir(&self) -> PathBuf {
        self.setup.version_dir()
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// The process's resident memory in KiB.
    #[track_caller]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a live process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    fn log_path(&self) -> PathBuf {
        self.setup.root().join("server.log")
    }

    /// All that the present process has written to its standard output and error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The [`log`](Self::log) once it contains `text`: the server writes it behind what it does.
    #[track_caller]
    pub fn log_with(&self, text: &str) -> String {
        super::eventually(&format!("the log has {text:?}"), || {
            Some(self.log()).filter(|log| log.contains(text))
        })
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running server");
        let sent = Command::new("kill").arg("-TERM").arg(process.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
        ended_within(&mut process, DEADLINE).expect("the server ends on SIGTERM")
    }

    /// Whether the process has ended by itself, and how.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(|process| process.try_wait().expect("the child's state"))
    }

    /// Starts again on the same directory and port, after [`kill`](Self::kill) if need be.
    #[track_caller]
    pub fn restart(&mut self) {
        if let Err(refusal) = self.try_restart() {
            panic!("the server did not start again: {refusal:?}");
        }
    }

    /// Like [`restart`](Self::restart), when it may be refused.
    pub fn try_restart(&mut self) -> Result<(), Refusal> {
        self.kill();
        self.launch()
    }

    /// Changes the configuration for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.setup.set(key, value);
    }

    /// The answer to a four-letter word.
    #[track_caller]
    pub fn word(&self, word: &str) -> String {
        eventually(word, || self.try_word(word))
    }

    /// The answer to a four-letter word, if there is one now.
    pub fn try_word(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    }

    /// The value of `key` in mntr.
    pub fn mntr(&self, key: &str) -> Option<String> {
        self.word("mntr").lines().find_map(|line| {
            let (name, value) = line.split_once('\t')?;
            (name == key).then(|| value.to_owned())
        })
    }

    /// The last zxid, as srvr tells it.
    #[track_caller]
    pub fn zxid(&self) -> i64 {
        let answer = self.word("srvr");
        let line = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        i64::from_str_radix(line.expect("srvr names the zxid"), 16).expect("a hex number")
    }

    /// Names of the files beside logs and snapshots that begin with `prefix`.
    pub fn files(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.version_dir())
            .expect("version-2")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- the server said, at last:\n{}\n---", tail.join("\n"));
        }
        self.kill();
    }
}

/// One server for all tests that run at the same time and need nothing special; they keep to
/// paths of their own. The last test to let go of it ends it.
pub fn shared() -> Arc<TestServer> {
    static SHARED: Mutex<Weak<TestServer>> = Mutex::new(Weak::new());
    // A test that failed while holding the lock has not broken what it protects.
    let mut slot = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(server) = slot.upgrade() {
        return server;
    }
    let server = Arc::new(TestServer::start(&[
        ("extendedTypesEnabled", "true"),
        ("DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
    ]));
    *slot = Arc::downgrade(&server);
    server
}

/// Copies all plain files of `from` into `to`.
pub fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("golden files") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

/// A port below the range from which the system takes ports of outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (start.wrapping_add(n) % 18_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits for the end of a process; one that lasts longer is killed, and `None`.
pub fn ended_within(process: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let status = process.try_wait().expect("the child's state");
        if status.is_some() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}
