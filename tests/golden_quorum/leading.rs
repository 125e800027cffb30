//! Our leader under Apache ZooKeeper's learners.
//!
//! The captured connections of an ensemble are laid over each other in time, and everything that its
//! learners said is said to our leader. What it says over each link must be what Apache's leader
//! said, byte for byte; the moments in transactions' headers are handed in by the clock.
//!
//! * PINGs are sent by the clock, and most captured ones were left out: each that was captured must
//!   be among ours, and ours are answered.
//! * A SYNC waits until a quorum has confirmed that this server leads, where Apache's does not: it
//!   asks with a PING of its own, and comes when that was answered.
//! * An ACK that comes before our proposal (an expired session ends a moment later here) waits for
//!   it.

use std::collections::BTreeSet;

use bytes::Bytes;
use zkserver::jute::Writer;
use zkserver::proto::acl::write_acl_vector;
use zkserver::proto::quorum_packet::{ForwardedRequest, LearnerInfo, PROTOCOL_VERSION};
use zkserver::proto::txns::TxnRecord;
use zkserver::proto::{
    Acl, AuthInfo, Epoch, LinkId, Notification, OpCode, QuorumPacket, ServerState, SessionId, Sid,
    Vote, Zxid, perms,
};
use zkserver::quorum::effect::Input;

use crate::beginning::Beginning;
use crate::election::elected_fresh;
use crate::learning::{config_of, play_but};
use crate::recording::{Connection, MAX_LENGTH, Message, assert_same, connections, line, time_of};
use crate::server::Server;
use crate::tree;

/// What becomes of a link.
enum Event {
    Opened,
    Says(QuorumPacket),
    Closed,
}

/// A captured connection, and where it lies in time.
pub struct Laid {
    pub opened_ms: u64,
    pub connection: Connection,
}

/// The connections of the captured ensemble to its first leader. Where they lie follows from the
/// transactions that several of them carry; only for `sync-diff`, which carries none, it is chosen.
pub fn first_epoch() -> Vec<Laid> {
    let mut of_4 = connections("sync-snap-nonvoting-then-observer").into_iter();
    let mut next_of_4 = |opened_ms| {
        let connection = of_4.next().expect("three connections");
        Laid { opened_ms, connection }
    };
    let only = |capture, opened_ms| {
        let connection = connections(capture).remove(0);
        Laid { opened_ms, connection }
    };
    vec![
        only("sync-empty-diff-and-broadcast", 0),
        only("sync-snap-revalidate", 24_378),
        only("sync-diff", 61_000),
        only("sync-trunc", 67_743),
        next_of_4(92_584),
        next_of_4(97_518),
        next_of_4(104_141),
    ]
}

/// Says everything to the leader, and compares what it says. `txns` are those it must propose.
pub fn play(server: &mut Server, laid: &[Laid], txns: &[(Zxid, Bytes)]) {
    let start_ms = server.now_ms;
    let link = |at: usize| LinkId(LinkId::FIRST_ACCEPTED.0 + at as u64);
    let mut agenda = Vec::new();
    for (at, Laid { opened_ms, connection, .. }) in laid.iter().enumerate() {
        agenda.push((*opened_ms, at, Event::Opened));
        let last_ms = connection.messages.last().expect("a message").at_ms;
        agenda.push((opened_ms + last_ms + 50, at, Event::Closed));
        let of_learner = connection.messages.iter().filter(|message| message.from_dialler);
        let says = |message: &Message| Event::Says(message.packet());
        agenda.extend(of_learner.map(|one| (opened_ms + one.at_ms, at, says(one))));
    }
    agenda.sort_by_key(|(at_ms, ..)| *at_ms);
    let mut answered = server.sent.len();
    for (at_ms, at, event) in agenda {
        set_the_clock(server, txns);
        server.pass_time_until(start_ms + at_ms);
        let packet = match event {
            Event::Opened => {
                server.take(Input::LinkOpened(link(at)));
                continue;
            }
            Event::Closed => {
                let why = "its server has left".to_owned();
                server.take(Input::LinkClosed { link: link(at), why });
                continue;
            }
            Event::Says(packet) => packet,
        };
        if let QuorumPacket::Ack { zxid } = packet {
            let until_ms = server.now_ms + 5_000;
            while server.member().last_logged < zxid && zxid.counter() != 0 {
                assert!(server.now_ms < until_ms, "{zxid} is not proposed");
                set_the_clock(server, txns);
                server.pass_time_until(server.now_ms + 100);
            }
        }
        // This one is the answer to our next PING; all others are answered without a word.
        let is_pong = matches!(packet, QuorumPacket::Ping { .. });
        while is_pong
            && !server.sent[answered..].iter().any(|(to, said)| is_ping(said) && *to == link(at))
        {
            set_the_clock(server, txns);
            server.pass_time_until(server.now_ms + 100);
        }
        set_the_clock(server, txns);
        server.take(Input::Packet { link: link(at), packet });
        let mut is_answered = is_pong;
        while let Some((to, said)) = server.sent.get(answered) {
            let (to, said) = (*to, said.clone());
            answered += 1;
            if !is_ping(&said) || (to == link(at) && std::mem::take(&mut is_answered)) {
                continue;
            }
            let packet = QuorumPacket::Ping { zxid: Zxid::ZERO, touched: Some(Vec::new()) };
            server.take(Input::Packet { link: to, packet });
        }
    }
    for (at, Laid { connection, .. }) in laid.iter().enumerate() {
        let said = server.sent.iter().filter(|(over, _)| *over == link(at));
        let (pings, said): (Vec<_>, Vec<_>) =
            said.map(|(_, packet)| packet).partition(|packet| is_ping(packet));
        let said: Vec<_> = said.into_iter().map(line).collect();
        let pings: BTreeSet<_> = pings.into_iter().map(line).collect();
        let theirs: Vec<_> = connection.packets(false).collect();
        let (their_pings, theirs): (Vec<_>, Vec<_>) =
            theirs.iter().partition(|packet| is_ping(packet));
        let theirs: Vec<_> = theirs.into_iter().map(line).collect();
        assert_same(&said, &theirs, &format!("connection {at}"));
        for ping in their_pings.into_iter().map(line) {
            assert!(pings.contains(&ping), "connection {at}: {ping} is not among {pings:?}");
        }
    }
    assert_eq!(server.db.digest_mismatches(), 0);
}

fn is_ping(packet: &QuorumPacket) -> bool {
    matches!(packet, QuorumPacket::Ping { .. })
}

/// The clock shows the moment that is in the next transaction.
fn set_the_clock(server: &mut Server, txns: &[(Zxid, Bytes)]) {
    let last = server.member().last_logged;
    if let Some((_, txn)) = txns.iter().find(|(zxid, _)| *zxid > last) {
        server.wall_ms = time_of(txn);
    }
}

/// C-214, C-229, C-267: the whole first epoch: an empty DIFF, a SNAP, a DIFF, a TRUNC, another SNAP,
/// observers and servers without a vote; 30 transactions, among them a multi, failed requests and
/// three reconfigurations, the last of which makes the leader hand over.
#[test]
fn a_leader_says_what_apaches_said_to_all_learners_through_a_whole_epoch() {
    let laid = first_epoch();
    let txns = laid[0].connection.txns();
    let mut server = elected_fresh(2);
    play(&mut server, &laid, &txns);
    assert_eq!(server.log, txns);
    let streams = laid.iter().filter_map(|laid| {
        let messages = &laid.connection.messages;
        let at = messages.iter().position(|message| message.is_snapshot())?;
        let QuorumPacket::Snap { zxid } = messages[at - 1].packet() else { unreachable!() };
        Some((zxid, tree::in_short(&tree::received(zxid, &messages[at].bytes))))
    });
    assert_eq!(server.trees, streams.collect::<Vec<_>>(), "the trees that were sent");
    assert_eq!(server.state(), ServerState::Following, "it hands over");
    assert_eq!(server.dialled.map(|(_, leader)| leader), Some(Sid(1)));
}

/// The designated leader of the second epoch, after it has learned everything of the first one as a
/// follower: servers 3 and 4 follow, and the leader that was removed, without a vote.
#[test]
fn the_designated_leader_says_what_apaches_said_to_those_who_come_at_once() {
    let mut server = elected_fresh(1);
    play_but(&mut server, &connections("sync-empty-diff-and-broadcast").remove(0), |_| false);
    assert_eq!(server.state(), ServerState::Leading);
    server.sent.clear();
    // All three carry the end of one session.
    let opened_ms = [0, 14, 1_694];
    let connections = connections("reconfig-leader-removed").into_iter();
    let laid = |(opened_ms, connection)| Laid { opened_ms, connection };
    let laid: Vec<_> = opened_ms.into_iter().zip(connections).map(laid).collect();
    let txns = laid[0].connection.txns();
    play(&mut server, &laid, &txns);
    assert_eq!(server.log.last(), txns.last());
    assert_eq!(server.state(), ServerState::Leading);
}

/// A follower of version 3.4 with the short LearnerInfo, as far as the transactions are its own.
#[test]
fn a_leader_says_to_a_3_4_follower_what_apaches_3_9_said() {
    let mut connection = connections("sync-3.4-follower").remove(0);
    let others = |message: &Message| match message.packet() {
        QuorumPacket::Proposal { zxid, .. } => zxid == Zxid(0x1_0000_0007),
        _ => false,
    };
    let end = connection.messages.iter().position(others).expect("another server's session");
    connection.messages.truncate(end);
    let mut beginning = Beginning::empty(3);
    beginning.config = config_of(&connection);
    beginning.reconfig_enabled = false;
    let mut server = beginning.start();
    let (state, vote) = (ServerState::Looking, Vote { leader: Sid(3), zxid: 0, peer_epoch: 0 });
    let notification = Notification { state, vote, round: 1, version: 1, config: None };
    server.take(Input::Mesh { peer: Sid(1), up: true });
    server.take(Input::Notified { from: Sid(1), notification });
    server.settles();
    let laid = [Laid { opened_ms: 0, connection }];
    let txns = laid[0].connection.txns();
    play(&mut server, &laid, &txns);
    assert_eq!((server.log, txns.len()), (txns, 6));
}

/// What is in its history was asked for anew: five times something that leaves the tree empty, and
/// then what the captured DIFF carries.
#[test]
fn a_leader_brings_a_follower_up_by_diff_as_apaches_3_9_did() {
    let connection = connections("sync-diff-3.9").remove(0);
    let txns = connection.txns();
    let mut beginning = Beginning::empty(3);
    beginning.config = config_of(&connection);
    beginning.reconfig_enabled = false;
    let mut server = beginning.start();
    let (state, vote) = (ServerState::Looking, Vote { leader: Sid(3), zxid: 0, peer_epoch: 0 });
    let notification = Notification { state, vote, round: 1, version: 2, config: None };
    server.take(Input::Mesh { peer: Sid(2), up: true });
    server.take(Input::Notified { from: Sid(2), notification });
    server.settles();

    // Server 2 follows from the beginning, and has all the clients.
    let link = LinkId(LinkId::FIRST_ACCEPTED.0 + 2);
    let accepted_epoch = Epoch(0);
    let (sid, protocol_version, config_version) = (Some(Sid(2)), PROTOCOL_VERSION, 0);
    let info = LearnerInfo { accepted_epoch, sid, protocol_version, config_version };
    server.take(Input::LinkOpened(link));
    let mut says = |packet| server.take(Input::Packet { link, packet });
    says(QuorumPacket::FollowerInfo(info));
    says(QuorumPacket::AckEpoch { last_zxid: Zxid::ZERO, current_epoch: Some(Epoch(0)) });
    says(QuorumPacket::Ack { zxid: Epoch(1).start() });
    says(QuorumPacket::Ack { zxid: Epoch(1).start() });
    let first = TxnRecord::read(&txns[0].1, MAX_LENGTH).expect("a transaction").header.client_id;
    let mut counter = 0;
    let mut asks = |session: SessionId, cxid, op: OpCode, body: Vec<u8>| {
        set_the_clock(&mut server, &txns);
        let (op, body, auth) = (op.to_int(), body.into(), AuthInfo::default());
        let request = ForwardedRequest { session, cxid, op, body, auth };
        server.take(Input::Packet { link, packet: QuorumPacket::Request(request) });
        counter += 1;
        let zxid = Zxid(Epoch(1).start().0 + counter);
        server.take(Input::Packet { link, packet: QuorumPacket::Ack { zxid } });
    };
    let timeout = 20_000_i32.to_be_bytes().to_vec();
    for session in 1..=5 {
        asks(SessionId(session), 0, OpCode::CreateSession, timeout.clone());
    }
    asks(first, 0, OpCode::CreateSession, timeout);
    for (cxid, data) in [(1, b"0"), (2, b"1"), (3, b"2")] {
        let mut body = Vec::new();
        body.put_ustring(b"/w-");
        body.put_buffer(Some(data));
        write_acl_vector(&[Acl::new(perms::ALL, b"world", b"anyone")], &mut body);
        body.put_int(2);
        asks(first, cxid, OpCode::Create, body);
    }
    asks(first, 4, OpCode::CloseSession, Vec::new());

    play(&mut server, &[Laid { opened_ms: 0, connection }], &[]);
    assert_eq!(server.log[5..], txns);
}
