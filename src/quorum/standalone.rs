//! `Standalone`: the role of a server that is alone, a quorum of one.
//!
//! Its chain is Prep → Sync → Commit → Final. A transaction is committed when the own disk has
//! reported it, in the order it was proposed. It owns the sessions: it hands their ids out,
//! decides who may resume one, and ends those that are silent for too long.

use super::effect::{ClientEffect, DiskEffect, Effects, Input};
use super::request_chain::{RequestChain, Taken};
use crate::processor::commit::CommitProcessor;
use crate::processor::container_manager::ContainerOptions;
use crate::processor::prep::PrepOptions;
use crate::processor::proposal::{Proposal, Refusal};
use crate::processor::sync::SyncRequestProcessor;
use crate::proto::Ticket;
use crate::session::SessionTracker;
use crate::time::Instant;
use crate::tree::Database;

/// The role's state: the road to a proposal, and from there to the client.
#[derive(Debug)]
pub struct Standalone {
    chain: RequestChain,
    lane: Lane,
}

/// What happens to proposals.
#[derive(Debug)]
struct Lane {
    sync: SyncRequestProcessor,
    commit: CommitProcessor<Ticket>,
    /// The last one given out.
    ticket: Ticket,
}

impl Standalone {
    /// The role over a restored database. Every session in it gets its full timeout from `now` on.
    pub fn new(
        now: Instant,
        prep: PrepOptions,
        sync: SyncRequestProcessor,
        sessions: SessionTracker,
        containers: ContainerOptions,
        db: &Database,
    ) -> Self {
        let ticket = Ticket::default();
        Standalone {
            chain: RequestChain::new(now, prep, sessions, containers, db),
            lane: Lane { sync, commit: CommitProcessor::new(ticket), ticket },
        }
    }

    /// Takes one input.
    pub fn step(&mut self, now: Instant, input: Input, db: &Database, effects: &mut Effects) {
        let Standalone { chain, lane } = self;
        match input {
            Input::Submitted(submissions) => {
                for submission in submissions {
                    match chain.submitted(now, submission, db) {
                        Taken::Propose(proposal) => lane.propose(proposal, effects),
                        Taken::Sync(origin, body) => lane.commit.sync(lane.ticket, origin, body),
                        Taken::Throttled(origin) => lane.commit.throttled(lane.ticket, origin),
                        Taken::Resume(resumption) => lane.commit.resume(lane.ticket, resumption),
                        Taken::Upgrade(_) | Taken::Fail(..) | Taken::EndLocalSession(..) => {
                            unreachable!("a server that is alone has no local sessions")
                        }
                        Taken::Refuse(Refusal { connection, session, had_read_only }) => {
                            let refuse =
                                ClientEffect::Refuse { connection, session, had_read_only };
                            effects.client.push(refuse);
                        }
                        Taken::Drop(connection, reason) => {
                            effects.client.push(ClientEffect::Drop(connection, reason));
                        }
                    }
                    effects.client.extend(chain.quota_refusals());
                }
            }
            Input::Persisted(ticket) => lane.commit.is_safe(ticket),
            Input::Applied(zxid) => chain.prep.retire(zxid),
            Input::Tick => {}
            Input::ListSessions { after, most, to } => {
                let page = chain.sessions.page(after, most);
                effects.client.push(ClientEffect::SessionsListed { page, to });
            }
            Input::Stop => {}
            Input::Notified { .. }
            | Input::Mesh { .. }
            | Input::LinkOpened(_)
            | Input::Packet { .. }
            | Input::LinkClosed { .. }
            | Input::SnapshotArrived(_)
            | Input::BytesMoved(_)
            | Input::LogSurveyed { .. }
            | Input::Reloaded(_) => unreachable!("a server that is alone has no peers"),
        }
        chain.due(now, db, |proposal| lane.propose(proposal, effects));
        lane.let_go(effects);
    }

    /// Requests that were taken and are not let go yet.
    pub fn in_process(&self) -> usize {
        self.lane.commit.len()
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        self.chain.change_records()
    }

    /// When the next session may have to end.
    pub fn next_deadline(&self) -> Option<u64> {
        self.chain.next_deadline()
    }
}

impl Lane {
    fn propose(&mut self, proposal: Proposal, effects: &mut Effects) {
        self.ticket = self.ticket.next();
        let snapshot = self.sync.process(proposal.txn.len());
        effects.disk.push(DiskEffect::Append {
            ticket: self.ticket,
            zxid: proposal.zxid,
            txn: proposal.txn.clone(),
        });
        if snapshot {
            effects.disk.push(DiskEffect::RollAndSnapshot);
        }
        self.commit.propose(self.ticket, proposal);
    }

    fn let_go(&mut self, effects: &mut Effects) {
        while let Some(committed) = self.commit.pop() {
            effects.client.push(committed.into());
        }
    }
}

#[cfg(test)]
mod tests;
