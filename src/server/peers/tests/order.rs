//! What is sent arrives in its order.

use super::*;

/// Both ways, and all that a turn sends.
#[test]
fn packets_arrive_in_the_order_in_which_they_were_sent() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    learner.send(DIALLED, (1..1000).map(ack));
    for zxid in 1..1000 {
        assert_eq!(leader.packet(ACCEPTED), ack(zxid));
    }
    let txns = creates(1..400);
    for (txn, zxid) in txns.iter().zip(1..) {
        let txn = bytes::Bytes::copy_from_slice(txn);
        leader.send(ACCEPTED, [QuorumPacket::Proposal { zxid: Zxid(zxid), txn }, commit(zxid)]);
    }
    for (txn, zxid) in txns.iter().zip(1..) {
        let txn = bytes::Bytes::copy_from_slice(txn);
        assert_eq!(learner.packet(DIALLED), QuorumPacket::Proposal { zxid: Zxid(zxid), txn });
        assert_eq!(learner.packet(DIALLED), commit(zxid));
    }
}

/// It was surveyed before; what is sent behind the log waits for it.
#[test]
fn a_stretch_of_the_log_has_its_place() {
    let runtime = runtime();
    let txns = creates(1..=20_000);
    let (mut leader, mut learner) = pair(&runtime, &txns);
    leader.turn([LinkEffect::SurveyLog { link: ACCEPTED, peer: Zxid(5), through: Zxid(20_000) }]);
    match leader.next() {
        Input::LogSurveyed { link: ACCEPTED, survey: Some(survey) } => {
            assert_eq!(survey, LogSurvey { at_or_before: Zxid(5), after: Zxid(6) });
        }
        other => panic!("{other:?}"),
    }
    leader.turn([
        LinkEffect::Send { link: ACCEPTED, packet: QuorumPacket::Diff { zxid: Zxid(9) } },
        LinkEffect::SendLog { link: ACCEPTED, after: Zxid(5), through: Zxid(20_000) },
        LinkEffect::Send { link: ACCEPTED, packet: commit(1) },
    ]);
    leader.send(ACCEPTED, [commit(2)]);
    assert_eq!(learner.packet(DIALLED), QuorumPacket::Diff { zxid: Zxid(9) });
    for zxid in 6..=20_000 {
        let txn = bytes::Bytes::copy_from_slice(&txns[zxid as usize - 1]);
        assert_eq!(learner.packet(DIALLED), QuorumPacket::Proposal { zxid: Zxid(zxid), txn });
        assert_eq!(learner.packet(DIALLED), commit(zxid));
    }
    assert_eq!(learner.packet(DIALLED), commit(1));
    assert_eq!(learner.packet(DIALLED), commit(2));
    learner.send(DIALLED, [ack(1)]);
    assert_eq!(leader.packet(ACCEPTED), ack(1));
    assert!(leader.signs > 0 && learner.signs == 0, "packets are signs enough");
}

/// The place is kept before the tree is there, and the learner has all of it in its spool when it is
/// told.
#[test]
fn a_tree_has_its_place() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &creates(1..=30_000));
    leader.send(ACCEPTED, [QuorumPacket::Sync]);
    leader.peers.snapshot_comes(ACCEPTED);
    leader.send(ACCEPTED, [commit(1)]);
    leader.handle.send_snapshot(ACCEPTED, leader.database.begin_snapshot());
    leader.send(ACCEPTED, [commit(2)]);
    assert_eq!(learner.packet(DIALLED), QuorumPacket::Sync);
    assert_eq!(learner.packet(DIALLED), QuorumPacket::Snap { zxid: Zxid(30_000) });
    assert!(matches!(learner.next(), Input::SnapshotArrived(DIALLED)));
    let spool = learner.home.path("tmp.snapshot.link-0");
    let found = crate::persistence::snapshot::read_snapshot(
        &crate::persistence::RealDisk,
        &spool,
        Zxid(30_000),
        TREE,
        MAX_FIELD,
        &mut |_, _| (),
    );
    let digest = found.unwrap().database.tree.digest();
    assert_eq!(digest, leader.database.read().tree.digest());
    assert!(learner.signs > 0, "it is a sign of life that a tree comes");
    assert_eq!(learner.packet(DIALLED), commit(1));
    assert_eq!(learner.packet(DIALLED), commit(2));
}

/// Whoever was surveyed and is sent the tree all the same needs no old log: a purge may have it while
/// the learner follows.
#[test]
fn a_tree_lets_go_of_the_log() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &creates(1..=100));
    leader.turn([LinkEffect::SurveyLog { link: ACCEPTED, peer: Zxid(200), through: Zxid(100) }]);
    assert!(matches!(leader.next(), Input::LogSurveyed { link: ACCEPTED, .. }));
    assert!(!leader.dir.pins().is_empty());
    leader.turn([LinkEffect::Send { link: ACCEPTED, packet: QuorumPacket::Sync }]);
    leader.peers.snapshot_comes(ACCEPTED);
    leader.handle.send_snapshot(ACCEPTED, leader.database.begin_snapshot());
    assert_eq!(learner.packet(DIALLED), QuorumPacket::Sync);
    assert_eq!(learner.packet(DIALLED), QuorumPacket::Snap { zxid: Zxid(100) });
    assert!(matches!(learner.next(), Input::SnapshotArrived(DIALLED)));
    let until = leader.clock.now().after(Duration::from_secs(20));
    while !leader.dir.pins().is_empty() {
        assert!(leader.clock.now().mono_ms < until, "the log stays pinned");
        std::thread::yield_now();
    }
}
