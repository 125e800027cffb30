//! The kinds of watches, and which of them an event reaches.

use crate::proto::EventType;

/// How a connection watches a path.
///
/// getData and exists set the same kind: to the server they are one (C-099).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Standard watch of getData and exists: fires once.
    Data = 1,
    /// Standard watch of getChildren: fires once.
    Child = 2,
    /// addWatch mode 0: stays.
    Persistent = 4,
    /// addWatch mode 1: stays, and covers everything below the path.
    PersistentRecursive = 8,
}

impl Kind {
    /// The kind an addWatch request's mode asks for; `None` for a mode that does not exist
    /// (C-124).
    pub fn from_add_mode(mode: i32) -> Option<Self> {
        match mode {
            0 => Some(Kind::Persistent),
            1 => Some(Kind::PersistentRecursive),
            _ => None,
        }
    }
}

/// What checkWatches and removeWatches may name.
///
/// `Children` and `Data` mean the standard watches only: a persistent watch is neither found nor
/// removed by them (ZOOKEEPER-4471, ZOOKEEPER-4472, C-127). `Any` means everything on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum WatcherType {
    Children,
    Data,
    Any,
    Persistent,
    PersistentRecursive,
}

impl WatcherType {
    /// The type of a request's number; `None` for one that does not exist.
    pub fn from_int(number: i32) -> Option<Self> {
        match number {
            1 => Some(WatcherType::Children),
            2 => Some(WatcherType::Data),
            3 => Some(WatcherType::Any),
            4 => Some(WatcherType::Persistent),
            5 => Some(WatcherType::PersistentRecursive),
            _ => None,
        }
    }

    pub(super) fn kinds(self) -> Kinds {
        match self {
            WatcherType::Children => Kind::Child.into(),
            WatcherType::Data => Kind::Data.into(),
            WatcherType::Any => Kinds::ALL,
            WatcherType::Persistent => Kind::Persistent.into(),
            WatcherType::PersistentRecursive => Kind::PersistentRecursive.into(),
        }
    }
}

/// A set of kinds, in four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl From<Kind> for Kinds {
    fn from(kind: Kind) -> Self {
        Kinds(kind as u8)
    }
}

impl Kinds {
    /// No kind.
    pub const NONE: Kinds = Kinds(0);
    /// Every kind.
    pub const ALL: Kinds = Kinds(0xf);
    const STANDARD: Kinds = Kinds(Kind::Data as u8 | Kind::Child as u8);
    const DATA_TABLE: Kinds =
        Kinds(Kind::Data as u8 | Kind::Persistent as u8 | Kind::PersistentRecursive as u8);
    const CHILD_TABLE: Kinds = Kinds(Kind::Child as u8 | Kind::Persistent as u8);

    /// The watches on a path that hear of `event` there.
    pub(super) fn hearing(event: EventType) -> Kinds {
        match event {
            EventType::NodeCreated | EventType::NodeDataChanged => Kinds::DATA_TABLE,
            EventType::NodeDeleted => Kinds::ALL,
            // A recursive watch hears of the child itself instead (C-120, ZOOKEEPER-4475).
            EventType::NodeChildrenChanged => Kinds::CHILD_TABLE,
        }
    }

    /// Those of the set that firing uses up.
    pub(super) fn one_shot(self) -> Kinds {
        self.and(Kinds::STANDARD)
    }

    /// Whether `kind` is in the set.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    pub(super) fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(super) fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    pub(super) fn bits(self) -> u32 {
        u32::from(self.0)
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Kinds((bits & 0xf) as u8)
    }

    /// Whether Java's data table would hold it.
    pub(super) fn in_data_table(self) -> bool {
        !self.and(Kinds::DATA_TABLE).is_empty()
    }

    /// How many of Java's two tables hold one connection's watches of these kinds on a path: it
    /// counts connection and path once per table, and a persistent watch is in both.
    pub(super) fn table_entries(self) -> usize {
        usize::from(self.in_data_table()) + usize::from(!self.and(Kinds::CHILD_TABLE).is_empty())
    }
}
