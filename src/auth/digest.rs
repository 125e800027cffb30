//! The digest scheme's ids: `user:base64(hash(user:password))`.

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use crate::proto::DigestAlgorithm;

/// The id of whoever sends `data`, which should be `user:password`.
///
/// As in Java anything is accepted: without a colon all of it is the user. The hash is always of
/// the whole. Java reads the bytes as text first, so that bytes which are not UTF-8 count as the
/// replacement character; without that, such a client would be somebody else on a Java server.
pub(super) fn identity_id(algorithm: DigestAlgorithm, data: &[u8]) -> Box<[u8]> {
    let text = String::from_utf8_lossy(data);
    let mut id = user(text.as_bytes()).to_vec();
    id.push(b':');
    id.extend_from_slice(hash(algorithm, text.as_bytes()).as_bytes());
    id.into()
}

/// The hash of `data` in base64.
fn hash(algorithm: DigestAlgorithm, data: &[u8]) -> String {
    match algorithm {
        DigestAlgorithm::Md5 => STANDARD.encode(md5::Md5::digest(data)),
        DigestAlgorithm::Sha1 => STANDARD.encode(sha1::Sha1::digest(data)),
        DigestAlgorithm::Sha224 => STANDARD.encode(sha2::Sha224::digest(data)),
        DigestAlgorithm::Sha256 => STANDARD.encode(sha2::Sha256::digest(data)),
        DigestAlgorithm::Sha384 => STANDARD.encode(sha2::Sha384::digest(data)),
        DigestAlgorithm::Sha512 => STANDARD.encode(sha2::Sha512::digest(data)),
        DigestAlgorithm::Sha512_224 => STANDARD.encode(sha2::Sha512_224::digest(data)),
        DigestAlgorithm::Sha512_256 => STANDARD.encode(sha2::Sha512_256::digest(data)),
        DigestAlgorithm::Sha3_224 => STANDARD.encode(sha3::Sha3_224::digest(data)),
        DigestAlgorithm::Sha3_256 => STANDARD.encode(sha3::Sha3_256::digest(data)),
        DigestAlgorithm::Sha3_384 => STANDARD.encode(sha3::Sha3_384::digest(data)),
        DigestAlgorithm::Sha3_512 => STANDARD.encode(sha3::Sha3_512::digest(data)),
    }
}

/// Whether two ids are equal, in a time that depends on their lengths only: how far a guess is
/// right must not be read from a clock.
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differs = |(x, y): (&u8, &u8)| x ^ y;
    a.len() == b.len() && black_box(a.iter().zip(b).map(differs).fold(0, |all, one| all | one)) == 0
}

/// Whether an ACL entry may have this id: Java splits at colons, drops empty parts at the end and
/// wants two (F-10).
pub(super) fn is_valid_id(id: &[u8]) -> bool {
    let end = id.iter().rposition(|&byte| byte != b':').map_or(0, |last| last + 1);
    id[..end].iter().filter(|&&byte| byte == b':').count() == 1
}

/// The user of an id.
pub(super) fn user(id: &[u8]) -> &[u8] {
    id.split(|&byte| byte == b':').next().unwrap_or_default()
}

/// The id without its hash; an id without a colon has none.
pub(super) fn masked(id: &[u8]) -> Vec<u8> {
    let user = user(id);
    if user.len() == id.len() { id.to_vec() } else { [user, b":x"].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_id(data: &[u8]) -> Box<[u8]> {
        super::identity_id(DigestAlgorithm::Sha1, data)
    }

    /// Computed by a Java machine's `MessageDigest`.
    #[test]
    fn hashes_are_javas() {
        for (name, hash) in [
            ("MD5", "yzhcGieXAe2NBWh0Znxa3g=="),
            ("SHA1", "D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("SHA-224", "opwh3FU/0WUpM+8JAOS98bsQFC+823kv438mIg=="),
            ("SHA-256", "wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
            ("SHA-384", "FA/2SgoedA21NnGcUl5C1HBsMwuibAPXlAq/FqXTuUQPExUJgxpf8gWeD4eOupjP"),
            (
                "SHA-512",
                "cMAGk13FCMtJkaVQImGEKhjqoGELCiVjYdIhiD8stB1FnIpdGeFvKwAHh5mf4tUYmBR2ZY9181dZTXEHMlkVhg==",
            ),
            ("SHA-512/224", "Jbob8j2c9tikAuLuqxcIJr3TG4aS6fcELZsiHw=="),
            ("SHA-512/256", "GV6U44a5U7SXgFZS9GkWgmwq2+im64wGlYXjCHia3mo="),
            ("SHA3-224", "774X6Nz1d3BUO6raVFndfjoMF6e1LHrnHVv5IA=="),
            ("SHA3-256", "cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA="),
            ("SHA3-384", "a3efqz9Fj+qRHgJMpOPAzqpMP86/aPKowwZfSsm/gM+qBf87ZmeQYtueLs53P8Rw"),
            (
                "SHA3-512",
                "AdTSPtJYC1bEo1Z0UG5z1VXkw2AEUReEjF0RV0jap6VKcDva8ZPEO/WxrOy888alfiJyM5cm5BKhrI4X/YFcTg==",
            ),
        ] {
            let algorithm = DigestAlgorithm::from_name(name).expect(name);
            let id = super::identity_id(algorithm, b"super:test");
            assert_eq!(&*id, format!("super:{hash}").as_bytes(), "{name}");
            let decoded = STANDARD.decode(hash).expect("base64");
            assert_eq!(decoded.len(), algorithm.bytes(), "{name}");
        }
    }

    #[test]
    fn ids_are_the_same_only_when_every_byte_is() {
        assert!(is_same(b"", b"") && is_same(b"bob:hash", b"bob:hash"));
        for other in [&b""[..], b"bob:hasi", b"cob:hash", b"bob:has", b"bob:hash "] {
            assert!(!is_same(b"bob:hash", other));
        }
    }

    /// The first is the documentation's example, the others follow from F-9.
    #[test]
    fn ids_are_javas() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"super:admin", b"super:xQJmxLMiHGwaqBvst5y6rkB6HQs="),
            (b"", b":2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
            (b"user", b"user:Et6pb+wgWTVmq3VpLJlJWWgzrck="),
            (b"a\xffb", "a\u{fffd}b:".as_bytes()),
            (b":", b":"),
        ];
        for (data, expected) in cases {
            let id = identity_id(data);
            assert!(id.starts_with(expected), "{}", id.escape_ascii());
            assert_eq!(id.len(), user(expected).len() + 1 + 28);
        }
        assert_ne!(identity_id(b""), identity_id(b":"));
        assert_eq!(identity_id(b"\xff"), identity_id("\u{fffd}".as_bytes()));
    }

    #[test]
    fn an_acl_id_has_one_colon_in_javas_sense() {
        for id in ["a:b", ":b", "a:b:", "a:b::"] {
            assert!(is_valid_id(id.as_bytes()), "{id}");
        }
        for id in ["", ":", "::", "a", "u:", "u::", "a:b:c", "::b"] {
            assert!(!is_valid_id(id.as_bytes()), "{id}");
        }
    }
}
