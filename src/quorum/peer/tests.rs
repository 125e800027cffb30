//! Plays of a member between its roles: server 2 of three, from a role that ends to the next
//! election, and what disk and tree must have come to meanwhile.

use bytes::Bytes;

use super::*;
use crate::processor::testing::tree_options;
use crate::proto::quorum_packet::LearnerInfo;
use crate::proto::txns::TxnRecord;
use crate::proto::{Epoch, LinkId, QuorumPacket, Ticket, Zxid};
use crate::quorum::effect::{DiskEffect, LinkEffect, Restored};
use crate::quorum::testing::{
    client_in_words, disk_in_words, ensemble, link_in_words, member, nothing, ticket_of,
};

mod votes;

const NOTHING: [&str; 0] = [];
const REFUSED: [&str; 1] = ["close: this server does not lead"];
/// The link that this server dials.
const TO_LEADER: LinkId = LinkId(0);
/// A link that server 1 has dialled.
const OF_LEARNER: LinkId = LinkId::FIRST_ACCEPTED;

fn zxid(epoch: u32, counter: u64) -> Zxid {
    Zxid(Epoch(epoch).start().0 + counter)
}

struct Play {
    peer: QuorumPeer,
    db: Database,
    now_ms: u64,
    /// The last ticket that was asked for.
    asked: Ticket,
}

impl Play {
    /// Server 2 of three over the history 1:1, 1:2; it has begun to look for a leader.
    fn looking() -> Self {
        let mut member = member(2, &ensemble(3, 0));
        let mut db = Database::new(tree_options());
        for zxid in [zxid(1, 1), zxid(1, 2)] {
            apply(&mut db, &nothing(zxid));
            member.committed.push(zxid, nothing(zxid));
            member.last_logged = zxid;
        }
        (member.accepted_epoch, member.current_epoch) = (Epoch(1), Epoch(1));
        let peer = QuorumPeer::member(member);
        let mut play = Play { peer, db, now_ms: 0, asked: Ticket::default() };
        let told = play.step(Input::Tick);
        assert_eq!(told[0], "tell 1: looking, 2 (epoch 1, zxid 0x100000002), round 1");
        play
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Effects::default();
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.now_ms as i64 };
        self.peer.step(now, input, &self.db, &mut effects);
        let Effects { disk, links, client } = &effects;
        for effect in disk {
            self.asked = ticket_of(effect).unwrap_or(self.asked);
        }
        let lines = disk.iter().map(|effect| match effect {
            DiskEffect::Append { zxid, .. } => format!("disk: append {zxid}"),
            DiskEffect::Truncate { to, .. } => format!("disk: truncate to {to}"),
            other => disk_in_words(other),
        });
        let lines = lines.chain(links.iter().map(|effect| match effect {
            LinkEffect::Send { packet, .. } => format!("send {}", packet.name()),
            LinkEffect::Dial { leader, .. } => format!("dial {leader}"),
            LinkEffect::Close { why, .. } => format!("close: {why}"),
            other => link_in_words(other),
        }));
        let lines = lines.chain(client.iter().map(|effect| match effect {
            ClientEffect::Commit(proposal) => format!("commit {}", proposal.zxid),
            ClientEffect::CatchUp { zxid, .. } => format!("catch up with {zxid}"),
            other => client_in_words(other),
        }));
        lines.collect()
    }

    fn hears(&mut self, link: LinkId, packet: QuorumPacket) -> Vec<String> {
        self.step(Input::Packet { link, packet })
    }

    fn persisted(&mut self, ticket: Ticket) -> Vec<String> {
        self.step(Input::Persisted(ticket))
    }

    fn lost(&mut self, link: LinkId) -> Vec<String> {
        self.step(Input::LinkClosed { link, why: "reset".into() })
    }

    /// The driver has carried a transaction out.
    fn applied(&mut self, zxid: Zxid) -> Vec<String> {
        apply(&mut self.db, &nothing(zxid));
        self.step(Input::Applied(zxid))
    }

    /// The others vote for `leader`, whom everybody can reach.
    fn elects(&mut self, leader: i64) -> Vec<String> {
        let vote = Vote { leader: Sid(leader), zxid: zxid(1, 2).to_long(), peer_epoch: 1 };
        let mut told = Vec::new();
        for peer in [Sid(1), Sid(3)] {
            self.step(Input::Mesh { peer, up: true });
        }
        for from in [Sid(3), Sid(1)] {
            let (state, config) = (ServerState::Looking, None);
            let notification = Notification { state, vote, round: 1, version: 2, config };
            told = self.step(Input::Notified { from, notification });
        }
        told
    }

    /// Follows server 3 into epoch 2, with nothing to bring up, and serves.
    fn follows(&mut self) {
        assert_eq!(self.elects(3), ["dial server 3"]);
        self.discovers();
        self.hears(TO_LEADER, QuorumPacket::Diff { zxid: zxid(1, 2) });
        self.hears(TO_LEADER, QuorumPacket::NewLeader { zxid: zxid(2, 0), config: None });
        assert_eq!(self.persisted(self.asked), ["send ACK"]);
        assert_eq!(self.hears(TO_LEADER, QuorumPacket::UpToDate), ["send ACK", "StartServing"]);
    }

    /// Up to ACKEPOCH.
    fn discovers(&mut self) {
        self.step(Input::LinkOpened(TO_LEADER));
        let epoch = Epoch(2);
        self.hears(TO_LEADER, QuorumPacket::LeaderInfo { epoch, protocol_version: 0x1_0000 });
        assert_eq!(self.persisted(self.asked), ["send ACKEPOCH"]);
    }

    /// Leads epoch 2, and server 1 follows.
    fn leads(&mut self) {
        assert_eq!(self.elects(2), NOTHING);
        assert_eq!(self.peer.state(), Some(ServerState::Leading));
        self.step(Input::LinkOpened(OF_LEARNER));
        self.hears(OF_LEARNER, introduction());
        self.persisted(self.asked);
        let (last_zxid, current_epoch) = (zxid(1, 2), Some(Epoch(1)));
        self.hears(OF_LEARNER, QuorumPacket::AckEpoch { last_zxid, current_epoch });
        self.persisted(self.asked);
        let told = self.hears(OF_LEARNER, QuorumPacket::Ack { zxid: zxid(2, 0) });
        assert_eq!(told.last().map(String::as_str), Some("StartServing"), "{told:?}");
        assert_eq!(self.persisted(self.asked), NOTHING);
    }

    fn proposed(&mut self, zxid: Zxid) -> Vec<String> {
        self.hears(TO_LEADER, QuorumPacket::Proposal { zxid, txn: nothing(zxid) })
    }
}

/// What server 1 says of itself when it has dialled.
fn introduction() -> QuorumPacket {
    QuorumPacket::FollowerInfo(LearnerInfo {
        accepted_epoch: Epoch(1),
        sid: Some(Sid(1)),
        protocol_version: 0x1_0000,
        config_version: 0,
    })
}

/// A word of `from` in that round: it supports `leader`, with the history that all have.
fn notified(from: i64, state: ServerState, leader: i64, round: i64) -> Input {
    let vote = Vote { leader: Sid(leader), zxid: zxid(1, 2).to_long(), peer_epoch: 1 };
    let notification = Notification { state, vote, round, version: 2, config: None };
    Input::Notified { from: Sid(from), notification }
}

fn apply(db: &mut Database, txn: &Bytes) {
    db.apply(&TxnRecord::read(txn, usize::MAX).expect("a transaction"), &mut ());
}

fn looks_again(told: &[String], zxid: Zxid, round: i64) {
    let own = format!("looking, 2 (epoch 2, zxid {zxid}), round {round}");
    assert_eq!(told[..2], [format!("tell 1: {own}"), format!("tell 3: {own}")]);
}

/// C-221, C-026: first the disk, then the tree, then the election (ZOOKEEPER-2845). What was logged
/// and not committed is part of the vote, and so it is part of the tree.
#[test]
fn a_follower_looks_for_a_leader_when_its_disk_and_its_tree_are_where_its_log_is() {
    let mut play = Play::looking();
    play.follows();
    play.proposed(zxid(2, 1));
    let first = play.asked;
    play.proposed(zxid(2, 2));
    assert_eq!(play.persisted(first), ["send ACK"]);
    let commit = QuorumPacket::Commit { zxid: zxid(2, 1) };
    assert_eq!(play.hears(TO_LEADER, commit), ["commit 0x200000001"]);
    assert_eq!(play.lost(TO_LEADER), ["StopServing"], "the second is not on the disk yet");
    assert_eq!(play.persisted(play.asked), ["catch up with 0x200000002"]);
    assert_eq!(play.applied(zxid(2, 1)), NOTHING, "the tree has one of two");
    let told = play.applied(zxid(2, 2));
    looks_again(&told, zxid(2, 2), 2);
}

/// C-212: `syncLimit` is 10 s, and looked at with each full tick.
#[test]
fn a_leader_without_a_quorum_closes_its_clients_and_looks_again() {
    let mut play = Play::looking();
    play.leads();
    let mut told = Vec::new();
    while play.peer.state() == Some(ServerState::Leading) {
        play.now_ms = play.peer.next_deadline().expect("a leader's heart beats");
        assert!(play.now_ms <= 14_000, "it leads at {} ms", play.now_ms);
        told = play.step(Input::Tick);
    }
    assert!(play.now_ms > 10_000, "it left at {} ms", play.now_ms);
    assert_eq!(told, ["StopServing"], "its learner was dropped before");
    let told = play.step(Input::Tick);
    looks_again(&told, zxid(1, 2), 2);
}

/// C-216: the link ends while the log is cut; nobody looks for a leader with a tree that has more
/// than the log (ZOOKEEPER-3642).
#[test]
fn a_tree_that_the_log_has_left_is_restored_before_the_next_election() {
    let mut play = Play::looking();
    play.elects(3);
    play.discovers();
    let trunc = QuorumPacket::Trunc { zxid: zxid(1, 1) };
    assert_eq!(play.hears(TO_LEADER, trunc), ["disk: truncate to 0x100000001"]);
    assert_eq!(play.lost(TO_LEADER), NOTHING);
    assert_eq!(play.persisted(play.asked), ["Reload"]);
    assert_eq!(play.step(Input::Tick), NOTHING);
    play.db = Database::new(tree_options());
    apply(&mut play.db, &nothing(zxid(1, 1)));
    let (last_zxid, recent) = (zxid(1, 1), vec![(zxid(1, 1), nothing(zxid(1, 1)))]);
    let told = play.step(Input::Reloaded(Restored { last_zxid, recent }));
    assert_eq!(told[0], "tell 1: looking, 2 (epoch 1, zxid 0x100000001), round 2");
}

/// C-221: a report for what an earlier role asked for is not taken for the new role's.
#[test]
fn what_an_earlier_role_asked_of_the_disk_is_never_acknowledged_by_the_next() {
    let mut play = Play::looking();
    play.follows();
    play.proposed(zxid(2, 1));
    play.lost(TO_LEADER);
    let told = play.persisted(play.asked);
    assert_eq!(told, ["catch up with 0x200000001"], "and no ACK");
}

/// Whoever takes a follower for a leader is told at once.
#[test]
fn who_dials_a_server_that_follows_is_sent_away() {
    let mut play = Play::looking();
    play.follows();
    assert_eq!(play.step(Input::LinkOpened(OF_LEARNER)), REFUSED);
}

/// Of those who elect a leader one knows it first.
#[test]
fn a_learner_that_comes_a_moment_early_is_led_at_once() {
    let mut play = Play::looking();
    assert_eq!(play.step(Input::LinkOpened(OF_LEARNER)), NOTHING);
    assert_eq!(play.hears(OF_LEARNER, introduction()), NOTHING);
    assert_eq!(play.elects(2), ["disk: acceptedEpoch 2"], "it has a quorum already");
    assert_eq!(play.persisted(play.asked), ["send LEADERINFO"]);
}

#[test]
fn a_learner_that_came_early_to_a_server_that_does_not_lead_is_sent_away() {
    let mut play = Play::looking();
    assert_eq!(play.step(Input::LinkOpened(OF_LEARNER)), NOTHING);
    let told = play.elects(3);
    assert_eq!(told, ["dial server 3", REFUSED[0]]);

    let mut play = Play::looking();
    play.step(Input::LinkOpened(OF_LEARNER));
    while play.now_ms < EARLY_MS {
        play.now_ms = play.peer.next_deadline().expect("it looks for a leader");
        let told = play.step(Input::Tick);
        let refused = told.last().is_some_and(|line| line == REFUSED[0]);
        assert_eq!(refused, play.now_ms == EARLY_MS, "{} ms: {told:?}", play.now_ms);
    }

    let mut play = Play::looking();
    play.step(Input::LinkOpened(OF_LEARNER));
    play.hears(OF_LEARNER, introduction());
    assert_eq!(play.hears(OF_LEARNER, introduction()), REFUSED, "it is not answered yet");
    play.step(Input::LinkOpened(OF_LEARNER));
    assert_eq!(play.lost(OF_LEARNER), NOTHING);
    assert_eq!(play.elects(2), NOTHING, "nobody is there any more");
}

/// What was said while disk and tree were waited for counts in the election that follows.
#[test]
fn votes_that_come_between_two_roles_are_not_lost() {
    let mut play = Play::looking();
    play.follows();
    play.proposed(zxid(2, 1));
    play.lost(TO_LEADER);
    let vote = Vote { leader: Sid(3), zxid: zxid(2, 5).to_long(), peer_epoch: 2 };
    for from in [Sid(1), Sid(3)] {
        let (state, config) = (ServerState::Looking, None);
        let notification = Notification { state, vote, round: 2, version: 2, config };
        assert_eq!(play.step(Input::Notified { from, notification }), NOTHING);
    }
    play.persisted(play.asked);
    let told = play.applied(zxid(2, 1));
    assert_eq!(told.last().map(String::as_str), Some("dial server 3"), "{told:?}");
}

/// The followers of a leader that dies notice one after the other. Who is the first has told its
/// vote to those that followed still, and tells it again only after a while.
#[test]
fn votes_that_came_a_moment_before_the_leader_was_lost_count() {
    for (age_ms, elected) in [(0, true), (200, true), (201, false)] {
        let mut play = Play::looking();
        play.follows();
        play.step(Input::Mesh { peer: Sid(3), up: false });
        let vote = Vote { leader: Sid(1), zxid: zxid(2, 5).to_long(), peer_epoch: 2 };
        let (state, config) = (ServerState::Looking, None);
        let notification = Notification { state, vote, round: 2, version: 2, config };
        let told = play.step(Input::Notified { from: Sid(1), notification });
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("tell 1: following, 3"), "{told:?}");
        play.now_ms += age_ms;
        assert_eq!(play.lost(TO_LEADER), ["StopServing"]);
        let told = play.step(Input::Tick);
        looks_again(&told, zxid(1, 2), 2);
        let dials = told.last().is_some_and(|last| last == "dial server 1");
        assert_eq!(dials, elected, "{age_ms} ms: {told:?}");
    }
}

/// A server can hear of a better one after the others have elected it. It will not listen to them.
#[test]
fn who_was_elected_and_votes_for_another_is_not_waited_for() {
    let (looks, follows) = (ServerState::Looking, ServerState::Following);
    for (state, leader, round, leaves) in [
        (looks, 1, 1, true),
        (looks, 1, 0, false),
        (looks, 3, 1, false),
        (follows, 1, 1, true),
        (follows, 1, 0, false),
        (ServerState::Leading, 3, 1, false),
    ] {
        let mut play = Play::looking();
        assert_eq!(play.elects(3), ["dial server 3"]);
        let told = play.step(notified(3, state, leader, round));
        let answers = told.first().is_some_and(|line| line.starts_with("tell 3: following, 3"));
        assert_eq!(answers, state == looks && !leaves, "{told:?}");
        assert_eq!(play.peer.state(), Some(if leaves { looks } else { follows }));
    }
}

/// Two servers have elected each other, and one of them has heard of a better one since: the other,
/// whom it elected, does not wait for it. Somebody else may still come.
#[test]
fn who_has_lost_those_who_elected_it_does_not_wait_for_them() {
    let (looks, follows) = (ServerState::Looking, ServerState::Following);
    for (said, leaves) in [
        (vec![(1, looks, 3, 1)], false),
        (vec![(1, looks, 3, 1), (3, looks, 3, 1)], true),
        (vec![(1, follows, 3, 1), (3, ServerState::Leading, 3, 1)], true),
        (vec![(1, looks, 3, 1), (1, looks, 2, 1), (3, looks, 3, 1)], false),
        (vec![(1, looks, 3, 2), (3, looks, 3, 2)], false),
    ] {
        let mut play = Play::looking();
        play.elects(2);
        for (from, state, leader, round) in said.clone() {
            assert_eq!(play.peer.state(), Some(ServerState::Leading), "{said:?}");
            play.step(notified(from, state, leader, round));
        }
        let state = if leaves { looks } else { ServerState::Leading };
        assert_eq!(play.peer.state(), Some(state), "{said:?}");
    }
}

/// Only those count who gave their vote: of three servers one is enough, and the third was not there.
#[test]
fn who_never_gave_its_vote_is_not_expected() {
    let mut play = Play::looking();
    play.step(Input::Mesh { peer: Sid(1), up: true });
    play.step(notified(1, ServerState::Looking, 2, 1));
    play.now_ms = 200;
    play.step(Input::Tick);
    assert_eq!(play.peer.state(), Some(ServerState::Leading));
    play.step(notified(1, ServerState::Looking, 3, 1));
    assert_eq!(play.peer.state(), Some(ServerState::Looking));
}

/// Whoever has come has promised to follow, or is about to, whatever it said before.
#[test]
fn who_has_come_is_counted_on() {
    let mut play = Play::looking();
    play.elects(2);
    play.step(Input::LinkOpened(OF_LEARNER));
    play.hears(OF_LEARNER, introduction());
    for from in [1, 3] {
        play.step(notified(from, ServerState::Looking, 3, 1));
    }
    assert_eq!(play.peer.state(), Some(ServerState::Leading));
    let mut play = Play::looking();
    play.leads();
    for from in [1, 3] {
        play.step(notified(from, ServerState::Looking, 3, 1));
    }
    assert_eq!(play.peer.state(), Some(ServerState::Leading), "its epoch stands");
}

/// Ids that come one after the other, for as long as the server lives, cost nothing that stays.
#[test]
fn strangers_who_have_left_are_not_remembered() {
    let mut play = Play::looking();
    for up in [true, false] {
        for peer in (1..200).map(Sid) {
            play.step(Input::Mesh { peer, up });
        }
    }
    let member = play.peer.as_member().expect("a member");
    assert_eq!((member.met.len(), member.connected.len()), (3, 0));
}

/// Anybody can claim any id, and a notification may bring half a megabyte: only members' words wait.
#[test]
fn what_strangers_say_between_two_roles_is_not_kept() {
    let mut play = Play::looking();
    play.follows();
    play.proposed(zxid(2, 1));
    play.lost(TO_LEADER);
    let vote = Vote { leader: Sid::NOBODY, zxid: i64::MIN, peer_epoch: i64::MIN };
    for from in (100..200).map(Sid) {
        let (state, config) = (ServerState::Looking, None);
        let notification = Notification { state, vote, round: 1, version: 2, config };
        assert_eq!(play.step(Input::Notified { from, notification }), NOTHING);
    }
    play.persisted(play.asked);
    let told = play.applied(zxid(2, 1));
    looks_again(&told, zxid(2, 1), 2);
    assert_eq!(told.len(), 2, "nobody else is told anything");
}
