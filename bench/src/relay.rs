//! A relay that puts distance between the members of an ensemble.
//!
//! ```text
//!  server i ── dials ──▶ road ══ a line of some length, each way ══▶ server j
//! ```
//!
//! Every piece of bytes arrives a fixed time after it was read, in order, however many are on
//! their way: nothing waits for what is before it, and bandwidth is what loopback has. Connections
//! are made without delay. A server that is told another's election address in a greeting dials
//! that one; so the road puts itself in its place, and nothing goes past it.
//!
//! Each line is two threads, one that reads and one that sleeps until the next piece is due: the
//! kernel wakes a thread within microseconds, a poll's timeout has milliseconds.

use crate::args::{Args, Result};
use crate::clock::{self, MS};
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How long a line is, in nanoseconds; may change while it is used.
#[derive(Clone, Default)]
pub struct Delay(Arc<AtomicU64>);

/// A port of loopback where servers are dialled, and what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Road {
    pub port: u16,
    /// Where the dialled server listens.
    pub target: u16,
    /// Where the dialler is to be called back: an election road's way in the other direction.
    pub back: Option<u16>,
}

/// Pieces on their way in one line; with more, their sender is not read.
const MOST_PIECES: usize = 4096;
const PIECE_BYTES: usize = 64 << 10;
/// A server dials before the other listens; so long a road tries in its name.
const DIAL_LIMIT: u64 = 1000 * MS;
const DIAL_PAUSE: u64 = 5 * MS;

struct Piece {
    due: u64,
    bytes: Vec<u8>,
}

impl Delay {
    pub fn set_micros(&self, micros: u64) {
        self.0.store(micros * 1000, Ordering::Relaxed);
    }

    fn due(&self) -> u64 {
        clock::now() + self.0.load(Ordering::Relaxed)
    }
}

impl FromStr for Road {
    type Err = ();

    /// `PORT:TARGET` or `PORT:TARGET:BACK`.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let ports: Vec<u16> =
            text.split(':').map(str::parse).collect::<std::result::Result<_, _>>().map_err(drop)?;
        match ports[..] {
            [port, target] => Ok(Road { port, target, back: None }),
            [port, target, back] => Ok(Road { port, target, back: Some(back) }),
            _ => Err(()),
        }
    }
}

impl Road {
    /// Listens, and carries what comes, in threads of its own.
    pub fn open(self, delay: &Delay) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        let delay = delay.clone();
        thread::spawn(move || {
            for dialler in listener.incoming().flatten() {
                let (road, delay) = (self.clone(), delay.clone());
                thread::spawn(move || road.link(dialler, &delay));
            }
        });
        Ok(())
    }

    fn link(self, dialler: TcpStream, delay: &Delay) {
        let Some(dialled) = self.dial() else { return hang_up(&dialler) };
        let there = self.back.map_or(Opening::Over, |port| Opening::Greeting(Vec::new(), port));
        let link = || -> io::Result<()> {
            dialler.set_nodelay(true)?;
            dialled.set_nodelay(true)?;
            line(dialler.try_clone()?, dialled.try_clone()?, there, delay.clone());
            line(dialled.try_clone()?, dialler.try_clone()?, Opening::Over, delay.clone());
            Ok(())
        };
        if link().is_err() {
            hang_up(&dialler);
            hang_up(&dialled);
        }
    }

    fn dial(&self) -> Option<TcpStream> {
        let limit = clock::now() + DIAL_LIMIT;
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) {
                Ok(dialled) => return Some(dialled),
                Err(_) if clock::now() > limit => return None,
                Err(_) => clock::sleep_until(clock::now() + DIAL_PAUSE),
            }
        }
    }
}

/// One direction of a connection.
fn line(source: TcpStream, sink: TcpStream, opening: Opening, delay: Delay) {
    let (send, receive) = sync_channel(MOST_PIECES);
    thread::spawn(move || take(source, opening, &delay, &send));
    thread::spawn(move || deliver(sink, &receive));
}

/// Reads until the end, which is the last piece, without bytes.
fn take(mut source: TcpStream, mut opening: Opening, delay: &Delay, line: &SyncSender<Piece>) {
    let mut scratch = vec![0; PIECE_BYTES];
    loop {
        let size = match source.read(&mut scratch) {
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let due = delay.due();
        let bytes = if size == 0 { Vec::new() } else { opening.changed(&scratch[..size]) };
        if size > 0 && bytes.is_empty() {
            continue;
        }
        if line.send(Piece { due, bytes }).is_err() || size == 0 {
            // Whoever is written to no more has ended: then nobody reads what this side says.
            let _ = source.shutdown(Shutdown::Read);
            return;
        }
    }
}

fn deliver(mut sink: TcpStream, line: &Receiver<Piece>) {
    for piece in line {
        clock::sleep_until(piece.due);
        if piece.bytes.is_empty() || sink.write_all(&piece.bytes).is_err() {
            break;
        }
    }
    // Wakes the thread that reads the other direction of this socket, too.
    hang_up(&sink);
}

fn hang_up(end: &TcpStream) {
    let _ = end.shutdown(Shutdown::Both);
}

/// What a line may have to change before the rest goes through as it is.
enum Opening {
    /// A greeting, as far as it was read, and the port that goes into it.
    Greeting(Vec<u8>, u16),
    Over,
}

impl Opening {
    /// What goes on; nothing while a greeting is not whole.
    fn changed(&mut self, piece: &[u8]) -> Vec<u8> {
        let Opening::Greeting(read, port) = self else { return piece.to_vec() };
        read.extend_from_slice(piece);
        let Some(greeting) = greeting(read, *port) else { return Vec::new() };
        *self = Opening::Over;
        greeting
    }
}

/// The greeting – version, id, the address's length, the address – with another port of loopback,
/// once it is whole. Greetings before version 3.4 have no address and stay.
fn greeting(read: &[u8], port: u16) -> Option<Vec<u8>> {
    let version = i64::from_be_bytes(*read.first_chunk()?);
    if !matches!(version, -65536 | -65535) {
        return Some(read.to_vec());
    }
    let length = i32::from_be_bytes(*read.get(16..)?.first_chunk()?);
    let rest = read.get(20 + usize::try_from(length).unwrap_or(0)..)?;
    let address = format!("127.0.0.1:{port}");
    let length = (address.len() as i32).to_be_bytes();
    Some([&read[..16], &length, address.as_bytes(), rest].concat())
}

/// Opens the roads; every line of the standard input is a delay in microseconds, answered when it
/// holds. Ends with the input.
pub fn main(args: &Args) -> Result<()> {
    let roads: Vec<Road> = args.list("roads")?;
    args.finish()?;
    if roads.is_empty() {
        return Err("--roads is required".into());
    }
    wake_in_time();
    let delay = Delay::default();
    for road in roads {
        let port = road.port;
        road.open(&delay).map_err(|e| format!("port {port}: {e}"))?;
    }
    println!("open");
    for text in io::stdin().lock().lines().map_while(io::Result::ok) {
        let micros = text.trim().parse().map_err(|_| format!("not microseconds: {text:?}"))?;
        delay.set_micros(micros);
        println!("{micros}");
    }
    Ok(())
}

/// Lets sleeping threads wake when they asked to, not up to 50 us later.
fn wake_in_time() {
    // SAFETY: a plain call; threads that are started later inherit it.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roads_are_read() {
        assert_eq!("1:2".parse(), Ok(Road { port: 1, target: 2, back: None }));
        assert_eq!("1:2:3".parse(), Ok(Road { port: 1, target: 2, back: Some(3) }));
        assert_eq!("1".parse::<Road>(), Err(()));
        assert_eq!("1:2:3:4".parse::<Road>(), Err(()));
        assert_eq!("1:99999".parse::<Road>(), Err(()));
    }

    #[test]
    fn a_greeting_gets_the_way_back_as_its_address_and_leaves_in_one_piece() {
        let said = |address: &str| {
            let mut bytes = (-65536i64).to_be_bytes().to_vec();
            bytes.extend(3i64.to_be_bytes());
            bytes.extend((address.len() as i32).to_be_bytes());
            bytes.extend(address.as_bytes());
            bytes
        };
        let mut opening = Opening::Greeting(Vec::new(), 24317);
        let whole = said("127.0.0.1:3888");
        for byte in &whole[..whole.len() - 1] {
            assert_eq!(opening.changed(&[*byte]), b"");
        }
        let end = [&whole[whole.len() - 1..], b"a vote"].concat();
        assert_eq!(opening.changed(&end), [&said("127.0.0.1:24317")[..], b"a vote"].concat());
        assert_eq!(opening.changed(b"another"), b"another");
    }
}
