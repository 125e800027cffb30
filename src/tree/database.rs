//! `Database`: what every server of an ensemble agrees on, at one zxid.
//!
//! The tree, the sessions, and how far the history was applied. It changes through [`apply`]
//! alone, which restart, synchronization and broadcast share.
//!
//! [`apply`]: Database::apply

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::apply::{Applied, PartApplied};
use super::data_tree::{DataTree, TreeOptions};
use super::observer::Observer;
use crate::proto::txns::{DIGEST_VERSION, Txn, TxnRecord};
use crate::proto::{SessionId, Zxid};

/// Every so many zxids the digest is noted …
const DIGEST_LOG_INTERVAL: u64 = 128;
/// … and so many notes are kept.
const DIGEST_LOG_LIMIT: usize = 1024;

/// Where comparing digests begins for a tree that does not say where it ends: when it serves.
const ONCE_SERVING: Zxid = Zxid(u64::MAX);

/// Tree, sessions, zxid.
pub struct Database {
    /// The znodes.
    pub tree: DataTree,
    /// Global sessions and their timeouts in milliseconds.
    sessions: HashMap<SessionId, i32, FixedState>,
    last_processed: Zxid,
    serving: bool,
    generation: u64,
    /// Digests of transactions before this one are not compared.
    compare_from: Zxid,
    digest_mismatches: u64,
    /// The digest after every 128th zxid, oldest first.
    digest_log: VecDeque<(Zxid, u64)>,
}

impl Database {
    /// An empty history.
    pub fn new(options: TreeOptions) -> Self {
        Database::with_tree(DataTree::new(options), Zxid::ZERO)
    }

    pub(super) fn with_tree(tree: DataTree, last_processed: Zxid) -> Self {
        let state = FixedState::with_seed(tree.options.hash_seed);
        Database {
            tree,
            sessions: HashMap::with_hasher(state),
            last_processed,
            serving: false,
            generation: 0,
            compare_from: Zxid::ZERO,
            digest_mismatches: 0,
            digest_log: VecDeque::new(),
        }
    }

    /// Applies the next transaction. It may not fit the tree (see the module); the zxid moves all
    /// the same, after all its parts (ZOOKEEPER-3127).
    pub fn apply(&mut self, record: &TxnRecord<'_>, observer: &mut impl Observer) -> Applied {
        let header = &record.header;
        let applied = match &record.txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.client_id, *timeout_ms);
                Applied::Done
            }
            Txn::CloseSession { paths } => {
                let session = header.client_id;
                let zxid = header.zxid;
                let rest = self.tree.apply_close_session(session, paths.as_ref(), zxid, observer);
                if rest > 0 {
                    tracing::warn!(%session, %zxid, rest, "closeSession did not list all ephemerals");
                }
                self.sessions.remove(&session);
                Applied::Done
            }
            Txn::Multi(multi) => Applied::Multi(self.tree.apply_multi(header, multi, observer)),
            Txn::Create(_)
            | Txn::Delete { .. }
            | Txn::SetData { .. }
            | Txn::SetAcl { .. }
            | Txn::Check { .. }
            | Txn::Error { .. } => match self.tree.apply_part(header, &record.txn, observer) {
                PartApplied::Done => Applied::Done,
                PartApplied::Stat(stat) => Applied::Stat(stat),
                PartApplied::Error(err) => Applied::Error(err),
            },
        };
        self.last_processed = self.last_processed.max(header.zxid);
        self.compare_digest(record);
        self.log_digest(header.zxid);
        applied
    }

    /// Makes room in the index for that many more nodes, before a long replay: an estimate.
    pub fn reserve(&mut self, nodes: usize) {
        self.tree.index.reserve(nodes);
    }

    /// The last transaction that was applied.
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// The global sessions and their timeouts in milliseconds, in no particular order.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions.iter().map(|(&id, &timeout_ms)| (id, timeout_ms))
    }

    /// How many global sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// A global session's timeout in milliseconds, or `None` if there is no such session.
    pub fn session_timeout(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).copied()
    }

    pub(super) fn add_session(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.insert(id, timeout_ms);
    }

    /// Whether clients may read here. A new or restored database does not serve.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// Clients may read from now on.
    pub fn start_serving(&mut self) {
        assert!(!self.serving, "a server that serves does not begin to");
        self.serving = true;
        self.compare_digests_now();
    }

    /// A role is left: clients may not read any more, and whoever was given a session under this
    /// generation never again.
    pub fn stop_serving(&mut self) {
        assert!(self.serving, "a server that does not serve does not cease to");
        self.serving = false;
        self.generation += 1;
    }

    /// Which stretch of serving this is: it changes when a role is left or the tree is replaced, so
    /// that a read can tell that what it was promised about is gone. A standalone server has one.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Puts another history in this one's place, under a new generation, and gives the old one: to
    /// drop a large tree takes long. Snapshots being taken of it end without completing.
    pub fn replace(&mut self, other: Database) -> Database {
        let old = std::mem::replace(self, other);
        self.serving = old.serving;
        self.generation = old.generation + 1;
        self.digest_mismatches += old.digest_mismatches;
        if self.serving {
            self.compare_digests_now();
        }
        old
    }

    /// Replaces the history by an empty one with the same options.
    pub fn take(&mut self) -> Database {
        let empty = Database::new(self.tree.options);
        self.replace(empty)
    }

    /// How many nodes have an ACL that their snapshot named but did not contain, and that no
    /// transaction has replaced since: they refuse everyone, and whoever replayed the log must not
    /// serve. `DataTree::missing_acl` names one.
    pub fn missing_acls(&self) -> usize {
        self.tree.missing_acls()
    }

    /// Compares only the digests of transactions from `zxid` on: while a fuzzy snapshot catches
    /// up, its tree holds effects of later transactions.
    pub fn compare_digests_from(&mut self, zxid: Zxid) {
        self.compare_from = zxid;
    }

    /// The same for a snapshot that does not say where it ends, as what Apache ZooKeeper sends its
    /// learners: digests are compared once clients are served. The leader lets a learner serve when
    /// it has all that was committed while the tree was sent.
    pub fn compare_digests_once_serving(&mut self) {
        self.compare_from = ONCE_SERVING;
    }

    fn compare_digests_now(&mut self) {
        if self.compare_from == ONCE_SERVING {
            self.compare_from = self.last_processed.next();
        }
    }

    /// How often the tree's digest was not the one its leader had.
    pub fn digest_mismatches(&self) -> u64 {
        self.digest_mismatches
    }

    /// The tree's digests at the last zxids that are multiples of 128, oldest first (`hash`), so
    /// that servers can be compared. Empty where digests are off.
    pub fn digest_log(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.digest_log.iter().copied()
    }

    fn log_digest(&mut self, zxid: Zxid) {
        let is_due = zxid.0.is_multiple_of(DIGEST_LOG_INTERVAL);
        // A fuzzy tree's digest is nobody else's.
        if !is_due || !self.tree.options.digest_enabled || zxid < self.compare_from {
            return;
        }
        if self.digest_log.len() == DIGEST_LOG_LIMIT {
            self.digest_log.pop_front();
        }
        self.digest_log.push_back((zxid, self.tree.digest()));
    }

    /// A mismatch is counted, never fatal (C-248). One difference stays in every later sum, so
    /// only the first is worth a line.
    fn compare_digest(&mut self, record: &TxnRecord<'_>) {
        let Some(expected) = record.digest else { return };
        if !self.tree.options.digest_enabled
            || expected.version != DIGEST_VERSION
            || record.header.zxid < self.compare_from
            || expected.tree_digest == self.tree.digest()
        {
            return;
        }
        self.digest_mismatches += 1;
        if self.digest_mismatches == 1 {
            tracing::error!(
                zxid = %record.header.zxid,
                expected = expected.tree_digest,
                actual = self.tree.digest(),
                "the tree differs from its leader's; further mismatches are only counted"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::proto::txns::TxnDigest;

    #[test]
    fn sessions_come_and_go_with_their_transactions() {
        let mut database = Database::new(options());
        database.apply(&record(1, 5, Txn::CreateSession { timeout_ms: 100 }), &mut ());
        database.apply(&record(2, 5, Txn::CreateSession { timeout_ms: 200 }), &mut ());
        database.apply(&record(3, 6, Txn::CreateSession { timeout_ms: 300 }), &mut ());
        assert_eq!(database.session_timeout(SessionId(5)), Some(200));
        database.apply(&record(4, 5, close(None)), &mut ());
        database.apply(&record(5, 5, close(None)), &mut ());
        assert_eq!(database.sessions().collect::<Vec<_>>(), [(SessionId(6), 300)]);
        assert_eq!(database.last_processed(), Zxid(5));
    }

    #[test]
    fn a_wrong_digest_is_counted_from_the_zxid_on_at_which_comparing_starts() {
        let mut database = Database::new(options());
        database.compare_digests_from(Zxid(3));
        let right = database.tree.digest();
        let mut mismatches = |zxid, version, tree_digest| {
            let digest = Some(TxnDigest { version, tree_digest });
            let txn = Txn::Error { err: -101 };
            database.apply(&TxnRecord { digest, ..record(zxid, 1, txn) }, &mut ());
            database.digest_mismatches()
        };
        assert_eq!(mismatches(2, 2, right + 1), 0);
        assert_eq!(mismatches(3, 2, right), 0);
        assert_eq!(mismatches(4, 1, right + 1), 0);
        assert_eq!(mismatches(5, 2, right + 1), 1);
        assert_eq!(mismatches(6, 2, right + 1), 2);
    }

    #[test]
    fn a_tree_that_may_be_ahead_is_compared_once_it_serves() {
        let mut database = Database::new(options());
        database.compare_digests_once_serving();
        let wrong = Some(TxnDigest { version: 2, tree_digest: database.tree.digest() + 1 });
        let mismatches = |database: &mut Database, zxid| {
            let txn = Txn::Error { err: -101 };
            database.apply(&TxnRecord { digest: wrong, ..record(zxid, 1, txn) }, &mut ());
            database.digest_mismatches()
        };
        assert_eq!(mismatches(&mut database, 128), 0);
        assert_eq!(database.digest_log().count(), 0, "it is nobody else's");
        database.start_serving();
        assert_eq!(mismatches(&mut database, 129), 1);
        database.stop_serving();
        database.start_serving();
        assert_eq!(mismatches(&mut database, 130), 2);
    }

    #[test]
    fn every_128th_digest_is_kept_of_the_last_1024() {
        let mut database = Database::new(options());
        for zxid in 1..=128 * 1026 {
            database.apply(&record(zxid, 1, Txn::Error { err: -1 }), &mut ());
        }
        let digest = database.tree.digest();
        let log: Vec<_> = database.digest_log().collect();
        assert_eq!(log.len(), 1024);
        assert_eq!((log[0], log[1023]), ((Zxid(128 * 3), digest), (Zxid(128 * 1026), digest)));
    }

    #[test]
    fn without_digests_nothing_is_summed_or_compared() {
        let mut database = Database::new(TreeOptions { digest_enabled: false, ..options() });
        let digest = Some(TxnDigest { version: 2, tree_digest: 1 });
        let txn = create("/a", PERSISTENT, 1);
        database.apply(&TxnRecord { digest, ..record(1, 1, txn) }, &mut ());
        assert_eq!((database.tree.digest(), database.digest_mismatches()), (0, 0));
    }

    #[test]
    fn a_replaced_database_has_another_generation() {
        let mut database = Database::new(options());
        assert_eq!((database.generation(), database.is_serving()), (0, false));
        database.start_serving();
        assert_eq!((database.generation(), database.is_serving()), (0, true));
        database.stop_serving();
        assert_eq!((database.generation(), database.is_serving()), (1, false));
        let mut other = Database::new(options());
        other.apply(&record(9, 1, Txn::Error { err: -1 }), &mut ());
        database.replace(other);
        assert_eq!((database.generation(), database.last_processed()), (2, Zxid(9)));
        assert_eq!(database.take().last_processed(), Zxid(9));
        assert_eq!((database.generation(), database.last_processed()), (3, Zxid(0)));
    }
}
