//! The digest scheme's ids: `user:base64(sha1(user:password))`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The id of whoever sends `data`, which should be `user:password`.
///
/// As in Java anything is accepted: without a colon all of it is the user. The hash is always of
/// the whole. Java reads the bytes as text first, so that bytes which are not UTF-8 count as the
/// replacement character; without that, such a client would be somebody else on a Java server.
pub(super) fn identity_id(data: &[u8]) -> Box<[u8]> {
    let text = String::from_utf8_lossy(data);
    let mut id = user(text.as_bytes()).to_vec();
    id.push(b':');
    id.extend_from_slice(STANDARD.encode(Sha1::digest(text.as_bytes())).as_bytes());
    id.into()
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
