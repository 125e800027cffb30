//! `--key value` command-line flags, with complaints about unknown ones.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

pub type Result<T> = std::result::Result<T, String>;

pub struct Args {
    values: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Args {
    /// Accepts `--key value`, `--key=value` and a bare `--key` (meaning `true`).
    pub fn parse(raw: impl Iterator<Item = String>) -> Result<Self> {
        let mut values = BTreeMap::new();
        let mut raw = raw.peekable();
        while let Some(arg) = raw.next() {
            let key =
                arg.strip_prefix("--").ok_or_else(|| format!("unexpected argument {arg:?}"))?;
            let (key, value) = match key.split_once('=') {
                Some((key, value)) => (key.to_string(), value.to_string()),
                None => match raw.next_if(|next| !next.starts_with("--")) {
                    Some(value) => (key.to_string(), value),
                    None => (key.to_string(), "true".to_string()),
                },
            };
            values.insert(key, value);
        }
        Ok(Args { values, asked: RefCell::default() })
    }

    pub fn opt(&self, key: &str) -> Option<&str> {
        self.asked.borrow_mut().insert(key.to_string());
        self.values.get(key).map(String::as_str)
    }

    pub fn get<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        match self.opt(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{key}: cannot read {text:?}")),
        }
    }

    pub fn text(&self, key: &str, default: &str) -> String {
        self.opt(key).unwrap_or(default).to_string()
    }

    pub fn required(&self, key: &str) -> Result<&str> {
        self.opt(key).ok_or_else(|| format!("--{key} is required"))
    }

    pub fn list<T: FromStr>(&self, key: &str) -> Result<Vec<T>> {
        let text = self.opt(key).unwrap_or("");
        text.split(',')
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().map_err(|_| format!("--{key}: cannot read {item:?}")))
            .collect()
    }

    pub fn hosts(&self) -> Result<Vec<SocketAddr>> {
        let resolve = |host: &str| {
            let found = host.to_socket_addrs().map_err(|e| format!("--hosts: {host}: {e}"))?;
            found.into_iter().next().ok_or_else(|| format!("--hosts: {host}: no address"))
        };
        self.text("hosts", "127.0.0.1:2181").split(',').map(resolve).collect()
    }

    /// Call once every flag was asked for: anything left over is a typing error.
    pub fn finish(&self) -> Result<()> {
        let asked = self.asked.borrow();
        match self.values.keys().find(|key| !asked.contains(*key)) {
            Some(key) => Err(format!("unknown flag --{key} for this command")),
            None => Ok(()),
        }
    }
}

/// Flags that every workload understands.
#[derive(Clone)]
pub struct Common {
    pub hosts: Vec<SocketAddr>,
    pub conns: usize,
    pub window: usize,
    pub size: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub threads: usize,
    pub rate: f64,
    pub root: String,
    pub session_ms: i32,
    pub op_timeout_ms: u64,
    pub pids: Vec<u32>,
}

impl Common {
    pub fn from(args: &Args) -> Result<Self> {
        let common = Common {
            hosts: args.hosts()?,
            conns: args.get("conns", 8)?,
            window: args.get("window", 16)?,
            size: args.get("size", 100)?,
            seconds: args.get("seconds", 5.0)?,
            warmup: args.get("warmup", 1.0)?,
            threads: args.get("threads", 1)?,
            rate: args.get("rate", 0.0)?,
            root: args.text("root", "/zkload"),
            session_ms: args.get("session-ms", 30_000)?,
            op_timeout_ms: args.get("op-timeout-ms", 30_000)?,
            pids: args.list("pids")?,
        };
        if common.conns == 0 || common.window == 0 || common.threads == 0 {
            return Err("--conns, --window and --threads must be at least 1".into());
        }
        Ok(common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Args {
        Args::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    #[test]
    fn reads_values_and_rejects_strays() {
        let args = parse("--conns 3 --size=7 --check");
        assert_eq!(args.get("conns", 0usize), Ok(3));
        assert_eq!(args.get("size", 0usize), Ok(7));
        assert!(args.finish().is_err());
        assert_eq!(args.get("check", false), Ok(true));
        assert!(args.finish().is_ok());
        assert!(args.get::<usize>("check", 1).is_err());
    }
}
