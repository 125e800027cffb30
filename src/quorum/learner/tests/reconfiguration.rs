//! Plays of reconfigurations: what is durable before what, and who leaves.

use bytes::Bytes;

use super::super::testing::*;
use crate::proto::membership::LearnerType;
use crate::proto::txns::Txn;
use crate::proto::{OpCode, QuorumPacket, QuorumVerifier, Sid, Zxid};

/// The ensemble with observer 4 made a participant, as of `zxid`.
fn with_a_fourth_voter(play: &Play, zxid: Zxid) -> QuorumVerifier {
    let mut config = QuorumVerifier::clone(&play.member.configs.current);
    config.version = zxid.to_long();
    config.members.get_mut(&Sid(4)).expect("it is listed").learner_type = LearnerType::Participant;
    config
}

fn new_leader_with(config: &QuorumVerifier) -> QuorumPacket {
    let text = Some(config.to_text().into());
    QuorumPacket::NewLeader { zxid: zxid(5, 0), config: text }
}

fn reconfig(zxid: Zxid, config: &QuorumVerifier) -> Bytes {
    let text = config.to_text();
    let (path, data) = (&b"/zookeeper/config"[..], Some(text.as_bytes()));
    txn(zxid, 0, 0, OpCode::Reconfig.to_int(), &Txn::SetData { path, data, version: 1 })
}

/// A follower to which the reconfiguration 0x500000001 was proposed.
fn proposed() -> (Play, Vec<String>) {
    let mut play = Play::follower();
    play.joins();
    let zxid = zxid(5, 1);
    let txn = reconfig(zxid, &with_a_fourth_voter(&play, zxid));
    let told = play.hears(QuorumPacket::Proposal { zxid, txn });
    (play, told)
}

fn activate(designated: i64) -> QuorumPacket {
    QuorumPacket::CommitAndActivate { zxid: zxid(5, 1), designated: Sid(designated) }
}

/// C-269: an ACK of the proposal counts for a quorum of the new members, so they must not be
/// forgotten.
#[test]
fn a_proposed_configuration_is_durable_before_its_proposal_is_acknowledged() {
    let (mut play, told) = proposed();
    let expected = [
        "disk: next configuration 0x500000001",
        "disk: append setData /zookeeper/config 1 as 0x500000001",
    ];
    assert_eq!(told, expected);
    assert_eq!(play.member.configs.last_seen.version, 0x5_0000_0001);
    assert_eq!(play.persisted(), ["send ACK 0x500000001"]);
    let told = [
        "disk: configuration 0x500000001",
        "commit 0x500000001",
        "configuration 0x500000001 is in force",
    ];
    assert_eq!(play.hears(activate(1)), told);
}

/// C-267: a new leader is designated, and needs no election.
#[test]
fn a_designated_leader_is_followed_without_an_election() {
    let (mut play, _) = proposed();
    play.persisted();
    let told = play.hears(activate(3));
    assert_eq!(told.last().unwrap(), "leaves for server 3: server 3 leads from here on");
    assert_eq!(play.member.configs.current.version, 0x5_0000_0001);
}

#[test]
fn a_designated_leader_without_a_vote_is_refused() {
    let (mut play, _) = proposed();
    let told = play.hears(activate(9));
    assert_eq!(told[1], "leaves: expected a voter to lead next, got server 9");
    assert_eq!(play.member.configs.current.version, 0);
    assert_eq!(play.unapplied, [zxid(5, 1)]);
}

/// C-266
#[test]
fn an_observer_that_is_given_a_vote_joins_again() {
    let mut play = Play::observer();
    play.joins();
    let zxid = zxid(5, 1);
    let txn = reconfig(zxid, &with_a_fourth_voter(&play, zxid));
    let told = play.hears(QuorumPacket::InformAndActivate { zxid, designated: Sid(1), txn });
    let expected = [
        "disk: append setData /zookeeper/config 1 as 0x500000001",
        "disk: configuration 0x500000001",
        "close link 0: the leader is left: this server is a participant from here on",
        "configuration 0x500000001 is in force",
        "leaves: this server is a participant from here on",
    ];
    assert_eq!(told, expected);
    assert_eq!(play.unapplied, [zxid]);
}

/// C-266: the other way to a vote, for when the new members' quorum needs this very server. As an
/// observer it would not be counted.
#[test]
fn an_observer_that_is_removed_comes_back_as_a_follower_without_a_vote() {
    let mut play = Play::observer();
    play.joins();
    let zxid = zxid(5, 1);
    let mut config = QuorumVerifier::clone(&play.member.configs.current);
    config.members.remove(&Sid(4));
    config.version = zxid.to_long();
    let txn = reconfig(zxid, &config);
    let told = play.hears(QuorumPacket::InformAndActivate { zxid, designated: Sid(1), txn });
    let words = "leaves: this server is a follower without a vote from here on";
    assert_eq!(told.last().unwrap(), words);
    assert_eq!(play.unapplied, [zxid]);
    assert_eq!(play.member.learner_type(), LearnerType::Participant);
}

#[test]
fn a_configuration_that_cannot_be_read_never_reaches_the_log() {
    let mut play = Play::follower();
    play.joins();
    let zxid = zxid(5, 1);
    let other = with_a_fourth_voter(&play, Zxid(7));
    let told = play.hears(QuorumPacket::Proposal { zxid, txn: reconfig(zxid, &other) });
    let words = "leaves: expected a configuration of version 0x500000001, got 0x7";
    assert_eq!(told[1], words);
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid });
    let config = Some(Bytes::from_static(b"server.1=nonsense"));
    let told = play.hears(QuorumPacket::NewLeader { zxid: Zxid(5 << 32), config });
    assert!(told[1].starts_with("leaves: expected a configuration, got text: "), "{told:?}");
}

/// C-217, C-269: the configuration is one of the things that NEWLEADER's ACK promises; in force it
/// is when the leader is established.
#[test]
fn the_configuration_of_newleader_is_durable_before_its_ack_and_in_force_with_uptodate() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(5, 0) });
    let config = with_a_fourth_voter(&play, zxid(4, 7));
    let told = play.hears(new_leader_with(&config));
    assert_eq!(told, ["disk: next configuration 0x400000007", "disk: currentEpoch 5"]);
    assert_eq!(play.persisted(), ["send ACK 0x500000000"]);
    assert_eq!(play.member.configs.current.version, 0);
    let told = [
        "disk: configuration 0x400000007",
        "send ACK 0x500000000",
        "configuration 0x400000007 is in force",
        "serve",
    ];
    assert_eq!(play.hears(QuorumPacket::UpToDate), told);
}

/// C-270: this server saw one proposed that its leader, and so a quorum, never did.
#[test]
fn a_configuration_that_no_quorum_saw_is_dropped_with_uptodate_and_not_before() {
    let mut play = Play::follower();
    let current = QuorumVerifier::clone(&play.member.configs.current);
    play.member.configs.last_seen = with_a_fourth_voter(&play, zxid(4, 9)).into();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(5, 0) });
    assert_eq!(play.hears(new_leader_with(&current)), ["disk: currentEpoch 5"]);
    play.persisted();
    assert_eq!(play.member.configs.last_seen.version, zxid(4, 9).to_long());
    let told = play.hears(QuorumPacket::UpToDate);
    assert_eq!(told[0], "disk: configuration 0x0");
    assert_eq!(play.member.configs.last_seen.version, 0);
}

/// C-269: a leader may send what it saw proposed last, though nobody has agreed to it yet.
#[test]
fn a_configuration_whose_transaction_is_not_committed_is_not_in_force_with_uptodate() {
    let mut play = Play::follower();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(4, 2) });
    let zxid = zxid(5, 1);
    let config = with_a_fourth_voter(&play, zxid);
    play.hears(QuorumPacket::Proposal { zxid, txn: reconfig(zxid, &config) });
    play.hears(new_leader_with(&config));
    play.persisted();
    assert_eq!(
        play.hears(QuorumPacket::UpToDate),
        [
            "disk: append setData /zookeeper/config 1 as 0x500000001",
            "send ACK 0x500000000",
            "serve",
        ]
    );
    let configs = &play.member.configs;
    assert_eq!((configs.current.version, configs.last_seen.version), (0, zxid.to_long()));
    assert_eq!(play.persisted(), ["send ACK 0x500000001"]);
    assert_eq!(play.hears(activate(1))[0], "disk: configuration 0x500000001");
    assert_eq!(play.member.configs.current.version, zxid.to_long());
}

/// C-269: an observer is not told of what is only proposed, but with NEWLEADER of an Apache leader.
#[test]
fn an_observer_takes_no_configuration_before_its_transaction() {
    let mut play = Play::observer();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(4, 2) });
    let zxid = zxid(5, 1);
    let mut config = QuorumVerifier::clone(&play.member.configs.current);
    config.version = zxid.to_long();
    config.members.remove(&Sid(3));
    play.hears(new_leader_with(&config));
    play.persisted();
    assert_eq!(play.hears(QuorumPacket::UpToDate), ["send ACK 0x500000000", "serve"]);
    assert_eq!(play.member.configs.current.version, 0);
    let txn = reconfig(zxid, &config);
    play.hears(QuorumPacket::InformAndActivate { zxid, designated: Sid(1), txn });
    assert_eq!(play.member.configs.current.version, zxid.to_long());
}

/// One that its leader proposed and that was committed before NEWLEADER, or that is as old as the
/// epoch, is in force.
#[test]
fn a_configuration_that_is_in_the_history_is_in_force_with_uptodate() {
    let mut play = Play::observer();
    play.discovers();
    play.hears(QuorumPacket::Diff { zxid: zxid(4, 2) });
    let version = zxid(5, 0);
    let mut config = QuorumVerifier::clone(&play.member.configs.current);
    config.version = version.to_long();
    play.hears(new_leader_with(&config));
    play.persisted();
    play.hears(QuorumPacket::UpToDate);
    assert_eq!(play.member.configs.current.version, version.to_long());
}

/// With `reconfigEnabled=false` the file says who the members are.
#[test]
fn nobody_is_reconfigured_where_that_is_switched_off() {
    let mut play = Play::of(2, LearnerType::Participant, |member| {
        member.options.reconfig_enabled = false;
    });
    play.joins();
    let zxid = zxid(5, 1);
    let txn = reconfig(zxid, &with_a_fourth_voter(&play, zxid));
    let told = play.hears(QuorumPacket::Proposal { zxid, txn });
    assert_eq!(told, ["disk: append setData /zookeeper/config 1 as 0x500000001"]);
    play.persisted();
    assert_eq!(play.hears(activate(1)), ["commit 0x500000001"]);
}
