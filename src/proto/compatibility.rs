//! Which line of Apache ZooKeeper's releases a server is like, where clients, tools or files can
//! tell them apart.

/// A line of releases.
///
/// A level never brings a mistake back that cost data or disclosed any: what a line got wrong in
/// that way is right at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CompatibilityLevel {
    /// 3.8, and files that 3.8.0, 3.8.1 and older releases understand completely.
    V3_8_0,
    /// 3.8 as it ended.
    V3_8,
    /// 3.9.
    #[default]
    V3_9,
    /// 3.10, as far as its source tells.
    V3_10,
}

use CompatibilityLevel::{V3_8, V3_8_0, V3_9, V3_10};

/// All levels, by the name that the configuration has for them.
const NAMES: [(&str, CompatibilityLevel); 4] =
    [("3.8.0", V3_8_0), ("3.8", V3_8), ("3.9", V3_9), ("3.10", V3_10)];

impl CompatibilityLevel {
    /// The level called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, level)| *level == self).map(|(name, _)| *name).expect("named above")
    }

    /// All names, oldest line first.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether an event carries the zxid of the change it tells; before 3.9 it was -1
    /// (ZOOKEEPER-4655).
    pub fn events_have_zxid(self) -> bool {
        self >= V3_9
    }

    /// Whether a create2 within a multi is logged and answered as one. Before 3.8.2 it was a
    /// create; those releases pass over the newer form in a log without a word, and lose the node.
    pub fn multi_has_create2(self) -> bool {
        self >= V3_8
    }

    /// Whether snapshots end with the last zxid, where the configuration does not say.
    pub fn snapshots_have_last_zxid(self) -> bool {
        self >= V3_9
    }

    /// The age at which a container that never had a child is deleted, in milliseconds, where the
    /// configuration does not say; 0 is never.
    pub fn container_max_never_used_ms(self) -> i64 {
        if self >= V3_10 { 300_000 } else { 0 }
    }

    /// What `envi` calls the memory that is free, that may be used, and that is.
    pub fn memory_keys(self) -> [&'static str; 3] {
        if self >= V3_10 {
            ["jvm.memory.free", "jvm.memory.max", "jvm.memory.total"]
        } else {
            ["os.memory.free", "os.memory.max", "os.memory.total"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_an_order() {
        let names: Vec<_> = CompatibilityLevel::all_names().collect();
        assert_eq!(names, ["3.8.0", "3.8", "3.9", "3.10"]);
        for pair in NAMES.windows(2) {
            assert!(pair[0].1 < pair[1].1);
        }
        for name in names {
            assert_eq!(CompatibilityLevel::from_name(name).expect(name).name(), name);
        }
        for name in ["", "3", "3.7", "3.9.5", "3.10.0", "4.0", " 3.9"] {
            assert_eq!(CompatibilityLevel::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_default_is_3_9() {
        let level = CompatibilityLevel::default();
        assert_eq!(level.name(), "3.9");
        assert!(level.events_have_zxid() && level.multi_has_create2());
        assert!(level.snapshots_have_last_zxid());
        assert_eq!(level.container_max_never_used_ms(), 0);
        assert_eq!(level.memory_keys()[0], "os.memory.free");
    }
}
