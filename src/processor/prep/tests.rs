//! Prep's facts: a leader that prepares, and applies when it is told to.

mod checks;
mod digest;
mod multis;
mod pending;
mod quotas;
mod sequence;
mod sessions;
mod sizes;

use std::collections::VecDeque;

use super::*;
use crate::processor::testing::{in_words, prep_options, request, tree_options};
use crate::proto::txns::TxnRecord;
use crate::tree::Applied;

/// A session that nobody knows.
const STRANGER: i64 = 99;

/// A tree, two sessions 1 and 2, and what was prepared but not applied.
struct Leader {
    db: Database,
    sessions: SessionTracker,
    prep: PrepRequestProcessor,
    proposals: VecDeque<Proposal>,
    now: Instant,
}

impl Leader {
    fn new() -> Self {
        Leader::with(prep_options())
    }

    fn with(options: PrepOptions) -> Self {
        let db = Database::new(tree_options());
        let now = Instant { mono_ms: 0, wall_ms: 1_000_000 };
        let mut sessions = SessionTracker::new(1000, 1, 0);
        for id in [1, 2] {
            sessions.track(SessionId(id), 10_000, now);
        }
        let prep = PrepRequestProcessor::new(options, &db);
        Leader { db, sessions, prep, proposals: VecDeque::new(), now }
    }

    /// Prepares a request of session 1 and tells the transaction in words.
    fn prepare(&mut self, op: OpCode, body: Vec<u8>) -> String {
        self.prepare_for(1, op, body)
    }

    fn prepare_for(&mut self, session: i64, op: OpCode, body: Vec<u8>) -> String {
        self.now.wall_ms += 1;
        let request = request(session, op, body);
        let proposal = self.prep.prepare(self.now, &request, &self.db, &self.sessions);
        let words = in_words(&proposal.txn);
        self.proposals.push_back(proposal);
        words
    }

    /// Prepares a request and returns the code it fails with, 0 if it does not.
    fn code(&mut self, session: i64, op: OpCode, body: Vec<u8>) -> i32 {
        let words = self.prepare_for(session, op, body);
        words.strip_prefix("error ").map_or(0, |code| code.parse().expect("a code"))
    }

    /// Prepares what must succeed.
    fn given(&mut self, op: OpCode, body: Vec<u8>) {
        let words = self.prepare(op, body);
        assert!(!words.contains("error"), "{words}");
    }

    /// Applies the oldest proposal; its change records do not retire yet. What prep let through
    /// fits the tree, and leaves it with the digest that prep foretold.
    fn apply_next(&mut self) -> Option<Zxid> {
        let proposal = self.proposals.pop_front()?;
        let record = TxnRecord::read(&proposal.txn, usize::MAX).expect("a transaction");
        let applied = self.db.apply(&record, &mut ());
        let refused = matches!(record.txn, Txn::Error { .. });
        assert_eq!(matches!(applied, Applied::Error(_)), refused, "{}", in_words(&proposal.txn));
        match record.digest {
            Some(digest) => {
                let words = in_words(&proposal.txn);
                assert_eq!(digest.tree_digest, self.db.tree.digest(), "after {words}");
            }
            None => assert!(refused || !self.prep.options.digest_enabled),
        }
        Some(proposal.zxid)
    }

    /// Applies everything, and all change records retire.
    fn apply_all(&mut self) {
        while let Some(zxid) = self.apply_next() {
            self.prep.retire(zxid);
        }
        assert_eq!(self.prep.outstanding(), 0, "everything was applied");
    }

    fn pending(&self, path: &str) -> Option<PendingNode> {
        self.prep.node(path.as_bytes(), &self.db)
    }
}

#[test]
fn the_version_after_minus_two_is_zero() {
    assert_eq!(check_version(i32::MAX, -1), Ok(i32::MIN));
    assert_eq!(check_version(-2, -2), Ok(0));
    assert_eq!(check_version(3, -2), Err(ErrorCode::BadVersion));
    assert_eq!(check_version(3, 3), Ok(4));
}
