//! Quotas: which subtrees have limits, and the statistics of what they hold.
//!
//! ```text
//! /zookeeper/quota/a/b/zookeeper_limits   while it exists, /a/b has a quota
//! /zookeeper/quota/a/b/zookeeper_stats    nodes and bytes of /a/b and below, kept here
//! ```
//!
//! What always holds:
//!
//! * A change is booked with the deepest quota at or above it, and with no other (C-283).
//! * Statistics change in place: no transaction, no new version, no watch, no digest. They are
//!   counted anew when their node is made, and those of every quota when a snapshot is loaded;
//!   in between they are carried forward by difference, whatever a client has written into them.
//! * No text harms (C-284): statistics that cannot be read are counted anew with the next change,
//!   limits that cannot be read are none. Java dies of either.
//! * The root has no quota. Java dies of limits for it (N-3).

use std::collections::BTreeMap;
use std::ops::Bound;

use super::data_tree::DataTree;
use super::stats_track::StatsTrack;
use crate::proto::path;

const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// A quota as it stands.
pub struct Quota<'t> {
    /// The path it is about.
    pub path: &'t [u8],
    tree: &'t DataTree,
    nodes: QuotaNodes,
}

impl<'t> Quota<'t> {
    /// The limits; `None` if there are none, or none that can be read.
    pub fn limits(&self) -> Option<StatsTrack<'t>> {
        self.track(self.nodes.limits)
    }

    /// The statistics; `None` if there are none, or none that can be read.
    pub fn stats(&self) -> Option<StatsTrack<'t>> {
        self.track(self.nodes.stats)
    }

    fn track(&self, id: Option<u32>) -> Option<StatsTrack<'t>> {
        StatsTrack::parse(self.tree.nodes.get(id?).blob.data()?)
    }
}

impl DataTree {
    /// Whether any path has a quota.
    pub fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// The quota that a change at `path` is booked with: the deepest at or above it.
    pub fn quota_of(&self, path: &[u8]) -> Option<Quota<'_>> {
        if self.quotas.is_empty() {
            return None;
        }
        let (path, nodes) = self.quotas.deepest(path)?;
        Some(Quota { path, tree: self, nodes })
    }

    /// All quotas, by path, those too of which only limits or only statistics are left.
    pub fn quotas(&self) -> impl Iterator<Item = Quota<'_>> {
        self.quotas.0.iter().map(|(path, &nodes)| Quota { path, tree: self, nodes })
    }

    /// A node was made.
    pub(super) fn quota_created(&mut self, id: u32, path: &[u8], bytes: usize) {
        self.note_quota_node(path, Some(id));
        if let Some((of, STATS)) = quota_node(path) {
            self.count_anew(id, of);
        }
        self.book(path, 1, bytes as i64);
    }

    /// A node with so many bytes was removed.
    pub(super) fn quota_deleted(&mut self, path: &[u8], bytes: usize) {
        self.note_quota_node(path, None);
        self.book(path, -1, -(bytes as i64));
    }

    /// A node's data became longer by so many bytes.
    pub(super) fn quota_data_changed(&mut self, path: &[u8], bytes: i64) {
        self.book(path, 0, bytes);
    }

    /// Remembers where a quota's node is, if the one at `path` is one.
    fn note_quota_node(&mut self, path: &[u8], id: Option<u32>) {
        match quota_node(path) {
            Some((of, LIMITS)) => self.quotas.put(of, |nodes| nodes.limits = id),
            Some((of, STATS)) => self.quotas.put(of, |nodes| nodes.stats = id),
            _ => {}
        }
    }

    fn book(&mut self, path: &[u8], count: i64, bytes: i64) {
        if self.quotas.is_empty() {
            return;
        }
        let Some((of, QuotaNodes { stats: Some(stats), .. })) = self.quotas.deepest(path) else {
            return;
        };
        let text = self.nodes.get(stats).blob.data();
        let Some(mut track) = text.and_then(StatsTrack::parse) else {
            let of = of.to_vec();
            return self.count_anew(stats, &of);
        };
        track.count = track.count.wrapping_add(count);
        track.bytes = track.bytes.wrapping_add(bytes);
        let text = track.to_string();
        self.write_stats(stats, &text);
    }

    /// Counts the nodes and bytes of a subtree: a walk.
    fn count_anew(&mut self, stats: u32, of: &[u8]) {
        let mut track = StatsTrack::counted(0, 0);
        let mut waiting: Vec<u32> = self.find(of).into_iter().collect();
        while let Some(id) = waiting.pop() {
            track.count += 1;
            track.bytes += self.nodes.get(id).blob.data().unwrap_or_default().len() as i64;
            waiting.extend(self.nodes.children(id));
        }
        let text = track.to_string();
        self.write_stats(stats, &text);
    }

    fn write_stats(&mut self, stats: u32, text: &str) {
        self.before_change(stats);
        self.replace_data(stats, Some(text.as_bytes()));
    }

    /// Finds the quotas of a tree that was loaded, and counts what they hold.
    pub(super) fn set_up_quotas(&mut self) {
        let mut waiting: Vec<u32> = self.find(path::QUOTA).into_iter().collect();
        while let Some(id) = waiting.pop() {
            waiting.extend(self.nodes.children(id));
            let name = self.nodes.get(id).blob.name();
            if name == LIMITS || name == STATS {
                let path = self.nodes.path(id);
                self.note_quota_node(&path, Some(id));
            }
        }
        let with_limits = self.quotas.0.iter().filter(|(_, nodes)| nodes.limits.is_some());
        let kept: Vec<_> =
            with_limits.filter_map(|(of, nodes)| Some((of.clone(), nodes.stats?))).collect();
        for (of, stats) in kept {
            self.count_anew(stats, &of);
        }
    }
}

/// Whose quota a node belongs to, and its name, if it lies below `/zookeeper/quota`.
fn quota_node(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let below = path.strip_prefix(path::QUOTA)?;
    below.starts_with(b"/").then(|| path::split(below)).flatten()
}

/// The nodes of one quota.
#[derive(Debug, Clone, Copy, Default)]
struct QuotaNodes {
    limits: Option<u32>,
    stats: Option<u32>,
}

/// The nodes of all quotas, by the path they are about: what Java keeps in its `PathTrie`.
#[derive(Default)]
pub(super) struct Quotas(BTreeMap<Box<[u8]>, QuotaNodes>);

impl Quotas {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, of: &[u8], change: impl FnOnce(&mut QuotaNodes)) {
        if of.is_empty() {
            return;
        }
        let mut nodes = self.0.get(of).copied().unwrap_or_default();
        change(&mut nodes);
        if nodes.limits.is_none() && nodes.stats.is_none() {
            self.0.remove(of);
        } else {
            self.0.insert(of.into(), nodes);
        }
    }

    /// The deepest path with limits at or above `path`.
    ///
    /// Whatever lies between an ancestor of `path` and `path` begins with that ancestor. So the
    /// greatest key not above `path` is the one looked for, or what it shares with `path` bounds
    /// the ancestors that are left; they are few steps, at most as many as `path` is deep.
    fn deepest(&self, path: &[u8]) -> Option<(&[u8], QuotaNodes)> {
        let mut probe = path;
        while !probe.is_empty() {
            let below = (Bound::Unbounded, Bound::Included(probe));
            let (key, &nodes) = self.0.range::<[u8], _>(below).next_back()?;
            let shared = key.iter().zip(probe).take_while(|(a, b)| a == b).count();
            let is_ancestor =
                shared == key.len() && probe.get(shared).is_none_or(|&next| next == b'/');
            if is_ancestor && nodes.limits.is_some() {
                return Some((key, nodes));
            }
            let end = if is_ancestor { shared } else { shared + 1 };
            probe = path::parent(&probe[..end]).unwrap_or_default();
        }
        None
    }
}

#[cfg(test)]
mod tests;
