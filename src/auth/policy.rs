//! AuthPolicy: a server's settings, and the decisions that follow from them.

use std::fmt;

use super::ensemble::{EnsembleNames, Heard};
use super::{ANYONE, DIGEST, ENSEMBLE, IP, Identities, Identity, SUPER, WORLD, acl, digest, ip};
use crate::proto::{Acl, DigestAlgorithm, ErrorCode};

/// How a server decides who may do what. The same on every server of an ensemble.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthPolicy {
    /// `skipACL`: nobody is refused anything; lists in requests are still checked (C-197).
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.superDigest`: who authenticates with this digest id,
    /// `user:base64(hash(user:password))`, is `super` besides (C-196).
    pub super_digest: Option<Box<[u8]>>,
    /// `DigestAuthenticationProvider.digestAlg`: the hash of digest ids, that one's included.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.enabled`: without it the scheme is unknown in auth packets
    /// and in requests, and matches nobody in stored lists.
    pub digest_enabled: bool,
    /// `enforce.auth.schemes`, where `enforce.auth.enabled` says so: a connection may ask for
    /// nothing before it has an identity of one of them (C-205).
    pub required_schemes: Option<Box<[Box<[u8]>]>>,
    /// `ensembleAuthName`: with names, even none, the scheme `ensemble` exists.
    pub ensemble: Option<EnsembleNames>,
}

impl Default for AuthPolicy {
    /// A server that was told nothing.
    fn default() -> Self {
        AuthPolicy {
            skip_acl: false,
            super_digest: None,
            digest_algorithm: DigestAlgorithm::default(),
            digest_enabled: true,
            required_schemes: None,
            ensemble: None,
        }
    }
}

impl fmt::Debug for AuthPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthPolicy")
            .field("skip_acl", &self.skip_acl)
            .field("super_digest", &self.super_digest.as_ref().map(|_| "(set)"))
            .field("digest_algorithm", &self.digest_algorithm)
            .field("digest_enabled", &self.digest_enabled)
            .field("requires_authentication", &self.required_schemes.is_some())
            .field("ensemble", &self.ensemble)
            .finish()
    }
}

/// An auth packet was refused, and the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthRefused {
    /// The client is told AUTHFAILED first.
    Failed,
    /// The client is told nothing: it means another ensemble, and may go on to look for it.
    WrongEnsemble,
}

/// Identities of one connection, at most. Apache has no such bound; but an `auth` entry in a list
/// stands for all of them, and a request of sixty bytes must not become one of megabytes.
pub const MAX_IDENTITY_BYTES: usize = 64 << 10;

impl AuthPolicy {
    /// The identities of a connection that has `identities` and sends an auth packet.
    ///
    /// # Errors
    /// An unknown scheme, and a digest without data (C-198, C-199, F-9); identities of more than
    /// `MAX_IDENTITY_BYTES` in all; another ensemble's name.
    pub fn authenticate(
        &self,
        scheme: Option<&[u8]>,
        data: Option<&[u8]>,
        identities: &Identities,
    ) -> Result<Identities, AuthRefused> {
        match (scheme, &self.ensemble) {
            (Some(DIGEST), _) if self.digest_enabled => {
                let data = data.ok_or(AuthRefused::Failed)?;
                let id = digest::identity_id(self.digest_algorithm, data);
                let mut all = identities.clone();
                if self.super_digest.as_ref().is_some_and(|known| digest::is_same(known, &id)) {
                    all = all.with(Identity::new(SUPER, b""));
                }
                let all = all.with(Identity::new(DIGEST, &id));
                if all.bytes() > MAX_IDENTITY_BYTES { Err(AuthRefused::Failed) } else { Ok(all) }
            }
            // The address has been there from the start.
            (Some(IP), _) => Ok(identities.clone()),
            (Some(ENSEMBLE), Some(names)) => match names.judge(data) {
                Heard::Nothing | Heard::OurName => Ok(identities.clone()),
                Heard::OtherName => Err(AuthRefused::WrongEnsemble),
            },
            _ => Err(AuthRefused::Failed),
        }
    }

    /// What an auth packet says of the ensemble that the client means, if it is about that.
    pub fn hears(&self, scheme: Option<&[u8]>, data: Option<&[u8]>) -> Option<Heard> {
        let names = self.ensemble.as_ref().filter(|_| scheme == Some(ENSEMBLE))?;
        Some(names.judge(data))
    }

    /// Whether a connection with these identities may ask for anything at all (C-205). `super`
    /// does not count; the digest it came with does.
    pub fn admits(&self, identities: &Identities) -> bool {
        let Some(schemes) = &self.required_schemes else { return true };
        identities.iter().any(|known| schemes.iter().any(|scheme| **scheme == *known.scheme()))
    }

    /// Whether a node with the list `acl` lets `identities` do *any* of the permissions in
    /// `perms`.
    ///
    /// Entries only ever add (C-186). An empty list allows everything, as does `super`. An entry
    /// of a scheme that has no provider matches nobody.
    pub fn allows(&self, acl: &[Acl], perms: i32, identities: &Identities) -> bool {
        self.skip_acl
            || acl.is_empty()
            || acl.iter().any(|entry| entry.perms & perms != 0 && self.matches(entry, identities))
            || identities.is_super()
    }

    /// The list that a create or setACL of `identities` stores for the list `raw` it carries,
    /// both as encoded vectors.
    ///
    /// # Errors
    /// `InvalidAcl` for a list that names nobody, or somebody no provider accepts (C-188 to
    /// C-190), `MarshallingError` for a null id (F-1) or bytes that are no vector.
    pub fn fixup_acl(&self, raw: &[u8], identities: &Identities) -> Result<Vec<u8>, ErrorCode> {
        acl::fixup(self, raw, identities)
    }

    fn matches(&self, entry: &Acl, identities: &Identities) -> bool {
        let id = entry.id();
        let mut of_scheme = identities.iter().filter(|known| known.scheme() == entry.scheme());
        match entry.scheme() {
            WORLD => id == ANYONE,
            DIGEST => self.digest_enabled && of_scheme.any(|known| digest::is_same(known.id(), id)),
            IP => of_scheme.any(|known| ip::matches(id, known.id())),
            _ => false,
        }
    }

    /// Whether a request may name `id` under `scheme`. `auth` never gets here: it is replaced.
    pub(super) fn accepts_id(&self, scheme: &[u8], id: &[u8]) -> bool {
        match scheme {
            WORLD => id == ANYONE,
            DIGEST => self.digest_enabled && digest::is_valid_id(id),
            IP => ip::is_valid_id(id),
            _ => false,
        }
    }

    /// Whether an identity of `scheme` was proved by its owner, and so may stand in for `auth`.
    /// An address proves nothing, and `super` is never stored.
    pub(super) fn is_authenticated(&self, scheme: &[u8]) -> bool {
        scheme == DIGEST && self.digest_enabled
    }

    /// Whether `scheme` has a rule for its ids here.
    pub(super) fn knows(&self, scheme: &[u8]) -> bool {
        matches!(scheme, WORLD | IP) || scheme == DIGEST && self.digest_enabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AUTH;
    use crate::proto::perms::{ADMIN, ALL, CREATE, READ, WRITE};

    fn policy() -> AuthPolicy {
        AuthPolicy::default()
    }

    fn local() -> Identities {
        Identities::of_peer([127, 0, 0, 1].into())
    }

    fn digest_of(data: &[u8]) -> Acl {
        Acl::new(ALL, DIGEST, &digest::identity_id(DigestAlgorithm::Sha1, data))
    }

    /// C-187, C-200
    #[test]
    fn a_digest_opens_what_it_protects_and_a_second_keeps_the_first() {
        let (bobs, annas) = ([digest_of(b"bob:b")], [digest_of(b"anna:a")]);
        assert!(!policy().allows(&bobs, READ, &local()));
        let bob = policy().authenticate(Some(DIGEST), Some(b"bob:b"), &local()).expect("accepted");
        assert!(policy().allows(&bobs, READ, &bob) && !policy().allows(&annas, READ, &bob));
        let both = policy().authenticate(Some(DIGEST), Some(b"anna:a"), &bob).expect("accepted");
        assert!(policy().allows(&bobs, READ, &both) && policy().allows(&annas, READ, &both));
    }

    /// C-183, C-186
    #[test]
    fn entries_only_ever_add() {
        let list = [Acl::new(0, WORLD, ANYONE), Acl::new(READ, WORLD, ANYONE), digest_of(b"a:b")];
        assert!(policy().allows(&list, READ, &local()));
        assert!(policy().allows(&list, READ | ADMIN, &local()), "any of the bits suffices");
        assert!(!policy().allows(&list, WRITE | CREATE, &local()));
        assert!(policy().allows(&[], ALL, &local()));
        assert!(policy().allows(&[Acl::new(ALL, WORLD, ANYONE)], ADMIN, &local()));
    }

    #[test]
    fn stored_entries_that_make_no_sense_match_nobody() {
        let identities = local().with(Identity::new(b"sasl", b"bob"));
        for entry in [
            Acl::new(ALL, b"sasl", b"bob"),
            Acl::new(ALL, WORLD, b"someone"),
            Acl::new(ALL, SUPER, b""),
            Acl::new(ALL, AUTH, b""),
            Acl { perms: ALL, scheme: None, id: None },
            Acl { perms: ALL, scheme: Some(IP.into()), id: None },
        ] {
            assert!(!policy().allows(std::slice::from_ref(&entry), ALL, &identities), "{entry:?}");
        }
    }

    /// C-196, C-203
    #[test]
    fn the_super_digest_may_do_everything() {
        let id = digest::identity_id(DigestAlgorithm::Sha1, b"super:secret");
        let policy = AuthPolicy { super_digest: Some(id), ..policy() };
        let locked = [Acl::new(0, WORLD, ANYONE)];
        let other = policy.authenticate(Some(DIGEST), Some(b"super:guess"), &local());
        assert!(!policy.allows(&locked, ALL, &other.expect("accepted")));
        let root = policy.authenticate(Some(DIGEST), Some(b"super:secret"), &local());
        let root = root.expect("accepted");
        assert!(policy.allows(&locked, ALL, &root));
        assert!(policy.allows(&[digest_of(b"super:secret")], ALL, &root), "the digest is kept");
    }

    /// C-197
    #[test]
    fn skip_acl_allows_everything() {
        let policy = AuthPolicy { skip_acl: true, ..policy() };
        assert!(policy.allows(&[Acl::new(0, WORLD, ANYONE)], ALL, &local()));
    }

    /// C-198, C-199, F-9
    #[test]
    fn what_auth_packets_are_refused() {
        for scheme in [&b""[..], WORLD, AUTH, SUPER, b"ensemble", b"sasl", b"x509", b"Digest"] {
            let result = policy().authenticate(Some(scheme), Some(b"a:b"), &local());
            assert_eq!(result, Err(AuthRefused::Failed), "{}", scheme.escape_ascii());
        }
        assert_eq!(policy().authenticate(None, Some(b"a:b"), &local()), Err(AuthRefused::Failed));
        assert_eq!(policy().authenticate(Some(DIGEST), None, &local()), Err(AuthRefused::Failed));
        let off = AuthPolicy { digest_enabled: false, ..policy() };
        assert_eq!(
            off.authenticate(Some(DIGEST), Some(b"a:b"), &local()),
            Err(AuthRefused::Failed)
        );
    }

    /// F-9
    #[test]
    fn ip_adds_nothing_and_an_empty_digest_is_somebody() {
        assert_eq!(policy().authenticate(Some(IP), None, &local()), Ok(local()));
        assert_eq!(policy().authenticate(Some(IP), Some(b"1.2.3.4"), &local()), Ok(local()));
        let empty = policy().authenticate(Some(DIGEST), Some(b""), &local()).expect("accepted");
        let both = policy().authenticate(Some(DIGEST), Some(b":"), &empty).expect("accepted");
        assert_eq!(both.iter().filter(|one| one.user_name().is_empty()).count(), 2);
    }

    #[test]
    fn the_algorithm_decides_who_is_super() {
        let id = digest::identity_id(DigestAlgorithm::Sha3_256, b"super:secret");
        let digest_algorithm = DigestAlgorithm::Sha3_256;
        let policy = AuthPolicy { super_digest: Some(id.clone()), ..policy() };
        let root = policy.authenticate(Some(DIGEST), Some(b"super:secret"), &local());
        assert!(!root.expect("accepted").is_super(), "a SHA-1 id is another one");
        let policy = AuthPolicy { digest_algorithm, ..policy };
        let root = policy.authenticate(Some(DIGEST), Some(b"super:secret"), &local());
        let root = root.expect("accepted");
        assert!(root.is_super() && root.iter().any(|known| known.id() == &*id));
    }

    /// C-205
    #[test]
    fn who_is_admitted_where_authentication_is_required() {
        assert!(policy().admits(&local()));
        let required = |schemes: &[&[u8]]| AuthPolicy {
            required_schemes: Some(schemes.iter().map(|&scheme| scheme.into()).collect()),
            ..policy()
        };
        let digest = required(&[b"sasl", DIGEST]);
        assert!(!digest.admits(&local()));
        assert!(!digest.admits(&local().with(Identity::new(SUPER, b""))), "super alone");
        let bob = digest.authenticate(Some(DIGEST), Some(b"bob:b"), &local()).expect("accepted");
        assert!(digest.admits(&bob));
        let same = digest.authenticate(Some(IP), None, &local()).expect("accepted");
        assert!(!digest.admits(&same));
        assert!(required(&[IP]).admits(&local()), "an address is always there");
    }

    #[test]
    fn an_ensembles_name_changes_nobody_and_another_ones_ends_the_connection() {
        let ensemble = Some(EnsembleNames::new(["prod"]));
        let policy = AuthPolicy { ensemble, ..policy() };
        for said in [None, Some(&b""[..]), Some(b"prod")] {
            assert_eq!(policy.authenticate(Some(ENSEMBLE), said, &local()), Ok(local()));
        }
        let other = policy.authenticate(Some(ENSEMBLE), Some(b"test"), &local());
        assert_eq!(other, Err(AuthRefused::WrongEnsemble));
        assert!(!policy.knows(ENSEMBLE) && !policy.accepts_id(ENSEMBLE, b"prod"));
    }
}
