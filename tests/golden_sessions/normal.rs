//! A message without what differs from run to run: moments, session ids, the order of children.

use std::collections::HashMap;

use crate::common::client::Part;
use crate::common::{Message, Reply, Stat, hex, op};

/// What captured session ids are called here.
pub struct Names(Option<HashMap<i64, i64>>);

impl Names {
    pub fn translating(names: HashMap<i64, i64>) -> Self {
        Names(Some(names))
    }

    pub fn as_they_are() -> Self {
        Names(None)
    }

    fn owner(&self, id: i64) -> i64 {
        match &self.0 {
            Some(names) if id != 0 => *names.get(&id).expect("a known session owns it"),
            _ => id,
        }
    }
}

/// The message as text; two that a client could not tell apart are the same.
pub fn normal(message: &Message, op: i32, names: &Names) -> String {
    match message {
        Message::Event(event) => format!("{event:?}"),
        Message::Reply(reply) => {
            let header = format!("xid {} zxid {:#x} err {}", reply.xid, reply.zxid, reply.err);
            format!("{header}: {}", body(reply, op, names))
        }
    }
}

fn body(reply: &Reply, kind: i32, names: &Names) -> String {
    if reply.err != 0 || reply.body.is_empty() {
        return hex::encode(&reply.body);
    }
    match kind {
        op::CREATE | op::SYNC => reply.path(),
        op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
            let (path, stat) = reply.path_stat();
            format!("{path} {}", stat_text(&stat, names))
        }
        op::EXISTS | op::SET_DATA | op::SET_ACL => stat_text(&reply.stat(), names),
        op::GET_DATA => {
            let (data, stat) = reply.data();
            format!("{data:?} {}", stat_text(&stat, names))
        }
        op::GET_ACL => {
            let (acl, stat) = reply.acl();
            format!("{acl:?} {}", stat_text(&stat, names))
        }
        op::GET_CHILDREN | op::GET_EPHEMERALS => format!("{:?}", reply.children()),
        op::GET_CHILDREN2 => {
            let (children, stat) = reply.children_stat();
            format!("{children:?} {}", stat_text(&stat, names))
        }
        op::WHO_AM_I => {
            let mut identities = reply.identities();
            identities.sort();
            format!("{identities:?}")
        }
        op::MULTI | op::MULTI_READ => {
            let parts = reply.parts();
            parts.iter().map(|part| part_text(part, names)).collect::<Vec<_>>().join("; ")
        }
        // addWatch's error code and getAllChildrenNumber's count.
        op::ADD_WATCH | op::GET_ALL_CHILDREN_NUMBER => reply.number().to_string(),
        other => panic!("a body in the reply to operation {other}"),
    }
}

fn part_text(part: &Part, names: &Names) -> String {
    match part {
        Part::Create2(path, stat) => format!("create2 {path} {}", stat_text(stat, names)),
        Part::SetData(stat) => format!("setData {}", stat_text(stat, names)),
        Part::Data(data, stat) => format!("data {data:?} {}", stat_text(stat, names)),
        other => format!("{other:?}"),
    }
}

fn stat_text(stat: &Stat, names: &Names) -> String {
    let moments = match (stat.ctime, stat.mtime) {
        (0, 0) => "never written",
        (0, _) => "written since the beginning",
        (created, written) if created == written => "written once",
        (created, written) if created < written => "written again",
        _ => "written before it was created",
    };
    // Two writes of one millisecond look like one: the versions tell how many there were.
    let moments = if stat.version > 0 && stat.ctime != 0 { "written again" } else { moments };
    let owner = names.owner(stat.ephemeral_owner);
    let plain = Stat { ctime: 0, mtime: 0, ephemeral_owner: owner, ..*stat };
    format!("{plain:?} {moments}")
}
