//! What must not happen, from the other end, disturbs no other link.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;

use super::*;
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{AuthInfo, SessionId};

fn bytes(packets: impl IntoIterator<Item = QuorumPacket>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.into_iter().for_each(|packet| packet.write(&mut bytes));
    bytes
}

/// Somebody else comes to the server's port, and says something; its link.
fn come(server: &mut Server, number: u64) -> (TcpStream, LinkId) {
    let mut stream = TcpStream::connect(server.handle.listening()[0]).unwrap();
    stream.write_all(&bytes([ack(0)])).unwrap();
    let link = LinkId(ACCEPTED.0 + number);
    server.opened(link);
    assert_eq!(server.packet(link), ack(0));
    (stream, link)
}

#[test]
fn bytes_that_are_no_packet_end_their_link_behind_those_that_are() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    let (mut stream, link) = come(&mut leader, 1);
    let mut sent = bytes([ack(1)]);
    sent.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff]);
    stream.write_all(&sent).unwrap();
    assert_eq!(leader.packet(link), ack(1));
    let why = leader.end(link);
    assert!(why.contains("PROPOSAL") && why.contains("unreasonable length"), "{why}");
    assert!(!matches!(stream.read(&mut [0; 9]), Ok(1..)), "it is closed");
    learner.send(DIALLED, [ack(2)]);
    assert_eq!(leader.packet(ACCEPTED), ack(2));
}

#[test]
fn a_link_that_ends_in_the_midst_of_a_packet_says_so() {
    let runtime = runtime();
    let mut leader = Server::start(&runtime, ONE, config(0), &[]);
    let (mut stream, link) = come(&mut leader, 0);
    let sent = bytes([ack(1), ack(2)]);
    stream.write_all(&sent[..30]).unwrap();
    drop(stream);
    assert_eq!(leader.packet(link), ack(1));
    assert_eq!(leader.end(link), "the other end has closed the link in the midst of a packet");
}

/// Others are served, and what is sent behind the bound goes nowhere.
#[test]
fn a_learner_that_takes_nothing_is_dropped_at_the_bound() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    let (stream, link) = come(&mut leader, 1);
    let txn = Bytes::from(vec![7; MAX_FIELD]);
    let large = QuorumPacket::Proposal { zxid: Zxid(1), txn };
    let (mut sent, mut most) = (0, 0);
    while let Some((_, waiting)) = leader.handle.links().get(&link).copied() {
        (sent, most) = (sent + 1, most.max(waiting));
        assert!(sent < 1000, "{most} bytes wait");
        leader.send(link, [large.clone()]);
    }
    let why = leader.end(link);
    assert_eq!(why, "more than 67108864 bytes wait to be sent to it");
    assert!(most > 60 << 20 && most <= 64 << 20, "{most}");
    leader.send(link, [large]);
    leader.send(ACCEPTED, [commit(5)]);
    assert_eq!(learner.packet(DIALLED), commit(5));
    drop(stream);
}

/// A learner gets in, and keeps its link, though nobody who came before it has left.
#[test]
fn those_who_come_and_say_nothing_keep_nobody_out() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    let port = leader.handle.listening()[0];
    let mut silent: Vec<_> = (1..=200).map(|_| TcpStream::connect(port).unwrap()).collect();
    // Part of a packet says nothing.
    for stream in &mut silent[100..] {
        stream.write_all(&bytes([ack(1)])[..9]).unwrap();
    }
    let (mut late, link) = come(&mut leader, 201);
    // The oldest made room, and the core never knew of them.
    assert!(!matches!(silent[0].read(&mut [0; 9]), Ok(1..)), "it is closed");
    late.write_all(&bytes([ack(2)])).unwrap();
    assert_eq!(leader.packet(link), ack(2));
    learner.send(DIALLED, [ack(3)]);
    assert_eq!(leader.packet(ACCEPTED), ack(3));
    assert_eq!(leader.handle.links().len(), 2 + 63, "those that made room are gone");
}

#[test]
fn who_says_nothing_in_time_is_closed() {
    let runtime = runtime();
    let options = PeersOptions { greeting_timeout_ms: 50, ..options() };
    let leader = Server::start_with(options, &runtime, ONE, config(0), &[]);
    for said in [&[][..], &bytes([ack(1)])[..9]] {
        let mut silent = TcpStream::connect(leader.handle.listening()[0]).unwrap();
        silent.write_all(said).unwrap();
        assert!(!matches!(silent.read(&mut [0; 9]), Ok(1..)), "it is closed");
    }
    assert!(leader.inbox.is_empty());
}

/// It may wait for long, and weighs what it keeps.
#[test]
fn what_a_learner_asks_for_keeps_nothing_of_what_came_with_it() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    let request = |cxid| {
        let auth = AuthInfo::new([(&b"ip"[..], &b"::1"[..])].into_iter());
        let body = Bytes::from_static(b"a few bytes");
        ForwardedRequest { session: SessionId(1), cxid, op: 1, body, auth }
    };
    learner.send(DIALLED, [1, 2].map(|cxid| QuorumPacket::Request(request(cxid))));
    for cxid in [1, 2] {
        let QuorumPacket::Request(came) = leader.packet(ACCEPTED) else { panic!("no request") };
        assert_eq!(came, request(cxid));
        assert!(came.body.is_unique(), "others share its memory");
    }
}

/// A leader whose tree is none, or comes only in part.
#[test]
fn a_tree_that_is_none_ends_the_link() {
    let runtime = runtime();
    let leader = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = leader.local_addr().unwrap().port();
    let mut learner = Server::start(&runtime, TWO, config(port), &[]);
    for (number, tree) in
        [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'/'][..], &[0; 7]].iter().enumerate()
    {
        let link = LinkId(number as u64);
        learner.turn([LinkEffect::Dial { link, leader: ONE }]);
        let (mut stream, _) = leader.accept().unwrap();
        learner.opened(link);
        let mut sent = bytes([QuorumPacket::Snap { zxid: Zxid(4) }]);
        sent.extend_from_slice(tree);
        stream.write_all(&sent).unwrap();
        drop(stream);
        assert_eq!(learner.packet(link), QuorumPacket::Snap { zxid: Zxid(4) });
        let why = learner.end(link);
        match number {
            0 => assert!(why.contains("there is no root node"), "{why}"),
            _ => assert!(why.contains("closed the link"), "{why}"),
        }
    }
}
