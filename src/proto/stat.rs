//! `Stat` as clients see it, `StatPersisted` as logs and snapshots keep it.

use super::ids::Zxid;
use crate::jute::{JuteError, Reader, Writer};

/// A node's `Stat`, as sent to clients: 68 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: Zxid,
    /// The transaction that last set its data.
    pub mzxid: Zxid,
    /// When it was created, wall-clock milliseconds.
    pub ctime: i64,
    /// When its data was last set, wall-clock milliseconds.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often children were created or deleted.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session an ephemeral belongs to; 0 for every other node, container and TTL included.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null data.
    pub data_length: i32,
    /// How many children it has now.
    pub num_children: i32,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.to_long());
        out.put_long(self.mzxid.to_long());
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.to_long());
    }

    /// Reads the record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Stat {
            czxid: Zxid::from_long(r.long()?),
            mzxid: Zxid::from_long(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            data_length: r.int()?,
            num_children: r.int()?,
            pzxid: Zxid::from_long(r.long()?),
        })
    }
}

/// A node's stat as it is stored: 60 bytes in a snapshot, and what the tree digest covers.
///
/// `cversion` counts creates only, `ephemeral_owner` holds the container and TTL markers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct StatPersisted {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    /// How many children were ever created; a sequential child's number.
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Bytes of the record.
    pub const SIZE: usize = 60;

    /// Appends the record in the order of the snapshot.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.to_long());
        out.put_long(self.mzxid.to_long());
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_long(self.pzxid.to_long());
    }

    /// Reads the record in the order of the snapshot.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(StatPersisted {
            czxid: Zxid::from_long(r.long()?),
            mzxid: Zxid::from_long(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            pzxid: Zxid::from_long(r.long()?),
        })
    }

    /// The `Stat` of a node with this stored stat, `data_length` bytes and `num_children`
    /// children. The reported cversion is creates plus deletes (C-051): twice the creates less
    /// the children that are left.
    pub fn to_stat(&self, data_length: usize, num_children: usize, owner: NodeOwner) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children as i32),
            aversion: self.aversion,
            ephemeral_owner: match owner {
                NodeOwner::Session(id) => id,
                NodeOwner::None | NodeOwner::Container | NodeOwner::Ttl(_) => 0,
            },
            data_length: data_length as i32,
            num_children: num_children as i32,
            pzxid: self.pzxid,
        }
    }

    /// The node's part of the tree digest, version 2: the CRC-32 of path, data and this stat
    /// (protocol: path of the root is empty; nodes below `/zookeeper/` count nothing and are the
    /// caller's affair).
    pub fn digest(&self, path: &[u8], data: &[u8]) -> u32 {
        self.digest_after(content_crc(path, data))
    }

    /// [`digest`](Self::digest), given the [`content_crc`] of path and data: a parent whose stat
    /// changes with every child need not have its data read each time.
    pub fn digest_after(&self, content_crc: u32) -> u32 {
        let mut fields = [0u8; StatPersisted::SIZE];
        fields[0..8].copy_from_slice(&self.czxid.0.to_be_bytes());
        fields[8..16].copy_from_slice(&self.mzxid.0.to_be_bytes());
        fields[16..24].copy_from_slice(&self.pzxid.0.to_be_bytes());
        fields[24..32].copy_from_slice(&self.ctime.to_be_bytes());
        fields[32..40].copy_from_slice(&self.mtime.to_be_bytes());
        fields[40..44].copy_from_slice(&self.version.to_be_bytes());
        fields[44..48].copy_from_slice(&self.cversion.to_be_bytes());
        fields[48..52].copy_from_slice(&self.aversion.to_be_bytes());
        fields[52..60].copy_from_slice(&self.ephemeral_owner.to_be_bytes());
        let mut crc = crc32fast::Hasher::new_with_initial(content_crc);
        crc.update(&fields);
        crc.finalize()
    }
}

/// The CRC-32 of path and data: where a node's digest starts.
pub fn content_crc(path: &[u8], data: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(path);
    crc.update(data);
    crc.finalize()
}

/// What a node's stored `ephemeralOwner` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeOwner {
    /// An ordinary persistent node.
    None,
    /// An ephemeral node of that session.
    Session(i64),
    /// A container.
    Container,
    /// A node that lives this many milliseconds after its last setData.
    Ttl(i64),
}

/// How container and TTL markers are told from session ids
/// (`extendedTypesEnabled`, `emulate353TTLNodes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerEncoding {
    /// TTL nodes exist.
    pub extended_types: bool,
    /// TTL nodes written by 3.5.3 are recognised too.
    pub emulate_353_ttl: bool,
}

/// The stored owner of a container.
pub const CONTAINER_OWNER: i64 = i64::MIN;
/// The largest TTL, in milliseconds.
pub const MAX_TTL: i64 = 0xff_ffff_ffff;
const TTL_MARK: i64 = 0xff00_0000_0000_0000_u64 as i64;

impl OwnerEncoding {
    /// What `owner` stands for.
    pub fn decode(self, owner: i64) -> NodeOwner {
        if owner == 0 {
            return NodeOwner::None;
        }
        if owner == CONTAINER_OWNER {
            return NodeOwner::Container;
        }
        if self.extended_types {
            if self.emulate_353_ttl && owner < 0 {
                return NodeOwner::Ttl(owner & MAX_TTL);
            }
            if owner & TTL_MARK == TTL_MARK {
                return NodeOwner::Ttl(owner & MAX_TTL);
            }
        }
        NodeOwner::Session(owner)
    }

    /// Whether `owner` reads as a TTL node if extended types were on.
    pub fn looks_like_ttl(owner: i64) -> bool {
        owner != CONTAINER_OWNER && owner & TTL_MARK == TTL_MARK
    }

    /// The stored owner of a node with that ttl in milliseconds, or `None` if the ttl is out of
    /// range.
    pub fn encode_ttl(self, ttl: i64) -> Option<i64> {
        if !(1..=MAX_TTL).contains(&ttl) {
            return None;
        }
        Some(if self.emulate_353_ttl { i64::MIN | ttl } else { TTL_MARK | ttl })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_root_reports_cversion_minus_one() {
        let stat = StatPersisted::default().to_stat(0, 1, NodeOwner::None);
        assert_eq!(stat.cversion, -1);
    }

    #[test]
    fn the_empty_tree_has_javas_digest() {
        let empty = StatPersisted::default();
        let sum = u64::from(empty.digest(b"", b"")) + u64::from(empty.digest(b"/zookeeper", b""));
        assert_eq!(sum, 0x51c6_d660);
    }

    #[test]
    fn owners_mean_what_the_encoding_says() {
        let off = OwnerEncoding::default();
        let on = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
        let ttl = on.encode_ttl(5000).unwrap();
        assert_eq!(on.decode(ttl), NodeOwner::Ttl(5000));
        assert_eq!(off.decode(ttl), NodeOwner::Session(ttl));
        assert_eq!(off.decode(CONTAINER_OWNER), NodeOwner::Container);
        assert_eq!(on.decode(0x100_0017_a6e6_0000), NodeOwner::Session(0x100_0017_a6e6_0000));
        assert_eq!(on.encode_ttl(0), None);
        assert_eq!(on.encode_ttl(MAX_TTL + 1), None);
    }
}
