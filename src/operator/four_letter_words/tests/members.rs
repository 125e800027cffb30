//! What members of an ensemble answer, compared with what those of Apache ZooKeeper 3.9.5 did.

use super::*;
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumVerifier, ServerState, Sid};
use crate::status::{LearnerStatus, Stage, SyncMode, ZabState};

const CONFIG: &str = "server.1=127.0.0.1:56711:41245:participant\n\
    server.2=127.0.0.1:54063:47103:participant\nserver.3=127.0.0.1:33785:54715:participant\n\
    server.4=127.0.0.1:33149:40019:observer\nversion=0";

fn learner(sid: i64, kind: LearnerType, zab: ZabState) -> LearnerStatus {
    LearnerStatus {
        link: LinkId(LinkId::FIRST_ACCEPTED.0 + sid as u64),
        address: None,
        peer: Some((Sid(sid), kind)),
        votes: kind == LearnerType::Participant,
        zab,
        sync: None,
        is_synced: zab == ZabState::Broadcast,
        queued_bytes: 7,
        silent_ms: 40,
        unacknowledged: None,
        unacknowledged_ms: 0,
    }
}

fn member(sid: i64, state: ServerState, zab: ZabState) -> Sample {
    let status = MemberStatus {
        at_ms: 0,
        sid: Sid(sid),
        stage: Stage { state, zab },
        sync: None,
        leader: Some(Sid(3)),
        accepted_epoch: Epoch(1),
        current_epoch: Epoch(1),
        last_logged: Zxid(0x1_0000_032d),
        last_committed: Zxid(0x1_0000_032d),
        round: 1,
        may_vote: true,
        config: QuorumVerifier::parse(CONFIG.as_bytes()).unwrap().into(),
        local_sessions: 0,
        election_ms: Some(300),
        serving_since_ms: Some(0),
        pending_syncs: 2,
        learners: Vec::new(),
    };
    Sample { member: Some(Arc::new(status)), ..sample() }
}

fn leader() -> Sample {
    let mut sample = member(3, ServerState::Leading, ZabState::Broadcast);
    let mut slow = learner(2, LearnerType::Participant, ZabState::Synchronization);
    slow.sync = Some(SyncMode::Snap);
    let unknown =
        LearnerStatus { peer: None, ..learner(9, LearnerType::Observer, ZabState::Discovery) };
    let status = Arc::get_mut(sample.member.as_mut().unwrap()).unwrap();
    status.learners = vec![
        learner(1, LearnerType::Participant, ZabState::Broadcast),
        slow,
        learner(4, LearnerType::Observer, ZabState::Broadcast),
        unknown,
    ];
    sample
}

/// The part of `mntr` that is about the role: without what every server has.
fn role_of(sample: &Sample) -> Vec<String> {
    let alone = ask(b"mntr", "*");
    let alone: Vec<&str> = alone.lines().map(|line| line.split('\t').next().unwrap()).collect();
    let mntr = ask_of(sample, b"mntr", "*");
    let is_of_role = |line: &&str| {
        let key = line.split('\t').next().unwrap();
        !alone.contains(&key) || key == "zk_server_state"
    };
    mntr.lines().filter(is_of_role).map(str::to_owned).collect()
}

#[test]
fn a_leader_tells_of_its_proposals_last() {
    let told = ask_of(&leader(), b"srvr", "*");
    assert!(
        told.ends_with(
            "Zxid: 0x1f\nMode: leader\nNode count: 5\nProposal sizes last/min/max: 62/48/260\n"
        ),
        "{told}"
    );
    let stat = ask_of(&leader(), b"stat", "*");
    assert!(stat.ends_with(&told[told.find("Latency").unwrap()..]), "{stat}");
}

#[test]
fn followers_and_observers_tell_their_mode() {
    for (state, mode) in
        [(ServerState::Following, "follower"), (ServerState::Observing, "observer")]
    {
        let told = ask_of(&member(1, state, ZabState::Broadcast), b"srvr", "*");
        assert!(told.ends_with(&format!("Mode: {mode}\nNode count: 5\n")), "{told}");
    }
}

#[test]
fn a_leaders_mntr_counts_its_learners() {
    assert_eq!(
        role_of(&leader()),
        [
            "zk_server_state\tleader",
            "zk_peer_state\tleading - broadcast",
            "zk_learners\t4",
            "zk_synced_followers\t1",
            "zk_synced_non_voting_followers\t0",
            "zk_synced_observers\t1",
            "zk_pending_syncs\t2",
            "zk_leader_uptime\t10",
            "zk_last_proposal_size\t62",
            "zk_max_proposal_size\t260",
            "zk_min_proposal_size\t48",
            "zk_quorum_size\t3",
            "zk_1_learner_synced\t1",
            "zk_1_learner_queued_bytes\t7",
            "zk_1_learner_silent_ms\t40",
            "zk_1_learner_unacknowledged_ms\t0",
            "zk_2_learner_synced\t0",
            "zk_2_learner_queued_bytes\t7",
            "zk_2_learner_silent_ms\t40",
            "zk_2_learner_unacknowledged_ms\t0",
            "zk_4_learner_synced\t1",
            "zk_4_learner_queued_bytes\t7",
            "zk_4_learner_silent_ms\t40",
            "zk_4_learner_unacknowledged_ms\t0",
            "zk_1_learner_state\tfollowing - broadcast",
            "zk_2_learner_state\tfollowing - synchronization - snap",
            "zk_4_learner_state\tobserving - broadcast",
        ]
    );
}

#[test]
fn a_learners_mntr_has_its_state_and_the_size_of_the_quorum() {
    let follower = member(1, ServerState::Following, ZabState::Broadcast);
    let expected =
        ["zk_server_state\tfollower", "zk_peer_state\tfollowing - broadcast", "zk_quorum_size\t3"];
    assert_eq!(role_of(&follower), expected);
    let observer = member(4, ServerState::Observing, ZabState::Broadcast);
    let expected = [
        "zk_server_state\tobserver",
        "zk_peer_state\tobserving - broadcast",
        "zk_observer_master_id\t3",
        "zk_quorum_size\t3",
    ];
    assert_eq!(role_of(&observer), expected);
}

/// The lines are those of Apache ZooKeeper, of an observer.
#[test]
fn conf_tells_of_the_ensemble() {
    let observer = member(4, ServerState::Observing, ZabState::Broadcast);
    let told = ask_of(&observer, b"conf", "*");
    let (_, ensemble) = told.split_once("serverId=1\n").unwrap();
    assert_eq!(
        ensemble,
        format!(
            "initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=40019\nquorumPort=33149\n\
             peerType=1\nmembership: \n{CONFIG}"
        )
    );
}

#[test]
fn several_addresses_are_several_ports_each_told_once() {
    let mut sample = member(1, ServerState::Following, ZabState::Broadcast);
    let config = "server.1=10.0.0.1:2888:3888|10.0.1.1:2889:3888:participant\nversion=0";
    let status = Arc::get_mut(sample.member.as_mut().unwrap()).unwrap();
    status.config = QuorumVerifier::parse(config.as_bytes()).unwrap().into();
    let told = ask_of(&sample, b"conf", "*");
    assert!(told.contains("\nelectionPort=3888\nquorumPort=2888|2889\npeerType=0\n"), "{told}");
}

/// C-025: words are answered by a server that does not serve, too.
#[test]
fn a_server_without_a_role_says_only_that() {
    let looking = member(3, ServerState::Looking, ZabState::Election);
    let syncing = member(3, ServerState::Following, ZabState::Synchronization);
    for sample in [looking, syncing] {
        let says_so = "This ZooKeeper instance is not currently serving requests";
        for word in WORDS.iter().filter(|word| **word != TELNET_CLOSE) {
            let told = ask_of(&sample, word, "*");
            match word {
                b"ruok" => assert_eq!(told, "imok"),
                b"isro" => assert_eq!(told, "null"),
                b"gtmk" => assert_eq!(told, "306"),
                b"stmk" => assert_eq!(told, "99"),
                b"envi" => assert!(told.starts_with("Environment:\n"), "{told}"),
                b"hash" => assert_eq!(told, says_so),
                _ => assert_eq!(told, format!("{says_so}\n"), "{word:?}"),
            }
            sample.mask.set(DEFAULT_TRACE_MASK);
        }
        assert_eq!(sample.resets.get(), (0, 0), "nothing was reset");
        let refused = "mntr is not executed because it is not in the whitelist.\n";
        assert_eq!(ask_of(&sample, b"mntr", "srvr"), refused);
    }
}
