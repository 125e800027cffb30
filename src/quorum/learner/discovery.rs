//! Discovery: the leader hears who we are, and we promise not to follow an older epoch than its.

use super::choosing::Choosing;
use super::connecting::{Connecting, Retries};
use super::words::unexpected;
use super::{About, Event, Next, Phase, acknowledgements};
use crate::proto::membership::LearnerType;
use crate::proto::quorum_packet::{LearnerInfo, PROTOCOL_VERSION};
use crate::proto::{Epoch, LinkId, QuorumPacket};
use crate::quorum::durable::Pending;
use crate::quorum::member::Turn;

/// The phase.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) link: LinkId,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// FOLLOWERINFO or OBSERVERINFO is sent; LEADERINFO is awaited.
    AwaitsLeaderInfo(Retries),
    /// `acceptedEpoch` is on its way to the disk; ACKEPOCH waits for it.
    Promises(Pending<Epoch>),
}

impl Discovery {
    /// The link is there: introduces this server.
    pub(super) fn begin(
        turn: &mut Turn<'_>,
        about: About,
        link: LinkId,
        retries: Retries,
    ) -> Phase {
        let member = &*turn.member;
        let info = LearnerInfo {
            accepted_epoch: member.accepted_epoch,
            sid: Some(member.me),
            protocol_version: PROTOCOL_VERSION,
            config_version: member.configs.current.version,
        };
        turn.send(
            link,
            match about.kind {
                LearnerType::Participant => QuorumPacket::FollowerInfo(info),
                LearnerType::Observer => QuorumPacket::ObserverInfo(info),
            },
        );
        Phase::Discovery(Discovery { link, step: Step::AwaitsLeaderInfo(retries) })
    }

    pub(super) fn step(&mut self, turn: &mut Turn<'_>, about: About, event: Event) -> Next {
        match (event, &self.step) {
            (Event::Packet(packet), Step::AwaitsLeaderInfo(_)) => {
                self.leader_info(turn, about, packet)
            }
            (Event::Packet(packet), Step::Promises(_)) => {
                Err(unexpected("nothing before ACKEPOCH", &packet))
            }
            (Event::Persisted, Step::Promises(pending)) => {
                let pending = *pending;
                let Some(promised) = turn.member.tickets.redeem(&pending) else { return Ok(None) };
                let ack = acknowledgements::epoch(promised, turn.member);
                turn.send(self.link, ack);
                Ok(Some(Choosing::begin(self.link, promised.what())))
            }
            (Event::Closed(why), Step::AwaitsLeaderInfo(retries)) => {
                Connecting::again(turn, about, *retries, &why)
            }
            (Event::Closed(why), Step::Promises(_)) => {
                Err(format!("the link to the leader ended: {why}").into())
            }
            _ => Ok(None),
        }
    }

    fn leader_info(&mut self, turn: &mut Turn<'_>, about: About, packet: QuorumPacket) -> Next {
        let QuorumPacket::LeaderInfo { epoch, protocol_version } = packet else {
            return Err(unexpected("LEADERINFO", &packet));
        };
        if protocol_version < PROTOCOL_VERSION {
            let words = format!("expected protocol 0x10000, got 0x{protocol_version:x}");
            return Err(words.into());
        }
        // A promise cannot be taken back: beyond this there is no epoch that Apache could follow.
        if epoch > Epoch::LAST {
            let words = format!("expected an epoch of at most {}, got {epoch}", Epoch::LAST);
            return Err(words.into());
        }
        let accepted = turn.member.accepted_epoch;
        // Nobody counts on what an observer has promised. One that came to a leader whose epoch never
        // stood could else follow nobody before an epoch behind that (it is not taken back, though).
        let is_observer = about.kind == LearnerType::Observer;
        let member = &*turn.member;
        let goes_back = epoch < member.current_epoch.max(member.last_logged.epoch());
        if epoch < accepted && (!is_observer || goes_back) {
            let words =
                format!("expected an epoch of at least {accepted}, which is promised, got {epoch}");
            return Err(words.into());
        }
        if epoch <= accepted {
            let ack = acknowledgements::epoch_again(turn.member);
            turn.send(self.link, ack);
            return Ok(Some(Choosing::begin(self.link, epoch)));
        }
        self.step = Step::Promises(turn.accept_epoch(epoch));
        Ok(None)
    }
}
