//! Access control lists: who may do what with a node.

use std::fmt;
use std::sync::Arc;

use crate::jute::{JuteError, Reader, Writer};

/// The permission bits.
#[allow(missing_docs)]
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

/// One entry: permission bits, and the identity they are given to.
///
/// Scheme and id are kept as the bytes that came; a null in either is kept too, because a
/// request that carries one is answered by name (F-1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Acl {
    /// Any 32 bits; only the five of [`perms`] mean something.
    pub perms: i32,
    /// `world`, `digest`, `ip`, …
    pub scheme: Option<Box<[u8]>>,
    /// What the scheme understands: `anyone`, `user:hash`, an address, …
    pub id: Option<Box<[u8]>>,
}

impl fmt::Debug for Acl {
    /// Without what stands behind the first colon of the id: for digest it is a password's hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.id().split(|&b| b == b':').next().unwrap_or_default();
        write!(f, "{}:{}:", self.scheme().escape_ascii(), user.escape_ascii())?;
        write!(f, "{:#x}", self.perms)
    }
}

/// A node's ACL, shared by all nodes that have the same.
pub type AclList = Arc<[Acl]>;

impl Acl {
    /// An entry with scheme and id.
    pub fn new(perms: i32, scheme: &[u8], id: &[u8]) -> Self {
        Acl { perms, scheme: Some(scheme.into()), id: Some(id.into()) }
    }

    /// The scheme's bytes; null reads as empty.
    pub fn scheme(&self) -> &[u8] {
        self.scheme.as_deref().unwrap_or_default()
    }

    /// The id's bytes; null reads as empty.
    pub fn id(&self) -> &[u8] {
        self.id.as_deref().unwrap_or_default()
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.perms);
        out.put_buffer(self.scheme.as_deref());
        out.put_buffer(self.id.as_deref());
    }

    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Acl {
            perms: r.int()?,
            scheme: r.ustring()?.map(Into::into),
            id: r.ustring()?.map(Into::into),
        })
    }
}

/// Appends a vector of entries.
pub fn write_acl_vector(list: &[Acl], out: &mut Vec<u8>) {
    out.put_int(list.len() as i32);
    for acl in list {
        acl.write(out);
    }
}

/// Reads a vector of entries; `None` is null. Allocates only for entries that are there.
pub fn read_acl_vector(r: &mut Reader<'_>) -> Result<Option<Vec<Acl>>, JuteError> {
    let Some(count) = r.vector()? else { return Ok(None) };
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(Acl::read(r)?);
    }
    Ok(Some(list))
}

/// Steps over a vector of entries and returns its encoding, count included. It is valid from
/// then on: [`read_acl_vector`] reads it without an error.
pub fn raw_acl_vector<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], JuteError> {
    let start = r.position();
    if let Some(count) = r.vector()? {
        for _ in 0..count {
            r.int()?;
            r.ustring()?;
            r.ustring()?;
        }
    }
    Ok(r.since(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_entry_shows_no_hash() {
        let entry = Acl::new(perms::ALL, b"digest", b"alice:aYXlLOpEooaV1cQ=");
        assert_eq!(format!("{entry:?}"), "digest:alice:0x1f");
    }
}
