//! The last word of each voter, by which an election counts.
//!
//! One word is kept for each server, the last one it said: whoever has gone on to follow somebody
//! does not vote for anybody else any more, and whoever looks for a leader does not follow one. So
//! votes of different moments are never added up (ZOOKEEPER-1514, ZOOKEEPER-1732).

use std::collections::BTreeMap;

use crate::proto::{Notification, ServerState, Sid, Vote};

/// What a notification says for the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// What the server does.
    pub(super) state: ServerState,
    /// The vote it gives, or has given.
    pub(super) vote: Vote,
    /// In which round.
    pub(super) round: i64,
    /// The form of the notification: 0 for those of before 3.5.
    pub(super) version: i32,
}

/// The last word of each.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<Sid, Word>);

impl Word {
    /// What `n` says.
    pub(super) fn of(n: &Notification) -> Self {
        Word { state: n.state, vote: n.vote, round: n.round, version: n.version }
    }

    fn is_looking(&self) -> bool {
        self.state == ServerState::Looking
    }

    /// Everything equal: how a vote is counted as long as either side is still looking.
    fn is_vote(&self, vote: &Vote, round: i64) -> bool {
        self.vote == *vote && self.round == round
    }
}

impl Votes {
    /// A voter's last word.
    pub(super) fn record(&mut self, from: Sid, word: Word) {
        self.0.insert(from, word);
    }

    /// The server says nothing that counts any more.
    pub(super) fn forget(&mut self, from: Sid) {
        self.0.remove(&from);
    }

    /// Whether `sid` gives this vote in this round.
    pub(super) fn agrees(&self, sid: Sid, vote: &Vote, round: i64) -> bool {
        self.0.get(&sid).is_some_and(|word| word.is_vote(vote, round))
    }

    /// Whether `sid`, by what it says in the round of `word`, supports the leader that `word`
    /// follows. Followers of one round learn the new epoch at different moments, so only the leader
    /// counts among them; servers of before 3.5 must name the same epoch, too.
    pub(super) fn supports_in_round(&self, sid: Sid, word: &Word) -> bool {
        let Some(other) = self.0.get(&sid).filter(|other| other.round == word.round) else {
            return false;
        };
        if other.is_looking() {
            return other.is_vote(&word.vote, word.round);
        }
        other.vote.leader == word.vote.leader
            && (word.version > 0 || other.vote.peer_epoch == word.vote.peer_epoch)
    }

    /// Whether `sid` follows, or is, the leader that `word` follows, whatever the round. The epoch
    /// must be the same, unless one of the two is of before 3.5 and the other is not.
    pub(super) fn follows(&self, sid: Sid, word: &Word) -> bool {
        let Some(other) = self.0.get(&sid).filter(|other| !other.is_looking()) else {
            return false;
        };
        let mixed = (other.version > 0) != (word.version > 0);
        other.vote.leader == word.vote.leader
            && (mixed || other.vote.peer_epoch == word.vote.peer_epoch)
    }

    /// Whether anybody follows, or leads.
    pub(super) fn anybody_settled(&self) -> bool {
        self.0.values().any(|word| !word.is_looking())
    }

    /// Whether `sid` says itself that it leads, and in which round it was elected.
    pub(super) fn leads(&self, sid: Sid) -> Option<i64> {
        let word = self.0.get(&sid)?;
        (word.state == ServerState::Leading && word.vote.leader == sid).then_some(word.round)
    }
}
