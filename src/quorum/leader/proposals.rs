//! `Proposals`: what this leader has proposed and not let go yet.
//!
//! ```text
//!   let go │ committed, not durable here │ outstanding            │ next zxid
//! ─────────┼─────────────────────────────┼────────────────────────┼──────────▶
//!          │ in the committed log        │ waits for its quorums  │
//! ```
//!
//! What always holds:
//! * Transactions are committed strictly in the order of their zxids, each when every configuration
//!   attached to it has a quorum of acknowledgements (C-220, C-269).
//! * The own acknowledgement is the report of the own disk, and counts like any other; a quorum of
//!   others may be first.
//! * A transaction stays here until it is both committed and durable here: what a leader logged and
//!   did not apply is exactly this.
//! * A server that comes back may have lost what it acknowledged before: its acknowledgements of
//!   what is not committed yet are forgotten, but for what it still has, and it gives them again.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::proto::{QuorumVerifier, Sid, Zxid};
use crate::quorum::configs::Configs;
use crate::quorum::durable::{Pending, Tickets};

/// The configurations that must accept a proposal.
#[derive(Debug)]
struct Verifiers {
    current: Arc<QuorumVerifier>,
    /// Proposed and not committed when the proposal was made.
    next: Option<Arc<QuorumVerifier>>,
}

impl Verifiers {
    /// Those that are relevant now.
    fn of(configs: &Configs) -> Self {
        Verifiers { current: configs.current.clone(), next: configs.proposed().cloned() }
    }

    /// `config` is in force. From here on no quorum without one of those who know that can be found,
    /// so what is behind needs none of the old members.
    fn enforce(&mut self, config: &Arc<QuorumVerifier>) {
        if let Some(next) = self.next.take_if(|next| next.version == config.version) {
            self.current = next;
        }
    }

    /// Whether those for whom `has` holds are a quorum of each.
    fn contain_quorum(&self, has: impl Fn(Sid) -> bool) -> bool {
        self.current.contains_quorum(&has)
            && self.next.as_ref().is_none_or(|next| next.contains_quorum(&has))
    }
}

/// A transaction on its way.
#[derive(Debug)]
struct Entry {
    zxid: Zxid,
    txn: Bytes,
    pending: Pending<Zxid>,
    proposed_ms: u64,
    verifiers: Verifiers,
    acks: Vec<Sid>,
    /// The configuration that it proposes.
    config: Option<Arc<QuorumVerifier>>,
}

impl Entry {
    fn ack(&mut self, sid: Sid) {
        if !self.acks.contains(&sid) {
            self.acks.push(sid);
        }
    }
}

/// A transaction that has just been committed.
#[derive(Debug)]
pub struct CommittedTxn {
    /// Its id.
    pub zxid: Zxid,
    /// Header, body and digest.
    pub txn: Bytes,
    /// The configuration that it brings into force, and who has acknowledged it.
    pub config: Option<(Arc<QuorumVerifier>, Vec<Sid>)>,
}

/// The transactions on their way, oldest first.
#[derive(Debug)]
pub struct Proposals {
    entries: VecDeque<Entry>,
    /// So many of them, the oldest, are committed …
    committed: usize,
    /// … and so many are durable here.
    durable: usize,
    /// The last that was let go; everything up to it is durable here.
    let_go: Zxid,
    /// The last that was proposed.
    last: Zxid,
}

impl Proposals {
    /// None yet, over a history that ends at `last`, all of which is durable and applied.
    pub fn new(last: Zxid) -> Self {
        Proposals { entries: VecDeque::new(), committed: 0, durable: 0, let_go: last, last }
    }

    /// A transaction was given to the log and to the learners; `config` is what it proposes.
    pub fn propose(
        &mut self,
        (zxid, txn): (Zxid, Bytes),
        pending: Pending<Zxid>,
        configs: &Configs,
        config: Option<Arc<QuorumVerifier>>,
        now_ms: u64,
    ) {
        assert!(zxid > self.last, "{zxid} is proposed after {}", self.last);
        self.last = zxid;
        let (verifiers, acks) = (Verifiers::of(configs), Vec::new());
        let entry = Entry { zxid, txn, pending, proposed_ms: now_ms, verifiers, acks, config };
        self.entries.push_back(entry);
    }

    /// `sid` has `zxid` on its disk.
    pub fn ack(&mut self, sid: Sid, zxid: Zxid) {
        if let Ok(at) = self.entries.binary_search_by_key(&zxid, |entry| entry.zxid) {
            self.entries[at].ack(sid);
        }
    }

    /// `sid` has everything up to `zxid` on its disk.
    pub fn ack_through(&mut self, sid: Sid, zxid: Zxid) {
        for entry in self.entries.iter_mut().take_while(|entry| entry.zxid <= zxid) {
            entry.ack(sid);
        }
    }

    /// Counts what the own disk has reported.
    pub fn own_log(&mut self, me: Sid, tickets: &Tickets) {
        while let Some(entry) = self.entries.get_mut(self.durable)
            && let Some(durable) = tickets.redeem(&entry.pending)
        {
            assert_eq!(durable.what(), entry.zxid, "a ticket belongs to its transaction");
            entry.acks.push(me);
            self.durable += 1;
        }
    }

    /// The next transaction that is committed by now, each once, in order.
    pub fn commit_next(&mut self) -> Option<CommittedTxn> {
        let entry = self.entries.get(self.committed)?;
        if !entry.verifiers.contain_quorum(|sid| entry.acks.contains(&sid)) {
            return None;
        }
        self.committed += 1;
        let config = entry.config.clone().map(|config| (config, entry.acks.clone()));
        let committed = CommittedTxn { zxid: entry.zxid, txn: entry.txn.clone(), config };
        if let Some((config, _)) = &committed.config {
            // Those who were removed may be gone: nothing waits for them any more.
            for behind in self.entries.range_mut(self.committed..) {
                behind.verifiers.enforce(config);
            }
        }
        Some(committed)
    }

    /// Up to where everything is both committed and durable here.
    pub fn safe(&self) -> Zxid {
        match self.committed.min(self.durable) {
            0 => self.let_go,
            n => self.entries[n - 1].zxid,
        }
    }

    /// A transaction goes to apply. Returns the configuration that it brings.
    ///
    /// # Panics
    /// If it is not the oldest, or not safe.
    pub fn let_go(&mut self, zxid: Zxid) -> Option<Arc<QuorumVerifier>> {
        assert!(self.committed > 0 && self.durable > 0, "{zxid} is committed and durable");
        let entry = self.entries.pop_front().expect("what is committed is here");
        assert_eq!(entry.zxid, zxid, "transactions are let go in order");
        self.committed -= 1;
        self.durable -= 1;
        self.let_go = zxid;
        entry.config
    }

    /// The last transaction that went to apply.
    pub fn last_let_go(&self) -> Zxid {
        self.let_go
    }

    /// The last transaction that was proposed, or where the history before ended.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// What is committed and did not go to apply yet.
    pub fn committed(&self) -> impl Iterator<Item = (Zxid, &Bytes)> {
        self.entries.range(..self.committed).map(|entry| (entry.zxid, &entry.txn))
    }

    /// What is not committed yet.
    pub fn outstanding(&self) -> impl Iterator<Item = (Zxid, &Bytes)> {
        self.entries.range(self.committed..).map(|entry| (entry.zxid, &entry.txn))
    }

    /// The configurations in force whose transactions did not go to apply yet.
    pub fn activations(&self) -> impl Iterator<Item = Arc<QuorumVerifier>> + '_ {
        self.entries.range(..self.committed).filter_map(|entry| entry.config.clone())
    }

    /// The transaction `zxid`, if it is one of those that are not committed yet.
    pub fn outstanding_at(&self, zxid: Zxid) -> Option<Zxid> {
        let at = self.entries.binary_search_by_key(&zxid, |entry| entry.zxid).ok()?;
        (at >= self.committed).then_some(zxid)
    }

    /// Forgets what `sid` has acknowledged of what is not committed yet, behind `has` if it has
    /// anything of that.
    pub fn forget(&mut self, sid: Sid, has: Option<Zxid>) {
        for entry in self.entries.range_mut(self.committed..) {
            if has.is_none_or(|has| entry.zxid > has) {
                entry.acks.retain(|other| *other != sid);
            }
        }
    }

    /// When the oldest transaction was proposed that the own disk has not reported.
    pub fn oldest_not_durable_ms(&self) -> Option<u64> {
        self.entries.get(self.durable).map(|entry| entry.proposed_ms)
    }

    /// How many of the transactions from `zxid` on `sid` has acknowledged without a gap.
    pub fn acknowledged_from(&self, sid: Sid, zxid: Zxid) -> usize {
        let behind = self.entries.iter().filter(|entry| entry.zxid >= zxid);
        behind.take_while(|entry| entry.acks.contains(&sid)).count()
    }

    /// Everything, in order: logged and not applied.
    pub fn into_unapplied(self) -> Vec<(Zxid, Bytes)> {
        self.entries.into_iter().map(|entry| (entry.zxid, entry.txn)).collect()
    }
}
