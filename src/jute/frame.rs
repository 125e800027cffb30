//! Frames: every message on a client connection is an int length and that many bytes.

use std::fmt;

/// A frame found at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message, without its length.
    pub body: &'a [u8],
    /// How many input bytes the frame takes, its length field included.
    pub size: usize,
}

/// A length that closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError(pub i32);

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "impossible frame length {}", self.0)
    }
}

/// The first frame of `input`, or `None` when more bytes are needed.
///
/// # Errors
/// A length that is negative or above `max_length` (`jute.maxbuffer`; equal is allowed).
pub fn next_frame(input: &[u8], max_length: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((prefix, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    let n = usize::try_from(length).map_err(|_| FrameError(length))?;
    if n > max_length {
        return Err(FrameError(length));
    }
    Ok(rest.get(..n).map(|body| Frame { body, size: 4 + n }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_waits_for_all_its_bytes() {
        assert_eq!(next_frame(&[0, 0, 0], 10), Ok(None));
        assert_eq!(next_frame(&[0, 0, 0, 2, 7], 10), Ok(None));
        let frame = next_frame(&[0, 0, 0, 2, 7, 8, 9], 10).unwrap().unwrap();
        assert_eq!(frame, Frame { body: &[7, 8], size: 6 });
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert_eq!(next_frame(&[0, 0, 0, 3], 3), Ok(None));
        assert_eq!(next_frame(&[0, 0, 0, 4], 3), Err(FrameError(4)));
        assert_eq!(next_frame(&[0xff, 0xff, 0xff, 0xff], 3), Err(FrameError(-1)));
    }
}
