//! Broadcast: the leader proposes and commits, this server logs, acknowledges, applies, and serves
//! its clients.
//!
//! ```text
//! follower   PROPOSAL ─▶ logged ─▶ durable ─▶ ACK        COMMIT ─▶ applied when durable
//! observer   INFORM   ─▶ logged ─▶ applied when durable
//! ```

use bytes::Bytes;

use super::forwarding::Forwarding;
use super::history::History;
use super::words::unexpected;
use super::{About, Departure, Event, Next, Phase, acknowledgements, reconfiguration};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket, Sid, Zxid};
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
    pub(super) fn begin(turn: &Turn<'_>, link: LinkId, history: History) -> Phase {
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
                turn.member.acknowledged = durable.what();
                turn.send(self.link, acknowledgements::proposal(durable));
            }
        }
        self.forwarding.expire(turn, &mut self.history);
        self.history.let_go(turn);
        Ok(None)
    }

    /// When a local session may have to end.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.forwarding.next_deadline()
    }

    /// Requests that were taken and are not let go.
    pub(super) fn in_process(&self) -> usize {
        self.forwarding.len() + self.history.waiting()
    }

    /// Sessions that only this server knows.
    pub(super) fn local_sessions(&self) -> usize {
        self.forwarding.local_sessions()
    }

    /// The sessions that are served here.
    pub(super) fn sessions(&self, after: Option<PagePlace>, most: usize) -> SessionsPage {
        self.forwarding.sessions(after, most)
    }

    /// What was logged and not applied.
    pub(super) fn unapplied(self, turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        self.history.unapplied(turn)
    }

    fn packet(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        packet: QuorumPacket,
    ) -> Result<(), Departure> {
        use LearnerType::{Observer, Participant};
        match (about.kind, packet) {
            (Participant, QuorumPacket::Proposal { zxid, txn }) => {
                self.arrives(turn, zxid, txn, true)?;
            }
            (Participant, QuorumPacket::Commit { zxid }) => {
                self.committed(turn, about, zxid, None)?;
            }
            (Participant, QuorumPacket::CommitAndActivate { zxid, designated }) => {
                self.committed(turn, about, zxid, Some(designated))?;
            }
            (Observer, QuorumPacket::Inform { zxid, txn }) => {
                self.arrives(turn, zxid, txn, false)?;
                self.committed(turn, about, zxid, None)?;
            }
            (Observer, QuorumPacket::InformAndActivate { zxid, designated, txn }) => {
                self.arrives(turn, zxid, txn, false)?;
                self.committed(turn, about, zxid, Some(designated))?;
            }
            (_, QuorumPacket::Ping { zxid, .. }) => {
                let touched = Some(self.forwarding.take_touched());
                turn.send(self.link, QuorumPacket::Ping { zxid, touched });
            }
            (_, QuorumPacket::Revalidated { session, valid }) => {
                self.forwarding.revalidated(turn, &mut self.history, session, valid)?;
            }
            (_, QuorumPacket::Sync) => self.forwarding.synced(&mut self.history)?,
            // Of a version to come.
            (_, QuorumPacket::Unknown { packet_type }) => {
                tracing::warn!(packet_type, "a packet of an unknown type is ignored");
            }
            (Participant, packet) => {
                return Err(unexpected("PROPOSAL, COMMIT, PING or an answer", &packet));
            }
            (Observer, packet) => return Err(unexpected("INFORM, PING or an answer", &packet)),
        }
        Ok(())
    }

    fn arrives(
        &mut self,
        turn: &mut Turn<'_>,
        zxid: Zxid,
        txn: Bytes,
        is_proposal: bool,
    ) -> Result<(), Departure> {
        let Some(received) = self.history.arrives(turn, zxid, txn)? else { return Ok(()) };
        let txn = received.txn.clone();
        if let Some(config) = reconfiguration::of_transaction(turn, received)?
            && is_proposal
        {
            reconfiguration::see(turn, &config);
        }
        self.history.log(turn, zxid, txn);
        Ok(())
    }

    fn committed(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        zxid: Zxid,
        designated: Option<Sid>,
    ) -> Result<(), Departure> {
        let Some(received) = self.history.committed(zxid)? else { return Ok(()) };
        let config = match designated {
            Some(_) => reconfiguration::of_transaction(turn, &received)?,
            None => None,
        };
        let session = received.session;
        let waiter = self.forwarding.waiter(&mut self.history, &received);
        self.history.let_commit(turn, received, waiter);
        self.forwarding.after_commit(&mut self.history, session);
        let Some(designated) = designated else { return Ok(()) };
        let history = &mut self.history;
        let goes_on = reconfiguration::activate(turn, about, history, zxid, config, designated);
        // Whoever waits for it hears of it even if this server leaves its leader now.
        self.history.let_go(turn);
        goes_on
    }
}
