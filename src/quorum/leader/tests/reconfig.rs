//! Configurations are proposed, agreed on by both, and brought into force.

use super::*;
use crate::proto::requests::ReconfigRequest;
use crate::proto::{AuthInfo, OpCode, QuorumVerifier, Sid};
use crate::quorum::configs::Configs;

const JOINER: &str = "server.4=10.0.0.4:2888:3888:participant;2181";

/// An established leader of servers 1 to 3, with a session that server 2 made; server 4 follows
/// without a vote.
fn with_a_newcomer() -> Play {
    let mut member = member(3, 0);
    member.options.reconfig_enabled = true;
    member.options.prep.reconfig_enabled = true;
    let mut play = Play::of(member, &[]);
    play.establish([2, 3, 4]);
    play.says(2, forwarded(7, OpCode::CreateSession.to_int(), vec![0, 0, 16, 0]));
    play.settle();
    for sid in 2..=4 {
        play.says(sid, ack(0x1_0000_0001));
    }
    assert_eq!(play.member.configs.current.version, 1 << 32, "the first one was established");
    play
}

fn reconfig(joining: Option<&str>, leaving: Option<&str>, cur_config_id: i64) -> QuorumPacket {
    let mut body = Vec::new();
    let (joining, leaving) = (joining.map(str::as_bytes), leaving.map(str::as_bytes));
    ReconfigRequest { joining, leaving, new_members: None, cur_config_id }.write(&mut body);
    let QuorumPacket::Request(mut request) = forwarded(7, OpCode::Reconfig.to_int(), body) else {
        unreachable!("a request was made");
    };
    request.auth = AuthInfo::new([(&b"super"[..], &b""[..])].into_iter());
    QuorumPacket::Request(request)
}

/// The configuration of a never-established ensemble gets a version before anybody acknowledges it.
#[test]
fn the_first_configuration_is_established_with_the_first_epoch() {
    let mut member = member(3, 0);
    member.options.reconfig_enabled = true;
    let mut play = Play::of(member, &[]);
    play.opened(2);
    play.says(2, follower_info(2, 0));
    play.settle();
    assert_eq!(
        play.says(2, ack_epoch(0, Some(0))),
        ["disk: currentEpoch 1, ticket 2", "disk: next configuration 100000000, ticket 3"]
    );
    assert_eq!(play.persisted(2), NOTHING);
    play.persisted(3);
    assert_eq!(
        play.says(2, ack(1 << 32)),
        [
            "disk: configuration 100000000, ticket 4",
            "to 2: UPTODATE",
            "configuration 100000000 is in force",
            "serve",
        ]
    );
}

/// C-269
#[test]
fn a_reconfig_needs_quorums_of_both_configurations() {
    let mut play = with_a_newcomer();
    let ticket = play.ticket;
    assert_eq!(
        play.says(2, reconfig(Some(JOINER), None, -1)),
        [
            format!("disk: next configuration 100000002, ticket {}", ticket + 1),
            format!(
                "disk: append setData /zookeeper/config -1 as 0x100000002, ticket {}",
                ticket + 2
            ),
            "to 2: PROPOSAL 0x100000002".to_owned(),
            "to 3: PROPOSAL 0x100000002".to_owned(),
            "to 4: PROPOSAL 0x100000002".to_owned(),
        ],
        "the configuration is durable before its transaction"
    );
    play.connect(1, 0);
    play.settle();
    assert_eq!(play.says(2, ack(0x1_0000_0002)), NOTHING, "two of three, and of four");
    assert_eq!(
        play.says(4, ack(0x1_0000_0002)),
        [
            format!("disk: configuration 100000002, ticket {}", ticket + 4),
            "to 2: COMMITANDACTIVATE 0x100000002 server 1".to_owned(),
            "to 3: COMMITANDACTIVATE 0x100000002 server 1".to_owned(),
            "to 4: COMMITANDACTIVATE 0x100000002 server 1".to_owned(),
            "commit 0x100000002".to_owned(),
            "configuration 100000002 is in force".to_owned(),
        ]
    );
    assert!(play.member.configs.current.is_voter(Sid(4)));
    play.says(2, ack(0x1_0000_0003));
    let told = play.says(3, ack(0x1_0000_0003));
    assert_eq!(told.last().map(String::as_str), Some("commit 0x100000003"), "as does what follows");
}

/// C-269: whoever joins meanwhile takes the configuration of NEWLEADER for one in force as soon as it
/// is up to date. Told of the one that is only proposed, servers 4 and 5 of it would elect a leader
/// by it alone, while 2 and 3, who never saw it, elect another by the old one.
#[test]
fn who_joins_while_a_configuration_is_proposed_is_told_the_one_in_force() {
    let mut play = with_a_newcomer();
    play.says(2, reconfig(Some(JOINER), None, -1));
    play.opened(14);
    assert_eq!(play.says(14, follower_info(4, 1))[1], "to 14: LEADERINFO 1");
    assert_eq!(
        play.says(14, ack_epoch(0x1_0000_0001, None)),
        ["to 14: DIFF 0x100000001", "to 14: PROPOSAL 0x100000002", "to 14: NEWLEADER 0x100000000"]
    );
    let text = play.told_config.take().expect("NEWLEADER has one");
    let told = QuorumVerifier::parse(&text).expect("a configuration");
    assert_eq!((told.version, told.is_voter(Sid(4))), (1 << 32, false));
    play.says(14, ack(1 << 32));
    play.says(14, ack(0x1_0000_0002));
    play.settle();
    play.says(2, ack(0x1_0000_0002));
    assert_eq!(
        play.member.configs.current.version, 0x1_0000_0002,
        "it has two of three, and of four"
    );
}

/// Servers 2 and 3 are removed, and switched off as soon as that is in force.
#[test]
fn what_was_proposed_behind_a_reconfig_does_not_wait_for_those_it_removes() {
    let mut play = with_a_newcomer();
    play.says(2, reconfig(Some(JOINER), Some("2,3"), -1));
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0002));
    let told = play.says(4, ack(0x1_0000_0002));
    assert!(told.contains(&"configuration 100000002 is in force".to_owned()), "{told:?}");
    let told = play.says(4, ack(0x1_0000_0003));
    assert_eq!(told.last().map(String::as_str), Some("commit 0x100000003"), "{told:?}");
}

/// C-264, in Apache's order.
#[test]
fn what_cannot_be_reconfigured_is_refused_by_a_transaction() {
    let refused = |play: &mut Play, packet| {
        let told = play.says(2, packet);
        let line = told[0].strip_prefix("disk: append error ").expect("an error transaction");
        line.split(' ').next().map(str::to_owned).expect("a code")
    };
    let mut play = with_a_newcomer();
    assert_eq!(refused(&mut play, reconfig(Some(JOINER), None, 5)), "-103");
    assert_eq!(refused(&mut play, reconfig(Some("server.4=x"), None, 1 << 32)), "-8");
    assert_eq!(refused(&mut play, reconfig(None, Some("one"), -1)), "-5");
    assert_eq!(refused(&mut play, reconfig(None, Some("2,3"), -1)), "-8", "one voter is too few");
    let far =
        "server.5=e:1:2;3,server.6=f:1:2;3,server.7=g:1:2;3,server.8=h:1:2;3,server.9=i:1:2;3";
    assert_eq!(refused(&mut play, reconfig(Some(far), None, -1)), "-13");
    let QuorumPacket::Request(mut anybody) = reconfig(Some(JOINER), None, -1) else {
        unreachable!("a request was made");
    };
    anybody.auth = AuthInfo::default();
    assert_eq!(refused(&mut play, QuorumPacket::Request(anybody)), "-102");
    play.says(2, reconfig(Some(JOINER), None, -1));
    assert_eq!(refused(&mut play, reconfig(Some(JOINER), None, 5)), "-14", "one is under way");
    let mut off = Play::established(3, 0);
    off.says(2, forwarded(7, OpCode::CreateSession.to_int(), vec![0, 0, 16, 0]));
    assert_eq!(refused(&mut off, reconfig(Some("x"), None, 5)), "-123");
}

/// Observers that a configuration promotes acknowledge nothing before it is in force.
#[test]
fn an_observer_is_not_in_sync_for_a_new_configuration() {
    let mut play = with_a_newcomer();
    play.opened(5);
    play.says(5, observer_info(5));
    play.says(5, ack_epoch(0x1_0000_0001, Some(0)));
    play.says(5, ack(1 << 32));
    let joiners = "server.5=10.0.0.5:1:2;3,server.6=10.0.0.6:1:2;3,server.7=10.0.0.7:1:2;3";
    let leaving = Some("2");
    // Of 1, 3, 5, 6 and 7 only 1 and 3 count.
    let told = play.says(2, reconfig(Some(joiners), leaving, -1));
    assert!(told[0].starts_with("disk: append error -13"), "{told:?}");
}

/// C-267
#[test]
fn a_leader_that_is_removed_hands_over_to_who_has_the_most() {
    let mut play = with_a_newcomer();
    play.says(2, reconfig(Some(JOINER), Some("1"), -1));
    play.connect(1, 0);
    play.says(3, ack(0x1_0000_0002));
    play.says(3, ack(0x1_0000_0003));
    let told = play.says(2, ack(0x1_0000_0002));
    assert_eq!(told[1], "to 2: COMMITANDACTIVATE 0x100000002 server 3", "{told:?}");
    assert_eq!(play.says(2, ack(0x1_0000_0003)), NOTHING, "nothing more is committed here");
    assert_eq!(play.says(4, ack(0x1_0000_0003)), NOTHING);
    let told = play.settle();
    assert_eq!(
        told,
        [
            "commit 0x100000002",
            "configuration 100000002 is in force",
            "leaves: by a reconfiguration server 3 leads",
            "server 3 leads next",
            "not applied: 0x100000003",
        ]
    );
}

/// C-267: the leader goes as soon as that is in force, and nobody answers its PINGs any more. Whoever
/// was not told who leads from here on would look for that one by an election.
#[test]
fn who_waits_for_a_sync_is_told_of_the_hand_over_too() {
    let mut play = with_a_newcomer();
    play.says(2, forwarded(7, OpCode::Sync.to_int(), vec![]));
    play.says(2, reconfig(Some(JOINER), Some("1"), -1));
    play.says(3, ack(0x1_0000_0002));
    play.settle();
    let told = play.says(2, ack(0x1_0000_0002));
    let of_2: Vec<_> = told.iter().filter(|line| line.starts_with("to 2: ")).collect();
    assert_eq!(of_2, ["to 2: SYNC", "to 2: COMMITANDACTIVATE 0x100000002 server 2"], "{told:?}");
    assert!(told.contains(&"server 2 leads next".to_owned()), "{told:?}");
}

/// Its own client's sync, too, must not keep it from going.
#[test]
fn a_leader_that_hands_over_answers_its_own_syncs_first() {
    let mut play = with_a_newcomer();
    play.connect(1, 0);
    play.settle();
    for sid in 2..=3 {
        play.says(sid, ack(0x1_0000_0002));
    }
    let mut sessions: Vec<_> = play.db.sessions().map(|(session, _)| session.0).collect();
    sessions.retain(|session| *session != 7);
    let own = sessions[0];
    play.ask(own, OpCode::Sync, vec![]);
    play.says(2, reconfig(Some(JOINER), Some("1"), -1));
    play.says(3, ack(0x1_0000_0003));
    let told = play.says(2, ack(0x1_0000_0003));
    assert_eq!(told.last(), Some(&format!("answer sync of {}", own as u64)), "{told:?}");
    let told = play.settle();
    assert!(told.contains(&"server 2 leads next".to_owned()), "{told:?}");
}

/// Mesh, ports and node follow what is in force, even if the own disk never reports its transaction.
#[test]
fn a_leader_that_leaves_tells_what_is_in_force_and_not_applied() {
    let mut play = with_a_newcomer();
    play.says(2, reconfig(Some(JOINER), None, -1));
    for sid in 2..=4 {
        play.says(sid, ack(0x1_0000_0002));
    }
    assert_eq!(play.member.configs.current.version, 0x1_0000_0002);
    assert_eq!(
        play.step(Input::Stop),
        [
            "leaves: leadership released",
            "configuration 100000002 is in force",
            "not applied: 0x100000002",
        ]
    );
}

/// C-270: whoever leads next and has seen it brings it to its end.
#[test]
fn a_configuration_that_was_only_proposed_is_completed_by_who_saw_it() {
    let mut member = member(3, 0);
    member.options.reconfig_enabled = true;
    let mut next = ensemble(5, 0);
    next.version = 0x1_0000_0007;
    member.configs = Configs { current: member.configs.current, last_seen: next.into() };
    let mut play = Play::of(member, &[]);
    for sid in 2..=4 {
        play.opened(sid);
    }
    assert_eq!(play.says(2, follower_info(2, 1)), NOTHING, "two of three, and of five");
    assert_eq!(play.says(4, follower_info(4, 1)), ["disk: acceptedEpoch 2, ticket 1"]);
    play.settle();
    play.says(2, ack_epoch(0, Some(0)));
    assert_eq!(play.says(4, ack_epoch(0, Some(0))), ["disk: currentEpoch 2, ticket 2"]);
    play.settle();
    assert_eq!(play.says(2, ack(2 << 32)), NOTHING);
    let told = play.says(4, ack(2 << 32));
    assert_eq!(told[0], "disk: configuration 100000007, ticket 3");
    assert_eq!(play.member.configs.current.version, 0x1_0000_0007);
}

#[test]
fn who_completes_a_configuration_without_itself_leaves() {
    let mut member = member(3, 0);
    member.options.reconfig_enabled = true;
    let mut next = ensemble(4, 0);
    next.version = 0x1_0000_0007;
    next.members.remove(&Sid(1));
    member.configs = Configs { current: member.configs.current, last_seen: next.into() };
    let mut play = Play::of(member, &[]);
    for sid in 2..=4 {
        play.opened(sid);
        play.says(sid, follower_info(sid, 1));
    }
    play.settle();
    for sid in 2..=4 {
        play.says(sid, ack_epoch(0, Some(0)));
    }
    play.settle();
    play.says(2, ack(2 << 32));
    assert_eq!(
        play.says(3, ack(2 << 32)),
        [
            "disk: configuration 100000007, ticket 3",
            "to 2: UPTODATE",
            "to 3: UPTODATE",
            "configuration 100000007 is in force",
            "leaves: this server has no vote in the configuration in force",
        ]
    );
}
