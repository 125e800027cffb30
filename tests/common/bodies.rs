//! Request bodies, written field by field, and the numbers they are made of.
//!
//! The operations and flags are spelled out here once more on purpose: the suite must not take
//! them from the code it judges.

use zkserver::jute::Writer;
use zkserver::proto::Acl;
use zkserver::proto::acl::write_acl_vector;

/// Operation codes.
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
}

/// Create flags.
pub mod flag {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const TTL: i32 = 5;
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// `world:anyone` with all permissions.
pub fn open_acl() -> Vec<Acl> {
    vec![Acl::new(31, b"world", b"anyone")]
}

/// `world:anyone` with `perms`.
pub fn world(perms: i32) -> Vec<Acl> {
    vec![Acl::new(perms, b"world", b"anyone")]
}

/// A path alone: getACL, sync, getEphemerals, getAllChildrenNumber.
pub fn path(path: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    out
}

/// A path and a watch flag: exists, getData, getChildren, getChildren2.
pub fn watched(path: impl AsRef<[u8]>, watch: bool) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    out.put_bool(watch);
    out
}

/// A path and a number: delete, check, addWatch, checkWatches, removeWatches.
pub fn numbered(path: impl AsRef<[u8]>, number: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    out.put_int(number);
    out
}

/// create, create2, createContainer.
pub fn create(path: impl AsRef<[u8]>, data: Option<&[u8]>, acl: &[Acl], flags: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    out.put_buffer(data);
    write_acl_vector(acl, &mut out);
    out.put_int(flags);
    out
}

/// createTTL.
pub fn create_ttl(
    path: impl AsRef<[u8]>,
    data: Option<&[u8]>,
    acl: &[Acl],
    flags: i32,
    ttl: i64,
) -> Vec<u8> {
    let mut out = create(path, data, acl, flags);
    out.put_long(ttl);
    out
}

/// setData.
pub fn set_data(path: impl AsRef<[u8]>, data: Option<&[u8]>, version: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    out.put_buffer(data);
    out.put_int(version);
    out
}

/// setACL.
pub fn set_acl(path: impl AsRef<[u8]>, acl: &[Acl], version: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_ustring(path.as_ref());
    write_acl_vector(acl, &mut out);
    out.put_int(version);
    out
}

/// auth.
pub fn auth(scheme: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_int(0);
    out.put_ustring(scheme.as_bytes());
    out.put_buffer(Some(data));
    out
}

/// setWatches with three lists, setWatches2 with five.
pub fn set_watches(relative_zxid: i64, lists: &[&[&str]]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_long(relative_zxid);
    for list in lists {
        out.put_int(list.len() as i32);
        for path in *list {
            out.put_ustring(path.as_bytes());
        }
    }
    out
}

/// multi and multiRead: operation and body of every part, then the end.
pub fn multi(parts: &[(i32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (op, body) in parts {
        out.put_int(*op);
        out.put_bool(false);
        out.put_int(-1);
        out.extend_from_slice(body);
    }
    out.put_int(-1);
    out.put_bool(true);
    out.put_int(-1);
    out
}

/// A whole frame: length, xid, operation, body.
pub fn frame(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + body.len());
    out.put_int(8 + body.len() as i32);
    out.put_int(xid);
    out.put_int(op);
    out.extend_from_slice(body);
    out
}
