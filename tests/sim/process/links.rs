//! A process's connections with other servers: the mesh of elections, and the links with learners
//! or a leader.
//!
//! What always holds:
//! * What is sent over a link arrives in the order in which the core gave it, a stretch of the log
//!   and a tree in their places: what comes behind them waits until they are through.
//! * Bytes come in as they come; the production codecs make packets of them, and a tree goes into
//!   the production spool.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use zkserver::persistence::pins::Pin;
use zkserver::persistence::snapshot::spool::{SnapshotSpool, SpoolError};
use zkserver::persistence::snapshot::stream::SnapshotStream;
use zkserver::proto::quorum_packet::Side;
use zkserver::proto::vote::next_election_message;
use zkserver::proto::{LinkId, Notification, QuorumPacket, Sid, Zxid};
use zkserver::quorum::effect::{Input, LinkEffect};

use super::{MAX_FIELD, Process, TICK_MS, What};
use crate::client::sid;
use crate::history::{Micros, ServerEvent};
use crate::network::{Dial, End, Node, Payload, Port};
use crate::stage::Stage;

/// A link with a learner, or with the leader.
pub struct Link {
    /// `None` while it is being dialled.
    end: Option<End>,
    /// Who speaks at the other end.
    other: Side,
    input: BytesMut,
    /// A tree that is arriving.
    spool: Option<SnapshotSpool>,
    to_send: VecDeque<Out>,
    /// Slow work has the link: what waits goes behind it.
    pub busy: bool,
    /// The tree that is to be sent in its place.
    pub tree: Option<SnapshotStream>,
    /// What a learner may need of the log stays.
    pub pin: Option<Pin>,
    /// When the core was last told that bytes move.
    moved_at: Micros,
}

/// Something to be sent, in order.
enum Out {
    Packet(Bytes),
    Log(Zxid, Zxid),
    Tree,
}

/// A connection of the mesh.
#[derive(Default)]
pub struct Mesh {
    end: Option<End>,
    dialling: bool,
    unsent: Option<Bytes>,
    last: Option<Bytes>,
}

/// The id of somebody who is no member.
pub const STRANGER: Sid = Sid(99);

/// That bytes of a tree or of the log move is said so often.
const MOVES_EVERY: Micros = TICK_MS * 1_000 / 4;

/// A dial is given up after so long.
const DIAL_PATIENCE: Micros = 2_000_000;

impl Process {
    /// Carries a turn's effects for other servers out.
    pub(super) fn send_to_others(
        &mut self,
        stage: &mut Stage,
        trees_to_come: Vec<LinkId>,
        effects: Vec<LinkEffect>,
    ) {
        for link in trees_to_come {
            self.give(stage, link, Out::Tree);
        }
        for effect in effects {
            match effect {
                LinkEffect::Notify { to, notification } => self.notify(stage, to, &notification),
                LinkEffect::ConnectMesh => {
                    for member in self.members.clone() {
                        self.connect_mesh(stage, member);
                    }
                }
                LinkEffect::Dial { link, leader } => self.dial(stage, link, leader),
                LinkEffect::Send { link, packet } => {
                    let mut bytes = Vec::new();
                    packet.write(&mut bytes);
                    if stage.trace.is_read() {
                        crate::stage::say!(stage, "{} over {link:?}: {}", self.sid, words(&packet));
                    }
                    self.give(stage, link, Out::Packet(bytes.into()));
                }
                LinkEffect::SendLog { link, after, through } => {
                    self.give(stage, link, Out::Log(after, through));
                }
                LinkEffect::SurveyLog { link, peer, through } => {
                    self.survey(stage, link, peer, through);
                }
                LinkEffect::Close { link, why } => {
                    stage.server(self.sid, ServerEvent::LinkEnded(why));
                    if let Some(Link { end: Some(end), .. }) = self.links.remove(&link) {
                        self.ends.remove(&end);
                        stage.network.close(&mut stage.agenda, end);
                    }
                }
            }
        }
    }

    /// The core hears of it in its lane.
    pub(super) fn hear(&self, input: Input) {
        self.inbox.push(input).expect("only a learner's requests can be too many");
    }

    fn me(&self) -> Node {
        Node::Server(self.index)
    }

    fn dial(&mut self, stage: &mut Stage, link: LinkId, leader: Sid) {
        self.links.insert(link, Link::new(None, Side::Leader));
        let to = Node::Server(leader.0 as usize - 1);
        let until = stage.agenda.now() + DIAL_PATIENCE;
        let dial = Dial { from: self.me(), life: self.life, to, port: Port::Quorum(link.0), until };
        stage.network.dial(&mut stage.agenda, dial);
    }

    fn connect_mesh(&mut self, stage: &mut Stage, peer: Sid) {
        let mesh = self.mesh.entry(peer).or_default();
        if peer == self.sid || peer == STRANGER || mesh.end.is_some() || mesh.dialling {
            return;
        }
        mesh.dialling = true;
        let until = stage.agenda.now() + DIAL_PATIENCE;
        let to = Node::Server(peer.0 as usize - 1);
        let dial = Dial { from: self.me(), life: self.life, to, port: Port::Election, until };
        stage.network.dial(&mut stage.agenda, dial);
    }

    fn notify(&mut self, stage: &mut Stage, to: Sid, notification: &Notification) {
        if to == self.sid {
            let notification = notification.clone();
            self.hear(Input::Notified { from: to, notification });
            return;
        }
        if stage.trace.is_read() {
            crate::stage::say!(
                stage,
                "{} tells {to}: {:?} {:?} round {}",
                self.sid,
                notification.state,
                notification.vote,
                notification.round
            );
        }
        let mut bytes = Vec::new();
        notification.write(&mut bytes);
        let bytes = Bytes::from(bytes);
        let mesh = self.mesh.entry(to).or_default();
        match mesh.end {
            Some(end) => {
                stage.network.send(&mut stage.agenda, end, bytes.clone());
                mesh.last = Some(bytes);
            }
            None => {
                // The newest replaces what still waits.
                mesh.unsent = Some(bytes);
                self.connect_mesh(stage, to);
            }
        }
    }

    /// Somebody has dialled the election port or the quorum port.
    pub(super) fn accept_server(&mut self, stage: &mut Stage, dial: Dial, end: End) {
        let from = match dial.from {
            Node::Server(from) => sid(from),
            // It says so.
            Node::Stranger => STRANGER,
            Node::Client(_) => return stage.network.close(&mut stage.agenda, end),
        };
        match dial.port {
            Port::Election => self.mesh_is_up(stage, from, end),
            Port::Quorum(_) => {
                let link = self.next_accepted;
                self.next_accepted = LinkId(link.0 + 1);
                self.links.insert(link, Link::new(Some(end), Side::Learner));
                self.ends.insert(end, What::Link(link));
                self.hear(Input::LinkOpened(link));
            }
            Port::Client => unreachable!("that is no server's port"),
        }
    }

    /// An own dial was answered.
    pub fn dialled(&mut self, stage: &mut Stage, dial: Dial, end: Option<End>) {
        match dial.port {
            Port::Client => unreachable!("a server is no client"),
            Port::Election => {
                let Node::Server(to) = dial.to else { unreachable!("a server was dialled") };
                let peer = sid(to);
                self.mesh.entry(peer).or_default().dialling = false;
                if let Some(end) = end {
                    self.mesh_is_up(stage, peer, end);
                }
            }
            Port::Quorum(number) => {
                let link = LinkId(number);
                let Some(waiting) = self.links.get_mut(&link) else {
                    if let Some(end) = end {
                        stage.network.close(&mut stage.agenda, end);
                    }
                    return;
                };
                match end {
                    Some(end) => {
                        waiting.end = Some(end);
                        self.ends.insert(end, What::Link(link));
                        self.hear(Input::LinkOpened(link));
                    }
                    None => {
                        self.links.remove(&link);
                        let why = "nobody answers".to_owned();
                        self.hear(Input::LinkClosed { link, why });
                    }
                }
            }
        }
    }

    fn mesh_is_up(&mut self, stage: &mut Stage, peer: Sid, end: End) {
        let mesh = self.mesh.entry(peer).or_default();
        if let Some(old) = mesh.end.replace(end) {
            self.ends.remove(&old);
            stage.network.close(&mut stage.agenda, old);
        }
        self.ends.insert(end, What::Mesh(peer));
        self.hear(Input::Mesh { peer, up: true });
        // What was sent last may not have arrived.
        let mesh = self.mesh.entry(peer).or_default();
        if let Some(bytes) = mesh.unsent.take().or_else(|| mesh.last.clone()) {
            stage.network.send(&mut stage.agenda, end, bytes.clone());
            mesh.last = Some(bytes);
        }
    }

    /// Something came over a connection of the mesh.
    pub(super) fn mesh_arrival(&mut self, end: End, peer: Sid, payload: Payload) {
        let mesh = self.mesh.entry(peer).or_default();
        match payload {
            Payload::Fin => {
                self.ends.remove(&end);
                if mesh.end == Some(end) {
                    mesh.end = None;
                    self.hear(Input::Mesh { peer, up: false });
                }
            }
            Payload::Bytes(bytes) => {
                let Ok(Some(frame)) = next_election_message(&bytes) else { return };
                // A message that is none is ignored.
                if let Ok(notification) = Notification::read(frame.body) {
                    self.hear(Input::Notified { from: peer, notification });
                }
            }
        }
    }

    /// Something came over a link.
    ///
    /// # Errors
    /// The disk's, in words.
    pub(super) fn link_arrival(
        &mut self,
        stage: &mut Stage,
        id: LinkId,
        payload: Payload,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let bytes = match payload {
            Payload::Bytes(bytes) => bytes,
            Payload::Fin => {
                self.link_is_over(stage, id, "the other end has closed it".into());
                return Ok(());
            }
        };
        link.input.extend_from_slice(&bytes);
        loop {
            if let Some(spool) = &mut link.spool {
                let taken = match spool.take(&link.input) {
                    Ok(taken) => taken,
                    Err(SpoolError::Disk(error)) => return Err(error.to_string()),
                    Err(error) => {
                        self.link_is_over(stage, id, error.to_string());
                        return Ok(());
                    }
                };
                let _ = link.input.split_to(taken);
                if !spool.is_complete() {
                    if taken > 0 && link.moves(stage.agenda.now()) {
                        self.hear(Input::BytesMoved(id));
                    }
                    return Ok(());
                }
                let spool = link.spool.take().expect("it was there");
                match spool.finish() {
                    Ok(()) => {
                        let _ = self.inbox.push(Input::SnapshotArrived(id));
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            match QuorumPacket::take(&mut link.input, link.other, MAX_FIELD) {
                Ok(None) => return Ok(()),
                Ok(Some(packet)) => {
                    let tree_comes = matches!(packet, QuorumPacket::Snap { .. });
                    if let Err(error) = self.inbox.push(Input::Packet { link: id, packet }) {
                        self.link_is_over(stage, id, error.to_string());
                        return Ok(());
                    }
                    if tree_comes {
                        let (disk, dir) = (&self.disk, self.dir.snapshot_dir());
                        let options = super::start::tree_options(self.seed);
                        match SnapshotSpool::new(disk, dir, id, options, MAX_FIELD) {
                            Ok(spool) => link.spool = Some(spool),
                            Err(SpoolError::Disk(error)) => return Err(error.to_string()),
                            Err(error) => {
                                self.link_is_over(stage, id, error.to_string());
                                return Ok(());
                            }
                        }
                    }
                }
                Err(why) => {
                    self.link_is_over(stage, id, why);
                    return Ok(());
                }
            }
        }
    }

    /// The link has ended: the core learns of it behind what came over it.
    pub(super) fn link_is_over(&mut self, stage: &mut Stage, id: LinkId, why: String) {
        let Some(link) = self.links.remove(&id) else { return };
        if let Some(end) = link.end {
            self.ends.remove(&end);
            stage.network.close(&mut stage.agenda, end);
        }
        stage.server(self.sid, ServerEvent::LinkEnded(why.clone()));
        self.hear(Input::LinkClosed { link: id, why });
    }

    fn give(&mut self, stage: &mut Stage, id: LinkId, out: Out) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.to_send.push_back(out);
        self.send_on(stage, id);
    }

    /// Sends what waits, until slow work has its turn.
    pub(super) fn send_on(&mut self, stage: &mut Stage, id: LinkId) {
        loop {
            let Some(link) = self.links.get_mut(&id) else { return };
            let Some(end) = link.end else { return };
            if link.busy || (matches!(link.to_send.front(), Some(Out::Tree)) && link.tree.is_none())
            {
                return;
            }
            match link.to_send.pop_front() {
                None => return,
                Some(Out::Packet(bytes)) => stage.network.send(&mut stage.agenda, end, bytes),
                Some(Out::Log(after, through)) => {
                    link.busy = true;
                    self.begin_log(stage, id, after, through);
                }
                Some(Out::Tree) => {
                    link.busy = true;
                    let tree = link.tree.take().expect("checked above");
                    self.begin_tree(stage, id, tree);
                }
            }
        }
    }

    /// Sends bytes of slow work, which has the link.
    pub(super) fn send_slowly(&mut self, stage: &mut Stage, id: LinkId, bytes: Vec<u8>) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let Some(end) = link.end else { return false };
        stage.network.send(&mut stage.agenda, end, bytes.into());
        if link.moves(stage.agenda.now()) {
            self.hear(Input::BytesMoved(id));
        }
        true
    }
}

impl Link {
    /// Bytes have moved: whether the core is to be told once more.
    fn moves(&mut self, now: Micros) -> bool {
        let due = now >= self.moved_at + MOVES_EVERY;
        if due {
            self.moved_at = now;
        }
        due
    }

    fn new(end: Option<End>, other: Side) -> Self {
        Link {
            end,
            other,
            input: BytesMut::new(),
            spool: None,
            to_send: VecDeque::new(),
            busy: false,
            tree: None,
            pin: None,
            moved_at: 0,
        }
    }
}

/// A packet, short.
fn words(packet: &QuorumPacket) -> String {
    match packet {
        QuorumPacket::Proposal { zxid, .. } => format!("PROPOSAL {zxid}"),
        QuorumPacket::Inform { zxid, .. } => format!("INFORM {zxid}"),
        QuorumPacket::Request(request) => {
            format!("REQUEST of {} cxid {} op {}", request.session, request.cxid, request.op)
        }
        QuorumPacket::Commit { zxid } => format!("COMMIT {zxid}"),
        QuorumPacket::Ack { zxid } => format!("ACK {zxid}"),
        QuorumPacket::NewLeader { zxid, .. } => format!("NEWLEADER {zxid}"),
        other => format!("{other:?}"),
    }
}
