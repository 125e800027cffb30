//! Lists of many children, answered a piece at a time.

use super::*;
use crate::watch::WatcherType;

/// A client of a server whose node `/many` has so many children, and their names.
fn with_children(count: usize) -> (Client, Vec<String>) {
    let mut client = Client::established();
    client.send(&create(1, "/many"));
    client.commit(1, "/many", b"");
    client.resume();
    client.read_all();
    let names: Vec<_> = (0..count).map(|n| format!("child-{n:05}")).collect();
    for name in &names {
        add(&client, name);
    }
    (client, names)
}

/// The server applies what somebody else created.
fn add(client: &Client, name: &str) {
    let mut db = client.around.database.write();
    let zxid = db.last_processed().next();
    let path = format!("/many/{name}");
    let txn = Txn::Create(CreateTxn {
        path: path.as_bytes(),
        data: None,
        acl: &open(),
        parent_cversion: zxid.0 as i32,
        kind: CreateKind::Plain { ephemeral: false, with_stat: false },
    });
    let header = TxnHeader { client_id: SESSION, cxid: 1, zxid, time: 1, txn_type: 1 };
    db.apply(&TxnRecord { header, txn, digest: None }, &mut ());
}

/// The names of a getChildren2's reply, sorted, and how many children its stat has.
fn listed(reply: &Reply) -> (Vec<String>, i32) {
    assert_eq!(reply.err, 0);
    let mut r = Reader::unlimited(&reply.body);
    let count = r.int().unwrap();
    let name = |r: &mut Reader<'_>| String::from_utf8(r.ustring().unwrap().unwrap().to_vec());
    let mut names: Vec<_> = (0..count).map(|_| name(&mut r).unwrap()).collect();
    names.sort();
    let stat = r.rest();
    assert_eq!(stat.len(), 68, "a stat and nothing else");
    (names, i32::from_be_bytes(stat[56..60].try_into().unwrap()))
}

#[test]
fn a_long_list_comes_in_several_passes_and_is_whole() {
    let (mut client, names) = with_children(10_000);
    let ask = read(7, OpCode::GetChildren2, "/many", true);
    let mut pass = client.send(&[exists(6, "/many"), ask, exists(8, "/many")].concat());
    let mut passes = 1;
    while pass.more {
        assert_eq!(client.core.output().len(), 4 + 16 + 68, "the one before it is answered");
        pass = client.resume();
        passes += 1;
    }
    assert!(passes > 2);
    let replies = client.replies();
    assert_eq!(replies.iter().map(|reply| reply.xid).collect::<Vec<_>>(), [6, 7, 8]);
    assert_eq!(listed(&replies[1]), (names, 10_000));
    let db = client.around.database.read();
    assert_eq!(replies[1].zxid, db.last_processed().to_long());
    assert!(client.around.watches.contains(ConnectionId(1), b"/many", WatcherType::Children));
    assert!(client.core.long_list.is_none());
}

#[test]
fn a_list_that_changes_meanwhile_is_of_one_moment_all_the_same() {
    let (mut client, mut names) = with_children(10_000);
    let mut pass = client.send(&read(7, OpCode::GetChildren2, "/many", false));
    let mut changes = 0;
    while pass.more {
        // More often than it is begun anew.
        if changes < 20 {
            names.push(format!("new-{changes}"));
            add(&client, names.last().unwrap());
            changes += 1;
        }
        pass = client.resume();
    }
    assert!((3..20).contains(&changes), "at last it is answered at once: {changes}");
    names.sort();
    let replies = client.replies();
    assert_eq!(listed(&replies[0]), (names.clone(), names.len() as i32));
}

#[test]
fn a_list_that_is_forbidden_or_gone_meanwhile_is_an_error() {
    let (mut client, _) = with_children(10_000);
    assert!(client.send(&read(7, OpCode::GetChildren2, "/many", true)).more);
    {
        let mut db = client.around.database.write();
        let zxid = db.last_processed().next();
        let acl = crate::processor::testing::world(crate::proto::perms::WRITE);
        let txn = Txn::SetAcl { path: b"/many", acl: &acl, version: 1 };
        let header = TxnHeader { client_id: SESSION, cxid: 1, zxid, time: 1, txn_type: 7 };
        db.apply(&TxnRecord { header, txn, digest: None }, &mut ());
    }
    assert!(!client.resume().more);
    assert_eq!(client.codes(), [(7, ErrorCode::NoAuth.code())]);
    assert!(!client.around.watches.contains(ConnectionId(1), b"/many", WatcherType::Children));
}

/// A request may be large because of what stands behind its record.
#[test]
fn a_large_request_for_a_long_list_is_under_way_until_it_is_answered() {
    let (mut client, _) = with_children(10_000);
    let limit = Arc::new(LargeRequests::new(1000, 10_000));
    client.around.options.large_requests = Some(limit.clone());
    let mut body = Vec::new();
    body.put_ustring(b"/many");
    body.put_bool(false);
    body.resize(5000, 0);
    let mut pass = client.send(&request(7, OpCode::GetChildren2, &body));
    while pass.more {
        assert!(limit.bytes() > 5000);
        pass = client.resume();
    }
    assert_eq!(listed(&client.replies()[0]).1, 10_000);
    assert_eq!(limit.bytes(), 0);
}
