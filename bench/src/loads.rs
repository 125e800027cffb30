//! The request mixes that the steady runner can send.

use crate::args::{Args, Common};
use crate::client::Client;
use crate::proto::{
    self, FLAG_EPHEMERAL_SEQUENTIAL, NUMBER, Put, Template, XID_PING, number_name, op,
};
use crate::report::Class;
use crate::steady::Load;
use std::collections::VecDeque;

/// Tags of replies: what matters is only read or write ...
const READ: u32 = 0;
const WRITE: u32 = 1;
/// ... and, for create-delete, that the reply names a node to delete.
const CREATED: u32 = 2;

fn class_of(tag: u32) -> Class {
    if tag == READ { Class::Read } else { Class::Write }
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`, by xorshift.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) * bound) >> 32
    }
}

pub fn filler(size: usize) -> Vec<u8> {
    (0..size).map(|i| b'a' + (i % 26) as u8).collect()
}

/// get, exists, children, set, mixed, multi, ping: one read and one write request
/// over a set of keys, mixed at random.
pub struct KeyLoad {
    read: Template,
    write: Template,
    keys: u64,
    /// Reads out of 2^16 requests.
    reads: u64,
    xid: Option<i32>,
    random: Random,
}

impl Load for KeyLoad {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let is_read = self.reads > 0xFFFF || self.random.below(1 << 16) < self.reads;
        let template = if is_read { &self.read } else { &self.write };
        template.emit(out, xid, |_| self.random.below(self.keys));
        Some(if is_read { READ } else { WRITE })
    }

    fn class(&self, tag: u32) -> Class {
        class_of(tag)
    }

    fn fixed_xid(&self) -> Option<i32> {
        self.xid
    }
}

/// Persistent nodes, one parent per connection.
pub struct CreateLoad {
    parents: Vec<String>,
    templates: Vec<Template>,
    counters: Vec<u64>,
}

impl CreateLoad {
    /// The load that deletes what this one created.
    pub fn undo(self) -> UndoLoad {
        let delete = |parent: &String| {
            let path = format!("{parent}/{NUMBER}");
            Template::new(op::DELETE, |b| proto::delete_body(b, &path))
        };
        UndoLoad { templates: self.parents.iter().map(delete).collect(), counters: self.counters }
    }
}

/// Deletes the nodes below each connection's counter, the last one first.
pub struct UndoLoad {
    templates: Vec<Template>,
    counters: Vec<u64>,
}

impl Load for UndoLoad {
    fn next(&mut self, conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let counter = &mut self.counters[conn];
        *counter = counter.checked_sub(1)?;
        self.templates[conn].emit(out, xid, |_| *counter);
        Some(WRITE)
    }

    fn class(&self, tag: u32) -> Class {
        class_of(tag)
    }

    fn exhausted(&self) -> bool {
        self.counters.iter().all(|&left| left == 0)
    }
}

impl Load for CreateLoad {
    fn next(&mut self, conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        let counter = &mut self.counters[conn];
        self.templates[conn].emit(out, xid, |_| *counter);
        *counter += 1;
        Some(WRITE)
    }

    fn class(&self, tag: u32) -> Class {
        class_of(tag)
    }
}

/// Ephemeral sequential nodes, each deleted once its creation is confirmed.
pub struct CreateDeleteLoad {
    create: Template,
    created: Vec<VecDeque<Vec<u8>>>,
}

impl Load for CreateDeleteLoad {
    fn next(&mut self, conn: usize, xid: i32, out: &mut Vec<u8>) -> Option<u32> {
        match self.created[conn].pop_front() {
            Some(path) => {
                proto::request(out, xid, op::DELETE, |b| {
                    b.buffer(&path).int(-1);
                });
                Some(WRITE)
            }
            None => {
                self.create.emit(out, xid, |_| 0);
                Some(CREATED)
            }
        }
    }

    fn reply(&mut self, conn: usize, tag: u32, err: i32, body: &[u8]) -> bool {
        if tag == CREATED && err == proto::err::OK {
            match proto::leading_buffer(body) {
                Some(path) => self.created[conn].push_back(path.to_vec()),
                None => return false,
            }
        }
        err == proto::err::OK
    }

    fn class(&self, tag: u32) -> Class {
        class_of(tag)
    }
}

/// Flags of the key workloads.
pub struct Mix {
    keys: usize,
    children: usize,
    multi_ops: usize,
    read_ratio: f64,
}

impl Mix {
    pub fn from(args: &Args) -> Result<Self, String> {
        let mix = Mix {
            keys: args.get("keys", 1000)?,
            children: args.get("children", 100)?,
            multi_ops: args.get("multi-ops", 10)?,
            read_ratio: args.get("read-ratio", 0.9)?,
        };
        if mix.keys == 0 {
            return Err("--keys must be at least 1".into());
        }
        Ok(mix)
    }
}

fn multi_body(out: &mut Vec<u8>, ops: usize, path: &str, data: &[u8]) {
    for _ in 0..ops {
        out.int(op::SET_DATA).boolean(false).int(-1);
        proto::set_body(out, path, data);
    }
    out.int(-1).boolean(true).int(-1);
}

/// Makes the nodes that workload `name` needs and one load per thread.
pub fn key_loads(
    name: &str,
    common: &Common,
    mix: &Mix,
    client: &mut Client,
) -> Result<Vec<KeyLoad>, String> {
    let data = filler(common.size);
    let dir = format!("{}/k-{}-{}", common.root, common.size, mix.keys);
    let parent = format!("{}/children-{}", common.root, mix.children);
    if name == "children" {
        client.ensure_all(&parent)?;
        client.ensure_many(mix.children, |i| format!("{parent}/{}", number_name(i as u64)), b"")?;
    } else if name != "ping" {
        client.ensure_all(&dir)?;
        client.ensure_many(mix.keys, |i| format!("{dir}/{}", number_name(i as u64)), &data)?;
    }
    let key = format!("{dir}/{NUMBER}");
    let all_reads = 1 << 16;
    let load = |thread: usize| {
        let plain = |opcode: i32, path: &str| {
            Template::new(opcode, |b| proto::path_and_flag(b, path, false))
        };
        let read = match name {
            "exists" => plain(op::EXISTS, &key),
            "children" => plain(op::GET_CHILDREN, &parent),
            "ping" => Template::new(op::PING, |_| {}),
            _ => plain(op::GET_DATA, &key),
        };
        let write = match name {
            "multi" => Template::new(op::MULTI, |b| multi_body(b, mix.multi_ops, &key, &data)),
            _ => Template::new(op::SET_DATA, |b| proto::set_body(b, &key, &data)),
        };
        let reads = match name {
            "set" | "multi" => 0,
            "mixed" => (mix.read_ratio * all_reads as f64) as u64,
            _ => all_reads,
        };
        let xid = (name == "ping").then_some(XID_PING);
        KeyLoad {
            read,
            write,
            keys: mix.keys as u64,
            reads,
            xid,
            random: Random::new(thread as u64 + 1),
        }
    };
    Ok((0..common.threads).map(load).collect())
}

/// Connections of thread `t` when `conns` are dealt to `threads`.
fn conns_of(common: &Common, t: usize) -> usize {
    common.conns / common.threads + usize::from(t < common.conns % common.threads)
}

pub fn create_loads(
    common: &Common,
    run_id: u64,
    client: &mut Client,
) -> Result<Vec<CreateLoad>, String> {
    let data = filler(common.size);
    let base = format!("{}/create-{run_id:x}", common.root);
    client.ensure_all(&base)?;
    let mut loads = Vec::new();
    for t in 0..common.threads {
        let count = conns_of(common, t);
        let parents: Vec<String> =
            (0..count).map(|i| format!("{base}/{t}-{}", number_name(i as u64))).collect();
        client.ensure_many(count, |i| parents[i].clone(), b"")?;
        let create = |parent: &String| {
            let path = format!("{parent}/{NUMBER}");
            Template::new(op::CREATE, |b| proto::create_body(b, &path, &data, 0))
        };
        loads.push(CreateLoad {
            templates: parents.iter().map(create).collect(),
            counters: vec![0; count],
            parents,
        });
    }
    Ok(loads)
}

pub fn create_delete_loads(
    common: &Common,
    client: &mut Client,
) -> Result<Vec<CreateDeleteLoad>, String> {
    let data = filler(common.size);
    let parent = format!("{}/create-delete", common.root);
    client.ensure_all(&parent)?;
    let path = format!("{parent}/n-");
    let load = |t: usize| CreateDeleteLoad {
        create: Template::new(op::CREATE, |b| {
            proto::create_body(b, &path, &data, FLAG_EPHEMERAL_SEQUENTIAL)
        }),
        created: vec![VecDeque::new(); conns_of(common, t)],
    };
    Ok((0..common.threads).map(load).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_stays_below_its_bound_and_spreads() {
        let mut random = Random::new(1);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
    }

    #[test]
    fn multi_template_has_one_number_per_sub_operation() {
        let template =
            Template::new(op::MULTI, |b| multi_body(b, 10, &format!("/k/{NUMBER}"), b"x"));
        let mut numbers = 0;
        template.emit(&mut Vec::new(), 1, |_| {
            numbers += 1;
            7
        });
        assert_eq!(numbers, 10);
    }
}
