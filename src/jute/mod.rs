//! Jute, ZooKeeper's record encoding: big-endian numbers, length-prefixed buffers, no tags.
//!
//! ```text
//! byte, boolean   1 byte (a boolean is true when the byte is not zero)
//! int, long       4 and 8 bytes, big-endian two's complement
//! buffer, ustring int length, then that many bytes; length -1 is null
//! vector          int count, then the elements; count -1 is null
//! record          its fields in order; nothing around them
//! ```
//!
//! Null and empty are different values everywhere. Text is kept as bytes: clients send strings
//! that are not UTF-8, and a server may neither panic nor hang up on them.

mod frame;
mod reader;
mod writer;

pub use frame::{Frame, FrameError, next_frame};
pub use reader::{JuteError, Reader};
pub use writer::Writer;

/// Java's default of `jute.maxbuffer`, in bytes: the largest frame a client may send.
pub const DEFAULT_MAX_BUFFER: usize = 0xf_ffff;
