//! The jute reader, through every record that arrives from outside.
//!
//! * No record panics or reads beyond its bytes.
//! * A transaction that can be read is written back as a record that reads the same.

use zkserver::jute::{Reader, next_frame};
use zkserver::proto::acl::{raw_acl_vector, read_acl_vector};
use zkserver::proto::requests::*;
use zkserver::proto::txns::{Txn, TxnHeader, TxnRecord};
use zkserver::proto::{OpCode, Stat, StatPersisted};

const MAX_LENGTH: usize = 1 << 20;

/// Reads `data` as every record there is.
pub fn check(data: &[u8]) {
    fields(data);
    requests(data);
    transaction(data);
}

/// The first byte of each two says what the next field is taken for.
fn fields(data: &[u8]) {
    let Some((&kinds, rest)) = data.split_first() else { return };
    let mut r = Reader::new(rest, usize::from(kinds) << 4);
    for step in 0..rest.len() {
        let before = r.position();
        let read = match (usize::from(kinds) + step) % 7 {
            0 => r.byte().is_ok(),
            1 => r.bool().is_ok(),
            2 => r.int().is_ok(),
            3 => r.long().is_ok(),
            4 => r.buffer().map(|field| field.map_or(0, <[u8]>::len)).is_ok(),
            5 => r.required_ustring().is_ok(),
            _ => r.vector().is_ok(),
        };
        assert!(r.position() >= before && r.position() <= rest.len(), "it reads forward");
        assert_eq!(r.remaining() + r.position(), rest.len());
        if !read {
            break;
        }
    }
    if let Ok(Some(frame)) = next_frame(data, MAX_LENGTH) {
        assert!(frame.size <= data.len() && frame.body.len() + 4 == frame.size);
    }
}

fn requests(data: &[u8]) {
    let reader = || Reader::new(data, MAX_LENGTH);
    let _ = ConnectRequest::read(&mut reader());
    let _ = RequestHeader::read(&mut reader());
    for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl] {
        let _ = CreateRequest::read(op, &mut reader());
    }
    for op in [OpCode::SetWatches, OpCode::SetWatches2] {
        let _ = SetWatches::read(op, &mut reader());
    }
    let _ = VersionedPath::read(&mut reader());
    let _ = SetDataRequest::read(&mut reader());
    let _ = SetAclRequest::read(&mut reader());
    let _ = WatchedRead::read(&mut reader());
    let _ = NumberedPath::read(&mut reader());
    let _ = AuthPacket::read(&mut reader());
    let _ = read_path(&mut reader());
    let mut parts = reader();
    while let Ok(Some(part)) = MultiPart::read(&mut parts) {
        let _ = part.is_read();
    }
    let _ = Stat::read(&mut reader());
    let _ = StatPersisted::read(&mut reader());
    let mut r = reader();
    if let Ok(raw) = raw_acl_vector(&mut r) {
        let list = read_acl_vector(&mut Reader::unlimited(raw));
        assert!(list.is_ok(), "what was judged well-formed can be read");
    }
}

fn transaction(data: &[u8]) {
    let Ok(record) = TxnRecord::read(data, MAX_LENGTH) else { return };
    if let Txn::Multi(multi) = record.txn {
        let _ = (multi.failed(), multi.parts().count());
    }
    if let Txn::CloseSession { paths: Some(paths) } = record.txn {
        // Two empty paths and nothing behind them look like a digest (docs/formats.md); a real
        // path is never empty.
        if paths.iter().any(<[u8]>::is_empty) {
            return;
        }
    }
    let mut again = Vec::new();
    record.header.write(&mut again);
    record.txn.write(&mut again);
    if let Some(digest) = record.digest {
        digest.write(&mut again);
    }
    let header = TxnHeader::read(&mut Reader::unlimited(&again));
    assert_eq!(header, Ok(record.header));
    assert_eq!(TxnRecord::read(&again, MAX_LENGTH), Ok(record));
}
