//! What is counted of a role, and when.

use bytes::Bytes;

use super::*;
use crate::metrics::{Digest, Value};
use crate::proto::membership::LearnerType;
use crate::proto::txns::TxnHeader;
use crate::proto::{Epoch, LinkId, QuorumPacket, QuorumVerifier, SessionId, Zxid};
use crate::status::LearnerStatus;

fn at(wall_ms: i64) -> Instant {
    Instant { mono_ms: 1000, wall_ms }
}

fn stage(state: ServerState, zab: ZabState) -> Stage {
    Stage { state, zab }
}

/// A transaction that the leader made at `time`.
fn txn(zxid: Zxid, time: i64) -> Bytes {
    let mut txn = Vec::new();
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time, txn_type: 5 };
    header.write(&mut txn);
    txn.into()
}

fn append(ticket: u64, zxid: Zxid, time: i64) -> DiskEffect {
    DiskEffect::Append { ticket: Ticket(ticket), zxid, txn: txn(zxid, time) }
}

fn summary(metrics: &Metrics, name: &str, key: Option<&str>) -> Digest {
    let of = |sample: &&crate::metrics::Sample| sample.name == name && sample.key.as_deref() == key;
    match metrics.samples().iter().find(of).expect(name).value {
        Value::Digest(digest) => digest,
        _ => panic!("{name} is no summary"),
    }
}

const LEADS: Stage = Stage { state: ServerState::Leading, zab: ZabState::Broadcast };
const FOLLOWS: Stage = Stage { state: ServerState::Following, zab: ZabState::Broadcast };
const OBSERVES: Stage = Stage { state: ServerState::Observing, zab: ZabState::Broadcast };

#[test]
fn a_leader_counts_proposals_their_commits_and_each_thousandth_acknowledgement() {
    let metrics = Arc::new(Metrics::new(0));
    let mut traffic = Traffic::new(metrics.clone());
    let (first, second) = (Zxid(1999), Zxid(2000));
    traffic.logged(LEADS, &[append(1, first, 100), append(2, second, 110)]);
    assert_eq!((metrics.proposal_count.get(), metrics.proposal_bytes.last()), (2, 32));
    traffic.durable(LEADS, Sid(7), Ticket(2), at(130));
    assert_eq!(summary(&metrics, "proposal_ack_creation_latency", None).sum, 30 + 20);
    let ack = summary(&metrics, "ack_latency", Some("7"));
    assert_eq!((ack.count, ack.sum), (1, 20), "of 2000, not of 1999");
    traffic.committed(LEADS, first, at(140));
    assert_eq!(metrics.commit_count.get(), 1);
    traffic.committed(LEADS, second, at(150));
    assert_eq!(metrics.commit_count.get(), 2);
    let quorum = summary(&metrics, "quorum_ack_latency", None);
    assert_eq!((quorum.count, quorum.sum), (2, 40 + 40));
}

#[test]
fn a_learner_counts_what_comes_since_it_serves() {
    for (serves, state) in [(FOLLOWS, "follower"), (OBSERVES, "observer")] {
        let metrics = Arc::new(Metrics::new(0));
        let mut traffic = Traffic::new(metrics.clone());
        let zxid = Zxid(5);
        let (proposal, commit) =
            (QuorumPacket::Proposal { zxid, txn: txn(zxid, 100) }, QuorumPacket::Commit { zxid });
        let syncs = stage(serves.state, ZabState::Synchronization);
        traffic.arrives(syncs, LinkId(0), &proposal, at(110));
        traffic.arrives(syncs, LinkId(0), &commit, at(110));
        assert_eq!(
            metrics.learner_commit_received_count.get(),
            0,
            "{state}: a sync is no broadcast"
        );
        if serves == FOLLOWS {
            traffic.arrives(serves, LinkId(0), &proposal, at(110));
            traffic.logged(serves, &[append(1, zxid, 100)]);
            traffic.durable(serves, Sid(1), Ticket(1), at(115));
            traffic.arrives(serves, LinkId(0), &commit, at(120));
            assert_eq!(metrics.learner_proposal_received_count.get(), 1);
            assert_eq!(summary(&metrics, "proposal_latency", None).sum, 10);
            assert_eq!(summary(&metrics, "proposal_ack_creation_latency", None).sum, 15);
        } else {
            let inform = QuorumPacket::Inform { zxid, txn: txn(zxid, 100) };
            traffic.arrives(serves, LinkId(0), &inform, at(120));
            traffic.logged(serves, &[append(1, zxid, 100)]);
            traffic.durable(serves, Sid(1), Ticket(1), at(125));
            assert_eq!(summary(&metrics, "proposal_ack_creation_latency", None).count, 0);
        }
        assert_eq!(metrics.learner_commit_received_count.get(), 1, "{state}");
        assert_eq!(summary(&metrics, "commit_propagation_latency", None).sum, 20, "{state}");
    }
}

#[test]
fn syncs_are_counted_by_what_is_sent_and_are_in_flight_until_the_acknowledgement() {
    let metrics = Arc::new(Metrics::new(0));
    let mut traffic = Traffic::new(metrics.clone());
    let (first, second) = (LinkId::FIRST_ACCEPTED, LinkId(LinkId::FIRST_ACCEPTED.0 + 1));
    let diff = QuorumPacket::Diff { zxid: Zxid(9) };
    let snap = ClientEffect::SendSnapshot { link: second, zxid: Zxid(9) };
    traffic.sent(&[LinkEffect::Send { link: first, packet: diff }], &[snap]);
    assert_eq!((metrics.diff_count.get(), metrics.snap_count.get()), (1, 1));
    let ack = QuorumPacket::Ack { zxid: Zxid(9) };
    traffic.arrives(LEADS, first, &ack, at(0));
    traffic.closed(second);
    for name in ["inflight_diff_count", "inflight_snap_count"] {
        let inflight = summary(&metrics, name, None);
        assert_eq!((inflight.count, inflight.sum, inflight.min), (2, 1, 0), "{name}");
    }
}

#[test]
fn packets_are_counted_by_link() {
    let metrics = Arc::new(Metrics::new(0));
    let mut traffic = Traffic::new(metrics.clone());
    let link = |n: i64| LinkId(LinkId::FIRST_ACCEPTED.0 + n as u64);
    let mut status = status(LEADS);
    status.learners = [1, 2, 3].map(|n| learner(link(n), Sid(n))).into();
    traffic.tell(&mut status);
    let sent = |n| {
        let packet = QuorumPacket::Commit { zxid: Zxid(1) };
        LinkEffect::Send { link: link(n), packet }
    };
    traffic.sent(&[1, 2, 3, 1, 2, 3, 3, 1].map(sent), &[]);
    traffic.sent(&[3, 1].map(sent), &[]);
    let size = |sid| summary(&metrics, "learner_handler_qp_size", Some(sid));
    let told = ["1", "2", "3"].map(|sid| (size(sid).count, size(sid).sum, size(sid).max));
    assert_eq!(told, [(2, 4, 3), (1, 2, 2), (2, 4, 3)]);
}

#[test]
fn a_role_has_its_times() {
    let metrics = Arc::new(Metrics::new(0));
    let looks = stage(ServerState::Looking, ZabState::Election);
    let mut watch = watch(metrics.clone(), looks);
    let follow = |zab| stage(ServerState::Following, zab);
    watch.changes(looks, follow(ZabState::Discovery), 1300);
    watch.changes(follow(ZabState::Discovery), follow(ZabState::Synchronization), 1350);
    watch.changes(follow(ZabState::Synchronization), FOLLOWS, 1400);
    let sum = |name| summary(&metrics, name, None).sum;
    assert_eq!((sum("election_time"), sum("follower_sync_time")), (300, 50));
    assert_eq!((sum("unavailable_time"), sum("leader_unavailable_time")), (400, 0));
    assert_eq!(watch.times.serves_since, Some(1400));
    watch.changes(FOLLOWS, looks, 2000);
    assert_eq!((metrics.looking_count.get(), watch.times.serves_since), (1, None));
    metrics.proposed(48, 1);
    watch.changes(looks, LEADS, 2100);
    assert_eq!((sum("election_time"), sum("leader_unavailable_time")), (400, 100));
    assert_eq!(metrics.proposal_bytes.last(), -1, "a leader's sizes are its own");
    assert_eq!(watch.times.election_ms, Some(100));
}

#[test]
fn a_change_is_published_at_once_and_age_from_time_to_time() {
    let mut watch = watch(Arc::new(Metrics::new(0)), LEADS);
    assert!(watch.is_due(7, 1000), "for the first time");
    assert!(!watch.is_due(7, 1001));
    assert!(watch.is_due(8, 1001), "another mark");
    assert!(!watch.is_due(8, 1000 + PERIOD_MS - 1));
    assert!(watch.is_due(8, 1000 + PERIOD_MS));
    let answers = (0..2 * ANSWERS_PER_PERIOD).filter(|_| {
        watch.answered = true;
        watch.is_due(8, 1001 + PERIOD_MS)
    });
    assert_eq!(answers.count(), ANSWERS_PER_PERIOD as usize, "answers to PINGs, but not all");
    assert!(watch.is_due(8, 1000 + 2 * PERIOD_MS));
    watch.answered = true;
    assert!(watch.is_due(8, 1001 + 2 * PERIOD_MS), "they are counted anew");
}

fn watch(metrics: Arc<Metrics>, stage: Stage) -> RoleWatch {
    RoleWatch::with(status(stage), metrics)
}

fn learner(link: LinkId, sid: Sid) -> LearnerStatus {
    LearnerStatus {
        link,
        address: None,
        peer: Some((sid, LearnerType::Participant)),
        votes: true,
        zab: ZabState::Broadcast,
        sync: None,
        is_synced: true,
        queued_bytes: 0,
        silent_ms: 0,
        unacknowledged: None,
        unacknowledged_ms: 0,
    }
}

fn status(stage: Stage) -> MemberStatus {
    let members = Default::default();
    MemberStatus {
        at_ms: 1000,
        sid: Sid(1),
        stage,
        sync: None,
        leader: None,
        accepted_epoch: Epoch(1),
        current_epoch: Epoch(1),
        last_logged: Zxid(0),
        last_committed: Zxid(0),
        round: 1,
        may_vote: true,
        config: Arc::new(QuorumVerifier { members, version: 0, hierarchy: None }),
        local_sessions: 0,
        election_ms: None,
        serving_since_ms: None,
        pending_syncs: 0,
        learners: Vec::new(),
    }
}
