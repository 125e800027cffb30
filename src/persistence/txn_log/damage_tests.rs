//! What random power cuts and random flipped bits make of a log: the one must never refuse a
//! start nor lose what was synced, the other must always refuse.

use std::path::Path;
use std::sync::Arc;

use super::reader::tests::BytesFile;
use super::record::{FILE_HEADER, OVERHEAD};
use super::{LogError, LogReader, MAX_BATCH_BYTES, record};
use crate::proto::Zxid;

/// Numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn of(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }
}

/// A log as it was written: where each record begins, and where the last batch does.
struct Written {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    /// Everything before this was synced.
    synced: usize,
    /// How many records that is.
    synced_records: usize,
    end: usize,
}

fn txn(zxid: u64, numbers: &mut Numbers) -> Vec<u8> {
    let size = match numbers.below(10) {
        0 => 32,
        1 => 1 << (5 + numbers.below(9)),
        2 => 32 + numbers.below(40_000),
        3 => 32 + numbers.below(3000),
        _ => 32 + numbers.below(200),
    };
    let mut txn: Vec<u8> = match numbers.below(6) {
        // A znode of zeros: whole sectors of it are zeros though they were written.
        0 => vec![0; size],
        // One that is full of records, each of which could come next.
        1 => {
            let mut inner = vec![7; 40];
            inner[12..20].copy_from_slice(&(zxid + 1).to_be_bytes());
            let mut framed = vec![0; 32];
            while framed.len() < size {
                record::append(&inner, &mut framed);
            }
            framed
        }
        _ => (0..size).map(|_| numbers.next() as u8).collect(),
    };
    txn[..12].copy_from_slice(&[0; 12]);
    txn[12..20].copy_from_slice(&zxid.to_be_bytes());
    txn[20..32].copy_from_slice(&[
        0,
        0,
        1,
        0xa1,
        0xff,
        0x93,
        0x72,
        numbers.next() as u8,
        0,
        0,
        0,
        1,
    ]);
    let end = txn.len() - 1;
    txn[end] |= 1;
    txn
}

fn written(numbers: &mut Numbers) -> Written {
    let mut bytes = FILE_HEADER.to_vec();
    let (mut starts, mut zxid) = (Vec::new(), 0);
    let (before, last) = (numbers.below(30), 1 + numbers.below(60));
    let mut synced = bytes.len();
    for n in 0..before + last {
        if n == before {
            synced = bytes.len();
        }
        zxid += 1;
        starts.push(bytes.len());
        let txn = txn(zxid, numbers);
        if n >= before && bytes.len() - synced + txn.len() + OVERHEAD > MAX_BATCH_BYTES {
            starts.pop();
            break;
        }
        record::append(&txn, &mut bytes);
    }
    let end = bytes.len();
    bytes.resize(end + numbers.below(10_000), 0);
    Written { bytes, starts, synced, synced_records: before, end }
}

/// How many records a restart finds, and whether it cuts; or what it refuses with.
fn read(bytes: Vec<u8>) -> Result<(usize, bool), String> {
    let file = Arc::new(BytesFile(bytes));
    let opened = LogReader::over(file, Path::new("log.1"), 1 << 20).expect("there is a header");
    let mut reader = opened.as_last_file(true);
    let mut n = 0;
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                n += 1;
                assert_eq!(record.zxid, Zxid(n as u64), "what was read is what was written");
            }
            Ok(None) => return Ok((n, reader.end().unwrap().torn.is_some())),
            Err(LogError::Rotten { offset, what, .. }) => return Err(format!("{offset}: {what}")),
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn a_power_cut_that_keeps_any_sectors_of_the_last_batch_never_refuses_and_keeps_what_was_synced() {
    let mut torn = 0;
    for seed in 1..=1500 {
        let numbers = &mut Numbers::of(seed);
        let log = written(numbers);
        let unit = [512, 4096][numbers.below(2)];
        let kept_percent = [10, 50, 90][numbers.below(3)];
        let mut image = log.bytes.clone();
        let mut bits_lost = 0;
        for sector in log.synced / unit..=(log.end - 1) / unit {
            if numbers.below(100) < kept_percent {
                continue;
            }
            let until = ((sector + 1) * unit).min(image.len());
            let lost = &mut image[(sector * unit).max(log.synced)..until];
            bits_lost += lost.iter().map(|byte| byte.count_ones()).sum::<u32>();
            lost.fill(0);
        }
        let was_cut = numbers.below(4) == 0;
        if was_cut {
            // The file's new size was lost as well.
            let size = log.synced + numbers.below(log.end - log.synced + 1);
            image.truncate(size);
        }
        let (records, was_torn) = read(image).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(records >= log.synced_records, "seed {seed}: synced records were lost");
        if bits_lost == 0 && !was_cut {
            assert_eq!((records, was_torn), (log.starts.len(), false), "seed {seed}");
        }
        torn += usize::from(was_torn);
    }
    assert!(torn > 700, "only {torn} of the power cuts tore anything");
}

#[test]
fn a_flipped_bit_of_a_synced_record_always_refuses() {
    for seed in 1..=200 {
        let numbers = &mut Numbers::of(seed);
        let mut log = written(numbers);
        if numbers.below(3) == 0 {
            log.bytes.truncate(log.end);
        }
        for _ in 0..20 {
            let at = log.starts[0] + numbers.below(log.end - log.starts[0]);
            let bit = numbers.below(8);
            let record = log.starts.iter().rposition(|&start| start <= at).unwrap();
            let mut image = log.bytes.clone();
            image[at] ^= 1 << bit;
            let refusal = read(image).expect_err(&format!("seed {seed}: bit {bit} of byte {at}"));
            assert!(refusal.starts_with(&format!("{}: ", log.starts[record])), "{refusal}");
        }
    }
}

#[test]
fn every_bit_of_a_record_of_zeros_counts() {
    let mut bytes = FILE_HEADER.to_vec();
    let mut txn = vec![0; 3000];
    txn[19] = 1;
    record::append(&txn, &mut bytes);
    let end = bytes.len();
    bytes.resize(9000, 0);
    for bit in 16 * 8..end * 8 {
        let mut image = bytes.clone();
        image[bit / 8] ^= 1 << (bit % 8);
        read(image).expect_err(&format!("bit {bit}"));
    }
}

#[test]
fn a_valid_record_more_than_a_batch_behind_a_lost_sector_is_rot() {
    let numbers = &mut Numbers(7);
    let mut bytes = FILE_HEADER.to_vec();
    let mut starts = Vec::new();
    for zxid in 1..=40u64 {
        let mut txn: Vec<u8> = (0..40_000).map(|_| numbers.next() as u8 | 1).collect();
        txn[12..20].copy_from_slice(&zxid.to_be_bytes());
        starts.push(bytes.len());
        record::append(&txn, &mut bytes);
    }
    let end = bytes.len();
    bytes.resize(end + 5000, 0);
    for (n, &start) in starts.iter().enumerate() {
        let mut image = bytes.clone();
        image[start.next_multiple_of(512) + 512..][..512].fill(0);
        match read(image) {
            Ok((records, torn)) => {
                assert!(torn && records == n && end - start <= MAX_BATCH_BYTES, "record {n}");
            }
            Err(_) => assert!(end - start > MAX_BATCH_BYTES, "record {n}"),
        }
    }
}
