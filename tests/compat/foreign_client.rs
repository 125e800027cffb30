//! A client library that somebody else wrote, with all its habits: connects, watches, locks,
//! reconnects.

use std::time::Duration;

use zk::{Acls, AddWatchMode, Client, CreateMode, Error, EventType, LockPrefix, SessionState};
use zookeeper_client as zk;

use crate::common::{DEADLINE, TestServer, shared};

const OPEN: Acls<'static> = Acls::anyone_all();

async fn connect(server: &TestServer) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
    within(connector.connect(&server.address().to_string())).await.expect("connected")
}

/// Waits, but not for ever.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("done before the deadline")
}

/// A directory that no other test has.
async fn scratch(client: &Client, name: &str) -> String {
    let prefix = format!("/foreign-{name}-");
    let options = CreateMode::PersistentSequential.with_acls(OPEN);
    let (_, sequence) = client.create(&prefix, b"", &options).await.expect("a directory");
    format!("{prefix}{sequence}")
}

/// C-036, C-040, C-042, C-049: create, read, write, list, delete.
#[tokio::test]
async fn nodes_live_and_die() {
    let server = shared();
    let client = connect(&server).await;
    let path = scratch(&client, "nodes").await;
    let node = format!("{path}/n");
    let options = CreateMode::Persistent.with_acls(OPEN);
    let (created, _) = client.create(&node, b"one", &options).await.unwrap();
    let again = client.create(&node, b"", &options).await;
    assert_eq!(again.unwrap_err(), Error::NodeExists);
    let (data, stat) = client.get_data(&node).await.unwrap();
    assert_eq!((data.as_slice(), stat.czxid, stat.version), (&b"one"[..], created.czxid, 0));
    assert_eq!(client.set_data(&node, b"two", Some(0)).await.unwrap().version, 1);
    assert_eq!(client.set_data(&node, b"", Some(0)).await.unwrap_err(), Error::BadVersion);
    assert_eq!(client.list_children(&path).await.unwrap(), ["n"]);
    assert_eq!(client.count_descendants_number(&path).await.unwrap(), 1);
    assert_eq!(client.delete(&path, None).await.unwrap_err(), Error::NotEmpty);
    client.delete(&node, Some(1)).await.unwrap();
    assert_eq!(client.check_stat(&node).await.unwrap(), None);
    assert_eq!(client.get_data(&node).await.unwrap_err(), Error::NoNode);
}

/// C-058, C-079, C-086: every create mode that it knows.
#[tokio::test]
async fn every_create_mode_works() {
    let server = shared();
    let client = connect(&server).await;
    let path = scratch(&client, "modes").await;
    let create = async |name: &str, options: zk::CreateOptions<'static>| {
        client.create(&format!("{path}/{name}"), b"x", &options).await.expect(name)
    };
    let (stat, _) = create("p", CreateMode::Persistent.with_acls(OPEN)).await;
    assert_eq!(stat.ephemeral_owner, 0);
    let (stat, _) = create("e", CreateMode::Ephemeral.with_acls(OPEN)).await;
    assert_eq!(stat.ephemeral_owner, client.session_id().0);
    let (_, sequence) = create("ps-", CreateMode::PersistentSequential.with_acls(OPEN)).await;
    assert_eq!(sequence.into_i64(), 2);
    let (_, sequence) = create("es-", CreateMode::EphemeralSequential.with_acls(OPEN)).await;
    assert_eq!(sequence.into_i64(), 3);
    create("c", CreateMode::Container.with_acls(OPEN)).await;
    let ttl = CreateMode::Persistent.with_acls(OPEN).with_ttl(Duration::from_secs(600));
    create("t", ttl).await;
    let mut ephemerals = client.list_ephemerals(&path).await.unwrap();
    ephemerals.sort();
    assert_eq!(ephemerals, [format!("{path}/e"), format!("{path}/es-0000000003")]);
}

/// C-098, C-099, C-100, C-113: one-shot watches.
#[tokio::test]
async fn one_shot_watches_fire() {
    let server = shared();
    let (watching, writing) = (connect(&server).await, connect(&server).await);
    let path = scratch(&writing, "oneshot").await;
    let node = format!("{path}/n");
    let (_, created) = watching.check_and_watch_stat(&node).await.unwrap();
    let (_, children) = watching.list_and_watch_children(&path).await.unwrap();
    let (stat, _) =
        writing.create(&node, b"", &CreateMode::Persistent.with_acls(OPEN)).await.unwrap();
    let event = within(created.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, node.as_str()));
    assert_eq!(event.zxid, stat.czxid);
    let event = within(children.changed()).await;
    assert_eq!((event.event_type, event.path), (EventType::NodeChildrenChanged, path));
    let (_, _, changed) = watching.get_and_watch_data(&node).await.unwrap();
    writing.set_data(&node, b"x", None).await.unwrap();
    assert_eq!(within(changed.changed()).await.event_type, EventType::NodeDataChanged);
    let (_, _, deleted) = watching.get_and_watch_data(&node).await.unwrap();
    writing.delete(&node, None).await.unwrap();
    assert_eq!(within(deleted.changed()).await.event_type, EventType::NodeDeleted);
}

/// C-117, C-119: persistent and recursive watches.
#[tokio::test]
async fn persistent_watches_fire_again() {
    let server = shared();
    let (watching, writing) = (connect(&server).await, connect(&server).await);
    let path = scratch(&writing, "persistent").await;
    let mut own = watching.watch(&path, AddWatchMode::Persistent).await.unwrap();
    let mut all = watching.watch(&path, AddWatchMode::PersistentRecursive).await.unwrap();
    let node = format!("{path}/n");
    for _ in 0..3 {
        writing.set_data(&path, b"", None).await.unwrap();
        writing.create(&node, b"", &CreateMode::Persistent.with_acls(OPEN)).await.unwrap();
        writing.delete(&node, None).await.unwrap();
        use EventType::*;
        for (kind, at) in [(NodeDataChanged, &path), (NodeCreated, &node), (NodeDeleted, &node)] {
            let event = within(all.changed()).await;
            assert_eq!((event.event_type, &event.path), (kind, at));
        }
        for kind in [NodeDataChanged, NodeChildrenChanged, NodeChildrenChanged] {
            let event = within(own.changed()).await;
            assert_eq!((event.event_type, &event.path), (kind, &path));
        }
    }
}

/// C-164, C-165, C-179: multi and multiRead.
#[tokio::test]
async fn multi_writes_and_reads() {
    let server = shared();
    let client = connect(&server).await;
    let path = scratch(&client, "multi").await;
    let (a, b) = (format!("{path}/a"), format!("{path}/b"));
    let options = CreateMode::Persistent.with_acls(OPEN);
    let mut writer = client.new_multi_writer();
    writer.add_check_version(&path, 0).unwrap();
    writer.add_create(&a, b"1", &options).unwrap();
    writer.add_create(&b, b"2", &options).unwrap();
    writer.add_set_data(&a, b"3", Some(0)).unwrap();
    assert_eq!(writer.commit().await.unwrap().len(), 4);
    let mut writer = client.new_multi_writer();
    writer.add_delete(&a, None).unwrap();
    writer.add_check_version(&b, 7).unwrap();
    let failed = writer.commit().await.unwrap_err();
    assert_eq!(
        failed,
        zk::MultiWriteError::OperationFailed { index: 1, source: Error::BadVersion }
    );
    let mut reader = client.new_multi_reader();
    reader.add_get_data(&a).unwrap();
    reader.add_get_children(&path).unwrap();
    let results = reader.commit().await.unwrap();
    let zk::MultiReadResult::Data { data, stat } = &results[0] else { panic!("{results:?}") };
    assert_eq!((data.as_slice(), stat.version), (&b"3"[..], 1));
    let zk::MultiReadResult::Children { children } = &results[1] else { panic!("{results:?}") };
    assert_eq!(children.len(), 2);
}

/// C-097, C-080: the lock recipe: of several contenders one at a time holds it, in the order of
/// their nodes.
#[tokio::test]
async fn locks_exclude_one_another() {
    let server = shared();
    let observer = connect(&server).await;
    let path = scratch(&observer, "lock").await;
    let counter = format!("{path}-counter");
    observer.create(&counter, b"0", &CreateMode::Persistent.with_acls(OPEN)).await.unwrap();
    let mut contenders = Vec::new();
    for _ in 0..5 {
        let client = connect(&server).await;
        let (path, counter) = (path.clone(), counter.clone());
        contenders.push(tokio::spawn(async move {
            for _ in 0..5 {
                let prefix = LockPrefix::new_curator(&path, "latch-").unwrap();
                let lock = client.lock(prefix, b"", OPEN).await.expect("the lock");
                // Not atomic on purpose: only the lock keeps two from writing the same number.
                let (data, _) = client.get_data(&counter).await.unwrap();
                let n: u32 = String::from_utf8(data).unwrap().parse().unwrap();
                client.set_data(&counter, (n + 1).to_string().as_bytes(), None).await.unwrap();
                drop(lock);
            }
        }));
    }
    for contender in contenders {
        within(contender).await.expect("no contender failed");
    }
    assert_eq!(observer.get_data(&counter).await.unwrap().0, b"25");
}

/// C-187, C-188, C-194: auth.
#[tokio::test]
async fn auth_opens_what_its_creator_closed() {
    let server = shared();
    let (owner, other) = (connect(&server).await, connect(&server).await);
    let path = scratch(&owner, "auth").await;
    let node = format!("{path}/n");
    let options = CreateMode::Persistent.with_acls(Acls::creator_all());
    assert_eq!(owner.create(&node, b"", &options).await.unwrap_err(), Error::InvalidAcl);
    owner.auth("digest", b"owner:pw").await.unwrap();
    owner.create(&node, b"secret", &options).await.unwrap();
    assert_eq!(other.get_data(&node).await.unwrap_err(), Error::NoAuth);
    other.auth("digest", b"owner:pw").await.unwrap();
    assert_eq!(other.get_data(&node).await.unwrap().0, b"secret");
    let users = other.list_auth_users().await.unwrap();
    assert!(users.iter().any(|user| user.scheme() == "digest" && user.user() == "owner"));
}

/// C-006, C-137, C-239: the server is killed and started again: the session goes on with its
/// ephemerals, and its watches fire for what comes after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_kill_9_and_restart() {
    let mut server = TestServer::start(&[]);
    let client = connect(&server).await;
    let options = CreateMode::Persistent.with_acls(OPEN);
    client.create("/p", b"before", &options).await.unwrap();
    client.create("/p/e", b"", &CreateMode::Ephemeral.with_acls(OPEN)).await.unwrap();
    let mut persistent = client.watch("/p", AddWatchMode::PersistentRecursive).await.unwrap();
    let (_, _, oneshot) = client.get_and_watch_data("/p").await.unwrap();
    let mut states = client.state_watcher();
    let session = client.session_id();
    server.kill();
    assert_eq!(within(states.changed()).await, SessionState::Disconnected);
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    })
    .await
    .expect("restarted");
    while within(states.changed()).await != SessionState::SyncConnected {}
    assert_eq!(client.session_id(), session);
    let (data, _) = within(client.get_data("/p")).await.unwrap();
    assert_eq!(data, b"before");
    let stat = client.check_stat("/p/e").await.unwrap().expect("the ephemeral");
    assert_eq!(stat.ephemeral_owner, session.0);
    let writing = connect(&server).await;
    writing.set_data("/p", b"after", None).await.unwrap();
    assert_eq!(within(oneshot.changed()).await.event_type, EventType::NodeDataChanged);
    loop {
        let event = within(persistent.changed()).await;
        if event.event_type == EventType::NodeDataChanged {
            assert_eq!(event.path, "/p");
            break;
        }
        assert_eq!(event.event_type, EventType::Session);
    }
}
