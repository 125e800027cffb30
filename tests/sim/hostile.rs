//! Packets that no honest server sends, over the links of honest ones and from strangers.
//!
//! Each must drop its link, or be ignored; none may make a server panic, reach its log, or disturb
//! the others. None is a lie that could be true: nobody can defend himself against a server that
//! acknowledges what it has not logged.

use bytes::Bytes;
use zkserver::jute::Writer;
use zkserver::proto::quorum_packet::{ForwardedRequest, LearnerInfo};
use zkserver::proto::txns::{Txn, TxnHeader};
use zkserver::proto::{
    AuthInfo, Epoch, Notification, QuorumPacket, ServerState, SessionId, Sid, Vote, Zxid,
};

use crate::network::{Dial, End, Node, Port};
use crate::process::STRANGER;
use crate::world::World;

impl World {
    /// A packet that no honest server sends.
    pub fn hostile(&mut self) {
        if self.faults.random.coin() { self.forge() } else { self.intrude() }
    }

    /// Something over the link of an honest server.
    fn forge(&mut self) {
        let links = self.stage.network.links();
        if links.is_empty() {
            return;
        }
        let wire = self.faults.random.pick(&links);
        let side = self.faults.random.below(2) as usize;
        let packets = if side == 0 { self.of_a_learner() } else { self.of_a_leader() };
        let what: Vec<&str> = packets.iter().map(|packet| packet.name()).collect();
        self.stage.fault(format!("hostile: {what:?} over {wire:?} from its end {side}"));
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut bytes));
        if packets.is_empty() || self.faults.random.permille(150) {
            self.garbage(&mut bytes);
        }
        let end = End { wire, side };
        self.stage.network.send(&mut self.stage.agenda, end, bytes.into());
        if self.faults.random.permille(300) {
            self.stage.network.reset(&mut self.stage.agenda, wire);
        }
    }

    /// A transaction that no server can have seen yet, nor will soon.
    fn far(&self) -> Zxid {
        let last = self.peers.iter().filter_map(|peer| peer.tree_state()).map(|(zxid, _)| zxid);
        Zxid(last.max().unwrap_or_default().0 + 100_000)
    }

    fn of_a_learner(&mut self) -> Vec<QuorumPacket> {
        let far = self.far();
        match self.faults.random.below(5) {
            0 => vec![QuorumPacket::Ack { zxid: far }],
            1 => vec![proposal(far)],
            2 => vec![introduction(far.epoch(), STRANGER)],
            3 => vec![QuorumPacket::Request(ForwardedRequest {
                session: SessionId(77),
                cxid: 1,
                op: 12_345,
                body: Bytes::from_static(b"what is this"),
                auth: AuthInfo::default(),
            })],
            _ => Vec::new(),
        }
    }

    fn of_a_leader(&mut self) -> Vec<QuorumPacket> {
        let far = self.far();
        let former = Zxid((u64::from(far.epoch().0.saturating_sub(1)) << 32) | 5);
        let bad = Bytes::from_static(b"server.1=nonsense");
        match self.faults.random.below(9) {
            0 => vec![proposal(far)],
            1 => vec![proposal(former)],
            2 => vec![QuorumPacket::Commit { zxid: far }],
            3 => vec![QuorumPacket::NewLeader { zxid: far.epoch().start(), config: Some(bad) }],
            4 => vec![QuorumPacket::NewLeader {
                zxid: Epoch(far.epoch().0 + 7).start(),
                config: None,
            }],
            5 => vec![QuorumPacket::Snap { zxid: far }],
            6 => vec![QuorumPacket::LeaderInfo { epoch: far.epoch(), protocol_version: 0x10000 }],
            7 => vec![QuorumPacket::Ack { zxid: former }],
            _ => Vec::new(),
        }
    }

    fn garbage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.faults.random.between(1, 60) {
            bytes.push(self.faults.random.next() as u8);
        }
    }

    /// A stranger dials.
    fn intrude(&mut self) {
        let server = self.any_server();
        if !self.peers[server].is_up() {
            return;
        }
        let port = self.faults.random.pick(&[Port::Election, Port::Quorum(0), Port::Client]);
        let far = self.far();
        let mut bytes = Vec::new();
        match (port, self.faults.random.below(4)) {
            (_, 0) => self.garbage(&mut bytes),
            (Port::Election, _) => {
                let state = self.faults.random.pick(&[ServerState::Looking, ServerState::Leading]);
                let vote = Vote { leader: STRANGER, zxid: far.to_long(), peer_epoch: 1 << 20 };
                let (round, version) = (1 << 20, Notification::VERSION);
                let config = self.faults.random.coin().then(|| Bytes::from_static(b"server.x=?"));
                let config = config.or(Some(Bytes::new()));
                Notification { state, vote, round, version, config }.write(&mut bytes);
            }
            (Port::Quorum(_), 1) => {
                QuorumPacket::ObserverInfo(info(far.epoch(), STRANGER)).write(&mut bytes);
            }
            (Port::Quorum(_), _) => introduction(far.epoch(), STRANGER).write(&mut bytes),
            (Port::Client, _) => {
                bytes.put_int(12);
                bytes.extend_from_slice(b"no handshake");
            }
        }
        self.stage.fault(format!("hostile: {} bytes to {port:?} of {server}", bytes.len()));
        let (from, to) = (Node::Stranger, Node::Server(server));
        let wire = self.stage.network.connect(from, to, port);
        let dial = Dial { from, life: 0, to, port, until: 0 };
        self.peers[server].accept(&mut self.stage, dial, End { wire, side: 1 });
        let end = End { wire, side: 0 };
        self.stage.network.send(&mut self.stage.agenda, end, bytes.into());
        if self.faults.random.permille(700) {
            self.stage.network.close(&mut self.stage.agenda, end);
        }
    }
}

fn info(epoch: Epoch, sid: Sid) -> LearnerInfo {
    LearnerInfo {
        accepted_epoch: epoch,
        sid: Some(sid),
        protocol_version: 0x10000,
        config_version: 0,
    }
}

fn introduction(epoch: Epoch, sid: Sid) -> QuorumPacket {
    QuorumPacket::FollowerInfo(info(epoch, sid))
}

fn proposal(zxid: Zxid) -> QuorumPacket {
    let header = TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time: 1, txn_type: -1 };
    let mut txn = Vec::new();
    header.write(&mut txn);
    Txn::Error { err: -101 }.write(&mut txn);
    QuorumPacket::Proposal { zxid, txn: txn.into() }
}
