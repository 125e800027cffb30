//! The records of a snapshot: the same in a file and in the stream that a leader sends.

use crate::jute::{JuteError, Reader};
use crate::proto::StatPersisted;
use crate::proto::acl::raw_acl_vector;

/// A node.
pub(super) struct NodeRecord<'a> {
    pub(super) path: &'a [u8],
    pub(super) data: Option<&'a [u8]>,
    pub(super) acl_index: i64,
    pub(super) stat: StatPersisted,
}

/// A session and its timeout in milliseconds.
pub(super) fn session(r: &mut Reader<'_>) -> Result<(i64, i32), JuteError> {
    Ok((r.long()?, r.int()?))
}

/// An ACL list under its index.
pub(super) fn acl<'a>(r: &mut Reader<'a>) -> Result<(i64, &'a [u8]), JuteError> {
    Ok((r.long()?, raw_acl_vector(r)?))
}

/// A node; `None` is the end of the nodes.
pub(super) fn node<'a>(r: &mut Reader<'a>) -> Result<Option<NodeRecord<'a>>, JuteError> {
    let path = r.required_ustring()?;
    if path == b"/" {
        return Ok(None);
    }
    let (data, acl_index) = (r.buffer()?, r.long()?);
    Ok(Some(NodeRecord { path, data, acl_index, stat: StatPersisted::read(r)? }))
}

/// Whether a stored owner is a TTL that, with extended types off, would be taken for a session:
/// the mark, and the reserved bits below it zero. No real session's id looks like that.
pub(super) fn is_ttl(owner: i64) -> bool {
    (owner as u64) >> 40 == 0xff_0000
}
