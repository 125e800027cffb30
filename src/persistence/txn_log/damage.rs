//! Torn or rotten? Decides what it means that the bytes at some place are no record.
//!
//! *Torn*: the server died while it wrote them. No one was told of the record, so it may be cut
//! off. *Rotten*: they were durable, perhaps acknowledged, and have changed since; then the
//! server must refuse. Two facts tell them apart. Disks write sectors whole, and the log grows
//! into zeros, so a sector that was not written *holds only zeros*. And nothing is written
//! behind a record before that record is durable, except in one batch with it, so *nothing valid
//! follows* a torn record.
//!
//! | at the end of the records | verdict |
//! |---|---|
//! | nothing, or zeros up to the end of the file | clean end |
//! | a valid record with a higher zxid anywhere behind | rotten |
//! | a length below zero or above the limit: a torn length is never larger than the true one | rotten |
//! | the checksum fits, but with another length than the field's: only the field changed | rotten |
//! | the file ends inside the record | torn |
//! | the byte behind the transaction is not 'B' | torn |
//! | wrong checksum, and a sector inside the record holds only zeros (the first one: from the record on) | torn |
//! | wrong checksum otherwise | rotten |
//! | length 0, something follows, but from the record's start on the sector with the length field holds only zeros | torn |
//! | length 0 and something follows otherwise: a sector was written, with no length in it | rotten |
//!
//! When a power cut loses a sector early in a batch of several records and keeps a later record
//! whole, this says rotten, though nothing of the batch was acknowledged: from the bytes alone it
//! cannot be told from a lost sector under acknowledged records, and refusing is the safe error.

use super::record::{OVERHEAD, PREFIX, TERMINATOR, prefix, whole};
use crate::persistence::disk::{DiskError, DiskFile};
use crate::proto::Zxid;
use crate::proto::txns::TxnHeader;

/// The unit a disk writes whole.
const SECTOR: u64 = 512;
/// How much is searched at once.
const WINDOW: usize = 4 << 20;

/// How the bytes fail to be a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// The file ends inside checksum or length.
    PrefixCut,
    /// The length is zero: the end of the log, if it is one.
    LengthZero,
    /// The length is negative or above the limit.
    LengthImpossible(i32),
    /// The file ends before the record does.
    CutOff,
    /// The record does not end with 'B'.
    NoTerminator,
    /// The record is complete, its checksum is wrong.
    WrongChecksum {
        /// Bytes of the transaction.
        length: usize,
    },
}

/// Where records stop.
pub(super) struct Place<'f> {
    pub(super) file: &'f dyn DiskFile,
    /// The file's size in bytes.
    pub(super) size: u64,
    /// Where the next record should start.
    pub(super) offset: u64,
    /// The most bytes a transaction may have.
    pub(super) max_record: usize,
    /// The zxid of the record before.
    pub(super) last: Option<Zxid>,
}

/// What a defect means, in words where it is damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    CleanEnd,
    Torn(String),
    Rotten(String),
}

/// The table at the top of this file.
pub(super) fn judge(place: &Place<'_>, defect: Defect) -> Result<Verdict, DiskError> {
    let ends_here = matches!(defect, Defect::PrefixCut | Defect::LengthZero);
    if ends_here && zeros_from(place.file, place.offset, place.size)? {
        return Ok(Verdict::CleanEnd);
    }
    if let Defect::LengthImpossible(length) = defect {
        return Ok(Verdict::Rotten(format!(
            "a record's length is {length}, above the limit of {} (jute.maxbuffer and its \
             extrasize); if they were larger when it was written, set them back",
            place.max_record
        )));
    }
    let (failing, torn) = match defect {
        Defect::PrefixCut | Defect::CutOff => ("the file ends inside a record", true),
        Defect::NoTerminator => ("a record does not end with 'B'", true),
        Defect::WrongChecksum { length } => {
            ("a record's checksum is wrong", place.holds_zero_sector(length)?)
        }
        Defect::LengthZero => ("a record's length is zero", place.length_was_never_written()?),
        Defect::LengthImpossible(_) => unreachable!("decided above"),
    };
    if let Some(length) = place.fits_with_another_length()? {
        return Ok(Verdict::Rotten(format!(
            "{failing}, because its length field has changed: the checksum fits {length} bytes"
        )));
    }
    if let Some(offset) = place.valid_record_behind()? {
        return Ok(Verdict::Rotten(format!(
            "{failing}, but a valid record follows at offset {offset}"
        )));
    }
    Ok(match defect {
        _ if torn => Verdict::Torn(failing.to_owned()),
        Defect::WrongChecksum { .. } => {
            Verdict::Rotten(format!("{failing}, though every sector of it was written"))
        }
        _ => Verdict::Rotten(format!("{failing}, though its sector was written")),
    })
}

/// Whether there are only zeros between `from` and `size`.
pub(super) fn zeros_from(file: &dyn DiskFile, from: u64, size: u64) -> Result<bool, DiskError> {
    let mut at = from;
    let mut buffer = vec![0; window(size - from, WINDOW)];
    while at < size {
        let wanted = window(size - at, buffer.len());
        let read = file.read_at(at, &mut buffer[..wanted])?;
        if read == 0 {
            break;
        }
        if !all_zero(&buffer[..read]) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

impl Place<'_> {
    /// Whether a sector within the record of `length` bytes at this place is zeros: a whole one,
    /// or the first one from the record's start on, if more of the record lies in it than the
    /// four bytes that are zeros in every record.
    fn holds_zero_sector(&self, length: usize) -> Result<bool, DiskError> {
        let record = self.read(self.offset, length + OVERHEAD)?;
        let first = (self.offset.next_multiple_of(SECTOR) - self.offset) as usize;
        let Some((head, sectors)) = record.split_at_checked(first) else { return Ok(false) };
        let head_is_zero = head.len() > 4 && all_zero(head);
        Ok(head_is_zero || sectors.chunks_exact(SECTOR as usize).any(all_zero))
    }

    /// Whether a sector with a part of the length field in it is zeros from this place on.
    fn length_was_never_written(&self) -> Result<bool, DiskError> {
        let (first, last) = (self.offset + 8, self.offset + PREFIX as u64 - 1);
        for byte in [first, last] {
            let sector = byte - byte % SECTOR;
            let from = sector.max(self.offset);
            let until = (sector + SECTOR).min(self.size);
            if all_zero(&self.read(from, (until - from) as usize)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Another length with which the record at this place would be whole.
    fn fits_with_another_length(&self) -> Result<Option<usize>, DiskError> {
        let bytes = self.read(self.offset, self.max_record.saturating_add(OVERHEAD))?;
        let Some((sum, _)) = prefix(&bytes) else { return Ok(None) };
        let txn = &bytes[PREFIX..];
        // Adler-32 byte by byte: two sums modulo 65521.
        let (mut a, mut b) = (1u32, 0u32);
        for (i, &byte) in txn.iter().enumerate() {
            let fits = sum == u64::from(b << 16 | a);
            if fits && i >= TxnHeader::SIZE && byte == TERMINATOR {
                return Ok(Some(i));
            }
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        Ok(None)
    }

    /// The offset of a valid record behind this place, newer than the record before it.
    fn valid_record_behind(&self) -> Result<Option<u64>, DiskError> {
        let mut from = self.offset + 1;
        while from < self.size {
            let reach = self.max_record.saturating_add(WINDOW + OVERHEAD);
            let bytes = self.read(from, reach)?;
            let starts = bytes.len().min(WINDOW);
            for start in 0..starts {
                let Some(txn) = whole(&bytes[start..]) else { continue };
                let zxid = Zxid(u64::from_be_bytes(txn[12..20].try_into().expect("8 bytes")));
                if self.last.is_none_or(|last| zxid > last) {
                    return Ok(Some(from + start as u64));
                }
            }
            from += WINDOW as u64;
        }
        Ok(None)
    }

    /// Up to `wanted` bytes from `from` on: fewer where the file ends.
    fn read(&self, from: u64, wanted: usize) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; window(self.size.saturating_sub(from), wanted)];
        let read = self.file.read_at(from, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

fn window(left: u64, at_most: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(at_most)
}

fn all_zero(bytes: &[u8]) -> bool {
    // In pieces, so that it is both quick to give up and quick to go through.
    bytes.chunks(4096).all(|piece| piece.iter().fold(0, |seen, byte| seen | byte) == 0)
}
