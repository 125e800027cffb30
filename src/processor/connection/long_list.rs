//! Answering long lists of children a piece at a time, others' requests in between.

use super::{ConnectionCore, Ending, LastRead, Pass, Surroundings};
use crate::processor::read::{ListStep, Reading};
use crate::proto::OpCode;

/// Holds of the database for one list in one pass.
const HOLDS_PER_PASS: usize = 1;

impl ConnectionCore {
    /// Goes on with the list that the first frame asks for. Whether it is answered; if not, the
    /// frame stays where it is, and the next pass goes on.
    pub(super) fn continue_list(
        &mut self,
        xid: i32,
        op: OpCode,
        body: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) -> bool {
        for _ in 0..HOLDS_PER_PASS {
            let db = around.database.read();
            self.drain();
            if self.is_ending() {
                self.long_list = None;
                return false;
            }
            let reading = Reading {
                db: &db,
                watches: &around.watches,
                policy: &around.policy,
                connection: self.id,
                session: self.session,
                identities: &self.identities,
                max_field_bytes: around.options.max_field_bytes,
                long_lists: true,
            };
            let before = self.output.len();
            match reading.continue_list(xid, op, body, &mut self.long_list) {
                ListStep::More => continue,
                ListStep::AtOnce => {
                    if reading.answer(xid, op, body, &mut self.output).is_err() {
                        self.end(Ending::ReplyTooLarge);
                    }
                }
                ListStep::Reply(mut reply) if self.output.is_empty() => {
                    std::mem::swap(&mut self.output, &mut reply);
                }
                ListStep::Reply(reply) => self.output.extend_from_slice(&reply),
            }
            let zxid = db.last_processed();
            drop(db);
            self.long_list = None;
            let bytes = (self.output.len() - before).saturating_sub(4);
            if bytes > around.options.near_limit_bytes() {
                self.note_size(Some(op), body, bytes, true, pass);
            }
            self.count_read(op, xid, zxid, pass);
            return true;
        }
        pass.more = true;
        false
    }

    /// Counts a read that was answered.
    pub(super) fn count_read(
        &self,
        op: OpCode,
        xid: i32,
        zxid: crate::proto::Zxid,
        pass: &mut Pass,
    ) {
        pass.taken += 1;
        pass.answered += 1;
        let cxid = pass.last_read.map_or(-1, |last| last.cxid);
        let cxid = if xid >= 0 { xid } else { cxid };
        pass.last_read = Some(LastRead { op, cxid, zxid });
    }
}
