//! `QuorumPeer`: one server as a member of its ensemble, whatever its role.
//!
//! ```text
//!            elected                         elected another
//!           ┌────────▶ Leading ────┐  ┌──── Following, Observing ◀──┐
//!   Looking ┤                      ▼  ▼                              ├─ Looking
//!      ▲    └──────────────────▶  Leaving ◀─────────────────────────┘
//!      └─────────────────────────────┘ everything logged is durable, the tree has all of it
//! ```
//!
//! What always holds:
//! * A transition consumes the old role: nothing of it goes on behind the new one's back
//!   (ZOOKEEPER-4712, C-221).
//! * Nobody looks for a leader, or leads, before the disk has reported everything it was asked for,
//!   and the tree equals the log (ZOOKEEPER-2845, C-221): no more and no less.
//! * When a role that served clients ends, all their connections do.

mod describe;
mod leaving;

use std::collections::BTreeMap;

use self::leaving::Leaving;
use super::effect::{ClientEffect, Effects, Input};
use super::election::{self, Elected, FastLeaderElection};
use super::leader::Leader;
use super::learner::Learner;
use super::member::{Member, Outcome, Turn};
use super::standalone::Standalone;
use crate::proto::membership::LearnerType;
use crate::proto::{Notification, ServerState, Sid, Vote};
use crate::time::Instant;
use crate::tree::Database;

/// The peer core: no sockets, files, clock, randomness, locks or `async`.
#[derive(Debug)]
pub struct QuorumPeer(Kind);

#[derive(Debug)]
enum Kind {
    Alone(Box<Standalone>),
    Member(Box<Member>, Role),
}

/// What a member is at the moment.
#[derive(Debug)]
enum Role {
    /// It waits until its disk and its tree are where its log is.
    Leaving(Box<Leaving>),
    /// It looks for a leader.
    Looking(Box<FastLeaderElection>),
    /// It leads, or is about to.
    Leading(Box<Leader>),
    /// It follows or observes, or is about to.
    Learning(Box<Learner>),
}

/// A learner that comes while this server looks for a leader is kept waiting so long: whoever has
/// voted for it knows a little earlier that it leads.
const EARLY_MS: u64 = 400;
const DOES_NOT_LEAD: &str = "this server does not lead";

impl QuorumPeer {
    /// A server that is alone.
    pub fn standalone(role: Standalone) -> Self {
        QuorumPeer(Kind::Alone(Box::new(role)))
    }

    /// A member of an ensemble, over a database that has everything it has logged. It looks for a
    /// leader with its first step.
    pub fn member(member: Member) -> Self {
        QuorumPeer(Kind::Member(Box::new(member), Role::Leaving(Box::default())))
    }

    /// Takes one input; what is to be done is appended to `effects`.
    pub fn step(&mut self, now: Instant, input: Input, db: &Database, effects: &mut Effects) {
        match &mut self.0 {
            Kind::Alone(standalone) => standalone.step(now, input, db, effects),
            Kind::Member(member, role) => {
                let mut turn = Turn { now, db, member, effects };
                step_member(&mut turn, role, input);
                if !turn.member.early.is_empty() {
                    attend_early_links(&mut turn, role);
                }
            }
        }
    }

    /// Requests that were taken and are not finished yet.
    pub fn in_process(&self) -> usize {
        match &self.0 {
            Kind::Alone(standalone) => standalone.in_process(),
            Kind::Member(_, Role::Leading(leader)) => leader.in_process(),
            Kind::Member(_, Role::Learning(learner)) => learner.in_process(),
            Kind::Member(_, Role::Leaving(_) | Role::Looking(_)) => 0,
        }
    }

    /// How many change records prep has made so far, and how many of them have retired.
    pub fn change_records(&self) -> (u64, u64) {
        match &self.0 {
            Kind::Alone(standalone) => standalone.change_records(),
            Kind::Member(_, Role::Leading(leader)) => leader.change_records(),
            Kind::Member(..) => (0, 0),
        }
    }

    /// When the peer wants a [`Input::Tick`], on the monotonic clock in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let (deadline, early) = match &self.0 {
            Kind::Alone(standalone) => return standalone.next_deadline(),
            Kind::Member(member, Role::Leaving(leaving)) => {
                (leaving.next_deadline(member), member.early.next_deadline())
            }
            Kind::Member(member, Role::Looking(election)) => {
                (Some(election.next_deadline()), member.early.next_deadline())
            }
            Kind::Member(_, Role::Leading(leader)) => return leader.next_deadline(),
            Kind::Member(_, Role::Learning(learner)) => return learner.next_deadline(),
        };
        [deadline, early].into_iter().flatten().min()
    }

    /// What it does, as its votes tell; `None` for a server that is alone.
    pub fn state(&self) -> Option<ServerState> {
        match &self.0 {
            Kind::Alone(_) => None,
            Kind::Member(_, role) => Some(role.state()),
        }
    }

    /// What it keeps from role to role, if it is a member.
    pub fn as_member(&self) -> Option<&Member> {
        match &self.0 {
            Kind::Alone(_) => None,
            Kind::Member(member, _) => Some(member),
        }
    }
}

impl Role {
    fn state(&self) -> ServerState {
        match self {
            Role::Leaving(_) | Role::Looking(_) => ServerState::Looking,
            Role::Leading(_) => ServerState::Leading,
            Role::Learning(learner) => match learner.kind() {
                LearnerType::Participant => ServerState::Following,
                LearnerType::Observer => ServerState::Observing,
            },
        }
    }
}

fn step_member(turn: &mut Turn<'_>, role: &mut Role, input: Input) {
    match &input {
        Input::Persisted(ticket) => turn.member.tickets.persisted(*ticket),
        Input::Mesh { peer, up: true } => {
            turn.member.reaches(*peer);
        }
        Input::Mesh { peer, up: false } => {
            turn.member.connected.remove(peer);
            turn.member.lately.forget(*peer);
        }
        Input::LinkOpened(link) if link.is_accepted() && !matches!(role, Role::Leading(_)) => {
            let until_ms = turn.now.mono_ms.saturating_add(EARLY_MS);
            let may_lead = !matches!(role, Role::Learning(_)) && turn.member.is_voter();
            if !may_lead || !turn.member.early.keep(*link, until_ms) {
                turn.close(*link, DOES_NOT_LEAD);
            }
            return;
        }
        Input::LinkClosed { link, .. } => turn.member.early.forget(*link),
        _ => {}
    }
    let input = match input {
        Input::Packet { link, packet } if turn.member.early.has(link) => {
            if !turn.member.early.hear(link, packet) {
                turn.member.early.forget(link);
                turn.close(link, DOES_NOT_LEAD);
            }
            return;
        }
        input => input,
    };
    match role {
        Role::Leaving(leaving) => {
            leaving.take(turn, input);
            if leaving.is_done(turn) {
                let Leaving { successor, heard, .. } = std::mem::take(&mut **leaving);
                look(turn, role, successor, heard);
            }
        }
        Role::Looking(election) => {
            let elected = match input {
                Input::Notified { from, notification } => {
                    election.notified(turn, from, notification)
                }
                Input::Mesh { .. } => election.mesh_changed(turn),
                _ => election.tick(turn),
            };
            if let Some(elected) = elected {
                begin(turn, role, elected);
            }
        }
        Role::Leading(_) | Role::Learning(_) => {
            if let Input::Notified { from, notification } = &input {
                if turn.member.configs.is_member(*from) {
                    turn.member.lately.hear(turn.now.mono_ms, *from, notification);
                }
                let round = turn.member.vote.1;
                let vain = match role {
                    Role::Learning(learner) => learner
                        .is_let_down(*from, notification, round)
                        .then_some("the server that was elected supports another"),
                    Role::Leading(leader) => leader
                        .is_forsaken(turn, *from, notification)
                        .then_some("those who elected this server support another"),
                    Role::Leaving(_) | Role::Looking(_) => unreachable!("matched above"),
                };
                match vain {
                    Some(why) => leave(turn, role, why, None),
                    None => election::answer(turn, role.state(), *from, notification),
                }
                return;
            }
            let outcome = match role {
                Role::Leading(leader) => leader.step(turn, input),
                Role::Learning(learner) => learner.step(turn, input),
                Role::Leaving(_) | Role::Looking(_) => unreachable!("matched above"),
            };
            if let Outcome::Leave { why, successor } = outcome {
                leave(turn, role, &why, successor);
            }
        }
    }
}

/// Gives the links that have waited to the leader that this server has become, or ends those that
/// wait in vain.
fn attend_early_links(turn: &mut Turn<'_>, role: &mut Role) {
    let in_vain = match role {
        Role::Leading(_) => {
            for input in turn.member.early.inputs() {
                step_member(turn, role, input);
            }
            return;
        }
        Role::Learning(_) => turn.member.early.take(),
        Role::Leaving(_) | Role::Looking(_) => turn.member.early.overdue(turn.now.mono_ms),
    };
    for link in in_vain {
        turn.close(link, DOES_NOT_LEAD);
    }
}

/// Ends the role. Its successor begins when disk and tree are where the log is.
fn leave(turn: &mut Turn<'_>, role: &mut Role, why: &str, successor: Option<Vote>) {
    let state = role.state();
    tracing::info!(?state, why, "looking for a leader again");
    let old = std::mem::replace(role, Role::Leaving(Box::default()));
    let (served, unapplied) = match old {
        Role::Leading(leader) => (leader.serves(), leader.leave(turn)),
        Role::Learning(learner) => (learner.serves(), learner.leave(turn, why)),
        Role::Leaving(_) | Role::Looking(_) => unreachable!("only a role with a leader is left"),
    };
    if served {
        turn.effects.client.push(ClientEffect::StopServing);
    }
    let waits = state == ServerState::Observing && successor.is_none();
    // So that not all observers come at once, neither to those who vote nor to their leader.
    let options = &turn.member.options;
    let delays = [options.observer_election_delay_ms, options.observer_reconnect_delay_ms];
    let below = |most_ms| if waits && most_ms > 0 { turn.member.random_below(most_ms) } else { 0 };
    let wait_ms = delays.map(below).into_iter().fold(0, u64::saturating_add);
    let not_before = turn.now.mono_ms.saturating_add(wait_ms);
    // Who has noticed before this server that the leader is gone has told its vote already.
    let within_ms = turn.member.options.min_notification_ms;
    let heard = turn.member.lately.take(turn.now.mono_ms, within_ms);
    let mut leaving = Leaving { unapplied, successor, not_before, heard };
    leaving.go_on(turn);
    *role = Role::Leaving(Box::new(leaving));
}

/// Looks for a leader, with what was heard meanwhile, unless one is designated.
fn look(
    turn: &mut Turn<'_>,
    role: &mut Role,
    successor: Option<Vote>,
    heard: BTreeMap<Sid, Notification>,
) {
    // Who may have forgotten what it acknowledged leads nobody, whoever asks for that.
    let me = turn.member.me;
    let may_begin = |vote: &Vote| vote.leader != me || turn.member.is_voter();
    if let Some(vote) = successor.filter(may_begin) {
        let round = turn.member.round;
        let backers = turn.member.configs.voters().into_iter().collect();
        begin(turn, role, Elected { vote, round, backers });
        return;
    }
    let mut election = FastLeaderElection::new(turn);
    let mut elected = None;
    for (from, notification) in heard {
        elected = elected.or_else(|| election.notified(turn, from, notification));
    }
    *role = Role::Looking(Box::new(election));
    if let Some(elected) = elected {
        begin(turn, role, elected);
    }
}

/// Takes up the role that an election has given.
fn begin(turn: &mut Turn<'_>, role: &mut Role, elected: Elected) {
    let Elected { vote, round, backers } = elected;
    turn.member.vote = (vote, round);
    let me = turn.member.me;
    if vote.leader == me && !turn.member.unlogged {
        *role = Role::Leading(Box::new(Leader::new(turn, backers)));
        return;
    }
    let kind = match turn.member.may_vote {
        true => turn.member.learner_type(),
        false => LearnerType::Observer,
    };
    if turn.member.unlogged && kind == LearnerType::Participant {
        // It goes back to what its disk has, and asks once more.
        turn.member.database_is_current = false;
        let mut leaving = Leaving::default();
        leaving.go_on(turn);
        *role = Role::Leaving(Box::new(leaving));
        return;
    }
    *role = Role::Learning(Box::new(Learner::new(turn, vote.leader, kind)));
}

#[cfg(test)]
mod tests;
