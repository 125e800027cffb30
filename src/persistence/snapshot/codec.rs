//! A snapshot file's bytes as they are stored: plain, or compressed from the first to the last.
//!
//! The seals are over what is not compressed, so nothing else in here knows of it.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use flate2::write::GzEncoder;

use super::{Compression, xerial};
use crate::persistence::disk::{DiskError, DiskFile};

/// How much of a compressed file is read at once.
const CHUNK: usize = 256 << 10;

/// The content of a file, decompressed as it is read. An error of the disk is a [`DiskError`]
/// inside the `io::Error`; any other says what is wrong with the compressed bytes.
pub(super) struct Content {
    inner: Box<dyn Read>,
    position: Rc<Cell<u64>>,
}

impl Content {
    /// The content of `file`, whose name is `path` and whose size is `size`.
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        path: &Path,
        size: u64,
        compression: Compression,
    ) -> Self {
        let position = Rc::new(Cell::new(0));
        let stored = Stored { file, path: path.to_owned(), size, position: position.clone() };
        let buffered = |stored| BufReader::with_capacity(CHUNK, stored);
        let inner: Box<dyn Read> = match compression {
            Compression::None => Box::new(stored),
            // As Java reads it: several streams may follow each other.
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(stored))),
            Compression::Snappy => Box::new(xerial::Decoder::new(buffered(stored))),
        };
        Content { inner, position }
    }

    /// How far the file itself was read, in bytes.
    pub(super) fn file_position(&self) -> u64 {
        self.position.get()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

/// The bytes as they are in the file.
struct Stored {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    size: u64,
    position: Rc<Cell<u64>>,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position.get();
        let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(at, &mut buffer[..wanted]).map_err(io::Error::other)?;
        if read < wanted {
            let source = io::Error::other("the file became shorter while it was read");
            return Err(io::Error::other(DiskError::new("read", &self.path, source)));
        }
        self.position.set(at + read as u64);
        Ok(read)
    }
}

/// Turns content into the bytes that are stored.
pub(super) enum Encoder {
    Plain,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Snappy(xerial::Encoder),
}

impl Encoder {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Encoder::Plain,
            // Java's level too.
            Compression::Gzip => {
                Encoder::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default())))
            }
            Compression::Snappy => Encoder::Snappy(xerial::Encoder::new()),
        }
    }

    /// Appends to `out` what `content` adds to the file; some of it may wait for what follows.
    pub(super) fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match self {
            Encoder::Plain => out.extend_from_slice(content),
            Encoder::Gzip(encoder) => {
                encoder.write_all(content).expect("memory takes all bytes");
                out.append(encoder.get_mut());
            }
            Encoder::Snappy(encoder) => encoder.encode(content, out),
        }
    }

    /// Appends to `out` what is still missing.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Encoder::Plain => {}
            Encoder::Gzip(encoder) => {
                encoder.try_finish().expect("memory takes all bytes");
                out.append(encoder.get_mut());
            }
            Encoder::Snappy(encoder) => encoder.finish(out),
        }
    }
}
