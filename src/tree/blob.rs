//! A node's name with its data, in one allocation, behind the node's part of the digest.
//!
//! ```text
//! digest  4 bytes, little-endian; 0 while it is not counted
//! varint  2 × length of the name, plus 1 when the data is null    (LEB128; names are short,
//! name                                                             so nearly always one byte)
//! data
//! ```
//!
//! Null data and empty data stay different (C-056).

/// Digest, name and data.
pub(super) struct Blob(Box<[u8]>);

const DIGEST: usize = 4;

impl Blob {
    /// A blob whose digest is 0.
    pub(super) fn new(name: &[u8], data: Option<&[u8]>) -> Self {
        let mut header = [0u8; DIGEST + 10];
        let mut used = DIGEST;
        let mut rest = name.len() * 2 + usize::from(data.is_none());
        while rest >= 0x80 {
            header[used] = rest as u8 | 0x80;
            rest >>= 7;
            used += 1;
        }
        header[used] = rest as u8;
        used += 1;
        let data = data.unwrap_or_default();
        let mut bytes = Vec::with_capacity(used + name.len() + data.len());
        bytes.extend_from_slice(&header[..used]);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(data);
        Blob(bytes.into_boxed_slice())
    }

    /// The digest last set.
    pub(super) fn digest(&self) -> u32 {
        u32::from_le_bytes(self.0[..DIGEST].try_into().expect("every blob has a digest"))
    }

    /// Sets the digest and returns the former one.
    pub(super) fn replace_digest(&mut self, digest: u32) -> u32 {
        let before = self.digest();
        self.0[..DIGEST].copy_from_slice(&digest.to_le_bytes());
        before
    }

    pub(super) fn name(&self) -> &[u8] {
        let (start, length, _) = self.header();
        &self.0[start..start + length]
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        let (start, length, null) = self.header();
        if null { None } else { Some(&self.0[start + length..]) }
    }

    /// Replaces the data, in place where it has the same length. The digest stays.
    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        let (start, length, null) = self.header();
        let room = &mut self.0[start + length..];
        match data {
            Some(data) if !null && data.len() == room.len() => room.copy_from_slice(data),
            None if null => {}
            _ => {
                let mut blob = Blob::new(self.name(), data);
                blob.replace_digest(self.digest());
                *self = blob;
            }
        }
    }

    /// Where the name starts, how long it is, whether the data is null.
    fn header(&self) -> (usize, usize, bool) {
        let first = self.0[DIGEST];
        if first < 0x80 {
            return (DIGEST + 1, usize::from(first >> 1), first & 1 == 1);
        }
        let mut value = 0;
        for (at, &byte) in self.0[DIGEST..].iter().enumerate() {
            value |= usize::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return (DIGEST + at + 1, value >> 1, value & 1 == 1);
            }
        }
        unreachable!("a blob's header is written complete")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_keep_null_and_empty_apart() {
        for length in [0, 1, 62, 63, 64, 65, 8191, 8192, 100_000] {
            let name = vec![b'n'; length];
            for data in [None, Some(&b""[..]), Some(b"x"), Some(&[7; 1000])] {
                let mut blob = Blob::new(&name, data);
                assert_eq!((blob.name(), blob.data()), (&name[..], data));
                assert_eq!((blob.replace_digest(u32::MAX), blob.digest()), (0, u32::MAX));
                for next in [Some(&b"y"[..]), None, None, Some(b""), Some(b""), data] {
                    blob.set_data(next);
                    assert_eq!((blob.name(), blob.data()), (&name[..], next));
                    assert_eq!(blob.digest(), u32::MAX);
                }
            }
        }
    }

    #[test]
    fn data_of_the_same_length_is_replaced_in_place() {
        let mut blob = Blob::new(b"n", Some(b"one"));
        let before = blob.0.as_ptr();
        blob.set_data(Some(b"two"));
        assert_eq!((blob.data(), blob.0.as_ptr()), (Some(&b"two"[..]), before));
    }
}
