//! Identities: what a connection has proved to be.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::{DIGEST, IP, SUPER, digest, ip};
use crate::proto::AuthInfo;

/// One identity: a scheme, and a name under it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    scheme: Box<[u8]>,
    id: Box<[u8]>,
}

impl Identity {
    /// The identity `id` under `scheme`; nothing is checked here.
    pub fn new(scheme: &[u8], id: &[u8]) -> Self {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    /// `ip`, `digest`, `super`, …
    pub fn scheme(&self) -> &[u8] {
        &self.scheme
    }

    /// The whole id; for a digest it contains the hash, so do not show it.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The part of the id that may be shown.
    pub fn user_name(&self) -> &[u8] {
        match self.scheme() {
            DIGEST => digest::user(&self.id),
            SUPER => b"",
            _ => &self.id,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.escape_ascii(), self.user_name().escape_ascii())?;
        if self.scheme() == DIGEST { f.write_str(":x") } else { Ok(()) }
    }
}

/// A connection's identities: a set, newest first, the peer's address last.
///
/// Java keeps a hash set, whose order means nothing; the captures we have from it agree with this
/// one where a client has a single digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identities {
    list: Box<[Identity]>,
    /// The same, as a learner forwards it with each request.
    info: AuthInfo,
}

impl Identities {
    /// What a connection from `peer` begins with.
    pub fn of_peer(peer: IpAddr) -> Self {
        Self::of(vec![Identity::new(IP, ip::text(peer).as_bytes())])
    }

    /// The identities in the given order, as a learner forwards them with a request.
    /// Repetitions are dropped. A list is as long as a peer makes it, so nothing here compares each
    /// with all.
    pub fn from_list(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut known = BTreeSet::new();
        let is_new = |identity: &Identity| known.insert(identity.clone());
        Self::of(identities.into_iter().filter(is_new).collect())
    }

    /// This set and `identity`; those that were there stay (C-200).
    pub fn with(&self, identity: Identity) -> Self {
        if self.list.contains(&identity) {
            return self.clone();
        }
        Self::of(std::iter::once(identity).chain(self.iter().cloned()).collect())
    }

    fn of(list: Vec<Identity>) -> Self {
        let ids = list.iter().map(|identity| (identity.scheme(), identity.id()));
        let info = AuthInfo::new(ids);
        Identities { list: list.into(), info }
    }

    /// The identities as they travel between servers.
    pub fn info(&self) -> &AuthInfo {
        &self.info
    }

    /// All identities.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.list.iter()
    }

    /// Bytes of all schemes and ids.
    pub fn bytes(&self) -> usize {
        self.iter().map(|identity| identity.scheme().len() + identity.id().len()).sum()
    }

    /// Whether one of them is `super`.
    pub fn is_super(&self) -> bool {
        self.iter().any(|identity| identity.scheme() == SUPER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_a_set_that_only_grows() {
        let first = Identities::of_peer([10, 0, 0, 1].into());
        let alice = Identity::new(b"digest", b"alice:h");
        let more = first.with(alice.clone()).with(alice.clone());
        assert_eq!(more.iter().collect::<Vec<_>>(), [&alice, first.iter().next().unwrap()]);
        let forwarded = more.iter().chain(more.iter()).cloned();
        assert_eq!(Identities::from_list(forwarded), more);
    }

    /// As many as a megabyte of a forwarded request holds. The one that applies every request would
    /// not come back for a minute, if each were compared with all.
    #[test]
    fn a_long_list_costs_no_more_than_its_length() {
        let numbered = |n: u32| Identity::new(b"", &n.to_be_bytes()[1..]);
        let list = Identities::from_list((0..90_000).chain(0..90_000).map(numbered));
        assert!(list.iter().cloned().eq((0..90_000).map(numbered)));
    }
}
