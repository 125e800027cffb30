//! `ContainerManager`: finds containers and TTL nodes whose time has come, and spaces their
//! deletions.
//!
//! Only a server that prepares transactions runs it. It looks at the tree every
//! `znode.container.checkIntervalMs`, a piece at a time, and offers what it found one by one, at
//! most `znode.container.maxPerMinute` a minute, evenly spaced. A look that takes longer than the
//! interval is followed by the next at once. Between the look and the deletion anything may have
//! happened, so prep judges each node again (N-19, C-278).

use std::collections::VecDeque;

use crate::proto::stat::NodeOwner;
use crate::time::Instant;
use crate::tree::DataTree;

/// How often, how fast, and what.
#[derive(Debug, Clone, Copy)]
pub struct ContainerOptions {
    /// `znode.container.checkIntervalMs`; 0 switches the manager off.
    pub check_interval_ms: u64,
    /// `znode.container.maxPerMinute`: deletions are spaced by a minute over this.
    pub max_per_minute: u64,
    /// `znode.container.maxNeverUsedIntervalMs`: the age at which a container that never had a
    /// child is deleted too; 0 is never.
    pub max_never_used_ms: i64,
}

/// The manager's state.
#[derive(Debug)]
pub struct ContainerManager {
    options: ContainerOptions,
    next_check_ms: u64,
    /// Where the look that is under way goes on.
    look_at: Option<u32>,
    /// Microseconds: several may be due in one millisecond.
    next_deletion_us: u64,
    candidates: VecDeque<Vec<u8>>,
}

/// Nodes looked at in one go: a look at a million takes many, and others are served in between.
const PIECE: usize = 1024;

impl ContainerManager {
    /// A manager that looks for the first time one interval from `now`.
    pub fn new(options: ContainerOptions, now: Instant) -> Self {
        ContainerManager {
            options,
            next_check_ms: now.mono_ms.saturating_add(options.check_interval_ms),
            look_at: None,
            next_deletion_us: 0,
            candidates: VecDeque::new(),
        }
    }

    /// The next node to delete, if one is due.
    pub fn next(&mut self, now: Instant, tree: &DataTree) -> Option<Vec<u8>> {
        if self.options.check_interval_ms == 0 {
            return None;
        }
        if self.candidates.is_empty() {
            if self.look_at.is_none() && now.mono_ms >= self.next_check_ms {
                self.look_at = Some(0);
                self.next_check_ms = now.mono_ms.saturating_add(self.options.check_interval_ms);
            }
            self.look(now, tree);
        }
        let now_us = now.mono_ms.saturating_mul(1000);
        if self.next_deletion_us >= now_us.saturating_add(1000) {
            return None;
        }
        let path = self.candidates.pop_front()?;
        // Rounded up: never more than so many a minute.
        let spacing_us = 60_000_000_u64.div_ceil(self.options.max_per_minute.max(1));
        self.next_deletion_us = self.next_deletion_us.max(now_us).saturating_add(spacing_us);
        Some(path)
    }

    /// When [`next`](Self::next) should be asked again, milliseconds on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.options.check_interval_ms == 0 {
            return None;
        }
        Some(match (self.candidates.is_empty(), self.look_at) {
            (false, _) => self.next_deletion_us / 1000,
            (true, Some(_)) => 0,
            (true, None) => self.next_check_ms,
        })
    }

    /// Whether a node with that owner, stored cversion, mtime and number of children has had its
    /// time.
    pub fn is_due(
        &self,
        wall_ms: i64,
        owner: NodeOwner,
        cversion: i32,
        mtime: i64,
        num_children: usize,
    ) -> bool {
        let age = wall_ms.saturating_sub(mtime);
        num_children == 0
            && match owner {
                NodeOwner::Container if cversion > 0 => true,
                NodeOwner::Container => {
                    let never_used = self.options.max_never_used_ms;
                    never_used != 0 && age > never_used
                }
                NodeOwner::Ttl(ttl) => age > ttl,
                NodeOwner::None | NodeOwner::Session(_) => false,
            }
    }

    /// Looks at a piece of what is there.
    fn look(&mut self, now: Instant, tree: &DataTree) {
        let Some(from) = self.look_at.take() else { return };
        for (looked_at, (place, node)) in tree.perishable_from(from).enumerate() {
            if looked_at == PIECE {
                self.look_at = Some(place);
                return;
            }
            let stat = node.persisted();
            let children = node.num_children();
            if self.is_due(now.wall_ms, node.owner(), stat.cversion, stat.mtime, children) {
                self.candidates.push_back(node.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(max_never_used_ms: i64) -> ContainerManager {
        let options = ContainerOptions {
            check_interval_ms: 60_000,
            max_per_minute: 10_000,
            max_never_used_ms,
        };
        ContainerManager::new(options, Instant { mono_ms: 0, wall_ms: 0 })
    }

    #[test]
    fn a_container_is_due_when_it_has_lost_its_children() {
        let m = manager(0);
        assert!(m.is_due(0, NodeOwner::Container, 1, 0, 0));
        assert!(!m.is_due(0, NodeOwner::Container, 1, 0, 1));
        assert!(!m.is_due(i64::MAX, NodeOwner::Container, 0, 0, 0));
        assert!(manager(100).is_due(101, NodeOwner::Container, 0, 0, 0));
        assert!(!manager(100).is_due(100, NodeOwner::Container, 0, 0, 0));
    }

    #[test]
    fn a_ttl_node_is_due_when_childless_and_older_than_its_ttl() {
        let m = manager(0);
        assert!(m.is_due(501, NodeOwner::Ttl(500), 0, 0, 0));
        assert!(!m.is_due(500, NodeOwner::Ttl(500), 0, 0, 0));
        assert!(!m.is_due(501, NodeOwner::Ttl(500), 1, 0, 1));
    }

    #[test]
    fn other_nodes_are_never_due() {
        assert!(!manager(1).is_due(i64::MAX, NodeOwner::None, 1, 0, 0));
        assert!(!manager(1).is_due(i64::MAX, NodeOwner::Session(7), 1, 0, 0));
    }
}
