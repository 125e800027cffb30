//! Writing past the page cache, each write durable when it returns.
//!
//! The file is opened with `O_DIRECT` and `O_DSYNC`: one call takes the bytes from our memory to the
//! disk and has the disk keep them. `write` and `fdatasync` do the same by way of the page cache: its
//! pages are found, locked, marked, written back and waited for, which is a fifth to a third of what a
//! small sync costs the processor (300 bytes on ext4: 36 µs instead of 45).
//!
//! Such writes begin and end with whole blocks. What a block held before the new bytes is written
//! again with them, as the page cache does it, too.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{BLOCK_BYTES, DiskError, WriteThroughFile};

/// Written with one call, at most.
const PIECE: usize = 256 << 10;

const BLOCK_LEN: usize = BLOCK_BYTES as usize;

/// Where direct writes are what they are said to be, by the `f_type` of `statfs(2)`: ext4 (and ext2, 3),
/// XFS, Btrfs, F2FS, and memory. Elsewhere, with FUSE and 9P for one, it can be up to a server whether
/// `O_DSYNC` means anything, and the page cache may not hear of what is written past it.
const KNOWN_FILE_SYSTEMS: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// A file that is overwritten past the page cache.
struct DirectFile {
    file: File,
    path: PathBuf,
    memory: AlignedMemory,
    /// Where the last write ended. What its block holds before that begins `memory`.
    end: Option<u64>,
}

/// Opens an existing file of at least one block; `None` if its file system, or its disk, does not take
/// such writes. It is asked by writing its first block as it is, so that a later refusal is a failure.
pub(super) fn open(path: &Path) -> Result<Option<Box<dyn WriteThroughFile>>, DiskError> {
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags.bits() as i32);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if is_refusal(&error) => return Ok(None),
        Err(error) => return Err(DiskError::new("open for direct writing", path, error)),
    };
    let file_system = rustix::fs::fstatfs(&file)
        .map_err(|error| DiskError::new("ask for the file system of", path, error.into()))?;
    if !KNOWN_FILE_SYSTEMS.contains(&(file_system.f_type as u64 & 0xffff_ffff)) {
        return Ok(None);
    }
    let (path, memory) = (path.to_owned(), AlignedMemory::new(PIECE));
    let mut file = DirectFile { file, path, memory, end: None };
    match file.read_block(0).and_then(|()| file.write(0, BLOCK_LEN)) {
        Ok(()) => Ok(Some(Box::new(file))),
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(file.error(error)),
    }
}

/// Whether nothing is wrong with the disk: it only cannot do this.
fn is_refusal(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    // EOPNOTSUPP and ENOSYS are both `Unsupported`.
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

impl WriteThroughFile for DirectFile {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.overwrite_pieces(offset, bytes).map_err(|error| self.error(error))
    }
}

impl DirectFile {
    fn overwrite_pieces(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        if self.end != Some(offset) {
            self.read_block(offset - offset % BLOCK_BYTES)?;
        }
        // Known again when everything has been written.
        self.end = None;
        while !bytes.is_empty() {
            let begin = (offset % BLOCK_BYTES) as usize;
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE - begin));
            let end = begin + piece.len();
            let blocks = end.next_multiple_of(BLOCK_LEN);
            let memory = self.memory.bytes();
            memory[begin..end].copy_from_slice(piece);
            memory[end..blocks].fill(0);
            self.write(offset - begin as u64, blocks)?;
            self.memory.bytes().copy_within(end - end % BLOCK_LEN..end, 0);
            offset += piece.len() as u64;
            bytes = rest;
        }
        self.end = Some(offset);
        Ok(())
    }

    /// Writes the first `len` bytes of the memory, whole blocks, at `offset`.
    fn write(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let bytes = &self.memory.bytes()[..len];
        let mut written = 0;
        while written < len {
            match self.file.write_at(&bytes[written..], offset + written as u64) {
                // Of a block that was written in part the whole is written again.
                Ok(n) if n >= BLOCK_LEN => written += n - n % BLOCK_LEN,
                Ok(_) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the block at `offset` into the beginning of the memory.
    fn read_block(&mut self, offset: u64) -> io::Result<()> {
        let block = &mut self.memory.bytes()[..BLOCK_LEN];
        loop {
            return match self.file.read_at(block, offset) {
                Ok(BLOCK_LEN) => Ok(()),
                Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn error(&self, error: io::Error) -> DiskError {
        DiskError::new("write durably to", &self.path, error)
    }
}

/// Memory that begins at a multiple of [`BLOCK_BYTES`], as direct writes ask.
struct AlignedMemory {
    memory: Vec<u8>,
    begin: usize,
    len: usize,
}

impl AlignedMemory {
    fn new(len: usize) -> Self {
        let memory = vec![0; len + BLOCK_LEN];
        let begin = memory.as_ptr().align_offset(BLOCK_LEN);
        AlignedMemory { memory, begin, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, DiskFile, RealDisk};
    use super::*;

    /// A file of zeros of `size` bytes, and how it is overwritten here; `None` where it cannot be.
    fn zeros(
        dir: &Path,
        size: usize,
    ) -> Option<(std::sync::Arc<dyn DiskFile>, Box<dyn WriteThroughFile>)> {
        let path = dir.join("f");
        let file = RealDisk.create_new(&path).unwrap();
        file.write_all_at(0, &vec![0; size]).unwrap();
        file.sync_all().unwrap();
        let durable = RealDisk.open_write_through(&path).unwrap();
        if durable.is_none() {
            eprintln!("skipped: {} takes no direct writes", path.display());
        }
        durable.map(|durable| (file, durable))
    }

    fn content(file: &dyn DiskFile) -> Vec<u8> {
        let mut content = vec![0; file.size().unwrap() as usize];
        file.read_at(0, &mut content).unwrap();
        content
    }

    /// So that the others do not all skip what they are for.
    #[test]
    fn the_usual_file_systems_take_direct_writes() {
        let dir = tempfile::tempdir().unwrap();
        let f_type = rustix::fs::statfs(dir.path()).unwrap().f_type as u64 & 0xffff_ffff;
        if KNOWN_FILE_SYSTEMS[..4].contains(&f_type) {
            assert!(zeros(dir.path(), BLOCK_LEN).is_some(), "{f_type:x}");
        } else {
            eprintln!("skipped: {} is on {f_type:x}", dir.path().display());
        }
    }

    #[test]
    fn what_is_overwritten_is_what_a_reader_finds() {
        let dir = tempfile::tempdir().unwrap();
        let size = 4 << 20;
        let Some((file, mut durable)) = zeros(dir.path(), size) else { return };
        let mut expected = vec![0; size];
        let mut end = 16;
        // Within a block, to its very end, over it, whole blocks, a piece, several, a byte.
        let lengths = [100, BLOCK_LEN - 116, 1, 2 * BLOCK_LEN, 5, PIECE, 3 * PIECE + 7, 1, 4095];
        for (length, value) in lengths.into_iter().zip(1..) {
            let bytes = vec![value; length];
            durable.overwrite(end as u64, &bytes).unwrap();
            expected[end..end + length].copy_from_slice(&bytes);
            end += length;
            assert!(content(&*file) == expected, "{length} bytes, to {end}");
        }
    }

    #[test]
    fn a_block_that_another_wrote_to_meanwhile_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let Some((file, mut durable)) = zeros(dir.path(), 3 * BLOCK_LEN) else { return };
        durable.overwrite(10, b"abc").unwrap();
        file.write_all_at(13, b"cached").unwrap();
        file.sync_data().unwrap();
        durable.overwrite(19, b"direct").unwrap();
        assert_eq!(&content(&*file)[10..26], b"abccacheddirect\0");
    }

    #[test]
    fn the_size_stays_and_a_block_that_is_not_whole_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let size = 2 * BLOCK_LEN + 16;
        let Some((file, mut durable)) = zeros(dir.path(), size) else { return };
        durable.overwrite(BLOCK_BYTES - 2, b"over").unwrap();
        assert_eq!(file.size().unwrap(), size as u64);
        let error = durable.overwrite(2 * BLOCK_BYTES + 1, b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write durably to /"), "{error}");
        assert_eq!(file.size().unwrap(), size as u64);
    }

    #[test]
    fn a_file_that_is_not_there_or_has_no_whole_block_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RealDisk.open_write_through(&dir.path().join("g")).is_err());
        let Some(_) = zeros(dir.path(), BLOCK_LEN) else { return };
        let short = dir.path().join("short");
        RealDisk.create_new(&short).unwrap().write_all_at(0, b"short").unwrap();
        assert!(RealDisk.open_write_through(&short).is_err());
    }
}
