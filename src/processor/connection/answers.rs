//! Answering reads at once, many under one hold of the database.

use super::{ConnectionCore, Ending, LastRead, Pass, Surroundings};
use crate::auth::Identities;
use crate::jute::{Reader, next_frame};
use crate::processor::read::{Reading, Unanswered, measure};
use crate::proto::requests::RequestHeader;
use crate::proto::{ConnectionId, OpCode, SessionId, path};
use crate::tree::Database;

/// One hold of the database answers at most so many requests …
pub(super) const MAX_READS_PER_HOLD: usize = 64;
/// … or so many bytes.
const MAX_BYTES_PER_HOLD: usize = 64 << 10;
/// The xid of every reply to a ping.
pub(super) const PING_XID: i32 = -2;
/// The length in front of a frame.
pub(super) const LENGTH_BYTES: usize = 4;

impl Surroundings {
    /// What a connection reads with, under a hold of the database.
    #[inline]
    pub(super) fn reading<'a>(
        &'a self,
        db: &'a Database,
        connection: ConnectionId,
        session: SessionId,
        identities: &'a Identities,
        long_lists: bool,
    ) -> Reading<'a> {
        Reading {
            db,
            watches: &self.watches,
            policy: &self.policy,
            connection,
            session,
            identities,
            max_field_bytes: self.options.max_field_bytes,
            long_lists,
        }
    }
}

impl ConnectionCore {
    /// Answers the reads at the start of `input` under one hold of the database, and returns how
    /// many bytes they took.
    pub(super) fn answer_reads(
        &mut self,
        input: &[u8],
        around: &Surroundings,
        pass: &mut Pass,
    ) -> usize {
        let db = around.database.read();
        // No apply can run while we hold the database: what is drained now is all there is
        // before the state that we answer from.
        self.drain();
        if !self.is_served(&db) {
            return 0;
        }
        let mut used = 0;
        let start = self.output.len();
        let near_limit = around.options.near_limit_bytes();
        for _ in 0..MAX_READS_PER_HOLD {
            if self.is_ending() || self.output.len() - start > MAX_BYTES_PER_HOLD {
                break;
            }
            let Ok(Some(frame)) = next_frame(&input[used..], around.options.max_frame_bytes) else {
                break;
            };
            let mut r = Reader::unlimited(frame.body);
            let Ok(header) = RequestHeader::read(&mut r) else { break };
            let Some(op) = OpCode::from_int(header.op).filter(|op| op.is_read()) else {
                break;
            };
            // A ping is always answered with xid -2 (C-012).
            let xid = if op == OpCode::Ping { PING_XID } else { header.xid };
            let reading = around.reading(&db, self.id, self.session, &self.identities, false);
            let before = self.output.len();
            match reading.answer(xid, op, &frame.body[8..], &mut self.output) {
                Ok(()) => {}
                Err(Unanswered::TooLarge) => {
                    self.end(Ending::ReplyTooLarge);
                    break;
                }
                Err(Unanswered::LongList) if used == 0 => {
                    drop(db);
                    if !self.continue_list(xid, op, &frame.body[8..], around, pass) {
                        return 0;
                    }
                    used = frame.size;
                    break;
                }
                Err(Unanswered::LongList) => break,
            }
            let bytes = self.output.len() - before - LENGTH_BYTES;
            if bytes > near_limit {
                self.note_size(Some(op), &frame.body[8..], bytes, true, pass);
            }
            used += frame.size;
            let read = LastRead { op, cxid: xid, zxid: db.last_processed() };
            self.count_read(read, &frame.body[8..], before, pass);
        }
        // Only the first can have been large.
        self.large.is_answered();
        used
    }

    /// Counts a read that was answered: its reply is the output from `before` on.
    #[inline]
    pub(super) fn count_read(&self, read: LastRead, body: &[u8], before: usize, pass: &mut Pass) {
        pass.taken += 1;
        pass.answered += 1;
        let reply = &self.output[before..];
        pass.sizes.record(reply.len().saturating_sub(LENGTH_BYTES));
        if let Some((path, bytes)) = measure(read.op, body, reply) {
            pass.namespaces.record(path::top_namespace(path), bytes);
        }
        let cxid = match pass.last_read {
            Some(last) if read.cxid < 0 => last.cxid,
            None if read.cxid < 0 => -1,
            _ => read.cxid,
        };
        pass.last_read = Some(LastRead { cxid, ..read });
    }
}
