//! `History`: the transactions of one leader on their way through this server.
//!
//! ```text
//! arrives ─▶ logged ─▶ durable (─▶ ACK) ─┐
//!        └─▶ committed ──────────────────┴─▶ let go to the clients, in order
//! ```
//!
//! What always holds:
//! * Each transaction follows the one before; an exact repetition is ignored.
//! * Nothing is let go that is not committed, and nothing that is not durable here. An observer
//!   that does not log is the exception: there everything counts as durable.
//! * A committed transaction enters the committed log when it is given to the own log, not before:
//!   what is in it will be in the tree, whatever becomes of the role.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::received::Received;
use crate::processor::commit::{CommitProcessor, Committed};
use crate::processor::proposal::{NewSession, Proposal, Refusal, Resumption};
use crate::processor::request::Origin;
use crate::proto::{Epoch, ErrorCode, QuorumVerifier, SessionId, Zxid};
use crate::quorum::durable::{Durable, Pending};
use crate::quorum::effect::ClientEffect;
use crate::quorum::member::Turn;

/// What a transaction that waits costs beside its bytes.
const TXN_BYTES: usize = 128;

/// What there is between a leader and the tree.
#[derive(Debug)]
pub(super) struct History {
    epoch: Epoch,
    /// Whether it goes to the disk.
    logs: bool,
    /// The last transaction that arrived.
    last: Zxid,
    /// Arrived and not committed, in order.
    uncommitted: VecDeque<Received>,
    /// Bytes that arrived and were not given to the log.
    unlogged_bytes: usize,
    /// Those that arrived a second time: their COMMIT may do so, too.
    repeated: BTreeSet<Zxid>,
    /// On their way to the disk.
    pending: VecDeque<Pending<Zxid>>,
    /// Logged and not let go.
    unapplied: VecDeque<(Zxid, Bytes)>,
    durable: Zxid,
    committed: Zxid,
    commit: CommitProcessor<Zxid>,
    /// Configurations in force, by the transactions that brought them.
    activations: VecDeque<(Zxid, Arc<QuorumVerifier>)>,
}

/// Who waits for a transaction here.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    pub(super) origin: Option<Origin>,
    pub(super) new_session: Option<NewSession>,
}

impl History {
    /// The continuation of what the member has, under the leader of `epoch`.
    pub(super) fn new(turn: &Turn<'_>, epoch: Epoch, logs: bool) -> Self {
        let last = turn.member.last_logged;
        History {
            epoch,
            logs,
            last,
            uncommitted: VecDeque::new(),
            unlogged_bytes: 0,
            repeated: BTreeSet::new(),
            pending: VecDeque::new(),
            unapplied: VecDeque::new(),
            durable: last,
            committed: last,
            commit: CommitProcessor::new(last),
            activations: VecDeque::new(),
        }
    }

    /// Whether it goes to the disk.
    pub(super) fn logs(&self) -> bool {
        self.logs
    }

    /// A transaction arrives. `None` if it is here already.
    ///
    /// # Errors
    /// What does not follow what is here: a hole, another transaction in the place of one, an epoch
    /// that is not the leader's, or bytes that are no transaction (C-233, ZOOKEEPER-4925).
    pub(super) fn arrives(
        &mut self,
        turn: &Turn<'_>,
        zxid: Zxid,
        txn: Bytes,
    ) -> Result<Option<&Received>, String> {
        let last = self.last;
        if zxid <= last {
            if !self.has(turn, zxid, &txn) {
                return Err(format!("expected a transaction after {last}, got another {zxid}"));
            }
            self.repeated.insert(zxid);
            return Ok(None);
        }
        // No transaction has the counter 0, so the first of a later epoch has 1.
        let follows = zxid == last.next() && zxid.counter() != 0;
        let begins = zxid.epoch() > last.epoch() && zxid.counter() == 1;
        if !(follows || begins) {
            return Err(format!("expected the transaction after {last}, got {zxid}"));
        }
        if zxid.epoch() > self.epoch {
            return Err(format!("expected an epoch of at most {}, got {zxid}", self.epoch));
        }
        let received = Received::read(zxid, txn)?;
        self.last = zxid;
        self.unlogged_bytes += TXN_BYTES + received.txn.len();
        self.uncommitted.push_back(received);
        Ok(self.uncommitted.back())
    }

    /// The leader has committed `zxid`: it must be the oldest that is not. `None` if it was
    /// committed before, and came a second time.
    ///
    /// # Errors
    /// Any other.
    pub(super) fn committed(&mut self, zxid: Zxid) -> Result<Option<Received>, String> {
        if self.uncommitted.front().is_some_and(|oldest| oldest.zxid == zxid) {
            return Ok(self.uncommitted.pop_front());
        }
        if self.repeated.remove(&zxid) {
            return Ok(None);
        }
        Err(match self.uncommitted.front() {
            Some(oldest) => format!("expected a COMMIT of {}, got one of {zxid}", oldest.zxid),
            None => format!("expected no COMMIT, got one of {zxid}"),
        })
    }

    /// The last transaction that was committed and given to the log.
    pub(super) fn last_committed(&self) -> Zxid {
        self.committed
    }

    /// What arrived and is not committed.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = &Received> {
        self.uncommitted.iter()
    }

    /// How many bytes arrived and were not given to the log.
    pub(super) fn unlogged_bytes(&self) -> usize {
        self.unlogged_bytes
    }

    /// Gives a transaction that arrived to the log.
    pub(super) fn log(&mut self, turn: &mut Turn<'_>, zxid: Zxid, txn: Bytes) {
        self.unlogged_bytes -= TXN_BYTES + txn.len();
        if self.logs {
            self.pending.push_back(turn.log(zxid, txn.clone()));
        } else {
            turn.member.last_logged = zxid;
            turn.member.unlogged = true;
            self.durable = zxid;
        }
        self.unapplied.push_back((zxid, txn));
    }

    /// A transaction that was logged may go to the clients once it is durable; `waiter` is
    /// answered then.
    pub(super) fn let_commit(&mut self, turn: &mut Turn<'_>, received: Received, waiter: Waiter) {
        let Received { zxid, txn, session, .. } = received;
        turn.member.committed.push(zxid, txn.clone());
        self.committed = zxid;
        let Waiter { origin, new_session } = waiter;
        self.commit.propose(zxid, Proposal { zxid, txn, session, origin, new_session });
    }

    /// The configuration that `zxid` brought is in force: mesh, ports and tree follow it when that
    /// is applied.
    pub(super) fn activates(&mut self, zxid: Zxid, config: Arc<QuorumVerifier>) {
        self.activations.push_back((zxid, config));
    }

    /// The next transaction that has become durable, in order.
    pub(super) fn next_durable(&mut self, turn: &Turn<'_>) -> Option<Durable<Zxid>> {
        let durable = turn.member.tickets.redeem(self.pending.front()?)?;
        self.pending.pop_front();
        self.durable = durable.what();
        Some(durable)
    }

    /// Whether everything that was logged is durable.
    pub(super) fn is_durable(&self) -> bool {
        self.pending.is_empty()
    }

    /// Hands the history to the next phase, and leaves nothing behind.
    pub(super) fn take(&mut self) -> History {
        let rest = History {
            epoch: self.epoch,
            logs: self.logs,
            last: self.last,
            uncommitted: VecDeque::new(),
            unlogged_bytes: 0,
            repeated: BTreeSet::new(),
            pending: VecDeque::new(),
            unapplied: VecDeque::new(),
            durable: self.durable,
            committed: self.committed,
            commit: CommitProcessor::new(self.committed),
            activations: VecDeque::new(),
        };
        std::mem::replace(self, rest)
    }

    /// Answers a sync behind everything that is committed.
    pub(super) fn answer_sync(&mut self, origin: Origin, body: Bytes) {
        self.commit.sync(self.committed, origin, body);
    }

    /// Answers a throttled request behind everything that is committed.
    pub(super) fn answer_throttled(&mut self, origin: Origin) {
        self.commit.throttled(self.committed, origin);
    }

    /// Answers a request that failed without a transaction behind everything that is committed.
    pub(super) fn answer_error(&mut self, origin: Origin, error: ErrorCode) {
        self.commit.fail(self.committed, origin, error);
    }

    /// Ends a session that only this server knows behind everything that is committed.
    pub(super) fn end_local_session(&mut self, session: SessionId, origin: Option<Origin>) {
        self.commit.end_local_session(self.committed, session, origin);
    }

    /// Resumes a session behind everything that is committed.
    pub(super) fn resume(&mut self, resumption: Resumption) {
        self.commit.resume(self.committed, resumption);
    }

    /// Refuses a session behind everything that is committed.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.commit.refuse(self.committed, refusal);
    }

    /// Lets go what is committed and durable.
    pub(super) fn let_go(&mut self, turn: &mut Turn<'_>) {
        self.commit.is_safe(self.committed.min(self.durable));
        while let Some(committed) = self.commit.pop() {
            let applied = match &committed {
                Committed::Txn(proposal) => Some(proposal.zxid),
                _ => None,
            };
            turn.effects.client.push(committed.into());
            let Some(zxid) = applied else { continue };
            let oldest = self.unapplied.pop_front().map(|(zxid, _)| zxid);
            assert_eq!(oldest, Some(zxid), "what is let go was logged, in that order");
            if self.activations.front().is_some_and(|(at, _)| *at == zxid)
                && let Some((_, config)) = self.activations.pop_front()
            {
                turn.effects.client.push(ClientEffect::ActivateConfig(config));
            }
        }
    }

    /// How many things wait to be let go.
    pub(super) fn waiting(&self) -> usize {
        self.commit.len()
    }

    /// What was logged and not let go, in order. A configuration that it brought, and that is in
    /// force, does not wait for it.
    pub(super) fn unapplied(self, turn: &mut Turn<'_>) -> Vec<(Zxid, Bytes)> {
        let activations = self.activations.into_iter();
        let effects = activations.map(|(_, config)| ClientEffect::ActivateConfig(config));
        turn.effects.client.extend(effects);
        self.unapplied.into()
    }

    /// Whether that very transaction is here, as far back as the committed log goes.
    fn has(&self, turn: &Turn<'_>, zxid: Zxid, txn: &Bytes) -> bool {
        let at = self.uncommitted.partition_point(|received| received.zxid < zxid);
        match self.uncommitted.get(at) {
            Some(received) if received.zxid == zxid => received.txn == *txn,
            _ => {
                let committed = &turn.member.committed;
                let here = committed.after(Zxid(zxid.0.saturating_sub(1))).next();
                here.is_some_and(|(at, bytes)| *at == zxid && bytes == txn)
            }
        }
    }
}
