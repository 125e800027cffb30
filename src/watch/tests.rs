//! What the watch table promises, by its conformance numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

const ME: ConnectionId = ConnectionId(1);
const OTHER: ConnectionId = ConnectionId(u64::MAX);

/// Notes what is delivered.
#[derive(Default)]
struct Notes(Vec<(ConnectionId, EventType, String)>);

impl Deliver for Notes {
    fn deliver(
        &mut self,
        to: ConnectionId,
        event: EventType,
        path: &[u8],
        zxid: Zxid,
        acl: &AclList,
    ) {
        assert_eq!((zxid, acl.len()), (Zxid(9), 0));
        self.0.push((to, event, String::from_utf8_lossy(path).into_owned()));
    }
}

fn watches() -> Watches {
    Watches::new(42)
}

fn fire(watches: &Watches, event: EventType, path: &str) -> Vec<(ConnectionId, EventType, String)> {
    let acl: AclList = Arc::from([]);
    let mut notes = Notes::default();
    let told = watches.trigger(event, path.as_bytes(), &acl, Zxid(9), &mut notes);
    assert_eq!(told, notes.0.len());
    notes.0
}

/// The connections that hear of the event.
fn heard(watches: &Watches, event: EventType, path: &str) -> Vec<ConnectionId> {
    let events = fire(watches, event, path);
    assert!(events.iter().all(|(_, e, p)| *e == event && p == path), "{events:?}");
    events.into_iter().map(|(to, _, _)| to).collect()
}

fn assert_nothing_is_left(watches: &Watches) {
    assert_eq!(watches.watch_count(), 0);
    assert_eq!(watches.connection_count(), 0);
    assert_eq!(watches.recursive_count.load(Ordering::Relaxed), 0);
    watches.for_each(|connection, path, kinds| panic!("left: {connection:?} {path:?} {kinds:?}"));
    for shard in &watches.shards {
        assert_eq!(shard.lock().iter_from(0).count(), 0);
    }
}

/// C-098, C-103
#[test]
fn an_exists_watch_on_a_missing_node_fires_created_once() {
    let watches = watches();
    watches.add(ME, b"/a", Kind::Data);
    assert_eq!(heard(&watches, NodeCreated, "/a"), [ME]);
    assert_eq!(heard(&watches, NodeCreated, "/a"), []);
    assert_nothing_is_left(&watches);
}

/// C-099, C-103, C-104
#[test]
fn a_data_watch_fires_on_change_or_delete_once_however_often_it_was_set() {
    for event in [NodeDataChanged, NodeDeleted] {
        let watches = watches();
        watches.add(ME, b"/a", Kind::Data);
        watches.add(ME, b"/a", Kind::Data);
        assert_eq!(watches.watch_count(), 1);
        assert_eq!(heard(&watches, NodeChildrenChanged, "/a"), []);
        assert_eq!(heard(&watches, event, "/a/b"), []);
        assert_eq!(heard(&watches, event, "/"), []);
        assert_eq!(heard(&watches, event, "/a"), [ME]);
        assert_eq!(heard(&watches, event, "/a"), []);
        assert_nothing_is_left(&watches);
    }
}

/// C-100, C-101
#[test]
fn a_child_watch_fires_on_children_changed_or_delete_not_on_data() {
    for event in [NodeChildrenChanged, NodeDeleted] {
        let watches = watches();
        watches.add(ME, b"/a", Kind::Child);
        assert_eq!(heard(&watches, NodeDataChanged, "/a"), []);
        assert_eq!(heard(&watches, NodeCreated, "/a"), []);
        assert_eq!(heard(&watches, NodeDataChanged, "/a/child"), []);
        assert_eq!(heard(&watches, event, "/a"), [ME]);
        assert_eq!(heard(&watches, event, "/a"), []);
        assert_nothing_is_left(&watches);
    }
}

/// C-102
#[test]
fn data_and_child_watch_on_a_deleted_node_give_one_deleted() {
    let watches = watches();
    watches.add(ME, b"/a", Kind::Data);
    watches.add(ME, b"/a", Kind::Child);
    watches.add(ME, b"/", Kind::PersistentRecursive);
    assert_eq!(heard(&watches, NodeDeleted, "/a"), [ME]);
    assert_eq!(watches.watch_count(), 1);
}

/// C-117, C-118, C-122
#[test]
fn a_persistent_watch_hears_of_its_node_again_and_again() {
    let watches = watches();
    watches.add(ME, b"/a", Kind::Persistent);
    assert_eq!(watches.watch_count(), 2, "it stands in both of Java's tables");
    for _ in 0..3 {
        for event in [NodeCreated, NodeDataChanged, NodeChildrenChanged, NodeDeleted] {
            assert_eq!(heard(&watches, event, "/a"), [ME]);
            assert_eq!(heard(&watches, event, "/a/b"), []);
        }
    }
}

/// C-119, C-120
#[test]
fn a_recursive_watch_hears_of_everything_below_but_of_no_children_changed() {
    let watches = watches();
    watches.add(ME, b"/a", Kind::PersistentRecursive);
    for _ in 0..2 {
        for event in [NodeCreated, NodeDataChanged, NodeDeleted] {
            for path in ["/a", "/a/b", "/a/b/c/d"] {
                assert_eq!(heard(&watches, event, path), [ME]);
            }
            for path in ["/", "/ab", "/b/a", "", "a/b", "/a "] {
                assert_eq!(heard(&watches, event, path), [], "{path}");
            }
        }
        assert_eq!(heard(&watches, NodeChildrenChanged, "/a"), []);
        assert_eq!(heard(&watches, NodeChildrenChanged, "/a/b"), []);
    }
    watches.add(ME, b"/a", Kind::Child);
    assert_eq!(heard(&watches, NodeChildrenChanged, "/a"), [ME]);
    assert_eq!(heard(&watches, NodeChildrenChanged, "/a"), []);
}

/// C-121
#[test]
fn standard_and_persistent_watches_give_one_event_and_the_persistent_remains() {
    let watches = watches();
    for kind in [Kind::Data, Kind::Child, Kind::Persistent, Kind::PersistentRecursive] {
        watches.add(ME, b"/a", kind);
    }
    assert_eq!(heard(&watches, NodeDataChanged, "/a"), [ME]);
    assert!(!watches.contains(ME, b"/a", WatcherType::Data));
    assert!(watches.contains(ME, b"/a", WatcherType::Children));
    assert_eq!(heard(&watches, NodeDataChanged, "/a"), [ME]);
    assert_eq!(heard(&watches, NodeChildrenChanged, "/a"), [ME]);
    assert!(!watches.contains(ME, b"/a", WatcherType::Children));
    assert!(watches.contains(ME, b"/a", WatcherType::Persistent));
    assert!(watches.contains(ME, b"/a", WatcherType::PersistentRecursive));
}

/// C-123
#[test]
fn a_recursive_watch_on_the_root_hears_of_every_path_once() {
    let watches = watches();
    watches.add(ME, b"/", Kind::PersistentRecursive);
    watches.add(ME, b"/a", Kind::PersistentRecursive);
    watches.add(OTHER, b"/a/b", Kind::Data);
    for path in ["/", "/a", "/zookeeper/config"] {
        assert_eq!(heard(&watches, NodeDataChanged, path), [ME]);
    }
    assert_eq!(heard(&watches, NodeDataChanged, "/a/b"), [ME, OTHER]);
}

/// C-124, and the same for types.
#[test]
fn modes_and_types_that_do_not_exist() {
    assert_eq!(Kind::from_add_mode(0), Some(Kind::Persistent));
    assert_eq!(Kind::from_add_mode(1), Some(Kind::PersistentRecursive));
    for number in [-1, 2, 3, i32::MAX] {
        assert_eq!(Kind::from_add_mode(number), None);
    }
    let types = [1, 2, 3, 4, 5].map(WatcherType::from_int);
    assert!(types.iter().all(Option::is_some));
    for number in [-1, 0, 6] {
        assert_eq!(WatcherType::from_int(number), None);
    }
}

/// C-125 to C-128
#[test]
fn every_type_finds_and_removes_its_own_watches_only() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let own = [
        (Kind::Child, Children),
        (Kind::Data, Data),
        (Kind::Persistent, Persistent),
        (Kind::PersistentRecursive, PersistentRecursive),
    ];
    for (kind, its_type) in own {
        let watches = watches();
        watches.add(ME, b"/a", kind);
        watches.add(OTHER, b"/a", kind);
        for other_type in own.map(|(_, t)| t).into_iter().filter(|t| *t != its_type) {
            assert!(!watches.contains(ME, b"/a", other_type));
            assert!(!watches.remove(ME, b"/a", other_type));
        }
        for found in [its_type, Any] {
            assert!(watches.contains(ME, b"/a", found));
            assert!(watches.contains(ME, b"/a", found), "looking changes nothing");
            assert!(!watches.contains(ME, b"/", found) && !watches.contains(ME, b"/a/b", found));
            assert!(!watches.remove(ME, b"/a/b", found));
            watches.add(ME, b"/a", kind);
            assert!(watches.remove(ME, b"/a", found));
            assert!(!watches.remove(ME, b"/a", found));
            assert!(!watches.contains(ME, b"/a", found));
            assert_eq!(heard(&watches, NodeDeleted, "/a"), [OTHER]);
            watches.add(OTHER, b"/a", kind);
            watches.add(ME, b"/a", kind);
        }
    }
}

/// C-126, C-127, ZOOKEEPER-4466
#[test]
fn any_removes_all_kinds_and_the_others_leave_the_rest() {
    let watches = watches();
    let set_all = || {
        for kind in [Kind::Data, Kind::Child, Kind::Persistent, Kind::PersistentRecursive] {
            watches.add(ME, b"/a", kind);
        }
    };
    set_all();
    watches.add(ME, b"/a/b", Kind::Data);
    assert!(watches.remove(ME, b"/a", WatcherType::Data));
    assert!(watches.remove(ME, b"/a", WatcherType::PersistentRecursive));
    assert_eq!(heard(&watches, NodeDataChanged, "/a"), [ME], "the persistent one");
    assert!(watches.contains(ME, b"/a", WatcherType::Children));
    set_all();
    assert!(watches.remove(ME, b"/a", WatcherType::Any));
    assert!(!watches.contains(ME, b"/a", WatcherType::Any));
    assert_eq!(heard(&watches, NodeDeleted, "/a"), []);
    assert_eq!(heard(&watches, NodeDeleted, "/a/b"), [ME]);
    assert_nothing_is_left(&watches);
}

/// C-129
#[test]
fn watches_vanish_with_their_connection_and_anothers_stay() {
    let watches = watches();
    for connection in [ME, OTHER] {
        for n in 0..100 {
            for kind in [Kind::Data, Kind::Child, Kind::Persistent, Kind::PersistentRecursive] {
                watches.add(connection, format!("/{n}").as_bytes(), kind);
            }
        }
    }
    watches.remove_connection(ME);
    watches.remove_connection(ME);
    assert_eq!(watches.connection_count(), 1);
    assert_eq!(watches.watch_count(), 200);
    assert_eq!(heard(&watches, NodeDeleted, "/7"), [OTHER]);
    assert_eq!(heard(&watches, NodeCreated, "/7/x"), [OTHER]);
    watches.remove_connection(OTHER);
    assert_nothing_is_left(&watches);
}

/// F-7, F-8: whatever bytes a client names.
#[test]
fn the_empty_path_is_not_the_root_and_any_bytes_can_be_watched() {
    let watches = watches();
    watches.add(ME, b"", Kind::PersistentRecursive);
    watches.add(ME, b"\xff\0", Kind::Data);
    watches.add(OTHER, b"/", Kind::Child);
    assert_eq!(heard(&watches, NodeChildrenChanged, "/"), [OTHER]);
    assert_eq!(heard(&watches, NodeDataChanged, "/"), []);
    assert_eq!(heard(&watches, NodeCreated, "/a"), []);
    assert!(watches.contains(ME, b"\xff\0", WatcherType::Data));
    assert!(watches.remove(ME, b"", WatcherType::Any));
}

#[test]
fn ancestors_end_at_the_root() {
    let of = |path: &'static str| -> Vec<&[u8]> { ancestors(path.as_bytes()).collect() };
    assert_eq!(of("/a/b/c"), [&b"/a/b"[..], b"/a", b"/"]);
    assert_eq!(of("/a"), [b"/"]);
    assert!(of("/").is_empty() && of("").is_empty() && of("a").is_empty());
}

/// A thousand connections watch a thousand nodes: closing them all must take time in proportion.
/// Steps cannot be counted here, but a quadratic table would need a billion.
#[test]
fn closing_many_connections_on_the_same_nodes_leaves_nothing() {
    let watches = watches();
    for connection in 0..1000 {
        for n in 0..300 {
            watches.add(ConnectionId(connection), format!("/{n}").as_bytes(), Kind::Data);
        }
    }
    assert_eq!(watches.watch_count(), 300_000);
    let everybody: Vec<_> = (0..1000).map(ConnectionId).collect();
    assert_eq!(heard(&watches, NodeDataChanged, "/0"), everybody);
    for connection in everybody {
        watches.remove_connection(connection);
    }
    assert_nothing_is_left(&watches);
}

#[test]
fn wchs_counts_the_data_table() {
    let watches = watches();
    watches.add(ME, b"/a", Kind::Data);
    watches.add(ME, b"/a", Kind::Persistent);
    watches.add(ME, b"/b", Kind::Child);
    watches.add(OTHER, b"/a", Kind::PersistentRecursive);
    assert_eq!(watches.summary(), WatchesSummary { connections: 2, paths: 1, watches: 2 });
    assert_eq!(watches.watch_count(), 4);
    assert_eq!(watches.data_table(), [(b"/a".as_slice().into(), vec![ME, OTHER])]);
}

/// More watches than one piece holds, in few shards' worth of paths and on one path.
#[test]
fn the_data_table_is_told_whole() {
    let watches = watches();
    let paths: BTreeSet<String> = (0..20_000).map(|n| format!("/{n}")).collect();
    for path in &paths {
        watches.add(ME, path.as_bytes(), Kind::Data);
    }
    for n in 2..3000 {
        watches.add(ConnectionId(n), b"/7", Kind::Persistent);
    }
    let mut told = watches.data_table();
    told.sort();
    let names: Vec<_> =
        told.iter().map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect();
    assert!(names.iter().eq(&paths));
    let (_, busy) = told.iter().find(|(path, _)| **path == *b"/7").unwrap();
    assert!(busy.iter().copied().eq((1..3000).map(ConnectionId)));
}

/// C-142: a look at all watches stalls nobody: between two small pieces every shard is free.
#[test]
fn a_look_at_a_million_watches_lets_others_in_all_the_time() {
    const WATCHES: usize = 1_000_000;
    let watches = watches();
    for n in 0..WATCHES {
        watches.add(ConnectionId(2 + n as u64 % 100), format!("/{n}").as_bytes(), Kind::Data);
    }
    let (mut seen, mut pieces) = (0, 0);
    let mut longest = 0;
    let mut at_last_pause = 0;
    let seen_now = std::cell::Cell::new(0);
    watches.by_pieces(
        |watched| {
            seen += 1;
            seen_now.set(seen);
            watched.watchers.iter().count()
        },
        || {
            assert!(watches.shards.iter().all(|shard| shard.try_lock().is_some()));
            pieces += 1;
            longest = longest.max(seen_now.get() - at_last_pause);
            at_last_pause = seen_now.get();
        },
    );
    assert_eq!(seen, WATCHES);
    assert!(longest <= MOST_PER_HOLD && pieces >= WATCHES / MOST_PER_HOLD, "{longest} {pieces}");
    let summary = watches.summary();
    assert_eq!((summary.connections, summary.paths, summary.watches), (100, WATCHES, WATCHES));
}

/// The plain definition: who watches what, and what each event reaches.
#[derive(Default)]
struct Model(BTreeMap<(ConnectionId, String), BTreeSet<u8>>);

impl Model {
    fn trigger(&mut self, event: EventType, path: &str) -> Vec<ConnectionId> {
        let mut told = BTreeSet::new();
        for ((connection, watched), kinds) in &mut self.0 {
            let is_at_or_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
            let is_below = watched == "/"
                || !watched.is_empty() && path.strip_prefix(&**watched).is_some_and(is_at_or_below);
            let is_children = event == NodeChildrenChanged;
            if is_below && !is_children && kinds.contains(&8) {
                told.insert(*connection);
            }
            if watched != path {
                continue;
            }
            let standard: &[u8] = match event {
                NodeCreated | NodeDataChanged => &[1],
                NodeDeleted => &[1, 2],
                NodeChildrenChanged => &[2],
            };
            if kinds.contains(&4) || standard.iter().any(|kind| kinds.contains(kind)) {
                told.insert(*connection);
            }
            kinds.retain(|kind| !standard.contains(kind));
        }
        self.0.retain(|_, kinds| !kinds.is_empty());
        told.into_iter().collect()
    }

    fn count(&self) -> usize {
        let data = self.0.values().filter(|k| k.iter().any(|k| [1, 4, 8].contains(k))).count();
        data + self.0.values().filter(|k| k.iter().any(|k| [2, 4].contains(k))).count()
    }
}

/// C-098 to C-104, C-117 to C-129: random histories against the definition.
#[test]
fn the_table_does_what_the_definition_says() {
    let paths = ["/", "/a", "/a/b", "/a/b/c", "/a/bb", "/b", "/b/a", "/c/d/e/f", ""];
    let kinds = [Kind::Data, Kind::Child, Kind::Persistent, Kind::PersistentRecursive];
    for seed in 1..=20_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as usize % below
        };
        let watches = Watches::new(seed);
        let mut model = Model::default();
        let connections = [2, 5, 30][draw(3)];
        for step in 0..5000 {
            let connection = ConnectionId(draw(connections) as u64);
            let path = paths[draw(paths.len())];
            let kind = kinds[draw(4)];
            let context = format!("seed {seed}, step {step}: {connection:?} {path} {kind:?}");
            let key = (connection, path.to_string());
            match draw(20) {
                0..=9 => {
                    watches.add(connection, path.as_bytes(), kind);
                    model.0.entry(key).or_default().insert(kind as u8);
                }
                10..=14 if !path.is_empty() => {
                    let events = [NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged];
                    let event = events[draw(4)];
                    let expected = model.trigger(event, path);
                    assert_eq!(heard(&watches, event, path), expected, "{context} {event:?}");
                }
                15..=17 => {
                    let number = 1 + draw(5);
                    let wanted = WatcherType::from_int(number as i32).expect("a type");
                    let meant: &[u8] = [&[2][..], &[1], &[1, 2, 4, 8], &[4], &[8]][number - 1];
                    let own = model.0.entry(key).or_default();
                    let expected = meant.iter().any(|kind| own.contains(kind));
                    let path = path.as_bytes();
                    assert_eq!(watches.contains(connection, path, wanted), expected, "{context}");
                    if draw(2) == 0 {
                        own.retain(|kind| !meant.contains(kind));
                        assert_eq!(watches.remove(connection, path, wanted), expected, "{context}");
                    }
                    model.0.retain(|_, kinds| !kinds.is_empty());
                }
                18 => {
                    watches.remove_connection(connection);
                    model.0.retain(|(other, _), _| *other != connection);
                }
                _ => {
                    let mut told = BTreeMap::new();
                    watches.for_each(|connection, path, set| {
                        let text = String::from_utf8_lossy(path).into_owned();
                        let own = kinds.into_iter().filter(|k| set.has(*k)).map(|k| k as u8);
                        told.insert((connection, text), own.collect());
                    });
                    assert_eq!(told, model.0, "{context}");
                }
            }
            assert_eq!(watches.watch_count(), model.count(), "{context}");
        }
        for connection in 0..connections {
            watches.remove_connection(ConnectionId(connection as u64));
        }
        assert_nothing_is_left(&watches);
    }
}

/// C-129: triggers and removals in threads of their own, as on a server.
#[test]
fn removal_beside_triggers_leaves_nothing_behind() {
    let watches = watches();
    let path = |n: u64| format!("/{}", n % 17).into_bytes();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let watches = &watches;
            scope.spawn(move || {
                for round in 0..500 {
                    let connection = ConnectionId(thread * 1000 + round);
                    for n in 0..20 {
                        watches.add(connection, &path(n * 7 + round), Kind::Data);
                        watches.add(connection, &path(n * 5 + thread), Kind::Persistent);
                    }
                    watches.remove_connection(connection);
                }
            });
        }
        scope.spawn(|| {
            for n in 0..20_000 {
                fire(&watches, NodeDeleted, std::str::from_utf8(&path(n)).expect("ASCII"));
            }
        });
    });
    assert_nothing_is_left(&watches);
}
