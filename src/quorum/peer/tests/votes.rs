//! Who may follow with a vote, and lead: whoever has on its disk what its vote stands for.

use super::*;

const NOW: Instant = Instant { mono_ms: 0, wall_ms: 0 };

/// Server 1 of three, which had no vote, and followed without a log.
fn without_a_log() -> Member {
    let mut member = member(1, &ensemble(3, 0));
    (member.unlogged, member.last_logged) = (true, zxid(1, 9));
    member
}

fn elected(vote: Vote) -> Elected {
    Elected { vote, round: 1, backers: [1, 2, 3].map(Sid).into() }
}

/// An observer with `syncEnabled=false` is given a vote: what it had only in memory is nothing that
/// it may vote with, and no log could go on behind it.
#[test]
fn who_gets_a_vote_goes_back_to_what_its_disk_has() {
    let (mut peer, db) = (QuorumPeer::member(without_a_log()), Database::new(tree_options()));
    let mut effects = Effects::default();
    peer.step(NOW, Input::Tick, &db, &mut effects);
    assert!(matches!(effects.client[..], [ClientEffect::Reload]), "{effects:?}");
    assert!(effects.links.is_empty(), "it votes for nobody yet: {effects:?}");
    let restored = Restored { last_zxid: Zxid::ZERO, recent: Vec::new() };
    peer.step(NOW, Input::Reloaded(restored), &db, &mut effects);
    assert!(!effects.links.is_empty(), "now it does");
    assert_eq!(peer.as_member().map(|member| member.last_logged), Some(Zxid::ZERO));
}

/// Its configuration came by a notification, in the middle of an election.
#[test]
fn nobody_follows_with_a_vote_and_without_a_log() {
    for leader in [Sid(1), Sid(2)] {
        let (mut member, mut effects) = (without_a_log(), Effects::default());
        let db = Database::new(tree_options());
        let mut turn = Turn { now: NOW, db: &db, member: &mut member, effects: &mut effects };
        let mut role = Role::Leaving(Box::default());
        let vote = Vote { leader, zxid: 0, peer_epoch: 0 };
        begin(&mut turn, &mut role, elected(vote));
        assert!(matches!(role, Role::Leaving(_)), "{role:?}");
        assert!(matches!(effects.client[..], [ClientEffect::Reload]), "{effects:?}");
    }
}

/// Apache's leader may count what a server acknowledged before it lost that.
#[test]
fn a_server_that_may_have_forgotten_leads_nobody_by_designation() {
    let (mut member, mut effects) = (member(1, &ensemble(3, 0)), Effects::default());
    member.may_vote = false;
    let db = Database::new(tree_options());
    let mut turn = Turn { now: NOW, db: &db, member: &mut member, effects: &mut effects };
    let mut role = Role::Leaving(Box::default());
    let vote = Vote { leader: Sid(1), zxid: 7, peer_epoch: 1 };
    look(&mut turn, &mut role, Some(vote), BTreeMap::new());
    assert!(matches!(role, Role::Looking(_)), "{role:?}");
}

/// `observer.election.DelayMs` and `observer.reconnectDelayMs`: not all observers come back at once.
#[test]
fn an_observer_that_lost_its_leader_waits_before_it_looks_again() {
    let waits_ms = |me: i64, election_ms: u64, reconnect_ms: u64| {
        let (mut member, mut effects) = (member(me, &ensemble(3, 1)), Effects::default());
        member.options.observer_election_delay_ms = election_ms;
        member.options.observer_reconnect_delay_ms = reconnect_ms;
        let db = Database::new(tree_options());
        let mut turn = Turn { now: NOW, db: &db, member: &mut member, effects: &mut effects };
        let mut role = Role::Leaving(Box::default());
        let vote = Vote { leader: Sid(1), zxid: 0, peer_epoch: 0 };
        begin(&mut turn, &mut role, elected(vote));
        leave(&mut turn, &mut role, "the link ended", None);
        match role {
            Role::Leaving(leaving) => leaving.not_before,
            other => panic!("it left and is {other:?}"),
        }
    };
    assert_eq!(waits_ms(4, 0, 0), 0);
    assert!(waits_ms(4, 100, 0) < 100);
    let both = waits_ms(4, 100, 1_000_000);
    assert!((100..1_000_100).contains(&both), "{both}");
    assert_eq!(waits_ms(2, 100, 1_000_000), 0, "a follower is needed");
}
