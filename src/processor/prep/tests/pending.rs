//! What is pending is judged as if it had been applied.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

#[test]
fn a_pending_node_can_be_written_and_has_the_version_it_will_have() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    assert_eq!(leader.prepare(SetData, set_data("/a", b"1", 0)), "setData /a 1");
    assert_eq!(leader.prepare(SetData, set_data("/a", b"2", 1)), "setData /a 2");
    assert_eq!(leader.prepare(SetData, set_data("/a", b"3", 1)), "error -103");
    leader.apply_all();
}

#[test]
fn a_node_whose_deletion_is_pending_is_gone_and_can_be_made_again() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(SetData, set_data("/a", b"1", 0));
    leader.apply_all();
    assert_eq!(leader.prepare(Delete, versioned("/a", 1)), "delete /a");
    assert_eq!(leader.prepare(SetData, set_data("/a", b"", -1)), "error -101");
    assert_eq!(leader.prepare(Create, create("/a/x", 0)), "error -101");
    assert_eq!(leader.prepare(Create, create("/a", 0)), "create /a");
    assert_eq!(leader.prepare(SetData, set_data("/a", b"1", 1)), "error -103");
    leader.apply_all();
}

#[test]
fn a_parent_is_empty_when_the_deletion_of_its_last_child_is_pending() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(Create, create("/a/x", 0));
    assert_eq!(leader.prepare(Delete, versioned("/a", -1)), "error -111");
    leader.given(Delete, versioned("/a/x", -1));
    assert_eq!(leader.prepare(Delete, versioned("/a", -1)), "delete /a");
    leader.apply_all();
}

/// C-202
#[test]
fn a_pending_acl_is_the_one_that_judges() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.apply_all();
    leader.given(SetAcl, set_acl("/a", &world(perms::READ | perms::ADMIN), -1));
    assert_eq!(leader.prepare(Create, create("/a/x", 0)), "error -102");
    leader.given(SetAcl, set_acl("/a", &open(), 1));
    assert_eq!(leader.prepare(Create, create("/a/x", 0)), "create /a/x");
    leader.apply_all();
}

/// Apply runs ahead of the report that it did.
#[test]
fn between_apply_and_retirement_nothing_looks_different() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(Create, create("/a/x", 0));
    leader.given(Delete, versioned("/a/x", -1));
    let before = leader.pending("/a").unwrap();
    let mut last = None;
    while let Some(zxid) = leader.apply_next() {
        let now = leader.pending("/a").unwrap();
        assert_eq!((now.stat, now.num_children), (before.stat, before.num_children));
        assert!(leader.pending("/a/x").is_none());
        last = Some(zxid);
    }
    leader.prep.retire(last.unwrap());
    let now = leader.pending("/a").unwrap();
    assert_eq!((now.stat, now.num_children), (before.stat, before.num_children));
    assert_eq!(leader.prep.outstanding(), 0);
}
