//! The order of the checks: each request breaks every rule from some place on, and the first rule
//! broken is the one that is told. Down a list, one more rule is kept.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

const BAD_ARGUMENTS: i32 = -8;
const UNIMPLEMENTED: i32 = -6;
const MARSHALLING: i32 = -5;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const SESSION_EXPIRED: i32 = -112;
const INVALID_ACL: i32 = -114;

const NO_ACL: [u8; 4] = [0; 4];

/// `/locked` may only be read and has the child `/locked/x`; `/secret` may not even be read;
/// `/eph` is an ephemeral of session 1; `/full` has a child.
fn leader() -> Leader {
    let mut leader = Leader::new();
    leader.given(Create, create("/full", 0));
    leader.given(Create, create("/full/x", 0));
    leader.given(Create, create("/eph", EPHEMERAL));
    leader.given(Create, create("/locked", 0));
    leader.given(Create, create_with("/locked/x", &world(perms::READ), 0));
    leader.given(SetAcl, set_acl("/locked", &world(perms::READ), -1));
    leader.given(Create, create_with("/secret", &world(perms::CREATE), 0));
    leader
}

/// Every rule gives the same verdict on what is pending and on what was applied.
fn judge(table: &[(i64, OpCode, Vec<u8>, i32)]) {
    let mut pending = leader();
    let mut applied = leader();
    applied.apply_all();
    for (line, (session, op, body, code)) in table.iter().enumerate() {
        let told = pending.code(*session, *op, body.clone());
        assert_eq!(told, *code, "line {line}, {op:?} on pending nodes");
        let told = applied.code(*session, *op, body.clone());
        assert_eq!(told, *code, "line {line}, {op:?} on applied nodes");
    }
    pending.apply_all();
    applied.apply_all();
}

#[test]
fn create_judges_flags_ttl_session_shape_acl_parent_permission_path_node_and_owner() {
    let with = create_with;
    judge(&[
        (STRANGER, Create, with("x", &NO_ACL, 7), BAD_ARGUMENTS),
        (STRANGER, Create, with("x", &NO_ACL, 5), BAD_ARGUMENTS),
        (STRANGER, CreateTtl, create_ttl("x", 0, 5), BAD_ARGUMENTS),
        (STRANGER, CreateTtl, create_ttl("x", 5, 0), BAD_ARGUMENTS),
        (STRANGER, CreateTtl, create_ttl("x", 5, 0x100_0000_0000), BAD_ARGUMENTS),
        (STRANGER, Create, with("x", &NO_ACL, 0), SESSION_EXPIRED),
        (1, Create, with("x", &NO_ACL, 0), BAD_ARGUMENTS),
        (1, Create, with("/none/a\0b", &NO_ACL, 0), BAD_ARGUMENTS),
        (1, Create, with("/none/.", &NO_ACL, 0), INVALID_ACL),
        (1, Create, with("/none/.", &open(), 0), NO_NODE),
        (1, Create, with("/locked/.", &open(), 0), NO_AUTH),
        (1, Create, with("/locked/x", &open(), 0), NO_AUTH),
        (1, Create, with("/eph/.", &open(), 0), BAD_ARGUMENTS),
        (1, Create, with("/full/x", &open(), 0), NODE_EXISTS),
        (1, Create, with("/", &open(), 0), NODE_EXISTS),
        (1, Create, with("/eph/x", &open(), 0), NO_CHILDREN_FOR_EPHEMERALS),
        (1, Create, with("/full/y", &open(), 0), 0),
    ]);
}

#[test]
fn ttl_nodes_without_extended_types_are_unimplemented_whatever_else_is_wrong() {
    let owners = OwnerEncoding::default();
    let mut leader = Leader::with(PrepOptions { owners, ..prep_options() });
    let told = leader.code(STRANGER, CreateTtl, create_ttl("x", 5, 0));
    assert_eq!(told, UNIMPLEMENTED);
    assert_eq!(leader.code(STRANGER, Create, create("x", 6)), UNIMPLEMENTED);
    assert_eq!(leader.code(STRANGER, CreateTtl, create_ttl("x", 0, 5)), UNIMPLEMENTED);
    assert_eq!(leader.code(STRANGER, CreateTtl, create_ttl("x", 7, 0)), BAD_ARGUMENTS);
}

#[test]
fn delete_judges_session_path_parent_permission_node_version_and_children() {
    judge(&[
        (STRANGER, Delete, versioned("x", 5), SESSION_EXPIRED),
        (1, Delete, versioned("x", 5), BAD_ARGUMENTS),
        (1, Delete, versioned("/", 5), BAD_ARGUMENTS),
        (1, Delete, versioned("/zookeeper", 5), BAD_ARGUMENTS),
        (1, Delete, versioned("/none/x", 5), NO_NODE),
        (1, Delete, versioned("/locked/none", 5), NO_AUTH),
        (1, Delete, versioned("/none", 5), NO_NODE),
        (1, Delete, versioned("/full/", 5), NO_NODE),
        (1, Delete, versioned("/full", 5), BAD_VERSION),
        (1, Delete, versioned("/full", 0), NOT_EMPTY),
        (1, Delete, versioned("/full/x", 0), 0),
    ]);
}

#[test]
fn set_data_judges_session_path_node_permission_and_version() {
    judge(&[
        (STRANGER, SetData, set_data("x", b"", 5), SESSION_EXPIRED),
        (1, SetData, set_data("x", b"", 5), BAD_ARGUMENTS),
        (1, SetData, set_data("/full/", b"", 5), BAD_ARGUMENTS),
        (1, SetData, set_data("/none", b"", 5), NO_NODE),
        (1, SetData, set_data("/locked", b"", 5), NO_AUTH),
        (1, SetData, set_data("/full", b"", 5), BAD_VERSION),
        (1, SetData, set_data("/full", b"", -2), BAD_VERSION),
        (1, SetData, set_data("/full", b"", 0), 0),
        (1, SetData, set_data("/", b"", -1), 0),
    ]);
}

#[test]
fn set_acl_judges_session_path_list_node_permission_and_version() {
    judge(&[
        (STRANGER, SetAcl, set_acl("x", &NO_ACL, 5), SESSION_EXPIRED),
        (1, SetAcl, set_acl("x", &NO_ACL, 5), BAD_ARGUMENTS),
        (1, SetAcl, set_acl("/none", &NO_ACL, 5), INVALID_ACL),
        (1, SetAcl, set_acl("/none", &open(), 5), NO_NODE),
        (1, SetAcl, set_acl("/locked", &open(), 5), NO_AUTH),
        (1, SetAcl, set_acl("/full", &open(), 5), BAD_VERSION),
        (1, SetAcl, set_acl("/full", &open(), 0), 0),
    ]);
}

#[test]
fn a_check_judges_session_path_node_permission_and_version() {
    let check = |session, path, version, code: i32| {
        let mut leader = leader();
        let words = leader.prepare_for(session, Multi, multi(&[(Check, versioned(path, version))]));
        assert_eq!(words, format!("multi [error {code}]"), "{path}");
        leader.apply_all();
    };
    check(STRANGER, "x", 5, SESSION_EXPIRED);
    check(1, "x", 5, BAD_ARGUMENTS);
    check(1, "/none", 5, NO_NODE);
    check(1, "/secret", 5, NO_AUTH);
    check(1, "/full", 5, BAD_VERSION);
}

/// Nobody asks for it but the server itself, which need not be alive to anyone.
#[test]
fn a_container_deletion_is_judged_by_what_is_pending() {
    judge(&[
        (0, DeleteContainer, b"/none".to_vec(), NO_NODE),
        (0, DeleteContainer, b"/full".to_vec(), NOT_EMPTY),
        (1, Delete, versioned("/full/x", -1), 0),
        (0, DeleteContainer, b"/full".to_vec(), 0),
        (1, Create, create("/full/y", 0), NO_NODE),
    ]);
}

/// C-287, F-5
#[test]
fn what_cannot_be_read_is_told_before_anything_is_judged() {
    let mut null_path = Vec::new();
    crate::jute::Writer::put_buffer(&mut null_path, None);
    null_path.extend(versioned("", 0));
    judge(&[
        (STRANGER, Create, b"\0\0\0\x05/a".to_vec(), MARSHALLING),
        (STRANGER, Delete, vec![], MARSHALLING),
        (STRANGER, Delete, null_path, MARSHALLING),
        (STRANGER, Multi, vec![0; 3], MARSHALLING),
    ]);
}

/// C-072
#[test]
fn a_refused_request_has_a_zxid_of_its_own_and_changes_nothing() {
    let mut leader = Leader::new();
    let digest = leader.db.tree.digest();
    assert_eq!(leader.prepare(Delete, versioned("/none", -1)), "error -101");
    assert_eq!(leader.prepare(Create, create("/a", 0)), "create /a");
    let zxids: Vec<_> = leader.proposals.iter().map(|proposal| proposal.zxid).collect();
    assert_eq!(zxids, [Zxid(1), Zxid(2)]);
    assert_eq!(leader.prep.outstanding(), 2, "the node and its parent");
    leader.apply_next();
    assert_eq!((leader.db.tree.digest(), leader.db.last_processed()), (digest, Zxid(1)));
}

#[test]
fn a_transaction_that_its_readers_would_refuse_gets_no_place_and_leaves_no_record() {
    let mut leader = Leader::with(PrepOptions { max_txn_bytes: 200, ..prep_options() });
    let digest = leader.prep.outstanding.digest();
    assert_eq!(leader.prepare(Create, create(&format!("/{}", "a".repeat(200)), 0)), "error -5");
    assert_eq!((leader.prep.outstanding(), leader.prep.outstanding.digest()), (0, digest));
}
