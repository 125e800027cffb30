//! Prep's creates: from opcode, flags and ttl to the kind of node, and the node itself.

use super::{Judge, PrepRequestProcessor, Refusal, decode_acl, is_ephemeral};
use crate::processor::change_record::PendingNode;
use crate::processor::pending_usage::Usage;
use crate::proto::requests::CreateRequest;
use crate::proto::stat::{CONTAINER_OWNER, MAX_TTL, OwnerEncoding, StatPersisted};
use crate::proto::txns::{CreateKind, CreateTxn, Txn};
use crate::proto::{ErrorCode, OpCode, path, perms};

/// What is to be made, decided from opcode, flags and ttl alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    txn_type: OpCode,
    sequential: bool,
    kind: CreateKind,
    /// A ttl that must be judged: in a multi, a bad one fails its part only.
    ttl: Option<i64>,
}

const EPHEMERAL: i32 = 1;
const PERSISTENT_SEQUENTIAL: i32 = 2;
const EPHEMERAL_SEQUENTIAL: i32 = 3;
const CONTAINER: i32 = 4;
const PERSISTENT_WITH_TTL: i32 = 5;
const PERSISTENT_SEQUENTIAL_WITH_TTL: i32 = 6;

fn is_ttl(flags: i32) -> bool {
    matches!(flags, PERSISTENT_WITH_TTL | PERSISTENT_SEQUENTIAL_WITH_TTL)
}

fn is_sequential(flags: i32) -> bool {
    matches!(flags, PERSISTENT_SEQUENTIAL | EPHEMERAL_SEQUENTIAL | PERSISTENT_SEQUENTIAL_WITH_TTL)
}

fn plain(op: OpCode, flags: i32) -> Kind {
    let ephemeral = matches!(flags, EPHEMERAL | EPHEMERAL_SEQUENTIAL);
    let with_stat = op == OpCode::Create2;
    Kind {
        txn_type: op,
        sequential: is_sequential(flags),
        kind: CreateKind::Plain { ephemeral, with_stat },
        ttl: None,
    }
}

fn container(flags: i32) -> Kind {
    Kind {
        txn_type: OpCode::CreateContainer,
        sequential: is_sequential(flags),
        kind: CreateKind::Container,
        ttl: None,
    }
}

fn ttl(flags: i32, ttl: i64) -> Kind {
    Kind {
        txn_type: OpCode::CreateTtl,
        sequential: is_sequential(flags),
        kind: CreateKind::Ttl(ttl),
        ttl: Some(ttl),
    }
}

/// The kind of node a create outside a multi makes: the opcode decides, and flags must fit it.
pub(super) fn single(
    op: OpCode,
    request: &CreateRequest<'_>,
    owners: OwnerEncoding,
) -> Result<Kind, Refusal> {
    let flags = request.flags;
    if !(0..=PERSISTENT_SEQUENTIAL_WITH_TTL).contains(&flags) {
        return Err(ErrorCode::BadArguments.into());
    }
    if is_ttl(flags) && !owners.extended_types {
        return Err(ErrorCode::Unimplemented.into());
    }
    match (op, request.ttl) {
        // createTTL is a TTL node or nothing. Apache logs what it cannot apply when the flags
        // are others and the ttl is negative (N-1).
        (OpCode::CreateTtl, Some(millis)) if is_ttl(flags) => Ok(ttl(flags, millis)),
        (OpCode::CreateTtl, _) if !owners.extended_types => Err(ErrorCode::Unimplemented.into()),
        (OpCode::CreateTtl, _) => Err(ErrorCode::BadArguments.into()),
        (_, _) if is_ttl(flags) => Err(ErrorCode::BadArguments.into()),
        (OpCode::CreateContainer, _) => Ok(container(flags)),
        // The container flag means nothing outside its own opcode (C-069).
        (_, _) => Ok(plain(op, flags)),
    }
}

/// The kind of node a multi's create part makes: the flags decide (F-2).
pub(super) fn in_multi(op: OpCode, request: &CreateRequest<'_>) -> Result<Kind, Refusal> {
    let flags = request.flags;
    if !(0..=PERSISTENT_SEQUENTIAL_WITH_TTL).contains(&flags) {
        return Err(Refusal::Unreadable);
    }
    match op {
        OpCode::CreateTtl if is_ttl(flags) => Ok(ttl(flags, request.ttl.unwrap_or(0))),
        _ if is_ttl(flags) => Err(Refusal::Unreadable),
        OpCode::CreateContainer => Ok(container(flags)),
        _ if flags == CONTAINER => Ok(container(flags)),
        OpCode::CreateTtl => Ok(plain(OpCode::Create, flags)),
        _ => Ok(plain(op, flags)),
    }
}

impl PrepRequestProcessor {
    pub(super) fn create(
        &mut self,
        judge: &Judge<'_>,
        request: &CreateRequest<'_>,
        kind: Kind,
        out: &mut Vec<u8>,
    ) -> Result<i32, Refusal> {
        let owners = self.options.owners;
        if let Some(ttl) = kind.ttl {
            if !owners.extended_types {
                return Err(ErrorCode::Unimplemented.into());
            }
            if !(1..=MAX_TTL).contains(&ttl) {
                return Err(ErrorCode::BadArguments.into());
            }
        }
        let asked = request.path.ok_or(Refusal::Unreadable)?;
        self.check_session(judge)?;
        // An ephemeral's owner must be a session that everybody knows (C-275).
        let is_ephemeral_kind = matches!(kind.kind, CreateKind::Plain { ephemeral: true, .. });
        if is_ephemeral_kind && !judge.sessions.is_usable(judge.session) {
            return Err(ErrorCode::SessionExpired.into());
        }
        if !path::has_shape(asked) {
            return Err(ErrorCode::BadArguments.into());
        }
        let acl = self.options.policy.fixup_acl(request.acl, judge.identities)?;
        let tree = &judge.db.tree;
        let parent_path = path::parent(asked).expect("a path with shape has a parent");
        let mut parent = self.outstanding.node(parent_path, tree).ok_or(ErrorCode::NoNode)?;
        self.check_acl(judge, &parent.acl, perms::CREATE)?;

        let full = if kind.sequential {
            path::with_sequence(asked, parent.stat.cversion).into()
        } else {
            judge.key(asked)
        };
        if !path::is_valid(&full) {
            return Err(ErrorCode::BadArguments.into());
        }
        // A sequential counter at its end yields the same name again (C-096).
        if self.outstanding.exists(path::canonical(&full), tree) {
            return Err(ErrorCode::NodeExists.into());
        }
        if is_ephemeral(&parent, owners) {
            return Err(ErrorCode::NoChildrenForEphemerals.into());
        }

        let data = request.data.unwrap_or_default();
        if tree.has_quotas() {
            self.check_quota(judge, &full, Usage { count: 1, bytes: data.len() as i64 })?;
        }
        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        let txn = CreateTxn {
            path: &full,
            data: request.data,
            acl: &acl,
            parent_cversion,
            kind: kind.kind,
        };
        Txn::Create(txn).write(out);

        let owner = match kind.kind {
            CreateKind::Plain { ephemeral: true, .. } => judge.session.0,
            CreateKind::Plain { ephemeral: false, .. } => 0,
            CreateKind::Container => CONTAINER_OWNER,
            CreateKind::Ttl(ttl) => owners.encode_ttl(ttl).expect("the ttl was judged"),
        };
        let stat = StatPersisted {
            czxid: judge.zxid,
            mzxid: judge.zxid,
            pzxid: judge.zxid,
            ctime: judge.time,
            mtime: judge.time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let node = PendingNode::created(stat, decode_acl(&acl, tree), &full, data);
        parent.num_children += 1;
        // As apply does: the counter is only ever raised.
        if parent_cversion > parent.stat.cversion {
            parent.stat.cversion = parent_cversion;
            parent.stat.pzxid = judge.zxid;
        }
        // The suffix may hold no slash, so the parent of the full path is the one asked for.
        let parent_key = judge.key(parent_path);
        self.outstanding.put(judge.zxid, full, Some(node), tree);
        self.outstanding.put(judge.zxid, parent_key, Some(parent), tree);
        Ok(kind.txn_type.to_int())
    }
}
