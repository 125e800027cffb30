//! A multi: all parts or none, each seeing what the ones before it did.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

/// C-166, C-171
#[test]
fn later_parts_see_earlier_ones() {
    let mut leader = Leader::new();
    let words = leader.prepare(
        Multi,
        multi(&[
            (Create, create("/a", 0)),
            (Create, create("/a/x", 0)),
            (SetData, set_data("/a", b"1", 0)),
            (SetData, set_data("/a", b"2", 1)),
            (Check, versioned("/a", 2)),
            (Delete, versioned("/a/x", 0)),
            (Create, create("/a/x", 0)),
        ]),
    );
    let expected = "multi [create /a, create /a/x, setData /a 1, setData /a 2, check /a 3, \
                    delete /a/x, create /a/x]";
    assert_eq!(words, expected);
    leader.apply_all();
}

/// C-165, C-170
#[test]
fn a_failed_multi_does_nothing_and_gives_its_numbers_back() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    let parts = [
        (Create, create("/a/x-", SEQUENTIAL)),
        (Create, create("/a/x-", SEQUENTIAL)),
        (Delete, versioned("/none", -1)),
        (Create, create("/b", 0)),
        (Delete, versioned("/also-none", -1)),
    ];
    let words = leader.prepare(Multi, multi(&parts));
    let expected = "multi [create /a/x-0000000000, create /a/x-0000000001, error -101, error -2, \
                    error -2]";
    assert_eq!(words, expected);
    assert_eq!(leader.prepare(Create, create("/a/y-", SEQUENTIAL)), "create /a/y-0000000000");
    leader.apply_all();
    assert_eq!(leader.db.tree.node(b"/a").unwrap().num_children(), 1);
}

/// C-172, ZOOKEEPER-1624, ZOOKEEPER-2052
#[test]
fn a_failed_multi_leaves_the_records_of_other_requests_as_they_were() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(SetData, set_data("/a", b"1", 0));
    leader.given(Create, create("/b", 0));
    leader.given(Delete, versioned("/b", 0));
    let outstanding = leader.prep.outstanding();
    let parts = [
        (SetData, set_data("/a", b"2", 1)),
        (Create, create("/b", 0)),
        (Create, create("/a/x", 0)),
        (Delete, versioned("/a/x", 0)),
        (Delete, versioned("/a", 2)),
        (Check, versioned("/a", 2)),
    ];
    let words = leader.prepare(Multi, multi(&parts));
    assert!(words.ends_with("delete /a, error -101]"), "{words}");
    assert_eq!(leader.prep.outstanding(), outstanding);
    assert_eq!(leader.prepare(SetData, set_data("/a", b"2", 1)), "setData /a 2");
    assert_eq!(leader.prepare(SetData, set_data("/b", b"", -1)), "error -101");
    leader.apply_all();
}

/// C-174
#[test]
fn what_does_not_belong_into_a_multi_fails_it_as_a_whole() {
    let mut leader = Leader::new();
    for op in [GetData, SetAcl, Sync, CreateSession, DeleteContainer] {
        let mut body = multi(&[(Create, create("/a", 0)), (op, versioned("/a", 0))]);
        assert_eq!(leader.prepare(Multi, std::mem::take(&mut body)), "error -5", "{op:?}");
        assert_eq!(leader.prep.outstanding(), 0);
    }
    leader.apply_all();
}

/// C-173
#[test]
fn an_empty_multi_succeeds() {
    let mut leader = Leader::new();
    assert_eq!(leader.prepare(Multi, multi(&[])), "multi []");
    leader.apply_all();
}

/// a session that is gone fails every kind of part.
#[test]
fn a_strangers_multi_fails_at_its_first_part() {
    let mut leader = Leader::new();
    let parts = [(Create, create("/a", 0)), (Create, create("/b", 0))];
    let words = leader.prepare_for(STRANGER, Multi, multi(&parts));
    assert_eq!(words, "multi [error -112, error -2]");
    leader.apply_all();
}

/// Releases before 3.8.2 pass over a create2 in a logged multi without a word.
#[test]
fn create2_can_be_logged_as_what_old_releases_understand() {
    let logged = |multi_has_create2| {
        let mut leader = Leader::with(PrepOptions { multi_has_create2, ..prep_options() });
        leader.prepare(Multi, multi(&[(Create2, create("/a", 0))]));
        let txn = leader.proposals.back().expect("prepared").txn.clone();
        let record = TxnRecord::read(&txn, usize::MAX).expect("a transaction");
        let Txn::Multi(parts) = record.txn else { panic!("a multi") };
        leader.apply_all();
        parts.parts().map(|(txn_type, _)| txn_type).collect::<Vec<_>>()
    };
    assert_eq!(logged(true), [Create2.to_int()]);
    assert_eq!(logged(false), [Create.to_int()]);
}
