//! `FinalRequestProcessor`, the writes' half: from what apply did to the client's reply.

use super::request::Origin;
use crate::jute::Writer;
use crate::proto::requests::MultiHeader;
use crate::proto::responses::{ReplyFrame, ReplyHeader, write_error_result, write_header_only};
use crate::proto::txns::{CreateKind, Txn, TxnRecord};
use crate::proto::{OpCode, Stat};
use crate::tree::{Applied, PartApplied};

/// Appends the reply to the request that `record` came from.
pub fn write_reply(origin: &Origin, record: &TxnRecord<'_>, applied: &Applied, out: &mut Vec<u8>) {
    let header = ReplyHeader { xid: origin.xid, zxid: record.header.zxid, err: 0 };
    match applied {
        Applied::Error(err) => write_header_only(ReplyHeader { err: *err, ..header }, out),
        Applied::Done => write_header_only(header, out),
        Applied::Stat(stat) => {
            let frame = ReplyFrame::open(header, out);
            if let (OpCode::Reconfig, Txn::SetData { data, .. }) = (origin.op, &record.txn) {
                // As a read of the configuration would be answered (C-265).
                out.put_buffer(*data);
            }
            write_result(&record.txn, origin.op != OpCode::Create, stat, out);
            frame.finish(out);
        }
        Applied::Multi(parts) => {
            let frame = ReplyFrame::open(header, out);
            let Txn::Multi(multi) = &record.txn else {
                unreachable!("only a multi is applied in parts");
            };
            let failed = multi.failed();
            for ((_, txn), applied) in multi.parts().zip(parts) {
                match applied {
                    PartApplied::Error(err) => write_error_result(*err, out),
                    // Nothing was done, so what would have succeeded is no success (C-165).
                    PartApplied::Done | PartApplied::Stat(_) if failed => {
                        write_error_result(0, out);
                    }
                    PartApplied::Done => write_part(&txn, None, out),
                    PartApplied::Stat(stat) => write_part(&txn, Some(stat), out),
                }
            }
            MultiHeader::END.write(out);
            frame.finish(out);
        }
    }
}

/// The result of a create, setData or setACL that succeeded.
fn write_result(txn: &Txn<'_>, create_with_stat: bool, stat: &Stat, out: &mut Vec<u8>) {
    match txn {
        Txn::Create(create) => {
            out.put_ustring(create.path);
            if create_with_stat {
                stat.write(out);
            }
        }
        Txn::SetData { .. } | Txn::SetAcl { .. } => stat.write(out),
        Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Delete { .. }
        | Txn::Check { .. }
        | Txn::Error { .. }
        | Txn::Multi(_) => {}
    }
}

/// The result of a multi's part: every create but a plain one answers as create2 (C-169).
fn write_part(txn: &Txn<'_>, stat: Option<&Stat>, out: &mut Vec<u8>) {
    let with_stat = match txn {
        Txn::Create(create) => !matches!(create.kind, CreateKind::Plain { with_stat: false, .. }),
        _ => true,
    };
    let op = match txn {
        Txn::Create(_) if with_stat => OpCode::Create2,
        Txn::Create(_) => OpCode::Create,
        Txn::Delete { .. } => OpCode::Delete,
        Txn::SetData { .. } => OpCode::SetData,
        Txn::SetAcl { .. } => OpCode::SetAcl,
        Txn::Check { .. } => OpCode::Check,
        Txn::Error { .. }
        | Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Multi(_) => {
            unreachable!("not a part that succeeds")
        }
    };
    MultiHeader { op: op.to_int(), done: false, err: 0 }.write(out);
    if let Some(stat) = stat {
        write_result(txn, with_stat, stat, out);
    }
}
