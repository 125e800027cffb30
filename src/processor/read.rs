//! `FinalRequestProcessor`, the reads' half: answers from the tree, under the reader's lock.
//!
//! Whoever calls holds the database for reading, and has drained the connection's queue under the
//! same hold. So the answer, the watch that goes with it and the header's zxid belong to one
//! moment, and no event that moment includes is still unsent.

mod long_list;
mod measure;
mod set_watches;

pub use self::long_list::{ListStep, LongList};
pub use self::measure::measure;

use crate::auth::{AuthPolicy, Identities, mask_digest_ids, who_am_i};
use crate::jute::{JuteError, Reader, Writer};
use crate::proto::acl::write_acl_vector;
use crate::proto::requests::{
    MAX_CREATE_FLAGS, MultiHeader, MultiPart, NumberedPath, SetWatches, WatchedRead, read_path,
};
use crate::proto::responses::{ReplyFrame, ReplyHeader, write_error_result, write_header_only};
use crate::proto::{ConnectionId, ErrorCode, OpCode, SessionId, perms};
use crate::tree::{Database, Node};
use crate::watch::{Kind, WatcherType, Watches};

/// A multiRead's reply above this many bytes ends the connection …
const MAX_MULTI_READ_BYTES: usize = 64 << 20;
/// … and any other reply above this many: no client takes it, and a frame has no length beyond
/// 2 GiB.
const MAX_REPLY_BYTES: usize = 1 << 30;

/// Who reads, and what from.
pub struct Reading<'a> {
    /// The database, held for reading.
    pub db: &'a Database,
    /// Where watches are left.
    pub watches: &'a Watches,
    /// How ACLs are judged.
    pub policy: &'a AuthPolicy,
    /// The connection, owner of the watches.
    pub connection: ConnectionId,
    /// Its session.
    pub session: SessionId,
    /// Who it is.
    pub identities: &'a Identities,
    /// The longest field of a request, in bytes.
    pub max_field_bytes: usize,
    /// Whether a list of more than [`LONG_LIST`] children is answered at once.
    pub long_lists: bool,
}

/// A list of more children is better answered over several holds
/// ([`continue_list`](Reading::continue_list)).
pub const LONG_LIST: usize = 4096;

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It grew beyond what one connection may hold.
    TooLarge,
    /// It would be a long list of children, which was not wanted at once.
    LongList,
}

enum Failure {
    Code(ErrorCode),
    TooLarge,
    LongList,
    /// An error whose reply has a body all the same.
    WithBody(ErrorCode),
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Failure::Code(code)
    }
}

impl From<JuteError> for Failure {
    fn from(_: JuteError) -> Self {
        Failure::Code(ErrorCode::MarshallingError)
    }
}

/// The path under which a watch on "null" is kept; no event ever names it (F-7).
const NULL_PATH: &[u8] = b"\0null";

impl Reading<'_> {
    /// Appends the reply to a read of kind `op` with that body; for setWatches, its catch-up
    /// events before it. Where there is no reply, nothing is appended.
    pub fn answer(
        &self,
        xid: i32,
        op: OpCode,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        let header = ReplyHeader { xid, zxid: self.db.last_processed(), err: 0 };
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            let mut r = Reader::new(body, self.max_field_bytes);
            let err = match SetWatches::read(op, &mut r) {
                Ok(request) => {
                    self.set_watches(&request, out);
                    0
                }
                Err(_) => ErrorCode::MarshallingError.code(),
            };
            write_header_only(ReplyHeader { err, ..header }, out);
            return Ok(());
        }
        let start = out.len();
        let frame = ReplyFrame::open(header, out);
        let code = match self.body(op, body, out) {
            Ok(()) => None,
            Err(Failure::WithBody(code)) => {
                out.set_int(start + 4 + 12, code.code());
                None
            }
            Err(Failure::Code(code)) => Some(code),
            Err(Failure::TooLarge) => {
                // A piece of a frame would be read as another.
                out.truncate(start);
                return Err(Unanswered::TooLarge);
            }
            Err(Failure::LongList) => {
                out.truncate(start);
                return Err(Unanswered::LongList);
            }
        };
        if out.len() - start > MAX_REPLY_BYTES {
            out.truncate(start);
            return Err(Unanswered::TooLarge);
        }
        match code {
            None => frame.finish(out),
            Some(code) => {
                out.truncate(start);
                write_header_only(ReplyHeader { err: code.code(), ..header }, out);
            }
        }
        Ok(())
    }

    fn body(&self, op: OpCode, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut r = Reader::new(body, self.max_field_bytes);
        match op {
            OpCode::Ping => Ok(()),
            OpCode::Exists => self.exists(WatchedRead::read(&mut r)?, out),
            OpCode::GetData => self.get_data(WatchedRead::read(&mut r)?, out),
            OpCode::GetChildren => {
                self.get_children(WatchedRead::read(&mut r)?, false, self.long_lists, out)
            }
            OpCode::GetChildren2 => {
                self.get_children(WatchedRead::read(&mut r)?, true, self.long_lists, out)
            }
            OpCode::GetAcl => self.get_acl(read_path(&mut r)?, out),
            OpCode::GetAllChildrenNumber => self.get_all_children_number(read_path(&mut r)?, out),
            OpCode::GetEphemerals => {
                self.get_ephemerals(read_path(&mut r)?.unwrap_or_default(), out);
                Ok(())
            }
            OpCode::WhoAmI => {
                self.who_am_i(out);
                Ok(())
            }
            OpCode::MultiRead => self.multi_read(&mut r, out),
            OpCode::AddWatch => self.add_watch(NumberedPath::read(&mut r)?, out),
            OpCode::CheckWatches | OpCode::RemoveWatches => {
                self.find_watch(op, NumberedPath::read(&mut r)?)
            }
            OpCode::Create
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Sync
            | OpCode::Check
            | OpCode::Multi
            | OpCode::Create2
            | OpCode::Reconfig
            | OpCode::CreateContainer
            | OpCode::DeleteContainer
            | OpCode::CreateTtl
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::Sasl
            | OpCode::CreateSession
            | OpCode::CloseSession
            | OpCode::Error => unreachable!("{op:?} is no read"),
        }
    }

    fn exists(&self, request: WatchedRead<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let path = request.path.ok_or(ErrorCode::MarshallingError)?;
        if path.contains(&0) {
            return Err(ErrorCode::BadArguments.into());
        }
        let node = self.db.tree.node(path);
        if let Some(node) = node {
            self.check(&node, perms::READ)?;
        }
        // The watch stays even if the node is missing: it waits for its creation (C-098).
        self.watch(request.watch, path, Kind::Data);
        node.ok_or(ErrorCode::NoNode)?.stat().write(out);
        Ok(())
    }

    fn get_data(&self, request: WatchedRead<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let path = request.path.ok_or(ErrorCode::MarshallingError)?;
        let node = self.readable(path)?;
        self.watch(request.watch, path, Kind::Data);
        out.put_buffer(node.data());
        node.stat().write(out);
        Ok(())
    }

    fn get_children(
        &self,
        request: WatchedRead<'_>,
        with_stat: bool,
        long_lists: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let path = request.path.ok_or(ErrorCode::MarshallingError)?;
        let node = self.readable(path)?;
        if !long_lists && node.num_children() > LONG_LIST {
            return Err(Failure::LongList);
        }
        self.watch(request.watch, path, Kind::Child);
        out.put_int(node.num_children() as i32);
        for name in node.children() {
            out.put_ustring(name);
            if out.len() > MAX_REPLY_BYTES {
                return Err(Failure::TooLarge);
            }
        }
        if with_stat {
            node.stat().write(out);
        }
        Ok(())
    }

    /// READ or ADMIN shows the list; without ADMIN the hashes of digest ids are masked
    /// (CVE-2019-0201).
    fn get_acl(&self, path: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let path = path.ok_or(ErrorCode::MarshallingError)?;
        let node = self.db.tree.node(path).ok_or(ErrorCode::NoNode)?;
        self.check(&node, perms::READ | perms::ADMIN)?;
        if self.check(&node, perms::ADMIN).is_ok() {
            write_acl_vector(node.acl(), out);
        } else {
            write_acl_vector(&mask_digest_ids(node.acl()), out);
        }
        node.stat().write(out);
        Ok(())
    }

    fn get_all_children_number(
        &self,
        path: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let path = path.ok_or(ErrorCode::MarshallingError)?;
        self.readable(path)?;
        let count = self.db.tree.descendants(path).ok_or(ErrorCode::NoNode)?;
        // Under its empty name the root counts itself, since Apache's table has it twice.
        out.put_int(count as i32 + i32::from(path.is_empty()));
        Ok(())
    }

    fn get_ephemerals(&self, prefix: &[u8], out: &mut Vec<u8>) {
        let mut paths = self.db.tree.ephemerals_of(self.session);
        if prefix != b"/" {
            paths.retain(|path| path.starts_with(prefix));
        }
        out.put_int(paths.len() as i32);
        for path in paths {
            out.put_ustring(&path);
        }
    }

    fn who_am_i(&self, out: &mut Vec<u8>) {
        let names = who_am_i(self.identities);
        out.put_int(names.len() as i32);
        for (scheme, user) in names {
            out.put_ustring(scheme);
            out.put_ustring(user);
        }
    }

    /// All parts read one state of the tree, each fails by itself (C-179, C-181).
    fn multi_read(&self, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut parts = Vec::new();
        while let Some(part) = MultiPart::read(r)? {
            parts.push(part);
        }
        let reads = parts.iter().filter(|part| part.is_read()).count();
        let flags_are_known = parts.iter().all(|part| match part {
            MultiPart::Create(_, create) => (0..=MAX_CREATE_FLAGS).contains(&create.flags),
            _ => true,
        });
        if (reads != 0 && reads != parts.len()) || !flags_are_known {
            return Err(ErrorCode::MarshallingError.into());
        }
        let start = out.len();
        for part in parts {
            if self.read_part(&part, out).is_err() {
                MultiHeader::END.write(out);
                return Err(Failure::WithBody(ErrorCode::MarshallingError));
            }
            if out.len() - start > MAX_MULTI_READ_BYTES {
                return Err(Failure::TooLarge);
            }
        }
        MultiHeader::END.write(out);
        Ok(())
    }

    /// Appends one part's result; an error is one that ends the whole multiRead: a write, or a
    /// null path (F-6).
    fn read_part(&self, part: &MultiPart<'_>, out: &mut Vec<u8>) -> Result<(), ()> {
        // Apache ignores the watch flags of these parts, so they set no watch here either.
        let (op, request) = match part {
            MultiPart::GetData(r) => (OpCode::GetData, WatchedRead { watch: false, ..*r }),
            MultiPart::GetChildren(r) => (OpCode::GetChildren, WatchedRead { watch: false, ..*r }),
            MultiPart::Create(..)
            | MultiPart::Delete(_)
            | MultiPart::SetData(_)
            | MultiPart::Check(_) => return Err(()),
        };
        request.path.ok_or(())?;
        let start = out.len();
        MultiHeader { op: op.to_int(), done: false, err: 0 }.write(out);
        let result = if op == OpCode::GetData {
            self.get_data(request, out)
        } else {
            self.get_children(request, false, true, out)
        };
        if let Err(Failure::Code(code)) = result {
            out.truncate(start);
            write_error_result(code.code(), out);
        }
        Ok(())
    }

    /// Any string may be watched; neither the node nor the right to read it is asked for, since
    /// events are filtered when they are delivered.
    fn add_watch(&self, request: NumberedPath<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let kind = Kind::from_add_mode(request.number).ok_or(ErrorCode::MarshallingError)?;
        self.watches.add(self.connection, request.path.unwrap_or(NULL_PATH), kind);
        out.put_int(0);
        Ok(())
    }

    fn find_watch(&self, op: OpCode, request: NumberedPath<'_>) -> Result<(), Failure> {
        let path = request.path.unwrap_or(NULL_PATH);
        let kind = WatcherType::from_int(request.number).ok_or(ErrorCode::MarshallingError)?;
        let found = if op == OpCode::CheckWatches {
            self.watches.contains(self.connection, path, kind)
        } else {
            self.watches.remove(self.connection, path, kind)
        };
        if found { Ok(()) } else { Err(ErrorCode::NoWatcher.into()) }
    }

    fn readable(&self, path: &[u8]) -> Result<Node<'_>, ErrorCode> {
        let node = self.db.tree.node(path).ok_or(ErrorCode::NoNode)?;
        self.check(&node, perms::READ)?;
        Ok(node)
    }

    fn check(&self, node: &Node<'_>, perm: i32) -> Result<(), ErrorCode> {
        if self.policy.allows(node.acl(), perm, self.identities) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn watch(&self, wanted: bool, path: &[u8], kind: Kind) {
        if wanted {
            self.watches.add(self.connection, path, kind);
        }
    }
}
