//! A captured conversation between two servers.

use bytes::Bytes;
use zkserver::proto::quorum_packet::{ForwardedRequest, Side};
use zkserver::proto::txns::TxnRecord;
use zkserver::proto::vote::next_election_message;
use zkserver::proto::{Notification, QuorumPacket, Sid, Zxid};

use crate::common::{golden, hex};

pub const MAX_LENGTH: usize = 0xf_ffff;

/// One connection, from its first message to its last.
pub struct Connection {
    /// The id of the server that was dialled, as its port tells.
    pub acceptor: Sid,
    pub messages: Vec<Message>,
}

/// A message of it.
pub struct Message {
    /// Whether the side that dialled has sent it.
    pub from_dialler: bool,
    /// Milliseconds since the connection was opened.
    pub at_ms: u64,
    pub bytes: Bytes,
}

/// The connections of a capture in order.
pub fn connections(capture: &str) -> Vec<Connection> {
    let text = String::from_utf8(golden::bytes(&format!("quorum-wire/{capture}.txt"))).unwrap();
    let mut connections: Vec<Connection> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ---- TCP connection to port 231") {
            let acceptor = rest[..1].parse().expect("a server's number");
            connections.push(Connection { acceptor: Sid(acceptor), messages: Vec::new() });
        } else if let Some((direction, rest)) = line.split_once(' ').filter(|(d, _)| *d != "#") {
            let (bytes, note) = rest.split_once("  # +").expect("a note");
            let (seconds, _) = note.split_once("s ").expect("a time");
            let at_ms = (seconds.parse::<f64>().expect("seconds") * 1000.0).round() as u64;
            connections.last_mut().expect("a connection").messages.push(Message {
                from_dialler: direction == ">",
                at_ms,
                bytes: hex::decode(bytes).into(),
            });
        }
    }
    connections
}

impl Message {
    /// Whether it is the stream behind a SNAP packet.
    pub fn is_snapshot(&self) -> bool {
        self.bytes.ends_with(b"BenWasHere")
    }

    pub fn packet(&self) -> QuorumPacket {
        let side = if self.from_dialler { Side::Learner } else { Side::Leader };
        QuorumPacket::read(self.bytes.clone(), side, MAX_LENGTH).expect("a packet")
    }

    pub fn notification(&self) -> Option<Notification> {
        let frame = next_election_message(&self.bytes).ok().flatten()?;
        Notification::read(frame.body).ok()
    }
}

impl Connection {
    /// The packets of one direction; streams are left out.
    pub fn packets(&self, from_dialler: bool) -> impl Iterator<Item = QuorumPacket> + '_ {
        let of_side = move |message: &&Message| message.from_dialler == from_dialler;
        self.messages.iter().filter(of_side).filter(|one| !one.is_snapshot()).map(Message::packet)
    }

    /// The notifications of one direction.
    pub fn notifications(&self, from_dialler: bool) -> Vec<Notification> {
        let of_side = |message: &&Message| message.from_dialler == from_dialler;
        self.messages.iter().filter(of_side).filter_map(Message::notification).collect()
    }

    /// The transactions that the leader sent, in order.
    pub fn txns(&self) -> Vec<(Zxid, Bytes)> {
        let txn = |packet| match packet {
            QuorumPacket::Proposal { zxid, txn }
            | QuorumPacket::Inform { zxid, txn }
            | QuorumPacket::InformAndActivate { zxid, txn, .. } => Some((zxid, txn)),
            _ => None,
        };
        self.packets(false).filter_map(txn).collect()
    }

    /// The requests that the learner forwarded.
    pub fn requests(&self) -> Vec<ForwardedRequest> {
        let request = |packet| match packet {
            QuorumPacket::Request(request) => Some(request),
            _ => None,
        };
        self.packets(true).filter_map(request).collect()
    }
}

/// The transactions 0x100000001 to 0x10000001e of the captured ensemble: its first leader's whole
/// epoch.
pub fn history() -> Vec<(Zxid, Bytes)> {
    let txns = connections("sync-empty-diff-and-broadcast").remove(0).txns();
    let zxids: Vec<_> = txns.iter().map(|(zxid, _)| zxid.0).collect();
    assert_eq!(zxids, (0x1_0000_0001..=0x1_0000_001e).collect::<Vec<_>>());
    txns
}

/// The moment in a transaction's header.
pub fn time_of(txn: &[u8]) -> i64 {
    TxnRecord::read(txn, MAX_LENGTH).expect("a transaction").header.time
}

/// A packet as a line: its name, and its bytes.
pub fn line(packet: &QuorumPacket) -> String {
    let mut bytes = Vec::new();
    packet.write(&mut bytes);
    format!("{} {}", packet.name(), hex::encode(&bytes))
}

/// Ours must be theirs, line by line.
pub fn assert_same(ours: &[String], theirs: &[String], whose: &str) {
    for at in 0..ours.len().max(theirs.len()) {
        assert_eq!(ours.get(at), theirs.get(at), "{whose}: packet {at}");
    }
}
