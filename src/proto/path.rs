//! Paths: which are valid, and how they are taken apart.
//!
//! The root has two names, `/` for clients and the empty string in snapshots, digests and
//! `getData("")`; inside the server it is the empty string ([`canonical`]).

/// `/zookeeper`.
pub const ZOOKEEPER: &[u8] = b"/zookeeper";
/// `/zookeeper/quota`.
pub const QUOTA: &[u8] = b"/zookeeper/quota";
/// `/zookeeper/config`.
pub const CONFIG: &[u8] = b"/zookeeper/config";

/// `/` becomes the empty string, every other path stays.
pub fn canonical(path: &[u8]) -> &[u8] {
    if path == b"/" { b"" } else { path }
}

/// The path before the last `/` (the root is the empty string), or `None` without a `/`.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    split(path).map(|(parent, _)| parent)
}

/// Parent path and last component, or `None` without a `/`.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|&b| b == b'/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

/// The namespace that a path belongs to: its first name, empty for the root.
pub fn top_namespace(path: &[u8]) -> &[u8] {
    path.split(|&b| b == b'/').nth(1).unwrap_or_default()
}

/// The four nodes that may not be deleted (C-064).
pub fn is_undeletable(path: &[u8]) -> bool {
    path == b"/" || path == ZOOKEEPER || path == QUOTA || path == CONFIG
}

/// Whether a delete may look for the path at all: it contains a `/` and no NUL.
pub fn has_shape(path: &[u8]) -> bool {
    path.contains(&b'/') && !path.contains(&0)
}

/// `PathUtils.validatePath`: whether a node of that name may be written.
///
/// Java looks at UTF-16 units, so every character outside the basic plane is refused, as is
/// whatever is not UTF-8: it decodes to U+FFFD.
pub fn is_valid(path: &[u8]) -> bool {
    if path == b"/" {
        return true;
    }
    if path.first() != Some(&b'/') || path.last() == Some(&b'/') {
        return false;
    }
    path[1..].split(|&b| b == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
        && has_valid_characters(path)
}

fn has_valid_characters(path: &[u8]) -> bool {
    if path.iter().all(|b| (0x20..0x7f).contains(b)) {
        return true;
    }
    let Ok(text) = std::str::from_utf8(path) else { return false };
    text.chars().all(|c| {
        !matches!(
            c,
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{10ffff}'
        )
    })
}

/// `path` with the sequential suffix of its parent's `counter` (C-079, C-080).
pub fn with_sequence(path: &[u8], counter: i32) -> Vec<u8> {
    let mut full = Vec::with_capacity(path.len() + 10);
    full.extend_from_slice(path);
    full.extend_from_slice(format!("{counter:010}").as_bytes());
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_paths() {
        for path in ["/", "/a", "/a/b", "/...", "/..a", "/.a", "/a.", "/a b", "/é", "/中"] {
            assert!(is_valid(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn refused_paths() {
        for path in [
            "",
            "a",
            "/a/",
            "//",
            "/a//b",
            "/a/./b",
            "/..",
            "/\u{1}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{fffd}",
            "/😀",
            "/\0",
        ] {
            assert!(!is_valid(path.as_bytes()), "{path:?}");
        }
        assert!(!is_valid(b"/\xff\xfe"));
        assert!(!is_valid(b"/\xed\xa0\x80"));
    }

    #[test]
    fn the_parent_of_a_top_node_is_the_empty_root() {
        assert_eq!(parent(b"/a"), Some(&b""[..]));
        assert_eq!(parent(b"/a/b"), Some(&b"/a"[..]));
        assert_eq!(parent(b"a"), None);
        assert_eq!(parent(b"/"), Some(&b""[..]));
    }

    #[test]
    fn the_first_name_is_the_namespace() {
        for path in [&b"/app"[..], b"/app/a/b", b"/app/"] {
            assert_eq!(top_namespace(path), b"app");
        }
        for none in [&b"/"[..], b"", b"app", b"//x"] {
            assert_eq!(top_namespace(none), b"");
        }
    }

    #[test]
    fn sequence_numbers_have_ten_digits() {
        assert_eq!(with_sequence(b"/s-", 7), b"/s-0000000007");
        assert_eq!(with_sequence(b"/s-", i32::MIN), b"/s--2147483648");
    }
}
