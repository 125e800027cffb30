//! `Leaving`: between two roles, until disk and tree are where the log is.
//!
//! The disk reports everything it was asked for; then what was logged and not applied is applied, or
//! the tree is restored, if the files below it were changed. Nobody is served meanwhile, and nobody
//! looks for a leader with less, or more, than it has (ZOOKEEPER-2845, C-221).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::proto::{Notification, Sid, Vote, Zxid};
use crate::quorum::effect::{ClientEffect, Input};
use crate::quorum::member::{Member, Turn};

/// Between two roles.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Logged, and not applied.
    pub(super) unapplied: Vec<(Zxid, Bytes)>,
    /// Who leads next, if that is known.
    pub(super) successor: Option<Vote>,
    /// An observer waits until then, so that not all of them come at once.
    pub(super) not_before: u64,
    /// The last word of each member meanwhile. Strangers are many, and ask again.
    pub(super) heard: BTreeMap<Sid, Notification>,
}

impl Leaving {
    pub(super) fn take(&mut self, turn: &mut Turn<'_>, input: Input) {
        match input {
            Input::Notified { from, notification } if turn.member.configs.is_member(from) => {
                self.heard.insert(from, notification);
            }
            Input::Reloaded(restored) => turn.member.reloaded(restored),
            // What the old role still hears of its links, its clients and its disk.
            _ => {}
        }
        self.go_on(turn);
    }

    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>) {
        if turn.member.reloading || !turn.member.tickets.is_drained() {
            return;
        }
        if turn.member.unlogged && turn.member.configs.is_voter(turn.member.me) {
            // A vote is given for what is on the disk.
            turn.member.database_is_current = false;
        }
        if !turn.member.database_is_current {
            // The log has everything, also what was not applied.
            self.unapplied.clear();
            turn.reload();
            return;
        }
        for (zxid, txn) in self.unapplied.drain(..) {
            // What the role knew to be committed is there already.
            if zxid > turn.member.committed.max() {
                turn.member.committed.push(zxid, txn.clone());
            }
            turn.effects.client.push(ClientEffect::CatchUp { zxid, txn });
        }
    }

    pub(super) fn is_done(&self, turn: &Turn<'_>) -> bool {
        let member = &*turn.member;
        member.tickets.is_drained()
            && member.database_is_current
            && !member.reloading
            && self.unapplied.is_empty()
            && turn.db.last_processed() >= member.committed.max()
            && turn.now.mono_ms >= self.not_before
    }

    pub(super) fn next_deadline(&self, member: &Member) -> Option<u64> {
        let waits_for_disk = !member.tickets.is_drained() || member.reloading;
        (!waits_for_disk).then_some(self.not_before)
    }
}
