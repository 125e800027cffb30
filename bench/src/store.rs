//! populate, verify and clean: trees with known contents, and ledgers of
//! acknowledged writes.

use crate::args::{Args, Common, Result};
use crate::client::{self, Client};
use crate::json::Obj;
use crate::loads::filler;
use crate::proto::{self, DIGITS, NUMBER, Template, number_name, op};
use crate::report::Class;
use crate::stats::Sample;
use crate::steady::{self, Load};
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// Node contents that carry a number: ten digits (if they fit) and filler.
pub fn numbered_data(n: u64, size: usize) -> Vec<u8> {
    let mut data = filler(size);
    if size >= DIGITS {
        proto::write_number(&mut data, n);
    }
    data
}

#[derive(Clone)]
struct Tree {
    root: String,
    count: u64,
    fanout: u64,
    size: usize,
}

impl Tree {
    fn from(args: &Args, common: &Common) -> Result<Self> {
        let tree = Tree {
            root: format!("{}/{}", common.root, args.text("name", "tree")),
            count: args.get("count", 100_000)?,
            fanout: args.get("fanout", 1000)?,
            size: common.size,
        };
        if tree.fanout == 0 || tree.count == 0 {
            return Err("--count and --fanout must be at least 1".into());
        }
        Ok(tree)
    }

    fn dir(&self, i: u64) -> String {
        format!("{}/{}", self.root, number_name(i))
    }

    fn numbered_path(&self) -> String {
        format!("{}/{NUMBER}/{NUMBER}", self.root)
    }

    fn share(&self, thread: usize, threads: usize) -> std::ops::Range<u64> {
        let cut = |t: usize| self.count * t as u64 / threads as u64;
        cut(thread)..cut(thread + 1)
    }
}

struct Populate {
    tree: Tree,
    template: Template,
    left: std::ops::Range<u64>,
}

impl Load for Populate {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let n = self.left.next()?;
        self.template.emit(out, xid, |i| if i == 0 { n / self.tree.fanout } else { n });
        Some(0)
    }

    fn class(&self, _tag: u32) -> Class {
        Class::Write
    }

    fn exhausted(&self) -> bool {
        self.left.is_empty()
    }
}

struct VerifyTree {
    tree: Tree,
    template: Template,
    left: std::ops::Range<u64>,
}

impl Load for VerifyTree {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let n = self.left.next()?;
        self.template.emit(out, xid, |i| if i == 0 { n / self.tree.fanout } else { n });
        Some(n as u32)
    }

    fn reply(&mut self, _conn: usize, tag: u32, err: i32, body: &[u8]) -> bool {
        err == proto::err::OK
            && proto::leading_buffer(body) == Some(&numbered_data(tag as u64, self.tree.size)[..])
    }

    fn class(&self, _tag: u32) -> Class {
        Class::Read
    }

    fn exhausted(&self) -> bool {
        self.left.is_empty()
    }
}

fn first_client(common: &Common) -> Result<Client> {
    Client::open_any(&common.hosts, common.session_ms, Duration::from_millis(common.op_timeout_ms))
}

fn summary(name: &str, outcome: &steady::Outcome, common: &Common, extra_txns: u64) -> Obj {
    let mut out = Obj::new();
    out.text("workload", name);
    out.put("conns", common.conns).put("window", common.window).put("size", common.size);
    out.float("seconds", outcome.seconds(), 3);
    outcome.totals.report(outcome.seconds(), &mut out);
    out.put("total_txns", outcome.totals.txns + extra_txns);
    Sample::report(&outcome.begin, &outcome.end, &common.pids, outcome.totals.ops(), &mut out);
    out
}

pub fn populate(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    let tree = Tree::from(args, &common)?;
    args.finish()?;
    let mut client = first_client(&common)?;
    client.ensure_all(&tree.root)?;
    let dirs = tree.count.div_ceil(tree.fanout);
    client.ensure_many(dirs as usize, |i| tree.dir(i as u64), b"")?;
    let mut data = filler(tree.size);
    if tree.size >= DIGITS {
        data[..DIGITS].copy_from_slice(NUMBER.as_bytes());
    }
    let load = |t: usize| Populate {
        template: Template::new(op::CREATE, |b| {
            proto::create_body(b, &tree.numbered_path(), &data, 0)
        }),
        left: tree.share(t, common.threads),
        tree: tree.clone(),
    };
    let (outcome, _) = steady::run(&common, (0..common.threads).map(load).collect(), true)?;
    let extra = client.close();
    let complete = !outcome.totals.failed() && outcome.totals.done == tree.count;
    let mut out = summary("populate", &outcome, &common, extra);
    out.put("count", tree.count).put("complete", complete);
    println!("{out}");
    Ok(complete)
}

pub fn verify(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    if let Some(path) = args.opt("ledger") {
        let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        args.finish()?;
        let ledger = Ledger::parse(&text).ok_or_else(|| format!("{path}: not a ledger"))?;
        let (lost, out) = verify_ledger(&common, ledger)?;
        println!("{out}");
        return Ok(lost == 0);
    }
    let tree = Tree::from(args, &common)?;
    args.finish()?;
    let mut client = first_client(&common)?;
    client.sync("/").map_err(|e| format!("sync: {e}"))?;
    client.close();
    let load = |t: usize| VerifyTree {
        template: Template::new(op::GET_DATA, |b| {
            proto::path_and_flag(b, &tree.numbered_path(), false)
        }),
        left: tree.share(t, common.threads),
        tree: tree.clone(),
    };
    let (outcome, _) = steady::run(&common, (0..common.threads).map(load).collect(), true)?;
    let complete = !outcome.totals.failed() && outcome.totals.done == tree.count;
    let mut out = summary("verify", &outcome, &common, 0);
    out.put("count", tree.count)
        .put("lost", tree.count - outcome.totals.done)
        .put("complete", complete);
    println!("{out}");
    Ok(complete)
}

pub fn clean(args: &Args) -> Result<bool> {
    let common = Common::from(args)?;
    args.finish()?;
    let mut client = first_client(&common)?;
    let gone = client::remove_tree(&mut client, &common.root)?;
    let mut out = Obj::new();
    out.text("workload", "clean").put("deleted", gone).put("total_txns", client.close());
    println!("{out}");
    Ok(true)
}

/// What is known about a node after acknowledged writes to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub path: String,
    /// The number its data must carry ...
    pub value: u64,
    /// ... exactly, or (later writes may or may not have been applied) up to this one.
    pub limit: u64,
}

#[derive(Default, Debug, PartialEq)]
pub struct Ledger {
    pub size: usize,
    pub entries: Vec<Entry>,
}

impl Ledger {
    pub fn to_text(&self) -> String {
        let mut text = format!("size {}\n", self.size);
        for e in &self.entries {
            let _ = writeln!(text, "{} {} {}", e.path, e.value, e.limit);
        }
        text
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let size = lines.next()?.strip_prefix("size ")?.parse().ok()?;
        let entry = |line: &str| {
            let mut fields = line.split(' ');
            Some(Entry {
                path: fields.next()?.to_string(),
                value: fields.next()?.parse().ok()?,
                limit: fields.next()?.parse().ok()?,
            })
        };
        let entries = lines.map(entry).collect::<Option<_>>()?;
        Some(Ledger { size, entries })
    }
}

struct VerifyLedger {
    ledger: Arc<Ledger>,
    left: std::ops::Range<usize>,
    lost: Vec<String>,
}

impl Load for VerifyLedger {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let i = self.left.next()?;
        let path = &self.ledger.entries[i].path;
        proto::request(out, xid, op::GET_DATA, |b| proto::path_and_flag(b, path, false));
        Some(i as u32)
    }

    fn reply(&mut self, _conn: usize, tag: u32, err: i32, body: &[u8]) -> bool {
        let entry = &self.ledger.entries[tag as usize];
        let data = proto::leading_buffer(body).unwrap_or(b"");
        let number =
            data.get(..DIGITS).and_then(|d| std::str::from_utf8(d).ok()?.parse::<u64>().ok());
        let well = err == proto::err::OK
            && number.is_some_and(|n| {
                (entry.value..=entry.limit).contains(&n)
                    && data == &numbered_data(n, self.ledger.size)[..]
            });
        if !well {
            self.lost
                .push(format!("{} err={err} found={number:?} acked={}", entry.path, entry.value));
        }
        well
    }

    fn class(&self, _tag: u32) -> Class {
        Class::Read
    }

    fn exhausted(&self) -> bool {
        self.left.is_empty()
    }
}

/// Reads every node of the ledger from the first host that serves.
pub fn verify_ledger(common: &Common, ledger: Ledger) -> Result<(u64, Obj)> {
    let limit = Duration::from_millis(common.op_timeout_ms);
    let ready = |host| {
        Client::open(host, common.session_ms, limit)
            .and_then(|mut c| c.sync("/").map(|_| c.close()))
    };
    let host =
        common.hosts.iter().copied().find(|&host| ready(host).is_ok()).ok_or("no host serves")?;
    let common = Common {
        hosts: vec![host],
        threads: 1,
        rate: 0.0,
        pids: Vec::new(),
        window: 64,
        ..common.clone()
    };
    let count = ledger.entries.len();
    let load = VerifyLedger { ledger: Arc::new(ledger), left: 0..count, lost: Vec::new() };
    let (outcome, loads) = steady::run(&common, vec![load], true)?;
    let lost = count as u64 - outcome.totals.done;
    let mut out = Obj::new();
    out.text("workload", "verify").text("host", &host.to_string());
    out.put("count", count).put("lost", lost).put("lost_conns", outcome.totals.lost_conns);
    let examples = loads[0].lost.iter().take(5).map(|l| format!("{l:?}"));
    out.list("examples", examples);
    Ok((lost, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_survive_text() {
        let entry = Entry { path: "/a/b".into(), value: 3, limit: 4 };
        let ledger = Ledger { size: 16, entries: vec![entry] };
        assert_eq!(Ledger::parse(&ledger.to_text()), Some(ledger));
        assert_eq!(Ledger::parse("nonsense"), None);
    }

    #[test]
    fn numbered_data_keeps_its_size() {
        assert_eq!(numbered_data(12, 12), b"0000000012kl");
        assert_eq!(numbered_data(12, 3), b"abc");
    }
}
