//! A disk that fills up: a small file system in a mount namespace of its own.
//!
//! Only root can have one. A server started through [`SmallDisk::launcher`] sees it; nobody else
//! does, and it is gone with the value, which must outlive the server.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A small file system.
pub struct SmallDisk {
    /// A shell that keeps the namespace alive until its input ends.
    holder: Child,
    /// Where it is mounted; removed after it is unmounted.
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// A file system in memory of so many KiB.
    ///
    /// # Errors
    /// Why there is none here, in words.
    pub fn new(kib: u32) -> Result<Self, String> {
        Self::mounted(&format!("mount -t tmpfs -o size={kib}k tmpfs \"$1\""))
    }

    fn mounted(script: &str) -> Result<Self, String> {
        let owner = std::fs::metadata("/proc/self").map_err(|e| e.to_string())?.uid();
        if owner != 0 {
            return Err("only root can mount a small disk".to_owned());
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let script = format!("{script} && echo mounted && read line");
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("unshare does not run: {e}"))?;
        let mut line = String::new();
        let output = holder.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).map_err(|e| e.to_string())?;
        let disk = SmallDisk { holder, dir };
        if line == "mounted\n" { Ok(disk) } else { Err("it could not be mounted".to_owned()) }
    }

    /// Where it is mounted for those who see it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What to put before a command line so that it sees the disk.
    pub fn launcher(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.holder.id().to_string(), "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Gives it so many KiB.
    #[track_caller]
    pub fn resize(&self, kib: u32) {
        let launcher = self.launcher();
        let mut command = Command::new(&launcher[0]);
        command.args(&launcher[1..]).args(["mount", "-o", &format!("remount,size={kib}k")]);
        assert!(command.arg(self.dir()).status().expect("mount runs").success());
    }

    /// The names in a directory of it, sorted.
    #[track_caller]
    pub fn names(&self, dir: &str) -> Vec<String> {
        let root = format!("/proc/{}/root{}", self.holder.id(), self.dir().display());
        let entries =
            std::fs::read_dir(Path::new(&root).join(dir)).expect("a directory of the small disk");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
