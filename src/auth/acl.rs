//! What becomes of the ACL list in a create or setACL (`PrepRequestProcessor.fixupACL`).

use std::collections::BTreeSet;

use super::{AUTH, AuthPolicy, Identities};
use crate::jute::{DEFAULT_MAX_BUFFER, Reader, Writer};
use crate::proto::ErrorCode;

/// Checks every entry of the encoded vector `raw`, puts the caller's identities where it says
/// `auth`, and drops what stands twice, the first is kept (C-191). Java drops repetitions before
/// it replaces `auth`; a list that then contains an entry twice says nothing more than ours.
///
/// The entries are judged in order, so that of two errors the first is answered. Nothing of this
/// is waived by skipACL (C-197): what is stored must make sense when the switch is off again.
pub(super) fn fixup(
    policy: &AuthPolicy,
    raw: &[u8],
    identities: &Identities,
) -> Result<Vec<u8>, ErrorCode> {
    let marshalling = |_| ErrorCode::MarshallingError;
    let mut r = Reader::unlimited(raw);
    let count = r.vector().map_err(marshalling)?.unwrap_or(0);
    let mut fixed = Fixed::new();
    for _ in 0..count {
        let perms = r.int().map_err(marshalling)?;
        let scheme = r.ustring().map_err(marshalling)?;
        let id = r.ustring().map_err(marshalling)?;
        match (scheme, id) {
            (Some(AUTH), _) => {
                let mut nobody = true;
                for identity in identities.iter() {
                    if policy.is_authenticated(identity.scheme()) {
                        nobody = false;
                        fixed.push(perms, identity.scheme(), identity.id());
                    }
                }
                // A few entries of `auth` could stand for any number; more than a frame could
                // carry is not proposed, since no server could read it back.
                if nobody || fixed.bytes.len() > raw.len().max(DEFAULT_MAX_BUFFER) {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            (Some(scheme), Some(id)) if policy.accepts_id(scheme, id) => {
                fixed.push(perms, scheme, id);
            }
            // Java's providers stumble over a null id (F-1).
            (Some(scheme), None) if policy.knows(scheme) => {
                return Err(ErrorCode::MarshallingError);
            }
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    fixed.finish().ok_or(ErrorCode::InvalidAcl)
}

/// The list being made: its encoding, and what is in it already.
struct Fixed<'a> {
    bytes: Vec<u8>,
    seen: BTreeSet<(i32, &'a [u8], &'a [u8])>,
}

impl<'a> Fixed<'a> {
    fn new() -> Self {
        Fixed { bytes: vec![0; 4], seen: BTreeSet::new() }
    }

    fn push(&mut self, perms: i32, scheme: &'a [u8], id: &'a [u8]) {
        if self.seen.insert((perms, scheme, id)) {
            self.bytes.put_int(perms);
            self.bytes.put_ustring(scheme);
            self.bytes.put_ustring(id);
        }
    }

    /// The encoded vector; `None` if it is empty.
    fn finish(mut self) -> Option<Vec<u8>> {
        self.bytes.set_int(0, self.seen.len() as i32);
        (!self.seen.is_empty()).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Identity, digest};
    use crate::proto::acl::{read_acl_vector, write_acl_vector};
    use crate::proto::{Acl, DigestAlgorithm};

    fn policy() -> AuthPolicy {
        AuthPolicy::default()
    }

    fn local() -> Identities {
        Identities::of_peer([127, 0, 0, 1].into())
    }

    fn fix_as(list: &[Acl], identities: &Identities) -> Result<Vec<Acl>, ErrorCode> {
        let mut raw = Vec::new();
        write_acl_vector(list, &mut raw);
        let fixed = policy().fixup_acl(&raw, identities)?;
        let read = read_acl_vector(&mut Reader::unlimited(&fixed)).expect("a valid vector");
        Ok(read.expect("not null"))
    }

    fn fix(list: &[Acl]) -> Result<Vec<Acl>, ErrorCode> {
        fix_as(list, &local())
    }

    fn raw_entry(scheme: Option<&[u8]>, id: Option<&[u8]>) -> Acl {
        Acl { perms: 31, scheme: scheme.map(Into::into), id: id.map(Into::into) }
    }

    /// C-189, C-197
    #[test]
    fn a_null_or_empty_list_is_invalid_even_with_skip_acl() {
        let policy = AuthPolicy { skip_acl: true, ..policy() };
        for count in [-1_i32, 0, -2] {
            let result = policy.fixup_acl(&count.to_be_bytes(), &local());
            assert_eq!(result, Err(ErrorCode::InvalidAcl));
        }
    }

    /// C-190, F-10
    #[test]
    fn ids_and_schemes_that_nobody_accepts() {
        for (scheme, id) in [
            ("world", "foo"),
            ("nope", "x"),
            ("", "anyone"),
            ("super", ""),
            ("sasl", "bob"),
            ("x509", "CN=a"),
            ("digest", "u:"),
            ("digest", "a:b:c"),
            ("digest", ":"),
            ("digest", ""),
            ("ip", "localhost"),
            ("ip", "1.2.3.4/33"),
            ("ip", ""),
        ] {
            let entry = Acl::new(31, scheme.as_bytes(), id.as_bytes());
            assert_eq!(fix(&[entry]), Err(ErrorCode::InvalidAcl), "{scheme} {id}");
        }
        for (scheme, id) in
            [("world", "anyone"), ("digest", "a:b"), ("digest", ":b"), ("ip", "::1/128")]
        {
            let entry = [Acl::new(31, scheme.as_bytes(), id.as_bytes())];
            assert_eq!(fix(&entry), Ok(entry.to_vec()), "{scheme} {id}");
        }
    }

    /// F-1
    #[test]
    fn a_null_id_is_a_marshalling_error_only_where_a_provider_reads_it() {
        for scheme in [&b"world"[..], b"digest", b"ip"] {
            let result = fix(&[raw_entry(Some(scheme), None)]);
            assert_eq!(result, Err(ErrorCode::MarshallingError));
        }
        for scheme in [&b"auth"[..], b"sasl", b"nope"] {
            assert_eq!(fix(&[raw_entry(Some(scheme), None)]), Err(ErrorCode::InvalidAcl));
        }
        assert_eq!(fix(&[raw_entry(None, None)]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix(&[raw_entry(None, Some(b"anyone"))]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn of_two_errors_the_first_is_answered() {
        let (null, nope) = (raw_entry(Some(b"ip"), None), raw_entry(Some(b"nope"), Some(b"x")));
        assert_eq!(fix(&[null.clone(), nope.clone()]), Err(ErrorCode::MarshallingError));
        assert_eq!(fix(&[nope, null]), Err(ErrorCode::InvalidAcl));
    }

    /// C-188
    #[test]
    fn auth_becomes_the_callers_proved_identities() {
        let auth = [Acl::new(5, b"auth", b"whatever")];
        assert_eq!(fix(&auth), Err(ErrorCode::InvalidAcl), "an address proves nothing");
        let bob = Identity::new(b"digest", &digest::identity_id(DigestAlgorithm::Sha1, b"bob:b"));
        let root = local().with(Identity::new(b"super", b""));
        assert_eq!(fix_as(&auth, &root), Err(ErrorCode::InvalidAcl), "super is never stored");
        let fixed = fix_as(&auth, &root.with(bob.clone()));
        assert_eq!(fixed, Ok(vec![Acl::new(5, b"digest", bob.id())]));
        // A null id is fine here: the id is not looked at.
        let fixed = fix_as(&[raw_entry(Some(b"auth"), None)], &local().with(bob.clone()));
        assert_eq!(fixed, Ok(vec![Acl::new(31, b"digest", bob.id())]));
    }

    /// C-191, C-192
    #[test]
    fn duplicates_go_and_permissions_stay_as_they_came() {
        let bob = Identity::new(b"digest", b"bob:hash");
        let (open, odd) = (Acl::new(31, b"world", b"anyone"), Acl::new(-7, b"world", b"anyone"));
        let none = Acl::new(0, b"world", b"anyone");
        let bobs = Acl::new(1, b"digest", b"bob:hash");
        let list = [open, odd, none, bobs.clone()];
        let twice = [&list[..], &[Acl::new(1, b"auth", b"")], &list[..]].concat();
        assert_eq!(fix_as(&twice, &local().with(bob)), Ok(list.to_vec()));
    }

    #[test]
    fn auth_cannot_blow_a_request_up() {
        let mut many = local();
        for n in 0..64 {
            many = many.with(Identity::new(b"digest", format!("user{n}:{n}").as_bytes()));
        }
        let list: Vec<Acl> = (0..10_000).map(|perms| Acl::new(perms, b"auth", b"")).collect();
        assert_eq!(fix_as(&list, &many), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix_as(&list[..10], &many).map(|fixed| fixed.len()), Ok(640));
    }

    #[test]
    fn bytes_that_are_no_vector_are_a_marshalling_error() {
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 9]] {
            assert_eq!(policy().fixup_acl(bytes, &local()), Err(ErrorCode::MarshallingError));
        }
    }
}
