//! Meshes on real sockets of the own machine. Nothing here waits for a time, only for what must
//! come.

mod apache;
mod bytes_on_the_wire;
mod hostile;
mod names;
mod together;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::connection::{read_some, write_some};
use super::*;
use crate::net::peer_addresses::Names;
use crate::proto::vote::next_election_message;
use crate::proto::{Notification, ServerState, Vote};
use crate::time::Instant;

/// What must come has come long before.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(came) => came,
        Err(_) => panic!("{what} has not come"),
    }
}

/// A loopback address for each server of each test, so that no other test has its ports.
struct Ensemble {
    number: u8,
}

const PORT: u16 = 13_888;

impl Ensemble {
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        Ensemble { number: NEXT.fetch_add(1, Ordering::SeqCst) }
    }

    fn host(&self, sid: i64) -> String {
        let process = std::process::id();
        let (high, low) = (64 + (process >> 5) % 128, (process % 32) * 8);
        format!("127.{high}.{}.{}", self.number, low + u32::try_from(sid).unwrap())
    }

    fn address(&self, sid: i64) -> HostPort {
        HostPort { host: self.host(sid), port: PORT }
    }

    fn members(&self, sids: &[i64]) -> BTreeMap<Sid, Vec<HostPort>> {
        sids.iter().map(|&sid| (Sid(sid), vec![self.address(sid)])).collect()
    }

    fn start(&self, me: i64, sids: &[i64]) -> Server {
        Server::start(options(me), self.members(sids))
    }

    /// A socket of the test at a server's address.
    async fn listen_as(&self, sid: i64) -> TcpListener {
        TcpListener::bind((self.host(sid), PORT)).await.unwrap()
    }

    /// A connection of the test to a server's election port.
    async fn connect_to(&self, sid: i64) -> Remote {
        let to = self.address(sid);
        let connected = soon("an answer", async {
            loop {
                match TcpStream::connect((&*to.host, to.port)).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Remote::new(connected.await)
    }
}

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Instant {
        Instant { mono_ms: 1, wall_ms: 1 }
    }

    fn nanos(&self) -> u64 {
        1
    }
}

fn options(me: i64) -> MeshOptions {
    MeshOptions {
        me: Sid(me),
        connect_timeout_ms: 5_000,
        greeting_timeout_ms: 10_000,
        tcp_keep_alive: true,
        bind_retries: 3,
        listen_on_all_ips: false,
        multi_address: false,
        clock: Arc::new(StoppedClock),
    }
}

/// A mesh with what it has told.
struct Server {
    mesh: ElectionMesh,
    heard: Arc<Heard>,
}

impl Server {
    fn start(options: MeshOptions, members: BTreeMap<Sid, Vec<HostPort>>) -> Self {
        Self::start_with(options, members, Names::system().clone())
    }

    fn start_with(
        options: MeshOptions,
        members: BTreeMap<Sid, Vec<HostPort>>,
        names: Names,
    ) -> Self {
        let heard = Arc::new(Heard::default());
        let mesh =
            ElectionMesh::start_with(&Handle::current(), options, members, heard.clone(), names);
        Server { mesh: mesh.unwrap(), heard }
    }

    fn notify(&self, to: i64, round: i64) {
        self.mesh.notify(Sid(to), &notification(round));
    }

    async fn until(&self, what: &str) {
        self.heard.until(what, |told| told.iter().any(|one| one == what)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.mesh.stop();
    }
}

/// What a mesh has told, in order, as lines.
#[derive(Default)]
struct Heard {
    told: Mutex<Vec<String>>,
    more: Notify,
}

impl Heard {
    fn tell(&self, line: String) {
        self.told.lock().push(line);
        self.more.notify_one();
    }

    fn all(&self) -> Vec<String> {
        self.told.lock().clone()
    }

    async fn until(&self, what: &str, is: impl Fn(&[String]) -> bool) {
        let waiting = async {
            while !is(&self.told.lock()) {
                self.more.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{what} has not come, but {:?}", self.all());
        }
    }
}

impl MeshEvents for Heard {
    fn notified(&self, from: Sid, notification: Notification) {
        self.tell(format!("{} in round {}", from.0, notification.round));
    }

    fn up(&self, peer: Sid) {
        self.tell(format!("{} up", peer.0));
    }

    fn down(&self, peer: Sid) {
        self.tell(format!("{} down", peer.0));
    }

    fn deaf(&self, why: MeshStartError) {
        self.tell(format!("deaf: {why}"));
    }
}

fn notification(round: i64) -> Notification {
    Notification {
        state: ServerState::Looking,
        vote: Vote { leader: Sid(1), zxid: 0, peer_epoch: 0 },
        round,
        version: Notification::VERSION,
        config: Some(Bytes::from_static(b"version=0")),
    }
}

fn message(round: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    notification(round).write(&mut bytes);
    bytes
}

fn decode(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// What servers of before 3.5 say first.
fn bare(sid: i64) -> Vec<u8> {
    sid.to_be_bytes().to_vec()
}

fn greeting(sid: i64, address: &HostPort) -> Vec<u8> {
    let address = address.to_string();
    let length = u32::try_from(address.len()).unwrap();
    [&decode("ffffffffffff0000"), &sid.to_be_bytes()[..], &length.to_be_bytes(), address.as_bytes()]
        .concat()
}

/// The other end of a connection, in the test's hands.
struct Remote {
    stream: TcpStream,
    input: BytesMut,
}

impl Remote {
    fn new(stream: TcpStream) -> Self {
        Remote { stream, input: BytesMut::new() }
    }

    async fn accept(listener: &TcpListener) -> Self {
        Remote::new(soon("a connection", listener.accept()).await.unwrap().0)
    }

    async fn say(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[write_some(&self.stream, rest).await.unwrap()..];
        }
    }

    /// Exactly so many bytes.
    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            let read = soon("a byte", read_some(&self.stream, &mut self.input)).await;
            assert_ne!(read.unwrap(), 0, "it was closed after {} bytes", self.input.len());
        }
        self.input.split_to(count).to_vec()
    }

    /// The round of the next message.
    async fn round(&mut self) -> i64 {
        loop {
            if let Some(frame) = next_election_message(&self.input).unwrap() {
                let round = Notification::read(frame.body).unwrap().round;
                let size = frame.size;
                let _ = self.input.split_to(size);
                return round;
            }
            let read = soon("a byte", read_some(&self.stream, &mut self.input)).await;
            assert_ne!(read.unwrap(), 0, "it was closed");
        }
    }

    /// It is closed, and nothing came before.
    async fn is_closed(&mut self) {
        let closed = soon("the end", read_some(&self.stream, &mut self.input)).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "it said {:?}", self.input);
    }
}
