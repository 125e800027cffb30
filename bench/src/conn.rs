//! A non-blocking session: output buffer, partial input, requests in flight.

use crate::clock;
use crate::proto::{self, Session};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Sessions opened (or closed) at a time; below the usual listen backlog of 50.
const BATCH: usize = 32;

pub struct Pending {
    pub sent: u64,
    pub xid: i32,
    pub tag: u32,
}

pub struct Conn {
    pub sock: TcpStream,
    pub session: Session,
    pub pending: VecDeque<Pending>,
    pub out: Vec<u8>,
    sent: usize,
    partial: Vec<u8>,
    last_xid: i32,
}

/// Whether an event calls for reading, and whether the peer has stopped sending
/// (then only the end of the stream ends a read: no further event will come).
#[derive(Clone, Copy)]
pub struct Ready {
    pub read: bool,
    closed: bool,
}

impl From<&mio::event::Event> for Ready {
    fn from(event: &mio::event::Event) -> Self {
        let closed = event.is_read_closed() || event.is_error();
        Ready { read: event.is_readable() || closed, closed }
    }
}

/// What a readable event brought: bytes in the caller's scratch buffer.
pub struct Received {
    pub length: usize,
    pub eof: bool,
}

impl Conn {
    pub fn new(sock: TcpStream, session: Session) -> Self {
        Conn {
            sock,
            session,
            pending: VecDeque::new(),
            out: Vec::new(),
            sent: 0,
            partial: Vec::new(),
            last_xid: 0,
        }
    }

    /// Opens the TCP connection without waiting for it (a write will tell).
    pub fn dial(host: SocketAddr) -> io::Result<Self> {
        let sock = TcpStream::from(mio::net::TcpStream::connect(host)?);
        sock.set_nodelay(true)?;
        Ok(Conn::new(sock, Session::default()))
    }

    pub fn next_xid(&mut self) -> i32 {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        self.last_xid
    }

    pub fn register(&self, poll: &mio::Poll, token: usize) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        poll.registry().register(
            &mut mio::unix::SourceFd(&self.sock.as_raw_fd()),
            mio::Token(token),
            interest,
        )
    }

    pub fn deregister(&self, poll: &mio::Poll) {
        let _ = poll.registry().deregister(&mut mio::unix::SourceFd(&self.sock.as_raw_fd()));
    }

    /// Writes as much as the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.sock.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads until the socket is drained. `scratch[..length]` then holds whole
    /// and, at its end, perhaps partial frames; hand the latter to `keep`.
    pub fn receive(&mut self, ready: Ready, scratch: &mut Vec<u8>) -> io::Result<Received> {
        let mut length = self.partial.len();
        scratch[..length].copy_from_slice(&self.partial);
        self.partial.clear();
        loop {
            if length == scratch.len() {
                scratch.resize(2 * length, 0);
            }
            let room = scratch.len() - length;
            match self.sock.read(&mut scratch[length..]) {
                Ok(0) => return Ok(Received { length, eof: true }),
                Ok(n) => {
                    length += n;
                    if n < room && !ready.closed {
                        return Ok(Received { length, eof: false });
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Ok(Received { length, eof: false });
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    pub fn oldest(&self) -> Option<u64> {
        self.pending.front().map(|p| p.sent)
    }

    fn block(&self, limit: Duration) -> io::Result<()> {
        self.sock.set_nonblocking(false)?;
        self.sock.set_read_timeout(Some(limit))?;
        self.sock.set_write_timeout(Some(limit))
    }

    fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.sock.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > 64 << 20 {
            return Err(io::Error::other("absurd frame length"));
        }
        let mut payload = vec![0; length];
        self.sock.read_exact(&mut payload)?;
        Ok(payload)
    }
}

pub fn scratch() -> Vec<u8> {
    vec![0; 256 << 10]
}

/// Opens `count` sessions, spread over the hosts in turn, in blocking batches.
pub fn open_sessions(
    hosts: &[SocketAddr],
    count: usize,
    session_ms: i32,
    limit_ms: u64,
) -> Result<Vec<Conn>, String> {
    let limit = Duration::from_millis(limit_ms);
    let mut conns = Vec::with_capacity(count);
    while conns.len() < count {
        let first = conns.len();
        let open = |host: &SocketAddr| -> io::Result<Conn> {
            let sock = TcpStream::connect_timeout(host, limit)?;
            sock.set_nodelay(true)?;
            let mut conn = Conn::new(sock, Session::default());
            conn.block(limit)?;
            proto::connect_request(&mut conn.out, 0, session_ms, &Session::default());
            conn.flush()?;
            Ok(conn)
        };
        for i in first..count.min(first + BATCH) {
            let host = &hosts[i % hosts.len()];
            conns.push(open(host).map_err(|e| format!("connecting to {host}: {e}"))?);
        }
        for conn in &mut conns[first..] {
            let payload = conn.read_frame().map_err(|e| format!("opening a session: {e}"))?;
            conn.session =
                proto::parse_connect_response(&payload).ok_or("malformed ConnectResponse")?;
            if conn.session.timeout_ms <= 0 {
                return Err("the server refused a new session".into());
            }
            conn.sock.set_nonblocking(true).map_err(|e| e.to_string())?;
        }
    }
    Ok(conns)
}

/// Closes the sessions; returns how many confirmed it.
pub fn close_sessions(conns: &mut [Conn], limit_ms: u64) -> u64 {
    let deadline = clock::now() + limit_ms * clock::MS;
    let limit = Duration::from_millis(limit_ms);
    let mut closed = 0;
    for batch in conns.chunks_mut(BATCH) {
        let mut waiting = Vec::new();
        for conn in batch {
            let xid = conn.next_xid();
            conn.out.clear();
            conn.sent = 0;
            proto::request(&mut conn.out, xid, proto::op::CLOSE, |_| {});
            if conn.block(limit).and_then(|()| conn.flush()).is_ok() {
                waiting.push((conn, xid));
            }
        }
        for (conn, xid) in waiting {
            while clock::now() < deadline {
                match conn.read_frame() {
                    Ok(payload) if proto::int_at(&payload, 0) == Some(xid) => {
                        closed += 1;
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
    }
    closed
}
