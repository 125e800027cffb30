//! A blocking client for set-up, verification and clean-up.

use crate::proto::{self, Session, err, op};
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Requests written before their replies are read.
const PIPELINE: usize = 512;

pub struct Client {
    reader: BufReader<TcpStream>,
    xid: i32,
    /// Transactions this client caused: writes (failed ones too), session open and close.
    pub txns: u64,
}

impl Client {
    pub fn open(host: SocketAddr, session_ms: i32, limit: Duration) -> io::Result<Self> {
        let mut sock = TcpStream::connect_timeout(&host, limit)?;
        sock.set_nodelay(true)?;
        sock.set_read_timeout(Some(limit))?;
        sock.set_write_timeout(Some(limit))?;
        let mut hello = Vec::new();
        proto::connect_request(&mut hello, 0, session_ms, &Session::default());
        sock.write_all(&hello)?;
        let mut client = Client { reader: BufReader::new(sock), xid: 0, txns: 1 };
        let payload = client.read_frame()?;
        match proto::parse_connect_response(&payload) {
            Some(session) if session.timeout_ms > 0 => Ok(client),
            _ => Err(io::Error::other("session refused")),
        }
    }

    /// Opens a session on the first host that gives one.
    pub fn open_any(
        hosts: &[SocketAddr],
        session_ms: i32,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut last = String::from("no hosts");
        for &host in hosts {
            match Client::open(host, session_ms, limit) {
                Ok(client) => return Ok(client),
                Err(e) => last = format!("{host}: {e}"),
            }
        }
        Err(format!("cannot open a session: {last}"))
    }

    fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > 64 << 20 {
            return Err(io::Error::other("absurd frame length"));
        }
        let mut payload = vec![0; length];
        self.reader.read_exact(&mut payload)?;
        Ok(payload)
    }

    /// Sends one request and gives back its error code and body.
    pub fn call(
        &mut self,
        opcode: i32,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<(i32, Vec<u8>)> {
        let mut body = Some(body);
        let mut reply = None;
        self.pipeline(
            opcode,
            1,
            |out, _| (body.take().expect("one request"))(out),
            |_, code, bytes| reply = Some((code, bytes.to_vec())),
        )?;
        Ok(reply.expect("one reply"))
    }

    /// Sends `count` requests of one kind, many in flight, and hands each reply on.
    pub fn pipeline(
        &mut self,
        opcode: i32,
        count: usize,
        mut body: impl FnMut(&mut Vec<u8>, usize),
        mut reply: impl FnMut(usize, i32, &[u8]),
    ) -> io::Result<()> {
        let is_write = matches!(opcode, op::CREATE | op::DELETE | op::SET_DATA | op::MULTI);
        let mut out = Vec::new();
        for first in (0..count).step_by(PIPELINE) {
            let last = count.min(first + PIPELINE);
            out.clear();
            for i in first..last {
                self.xid += 1;
                proto::request(&mut out, self.xid, opcode, |b| body(b, i));
            }
            self.reader.get_mut().write_all(&out)?;
            for i in first..last {
                let payload = loop {
                    let payload = self.read_frame()?;
                    if proto::int_at(&payload, 0) != Some(proto::XID_NOTIFICATION) {
                        break payload;
                    }
                };
                let answer =
                    proto::parse_reply(&payload).ok_or_else(|| io::Error::other("short reply"))?;
                reply(i, answer.err, answer.body);
            }
            if is_write {
                self.txns += (last - first) as u64;
            }
        }
        Ok(())
    }

    /// Creates a persistent node; an existing one is fine.
    pub fn ensure(&mut self, path: &str, data: &[u8]) -> Result<(), String> {
        let (code, _) = self
            .call(op::CREATE, |b| proto::create_body(b, path, data, 0))
            .map_err(|e| format!("create {path}: {e}"))?;
        match code {
            err::OK | err::NODE_EXISTS => Ok(()),
            code => Err(format!("create {path}: error {code}")),
        }
    }

    /// Creates every ancestor of `path` and `path` itself.
    pub fn ensure_all(&mut self, path: &str) -> Result<(), String> {
        for (at, _) in path.match_indices('/').skip(1) {
            self.ensure(&path[..at], b"")?;
        }
        self.ensure(path, b"")
    }

    /// Creates `path(0)`..`path(count-1)`, unless the last of them is there already.
    pub fn ensure_many(
        &mut self,
        count: usize,
        path: impl Fn(usize) -> String,
        data: &[u8],
    ) -> Result<(), String> {
        if count == 0 {
            return Ok(());
        }
        let last = path(count - 1);
        let (code, _) = self
            .call(op::EXISTS, |b| proto::path_and_flag(b, &last, false))
            .map_err(|e| format!("exists {last}: {e}"))?;
        if code == err::OK {
            return Ok(());
        }
        let mut failed = None;
        self.pipeline(
            op::CREATE,
            count,
            |out, i| proto::create_body(out, &path(i), data, 0),
            |i, code, _| {
                if code != err::OK && code != err::NODE_EXISTS {
                    failed = Some((i, code));
                }
            },
        )
        .map_err(|e| format!("creating {count} nodes: {e}"))?;
        match failed {
            Some((i, code)) => Err(format!("create {}: error {code}", path(i))),
            None => Ok(()),
        }
    }

    pub fn children(&mut self, path: &str) -> Result<Option<Vec<String>>, String> {
        let (code, body) = self
            .call(op::GET_CHILDREN, |b| proto::path_and_flag(b, path, false))
            .map_err(|e| format!("children {path}: {e}"))?;
        match code {
            err::OK => proto::parse_children(&body)
                .map(Some)
                .ok_or_else(|| format!("children {path}: malformed")),
            err::NO_NODE => Ok(None),
            code => Err(format!("children {path}: error {code}")),
        }
    }

    pub fn sync(&mut self, path: &str) -> io::Result<i32> {
        self.call(op::SYNC, |b| {
            use proto::Put;
            b.string(path);
        })
        .map(|(code, _)| code)
    }

    /// Closes the session; returns the transactions this client caused in all.
    pub fn close(mut self) -> u64 {
        match self.call(op::CLOSE, |_| {}) {
            Ok(_) => self.txns + 1,
            Err(_) => self.txns,
        }
    }
}

/// Deletes `root` and everything under it; returns how many nodes went.
pub fn remove_tree(client: &mut Client, root: &str) -> Result<u64, String> {
    let mut order = vec![root.to_string()];
    let mut at = 0;
    while at < order.len() {
        // Only inner nodes can have children, but which they are is not known: ask in bulk.
        let level: Vec<String> = order[at..].to_vec();
        at = order.len();
        let mut found = Vec::new();
        client
            .pipeline(
                op::GET_CHILDREN,
                level.len(),
                |out, i| proto::path_and_flag(out, &level[i], false),
                |i, code, body| {
                    if code == err::OK {
                        let names = proto::parse_children(body).unwrap_or_default();
                        found.extend(names.iter().map(|name| format!("{}/{name}", level[i])));
                    }
                },
            )
            .map_err(|e| format!("listing under {root}: {e}"))?;
        order.extend(found);
    }
    let mut gone = 0;
    client
        .pipeline(
            op::DELETE,
            order.len(),
            |out, i| proto::delete_body(out, &order[order.len() - 1 - i]),
            |_, code, _| gone += u64::from(code == err::OK),
        )
        .map_err(|e| format!("deleting under {root}: {e}"))?;
    Ok(gone)
}
