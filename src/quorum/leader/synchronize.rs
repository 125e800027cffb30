//! Brings learners to where the leader is, and registers them for what follows.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Leader;
use super::epoch::Phase;
use super::learner_handler::{Peer, State, Surveyed, SyncKind};
use super::learner_sync::{Header, LearnerSync, OnDisk, choose};
use crate::proto::membership::LearnerType;
use crate::proto::{LinkId, QuorumPacket, Zxid};
use crate::quorum::effect::{ClientEffect, LinkEffect, LogSurvey};
use crate::quorum::member::Turn;

impl Leader {
    /// Chooses the sync of everybody who has promised to follow.
    pub(super) fn synchronize_promised(&mut self, turn: &mut Turn<'_>) {
        for link in self.learners.links_where(|h| matches!(h.state(), State::Promised(..))) {
            let Some(handler) = self.learners.get_mut(link) else { continue };
            let State::Promised(peer, last_zxid) = *handler.state() else { continue };
            let own = self.proposals.outstanding_at(last_zxid);
            let own = own.filter(|_| peer.kind == LearnerType::Participant);
            // What it acknowledged over an older link it may have lost, behind where its history ends:
            // it is sent that again, and acknowledges it again. Up to there it has it on its disk,
            // and says so by ACKEPOCH; an ACK may have been lost with the older link.
            self.proposals.forget(peer.sid, own);
            match own {
                // Cutting what is proposed here would be for nothing: the learner waits until it is
                // committed.
                Some(own) => self.proposals.ack_through(peer.sid, own),
                None => self.synchronize(turn, link, peer, last_zxid),
            }
        }
    }

    fn synchronize(&mut self, turn: &mut Turn<'_>, link: LinkId, peer: Peer, last_zxid: Zxid) {
        let let_go = self.proposals.last_let_go();
        let (committed, options) = (&turn.member.committed, &turn.member.options);
        let always_snap = options.force_snapshot_sync;
        match choose(last_zxid, committed, let_go, OnDisk::NotSurveyed, always_snap) {
            LearnerSync::Survey => {
                let now_ms = turn.now.mono_ms;
                let behind = self.behind_let_go(peer);
                let Some(handler) = self.learners.get_mut(link) else { return };
                handler.survey(peer, last_zxid, let_go, now_ms);
                let survey = LinkEffect::SurveyLog { link, peer: last_zxid, through: let_go };
                turn.effects.links.push(survey);
                self.send_all(turn, link, behind);
            }
            LearnerSync::FromMemory { header, after } => {
                if !self.admits(turn, link, peer, SyncKind::Log) {
                    return;
                }
                let mut packets = vec![self.header(turn, header)];
                for (zxid, txn) in turn.member.committed.after(after) {
                    packets.extend(committed_txn(*zxid, txn));
                }
                packets.extend(self.outstanding(peer));
                self.complete(turn, link, peer, SyncKind::Log, packets);
            }
            LearnerSync::FromDisk { .. } => unreachable!("only a survey makes that choice"),
            // The tree takes the place of the learner's history, and this server's own disk may be
            // slower than the quorum that committed. A tree without what the learner has acknowledged
            // would take a committed transaction from one of those that hold it: it waits, with its
            // promise, until the own disk has that too.
            LearnerSync::Snap if let_go < last_zxid.min(committed.max()) => {}
            LearnerSync::Snap => self.send_snapshot(turn, link, peer),
        }
    }

    /// What the log on the disk has for a learner is known.
    pub(super) fn surveyed(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        survey: Option<LogSurvey>,
    ) {
        let Some(handler) = self.learners.get_mut(link) else { return };
        let Some(Surveyed { peer, last_zxid, through, held, .. }) = handler.take_surveyed() else {
            return;
        };
        let (committed, found) = (&turn.member.committed, OnDisk::Surveyed(survey));
        match choose(last_zxid, committed, through, found, false) {
            LearnerSync::FromDisk { header, after } => {
                if !self.admits(turn, link, peer, SyncKind::Log) {
                    return;
                }
                let header = self.header(turn, header);
                turn.send(link, header);
                turn.effects.links.push(LinkEffect::SendLog { link, after, through });
                self.complete(turn, link, peer, SyncKind::Log, held);
            }
            // What was held is younger than the tree that is sent now, or part of it.
            LearnerSync::Snap => self.send_snapshot(turn, link, peer),
            LearnerSync::Survey | LearnerSync::FromMemory { .. } => {
                unreachable!("what is in memory only moves on")
            }
        }
    }

    fn send_snapshot(&mut self, turn: &mut Turn<'_>, link: LinkId, peer: Peer) {
        if !self.admits(turn, link, peer, SyncKind::Tree) {
            return;
        }
        let zxid = self.proposals.last_let_go();
        turn.effects.client.push(ClientEffect::SendSnapshot { link, zxid });
        let behind = self.behind_let_go(peer);
        self.complete(turn, link, peer, SyncKind::Tree, behind);
    }

    /// Whether a learner is synchronized now. A quorum may need a follower, so each is; an observer
    /// is dropped while there are too many syncs of its kind, and comes again.
    fn admits(&mut self, turn: &mut Turn<'_>, link: LinkId, peer: Peer, sync: SyncKind) -> bool {
        let (most, key) = match sync {
            SyncKind::Tree => {
                (turn.member.options.max_concurrent_snap_syncs, "leader.maxConcurrentSnapSyncs")
            }
            SyncKind::Log => {
                (turn.member.options.max_concurrent_diff_syncs, "leader.maxConcurrentDiffSyncs")
            }
        };
        let under_way = self.learners.iter().filter(|h| h.synchronizes() == Some(sync)).count();
        let admitted = peer.kind == LearnerType::Participant || under_way < most;
        if !admitted {
            let why = format!("{under_way} are synchronized already, as many as {key} allows");
            self.learners.drop(turn, link, why);
        }
        admitted
    }

    /// What the learner lacks, and NEWLEADER behind it. From here on everything goes to it as it
    /// comes.
    fn complete(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        peer: Peer,
        sync: SyncKind,
        packets: impl IntoIterator<Item = QuorumPacket>,
    ) {
        let epoch = self.phase.epoch().expect("nobody is synchronized before the epoch is known");
        let Some(handler) = self.learners.get_mut(link) else { return };
        handler.synchronize(peer, sync, turn.now.mono_ms);
        // The learner brings it into force with UPTODATE: one that is only proposed is not told. Who
        // makes the epoch stand completes it, for without their quorum there is no UPTODATE (C-270).
        let config = match &self.phase {
            Phase::Broadcasting(..) => &turn.member.configs.current,
            _ => &turn.member.configs.last_seen,
        };
        let config = Some(config.to_text().into());
        let new_leader = QuorumPacket::NewLeader { zxid: epoch.what().start(), config };
        self.send_all(turn, link, packets.into_iter().chain([new_leader]));
    }

    fn send_all(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        packets: impl IntoIterator<Item = QuorumPacket>,
    ) {
        let Some(handler) = self.learners.get_mut(link) else { return };
        let sent = packets.into_iter().try_for_each(|packet| handler.send(turn, packet));
        if let Err(why) = sent {
            self.learners.drop(turn, link, why);
        }
    }

    fn header(&self, turn: &Turn<'_>, header: Header) -> QuorumPacket {
        match header {
            Header::Diff => QuorumPacket::Diff { zxid: turn.member.committed.max() },
            Header::Trunc(zxid) => QuorumPacket::Trunc { zxid },
        }
    }

    /// What is behind the last transaction that went to apply.
    fn behind_let_go(&self, peer: Peer) -> VecDeque<QuorumPacket> {
        let committed = self.proposals.committed();
        let mut packets: VecDeque<_> =
            committed.flat_map(|(zxid, txn)| committed_txn(zxid, txn)).collect();
        packets.extend(self.outstanding(peer));
        packets
    }

    /// What is not committed yet, as far as the learner is told of it.
    fn outstanding(&self, peer: Peer) -> Vec<QuorumPacket> {
        match peer.kind {
            LearnerType::Participant => {
                self.proposals.outstanding().map(|(zxid, txn)| proposal(zxid, txn)).collect()
            }
            LearnerType::Observer => Vec::new(),
        }
    }
}

/// During a sync observers too get what is committed in two packets.
fn committed_txn(zxid: Zxid, txn: &Bytes) -> [QuorumPacket; 2] {
    [proposal(zxid, txn), QuorumPacket::Commit { zxid }]
}

fn proposal(zxid: Zxid, txn: &Bytes) -> QuorumPacket {
    QuorumPacket::Proposal { zxid, txn: txn.clone() }
}
