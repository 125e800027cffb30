//! Our learner under Apache ZooKeeper's leaders.
//!
//! Besides what is named at each test, three things differ from the captured learners:
//! * Only sessions that are served here are reported with PING. 3.8.0 reports each session once
//!   that it sees begin anywhere.
//! * An ACK leaves as soon as the disk has reported, here at once; theirs often crosses a COMMIT. So
//!   the packets of each direction are compared in their order, and not across the two.
//! * The idle PINGs that were left out of the captures are asked here where an answer is compared.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use zkserver::auth::{Identities, Identity};
use zkserver::jute::Reader;
use zkserver::processor::request::{ConnectAttempt, Origin, Request, Submission};
use zkserver::proto::membership::LearnerType;
use zkserver::proto::quorum_packet::ForwardedRequest;
use zkserver::proto::{
    ConnectionId, Epoch, OpCode, QuorumPacket, QuorumVerifier, ServerState, SessionId, Sid, Zxid,
};
use zkserver::quorum::effect::Input;

use crate::beginning::Beginning;
use crate::recording::{Connection, assert_same, connections, history, line};
use crate::server::Server;

/// Plays the leader of a connection to a server that has dialled it, and compares all that it says
/// with what the captured learner said. `differs` takes out what was captured and is not expected.
pub fn play_but(
    server: &mut Server,
    connection: &Connection,
    differs: impl Fn(&QuorumPacket) -> bool,
) {
    let (link, _) = server.dialled.take().expect("it has dialled");
    let (start_ms, applied_before) = (server.now_ms, server.let_go.len());
    let mismatches_before = server.db.digest_mismatches();
    // A server's session ids begin with the moment at which it began to serve.
    let first = connection.requests().first().map(|request| request.session.0);
    server.wall_ms = first.map_or(0, |session| session >> 16 & 0xff_ffff_ffff);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let mut pongs = VecDeque::new();
    let (mut questions, mut syncs) = (0, 0);
    let (answered_before, synced_before) = (server.answered, server.synced);
    server.take(Input::LinkOpened(link));
    for message in &connection.messages {
        server.pass_time_until(start_ms + message.at_ms);
        if message.is_snapshot() {
            server.snapshot_arrived(link, message.bytes.clone());
        } else if !message.from_dialler {
            server.take(Input::Packet { link, packet: message.packet() });
        } else {
            match message.packet() {
                QuorumPacket::Ping { zxid, touched } => {
                    if pongs.is_empty() {
                        let packet = QuorumPacket::Ping { zxid, touched: None };
                        server.take(Input::Packet { link, packet });
                        sort(server, &mut ours, &mut pongs);
                    }
                    let is_here = |session| server.touches.iter().any(|(id, _)| *id == session);
                    let mut touched = touched.expect("an answer has a list");
                    touched.retain(|(session, _)| is_here(*session));
                    let expected = QuorumPacket::Ping { zxid, touched: Some(touched) };
                    let got = pongs.pop_front();
                    let at_ms = message.at_ms;
                    assert_eq!(got.as_ref().map(line), Some(line(&expected)), "at {at_ms} ms");
                    continue;
                }
                QuorumPacket::Request(request) => {
                    match request.op {
                        9 => syncs += 1,
                        _ => questions += 1,
                    }
                    server.touch(request.session);
                    let submission = submission(request, server.now_ms);
                    server.take(Input::Submitted(vec![submission]));
                }
                QuorumPacket::Revalidate { session, timeout_ms } => {
                    let submission = connect(session, timeout_ms, server.now_ms);
                    server.take(Input::Submitted(vec![submission]));
                }
                _ => {}
            }
            let packet = message.packet();
            if !differs(&packet) {
                theirs.push(line(&packet));
            }
        }
        sort(server, &mut ours, &mut pongs);
    }
    assert_same(&ours, &theirs, "the learner");
    for pong in pongs {
        let QuorumPacket::Ping { touched: Some(touched), .. } = pong else { unreachable!() };
        assert_eq!(touched, [], "what is left was not captured, for it is idle");
    }
    let committed: Vec<Zxid> = connection.packets(false).filter_map(committed).collect();
    assert_eq!(server.let_go[applied_before..], committed);
    assert_eq!(server.answered - answered_before, questions, "each has its answer");
    assert_eq!(server.synced - synced_before, syncs);
    assert_eq!(server.db.digest_mismatches(), mismatches_before, "as their leader's tree");
}

pub fn play(server: &mut Server, connection: &Connection) {
    play_but(server, connection, |_| false);
    assert_eq!(server.closed, [], "it stays");
}

/// Parts what was said into answers to PINGs and the rest.
fn sort(server: &mut Server, said: &mut Vec<String>, pongs: &mut VecDeque<QuorumPacket>) {
    for (_, packet) in server.sent.drain(..) {
        match packet {
            QuorumPacket::Ping { .. } => pongs.push_back(packet),
            packet => said.push(line(&packet)),
        }
    }
}

fn committed(packet: QuorumPacket) -> Option<Zxid> {
    match packet {
        QuorumPacket::Commit { zxid }
        | QuorumPacket::CommitAndActivate { zxid, .. }
        | QuorumPacket::Inform { zxid, .. }
        | QuorumPacket::InformAndActivate { zxid, .. } => Some(zxid),
        _ => None,
    }
}

/// What a client here must have asked for, for that to be forwarded.
fn submission(request: ForwardedRequest, received_ms: u64) -> Submission {
    let ForwardedRequest { session, cxid: xid, op, body, auth } = request;
    let op = OpCode::from_int(op).expect("an operation");
    if op == OpCode::CreateSession {
        let timeout_ms = Reader::unlimited(&body).int().expect("a timeout");
        return connect(SessionId::NONE, timeout_ms, received_ms);
    }
    let identities = auth.iter().map(|(scheme, id)| Identity::new(scheme, id));
    Submission::Request(Request {
        session,
        xid,
        op,
        body,
        identities: Arc::new(Identities::from_list(identities)),
        origin: Some(Origin { connection: ConnectionId(1), xid, op, received_ms }),
        throttled: false,
    })
}

fn connect(session: SessionId, timeout_ms: i32, received_ms: u64) -> Submission {
    Submission::Connect(ConnectAttempt {
        connection: ConnectionId(1),
        session,
        timeout_ms,
        had_read_only: true,
        identities: Arc::new(Identities::default()),
        received_ms,
    })
}

/// The configuration that came with NEWLEADER.
pub fn config_of(connection: &Connection) -> QuorumVerifier {
    let text = |packet| match packet {
        QuorumPacket::NewLeader { config, .. } => config,
        _ => None,
    };
    let text = connection.packets(false).find_map(text).expect("NEWLEADER");
    QuorumVerifier::parse(&text).expect("a configuration")
}

/// A transaction of the history, as if it were another one.
fn again(of: usize, counter: u64) -> (Zxid, Bytes) {
    let mut txn = history()[of].1.to_vec();
    let zxid = Zxid(Epoch(1).start().0 + counter);
    txn[12..20].copy_from_slice(&zxid.0.to_be_bytes());
    (zxid, txn.into())
}

/// An empty DIFF, then every kind of request, three reconfigurations; the last makes it the leader,
/// and it is, at once.
#[test]
fn a_follower_says_what_apaches_said_through_a_whole_epoch_and_then_leads_as_designated() {
    let connection = connections("sync-empty-diff-and-broadcast").remove(0);
    let mut server = Beginning::empty(1).start();
    server.hears_who_leads(connection.acceptor);
    play_but(&mut server, &connection, |_| false);
    assert_eq!(server.log, history());
    assert_eq!(server.db.tree.digest(), 18_396_226_048);
    assert_eq!(server.state(), ServerState::Leading);
    let last_words: Vec<_> = server.closed.iter().map(|(_, why)| &**why).collect();
    assert_eq!(last_words, ["the leader is left: server 1 leads from here on"]);
    assert_eq!(server.member().configs.current.version, 0x1_0000_001e);
}

/// C-217, C-218: 3.8.0 acknowledges each synced proposal, behind NEWLEADER. We do as 3.9.3 does since
/// ZOOKEEPER-4785: they are durable before the ACK of NEWLEADER, which stands for them.
#[test]
fn a_follower_is_brought_up_by_diff_and_acknowledges_all_of_it_with_newleader() {
    let connection = connections("sync-diff").remove(0);
    let mut server = Beginning::of_epoch_1(3, 0x1_0000_0000, &history()[..8]).start();
    server.hears_who_leads(connection.acceptor);
    let of_synced = |packet: &QuorumPacket| match packet {
        QuorumPacket::Ack { zxid } => zxid.counter() != 0,
        _ => false,
    };
    play_but(&mut server, &connection, of_synced);
    assert_eq!(server.closed, []);
    assert_eq!(server.log, history()[..13]);
    assert_eq!(server.db.tree.digest(), 13_138_112_857);
}

/// What was there before was not captured; the digests say that the tree was empty.
#[test]
fn a_follower_is_brought_up_by_diff_exactly_as_apaches_3_9() {
    let connection = connections("sync-diff-3.9").remove(0);
    let before: Vec<_> = (1..=5).map(|counter| again(0, counter)).collect();
    let mut server = Beginning::of_epoch_1(1, 0, &before).start();
    server.hears_who_leads(connection.acceptor);
    play(&mut server, &connection);
    assert_eq!(server.log.last().map(|(zxid, _)| *zxid), Some(Zxid(0x1_0000_000a)));
}

/// Behind it a session that moved here is resumed, and one that nobody knows refused.
#[test]
fn a_follower_takes_apaches_tree_and_asks_for_sessions_as_apaches_did() {
    let connection = connections("sync-snap-revalidate").remove(0);
    let mut beginning = Beginning::empty(3);
    beginning.config.version = 0x1_0000_0000;
    let mut server = beginning.start();
    server.hears_who_leads(connection.acceptor);
    play(&mut server, &connection);
    assert_eq!(server.resumed, [SessionId(0x0100_001c_68bf_0000)]);
    assert_eq!(server.refused, [SessionId(0x0300_0000_0000_1234)]);
    assert_eq!(server.log, history()[6..8], "behind the snapshot");
}

/// C-215, C-267: two transactions that no leader committed are cut; later the reconfiguration that
/// removes the leader sends it to the designated one without an election, and into epoch 2.
#[test]
fn a_follower_is_cut_by_trunc_and_later_follows_the_designated_leader_at_once() {
    let connection = connections("sync-trunc").remove(0);
    let mut with_more = history()[..13].to_vec();
    with_more.extend([again(8, 0x50), again(9, 0x51)]);
    let mut server = Beginning::of_epoch_1(3, 0x1_0000_0000, &with_more).start();
    server.hears_who_leads(connection.acceptor);
    play_but(&mut server, &connection, |_| false);
    assert_eq!(server.log, history());
    let last_words: Vec<_> = server.closed.drain(..).map(|(_, why)| why).collect();
    assert_eq!(last_words, ["the leader is left: server 1 leads from here on"]);
    assert_eq!(server.dialled.map(|(_, leader)| leader), Some(Sid(1)));
    play(&mut server, &connections("reconfig-leader-removed").remove(1));
    assert_eq!(server.state(), ServerState::Following);
}

/// C-266: a server that is in no configuration follows without a vote, becomes an observer, is removed
/// and follows without a vote again; in the end it follows the designated leader.
#[test]
fn a_server_without_a_vote_learns_what_apaches_did_as_a_follower_and_as_an_observer() {
    let captured = connections("sync-snap-nonvoting-then-observer");
    let mut beginning = Beginning::empty(4);
    beginning.config.version = 0x1_0000_0000;
    let mut server = beginning.start();
    server.hears_who_leads(Sid(2));
    let ends = [
        (ServerState::Looking, "this server is an observer from here on"),
        (ServerState::Looking, "this server is a follower without a vote from here on"),
        (ServerState::Following, "server 1 leads from here on"),
    ];
    for (connection, (state, why)) in captured.iter().zip(ends) {
        play_but(&mut server, connection, |_| false);
        let last_words: Vec<_> = server.closed.drain(..).map(|(_, why)| why).collect();
        assert_eq!(last_words, [format!("the leader is left: {why}")]);
        assert_eq!(server.state(), state);
        if state == ServerState::Looking {
            server.hears_who_leads(Sid(2));
        }
    }
    assert_eq!(server.log, history()[13..], "behind the snapshot");
    assert_eq!(server.dialled.map(|(_, leader)| leader), Some(Sid(1)));
    play(&mut server, &connections("reconfig-leader-removed").remove(0));
    assert_eq!(server.state(), ServerState::Following);
}

/// The leader that was removed learns without a vote from the one that took its place.
#[test]
fn the_removed_leader_learns_from_its_successor() {
    let connection = connections("reconfig-leader-removed").remove(2);
    let mut beginning = Beginning::of_epoch_1(2, 0, &history());
    beginning.config = config_of(&connection);
    let mut server = beginning.start();
    server.hears_who_leads(connection.acceptor);
    play(&mut server, &connection);
    assert_eq!(server.state(), ServerState::Following);
}

/// Captured at the port of a follower that serves observers; what is said there is what a leader
/// says.
#[test]
fn an_observer_says_what_apaches_said_to_its_master() {
    let connection = connections("observer-master").remove(0);
    let mut beginning = Beginning::empty(4);
    beginning.config = config_of(&connection);
    beginning.config.version = 0;
    let kind = beginning.config.members[&Sid(4)].learner_type;
    assert_eq!(kind, LearnerType::Observer);
    let mut server = beginning.start();
    server.hears_who_leads(Sid(2));
    play(&mut server, &connection);
    assert_eq!(server.state(), ServerState::Observing);
}

/// Captured with a follower of version 3.4 under a leader of 3.9, without reconfiguration: but for
/// the short form of its FOLLOWERINFO it says what every follower says.
#[test]
fn a_follower_of_a_3_9_leader_without_reconfiguration_says_what_apaches_3_4_said() {
    let connection = connections("sync-3.4-follower").remove(0);
    let mut beginning = Beginning::empty(1);
    beginning.config = config_of(&connection);
    beginning.reconfig_enabled = false;
    let mut server = beginning.start();
    server.hears_who_leads(connection.acceptor);
    play(&mut server, &connection);
    assert_eq!(server.log, connection.txns());
    assert_eq!(server.db.tree.digest(), 15_687_503_913);
}
