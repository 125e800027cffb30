//! Broadcast: the leader proposes and commits, this server logs, acknowledges, applies, and serves
//! its clients.
//!
//! ```text
//! follower   PROPOSAL ─▶ logged ─▶ durable ─▶ ACK        COMMIT ─▶ applied when durable
//! observer   INFORM   ─▶ logged ─▶ applied when durable
//! ```

use super::forwarding::Forwarding;
use super::history::History;
use super::words::unexpected;
use super::{About, Departure, Event, Next, Phase, acknowledgements};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket, Zxid};
use crate::quorum::member::Turn;
use crate::session::{PagePlace, SessionsPage};

/// The phase.
#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) link: LinkId,
    history: History,
    forwarding: Forwarding,
}

impl Broadcast {
    /// UPTODATE came.
    pub(super) fn begin(turn: &Turn<'_>, _about: About, link: LinkId, history: History) -> Phase {
        Phase::Broadcast(Box::new(Broadcast { link, history, forwarding: Forwarding::new(turn) }))
    }

    pub(super) fn step(&mut self, turn: &mut Turn<'_>, about: About, event: Event) -> Next {
        match event {
            Event::Packet(packet) => self.packet(turn, about, packet)?,
            Event::Submitted(submissions) => {
                for submission in submissions {
                    self.forwarding.submitted(turn, self.link, &mut self.history, submission);
                }
            }
            Event::Closed(why) => return Err(format!("the link to the leader ended: {why}").into()),
            Event::SnapshotArrived => return Err("a stream without SNAP".into()),
            Event::Persisted | Event::Tick | Event::Opened | Event::Reloaded(_) => {}
        }
        while let Some(durable) = self.history.next_durable(turn) {
            if about.kind == LearnerType::Participant {
                turn.send(self.link, acknowledgements::proposal(durable));
            }
        }
        self.history.let_go(turn);
        Ok(None)
    }

    /// Requests that were taken and are not let go.
    pub(super) fn in_process(&self) -> usize {
        self.forwarding.waiting() + self.history.waiting()
    }

    /// The sessions that are served here.
    pub(super) fn sessions(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        self.forwarding.sessions(after, most)
    }

    /// What was logged and not applied.
    pub(super) fn unapplied(self) -> Vec<(Zxid, bytes::Bytes)> {
        self.history.unapplied()
    }

    fn packet(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        packet: QuorumPacket,
    ) -> Result<(), Departure> {
        match (about.kind, packet) {
            (LearnerType::Participant, QuorumPacket::Proposal { zxid, txn }) => {
                if let Some(received) = self.history.arrives(turn, zxid, txn)? {
                    let txn = received.txn.clone();
                    self.history.log(turn, zxid, txn);
                }
            }
            (
                LearnerType::Participant,
                QuorumPacket::Commit { zxid } | QuorumPacket::CommitAndActivate { zxid, .. },
            ) => self.committed(turn, zxid)?,
            (
                LearnerType::Observer,
                QuorumPacket::Inform { zxid, txn }
                | QuorumPacket::InformAndActivate { zxid, txn, .. },
            ) => {
                if let Some(received) = self.history.arrives(turn, zxid, txn)? {
                    let txn = received.txn.clone();
                    self.history.log(turn, zxid, txn);
                }
                self.committed(turn, zxid)?;
            }
            (_, QuorumPacket::Ping { zxid, .. }) => {
                let touched = Some(self.forwarding.take_touched());
                turn.send(self.link, QuorumPacket::Ping { zxid, touched });
            }
            (_, QuorumPacket::Revalidated { session, valid }) => {
                self.forwarding.revalidated(turn, &mut self.history, session, valid)?;
            }
            (_, QuorumPacket::Sync) => self.forwarding.synced(&mut self.history)?,
            (LearnerType::Participant, packet) => {
                return Err(unexpected("PROPOSAL, COMMIT, PING or an answer", &packet));
            }
            (LearnerType::Observer, packet) => {
                return Err(unexpected("INFORM, PING or an answer", &packet));
            }
        }
        Ok(())
    }

    fn committed(&mut self, turn: &mut Turn<'_>, zxid: Zxid) -> Result<(), Departure> {
        let Some(received) = self.history.committed(zxid)? else { return Ok(()) };
        let waiter = self.forwarding.waiter(&mut self.history, &received);
        let session = received.session;
        self.history.let_commit(turn, received, waiter);
        self.forwarding.after_commit(&mut self.history, session);
        Ok(())
    }
}
