//! The chain of transactions: each has one predecessor, whoever logs it.
//!
//! A leader's history is fixed before it proposes, and there is one leader to an epoch, so a zxid
//! determines its transaction and everything in front of it (Raft calls it log matching). Where two
//! logs disagree on that, `prefix_consistency` is violated. Uncommitted transactions hang off the
//! committed ones as side branches:
//!
//! ```text
//!  root ── 1:1 ── 1:2 ── 1:3 ─────── 3:1 ── 3:2        committed
//!                          ├── 1:4 ── 1:5               lost with the leader of epoch 1
//!                          └── 2:1                      lost with that of epoch 2
//! ```

use zkserver::proto::{Epoch, Sid, Zxid};

use super::server_log::ServerLog;
use super::{At, Map, prefix_consistency, violation};
use crate::history::{Event, History, How, Micros, ServerEvent, TxnHash, Violation};

/// A transaction's place in the chain.
pub type Place = u32;

/// The place in front of every transaction.
pub const ROOT: Place = 0;

/// A transaction that somebody has logged.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its zxid.
    pub zxid: Zxid,
    /// What it is.
    pub txn: TxnHash,
    /// Its predecessor.
    pub previous: Place,
    /// How many are in front of it.
    pub depth: u32,
    /// Who logged it first.
    pub by: Sid,
    /// When.
    pub at: Micros,
}

/// A committed transaction.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// Its place.
    pub place: Place,
    /// Who first knew that it is committed.
    pub by: Sid,
    /// When.
    pub at: Micros,
}

/// All transactions of a run.
pub struct Chain {
    entries: Vec<Entry>,
    places: Map<Zxid, Place>,
    /// By depth; the root is the first.
    committed: Vec<Committed>,
    /// The first disagreement.
    pub conflict: Option<Violation>,
}

impl Chain {
    /// Reads all logs of a history.
    pub fn new(history: &History) -> Self {
        let nobody = Sid(0);
        let root = Entry {
            zxid: Zxid::ZERO,
            txn: TxnHash(0),
            previous: ROOT,
            depth: 0,
            by: nobody,
            at: 0,
        };
        let mut chain = Chain {
            entries: vec![root],
            places: Map::default(),
            committed: vec![Committed { place: ROOT, by: nobody, at: 0 }],
            conflict: None,
        };
        chain.places.insert(Zxid::ZERO, ROOT);
        let mut logs: Map<Sid, ServerLog> = Map::default();
        for (at, event) in &history.events {
            let Event::Server(sid, event) = event else { continue };
            let log = logs.entry(*sid).or_default();
            let before = log.top();
            log.take(event);
            let judged = match event {
                ServerEvent::LogRequested { zxid, txn } => {
                    chain.log(*zxid, *txn, before, *sid, *at)
                }
                ServerEvent::Committed { zxid, .. }
                | ServerEvent::Applied { zxid, how: How::Commit, .. } => {
                    chain.commit(*zxid, *sid, *at)
                }
                // A quorum has acknowledged the leader's history: from now on it is everybody's.
                // What it has proposed since, before that was seen, is not part of it.
                ServerEvent::Established(epoch) => chain.commit(log.before(*epoch), *sid, *at),
                ServerEvent::Started { last_zxid, .. } if before.epoch() == Epoch(0) => {
                    chain.forget(*last_zxid, before);
                    // What it finds on its disk it serves: it is its own quorum.
                    chain.commit(*last_zxid, *sid, *at)
                }
                _ => Ok(()),
            };
            if let Err(conflict) = judged {
                chain.conflict.get_or_insert(conflict);
            }
        }
        chain
    }

    /// Where a transaction stands.
    pub fn place(&self, zxid: Zxid) -> Option<Place> {
        self.places.get(&zxid).copied()
    }

    /// What stands there.
    pub fn entry(&self, place: Place) -> &Entry {
        &self.entries[place as usize]
    }

    /// The committed transactions in order, without the root.
    pub fn committed(&self) -> &[Committed] {
        &self.committed[1..]
    }

    /// The last committed transaction.
    pub fn tip(&self) -> Zxid {
        self.committed.last().map_or(Zxid::ZERO, |last| self.entry(last.place).zxid)
    }

    /// When a transaction was first known to be committed, if it ever was.
    pub fn commit_of(&self, zxid: Zxid) -> Option<&Committed> {
        let place = self.place(zxid)?;
        let committed = self.committed.get(self.entry(place).depth as usize)?;
        (committed.place == place).then_some(committed)
    }

    /// Whether the history that ends with `last` has `zxid` in it.
    pub fn contains(&self, last: Zxid, zxid: Zxid) -> bool {
        let (Some(mut place), Some(wanted)) = (self.at_or_before(last), self.place(zxid)) else {
            return false;
        };
        let depth = self.entry(wanted).depth;
        // Along the committed stretch nothing needs to be walked.
        while self.entry(place).depth > depth {
            let entry = self.entry(place);
            if self.committed.get(entry.depth as usize).is_some_and(|held| held.place == place) {
                return self.committed[depth as usize].place == wanted;
            }
            place = entry.previous;
        }
        place == wanted
    }

    /// The place of a history's end. An epoch's first zxid is no transaction; it stands for the last
    /// committed one in front of it.
    pub fn at_or_before(&self, zxid: Zxid) -> Option<Place> {
        if zxid.counter() != 0 || zxid == Zxid::ZERO {
            return self.place(zxid);
        }
        let before = self.committed.partition_point(|held| self.entry(held.place).zxid <= zxid);
        Some(self.committed[before - 1].place)
    }

    fn log(
        &mut self,
        zxid: Zxid,
        txn: TxnHash,
        before: Zxid,
        by: Sid,
        at: Micros,
    ) -> Result<(), Violation> {
        let previous = self.at_or_before(before).unwrap_or(ROOT);
        let Some(place) = self.place(zxid) else {
            let depth = self.entry(previous).depth + 1;
            self.places.insert(zxid, self.entries.len() as Place);
            self.entries.push(Entry { zxid, txn, previous, depth, by, at });
            return Ok(());
        };
        let known = self.entry(place);
        let first = format_args!("{} logged it first at {}", known.by, At(known.at)).to_string();
        if known.txn != txn {
            return Err(violation(
                prefix_consistency::NAME,
                at,
                format_args!("{by} logs another transaction {zxid} than others have; {first}"),
            ));
        }
        if known.previous != previous {
            return Err(violation(
                prefix_consistency::NAME,
                at,
                format_args!(
                    "{by} logs {zxid} behind {before}, others behind {}; {first}",
                    self.entry(known.previous).zxid
                ),
            ));
        }
        Ok(())
    }

    /// A server that is alone has lost what is behind `last`, up to `top`, and makes these zxids
    /// again: in epoch 0 there is no leader whose epoch would tell them apart. What was committed
    /// of it was not to be lost, and stays.
    fn forget(&mut self, last: Zxid, top: Zxid) {
        for counter in last.0 + 1..=top.0 {
            if self.commit_of(Zxid(counter)).is_none() {
                self.places.remove(&Zxid(counter));
            }
        }
    }

    fn commit(&mut self, zxid: Zxid, by: Sid, at: Micros) -> Result<(), Violation> {
        let Some(place) = self.at_or_before(zxid) else {
            return Err(violation(
                prefix_consistency::NAME,
                at,
                format_args!("{by} commits {zxid}, which nobody has logged"),
            ));
        };
        let mut behind = Vec::new();
        let mut at_place = place;
        while self.entry(at_place).depth as usize >= self.committed.len() {
            behind.push(at_place);
            at_place = self.entry(at_place).previous;
        }
        let known = self.committed[self.entry(at_place).depth as usize];
        if known.place != at_place {
            return Err(violation(
                prefix_consistency::NAME,
                at,
                format_args!(
                    "{by} commits {zxid} by way of {}, but {} was committed in its place by {} at {}",
                    self.entry(at_place).zxid,
                    self.entry(known.place).zxid,
                    known.by,
                    At(known.at)
                ),
            ));
        }
        let behind = behind.into_iter().rev().map(|place| Committed { place, by, at });
        self.committed.extend(behind);
        Ok(())
    }
}
