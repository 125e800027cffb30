//! What members say of themselves: the metrics of `docs/metrics.md`, of which each moves, to whatever
//! reads them.

use std::collections::{BTreeMap, BTreeSet};

use crate::bodies::{self, op};
use crate::cluster::{Ensemble, Member};
use crate::common::{Hello, flag};
use crate::document::{Present, document};
use crate::expressions::{complaint, tools};

/// More transactions than a leader keeps in memory, and enough for one whose acknowledgements are
/// measured.
const MANY: usize = 1100;

fn mntr(member: &Member) -> BTreeMap<String, String> {
    let text = member.word("mntr").expect("an answer");
    let lines = text.lines().map(|line| line.split_once('\t').expect("a tab"));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn write_many(member: &Member) {
    let mut client = member.client();
    client.create("/app", b"1", flag::PERSISTENT);
    client.submit_many(MANY, op::SET_DATA, &bodies::set_data("/app", Some(b"x"), -1));
    client.take_ok(MANY);
    client.close();
}

/// Each member's metrics are those that the document promises of its role, and no others.
#[test]
fn members_tell_what_the_document_says() {
    let mut ensemble = Ensemble::start(3, 1, &[]);
    let leader = ensemble.leader();
    write_many(&ensemble.members[&leader]);
    let (present, _, members) = document();
    let is_set = |metric: &&Present| metric.kind.starts_with("set of");
    let of_all = present.iter().filter(|metric| !is_set(metric)).flat_map(Present::keys);
    let of_all: BTreeSet<String> = of_all.collect();
    for member in ensemble.members.values() {
        let role = member.role().expect("a role");
        let told = mntr(member);
        let told = told.keys().map(|key| key.strip_prefix("zk_").expect(key));
        let told = told.filter(|key| !key.ends_with("_per_namespace"));
        // What is by server is told of several; the document's keys are those of server 1.
        let of_one = |key: &str| {
            let sid = ["2_", "3_", "4_"].into_iter().find(|sid| key.contains(sid));
            sid.map_or(key.to_owned(), |sid| key.replacen(sid, "1_", 1))
        };
        let told: BTreeSet<String> = told.map(of_one).collect();
        let of_role = members.iter().filter(|metric| metric.who == "all" || metric.who == role);
        let promised: BTreeSet<String> =
            of_all.iter().cloned().chain(of_role.flat_map(Present::keys)).collect();
        let undocumented: Vec<_> = told.difference(&promised).collect();
        assert!(
            undocumented.is_empty(),
            "{role}: in mntr, not in docs/metrics.md: {undocumented:?}"
        );
        let missing: Vec<_> = promised.difference(&told).collect();
        assert!(missing.is_empty(), "{role}: in docs/metrics.md, not in mntr: {missing:?}");
    }
}

/// What stands still on a server that is alone moves on a member.
#[test]
fn every_metric_of_an_ensemble_moves() {
    let mut ensemble = Ensemble::start(3, 1, &[("snapshotSizeFactor", "-1")]);
    let leader = ensemble.leader();
    let follower = ensemble.follower();
    let mut client = ensemble.members[&follower].client();
    client.create("/mine", b"", flag::EPHEMERAL).ok();
    client.sync("/").ok();
    let other = ensemble.others(leader).into_iter().find(|id| *id != follower).expect("another");
    // The leader is asked whether the session may go on elsewhere.
    let mut moved = ensemble.members[&other].connect(&Hello::resume(&client.welcome));
    moved.sync("/").ok();
    // DIFF, then SNAP.
    ensemble.member(follower).kill();
    ensemble.member(follower).start();
    ensemble.leader();
    ensemble.member(follower).kill();
    write_many(&ensemble.members[&leader]);
    ensemble.member(follower).start();
    assert_eq!(ensemble.leader(), leader);
    write_many(&ensemble.members[&follower]);
    let told: Vec<_> = ensemble.members.values().map(mntr).collect();
    let (present, _, members) = document();
    let of_ensembles = present.iter().filter(|metric| metric.stands_still.contains("no quorum"));
    let of_ensembles: Vec<_> = of_ensembles.collect();
    assert!(of_ensembles.len() >= 20, "the document's words are known");
    for metric in of_ensembles {
        let keys: Vec<_> = metric.keys().iter().map(|key| format!("zk_{key}")).collect();
        let mut values = told.iter().flat_map(|told| keys.iter().map(|key| &told[key]));
        assert!(values.any(|value| value != "0" && value != "0.0"), "{} is constant", metric.name);
    }
    assert!(members.iter().any(|metric| metric.name == "peer_state"), "the table is whole");
    moved.close();
}

/// The expressions of monitoring tools fit what members answer, too; but `conf`, of which some read
/// more than they should, and Apache's answer is no other.
#[test]
fn monitoring_tools_read_members() {
    let mut ensemble = Ensemble::start(3, 1, &[]);
    let leader = ensemble.leader();
    let mut clients: Vec<_> = ensemble.members.values().map(Member::client).collect();
    clients[0].create("/app", b"12345", flag::PERSISTENT).ok();
    clients[0].create("/monitored_ephemeral", b"", flag::EPHEMERAL).ok();
    for client in &mut clients {
        client.create("/app/e-", b"", flag::EPHEMERAL | flag::SEQUENTIAL).ok();
        client.sync("/").ok();
        client.get_data("/app", true).ok();
    }
    for (name, tool) in tools() {
        for expected in tool["expects"].as_array().expect("a list") {
            let word = expected["word"].as_str().expect("a word");
            if matches!(word, "conf" | "crst" | "srst") || expected["apache_fails_too"].is_string()
            {
                continue;
            }
            for member in ensemble.members.values() {
                let answer = member.word(word).expect("an answer");
                let complaint = complaint(expected, &answer);
                assert_eq!(complaint, None, "{name}, {word} of {:?}:\n{answer}", member.role());
            }
        }
    }
    assert_eq!(ensemble.leader(), leader);
}

/// C-025: who has lost the quorum answers words, and says that it serves nobody.
#[test]
fn who_has_no_quorum_says_so() {
    let mut ensemble = Ensemble::start(3, 1, &[]);
    let leader = ensemble.leader();
    let others = ensemble.others(leader);
    others.iter().filter(|id| **id != 4).for_each(|id| ensemble.member(*id).kill());
    for id in [leader, 4] {
        ensemble.serves_nobody(id);
        let member = &ensemble.members[&id];
        let word = |word| member.word(word).expect("an answer");
        assert_eq!((word("ruok"), word("isro")), ("imok".into(), "null".into()));
        for name in ["srvr", "stat", "mntr", "conf", "cons", "dump", "wchs", "dirs"] {
            let says_so = "This ZooKeeper instance is not currently serving requests\n";
            assert_eq!(word(name), says_so, "{name} of server {id}");
        }
    }
}
