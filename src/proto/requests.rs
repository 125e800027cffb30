//! What clients send: borrowed views of the request bodies.
//!
//! Decoding is all that happens here; whether a path may be null or what a flag means is decided
//! where the request is processed. Bytes after a record are ignored, a missing byte is an error.

use super::acl::raw_acl_vector;
use super::ids::{SessionId, Zxid};
use super::op_code::OpCode;
use crate::jute::{JuteError, Reader, Writer};

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Ignored.
    pub protocol_version: i32,
    /// The newest transaction this client has seen anywhere.
    pub last_zxid_seen: Zxid,
    /// The wished session timeout in milliseconds.
    pub timeout_ms: i32,
    /// 0 asks for a new session.
    pub session_id: SessionId,
    /// The session's password; anything for a new session.
    pub password: Option<&'a [u8]>,
    /// `None` when the client is older than the field; then the response leaves it out too.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(ConnectRequest {
            protocol_version: r.int()?,
            last_zxid_seen: Zxid::from_long(r.long()?),
            timeout_ms: r.int()?,
            session_id: SessionId(r.long()?),
            password: r.buffer()?,
            read_only: if r.remaining() > 0 { Some(r.bool()?) } else { None },
        })
    }
}

/// The header of every later frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request, echoed in the reply.
    pub xid: i32,
    /// The operation's number; not every number is an [`OpCode`].
    pub op: i32,
}

impl RequestHeader {
    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(RequestHeader { xid: r.int()?, op: r.int()? })
    }
}

/// create, create2 and createContainer; with a ttl, createTTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CreateRequest<'a> {
    pub path: Option<&'a [u8]>,
    pub data: Option<&'a [u8]>,
    /// The encoded, well-formed ACL vector.
    pub acl: &'a [u8],
    pub flags: i32,
    /// Milliseconds; only createTTL has it.
    pub ttl: Option<i64>,
}

/// The last of the flags, persistent sequential with a ttl.
pub const MAX_CREATE_FLAGS: i32 = 6;

impl<'a> CreateRequest<'a> {
    /// Reads the record of `op`, one of the four creates.
    pub fn read(op: OpCode, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(CreateRequest {
            path: r.ustring()?,
            data: r.buffer()?,
            acl: raw_acl_vector(r)?,
            flags: r.int()?,
            ttl: if op == OpCode::CreateTtl { Some(r.long()?) } else { None },
        })
    }
}

/// delete, and check inside a multi: a path with an expected version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct VersionedPath<'a> {
    pub path: Option<&'a [u8]>,
    pub version: i32,
}

impl<'a> VersionedPath<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(VersionedPath { path: r.ustring()?, version: r.int()? })
    }
}

/// setData.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SetDataRequest<'a> {
    pub path: Option<&'a [u8]>,
    pub data: Option<&'a [u8]>,
    pub version: i32,
}

impl<'a> SetDataRequest<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(SetDataRequest { path: r.ustring()?, data: r.buffer()?, version: r.int()? })
    }
}

/// setACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SetAclRequest<'a> {
    pub path: Option<&'a [u8]>,
    /// The encoded, well-formed ACL vector.
    pub acl: &'a [u8],
    pub version: i32,
}

impl<'a> SetAclRequest<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(SetAclRequest { path: r.ustring()?, acl: raw_acl_vector(r)?, version: r.int()? })
    }
}

/// exists, getData, getChildren, getChildren2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct WatchedRead<'a> {
    pub path: Option<&'a [u8]>,
    pub watch: bool,
}

impl<'a> WatchedRead<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(WatchedRead { path: r.ustring()?, watch: r.bool()? })
    }
}

/// getACL, sync, getAllChildrenNumber, getEphemerals, deleteContainer: a record of one path.
pub fn read_path<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, JuteError> {
    r.ustring()
}

/// checkWatches, removeWatches (a type) and addWatch (a mode): a path and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NumberedPath<'a> {
    pub path: Option<&'a [u8]>,
    pub number: i32,
}

impl<'a> NumberedPath<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(NumberedPath { path: r.ustring()?, number: r.int()? })
    }
}

/// setWatches, setWatches2: what a client that was away wants to be told, or watched again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct SetWatches<'a> {
    pub relative_zxid: Zxid,
    pub data: Vec<&'a [u8]>,
    pub exist: Vec<&'a [u8]>,
    pub child: Vec<&'a [u8]>,
    pub persistent: Vec<&'a [u8]>,
    pub persistent_recursive: Vec<&'a [u8]>,
}

impl<'a> SetWatches<'a> {
    /// Reads the record of `op`; setWatches2 has the last two lists. A null list, or a null
    /// path in one, is an error (C-290, F-7).
    pub fn read(op: OpCode, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        let relative_zxid = Zxid::from_long(r.long()?);
        let data = path_list(r)?;
        let exist = path_list(r)?;
        let child = path_list(r)?;
        let (persistent, persistent_recursive) = if op == OpCode::SetWatches2 {
            (path_list(r)?, path_list(r)?)
        } else {
            (Vec::new(), Vec::new())
        };
        Ok(SetWatches { relative_zxid, data, exist, child, persistent, persistent_recursive })
    }
}

fn path_list<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, JuteError> {
    let count = r.vector()?.ok_or(JuteError::UnexpectedNull)?;
    let mut paths = Vec::new();
    for _ in 0..count {
        paths.push(r.required_ustring()?);
    }
    Ok(paths)
}

/// reconfig: members that join and leave, or all members there shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconfigRequest<'a> {
    /// `server.N=…` of those that join or change, between commas.
    pub joining: Option<&'a [u8]>,
    /// The ids of those that leave, between commas.
    pub leaving: Option<&'a [u8]>,
    /// Everybody, between commas or on lines; instead of the other two.
    pub new_members: Option<&'a [u8]>,
    /// The version of the configuration this is meant for; -1: whichever there is.
    pub cur_config_id: i64,
}

impl<'a> ReconfigRequest<'a> {
    /// Reads the record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(ReconfigRequest {
            joining: r.ustring()?,
            leaving: r.ustring()?,
            new_members: r.ustring()?,
            cur_config_id: r.long()?,
        })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_buffer(self.joining);
        out.put_buffer(self.leaving);
        out.put_buffer(self.new_members);
        out.put_long(self.cur_config_id);
    }
}

/// auth: one more identity for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AuthPacket<'a> {
    pub scheme: Option<&'a [u8]>,
    pub auth: Option<&'a [u8]>,
}

impl<'a> AuthPacket<'a> {
    /// Reads the record; its first field, a type, means nothing.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        r.int()?;
        Ok(AuthPacket { scheme: r.ustring()?, auth: r.buffer()? })
    }
}

/// What stands before every part of a multi, in requests and replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiHeader {
    /// The part's operation; -1 for an error result and for the end.
    pub op: i32,
    /// Whether this is the end marker.
    pub done: bool,
    /// The part's error in replies; -1 in requests and in the end marker.
    pub err: i32,
}

impl MultiHeader {
    /// The end marker.
    pub const END: MultiHeader = MultiHeader { op: -1, done: true, err: -1 };

    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(MultiHeader { op: r.int()?, done: r.bool()?, err: r.int()? })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.op);
        out.put_bool(self.done);
        out.put_int(self.err);
    }
}

/// One part of a multi or a multiRead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MultiPart<'a> {
    Create(OpCode, CreateRequest<'a>),
    Delete(VersionedPath<'a>),
    SetData(SetDataRequest<'a>),
    Check(VersionedPath<'a>),
    GetData(WatchedRead<'a>),
    GetChildren(WatchedRead<'a>),
}

impl<'a> MultiPart<'a> {
    /// Reads the next part; `None` at the end marker.
    ///
    /// # Errors
    /// An operation that neither a multi nor a multiRead may contain makes the record
    /// undecodable, as in Java.
    pub fn read(r: &mut Reader<'a>) -> Result<Option<Self>, JuteError> {
        let header = MultiHeader::read(r)?;
        if header.done {
            return Ok(None);
        }
        Ok(Some(match OpCode::from_int(header.op) {
            Some(
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl),
            ) => MultiPart::Create(op, CreateRequest::read(op, r)?),
            Some(OpCode::Delete) => MultiPart::Delete(VersionedPath::read(r)?),
            Some(OpCode::SetData) => MultiPart::SetData(SetDataRequest::read(r)?),
            Some(OpCode::Check) => MultiPart::Check(VersionedPath::read(r)?),
            Some(OpCode::GetData) => MultiPart::GetData(WatchedRead::read(r)?),
            Some(OpCode::GetChildren) => MultiPart::GetChildren(WatchedRead::read(r)?),
            _ => return Err(JuteError::UnknownTag(header.op)),
        }))
    }

    /// Whether the part belongs into a multiRead.
    pub fn is_read(&self) -> bool {
        matches!(self, MultiPart::GetData(_) | MultiPart::GetChildren(_))
    }
}
