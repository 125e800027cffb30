//! What happens to the tree besides commits.

use std::collections::BTreeMap;

use super::*;
use crate::proto::path;

fn digest(house: &House) -> u64 {
    house.around.database.read().tree.digest()
}

#[test]
fn what_is_caught_up_with_is_applied_as_if_it_had_been_committed() {
    let (mut one, mut other) = (House::new(), House::new());
    let (a, b) = (one.commit("/a", None), one.commit("/a/b", None));
    assert_eq!(one.carry_out([a, b]), Some(one.last));
    let (a, b) = (other.catch_up("/a"), other.catch_up("/a/b"));
    assert_eq!(other.carry_out([a, b]), Some(one.last), "it is reported as applied");
    assert_eq!(digest(&one), digest(&other));
    assert!(other.has("/a/b"));
    assert_eq!(other.metrics.request_commit_queued.get(), 2);
}

#[test]
#[should_panic(expected = "what no leader has committed is seen by nobody")]
fn nothing_is_caught_up_with_while_clients_are_served() {
    let mut house = House::serving();
    let effect = house.catch_up("/a");
    house.carry_out([effect]);
}

#[test]
fn a_tree_is_sent_as_it_is_at_its_place_in_the_order() {
    let mut house = House::new();
    let before = house.commit("/before", None);
    let (link, zxid) = (LinkId::FIRST_ACCEPTED, house.last);
    let after = house.commit("/after", None);
    house.carry_out([before, ClientEffect::SendSnapshot { link, zxid }, after]);
    assert!(house.has("/after"));
    let mut capture = house.doors.captures.pop().unwrap();
    let mut nodes = Vec::new();
    while capture.next_nodes(&house.around.database, &mut nodes).unwrap() {}
    let contains = |name: &[u8]| nodes.windows(name.len()).any(|bytes| bytes == name);
    assert!(contains(b"/before") && !contains(b"/after"));
}

#[test]
#[should_panic(expected = "the tree is sent at its place in the order")]
fn another_tree_than_the_one_that_was_meant_is_not_sent() {
    let mut house = House::new();
    let commit = house.commit("/a", None);
    let (link, zxid) = (LinkId::FIRST_ACCEPTED, house.last.next());
    house.carry_out([commit, ClientEffect::SendSnapshot { link, zxid }]);
}

#[test]
fn a_database_that_is_restored_is_gone_first_and_served_under_another_generation() {
    let mut house = House::serving();
    let client = house.client();
    let commit = house.commit("/a", None);
    let last = house.last;
    house.carry_out([commit, ClientEffect::StopServing, ClientEffect::Reload]);
    assert_eq!(house.doors.log, [format!("reload what ended with {last}")]);
    {
        let db = house.around.database.read();
        assert_eq!(
            (db.tree.node_count(), db.session_count(), db.last_processed()),
            (4, 0, Zxid(0))
        );
        assert_eq!((db.is_serving(), db.generation()), (false, 2));
    }
    // The job is done.
    let mut restored = House::new();
    let caught_up = restored.catch_up("/restored");
    restored.carry_out([caught_up]);
    let restored = restored.around.database.write().take();
    house.around.database.write().replace(restored);
    house.carry_out([ClientEffect::StartServing]);
    assert!(house.has("/restored") && !house.has("/a"));
    house.send(&client, &exists(1, "/restored", false));
    assert_eq!((client.xids(), client.ending()), (vec![], "Asked(NotServing)".to_owned()));
    house.client();
}

#[test]
#[should_panic(expected = "a tree that is served is not dropped")]
fn a_tree_that_is_served_is_not_restored() {
    House::serving().carry_out([ClientEffect::Reload]);
}

#[test]
fn a_configuration_is_in_the_tree_and_not_in_its_digest() {
    let mut house = House::new();
    let before = digest(&house);
    let members = BTreeMap::new();
    let config = Arc::new(QuorumVerifier { members, version: 0x1_0000_0005, hierarchy: None });
    house.carry_out([ClientEffect::ActivateConfig(config)]);
    assert_eq!(house.doors.log, ["activate 0x100000005"]);
    assert_eq!(digest(&house), before);
    assert_eq!(config_node(&house), ("version=100000005".to_owned(), 0x1_0000_0005, -1));
    // What is restored may know nothing of it.
    house.carry_out([ClientEffect::Reload]);
    assert_eq!(config_node(&house), (String::new(), 0, 0));
    house.carry_out([ClientEffect::StartServing]);
    assert_eq!(config_node(&house), ("version=100000005".to_owned(), 0x1_0000_0005, -1));
}

/// Its text, mzxid and version.
fn config_node(house: &House) -> (String, u64, i32) {
    let db = house.around.database.read();
    let node = db.tree.node(path::CONFIG).unwrap();
    let (text, stat) = (node.data().unwrap_or_default().escape_ascii().to_string(), node.stat());
    (text, stat.mzxid.0, stat.version)
}
