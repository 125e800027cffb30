//! Prep's multi: all parts or none, each seeing what the ones before it did.

use super::{Judge, Part, PrepRequestProcessor, Refusal, write_part};
use crate::jute::{Reader, Writer};
use crate::proto::requests::MultiPart;
use crate::proto::txns::{Txn, write_multi_part};
use crate::proto::{ErrorCode, OpCode};

impl PrepRequestProcessor {
    /// Appends a MultiTxn. A part that fails makes it one of error results: the parts before it
    /// as they were, its own code, and `RuntimeInconsistency` for those after it (C-165).
    pub(super) fn multi(
        &mut self,
        judge: &Judge<'_>,
        r: &mut Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let mut parts = Vec::with_capacity(16);
        while let Some(part) = MultiPart::read(r)? {
            parts.push(write_part(part, self.options.multi_has_create2)?);
        }
        let mark = self.outstanding.mark();
        out.put_int(parts.len() as i32);
        let mut failed = false;
        for part in &parts {
            if failed {
                write_error(ErrorCode::RuntimeInconsistency, out);
                continue;
            }
            match self.multi_part(judge, part, out) {
                // A list that stands for the caller's identities can be much longer than it was.
                Ok(()) if out.len() > self.options.max_txn_bytes => {
                    return Err(Refusal::Unreadable);
                }
                Ok(()) => {}
                Err(Refusal::Unreadable) => return Err(Refusal::Unreadable),
                Err(Refusal::Code(code)) => {
                    self.outstanding.roll_back(mark);
                    write_error(code, out);
                    failed = true;
                }
            }
        }
        Ok(OpCode::Multi.to_int())
    }

    fn multi_part(
        &mut self,
        judge: &Judge<'_>,
        part: &Part<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let start = out.len();
        out.put_int(0);
        out.put_int(0);
        let body = out.len();
        match self.part(judge, part, out) {
            Ok(txn_type) => {
                let length = out.len() - body;
                out.set_int(start, txn_type);
                out.set_int(start + 4, length as i32);
                Ok(())
            }
            Err(refusal) => {
                out.truncate(start);
                Err(refusal)
            }
        }
    }
}

fn write_error(code: ErrorCode, out: &mut Vec<u8>) {
    write_multi_part(OpCode::Error.to_int(), &Txn::Error { err: code.code() }, out);
}
