//! The Jute writer: appends fields to a byte vector.

/// Appends Jute fields to anything that keeps bytes in a `Vec<u8>`.
pub trait Writer {
    /// Appends one byte.
    fn put_byte(&mut self, value: u8);
    /// Appends a boolean as 0 or 1.
    fn put_bool(&mut self, value: bool);
    /// Appends an int.
    fn put_int(&mut self, value: i32);
    /// Appends a long.
    fn put_long(&mut self, value: i64);
    /// Appends a buffer or a string; `None` is null.
    fn put_buffer(&mut self, value: Option<&[u8]>);
    /// Appends a string.
    fn put_ustring(&mut self, value: &[u8]) {
        self.put_buffer(Some(value));
    }
    /// Overwrites the int at `at`, for lengths and counts that are known late.
    fn set_int(&mut self, at: usize, value: i32);
}

impl Writer for Vec<u8> {
    fn put_byte(&mut self, value: u8) {
        self.push(value);
    }

    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn put_int(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_long(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_int(-1),
            Some(bytes) => {
                let length = i32::try_from(bytes.len()).expect("a Jute buffer is below 2 GiB");
                self.put_int(length);
                self.extend_from_slice(bytes);
            }
        }
    }

    fn set_int(&mut self, at: usize, value: i32) {
        self[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Reader;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        out.put_int(-5);
        out.put_long(i64::MIN);
        out.put_bool(true);
        out.put_buffer(None);
        out.put_ustring(b"/a");
        let mut r = Reader::unlimited(&out);
        assert_eq!(r.int(), Ok(-5));
        assert_eq!(r.long(), Ok(i64::MIN));
        assert_eq!(r.bool(), Ok(true));
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.ustring(), Ok(Some(&b"/a"[..])));
        assert_eq!(r.remaining(), 0);
    }
}
