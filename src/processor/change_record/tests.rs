//! Facts about change records: put, look up, roll back, retire.

use super::*;
use crate::processor::testing::{Dice, tree_options};
use crate::proto::stat::content_crc;

fn tree() -> DataTree {
    DataTree::new(tree_options())
}

fn outstanding(tree: &DataTree) -> OutstandingChanges {
    OutstandingChanges::new(tree.digest(), true, 7)
}

fn node(version: i32, path: &[u8]) -> Option<PendingNode> {
    let stat = StatPersisted { version, ..StatPersisted::default() };
    Some(PendingNode::created(stat, Vec::new().into(), path, b""))
}

fn version(changes: &OutstandingChanges, path: &[u8], tree: &DataTree) -> Option<i32> {
    changes.node(path, tree).map(|node| node.stat.version)
}

#[test]
fn without_a_record_a_node_is_as_the_tree_has_it() {
    let tree = tree();
    let changes = outstanding(&tree);
    let root = changes.node(b"", &tree).expect("the root");
    assert_eq!((root.num_children, root.stat), (1, tree.node(b"").unwrap().persisted()));
    assert!(changes.exists(b"/zookeeper", &tree) && !changes.exists(b"/a", &tree));
    assert!(changes.is_empty());
}

#[test]
fn the_newest_record_is_the_one_that_is_found() {
    let tree = tree();
    let mut changes = outstanding(&tree);
    changes.put(Zxid(1), "/a".into(), node(0, b"/a"), &tree);
    changes.put(Zxid(2), "/a".into(), node(1, b"/a"), &tree);
    assert_eq!(version(&changes, b"/a", &tree), Some(1));
    changes.put(Zxid(3), "/a".into(), None, &tree);
    assert_eq!(version(&changes, b"/a", &tree), None);
    assert!(!changes.exists(b"/a", &tree));
    changes.put(Zxid(3), "/zookeeper".into(), None, &tree);
    assert!(!changes.exists(b"/zookeeper", &tree), "the tree's node will be gone");
}

#[test]
fn a_record_retires_with_its_own_transaction_and_not_with_an_older_one() {
    let tree = tree();
    let mut changes = outstanding(&tree);
    changes.put(Zxid(1), "/a".into(), node(0, b"/a"), &tree);
    changes.put(Zxid(2), "/a".into(), node(1, b"/a"), &tree);
    changes.put(Zxid(2), "/a".into(), node(2, b"/a"), &tree);
    changes.put(Zxid(3), "/b".into(), node(5, b"/b"), &tree);
    changes.retire(Zxid(1));
    assert_eq!((version(&changes, b"/a", &tree), changes.len()), (Some(2), 3));
    changes.retire(Zxid(2));
    assert_eq!((version(&changes, b"/a", &tree), changes.len()), (None, 1));
    assert_eq!(version(&changes, b"/b", &tree), Some(5));
    changes.retire(Zxid(9));
    assert!(changes.is_empty() && changes.by_path.is_empty());
}

#[test]
fn the_digest_goes_from_change_to_change_and_not_below_zookeeper() {
    let tree = tree();
    let mut changes = outstanding(&tree);
    changes.put(Zxid(1), "/zookeeper/quota/a".into(), node(0, b""), &tree);
    assert_eq!(changes.digest(), tree.digest());
    changes.put(Zxid(1), "/a".into(), node(0, b"/a"), &tree);
    let stat = StatPersisted::default();
    let of_a = u64::from(stat.digest_after(content_crc(b"/a", b"")));
    assert_eq!(changes.digest(), tree.digest().wrapping_add(of_a));
    changes.put(Zxid(2), "/a".into(), None, &tree);
    assert_eq!(changes.digest(), tree.digest());
    let zookeeper = u64::from(tree.node(b"/zookeeper").unwrap().digest());
    changes.put(Zxid(3), "/zookeeper".into(), None, &tree);
    assert_eq!(changes.digest(), tree.digest().wrapping_sub(zookeeper));
}

#[test]
fn ephemeral_paths_are_all_that_an_owner_was_given_until_they_retire() {
    let tree = tree();
    let mut changes = outstanding(&tree);
    for (path, owner) in [("/mine", 1), ("/theirs", 2), ("/gone", 1)] {
        let mut pending = node(0, path.as_bytes());
        pending.as_mut().unwrap().stat.ephemeral_owner = owner;
        changes.put(Zxid(1), path.into(), pending, &tree);
    }
    changes.put(Zxid(2), "/gone".into(), None, &tree);
    let told = |changes: &OutstandingChanges| {
        changes.ephemeral_paths(1).map(|path| path.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(told(&changes), [&b"/mine"[..], b"/gone"]);
    assert!(changes.node(b"/gone", &tree).is_none());
    let mark = changes.mark();
    let mut pending = node(0, b"/later");
    pending.as_mut().unwrap().stat.ephemeral_owner = 1;
    changes.put(Zxid(3), "/later".into(), pending, &tree);
    changes.roll_back(mark);
    assert_eq!(told(&changes), [&b"/mine"[..], b"/gone"]);
    changes.retire(Zxid(1));
    assert_eq!(told(&changes), Vec::<Vec<u8>>::new());
    assert!(changes.ephemerals.contains_key(&2) || changes.ephemerals.is_empty());
}

/// ZOOKEEPER-1624, ZOOKEEPER-2052: not only the values come back, but whose they are, so that
/// they retire as if nothing had been.
#[test]
fn a_rolled_back_multi_was_never_there() {
    const PATHS: [&str; 5] = ["", "/a", "/b", "/zookeeper", "/zookeeper/quota"];
    let tree = tree();
    let mut dice = Dice(0xfeed);
    for _ in 0..200 {
        let mut changes = outstanding(&tree);
        let mut twin = outstanding(&tree);
        for zxid in 1..=12 {
            let mark = changes.mark();
            for _ in 0..dice.below(6) {
                let path = *dice.one_of(&PATHS);
                let node = if dice.below(3) == 0 { None } else { node(-9, path.as_bytes()) };
                changes.put(Zxid(zxid), path.into(), node, &tree);
            }
            // A part that fails, and then the request with it.
            changes.roll_back(mark);
            changes.roll_back(mark);
            let path = *dice.one_of(&PATHS);
            let node = if dice.below(3) == 0 { None } else { node(zxid as i32, path.as_bytes()) };
            changes.put(Zxid(zxid), path.into(), node.clone(), &tree);
            twin.put(Zxid(zxid), path.into(), node, &tree);
            if dice.below(4) == 0 {
                let applied = Zxid(zxid.saturating_sub(dice.below(5) as u64));
                changes.retire(applied);
                twin.retire(applied);
            }
            assert_eq!((changes.digest(), &changes.order), (twin.digest(), &twin.order));
            for path in PATHS {
                let (ours, theirs) =
                    (changes.record(path.as_bytes()), twin.record(path.as_bytes()));
                assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{path}");
            }
        }
    }
}
