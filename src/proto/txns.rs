//! Transactions: what a log record, and later a PROPOSAL, carries.
//!
//! ```text
//! TxnHeader  clientId long, cxid int, zxid long, time long, type int   (32 bytes)
//! body       by type, see [`Txn`]
//! TxnDigest  version int, treeDigest long                               (12 bytes, optional)
//! ```
//!
//! A transaction is encoded once, when it is prepared; the log, a learner and the tree all read
//! the same bytes.

use super::acl::raw_acl_vector;
use super::ids::{SessionId, Zxid};
use super::op_code::OpCode;
use crate::jute::{JuteError, Reader, Writer};

/// Who asked for a transaction, its place in the order, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked; 0 for the server's own.
    pub client_id: SessionId,
    /// The request's xid.
    pub cxid: i32,
    /// The transaction's id.
    pub zxid: Zxid,
    /// The leader's wall clock in milliseconds: the nodes' ctime and mtime.
    pub time: i64,
    /// The type's number; -1 when the request failed.
    pub txn_type: i32,
}

impl TxnHeader {
    /// Bytes of the record.
    pub const SIZE: usize = 32;
    /// Where the time stands in it.
    pub const TIME_BYTES: std::ops::Range<usize> = 20..28;
    /// Where the type stands in it.
    pub const TYPE_AT: usize = 28;

    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(TxnHeader {
            client_id: SessionId(r.long()?),
            cxid: r.int()?,
            zxid: Zxid::from_long(r.long()?),
            time: r.long()?,
            txn_type: r.int()?,
        })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.client_id.0);
        out.put_int(self.cxid);
        out.put_long(self.zxid.to_long());
        out.put_long(self.time);
        out.put_int(self.txn_type);
    }
}

/// The digest of the tree after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// Only version 2 is computed here.
    pub version: i32,
    /// The sum of the nodes' digests.
    pub tree_digest: u64,
}

/// The digest's version, as today's servers compute it.
pub const DIGEST_VERSION: i32 = 2;

impl TxnDigest {
    /// Bytes of the record.
    pub const SIZE: usize = 12;

    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(TxnDigest { version: r.int()?, tree_digest: r.long()? as u64 })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.version);
        out.put_long(self.tree_digest as i64);
    }
}

/// What kind of node a create makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// create and create2; the type is remembered because a multi's reply depends on it.
    Plain {
        /// Whether the node belongs to the header's session.
        ephemeral: bool,
        /// Whether the type was create2.
        with_stat: bool,
    },
    /// createContainer.
    Container,
    /// createTTL, milliseconds.
    Ttl(i64),
}

/// A create of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CreateTxn<'a> {
    pub path: &'a [u8],
    pub data: Option<&'a [u8]>,
    /// The encoded, well-formed ACL vector.
    pub acl: &'a [u8],
    /// The parent's stored cversion afterwards; -1 in records older than the field.
    pub parent_cversion: i32,
    pub kind: CreateKind,
}

/// A transaction's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Txn<'a> {
    CreateSession {
        timeout_ms: i32,
    },
    /// The ephemerals as the leader knew them, one encoded vector of paths; `None` in records
    /// without a body.
    CloseSession {
        paths: Option<PathVector<'a>>,
    },
    Create(CreateTxn<'a>),
    /// delete and deleteContainer.
    Delete {
        path: &'a [u8],
    },
    /// setData and reconfig; the version is the new one.
    SetData {
        path: &'a [u8],
        data: Option<&'a [u8]>,
        version: i32,
    },
    /// The version is the new aversion.
    SetAcl {
        path: &'a [u8],
        acl: &'a [u8],
        version: i32,
    },
    /// Only inside a multi.
    Check {
        path: &'a [u8],
        version: i32,
    },
    Error {
        err: i32,
    },
    Multi(MultiTxn<'a>),
}

/// A well-formed, encoded vector of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathVector<'a>(&'a [u8]);

impl<'a> PathVector<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        let start = r.position();
        for _ in 0..r.vector()?.unwrap_or(0) {
            r.required_ustring()?;
        }
        Ok(PathVector(r.since(start)))
    }

    /// The paths.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::unlimited(self.0);
        let count = r.vector().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| r.required_ustring().ok())
    }
}

/// The parts of a multi: well-formed, encoded sub-transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiTxn<'a> {
    raw: &'a [u8],
    count: usize,
    failed: bool,
}

impl<'a> MultiTxn<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, JuteError> {
        let start = r.position();
        let (mut count, mut failed) = (0, false);
        for _ in 0..r.vector()?.unwrap_or(0) {
            let txn_type = r.int()?;
            let body = r.buffer()?.ok_or(JuteError::UnexpectedNull)?;
            // Judged before it is read: a multi within a multi could nest without end.
            if !MultiTxn::may_contain(txn_type) {
                return Err(JuteError::UnknownTag(txn_type));
            }
            let part = Txn::read(txn_type, &mut Reader::unlimited(body))?;
            failed |= matches!(part, Txn::Error { .. });
            count += 1;
        }
        Ok(MultiTxn { raw: r.since(start), count, failed })
    }

    fn may_contain(txn_type: i32) -> bool {
        use OpCode::*;
        matches!(
            OpCode::from_int(txn_type),
            Some(
                Create
                    | Create2
                    | CreateContainer
                    | CreateTtl
                    | Delete
                    | DeleteContainer
                    | SetData
                    | Reconfig
                    | SetAcl
                    | Check
                    | Error
            )
        )
    }

    /// The parts, each with its type's number.
    pub fn parts(&self) -> impl Iterator<Item = (i32, Txn<'a>)> + use<'a> {
        let mut r = Reader::unlimited(self.raw);
        let count = r.vector().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| {
            let txn_type = r.int().ok()?;
            let mut body = Reader::unlimited(r.buffer().ok()??);
            Some((txn_type, Txn::read(txn_type, &mut body).ok()?))
        })
    }

    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a part is an error: then nothing of the multi was or will be applied.
    pub fn failed(&self) -> bool {
        self.failed
    }
}

impl<'a> Txn<'a> {
    /// Reads a body of the type with number `txn_type`.
    ///
    /// # Errors
    /// A type that no version of the log contains, or a body that does not parse.
    pub fn read(txn_type: i32, r: &mut Reader<'a>) -> Result<Self, JuteError> {
        let op = OpCode::from_int(txn_type).ok_or(JuteError::UnknownTag(txn_type))?;
        Ok(match op {
            OpCode::CreateSession => Txn::CreateSession { timeout_ms: r.int()? },
            OpCode::CloseSession => Txn::CloseSession { paths: read_close_session(r)? },
            OpCode::Create | OpCode::Create2 => {
                let (path, data, acl) = create_head(r)?;
                let ephemeral = r.bool()?;
                // CreateTxnV0, before 3.4, ends here.
                let parent_cversion = if r.remaining() < 4 { -1 } else { r.int()? };
                let kind = CreateKind::Plain { ephemeral, with_stat: op == OpCode::Create2 };
                Txn::Create(CreateTxn { path, data, acl, parent_cversion, kind })
            }
            OpCode::CreateContainer => {
                let (path, data, acl) = create_head(r)?;
                let parent_cversion = r.int()?;
                let kind = CreateKind::Container;
                Txn::Create(CreateTxn { path, data, acl, parent_cversion, kind })
            }
            OpCode::CreateTtl => {
                let (path, data, acl) = create_head(r)?;
                let parent_cversion = r.int()?;
                let kind = CreateKind::Ttl(r.long()?);
                Txn::Create(CreateTxn { path, data, acl, parent_cversion, kind })
            }
            OpCode::Delete | OpCode::DeleteContainer => Txn::Delete { path: r.required_ustring()? },
            OpCode::SetData | OpCode::Reconfig => {
                Txn::SetData { path: r.required_ustring()?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::SetAcl => Txn::SetAcl {
                path: r.required_ustring()?,
                acl: raw_acl_vector(r)?,
                version: r.int()?,
            },
            OpCode::Check => Txn::Check { path: r.required_ustring()?, version: r.int()? },
            OpCode::Error => Txn::Error { err: r.int()? },
            OpCode::Multi => Txn::Multi(MultiTxn::read(r)?),
            OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::GetChildren2
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::Sasl
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::WhoAmI => return Err(JuteError::UnknownTag(txn_type)),
        })
    }

    /// Appends the body.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Txn::CreateSession { timeout_ms } => out.put_int(*timeout_ms),
            Txn::CloseSession { paths } => {
                if let Some(PathVector(raw)) = paths {
                    out.extend_from_slice(raw);
                }
            }
            Txn::Create(create) => {
                out.put_ustring(create.path);
                out.put_buffer(create.data);
                out.extend_from_slice(create.acl);
                if let CreateKind::Plain { ephemeral, .. } = create.kind {
                    out.put_bool(ephemeral);
                }
                out.put_int(create.parent_cversion);
                if let CreateKind::Ttl(ttl) = create.kind {
                    out.put_long(ttl);
                }
            }
            Txn::Delete { path } => out.put_ustring(path),
            Txn::SetData { path, data, version } => {
                out.put_ustring(path);
                out.put_buffer(*data);
                out.put_int(*version);
            }
            Txn::SetAcl { path, acl, version } => {
                out.put_ustring(path);
                out.extend_from_slice(acl);
                out.put_int(*version);
            }
            Txn::Check { path, version } => {
                out.put_ustring(path);
                out.put_int(*version);
            }
            Txn::Error { err } => out.put_int(*err),
            Txn::Multi(multi) => out.extend_from_slice(multi.raw),
        }
    }
}

/// What all creates begin with: path, data, ACL.
type CreateHead<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn create_head<'a>(r: &mut Reader<'a>) -> Result<CreateHead<'a>, JuteError> {
    Ok((r.required_ustring()?, r.buffer()?, raw_acl_vector(r)?))
}

/// A closeSession without a body but with a digest can be taken for one with a body. On all real
/// data this tells them apart: twelve bytes that start with int 2 are a digest (docs/formats.md).
fn read_close_session<'a>(r: &mut Reader<'a>) -> Result<Option<PathVector<'a>>, JuteError> {
    let rest = r.rest();
    let digest_only = rest.len() == TxnDigest::SIZE && rest[..4] == DIGEST_VERSION.to_be_bytes();
    if rest.is_empty() || digest_only {
        return Ok(None);
    }
    PathVector::read(r).map(Some)
}

/// A whole log record, or the data of a PROPOSAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TxnRecord<'a> {
    pub header: TxnHeader,
    pub txn: Txn<'a>,
    pub digest: Option<TxnDigest>,
}

impl<'a> TxnRecord<'a> {
    /// Reads a record; bytes after the digest are ignored, as every version does.
    ///
    /// # Errors
    /// An unknown type, or a body that does not parse within `max_length` per field.
    pub fn read(bytes: &'a [u8], max_length: usize) -> Result<Self, JuteError> {
        let mut r = Reader::new(bytes, max_length);
        let header = TxnHeader::read(&mut r)?;
        let txn = Txn::read(header.txn_type, &mut r)?;
        let digest =
            if r.remaining() >= TxnDigest::SIZE { Some(TxnDigest::read(&mut r)?) } else { None };
        Ok(TxnRecord { header, txn, digest })
    }
}

/// Appends one part of a multi: its type, its body as a buffer.
pub fn write_multi_part(txn_type: i32, txn: &Txn<'_>, out: &mut Vec<u8>) {
    out.put_int(txn_type);
    let length_at = out.len();
    out.put_int(0);
    txn.write(out);
    let length = out.len() - length_at - 4;
    out.set_int(length_at, length as i32);
}

/// Appends a closeSession's body: the vector of `paths`.
pub fn write_path_vector<'p>(paths: impl ExactSizeIterator<Item = &'p [u8]>, out: &mut Vec<u8>) {
    out.put_int(paths.len() as i32);
    for path in paths {
        out.put_ustring(path);
    }
}
