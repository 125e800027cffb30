//! The algorithms that a digest id may be made with, under the names a Java machine knows.

/// A hash function. The same on every server of an ensemble: ids that were made with another one
/// match nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum DigestAlgorithm {
    Md5,
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

use DigestAlgorithm::{
    Md5, Sha1, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Sha224, Sha256, Sha384, Sha512, Sha512_224,
    Sha512_256,
};

/// Names as `MessageDigest.getInstance` takes them, upper and lower case counting as equal; the
/// first of an algorithm is the one to show. MD2 and object identifiers, which Java takes too,
/// are left out: nobody should begin with the one, and nobody writes the others.
const NAMES: &[(&str, DigestAlgorithm)] = &[
    ("MD5", Md5),
    ("SHA1", Sha1),
    ("SHA-1", Sha1),
    ("SHA", Sha1),
    ("SHA-224", Sha224),
    ("SHA224", Sha224),
    ("SHA-256", Sha256),
    ("SHA256", Sha256),
    ("SHA-384", Sha384),
    ("SHA384", Sha384),
    ("SHA-512", Sha512),
    ("SHA512", Sha512),
    ("SHA-512/224", Sha512_224),
    ("SHA512/224", Sha512_224),
    ("SHA-512/256", Sha512_256),
    ("SHA512/256", Sha512_256),
    ("SHA3-224", Sha3_224),
    ("SHA3-256", Sha3_256),
    ("SHA3-384", Sha3_384),
    ("SHA3-512", Sha3_512),
];

impl DigestAlgorithm {
    /// The algorithm called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, algorithm)| *algorithm)
    }

    /// The name to show.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(_, algorithm)| *algorithm == self);
        found.map(|(name, _)| *name).expect("every algorithm has a name")
    }

    /// One name of each, in the order of their age.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(|(name, algorithm)| algorithm.name() == *name).map(|(name, _)| *name)
    }

    /// How long a hash is, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Md5 => 16,
            Sha1 => 20,
            Sha224 | Sha512_224 | Sha3_224 => 28,
            Sha256 | Sha512_256 | Sha3_256 => 32,
            Sha384 | Sha3_384 => 48,
            Sha512 | Sha3_512 => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_javas() {
        for name in ["SHA1", "sha1", "SHA", "SHA-1", "Sha-1"] {
            assert_eq!(DigestAlgorithm::from_name(name), Some(Sha1), "{name}");
        }
        for (name, algorithm) in [
            ("md5", Md5),
            ("SHA224", Sha224),
            ("sha-256", Sha256),
            ("SHA-512/256", Sha512_256),
            ("sha3-384", Sha3_384),
        ] {
            assert_eq!(DigestAlgorithm::from_name(name), Some(algorithm), "{name}");
        }
        // None of these names means anything to a Java machine either, but for MD2.
        for name in ["", "SHA3", "SHA_256", "SHA3_256", " SHA1", "SHA1 ", "MD4", "MD2", "SHAKE256"]
        {
            assert_eq!(DigestAlgorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn each_algorithm_is_shown_by_one_name_that_finds_it() {
        let names: Vec<_> = DigestAlgorithm::all_names().collect();
        assert_eq!(names.len(), 12, "{names:?}");
        for name in names {
            assert_eq!(DigestAlgorithm::from_name(name).expect(name).name(), name);
        }
        assert_eq!(DigestAlgorithm::default().name(), "SHA1");
    }
}
