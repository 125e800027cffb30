//! `FastLeaderElection`: how servers that look for a leader agree on one.
//!
//! ```text
//!            tells everybody its vote                  a quorum gives the same vote
//!   begins ─────────────────────────▶ proposes ───────────────────────────────▶ settles
//!                                      ▲    │ ▲                                  │   │
//!            a better vote, or a later │    │ └──────────── a better vote ───────┘   │ nothing better
//!            round: tells everybody    └────┘                                        ▼ comes
//!                                           └─── a quorum follows a leader ───▶   Elected
//! ```
//!
//! The rules of voting:
//! * A vote names a server with its claim: the epoch it was last synchronized in, and the last zxid
//!   it has *logged*. Of two votes the better one has the higher (epoch, zxid, id), so what a quorum
//!   has acknowledged is known to whoever wins.
//! * Votes are counted within a round (the logical clock). Who hears of a later round joins it and
//!   forgets what it counted; who hears an earlier one answers with its own vote.
//! * Only voters of the relevant configurations are heard, and only votes for such. The vote must
//!   have a quorum in every relevant configuration.
//! * A server of weight 0 is never better (C-227), a vote with zxid -1 does not count (C-226).
//! * Who finds a quorum that follows a leader, and hears of that leader itself that it leads, joins
//!   it, and disturbs nobody (C-225).
//! * A server without a vote, or one that may have forgotten what it acknowledged, gives none: it
//!   never supports anybody, and waits until a quorum of the others follows a leader.
//!
//! An election can only cost time. Whatever it ends with, a leader must still win a quorum in
//! discovery; no rule here is needed for safety but that a vote tells the truth about its server.
//!
//! Beyond Apache ZooKeeper's rules, with messages that are the same:
//! * *Settling ends early* once every voter with a live connection gives the same vote, if there was
//!   a connection with each of the others before: they are gone, and not about to come.
//! * *Only who can be reached is better*: a vote for a server to which there is no connection waits
//!   until there is one. Apache ZooKeeper elects whom a single server can hear, over and over, when
//!   the others cannot reach it (C-236).
//! * *Who follows needs less than who leads*: a quorum of the configuration in force or of the one seen
//!   last; for leading, of both. One that was proposed and lost would else keep a server out for ever.
//! * *Nobody knows better than oneself what one has logged*: a vote for this server with another
//!   claim than its own is out of date, and never supported.
//! * The own vote is counted at once, without being sent to oneself.

mod notifications;
mod votes;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::notifications::answer;
use self::notifications::{newer_config, notify};
use self::votes::{Votes, Word};
use super::effect::LinkEffect;
use super::member::{Member, Turn};
use crate::proto::membership::LearnerType;
use crate::proto::{Notification, QuorumVerifier, ServerState, Sid, Vote};

/// An election under way.
#[derive(Debug)]
pub struct FastLeaderElection {
    /// The vote for oneself, or for nobody.
    own: Vote,
    /// Whether it supports anybody.
    votes: bool,
    /// The best vote that was heard in this round; while there is none, and from a server without a
    /// vote for ever, the own one.
    proposal: Vote,
    heard: Votes,
    /// Who had a live connection when it was last looked.
    reached: BTreeSet<Sid>,
    /// When the quorum that has formed need not wait for better votes any longer.
    settled_at: Option<u64>,
    ask_again_at: u64,
    ask_again_after_ms: u64,
}

/// How an election ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elected {
    /// The vote it ended with.
    pub vote: Vote,
    /// Its round.
    pub round: i64,
    /// Who gave that vote, or follows its server.
    pub backers: BTreeSet<Sid>,
}

/// Nobody is told when a leader has been found. Who has no part in finding it, or knows that others
/// have found it, asks at least this often.
const LISTENER_ASKS_AFTER_MS: u64 = 2_000;

impl FastLeaderElection {
    /// Begins a new round: tells everybody the own vote. If that decides already (no other voter is
    /// needed, or there), the next tick, due at once, ends the election.
    pub fn new(turn: &mut Turn<'_>) -> Self {
        // No honest ensemble gets to the last round there is. One that was told of it stays there:
        // to refuse it would part those who believe it from those who do not.
        turn.member.round = turn.member.round.saturating_add(1);
        let own = own_vote(turn.member);
        let mut election = FastLeaderElection {
            own,
            votes: may_support(turn.member),
            proposal: own,
            heard: Votes::default(),
            reached: turn.member.connected.clone(),
            settled_at: None,
            ask_again_at: u64::MAX,
            ask_again_after_ms: 0,
        };
        election.propose(turn, own);
        election.ask_soon(turn);
        election.connect(turn);
        if election.count(turn).is_some() {
            election.settled_at = Some(turn.now.mono_ms);
        }
        election
    }

    /// A notification came.
    pub fn notified(&mut self, turn: &mut Turn<'_>, from: Sid, n: Notification) -> Option<Elected> {
        if from == turn.member.me {
            return None;
        }
        if let Some(config) = newer_config(turn.member, &n) {
            self.adopt(turn, config);
        }
        if !turn.member.configs.is_voter(from) {
            // An observer, or a server that wants to join. One of a later round would answer an
            // answer, as it must to a voter, and so on for ever.
            if n.state == ServerState::Looking && n.round <= turn.member.round {
                self.tell(turn, from);
            }
            return None;
        }
        if self.votes && n.state == ServerState::Looking && n.round < turn.member.round {
            self.tell(turn, from);
        }
        let word = Word::of(&n);
        if !turn.member.configs.is_voter(word.vote.leader) {
            self.heard.forget(from);
            return None;
        }
        match word.state {
            ServerState::Looking => self.hear_looking(turn, from, word),
            ServerState::Following | ServerState::Leading => self.hear_settled(turn, from, word),
            ServerState::Observing => {
                self.heard.forget(from);
                None
            }
        }
    }

    /// A connection of the mesh came up or went down ([`Member::connected`] knows already). Who is
    /// new hears what we propose.
    pub fn mesh_changed(&mut self, turn: &mut Turn<'_>) -> Option<Elected> {
        let before = std::mem::replace(&mut self.reached, turn.member.connected.clone());
        for sid in turn.member.configs.voters() {
            if self.reached.contains(&sid) && !before.contains(&sid) {
                self.tell(turn, sid);
            }
        }
        self.ask_soon(turn);
        self.count(turn)
    }

    /// A deadline may have passed.
    pub fn tick(&mut self, turn: &mut Turn<'_>) -> Option<Elected> {
        let elected = self.count(turn);
        if elected.is_none() && turn.now.mono_ms >= self.ask_again_at {
            self.tell_all(turn);
            self.connect(turn);
            let most_ms = self.most_wait_ms(turn.member);
            self.ask_again_after_ms = self.ask_again_after_ms.saturating_mul(2).min(most_ms);
            self.ask_again_at = turn.now.mono_ms.saturating_add(self.ask_again_after_ms);
        }
        elected
    }

    /// When it wants a tick, on the monotonic clock in milliseconds.
    pub fn next_deadline(&self) -> u64 {
        self.settled_at.map_or(self.ask_again_at, |settled_at| settled_at.min(self.ask_again_at))
    }

    /// A configuration is in force that this server has missed. If it is another one, and not only a
    /// newer version of the same, the election begins again with it.
    fn adopt(&mut self, turn: &mut Turn<'_>, config: QuorumVerifier) {
        let differs = !config.has_same_members(&turn.member.configs.current);
        tracing::info!(
            version = config.version,
            differs,
            "another server has a newer configuration"
        );
        turn.activate_config(Arc::new(config));
        if differs {
            *self = FastLeaderElection::new(turn);
        }
    }

    /// A voter looks for a leader, too.
    fn hear_looking(&mut self, turn: &mut Turn<'_>, from: Sid, word: Word) -> Option<Elected> {
        if !self.votes || word.vote.zxid == -1 {
            self.heard.forget(from);
            return None;
        }
        self.heard.record(from, word);
        if word.round > turn.member.round {
            turn.member.round = word.round;
            let better = self.is_better(turn.member, from, &word.vote, &self.own);
            self.propose(turn, if better { word.vote } else { self.own });
        } else if word.round == turn.member.round
            && self.is_better(turn.member, from, &word.vote, &self.proposal)
        {
            self.propose(turn, word.vote);
        }
        self.count(turn)
    }

    /// A voter follows, or leads.
    fn hear_settled(&mut self, turn: &mut Turn<'_>, from: Sid, word: Word) -> Option<Elected> {
        self.heard.record(from, word);
        let configs = &turn.member.configs;
        let leader = word.vote.leader;
        let led_since = self.heard.leads(leader);
        let mine = leader == turn.member.me && self.may_lead_by(turn.member, &word);
        // Who leads itself needs every quorum; another one that leads finds out for itself whether it
        // may, by the histories of those who join.
        let is_quorum = |supports: &dyn Fn(Sid) -> bool| match mine {
            true => configs.contains_quorum(supports),
            false => configs.contains_any_quorum(supports),
        };
        let in_round = word.round == turn.member.round
            && (mine || led_since == Some(word.round))
            && is_quorum(&|sid| self.heard.supports_in_round(sid, &word));
        let in_any_round =
            (mine || led_since.is_some()) && is_quorum(&|sid| self.heard.follows(sid, &word));
        if !in_round && !in_any_round {
            self.ask_within(turn, LISTENER_ASKS_AFTER_MS);
            return self.count(turn);
        }
        turn.member.round = word.round;
        let backs = |sid: &Sid| {
            self.heard.supports_in_round(*sid, &word) || self.heard.follows(*sid, &word)
        };
        let backers = turn.member.configs.voters().into_iter().filter(backs).collect();
        Some(Elected { vote: word.vote, round: word.round, backers })
    }

    /// Others follow this server: it leads if it is in the round in which they elected it, and has
    /// what they elected it for. It may have been started again since.
    fn may_lead_by(&self, member: &Member, word: &Word) -> bool {
        self.votes
            && self.own.leader == member.me
            && word.round == member.round
            && word.vote.zxid == self.own.zxid
    }

    /// Ends the election if a quorum gives the proposed vote and nothing better can be expected.
    fn count(&mut self, turn: &Turn<'_>) -> Option<Elected> {
        let member = &*turn.member;
        let round = member.round;
        let agrees = |sid| self.heard.agrees(sid, &self.proposal, round);
        if !member.configs.contains_quorum(agrees) {
            self.settled_at = None;
            return None;
        }
        let latest = turn.now.mono_ms.saturating_add(member.options.finalize_wait_ms);
        let settled_at = *self.settled_at.get_or_insert(latest);
        let voters = member.configs.voters();
        let is_waited_for = |sid: &Sid| match member.connected.contains(sid) {
            true => !agrees(*sid),
            false => *sid != member.me && !member.met.contains(sid),
        };
        if turn.now.mono_ms < settled_at && voters.iter().any(is_waited_for) {
            return None;
        }
        let backers = voters.into_iter().filter(|sid| agrees(*sid)).collect();
        Some(Elected { vote: self.proposal, round, backers })
    }

    /// The order of votes. `than` is one that this server could support.
    fn is_better(&self, member: &Member, from: Sid, vote: &Vote, than: &Vote) -> bool {
        let claim = |vote: &Vote| (vote.peer_epoch, vote.zxid, vote.leader);
        let leader = vote.leader;
        let trusted = if leader == member.me {
            *vote == self.own
        } else {
            leader == from || member.connected.contains(&leader)
        };
        trusted && member.configs.current.weight(leader) != 0 && claim(vote) > claim(than)
    }

    /// Gives that vote, in the member's round.
    fn propose(&mut self, turn: &mut Turn<'_>, vote: Vote) {
        tracing::debug!(?vote, round = turn.member.round, "votes");
        self.proposal = vote;
        self.settled_at = None;
        if self.votes && vote.leader != Sid::NOBODY {
            let (state, round) = (ServerState::Looking, turn.member.round);
            self.heard.record(
                turn.member.me,
                Word { state, vote, round, version: Notification::VERSION },
            );
        }
        self.tell_all(turn);
    }

    fn tell_all(&self, turn: &mut Turn<'_>) {
        for sid in turn.member.configs.voters() {
            if sid != turn.member.me {
                self.tell(turn, sid);
            }
        }
    }

    /// The vote as it stands. Whoever is told while we are looking hears what we propose in this
    /// round, never the vote of the last election under the number of this one (ZOOKEEPER-1818).
    fn tell(&self, turn: &mut Turn<'_>, to: Sid) {
        notify(turn, to, ServerState::Looking, self.proposal, turn.member.round);
    }

    /// Begins the back-off anew.
    fn ask_soon(&mut self, turn: &Turn<'_>) {
        self.ask_again_after_ms = turn.member.options.min_notification_ms.max(1);
        self.ask_within(turn, self.ask_again_after_ms);
    }

    /// What is due earlier stays so: news must not keep anybody from asking.
    fn ask_within(&mut self, turn: &Turn<'_>, ms: u64) {
        self.ask_again_at = self.ask_again_at.min(turn.now.mono_ms.saturating_add(ms));
    }

    /// Has the mesh try all whom it does not reach, side by side (ZOOKEEPER-2164).
    fn connect(&self, turn: &mut Turn<'_>) {
        let member = &*turn.member;
        let is_reached = |sid: &Sid| *sid == member.me || member.connected.contains(sid);
        if !member.configs.voters().iter().all(is_reached) {
            turn.effects.links.push(LinkEffect::ConnectMesh);
        }
    }

    /// The longest time between two questions.
    fn most_wait_ms(&self, member: &Member) -> u64 {
        let most_ms = member.options.max_notification_ms.max(1);
        let listens = !self.votes || self.heard.anybody_settled();
        if listens { most_ms.min(LISTENER_ASKS_AFTER_MS) } else { most_ms }
    }
}

/// Whether a server gives votes that count. One that gets its vote with the proposed configuration
/// supports others already, since they need it; itself it stands for election with the one in force.
fn may_support(member: &Member) -> bool {
    member.may_vote && member.has_data && member.configs.is_voter(member.me)
}

/// The vote with which a server begins: for itself, if it may be elected.
fn own_vote(member: &Member) -> Vote {
    let zxid = if member.has_data { member.last_logged.to_long() } else { -1 };
    let peer_epoch = i64::from(member.current_epoch.0);
    if member.is_voter() {
        return Vote { leader: member.me, zxid, peer_epoch };
    }
    let leader = Sid::NOBODY;
    if !member.may_vote || member.learner_type() == LearnerType::Observer {
        return Vote { leader, zxid: i64::MIN, peer_epoch: i64::MIN };
    }
    Vote { leader, zxid, peer_epoch }
}

#[cfg(test)]
mod tests;
