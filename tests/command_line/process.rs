//! A directory, a port, and processes that are run in it and end with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{DEADLINE, eventually};

pub const BINARY: &str = env!("CARGO_BIN_EXE_zkserver");

/// Where a test runs: nothing of the environment is there but what the test says.
pub struct Place {
    dir: tempfile::TempDir,
    pub port: u16,
    running: Vec<Child>,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Place { dir, port: free_port(), running: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and gives its path as an argument.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// A configuration for this place with `lines` behind what every one needs.
    pub fn zoo_cfg(&self, name: &str, lines: &str) -> String {
        let data = self.path("data").display().to_string();
        let port = self.port;
        self.write(name, &format!("dataDir={data}\nclientPort={port}\ntickTime=2000\n{lines}"))
    }

    pub fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }

    /// Runs the server with `arguments` until it ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(BINARY, arguments).output().expect("the server runs")
    }

    /// Starts a process whose output goes to a file of that name.
    pub fn spawn(&mut self, mut command: Command, log: &str) {
        let file = std::fs::File::create(self.path(log)).expect("a log");
        command.stdout(file.try_clone().expect("a handle")).stderr(file);
        self.running.push(command.spawn().expect("the command runs"));
    }

    /// The answer to a four-letter word, when there is one.
    pub fn word(&self, word: &str) -> Option<String> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        socket.set_read_timeout(Some(DEADLINE)).ok()?;
        socket.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer).filter(|answer| !answer.is_empty())
    }

    pub fn until_serving(&self) {
        eventually("the server serves", || self.word("srvr"));
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Asks the last process to end, and waits for its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.running.pop().expect("a process");
        let kill = Command::new("kill").arg(process.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
        process.wait().expect("the process ends").code()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for process in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A port below the range from which the system takes ports of outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(67);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (start.wrapping_add(n) % 18_000) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
