//! A newer configuration that comes with a notification.

use bytes::Bytes;

use super::*;
use crate::quorum::testing::server;

/// Voters 1 to `voters`, of version `0x100000005`.
fn newer(voters: i64) -> QuorumVerifier {
    QuorumVerifier { version: 0x1_0000_0005, ..ensemble(voters, 0) }
}

fn is_in_force(play: &mut Play, sid: i64) -> i64 {
    play.member(sid).configs.current.version
}

/// Servers 1 and 2 are a quorum of the three they knew. Server 2 has been told of five, and so is 1
/// now; with 3 they are a quorum again.
#[test]
fn a_newer_configuration_is_adopted_and_begins_a_new_round() {
    let mut play = Play::of(3);
    play.member(2).configs = Configs::new(newer(5).into());
    play.start(&[1, 2]);
    play.pass(10_000);
    let told = play.told();
    let adopted =
        ["1: disk: configuration 0x100000005", "1: configuration 0x100000005 is in force"];
    let found = told.iter().filter(|line| line.contains("configuration"));
    assert_eq!(found.collect::<Vec<_>>(), adopted, "{told:?}");
    assert_eq!(play.roles(), ["1 looking", "2 looking"]);
    assert_eq!(play.member(1).round, 2);
    play.start(&[3]);
    // Of the two others of the five nobody has heard yet.
    play.pass(200);
    assert_eq!(play.roles(), ["1 following 3", "2 following 3", "3 leading"]);
    assert_eq!(is_in_force(&mut play, 3), 0x1_0000_0005);
}

/// The first leader of an ensemble gives its configuration a version.
#[test]
fn another_version_of_the_same_members_begins_no_new_round() {
    let mut play = Play::of(3);
    play.member(2).configs = Configs::new(newer(3).into());
    play.start(&[1, 2]);
    play.pass(0);
    assert_eq!(play.roles(), ["1 following 2", "2 leading"]);
    assert_eq!((play.member(1).round, is_in_force(&mut play, 1)), (1, 0x1_0000_0005));
}

/// Server 3 was removed while it was away: it gives no vote any more, and finds the leader.
#[test]
fn who_has_been_removed_does_not_vote_any_more() {
    let mut play = Play::of(3);
    play.has(3, 1, 0x1_0000_0009);
    let mut config = newer(2);
    config.members.insert(Sid(3), server(3, LearnerType::Observer));
    play.member(2).configs = Configs::new(config.into());
    play.start(&[1, 2, 3]);
    play.pass(0);
    play.establish(1);
    play.pass(2_000);
    assert_eq!(play.roles(), ["1 following 2", "2 leading", "3 observing 2"]);
}

/// Established servers learn of configurations from their leader alone; an older configuration is
/// no news; with reconfigurations switched off the files decide; and a text that is none leaves the
/// vote what it is.
#[test]
fn a_configuration_is_not_always_adopted() {
    let n = |config: &str| {
        let config = Some(Bytes::copy_from_slice(config.as_bytes()));
        Notification { config, ..looking(vote(2, 0, 0), 1) }
    };
    let mut play = Play::of(5);
    play.start(&[1]);
    play.take(2, 1, n("server.2=10.0.0.2:2888:3888:participant\nversion=0"));
    play.member(1).options.reconfig_enabled = false;
    play.take(2, 1, n(&newer(3).to_text()));
    play.member(1).options.reconfig_enabled = true;
    assert_eq!((is_in_force(&mut play, 1), play.roles()), (0, vec!["1 looking".to_owned()]));
    play.take(3, 1, n("version=9"));
    assert_eq!(play.roles(), ["1 following 2"]);
    play.take(2, 1, n(&newer(5).to_text()));
    assert_eq!(is_in_force(&mut play, 1), 0);

    for text in ["", "version=9", "server.1=x\nversion=9", "\0", "server.2=a:1:2\nversion=z"] {
        let mut play = Play::of(3);
        play.start(&[1]);
        play.take(2, 1, n(text));
        play.pass(200);
        assert_eq!((play.roles(), is_in_force(&mut play, 1)), (vec!["1 following 2".into()], 0));
    }
}
