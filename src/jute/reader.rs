//! The bounded Jute reader: it borrows, never allocates for a promised length, never panics.

use std::fmt;

/// What is wrong with bytes that should have been a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JuteError {
    /// The bytes end inside a field.
    Truncated,
    /// A length below -1, or above the limit the reader was given (`jute.maxbuffer` plus its
    /// extrasize).
    UnreasonableLength(i32),
    /// A field that may not be null is null.
    UnexpectedNull,
    /// A number that stands for a choice names none.
    UnknownTag(i32),
}

impl fmt::Display for JuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JuteError::Truncated => f.write_str("the record ends inside a field"),
            JuteError::UnreasonableLength(n) => write!(f, "unreasonable length {n}"),
            JuteError::UnexpectedNull => f.write_str("null where a value is needed"),
            JuteError::UnknownTag(n) => write!(f, "unknown tag {n}"),
        }
    }
}

impl std::error::Error for JuteError {}

/// Reads Jute fields from a byte slice, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    max_length: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes` that refuses any single buffer or string longer than `max_length`.
    pub fn new(bytes: &'a [u8], max_length: usize) -> Self {
        Reader { bytes, position: 0, max_length }
    }

    /// A reader whose only bound is the slice itself.
    pub fn unlimited(bytes: &'a [u8]) -> Self {
        Reader::new(bytes, i32::MAX as usize)
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes that have not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// What was read since `start`, a former [`position`](Self::position).
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }

    /// Reads `n` raw bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], JuteError> {
        let end = self.position.checked_add(n).ok_or(JuteError::Truncated)?;
        let slice = self.bytes.get(self.position..end).ok_or(JuteError::Truncated)?;
        self.position = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JuteError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, JuteError> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads a boolean: any byte but zero is true.
    pub fn bool(&mut self) -> Result<bool, JuteError> {
        Ok(self.byte()? != 0)
    }

    /// Reads an int.
    pub fn int(&mut self) -> Result<i32, JuteError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Reads a long.
    pub fn long(&mut self) -> Result<i64, JuteError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Reads a buffer; `None` is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, JuteError> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let n = usize::try_from(length).map_err(|_| JuteError::UnreasonableLength(length))?;
        if n > self.max_length {
            return Err(JuteError::UnreasonableLength(length));
        }
        self.take(n).map(Some)
    }

    /// Reads a string as its bytes; `None` is null.
    pub fn ustring(&mut self) -> Result<Option<&'a [u8]>, JuteError> {
        self.buffer()
    }

    /// Reads a string that may not be null.
    pub fn required_ustring(&mut self) -> Result<&'a [u8], JuteError> {
        self.ustring()?.ok_or(JuteError::UnexpectedNull)
    }

    /// Reads a vector's count. `None` is null; a count below -1 reads as an empty vector, as in
    /// Java. The count is a promise of the sender: never allocate for it.
    pub fn vector(&mut self) -> Result<Option<u32>, JuteError> {
        let count = self.int()?;
        Ok(match count {
            -1 => None,
            n => Some(u32::try_from(n).unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_buffers_differ() {
        let mut r = Reader::unlimited(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&[][..])));
        assert_eq!(r.buffer(), Err(JuteError::Truncated));
    }

    #[test]
    fn lengths_below_minus_one_and_above_the_limit_are_refused() {
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xfe], 10);
        assert_eq!(r.buffer(), Err(JuteError::UnreasonableLength(-2)));
        let mut r = Reader::new(&[0, 0, 0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 10);
        assert_eq!(r.buffer(), Err(JuteError::UnreasonableLength(11)));
        let mut r = Reader::new(&[0x7f, 0xff, 0xff, 0xff], usize::MAX);
        assert_eq!(r.buffer(), Err(JuteError::Truncated));
    }

    #[test]
    fn a_negative_vector_count_is_empty_and_minus_one_is_null() {
        let mut r = Reader::unlimited(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);
        assert_eq!(r.vector(), Ok(None));
        assert_eq!(r.vector(), Ok(Some(0)));
    }

    #[test]
    fn any_non_zero_byte_is_true() {
        let mut r = Reader::unlimited(&[0, 1, 7]);
        assert_eq!((r.bool(), r.bool(), r.bool()), (Ok(false), Ok(true), Ok(true)));
    }
}
