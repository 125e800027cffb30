//! `AuthInfo`: who asks, as a forwarded request carries it: a vector of schemes and ids.
//!
//! It is the very bytes of the wire, so that they are made once for a connection, and shared.

use std::fmt;

use bytes::Bytes;

use crate::jute::{JuteError, Reader, Writer};

/// Schemes and ids; none by default.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AuthInfo(Bytes);

impl AuthInfo {
    /// These schemes and ids, in that order.
    pub fn new<'a>(ids: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        if ids.len() == 0 {
            return AuthInfo::default();
        }
        let mut wire = Vec::new();
        wire.put_int(ids.len() as i32);
        for (scheme, id) in ids {
            wire.put_ustring(scheme);
            wire.put_ustring(id);
        }
        AuthInfo(wire.into())
    }

    /// The vector that `wire` is, of which it remains a slice.
    ///
    /// # Errors
    /// Bytes that are no such vector, or more than that.
    pub fn read(wire: Bytes) -> Result<Self, JuteError> {
        let mut r = Reader::unlimited(&wire);
        let count = r.vector()?.unwrap_or(0);
        for _ in 0..count {
            r.required_ustring()?;
            r.required_ustring()?;
        }
        let end = r.position();
        Ok(if count == 0 { AuthInfo::default() } else { AuthInfo(wire.slice(..end)) })
    }

    /// The schemes and ids.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut r = Reader::unlimited(&self.0);
        std::iter::from_fn(move || {
            if r.position() == 0 {
                r.vector().ok()?;
            }
            Some((r.required_ustring().ok()?, r.required_ustring().ok()?))
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How it travels; nothing if there is none.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }
}

/// An id may contain what is as good as a password.
impl fmt::Debug for AuthInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes = self.iter().map(|(scheme, _)| scheme.escape_ascii().to_string());
        f.debug_list().entries(schemes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_none_is_nothing() {
        let ids: [(&[u8], &[u8]); 2] = [(b"ip", b"::1"), (b"digest", b"bob:secret")];
        let info = AuthInfo::new(ids.into_iter());
        assert_eq!(info.iter().collect::<Vec<_>>(), ids);
        let read = AuthInfo::read([info.wire(), b"more"].concat().into()).unwrap();
        assert_eq!(read, info);
        assert!(!format!("{info:?}").contains("secret"));
        assert!(AuthInfo::read(Bytes::from_static(&[0, 0, 0, 1])).is_err());
        for none in [&[0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(AuthInfo::read(none.to_vec().into()).unwrap(), AuthInfo::default());
        }
        assert_eq!(AuthInfo::new(std::iter::empty()).wire(), b"");
        assert_eq!(AuthInfo::default().iter().next(), None);
    }
}
