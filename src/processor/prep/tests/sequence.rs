//! Sequential names: the parent's counter, with everything outstanding counted.

use super::*;
use crate::processor::testing::*;
use crate::proto::txns::{CreateKind, CreateTxn};
use OpCode::*;

#[test]
fn creates_in_flight_get_one_number_after_the_other() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.apply_all();
    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "create /a/x-0000000000");
    assert_eq!(leader.prepare(Create, create("/a/y-", SEQUENTIAL)), "create /a/y-0000000001");
    assert_eq!(leader.prepare(Create, create("/a/plain", 0)), "create /a/plain");
    assert_eq!(leader.prepare(Create, create("/a/", SEQUENTIAL)), "create /a/0000000003");
    leader.apply_all();
    assert_eq!(leader.prepare(Create, create("/a/..", SEQUENTIAL)), "create /a/..0000000004");
    leader.apply_all();
}

#[test]
fn deletes_and_refused_creates_take_no_number() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(Create, create("/a/x", 0));
    leader.given(Delete, versioned("/a/x", -1));
    assert_eq!(leader.prepare(Create, create("/a/\u{1}", SEQUENTIAL)), "error -8");
    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "create /a/x-0000000001");
    leader.apply_all();
}

#[test]
fn a_parent_made_again_counts_from_zero() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(Create, create("/a/x", 0));
    leader.given(Delete, versioned("/a/x", -1));
    leader.given(Delete, versioned("/a", -1));
    leader.given(Create, create("/a", 0));
    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "create /a/x-0000000000");
    leader.apply_all();
}

/// C-096: the counter stays where it is, so the next name is the same again.
#[test]
fn a_counter_at_its_end_yields_the_last_name_once() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.apply_all();
    let header = TxnHeader {
        client_id: SessionId(1),
        cxid: 1,
        zxid: Zxid(2),
        time: 1,
        txn_type: Create.to_int(),
    };
    let txn = Txn::Create(CreateTxn {
        path: b"/a/first",
        data: None,
        acl: &open(),
        parent_cversion: i32::MAX,
        kind: CreateKind::Plain { ephemeral: false, with_stat: false },
    });
    leader.db.apply(&TxnRecord { header, txn, digest: None }, &mut ());
    leader.prep = PrepRequestProcessor::new(prep_options(), &leader.db);

    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "create /a/x-2147483647");
    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "error -110");
    leader.apply_all();
    assert_eq!(leader.prepare(Create, create("/a/x-", SEQUENTIAL)), "error -110");
    assert_eq!(leader.prepare(Create, create("/a/y-", SEQUENTIAL)), "create /a/y-2147483647");
    leader.apply_all();
    let parent = leader.db.tree.node(b"/a").unwrap().persisted();
    assert_eq!((parent.cversion, parent.pzxid), (i32::MAX, Zxid(2)));
}
