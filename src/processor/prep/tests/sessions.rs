//! closeSession: one transaction takes everything that belongs to the session.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

/// C-087, C-091
#[test]
fn it_lists_pending_creates_and_not_pending_deletes() {
    let mut leader = Leader::new();
    leader.given(Create, create("/kept", EPHEMERAL));
    leader.given(Create, create("/deleted", EPHEMERAL));
    leader.apply_all();
    leader.given(Create, create("/new", EPHEMERAL));
    leader.given(Delete, versioned("/deleted", -1));
    leader.given(Create, create("/new-and-deleted", EPHEMERAL));
    leader.given(Delete, versioned("/new-and-deleted", -1));
    leader.given(Create, create("/persistent", 0));
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession [/kept /new]");
    leader.apply_all();
    assert_eq!(leader.db.tree.ephemerals_count(), 0);
    assert!(leader.db.tree.node(b"/persistent").is_some());
}

/// Only the owner decides, never the name.
#[test]
fn a_node_that_another_session_made_again_is_not_listed() {
    let mut leader = Leader::new();
    leader.given(Create, create("/theirs", EPHEMERAL));
    leader.given(Create, create("/ours", EPHEMERAL));
    leader.apply_all();
    leader.given(Delete, versioned("/theirs", -1));
    assert_eq!(leader.prepare_for(2, Create, create("/theirs", EPHEMERAL)), "create /theirs");
    leader.given(Delete, versioned("/ours", -1));
    leader.given(Create, create("/ours", EPHEMERAL));
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession [/ours]");
    leader.apply_all();
    assert_eq!(leader.db.tree.ephemerals_of(SessionId(2)), [b"/theirs"]);
}

/// C-095
#[test]
fn a_parent_it_empties_can_be_deleted_right_behind_it() {
    let mut leader = Leader::new();
    leader.given(Create, create("/a", 0));
    leader.given(Create, create("/a/x", EPHEMERAL));
    leader.apply_all();
    leader.given(Create, create("/a/y", EPHEMERAL));
    assert_eq!(leader.prepare_for(2, Delete, versioned("/a", -1)), "error -111");
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession [/a/x /a/y]");
    assert_eq!(leader.prepare_for(2, Create, create("/a/x", 0)), "create /a/x");
    assert_eq!(leader.prepare_for(2, Delete, versioned("/a/x", -1)), "delete /a/x");
    assert_eq!(leader.prepare_for(2, Delete, versioned("/a", -1)), "delete /a");
    leader.apply_all();
}

/// C-092
#[test]
fn a_closing_session_makes_no_node() {
    let mut leader = Leader::new();
    leader.sessions.set_closing(SessionId(1));
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession []");
    assert_eq!(leader.prepare(Create, create("/a", EPHEMERAL)), "error -112");
    leader.apply_all();
}

/// In place of a list too long to be read back stands an empty one: the owner still decides.
#[test]
fn more_ephemerals_than_fit_a_transaction_go_by_their_owner() {
    let mut leader = Leader::with(PrepOptions { max_txn_bytes: 300, ..prep_options() });
    for n in 0..30 {
        leader.given(Create, create(&format!("/ephemeral-{n}"), EPHEMERAL));
    }
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession []");
    assert_eq!(leader.prepare_for(2, Create, create("/ephemeral-1", 0)), "create /ephemeral-1");
    leader.apply_all();
    assert_eq!(leader.db.tree.ephemerals_count(), 0);
}

/// C-274, C-275: where servers have local sessions, one that is not known is another server's. It
/// writes what belongs to nobody.
#[test]
fn another_server_s_local_session_makes_nodes_but_no_ephemerals() {
    let mut leader = Leader::new();
    let local = 2 << 56;
    assert_eq!(leader.prepare_for(local, Create, create("/a", 0)), "error -112");
    leader.sessions = SessionTracker::new(1000, 1, 0).with_local_sessions_elsewhere(1);
    assert_eq!(leader.prepare_for(local, Create, create("/a", 0)), "create /a");
    assert_eq!(leader.prepare_for(local, Create, create("/e", EPHEMERAL)), "error -112");
    assert_eq!(leader.prepare_for(1 << 56, Create, create("/b", 0)), "error -112", "its own");
    leader.apply_all();
}
