//! Choosing: the leader says how the history is brought up, and the tree to start from is made.
//!
//! ```text
//!        DIFF                                          ─▶ the tree as it is
//! ACKEPOCH ─▶ TRUNC ─▶ the log is cut, durably ──┐
//!        SNAP ─▶ the stream is here ─▶ installed ┴─▶ restored from the disk ─▶ that tree
//! ```
//!
//! From the first change of the files to the restore the tree is not what the disk has: whoever
//! leaves in between restores it first ([`Member::database_is_current`], ZOOKEEPER-3642,
//! ZOOKEEPER-5094). What the leader sends meanwhile is kept in its order; if it is too much the
//! leader is left. What was installed or cut by then is the beginning of the next attempt, so that it
//! has less to wait for.
//!
//! [`Member::database_is_current`]: crate::quorum::member::Member::database_is_current

use super::catching_up::CatchingUp;
use super::words::{name, unexpected};
use super::{About, Event, Next, Phase};
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumPacket, Zxid};
use crate::quorum::durable::Pending;
use crate::quorum::effect::Restored;
use crate::quorum::held_packets::{HeldPackets, TooMuch};
use crate::quorum::member::Turn;

/// The phase.
#[derive(Debug)]
pub(super) struct Choosing {
    pub(super) link: LinkId,
    epoch: Epoch,
    step: Step,
    /// What came behind TRUNC or SNAP.
    kept: HeldPackets,
}

#[derive(Debug)]
enum Step {
    /// DIFF, TRUNC or SNAP is awaited.
    AwaitsChoice,
    /// SNAP came; its stream is awaited.
    Receives { snapshot: Zxid },
    /// The log is being cut, or the snapshot becomes the newest.
    ChangesFiles(Pending<Zxid>, Option<Excuse>),
    /// The tree is being restored; its last zxid must be this one.
    Restores { expected: Zxid, excuse: Option<Excuse> },
}

/// Why a history that an honest leader has cut may end elsewhere. With that the learner comes again.
#[derive(Debug, Clone, Copy)]
enum Excuse {
    /// What is in the tree of an observer without a log is on no disk.
    NoLog,
    /// [`Member::tree_on_trial`](crate::quorum::member::Member::tree_on_trial)
    TreeOnTrial,
}

impl Excuse {
    fn of(turn: &Turn<'_>) -> Option<Self> {
        match (turn.member.tree_on_trial, turn.member.unlogged) {
            (true, _) => Some(Excuse::TreeOnTrial),
            (false, true) => Some(Excuse::NoLog),
            (false, false) => None,
        }
    }
}

impl Choosing {
    /// ACKEPOCH is sent.
    pub(super) fn begin(link: LinkId, epoch: Epoch) -> Phase {
        let (step, kept) = (Step::AwaitsChoice, HeldPackets::default());
        Phase::Choosing(Choosing { link, epoch, step, kept })
    }

    pub(super) fn step(&mut self, turn: &mut Turn<'_>, about: About, event: Event) -> Next {
        match (event, &self.step) {
            (Event::Packet(packet), Step::AwaitsChoice) => self.choice(turn, about, packet),
            (Event::Packet(packet), _) => {
                let kept = self.kept.push(packet);
                kept.map_err(|TooMuch| "too much came while the tree was restored")?;
                Ok(None)
            }
            (Event::SnapshotArrived, Step::Receives { snapshot }) => {
                let snapshot = *snapshot;
                self.step = Step::ChangesFiles(turn.install_snapshot(self.link, snapshot), None);
                Ok(None)
            }
            (Event::SnapshotArrived, _) => Err("a stream without SNAP".into()),
            (Event::Persisted, Step::ChangesFiles(pending, excuse)) => {
                let Some(done) = turn.member.tickets.redeem(pending) else { return Ok(None) };
                turn.reload();
                self.step = Step::Restores { expected: done.what(), excuse: *excuse };
                Ok(None)
            }
            (Event::Reloaded(restored), Step::Restores { expected, excuse }) => {
                let (expected, excuse) = (*expected, *excuse);
                self.restored(turn, about, expected, excuse, restored)
            }
            (Event::Closed(why), _) => Err(format!("the link to the leader ended: {why}").into()),
            _ => Ok(None),
        }
    }

    fn choice(&mut self, turn: &mut Turn<'_>, about: About, packet: QuorumPacket) -> Next {
        let last = turn.member.last_logged;
        match packet {
            // Its zxid is for information.
            QuorumPacket::Diff { .. } => self.catch_up(turn, about),
            QuorumPacket::Trunc { zxid } | QuorumPacket::Snap { zxid }
                if self.may_count_on_more(turn, about, zxid) =>
            {
                let last = turn.member.acknowledged;
                let words = format!("expected {last} to stay, which is acknowledged, got ");
                Err((words + &name(&packet)).into())
            }
            QuorumPacket::Trunc { zxid } if zxid > last => {
                Err(format!("expected TRUNC to at most {last}, got {zxid}").into())
            }
            QuorumPacket::Trunc { zxid } => {
                tracing::warn!(%last, to = %zxid, "what the leader does not have is cut off");
                let excuse = Excuse::of(turn);
                self.step = Step::ChangesFiles(turn.truncate(zxid), excuse);
                Ok(None)
            }
            QuorumPacket::Snap { zxid } if zxid.epoch() > self.epoch => {
                let epoch = self.epoch;
                Err(format!("expected SNAP of epoch {epoch} at most, got {zxid}").into())
            }
            QuorumPacket::Snap { zxid } => {
                self.step = Step::Receives { snapshot: zxid };
                Ok(None)
            }
            packet => Err(unexpected("DIFF, TRUNC or SNAP", &packet)),
        }
    }

    /// Whether the leader may count on an acknowledgement of what would be lost with a history that
    /// ends at `zxid`. What it proposed in this very epoch was acknowledged over an older link, and
    /// Apache's leader does not forget that: it would commit what is here no more. As soon as it has
    /// done so it sends something else; our leader sends nothing before. What an earlier process has
    /// acknowledged is not known any more.
    fn may_count_on_more(&self, turn: &Turn<'_>, about: About, zxid: Zxid) -> bool {
        let acknowledged = turn.member.acknowledged;
        let is_its_own = acknowledged.epoch() == self.epoch;
        about.kind == LearnerType::Participant && is_its_own && zxid < acknowledged
    }

    fn restored(
        &mut self,
        turn: &mut Turn<'_>,
        about: About,
        expected: Zxid,
        excuse: Option<Excuse>,
        restored: Restored,
    ) -> Next {
        let last = restored.last_zxid;
        turn.member.reloaded(restored);
        if last == expected {
            return self.catch_up(turn, about);
        }
        turn.member.tree_on_trial = false;
        Err(match excuse {
            Some(Excuse::NoLog) => format!(
                "without a log there is no way back to {expected}, only to the last snapshot, {last}"
            ),
            Some(Excuse::TreeOnTrial) => format!(
                "there is no {expected} in an earlier leader's tree that was taken, and in the history \
                 before it: what there is now ends with {last}"
            ),
            // The leader takes something for our common history that we never had. With what we
            // have now it chooses better.
            None => format!("expected a tree of {expected}, got one of {last}"),
        }
        .into())
    }

    fn catch_up(&mut self, turn: &mut Turn<'_>, about: About) -> Next {
        let kept = std::mem::take(&mut self.kept);
        Ok(Some(CatchingUp::begin(turn, about, self.link, self.epoch, kept)))
    }
}
