//! What a length may be: frames, strings, vectors.

use zkserver::jute::{DEFAULT_MAX_BUFFER, FrameError, JuteError, Reader, Writer, next_frame};
use zkserver::proto::OpCode;
use zkserver::proto::acl::{raw_acl_vector, read_acl_vector};
use zkserver::proto::requests::{SetDataRequest, SetWatches};
use zkserver::proto::txns::{Txn, TxnRecord};

use crate::common::golden;

#[test]
fn the_default_limit_is_javas() {
    assert_eq!(DEFAULT_MAX_BUFFER, 1_048_575);
}

#[test]
fn captured_absurd_lengths_are_refused_and_the_limit_itself_is_not() {
    let session = golden::session("client/connect-variants-and-malformed.txt");
    let bytes = |note: &str| {
        let line = session.iter().find(|line| line.to_server && line.note == note);
        line.expect("the line").bytes.clone()
    };
    let frame = |note: &str| next_frame(&bytes(note), DEFAULT_MAX_BUFFER).map(|f| f.is_some());
    assert_eq!(frame("neg-length"), Err(FrameError(-1)));
    assert_eq!(frame("len-1MiB"), Err(FrameError(0x10_0000)));
    assert_eq!(frame("len-maxbuffer"), Ok(false), "the rest is awaited");
    assert_eq!(frame("zero-length"), Ok(true), "a frame, though one without a header");
    let word = i32::from_be_bytes(*b"ruok");
    assert_eq!(frame("4lw-after-connect"), Err(FrameError(word)));
}

#[test]
fn a_frame_of_the_limit_is_taken_and_one_byte_more_is_not() {
    let mut input = (DEFAULT_MAX_BUFFER as i32).to_be_bytes().to_vec();
    input.resize(4 + DEFAULT_MAX_BUFFER, 7);
    let frame = next_frame(&input, DEFAULT_MAX_BUFFER).unwrap().expect("a whole frame");
    assert_eq!((frame.body.len(), frame.size), (DEFAULT_MAX_BUFFER, input.len()));
    input[..4].copy_from_slice(&(DEFAULT_MAX_BUFFER as i32 + 1).to_be_bytes());
    let refused = next_frame(&input, DEFAULT_MAX_BUFFER);
    assert_eq!(refused, Err(FrameError(DEFAULT_MAX_BUFFER as i32 + 1)));
}

#[test]
fn a_string_of_the_limit_is_read_and_one_byte_more_is_not() {
    let mut out = Vec::new();
    out.put_ustring(b"/a");
    out.put_buffer(Some(&[1; 101]));
    out.put_int(-1);
    let read = |limit| SetDataRequest::read(&mut Reader::new(&out, limit)).map(|set| set.version);
    assert_eq!(read(101), Ok(-1));
    assert_eq!(read(100), Err(JuteError::UnreasonableLength(101)));
}

/// C-291: a vector count of two billion allocates nothing: the elements are not there.
#[test]
fn a_promised_count_is_not_believed() {
    let mut out = Vec::new();
    out.put_int(i32::MAX);
    assert_eq!(read_acl_vector(&mut Reader::unlimited(&out)), Err(JuteError::Truncated));
    assert_eq!(raw_acl_vector(&mut Reader::unlimited(&out)), Err(JuteError::Truncated));
    let mut out = Vec::new();
    out.put_long(0);
    out.put_int(i32::MAX);
    let read = SetWatches::read(OpCode::SetWatches, &mut Reader::unlimited(&out));
    assert_eq!(read, Err(JuteError::Truncated));
    let mut out = Vec::new();
    out.put_int(i32::MAX);
    let read = Txn::read(OpCode::Multi.to_int(), &mut Reader::unlimited(&out)).map(|_| ());
    assert_eq!(read, Err(JuteError::Truncated));
}

#[test]
fn null_vectors_and_null_entries_of_set_watches_are_refused() {
    let mut out = Vec::new();
    out.put_long(0);
    [0, 0, -1].into_iter().for_each(|count| out.put_int(count));
    let read = SetWatches::read(OpCode::SetWatches, &mut Reader::unlimited(&out));
    assert_eq!(read, Err(JuteError::UnexpectedNull));
    let mut out = Vec::new();
    out.put_long(0);
    [1, -1, 0, 0].into_iter().for_each(|count| out.put_int(count));
    let read = SetWatches::read(OpCode::SetWatches, &mut Reader::unlimited(&out));
    assert_eq!(read, Err(JuteError::UnexpectedNull));
}

#[test]
fn a_record_with_a_type_that_no_log_has_is_refused() {
    let bytes = golden::bytes("standalone-3.9/version-2/log.1");
    let mut record = bytes[16 + 12..16 + 12 + 48].to_vec();
    assert!(TxnRecord::read(&record, 0xf_ffff).is_ok());
    record[28..32].copy_from_slice(&99i32.to_be_bytes());
    assert_eq!(TxnRecord::read(&record, 0xf_ffff), Err(JuteError::UnknownTag(99)));
}
