//! Bytes to packets, as they come over a link.
//!
//! What a packet promises is never allocated for: it is read when all of it is there, and there is
//! a limit to how much that can be. A transaction is looked through here, once, so that nobody
//! behind this door meets one that cannot be read.

use bytes::{Buf, Bytes, BytesMut};

use super::{ForwardedRequest, LAST_TYPE, LearnerInfo, QuorumPacket, Side, name_of};
use crate::jute::{JuteError, Reader};
use crate::proto::txns::TxnRecord;
use crate::proto::{AuthInfo, Epoch, SessionId, Sid, Zxid};

impl QuorumPacket {
    /// Takes the next packet off `input`, which came from `side`; `None` when more bytes are
    /// needed. `max_length` is how long a single field may be, in bytes (`jute.maxbuffer` plus its
    /// extrasize); authinfo as a whole may not be longer either, and only a REQUEST has any. Behind a
    /// SNAP packet a stream follows, which is not for here.
    ///
    /// # Errors
    /// In words: what was expected and what came. The link ends; `input` means nothing any more.
    pub fn take(
        input: &mut BytesMut,
        side: Side,
        max_length: usize,
    ) -> Result<Option<QuorumPacket>, String> {
        if let Some(packet) = frequent(input) {
            input.advance(FREQUENT);
            return Ok(Some(packet));
        }
        let Some(size) = packet_size(input, max_length)? else { return Ok(None) };
        Self::read(input.split_to(size).freeze(), side, max_length).map(Some)
    }

    /// Reads the one packet that `packet` is. Transactions and requests stay slices of it.
    ///
    /// # Errors
    /// In words: what was expected and what came.
    pub fn read(packet: Bytes, side: Side, max_length: usize) -> Result<QuorumPacket, String> {
        let size = packet_size(&packet, max_length)?;
        if size != Some(packet.len()) {
            return Err(format!("expected one whole packet, got {} bytes", packet.len()));
        }
        let mut fields = packet;
        let (packet_type, zxid) = (fields.get_i32(), Zxid::from_long(fields.get_i64()));
        let data = usize::try_from(fields.get_i32()).ok().map(|length| fields.split_to(length));
        let parts = Parts { packet_type, zxid, data, max_length };
        parts.read(side, fields)
    }
}

/// The length of a packet that has nothing but type and zxid.
const FREQUENT: usize = 20;

/// The packet at the start of `input`, if it is one of those that come by the thousand and keep
/// nothing of the bytes: it needs no share of the buffer.
fn frequent(input: &[u8]) -> Option<QuorumPacket> {
    let (packet, _) = input.split_first_chunk::<FREQUENT>()?;
    let zxid = Zxid::from_long(i64::from_be_bytes(packet[4..12].try_into().ok()?));
    match (packet[..4].try_into().map(i32::from_be_bytes), &packet[12..]) {
        (Ok(3), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => {
            Some(QuorumPacket::Ack { zxid })
        }
        (Ok(4), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => {
            Some(QuorumPacket::Commit { zxid })
        }
        _ => None,
    }
}

/// How many bytes the packet at the start of `input` takes.
fn packet_size(input: &[u8], max_length: usize) -> Result<Option<usize>, String> {
    let mut r = Reader::new(input, max_length);
    let packet_type = match r.int() {
        Ok(packet_type) => packet_type,
        Err(_) => return Ok(None),
    };
    match read_over(&mut r, max_length) {
        Ok(()) => Ok(Some(r.position())),
        Err(JuteError::Truncated) => Ok(None),
        Err(why) => Err(format!(
            "expected a packet whose fields have at most {max_length} bytes, got {} (type \
             {packet_type}) with {why}",
            name_of(packet_type)
        )),
    }
}

fn read_over(r: &mut Reader<'_>, max_length: usize) -> Result<(), JuteError> {
    r.long()?;
    r.buffer()?;
    let start = r.position();
    for _ in 0..r.vector()?.unwrap_or(0) {
        r.required_ustring()?;
        r.required_ustring()?;
        let length = r.position() - start;
        if length > max_length {
            return Err(JuteError::UnreasonableLength(i32::try_from(length).unwrap_or(i32::MAX)));
        }
    }
    Ok(())
}

/// A packet's fields, before its type has told what they mean.
struct Parts {
    packet_type: i32,
    zxid: Zxid,
    data: Option<Bytes>,
    max_length: usize,
}

impl Parts {
    fn read(self, side: Side, auth: Bytes) -> Result<QuorumPacket, String> {
        let zxid = self.zxid;
        let auth = AuthInfo::read(auth).map_err(|why| self.unexpected("ids", &why))?;
        // Apache puts ids behind nothing else. They would stay as long as the packet's transaction
        // does, and nobody would have weighed them.
        if !auth.is_empty() && (2..=LAST_TYPE).contains(&self.packet_type) {
            let length = format!("{} bytes", auth.wire().len());
            return Err(self.unexpected("no ids", &length));
        }
        Ok(match (self.packet_type, side) {
            (1, _) => QuorumPacket::Request(self.request(auth)?),
            (2, _) => QuorumPacket::Proposal { zxid, txn: self.txn(0)? },
            (3, _) => QuorumPacket::Ack { zxid },
            (4, _) => QuorumPacket::Commit { zxid },
            (5, Side::Leader) => QuorumPacket::Ping { zxid, touched: None },
            (5, Side::Learner) => QuorumPacket::Ping { zxid, touched: Some(self.touched()?) },
            (6, Side::Leader) => self.fields("a session and whether it is valid", |r| {
                let session = SessionId(r.long()?);
                Ok(QuorumPacket::Revalidated { session, valid: r.bool()? })
            })?,
            (6, Side::Learner) => self.fields("a session and its timeout", |r| {
                let session = SessionId(r.long()?);
                Ok(QuorumPacket::Revalidate { session, timeout_ms: r.int()? })
            })?,
            (7, _) => QuorumPacket::Sync,
            (8, _) => QuorumPacket::Inform { zxid, txn: self.txn(0)? },
            (9, _) => QuorumPacket::CommitAndActivate { zxid, designated: self.designated()? },
            (10, _) => QuorumPacket::NewLeader { zxid, config: self.data },
            (11, _) => QuorumPacket::FollowerInfo(self.learner_info()?),
            (12, _) => QuorumPacket::UpToDate,
            (13, _) => QuorumPacket::Diff { zxid },
            (14, _) => QuorumPacket::Trunc { zxid },
            (15, _) => QuorumPacket::Snap { zxid },
            (16, _) => QuorumPacket::ObserverInfo(self.learner_info()?),
            (17, _) => {
                let protocol_version = self.fields("a protocol version", |r| r.int())?;
                QuorumPacket::LeaderInfo { epoch: zxid.epoch(), protocol_version }
            }
            (18, _) => {
                let epoch = self.fields("an epoch", |r| r.int())?;
                let current_epoch = (epoch != -1).then_some(Epoch(epoch as u32));
                QuorumPacket::AckEpoch { last_zxid: zxid, current_epoch }
            }
            (19, _) => QuorumPacket::InformAndActivate {
                zxid,
                designated: self.designated()?,
                txn: self.txn(8)?,
            },
            (packet_type, _) => QuorumPacket::Unknown { packet_type },
        })
    }

    fn request(&self, auth: AuthInfo) -> Result<ForwardedRequest, String> {
        let (session, cxid, op) = self.fields("a session, a cxid and an operation", |r| {
            Ok((SessionId(r.long()?), r.int()?, r.int()?))
        })?;
        let body = self.data.as_ref().expect("fields were read from it").slice(16..);
        Ok(ForwardedRequest { session, cxid, op, body, auth })
    }

    /// The transaction behind `start` bytes of data, which must be the one that the packet names.
    fn txn(&self, start: usize) -> Result<Bytes, String> {
        let txn = match &self.data {
            Some(data) if data.len() >= start => data.slice(start..),
            _ => return Err(self.unexpected("a transaction", "none")),
        };
        let record = TxnRecord::read(&txn, self.max_length)
            .map_err(|why| self.unexpected("a transaction", &why))?;
        if record.header.zxid != self.zxid {
            let other = format!("the transaction {}", record.header.zxid);
            return Err(self.unexpected("the transaction it names", &other));
        }
        Ok(txn)
    }

    fn touched(&self) -> Result<Vec<(SessionId, i32)>, String> {
        let data = self.data.as_deref().unwrap_or_default();
        let (sessions, rest) = data.as_chunks::<12>();
        if !rest.is_empty() {
            let length = format!("{} bytes", data.len());
            return Err(self.unexpected("sessions of 12 bytes each", &length));
        }
        let mut touched = Vec::with_capacity(sessions.len());
        for session in sessions {
            let mut r = Reader::unlimited(session);
            let (id, timeout) = (r.long(), r.int());
            touched.push((SessionId(id.expect("8 of 12")), timeout.expect("4 of 12")));
        }
        Ok(touched)
    }

    fn designated(&self) -> Result<Sid, String> {
        self.fields("the designated leader", |r| r.long().map(Sid))
    }

    /// Every version has added a field.
    fn learner_info(&self) -> Result<LearnerInfo, String> {
        let accepted_epoch = self.zxid.epoch();
        let (mut protocol_version, mut config_version) = (1, 0);
        if self.data.is_none() {
            return Ok(LearnerInfo { accepted_epoch, sid: None, protocol_version, config_version });
        }
        self.fields("a server's id, its protocol version and its configuration's", |r| {
            let sid = Some(Sid(r.long()?));
            if r.remaining() > 0 {
                protocol_version = r.int()?;
            }
            if r.remaining() > 0 {
                config_version = r.long()?;
            }
            Ok(LearnerInfo { accepted_epoch, sid, protocol_version, config_version })
        })
    }

    /// Fixed fields at the start of the data.
    fn fields<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, JuteError>,
    ) -> Result<T, String> {
        let Some(data) = &self.data else { return Err(self.unexpected(expected, "none")) };
        read(&mut Reader::unlimited(data))
            .map_err(|_| self.unexpected(expected, &format!("{} bytes", data.len())))
    }

    fn unexpected(&self, expected: &str, got: &(impl std::fmt::Display + ?Sized)) -> String {
        let name = name_of(self.packet_type);
        format!("expected {expected} in {name} {}, got {got}", self.zxid)
    }
}
