//! What servers say to each other: every message of every captured connection, of elections and of
//! leaders with their learners.
//!
//! The bytes of a direction come in pieces, as they do on a socket. Not read here: the rounds of
//! SASL in front of some connections, and the streams behind SNAP.

use bytes::BytesMut;
use zkserver::proto::election_greeting::GreetingForm;
use zkserver::proto::quorum_packet::Side;
use zkserver::proto::txns::{Txn, TxnRecord};
use zkserver::proto::vote::next_election_message;
use zkserver::proto::{ElectionGreeting, Notification, OpCode, QuorumPacket, QuorumVerifier};

use crate::common::{golden, hex};

const CAPTURES: [&str; 16] = [
    "election-3.4-initiates",
    "election-3.4-mixed",
    "election-fresh",
    "election-join-established",
    "election-joining-unknown-observer",
    "election-multiaddress-v2",
    "observer-master",
    "reconfig-leader-removed",
    "sasl-quorum",
    "sync-3.4-follower",
    "sync-diff",
    "sync-diff-3.9",
    "sync-empty-diff-and-broadcast",
    "sync-snap-nonvoting-then-observer",
    "sync-snap-revalidate",
    "sync-trunc",
];

const MAX_LENGTH: usize = 0xf_ffff;

/// What a QuorumAuthPacket begins with.
const SASL_MAGIC: &str = "5f2435013501edcc";

/// A captured message.
struct Message {
    from_connector: bool,
    bytes: Vec<u8>,
    note: String,
}

/// A captured connection.
struct Connection {
    is_election: bool,
    messages: Vec<Message>,
}

fn connections(capture: &str) -> Vec<Connection> {
    let text = String::from_utf8(golden::bytes(&format!("quorum-wire/{capture}.txt"))).unwrap();
    let mut connections: Vec<Connection> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# ---- TCP connection") {
            let is_election = line.ends_with("(election)");
            connections.push(Connection { is_election, messages: Vec::new() });
        } else if let Some((direction, rest)) = line.split_once(' ').filter(|(d, _)| *d != "#") {
            let (bytes, note) = rest.split_once("  # ").expect("a note");
            if !bytes.starts_with(SASL_MAGIC) {
                let messages = &mut connections.last_mut().expect("a connection").messages;
                messages.push(Message {
                    from_connector: direction == ">",
                    bytes: hex::decode(bytes),
                    note: note.to_owned(),
                });
            }
        }
    }
    connections
}

fn all(is_election: bool) -> Vec<(&'static str, Connection)> {
    let kept = |connection: &Connection| connection.is_election == is_election;
    CAPTURES
        .into_iter()
        .flat_map(|name| connections(name).into_iter().filter(kept).map(move |one| (name, one)))
        .collect()
}

/// The value behind `key=` in a note.
fn noted<'a>(note: &'a str, key: &str) -> Option<&'a str> {
    note.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

#[test]
fn every_election_message_decodes_to_what_is_known_of_it_and_encodes_again() {
    let (mut greetings, mut notifications) = (0, 0);
    for (name, connection) in all(true) {
        for Message { bytes, note, .. } in &connection.messages {
            let mut again = Vec::new();
            if noted(note, "kind") == Some("notif") {
                let frame = next_election_message(bytes).unwrap().expect("a whole message");
                assert_eq!(frame.size, bytes.len());
                let read = Notification::read(frame.body).expect("a notification");
                let state = format!("{:?}", read.state).to_uppercase();
                assert_eq!(Some(&*state), noted(note, "state"), "{name}: {note}");
                assert_eq!(noted(note, "leader"), Some(&*read.vote.leader.0.to_string()));
                assert_eq!(noted(note, "round"), Some(&*read.round.to_string()));
                assert_eq!(noted(note, "peerEpoch"), Some(&*read.vote.peer_epoch.to_string()));
                let version = if bytes.len() == 44 { 0 } else { 2 };
                assert_eq!(read.version, version, "{name}: {note}");
                read.write(&mut again);
                notifications += 1;
            } else {
                let (read, size) = ElectionGreeting::read(bytes).unwrap().expect("a greeting");
                assert_eq!(size, bytes.len());
                assert_eq!(noted(note, "sid"), Some(&*read.sid.0.to_string()));
                let form = match noted(note, "pv") {
                    None => GreetingForm::Bare,
                    Some("-65536") => GreetingForm::OneAddress,
                    Some("-65535") => GreetingForm::SeveralAddresses,
                    Some(other) => panic!("{other}"),
                };
                assert_eq!(read.form, form);
                read.write(&mut again);
                greetings += 1;
            }
            assert_eq!(hex::encode(&again), hex::encode(bytes), "{name}: {note}");
        }
    }
    assert!(greetings > 20 && notifications > 50, "{greetings}, {notifications}");
}

/// Whether the message is the stream behind a SNAP packet.
fn is_snapshot(message: &Message) -> bool {
    message.bytes.ends_with(b"BenWasHere")
}

#[test]
fn every_quorum_packet_decodes_to_its_type_and_encodes_again() {
    let mut types = std::collections::BTreeSet::new();
    for (name, connection) in all(false) {
        for message in connection.messages.iter().filter(|message| !is_snapshot(message)) {
            let Message { from_connector, bytes, note } = message;
            let side = if *from_connector { Side::Learner } else { Side::Leader };
            let packet = QuorumPacket::read(bytes.clone().into(), side, MAX_LENGTH)
                .unwrap_or_else(|error| panic!("{name}: {error} ({note})"));
            assert_eq!(noted(note, "type"), Some(packet.name()), "{name}: {note}");
            types.insert(packet.packet_type());
            let mut again = Vec::new();
            packet.write(&mut again);
            let older = matches!(&packet, QuorumPacket::FollowerInfo(_)) && bytes.len() == 32;
            // Nobody sends the LearnerInfo of 3.4 any more.
            assert!(older || again == *bytes, "{name}: {note}");
        }
    }
    assert_eq!(types.into_iter().collect::<Vec<_>>(), (1..=19).collect::<Vec<_>>());
}

#[test]
fn packets_are_taken_off_a_link_however_its_bytes_are_cut() {
    for piece in [1, 7, 64, 1 << 20] {
        for (name, connection) in all(false) {
            for from_connector in [true, false] {
                let side = if from_connector { Side::Learner } else { Side::Leader };
                let sent: Vec<&Message> = connection
                    .messages
                    .iter()
                    .filter(|one| one.from_connector == from_connector && !is_snapshot(one))
                    .collect();
                let bytes: Vec<u8> = sent.iter().flat_map(|one| one.bytes.clone()).collect();
                let (mut input, mut taken) = (BytesMut::new(), Vec::new());
                for chunk in bytes.chunks(piece) {
                    input.extend_from_slice(chunk);
                    while let Some(packet) =
                        QuorumPacket::take(&mut input, side, MAX_LENGTH).unwrap()
                    {
                        taken.push(packet.name());
                    }
                }
                assert!(input.is_empty());
                let expected: Vec<_> =
                    sent.iter().map(|one| noted(&one.note, "type").unwrap()).collect();
                assert_eq!(taken, expected, "{name} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn every_configuration_parses_and_reads_the_same_again() {
    let mut texts = std::collections::BTreeSet::new();
    for (_, connection) in all(true) {
        for message in
            connection.messages.iter().filter(|one| noted(&one.note, "kind") == Some("notif"))
        {
            texts.extend(Notification::read(&message.bytes[4..]).unwrap().config);
        }
    }
    for (_, connection) in all(false) {
        for message in connection.messages.iter().filter(|one| !one.from_connector) {
            if noted(&message.note, "type") == Some("NEWLEADER") {
                match QuorumPacket::read(message.bytes.clone().into(), Side::Leader, MAX_LENGTH) {
                    Ok(QuorumPacket::NewLeader { config, .. }) => texts.extend(config),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(texts.len() > 4, "{texts:?}");
    for text in texts {
        let verifier = QuorumVerifier::parse(&text).expect("a configuration");
        assert_eq!(verifier.to_text().as_bytes(), &text[..]);
    }
}

#[test]
fn a_reconfig_sets_the_configuration_that_has_its_zxid_as_version() {
    let mut seen = 0;
    for (_, connection) in all(false) {
        for message in connection.messages.iter().filter(|one| !one.from_connector) {
            if is_snapshot(message) {
                continue;
            }
            let packet =
                QuorumPacket::read(message.bytes.clone().into(), Side::Leader, MAX_LENGTH).unwrap();
            let (QuorumPacket::Proposal { txn, .. }
            | QuorumPacket::Inform { txn, .. }
            | QuorumPacket::InformAndActivate { txn, .. }) = &packet
            else {
                continue;
            };
            let record = TxnRecord::read(txn, MAX_LENGTH).unwrap();
            if record.header.txn_type != OpCode::Reconfig.to_int() {
                continue;
            }
            let Txn::SetData { path: b"/zookeeper/config", data: Some(text), version: -1 } =
                record.txn
            else {
                panic!("{:?}", record.txn);
            };
            let config = QuorumVerifier::parse(text).unwrap();
            assert_eq!(config.version, record.header.zxid.to_long());
            assert_eq!(config.to_text().as_bytes(), text);
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}
