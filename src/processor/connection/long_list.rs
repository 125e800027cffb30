//! Answering long lists of children a piece at a time, others' requests in between.

use super::answers::LENGTH_BYTES;
use super::{ConnectionCore, Ending, LastRead, Pass, Surroundings};
use crate::processor::read::ListStep;
use crate::proto::OpCode;

impl ConnectionCore {
    /// Goes on, for one hold of the database, with the list that the first frame asks for. Whether
    /// it is answered; if not, the frame stays where it is, and the next pass goes on.
    pub(super) fn continue_list(
        &mut self,
        xid: i32,
        op: OpCode,
        body: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) -> bool {
        let db = around.database.read();
        self.drain();
        if self.is_ending() || !self.is_served(&db) {
            self.long_list = None;
            return false;
        }
        let reading = around.reading(&db, self.id, self.session, &self.identities, true);
        let before = self.output.len();
        match reading.continue_list(xid, op, body, &mut self.long_list) {
            ListStep::More => {
                pass.more = true;
                return false;
            }
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
        let bytes = (self.output.len() - before).saturating_sub(LENGTH_BYTES);
        if bytes > around.options.near_limit_bytes() {
            self.note_size(Some(op), body, bytes, true, pass);
        }
        self.count_read(LastRead { op, cxid: xid, zxid }, body, before, pass);
        true
    }
}
