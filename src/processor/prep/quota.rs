//! Prep's quotas: what a create or a setData may add to a subtree.
//!
//! The deepest quota above the path is asked. Of each kind the hard limit counts, or else the
//! soft one: past either the operator is told, past a hard one the client is refused too, if
//! `enforceQuota` says so. A setData is judged by what it leaves, so one that takes bytes away
//! may still leave too many.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Judge, PrepRequestProcessor, Refusal};
use crate::processor::pending_usage::Usage;
use crate::proto::{ErrorCode, path};
use crate::tree::StatsTrack;

/// The log speaks of one quota once in so many milliseconds.
const QUIET_MS: u64 = 10_000;
/// The last lines about so many quotas are remembered.
const MOST_REMEMBERED: usize = 1000;

/// A limit that something is past.
struct Excess {
    what: &'static str,
    current: i64,
    hard: bool,
    limit: i64,
}

impl Excess {
    /// The first limit that `current` would be past. What stays as it is is past nothing.
    fn find(limits: &StatsTrack<'_>, current: Usage, added: Usage) -> impl Iterator<Item = Excess> {
        let count = (limits.count_hard_limit(), limits.count);
        let bytes = (limits.byte_hard_limit(), limits.bytes);
        let kinds = [
            ("count", count, current.count, added.count),
            ("bytes", bytes, current.bytes, added.bytes),
        ];
        kinds.into_iter().filter_map(|(what, (hard, soft), current, added)| {
            let limit = if hard > -1 { hard } else { soft };
            let is_past = added != 0 && limit > -1 && current > limit;
            is_past.then_some(Excess { what, current, hard: hard > -1, limit })
        })
    }
}

impl PrepRequestProcessor {
    /// Judges what would be `added` at `path` (C-281).
    pub(super) fn check_quota(
        &mut self,
        judge: &Judge<'_>,
        path: &[u8],
        added: Usage,
    ) -> Result<(), Refusal> {
        let Some(quota) = judge.db.tree.quota_of(path) else { return Ok(()) };
        // A quota half made, or with a text that says nothing, limits nothing (C-284).
        let (Some(limits), Some(stats)) = (quota.limits(), quota.stats()) else { return Ok(()) };
        let pending = self.outstanding.usage(quota.path, judge.db.last_processed());
        let sum = |a: i64, b: i64, c: i64| a.wrapping_add(b).wrapping_add(c);
        let current = Usage {
            count: sum(stats.count, pending.count, added.count),
            bytes: sum(stats.bytes, pending.bytes, added.bytes),
        };
        for excess in Excess::find(&limits, current, added) {
            let refused = excess.hard && self.options.enforce_quota;
            self.quota_excesses.tell(quota.path, &excess, refused, judge);
            if refused {
                self.quota_excesses.refused.push(path::top_namespace(path).into());
                return Err(ErrorCode::QuotaExceeded.into());
            }
        }
        Ok(())
    }

    /// The namespaces of the requests refused since the last time, each as often as it was.
    pub fn take_quota_refusals(&mut self) -> impl Iterator<Item = Box<[u8]>> + '_ {
        self.quota_excesses.refused.drain(..)
    }
}

/// What the operator is to know.
#[derive(Debug)]
pub(super) struct QuotaExcesses {
    /// When each quota may be spoken of again, and how often it was not.
    quiet: HashMap<Box<[u8]>, (u64, u64), FixedState>,
    /// The namespaces of refused requests.
    refused: Vec<Box<[u8]>>,
}

impl QuotaExcesses {
    pub(super) fn new(hash_seed: u64) -> Self {
        QuotaExcesses {
            quiet: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            refused: Vec::new(),
        }
    }

    fn tell(&mut self, quota: &[u8], excess: &Excess, refused: bool, judge: &Judge<'_>) {
        if self.quiet.len() >= MOST_REMEMBERED {
            self.quiet.retain(|_, (until_ms, _)| *until_ms > judge.now_ms);
        }
        let is_room = self.quiet.len() < MOST_REMEMBERED;
        let (until_ms, unsaid) = match self.quiet.get_mut(quota) {
            Some(entry) => entry,
            None if is_room => self.quiet.entry_ref(quota).or_default(),
            None => return,
        };
        if judge.now_ms < *until_ms {
            *unsaid += 1;
            return;
        }
        let Excess { what, current, hard, limit } = excess;
        let name = if *what == "count" { "CountLimit" } else { "ByteLimit" };
        tracing::warn!(
            session = %judge.session,
            refused,
            unsaid = *unsaid,
            "Quota exceeded: {} [current {what}={current}, {}{name}={limit}]",
            quota.escape_ascii(),
            if *hard { "hard" } else { "soft" },
        );
        (*until_ms, *unsaid) = (judge.now_ms.saturating_add(QUIET_MS), 0);
    }
}
