//! A packet that no honest learner sends ends its link and nothing else.

use super::*;
use crate::proto::LinkId;
use crate::quorum::effect::LinkEffect;

#[test]
fn what_is_not_expected_ends_the_link_in_words() {
    let cases = [
        (ack_epoch(0, None), "expected FOLLOWERINFO or OBSERVERINFO, got ACKEPOCH"),
        (ack(5), "expected FOLLOWERINFO or OBSERVERINFO, got ACK"),
        (pong(&[]), "expected FOLLOWERINFO or OBSERVERINFO, got PING"),
        (forwarded(1, 1, vec![]), "expected FOLLOWERINFO or OBSERVERINFO, got REQUEST"),
        (
            QuorumPacket::Unknown { packet_type: 99 },
            "expected FOLLOWERINFO or OBSERVERINFO, got a packet of an unknown type",
        ),
        (
            QuorumPacket::UpToDate,
            "expected FOLLOWERINFO or OBSERVERINFO, got a packet that only leaders send",
        ),
    ];
    for (packet, why) in cases {
        let mut play = Play::established(3, 0);
        play.opened(9);
        assert_eq!(play.says(9, packet), [format!("close 9: {why}")]);
        assert_eq!(play.says(9, ack(5)), NOTHING, "what was on its way is nobody's");
        assert_eq!(play.talk_until(20_000, &[2, 3]), NOTHING, "nobody else is disturbed");
    }
}

#[test]
fn a_learner_that_serves_introduces_itself_no_more() {
    let mut play = Play::established(3, 0);
    assert_eq!(
        play.says(2, follower_info(2, 1)),
        ["close 2: expected ACK, PING, REQUEST or REVALIDATE, got FOLLOWERINFO or OBSERVERINFO"]
    );
}

#[test]
fn a_stray_ack_of_what_is_committed_is_ignored() {
    let mut play = Play::established(3, 0);
    play.connect(1, 0);
    play.settle();
    play.says(2, ack(0x1_0000_0001));
    assert_eq!(play.says(3, ack(0x1_0000_0001)), NOTHING, "late");
    assert_eq!(play.says(3, ack(0x1_0000_0001)), NOTHING, "twice");
    assert_eq!(play.says(3, ack(0x0_0000_0009)), NOTHING, "of an older epoch");
    assert_eq!(play.says(3, ack(9 << 32)), NOTHING, "of no transaction");
}

#[test]
fn an_ack_for_nothing_ends_the_link() {
    let mut play = Play::established(3, 0);
    let told = play.says(2, ack(0x1_0000_0001));
    assert_eq!(told, ["close 2: expected no ACK above 0x0, got 0x100000001"]);
}

#[test]
fn an_answer_to_no_ping_ends_the_link() {
    let mut play = Play::established(3, 0);
    let told = play.says(2, pong(&[]));
    assert_eq!(told, ["close 2: expected no PING, for all were answered; got one"]);
}

#[test]
fn who_cannot_be_a_learner_is_refused() {
    let base = info(2, 0);
    let cases = [
        (LearnerInfo { sid: None, ..base.clone() }, "expected a server's id, got none"),
        (
            LearnerInfo { sid: Some(crate::proto::Sid(1)), ..base.clone() },
            "expected another server than server 1, got it",
        ),
        (LearnerInfo { protocol_version: 1, ..base.clone() }, "expected protocol 0x10000, got 0x1"),
        (
            LearnerInfo { accepted_epoch: crate::proto::Epoch(i32::MAX as u32), ..base },
            "expected an epoch of at most 1048576, got 2147483647",
        ),
    ];
    for (info, why) in cases {
        let mut play = Play::over(3, 0, &[]);
        play.opened(2);
        let told = play.says(2, QuorumPacket::FollowerInfo(info));
        assert_eq!(told, [format!("close 2: {why}")]);
    }
}

/// A session's id 0 would be nobody's session.
#[test]
fn no_learner_creates_the_session_of_nobody() {
    let mut play = Play::established(3, 0);
    let told = play.says(2, forwarded(0, -10, vec![0, 0, 16, 0]));
    assert_eq!(told, ["close 2: expected the id of a new session, got none"]);
}

/// An older dial of this server, from when it followed.
#[test]
fn a_link_of_its_own_is_not_kept() {
    let mut play = Play::established(3, 0);
    let mut effects = crate::quorum::effect::Effects::default();
    let now = crate::time::Instant { mono_ms: 0, wall_ms: 0 };
    let mut turn = Turn { now, db: &play.db, member: &mut play.member, effects: &mut effects };
    let leader = play.leader.as_mut().expect("it leads");
    leader.step(&mut turn, Input::LinkOpened(LinkId(3)));
    assert!(
        matches!(effects.links[..], [LinkEffect::Close { link: LinkId(3), .. }]),
        "{effects:?}"
    );
    assert!(leader.learners.get(LinkId(3)).is_none());
}
