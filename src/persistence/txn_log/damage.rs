//! Torn or rotten? Decides what it means that the bytes at some place are no record.
//!
//! *Torn*: the server died while it wrote them. No one was told of the record, so it may be cut
//! off, with everything behind it. *Rotten*: they were durable, perhaps acknowledged, and have
//! changed since; then the server must refuse.
//!
//! Two facts tell them apart. Disks write sectors whole, and the log grows into zeros, so a
//! sector that was not written *holds only zeros from the record's start on*: of a write that was
//! under way any sectors may be there and any others not. And nothing is written behind a batch
//! before it is durable, and a batch has at most [`MAX_BATCH_BYTES`] (or one record), so *no valid
//! record lies further than that behind* a torn one, in the last file that holds any.
//!
//! | at the end of the records | verdict |
//! |---|---|
//! | nothing, or zeros up to the end of the file | clean end |
//! | a length below zero or above the limit: a torn length is never larger than the true one | rotten |
//! | the checksum fits, but with another length than the field's: only the field changed | rotten |
//! | the checksum fits with one bit changed, in it or in the transaction | rotten |
//! | the checksum fits, the byte behind the transaction is neither 'B' nor 0 | rotten |
//! | none of the evidence below that the record was not completely written | rotten |
//! | a valid record ends too far behind: in the last file by more than a batch, in others by anything | rotten |
//! | otherwise | torn |
//!
//! Evidence that a record was not completely written:
//!
//! * the file ends inside it;
//! * a sector that it lies in holds only zeros: whole, or from the record's start on if more of
//!   the record lies there than the four bytes that are zeros in every record. For a length of
//!   zero it must be a sector with a part of the length field in it; for a checksum that fits it
//!   must be the one with the byte 'B'. Beyond the record's end the sector's zeros count too;
//! * 'B' is missing, whether the checksum fits or not, and from where it should be on the file
//!   holds only zeros, or so it does from the length on: an append that stopped half way, as
//!   Apache's when it is killed between two writes, or one that the disk cut short.
//!
//! A *valid record behind* is one outside the record's own extent, as far as its length can be
//! believed: inside, it is data, which a client chose. Its zxid must be one that the log can have
//! reached there, for zxids are never left out.
//!
//! Two errors remain, both rare. A sector under acknowledged records that a disk turned into
//! zeros, less than a batch before the log's end, is taken for torn. And when a power cut changes
//! exactly one bit, because a lost sector had only that one, it is taken for rot.

use super::MAX_BATCH_BYTES;
use super::record::{OVERHEAD, PREFIX, TERMINATOR, checksum, prefix, whole};
use crate::persistence::disk::{DiskError, DiskFile};
use crate::proto::Zxid;
use crate::proto::txns::TxnHeader;

/// The unit a disk writes whole.
const SECTOR: u64 = 512;
/// How much is searched at once.
const WINDOW: usize = 4 << 20;

/// The fewest bytes of a record.
const SMALLEST: u64 = (TxnHeader::SIZE + OVERHEAD) as u64;

/// How the bytes fail to be a record. Lengths are the length field's.
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
    /// The record does not end with 'B', nor does its checksum fit.
    NothingFits {
        /// Bytes of the transaction.
        length: usize,
        /// What stands in the place of 'B'.
        terminator: u8,
    },
    /// The record does not end with 'B', but its checksum fits.
    NoTerminator {
        /// Bytes of the transaction.
        length: usize,
        /// What stands in the place of 'B'.
        terminator: u8,
    },
    /// The record ends with 'B', its checksum is wrong.
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
    /// Whether no later file holds records.
    pub(super) is_last_file: bool,
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
    let failing = match defect {
        Defect::LengthImpossible(length) => {
            return Ok(Verdict::Rotten(format!(
                "a record's length is {length}, above the limit of {} (jute.maxbuffer and its \
                 extrasize); if they were larger when it was written, set them back",
                place.max_record
            )));
        }
        Defect::PrefixCut | Defect::CutOff => "the file ends inside a record",
        Defect::LengthZero => "a record's length is zero",
        Defect::NothingFits { .. } => "a record's checksum is wrong and it does not end with 'B'",
        Defect::NoTerminator { .. } => "a record does not end with 'B'",
        Defect::WrongChecksum { .. } => "a record's checksum is wrong",
    };
    if let Some(length) = place.fits_with_another_length()? {
        return Ok(Verdict::Rotten(format!(
            "{failing}, because its length field has changed: the checksum fits {length} bytes"
        )));
    }
    if let Defect::WrongChecksum { length } = defect
        && place.fits_with_another_bit(length)?
    {
        return Ok(Verdict::Rotten(format!("{failing}: one bit of the record has changed")));
    }
    let Some(evidence) = place.evidence(defect)? else {
        return Ok(Verdict::Rotten(format!("{failing}, though all of it was written")));
    };
    if let Some(offset) = place.valid_record_too_far_behind(defect)? {
        return Ok(Verdict::Rotten(format!(
            "{failing}, but a valid record follows at offset {offset}"
        )));
    }
    Ok(Verdict::Torn(format!("{failing}{evidence}")))
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
    /// How it is known that the record at this place was not completely written, in words that
    /// follow those of the defect; `None` if it is not.
    fn evidence(&self, defect: Defect) -> Result<Option<&'static str>, DiskError> {
        const UNWRITTEN: &str = ", and a sector of it was never written";
        const STOPPED: &str = ", and nothing was written behind";
        let terminator_at = |length: usize| self.offset + (PREFIX + length) as u64;
        let unwritten = match defect {
            Defect::PrefixCut | Defect::CutOff => return Ok(Some("")),
            Defect::LengthImpossible(_) => false,
            Defect::LengthZero => {
                if zeros_from(self.file, self.offset + 8, self.size)? {
                    return Ok(Some(STOPPED));
                }
                self.has_unwritten_sector(self.offset + 8, self.offset + PREFIX as u64)?
            }
            Defect::WrongChecksum { length } => {
                self.has_unwritten_sector(self.offset, terminator_at(length) + 1)?
            }
            Defect::NothingFits { length, terminator } => {
                let at = terminator_at(length);
                if self.has_unwritten_sector(self.offset, at + 1)? {
                    true
                } else if terminator == 0 && zeros_from(self.file, at, self.size)? {
                    return Ok(Some(STOPPED));
                } else {
                    false
                }
            }
            Defect::NoTerminator { length, terminator } => {
                let at = terminator_at(length);
                if terminator == 0 && zeros_from(self.file, at, self.size)? {
                    return Ok(Some(STOPPED));
                }
                terminator == 0 && self.has_unwritten_sector(at, at + 1)?
            }
        };
        Ok(unwritten.then_some(UNWRITTEN))
    }

    /// Whether of the sectors that `from..until` lies in one holds only zeros: whole, or from the
    /// record's start on if it starts there, unless only the four zeros of every record lie in it.
    fn has_unwritten_sector(&self, from: u64, until: u64) -> Result<bool, DiskError> {
        let mut at = from - from % SECTOR;
        if self.offset > at {
            let next = at + SECTOR;
            let head = self.read(self.offset, (next - self.offset) as usize)?;
            if next - self.offset > 4 && all_zero(&head) {
                return Ok(true);
            }
            at = next;
        }
        if at >= until {
            return Ok(false);
        }
        let bytes = self.read(at, (until.next_multiple_of(SECTOR) - at) as usize)?;
        Ok(bytes.chunks(SECTOR as usize).any(all_zero))
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

    /// Whether the checksum of the record of `length` bytes fits when one bit is another, in the
    /// field or in the transaction.
    fn fits_with_another_bit(&self, length: usize) -> Result<bool, DiskError> {
        let record = self.read(self.offset, length + OVERHEAD)?;
        let (Some((told, _)), Some(txn)) = (prefix(&record), record.get(PREFIX..PREFIX + length))
        else {
            return Ok(false);
        };
        Ok(one_bit_apart(told, txn))
    }

    /// The offset of a valid record behind the one at this place that cannot be of the same
    /// batch.
    fn valid_record_too_far_behind(&self, defect: Defect) -> Result<Option<u64>, DiskError> {
        let mut from = match defect {
            // Whatever is there is within the record.
            Defect::PrefixCut | Defect::CutOff => return Ok(None),
            // A terminator where the length has it: the length can be believed. A byte 0 may be
            // a terminator that was not written.
            Defect::WrongChecksum { length }
            | Defect::NoTerminator { length, .. }
            | Defect::NothingFits { length, terminator: 0 } => {
                self.offset + (length + OVERHEAD) as u64
            }
            Defect::LengthZero | Defect::LengthImpossible(_) | Defect::NothingFits { .. } => {
                self.offset + 1
            }
        };
        let batch = if self.is_last_file { MAX_BATCH_BYTES as u64 } else { 0 };
        let reach = self.max_record.saturating_add(OVERHEAD);
        // No record that starts before this ends too far behind.
        from = from.max((self.offset + batch).saturating_sub(reach as u64));
        while from < self.size {
            let bytes = self.read(from, reach.saturating_add(WINDOW))?;
            let starts = bytes.len().min(WINDOW);
            for start in 0..starts {
                let Some(txn) = whole(&bytes[start..]) else { continue };
                let behind = from + start as u64 - self.offset;
                let zxid = Zxid(u64::from_be_bytes(txn[12..20].try_into().expect("8 bytes")));
                let too_far = behind + (txn.len() + OVERHEAD) as u64 > batch;
                if too_far && self.may_reach(zxid, behind) {
                    return Ok(Some(from + start as u64));
                }
            }
            from += WINDOW as u64;
        }
        Ok(None)
    }

    /// Whether the log can have come to `zxid` that many bytes behind this place.
    fn may_reach(&self, zxid: Zxid, behind: u64) -> bool {
        let Some(last) = self.last else { return true };
        let base = if zxid.epoch() == last.epoch() { last.counter() } else { 0 };
        let most = u64::from(base) + behind / SMALLEST + 1;
        zxid > last && (1..=most).contains(&u64::from(zxid.counter()))
    }

    /// Up to `wanted` bytes from `from` on: fewer where the file ends.
    fn read(&self, from: u64, wanted: usize) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; window(self.size.saturating_sub(from), wanted)];
        let read = self.file.read_at(from, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Whether one bit of `txn` or of the checksum field `told` must change for them to fit.
///
/// Adler-32 is two sums modulo a prime, of the bytes and of those sums. A bit changes the first
/// by a power of two, and the second by as much for every byte from there to the end: so both
/// differences name the bit.
fn one_bit_apart(told: u64, txn: &[u8]) -> bool {
    const P: u64 = 65521;
    let is = u64::from(checksum(txn));
    if (told ^ is).is_power_of_two() {
        return true;
    }
    let (a, b) = (told & 0xffff, told >> 16);
    if a >= P || b >= P {
        return false;
    }
    let (a, b) = ((a + P - (is & 0xffff)) % P, (b + P - (is >> 16)) % P);
    for bit in 0..8 {
        for (step, missing) in [(1 << bit, true), (P - (1 << bit), false)] {
            if a != step {
                continue;
            }
            // Bytes from the changed one to the end, modulo P; any number that is too large is
            // skipped below.
            let mut from_end = (b * inverse(step, P)) % P;
            while from_end <= txn.len() as u64 {
                let byte = (txn.len() as u64).checked_sub(from_end).map(|at| at as usize);
                let byte = byte.and_then(|at| txn.get(at));
                if byte.is_some_and(|byte| (byte >> bit & 1 == 0) == missing) {
                    return true;
                }
                from_end += P;
            }
        }
    }
    false
}

/// What `n` must be multiplied with to give 1 modulo the prime `p`: its power p − 2.
fn inverse(n: u64, p: u64) -> u64 {
    let (mut power, mut base, mut exponent) = (1, n % p, p - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % p;
        }
        base = base * base % p;
        exponent >>= 1;
    }
    power
}

fn window(left: u64, at_most: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(at_most)
}

fn all_zero(bytes: &[u8]) -> bool {
    // In pieces, so that it is both quick to give up and quick to go through.
    bytes.chunks(4096).all(|piece| piece.iter().fold(0, |seen, byte| seen | byte) == 0)
}
