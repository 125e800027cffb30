//! Who a client is, and what an access control list lets it do.
//!
//! | scheme | how a connection gets the identity | what an ACL entry of it matches |
//! |---|---|---|
//! | `world` | – | everyone; the id can only be `anyone` |
//! | `ip` | the peer's address, from the start | an address, or the first bits of one |
//! | `digest` | auth packet `user:password` | the same `user:base64(hash(user:password))` |
//! | `super` | a digest equal to the configured one | nothing: who has it may do everything |
//! | `auth` | – | in requests only: stands for the caller's own identities |
//! | `ensemble` | never: a client asks whether this is the ensemble it means | nothing |
//!
//! `sasl` and `x509` have no provider here, so that entries of them are refused in requests, and
//! match nobody where a log or a snapshot contains them.
//!
//! Identities belong to a connection, not to its session (C-201). They are an immutable set: an
//! auth packet makes a new one, and a request that was received before keeps the old.
//!
//! A digest's hash is as good as a password to whoever may read it, so nothing here prints one.

mod acl;
mod digest;
mod ensemble;
mod identity;
mod ip;
mod policy;

pub use ensemble::{EnsembleNames, Heard};
pub use identity::{Identities, Identity};
pub use policy::{AuthPolicy, AuthRefused};

use crate::proto::Acl;

/// The scheme whose identity may do everything.
const SUPER: &[u8] = b"super";
const WORLD: &[u8] = b"world";
const AUTH: &[u8] = b"auth";
const IP: &[u8] = b"ip";
const DIGEST: &[u8] = b"digest";
const ENSEMBLE: &[u8] = b"ensemble";
const ANYONE: &[u8] = b"anyone";

/// A list as those may see it who lack ADMIN: the hash of every digest entry reads `x` (C-193).
///
/// Java cuts at a line break and shows what stands behind it; we hide everything after the colon.
pub fn mask_digest_ids(list: &[Acl]) -> Vec<Acl> {
    let mut masked = list.to_vec();
    for acl in masked.iter_mut().filter(|acl| acl.scheme() == DIGEST) {
        acl.id = acl.id.as_deref().map(|id| digest::masked(id).into());
    }
    masked
}

/// The answer to whoAmI: scheme and user name of every identity, in the set's order.
///
/// Of a digest only the user is shown; `super`, which no provider names, has an empty one.
pub fn who_am_i(identities: &Identities) -> Vec<(&[u8], &[u8])> {
    identities.iter().map(|identity| (identity.scheme(), identity.user_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::DigestAlgorithm;

    fn policy() -> AuthPolicy {
        let super_digest = Some(digest::identity_id(DigestAlgorithm::Sha1, b"super:secret"));
        AuthPolicy { super_digest, ..AuthPolicy::default() }
    }

    fn local() -> Identities {
        Identities::of_peer([127, 0, 0, 1].into())
    }

    /// C-193
    #[test]
    fn masking_hides_hashes_and_nothing_else() {
        let list = [
            Acl::new(31, b"digest", b"bob:hash"),
            Acl::new(1, b"digest", b"bob:ha\nsh"),
            Acl::new(1, b"digest", b"nocolon"),
            Acl::new(7, b"ip", b"fe80::1"),
            Acl { perms: 1, scheme: Some((*b"digest").into()), id: None },
        ];
        let masked = mask_digest_ids(&list);
        assert_eq!(masked[0], Acl::new(31, b"digest", b"bob:x"));
        assert_eq!(masked[1], Acl::new(1, b"digest", b"bob:x"));
        assert_eq!(masked[2..], list[2..]);
    }

    #[test]
    fn whoami_names_users_newest_first_and_the_address_last() {
        let alice = policy().authenticate(Some(b"digest"), Some(b"alice:a"), &local());
        let alice = alice.expect("digest accepts everything");
        assert_eq!(who_am_i(&alice), [(DIGEST, &b"alice"[..]), (IP, b"127.0.0.1")]);
        let root = policy().authenticate(Some(b"digest"), Some(b"super:secret"), &alice);
        let root = root.expect("digest accepts everything");
        let expected: [(&[u8], &[u8]); 4] =
            [(DIGEST, b"super"), (SUPER, b""), (DIGEST, b"alice"), (IP, b"127.0.0.1")];
        assert_eq!(who_am_i(&root), expected);
    }

    #[test]
    fn debug_output_contains_no_hash() {
        let root = policy().authenticate(Some(b"digest"), Some(b"super:secret"), &local());
        let shown = format!("{:?} {:?}", policy(), root.expect("digest accepts everything"));
        let hash = &digest::identity_id(DigestAlgorithm::Sha1, b"super:secret")[b"super:".len()..];
        assert!(!shown.contains(std::str::from_utf8(hash).expect("base64 is ASCII")), "{shown}");
        assert!(shown.contains("super:x") && shown.contains("127.0.0.1"), "{shown}");
    }
}
