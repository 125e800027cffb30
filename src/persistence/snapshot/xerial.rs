//! The stream that snappy-java's `SnappyOutputStream` writes, which is not Snappy's own framing
//! format: it has no checksums.
//!
//! ```text
//! 82 "SNAPPY" 00     magic
//! int 1, int 1       version, least version that can read it; not looked at
//! int n, n bytes     a raw Snappy block of at most 32 KiB of content; repeated to the end
//! ```
//!
//! Where a block's length would be, another header may stand: streams may follow each other.
//! Memory is bounded: a block that promises more than [`MOST_IN_BLOCK`] is damage.

use std::io::{self, Read};

/// The first bytes of every such stream.
pub(super) const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// Magic, version, least version.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Content of the blocks that are written, as snappy-java has it.
const BLOCK: usize = 32 << 10;
/// Content of a block that is read, at most: other block sizes are possible there.
const MOST_IN_BLOCK: usize = 1 << 20;

/// The content of a stream.
pub(super) struct Decoder<R> {
    inner: R,
    /// Whether the header was seen.
    begun: bool,
    /// A block as it is stored.
    packed: Vec<u8>,
    /// Its content, and how much of it was given out.
    block: Vec<u8>,
    given: usize,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(inner: R) -> Self {
        Decoder { inner, begun: false, packed: Vec::new(), block: Vec::new(), given: 0 }
    }

    /// Reads the next block; `false` at the end of the stream.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.begun {
            let mut magic = [0; MAGIC.len()];
            self.inner.read_exact(&mut magic)?;
            self.finish_header(magic)?;
        }
        let Some(length) = self.length()? else { return Ok(false) };
        self.packed.resize(length, 0);
        self.inner.read_exact(&mut self.packed)?;
        let content = snap::raw::decompress_len(&self.packed)?;
        if content > MOST_IN_BLOCK {
            return Err(damage(format!("a Snappy block promises {content} bytes")));
        }
        self.block.resize(content, 0);
        let content = snap::raw::Decoder::new().decompress(&self.packed, &mut self.block)?;
        self.block.truncate(content);
        self.given = 0;
        Ok(true)
    }

    /// The length of the next block as it is stored; `None` at the end.
    fn length(&mut self) -> io::Result<Option<usize>> {
        loop {
            let mut field = [0; 4];
            if self.inner.read(&mut field[..1])? == 0 {
                return Ok(None);
            }
            self.inner.read_exact(&mut field[1..])?;
            if field == MAGIC[..4] {
                let mut magic = MAGIC;
                self.inner.read_exact(&mut magic[4..])?;
                self.finish_header(magic)?;
                continue;
            }
            let length = u32::from_be_bytes(field) as usize;
            if length > snap::raw::max_compress_len(MOST_IN_BLOCK) {
                return Err(damage(format!("a Snappy block of {length} bytes is too long")));
            }
            return Ok(Some(length));
        }
    }

    fn finish_header(&mut self, magic: [u8; MAGIC.len()]) -> io::Result<()> {
        if magic != MAGIC {
            return Err(damage("it does not begin as a stream of snappy-java".to_owned()));
        }
        self.begun = true;
        self.inner.read_exact(&mut [0; HEADER.len() - MAGIC.len()])
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.block.len() - self.given);
        buffer[..n].copy_from_slice(&self.block[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

fn damage(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes a stream of content that comes in pieces.
pub(super) struct Encoder {
    begun: bool,
    /// Content of a block that is not full.
    block: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Encoder { begun: false, block: Vec::with_capacity(BLOCK) }
    }

    /// Appends to `out` the blocks that `content` fills.
    pub(super) fn encode(&mut self, mut content: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEADER);
        }
        while !content.is_empty() {
            let n = content.len().min(BLOCK - self.block.len());
            self.block.extend_from_slice(&content[..n]);
            content = &content[n..];
            if self.block.len() == BLOCK {
                self.end_block(out);
            }
        }
    }

    /// Appends the last block.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.encode(&[], out);
        if !self.block.is_empty() {
            self.end_block(out);
        }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let field = out.len();
        let start = field + 4;
        out.resize(start + snap::raw::max_compress_len(self.block.len()), 0);
        let length = snap::raw::Encoder::new()
            .compress(&self.block, &mut out[start..])
            .expect("a block fits into the room that was made for it");
        out[field..start].copy_from_slice(&(length as u32).to_be_bytes());
        out.truncate(start + length);
        self.block.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        pieces.iter().for_each(|piece| encoder.encode(piece, &mut out));
        encoder.finish(&mut out);
        out
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Decoder::new(bytes).read_to_end(&mut content)?;
        Ok(content)
    }

    /// The lengths of the blocks' content.
    fn blocks(mut bytes: &[u8]) -> Vec<usize> {
        bytes = &bytes[HEADER.len()..];
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (field, rest) = bytes.split_at(4);
            let (block, rest) =
                rest.split_at(u32::from_be_bytes(field.try_into().unwrap()) as usize);
            found.push(snap::raw::decompress_len(block).unwrap());
            bytes = rest;
        }
        found
    }

    #[test]
    fn what_comes_in_any_pieces_makes_blocks_of_32_kib_and_comes_back() {
        let content: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        let whole = encoded(&[&content]);
        assert_eq!(blocks(&whole), [&[BLOCK; 12][..], &[400_000 - 12 * BLOCK]].concat());
        let (a, b) = content.split_at(50_001);
        assert_eq!(encoded(&[a, &[], b]), whole);
        assert_eq!(decoded(&whole).unwrap(), content);
        assert_eq!(decoded(&encoded(&[])).unwrap(), b"");
        let twice = [&whole[..], &whole].concat();
        assert_eq!(decoded(&twice).unwrap(), [&content[..], &content].concat());
    }

    #[test]
    fn the_stream_that_snappy_java_wrote_is_read_and_ours_begins_alike() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot-variants/");
        let golden = |name: &str| std::fs::read(format!("{dir}{name}")).unwrap();
        let (packed, plain) =
            (golden("snappy/snapshot.6e.snappy"), golden("plain-3.8.0/snapshot.6e"));
        assert_eq!(decoded(&packed).unwrap(), plain);
        let ours = encoded(&[&plain]);
        assert_eq!(ours[..16], packed[..16]);
        assert_eq!(blocks(&ours), blocks(&packed));
    }

    #[test]
    fn no_cut_passes_for_a_block_and_no_promise_is_believed() {
        let whole = encoded(&[&[b'x'; BLOCK], b"the end"]);
        let first =
            HEADER.len() + 4 + u32::from_be_bytes(whole[16..20].try_into().unwrap()) as usize;
        for cut in 0..whole.len() {
            // Without checksums a stream may end behind any block; the seal inside it tells.
            let may_end = [HEADER.len(), first].contains(&cut);
            assert_eq!(decoded(&whole[..cut]).is_ok(), may_end, "cut at {cut}");
        }
        let long = [&HEADER[..], &[0x7f, 0xff, 0xff, 0xff], b"x"].concat();
        assert!(decoded(&long).unwrap_err().to_string().contains("is too long"));
        // A block of five bytes that promises 4 GiB of content.
        let bomb = [&HEADER[..], &[0, 0, 0, 5], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        assert!(decoded(&bomb).unwrap_err().to_string().contains("promises 4294967295 bytes"));
        assert!(decoded(&[7; 100]).unwrap_err().to_string().contains("does not begin"));
    }
}
