//! Where members listen, who they are, and the keys for members and their links, in real processes.

use std::net::TcpListener;

use crate::cluster::Ensemble;
use crate::common::eventually;
use crate::common::flag;
use crate::crowd::Crowd;
use crate::roads::Id;

/// They form an ensemble, lose their leader, and lose nothing.
fn lives_through_a_change_of_leader(mut ensemble: Ensemble, seed: u64) {
    ensemble.members.values_mut().for_each(|member| member.start());
    let leader = ensemble.leader();
    let mut crowd = Crowd::start(&ensemble, 4, seed);
    crowd.goes_on(20);
    crowd.fault(format!("kill -9 of the leader {leader}"));
    ensemble.member(leader).kill();
    ensemble.leader();
    crowd.goes_on(20);
    ensemble.member(leader).start();
    ensemble.leader();
    crowd.goes_on(20);
    crowd.judge(&mut ensemble);
}

/// Each member's own line, made of its ports for learners and for elections.
fn set_own_lines(ensemble: &mut Ensemble, line: impl Fn(u16, u16) -> String) {
    for id in [1, 2, 3] {
        let (quorum, election) = own_ports(ensemble, id);
        ensemble.member(id).set(&format!("server.{id}"), &line(quorum, election));
    }
}

/// The ports in a member's own line: for learners, and for elections.
fn own_ports(ensemble: &Ensemble, id: Id) -> (u16, u16) {
    let [election, quorum] = ensemble.members[&id].peer_addresses();
    (quorum.port(), election.port())
}

/// Names that must be looked up, for the other servers and for clients.
#[test]
fn members_listen_at_names() {
    let mut ensemble = Ensemble::new(3, 0, &[("clientPortAddress", "localhost")]);
    set_own_lines(&mut ensemble, |quorum, election| format!("localhost:{quorum}:{election}"));
    lives_through_a_change_of_leader(ensemble, 70);
}

/// Several addresses of a server mostly have the same ports; everywhere is one place.
#[test]
fn several_addresses_are_listened_on_everywhere() {
    let settings = [("multiAddress.enabled", "true"), ("quorumListenOnAllIPs", "true")];
    let mut ensemble = Ensemble::new(3, 0, &settings);
    set_own_lines(&mut ensemble, |quorum, election| {
        format!("127.0.0.1:{quorum}:{election}|127.0.0.2:{quorum}:{election}")
    });
    lives_through_a_change_of_leader(ensemble, 71);
}

/// Without roads: those are of the other family.
#[test]
fn members_talk_over_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let mut ensemble = Ensemble::new(3, 0, &[]);
    for other in [1, 2, 3] {
        let (quorum, election) = own_ports(&ensemble, other);
        let line = format!("[::1]:{quorum}:{election}");
        for id in [1, 2, 3] {
            ensemble.member(id).set(&format!("server.{other}"), &line);
        }
    }
    lives_through_a_change_of_leader(ensemble, 72);
}

/// Every key for members and their links at another value than its default, with an observer that
/// keeps no log.
#[test]
fn keys_at_other_values() {
    let settings = [
        ("cnxTimeout", "3000"),
        ("quorumCnxnTimeoutMs", "3000"),
        ("tcpKeepAlive", "true"),
        ("electionPortBindRetry", "2"),
        ("leader.nodelay", "false"),
        ("follower.nodelay", "false"),
        ("connectToLearnerMasterLimit", "7"),
        ("leaderConnectDelayDuringRetryMs", "50"),
        ("leader.maxTimeToWaitForEpoch", "5000"),
        ("leader.maxConcurrentSnapSyncs", "1"),
        ("leader.maxConcurrentDiffSyncs", "1"),
        ("fastleader.minNotificationInterval", "50"),
        ("fastleader.maxNotificationInterval", "1000"),
        ("observer.reconnectDelayMs", "50"),
        ("observer.election.DelayMs", "50"),
        ("syncEnabled", "false"),
        ("commitLogCount", "20"),
        ("snapshotSizeFactor", "0.5"),
        ("snapCount", "100"),
        ("standaloneEnabled", "false"),
        ("localSessionsEnabled", "true"),
        ("localSessionsUpgradingEnabled", "true"),
    ];
    lives_through_a_change_of_leader(Ensemble::new(3, 1, &settings), 73);
}

/// The members' lines stand in a file of their own, which is read as it is.
#[test]
fn the_members_are_in_another_file() {
    let mut ensemble = Ensemble::new(3, 0, &[]);
    for id in [1, 2, 3] {
        let keys = [1, 2, 3].map(|other| format!("server.{other}"));
        let line =
            |key: &String| format!("{key}={}:participant\n", ensemble.members[&id].setting(key));
        let lines: String = keys.iter().map(line).collect();
        let path = ensemble.members[&id].data_dir().join("zoo.cfg.dynamic");
        std::fs::write(&path, lines).expect("the file of the members");
        let member = ensemble.member(id);
        keys.iter().for_each(|key| member.unset(key));
        member.set("dynamicConfigFile", &path.display().to_string());
    }
    ensemble.members.values_mut().for_each(|member| member.start());
    ensemble.leader();
    let mut client = ensemble.members[&1].client();
    client.create("/written", b"", flag::PERSISTENT).ok();
    ensemble.compare();
}

/// The third says that it is the second: the second says so, and the ensemble goes on.
#[test]
fn two_servers_with_one_id() {
    let mut ensemble = Ensemble::new(3, 0, &[]);
    let line = ensemble.members[&3].setting("server.2").to_owned();
    let impostor = ensemble.member(3);
    std::fs::write(impostor.data_dir().join("myid"), "2\n").expect("myid");
    // Each is where its own configuration says that the second is; it knows the other as the third.
    let own = impostor.setting("server.3").to_owned();
    impostor.set("server.2", &own);
    impostor.set("server.3", &line);
    ensemble.members.values_mut().for_each(|member| member.start());
    eventually("the second tells of another with its id", || {
        let said = ensemble.members[&2].log();
        said.contains("it says that it is server 2, which is this server").then_some(())
    });
    ensemble.member(3).kill();
    ensemble.leader();
    let crowd = Crowd::start(&ensemble, 2, 74);
    crowd.goes_on(10);
    crowd.judge(&mut ensemble);
}
