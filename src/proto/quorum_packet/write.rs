//! Packets to bytes.

use bytes::Bytes;

use super::{LearnerInfo, QuorumPacket};
use crate::jute::Writer;
use crate::proto::{Epoch, Zxid};

/// The zxid of packets that have none.
const NO_ZXID: i64 = -1;

/// What ends a packet that [`QuorumPacket::write_head`] began: authinfo is null.
pub const TAIL: [u8; 4] = (-1_i32).to_be_bytes();

impl QuorumPacket {
    /// Appends what comes before the packet's transaction, and returns that: it goes on with its
    /// bytes, and ends with [`TAIL`]. So a large one need not be copied. `None`, and nothing is
    /// appended, for a packet that is no PROPOSAL or INFORM.
    pub fn write_head(&self, out: &mut Vec<u8>) -> Option<&Bytes> {
        let (QuorumPacket::Proposal { zxid, txn } | QuorumPacket::Inform { zxid, txn }) = self
        else {
            return None;
        };
        let length = i32::try_from(txn.len()).expect("what is sent was received within the limits");
        out.put_int(self.packet_type());
        out.put_long(zxid.to_long());
        out.put_int(length);
        Some(txn)
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut packet = Packet { packet_type: self.packet_type(), out };
        match self {
            QuorumPacket::Request(request) => {
                packet.data(NO_ZXID, |out| {
                    out.put_long(request.session.0);
                    out.put_int(request.cxid);
                    out.put_int(request.op);
                    out.extend_from_slice(&request.body);
                });
                if !request.auth.is_empty() {
                    packet.auth(request.auth.wire());
                }
            }
            QuorumPacket::Proposal { zxid, txn } | QuorumPacket::Inform { zxid, txn } => {
                packet.data(zxid.to_long(), |out| out.extend_from_slice(txn));
            }
            QuorumPacket::Ack { zxid }
            | QuorumPacket::Commit { zxid }
            | QuorumPacket::Diff { zxid }
            | QuorumPacket::Trunc { zxid }
            | QuorumPacket::Snap { zxid }
            | QuorumPacket::Ping { zxid, touched: None }
            | QuorumPacket::NewLeader { zxid, config: None } => packet.empty(zxid.to_long()),
            QuorumPacket::Ping { zxid, touched: Some(sessions) } => {
                packet.data(zxid.to_long(), |out| {
                    for (session, timeout_ms) in sessions {
                        out.put_long(session.0);
                        out.put_int(*timeout_ms);
                    }
                });
            }
            QuorumPacket::Revalidate { session, timeout_ms } => packet.data(NO_ZXID, |out| {
                out.put_long(session.0);
                out.put_int(*timeout_ms);
            }),
            QuorumPacket::Revalidated { session, valid } => packet.data(NO_ZXID, |out| {
                out.put_long(session.0);
                out.put_bool(*valid);
            }),
            QuorumPacket::Sync => packet.empty(Zxid::ZERO.to_long()),
            QuorumPacket::CommitAndActivate { zxid, designated } => {
                packet.data(zxid.to_long(), |out| out.put_long(designated.0));
            }
            QuorumPacket::NewLeader { zxid, config: Some(text) } => {
                packet.data(zxid.to_long(), |out| out.extend_from_slice(text));
            }
            QuorumPacket::FollowerInfo(info) | QuorumPacket::ObserverInfo(info) => {
                info.write(&mut packet);
            }
            QuorumPacket::UpToDate | QuorumPacket::Unknown { .. } => packet.empty(NO_ZXID),
            QuorumPacket::LeaderInfo { epoch, protocol_version } => {
                packet.data(epoch.start().to_long(), |out| out.put_int(*protocol_version));
            }
            QuorumPacket::AckEpoch { last_zxid, current_epoch } => {
                packet.data(last_zxid.to_long(), |out| {
                    out.put_int(current_epoch.map_or(-1, |Epoch(epoch)| epoch as i32));
                });
            }
            QuorumPacket::InformAndActivate { zxid, designated, txn } => {
                packet.data(zxid.to_long(), |out| {
                    out.put_long(designated.0);
                    out.extend_from_slice(txn);
                });
            }
        }
    }
}

/// The versions of a learner that says nothing of them.
const UNSAID: (i32, i64) = (1, 0);

impl LearnerInfo {
    fn write(&self, packet: &mut Packet<'_>) {
        let zxid = self.accepted_epoch.start().to_long();
        let Some(sid) = self.sid else { return packet.empty(zxid) };
        packet.data(zxid, |out| {
            out.put_long(sid.0);
            if (self.protocol_version, self.config_version) != UNSAID {
                out.put_int(self.protocol_version);
                out.put_long(self.config_version);
            }
        });
    }
}

/// Where the fields of a packet go. Each method writes a whole packet, but [`auth`](Self::auth).
struct Packet<'a> {
    packet_type: i32,
    out: &'a mut Vec<u8>,
}

impl Packet<'_> {
    /// Type and zxid; data and authinfo are null.
    fn empty(&mut self, zxid: i64) {
        self.out.put_int(self.packet_type);
        self.out.put_long(zxid);
        self.out.put_int(-1);
        self.out.put_int(-1);
    }

    /// The data is what `write` appends; authinfo is null.
    fn data(&mut self, zxid: i64, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.put_int(self.packet_type);
        self.out.put_long(zxid);
        let length_at = self.out.len();
        self.out.put_int(0);
        write(self.out);
        let length = self.out.len() - length_at - 4;
        let length = i32::try_from(length).expect("what is sent was received within the limits");
        self.out.set_int(length_at, length);
        self.out.put_int(-1);
    }

    /// Puts a vector of ids in the place of the null that ends the packet.
    fn auth(&mut self, ids: &[u8]) {
        self.out.truncate(self.out.len() - 4);
        self.out.extend_from_slice(ids);
    }
}
