//! A long list of children is answered over several holds of the database.
//!
//! Under one hold a writer would wait for all of it, and behind the writer every reader. So the
//! names are taken down a few at a time; if the children change meanwhile, it begins anew. The
//! last hold makes the answer: permission, watch, stat and the header's zxid belong to it, and
//! the children are found to be the same there, so the whole answer belongs to one moment.

use super::{Failure, LONG_LIST, MAX_REPLY_BYTES, Reading};
use crate::jute::{Reader, Writer};
use crate::proto::OpCode;
use crate::proto::requests::WatchedRead;
use crate::proto::responses::{ReplyFrame, ReplyHeader};
use crate::proto::{ErrorCode, Zxid};
use crate::tree::ChildrenListing;
use crate::watch::Kind;

/// Names taken down in one hold.
const NAMES_PER_HOLD: usize = 512;
/// A list that changes all the time is begun so often; then it is answered under one hold.
const MOST_BEGINNINGS: u32 = 3;

/// A list in the making: what of the reply's frame there is.
#[derive(Debug)]
pub struct LongList {
    listing: ChildrenListing,
    frame: Vec<u8>,
    begun: u32,
}

/// What one hold brought.
#[derive(Debug)]
pub enum ListStep {
    /// There is more to take down: another hold.
    More,
    /// The whole reply.
    Reply(Vec<u8>),
    /// It is no long list any more, or one that never stands still: to be answered at once.
    AtOnce,
}

impl Reading<'_> {
    /// Goes on with the list that a getChildren asks for; `list` is what earlier holds brought.
    pub fn continue_list(
        &self,
        xid: i32,
        op: OpCode,
        body: &[u8],
        list: &mut Option<Box<LongList>>,
    ) -> ListStep {
        self.try_continue(xid, op, body, list).unwrap_or(ListStep::AtOnce)
    }

    fn try_continue(
        &self,
        xid: i32,
        op: OpCode,
        body: &[u8],
        list: &mut Option<Box<LongList>>,
    ) -> Result<ListStep, Failure> {
        let request = WatchedRead::read(&mut Reader::new(body, self.max_field_bytes))?;
        let path = request.path.ok_or(ErrorCode::MarshallingError)?;
        let node = self.readable(path)?;
        let current = list.as_ref().is_some_and(|list| list.listing.is_current(self.db, &node));
        if !current {
            let begun = list.as_ref().map_or(0, |list| list.begun);
            if node.num_children() <= LONG_LIST || begun == MOST_BEGINNINGS {
                return Ok(ListStep::AtOnce);
            }
            let listing = ChildrenListing::begin(self.db, &node);
            let mut frame = Vec::new();
            frame.put_int(0);
            ReplyHeader { xid, zxid: Zxid::ZERO, err: 0 }.write(&mut frame);
            frame.put_int(listing.len() as i32);
            *list = Some(Box::new(LongList { listing, frame, begun: begun + 1 }));
            return Ok(ListStep::More);
        }
        let Some(unfinished) = list else { return Ok(ListStep::AtOnce) };
        if !unfinished.listing.is_complete() {
            let LongList { listing, frame, .. } = &mut **unfinished;
            listing.name_some(self.db, NAMES_PER_HOLD, |name| frame.put_ustring(name));
            if frame.len() > MAX_REPLY_BYTES {
                return Err(Failure::TooLarge);
            }
            if !unfinished.listing.is_complete() {
                return Ok(ListStep::More);
            }
        }
        let mut frame = std::mem::take(&mut unfinished.frame);
        self.watch(request.watch, path, Kind::Child);
        if op == OpCode::GetChildren2 {
            node.stat().write(&mut frame);
        }
        let mut header = Vec::with_capacity(ReplyHeader::SIZE);
        ReplyHeader { xid, zxid: self.db.last_processed(), err: 0 }.write(&mut header);
        frame[4..4 + ReplyHeader::SIZE].copy_from_slice(&header);
        ReplyFrame::at_start().finish(&mut frame);
        Ok(ListStep::Reply(frame))
    }
}
