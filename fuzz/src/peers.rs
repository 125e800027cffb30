//! What other servers send: packets of a leader and of a learner, election messages, and
//! configurations.
//!
//! * Nothing panics, however the bytes are cut.
//! * What could be read is written as bytes that read the same.
//! * A refusal is one printable line.
//! * What a reconfig request makes of a configuration is one.
//!
//! The first byte chooses which of them the rest is.

use bytes::BytesMut;
use zkserver::jute::Reader;
use zkserver::proto::membership::{MAX_CONFIG_TEXT, ReconfigRules, reconfig};
use zkserver::proto::quorum_packet::Side;
use zkserver::proto::requests::ReconfigRequest;
use zkserver::proto::vote::next_election_message;
use zkserver::proto::{ElectionGreeting, Notification, QuorumPacket, QuorumVerifier};

const MAX_LENGTH: usize = 1 << 16;

/// Takes the rest of `data` for what its first byte says.
pub fn check(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 5 {
        0 => packets(rest, Side::Leader),
        1 => packets(rest, Side::Learner),
        2 => election(rest),
        3 => configuration(rest),
        _ => reconfiguration(rest),
    }
}

fn packets(data: &[u8], side: Side) {
    let mut input = BytesMut::new();
    // A prime, so that the pieces end anywhere in a packet.
    for piece in data.chunks(31) {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match QuorumPacket::take(&mut input, side, MAX_LENGTH) {
                Ok(Some(packet)) => {
                    assert!(input.len() < before, "a packet takes bytes");
                    packet_again(&packet, side);
                }
                Ok(None) => break,
                Err(why) => return one_line(&why),
            }
        }
    }
}

fn packet_again(packet: &QuorumPacket, side: Side) {
    let mut out = Vec::new();
    packet.write(&mut out);
    let again = QuorumPacket::read(out.into(), side, MAX_LENGTH);
    assert_eq!(again.as_ref(), Ok(packet));
}

fn election(data: &[u8]) {
    let mut rest = data;
    match ElectionGreeting::read(data) {
        Ok(Some((greeting, size))) => {
            rest = &data[size..];
            let _ = greeting.reachable().count();
            // An IPv6 address may be longer when it is written.
            if greeting.addresses.len() <= 8 {
                let mut out = Vec::new();
                greeting.write(&mut out);
                assert_eq!(ElectionGreeting::read(&out), Ok(Some((greeting, out.len()))));
            }
        }
        Ok(None) => {}
        Err(why) => one_line(&why),
    }
    while let Ok(Some(frame)) = next_election_message(rest) {
        rest = &rest[frame.size..];
        match Notification::read(frame.body) {
            Ok(read) => {
                let mut out = Vec::new();
                read.write(&mut out);
                let version = if read.version > 1 { read.version } else { 0 };
                assert_eq!(Notification::read(&out[4..]), Ok(Notification { version, ..read }));
            }
            Err(why) => one_line(&why),
        }
    }
}

fn configuration(data: &[u8]) {
    match QuorumVerifier::parse(data) {
        Ok(verifier) => verifier_again(&verifier),
        Err(why) => one_line(&why),
    }
}

fn verifier_again(verifier: &QuorumVerifier) {
    let text = verifier.to_text();
    if text.len() <= MAX_CONFIG_TEXT {
        assert_eq!(QuorumVerifier::parse(text.as_bytes()).as_ref(), Ok(verifier));
    }
    assert!(!verifier.contains_quorum(|_| false), "nobody is no quorum");
    if verifier.hierarchy.is_none() {
        assert!(verifier.contains_quorum(|_| true), "everybody is a quorum");
    }
}

fn reconfiguration(data: &[u8]) {
    let Ok(request) = ReconfigRequest::read(&mut Reader::new(data, MAX_LENGTH)) else { return };
    let current = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2:observer\nversion=5";
    let current = QuorumVerifier::parse(current.as_bytes()).expect("a configuration");
    for enabled in [false, true] {
        let rules = ReconfigRules { standalone_enabled: enabled, multi_address_enabled: enabled };
        if let Ok(next) = reconfig(&current, &request, rules) {
            assert_eq!(next.version, current.version);
            assert!(next.to_text().len() <= MAX_CONFIG_TEXT);
            verifier_again(&next);
        }
    }
}

fn one_line(sentence: &str) {
    assert!(!sentence.is_empty() && !sentence.contains(char::is_control), "{sentence:?}");
}
