//! The framing of one record in a log file.

use crate::jute::Writer;
use crate::proto::txns::TxnHeader;

/// The file's first bytes: "ZKLG", version 2, database id 0.
pub const FILE_HEADER: [u8; 16] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
/// What a log file must begin with. Version and id after it are not looked at, as in Java.
pub const MAGIC: &[u8] = b"ZKLG";
/// Bytes before a record's transaction: checksum and length.
pub const PREFIX: usize = 12;
/// The byte that ends each record.
pub const TERMINATOR: u8 = b'B';
/// Bytes around a transaction.
pub const OVERHEAD: usize = PREFIX + 1;

/// Appends the record of `txn` to `out`.
///
/// # Panics
/// When `txn` is not a transaction at all: shorter than its header. Such a record would end the
/// log for every reader.
pub fn append(txn: &[u8], out: &mut Vec<u8>) {
    assert!(
        txn.len() >= TxnHeader::SIZE,
        "a transaction of {} bytes is shorter than its header",
        txn.len()
    );
    out.reserve(txn.len() + OVERHEAD);
    out.put_long(i64::from(checksum(txn)));
    out.put_buffer(Some(txn));
    out.push(TERMINATOR);
}

/// The Adler-32 of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

/// Checksum and length field at the start of `bytes`, if there are enough of them.
pub fn prefix(bytes: &[u8]) -> Option<(u64, i32)> {
    let (checksum, rest) = bytes.split_first_chunk::<8>()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    Some((u64::from_be_bytes(*checksum), i32::from_be_bytes(*length)))
}

/// The transaction of a complete record at the start of `bytes` whose checksum fits, if there is
/// one.
pub fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, length) = prefix(bytes)?;
    let length = usize::try_from(length).ok().filter(|&n| n >= TxnHeader::SIZE)?;
    let txn = bytes.get(PREFIX..PREFIX.checked_add(length)?)?;
    let ends_well = bytes.get(PREFIX + length) == Some(&TERMINATOR);
    // The cheap conditions first: this is tried at every offset behind a damaged record.
    (ends_well && sum >> 32 == 0 && sum == u64::from(checksum(txn))).then_some(txn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a log that Apache ZooKeeper 3.8.0 wrote: a createSession.
    const CREATE_SESSION: &str = "00000000e7a40baa0000003001000017a6e60000000000000000000000000001\
        000001a1ff806498fffffff6000075300000000200000000\
        51c6d66042";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn a_record_is_framed_as_apache_frames_it() {
        let golden = bytes(CREATE_SESSION);
        let txn = whole(&golden).expect("the golden record is whole");
        assert_eq!(txn.len(), 48);
        let mut framed = Vec::new();
        append(txn, &mut framed);
        assert_eq!(framed, golden);
    }

    #[test]
    fn no_bit_of_a_record_may_change() {
        let golden = bytes(CREATE_SESSION);
        for bit in 0..golden.len() * 8 {
            let mut damaged = golden.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(whole(&damaged).is_none(), "bit {bit} may not be flipped unseen");
        }
    }
}
