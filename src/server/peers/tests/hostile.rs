//! What must not happen, from the other end, disturbs no other link.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;

use super::*;

fn bytes(packets: impl IntoIterator<Item = QuorumPacket>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.into_iter().for_each(|packet| packet.write(&mut bytes));
    bytes
}

/// Somebody else comes to the server's port; its link.
fn come(server: &mut Server, number: u64) -> (TcpStream, LinkId) {
    let stream = TcpStream::connect(server.handle.listening()[0]).unwrap();
    let link = LinkId(ACCEPTED.0 + number);
    server.opened(link);
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

/// Those who have said something are not counted among them.
#[test]
fn so_many_may_come_and_say_nothing() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    learner.send(DIALLED, [ack(1)]);
    assert_eq!(leader.packet(ACCEPTED), ack(1));
    let mut strangers: Vec<_> = (1..65).map(|number| come(&mut leader, number).0).collect();
    let mut refused = TcpStream::connect(leader.handle.listening()[0]).unwrap();
    assert!(!matches!(refused.read(&mut [0; 9]), Ok(1..)), "it is closed at once");
    strangers[0].write_all(&bytes([ack(2)])).unwrap();
    assert_eq!(leader.packet(LinkId(ACCEPTED.0 + 1)), ack(2));
    come(&mut leader, 65);
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
