//! `ZooDefs.OpCode`: the operations, and the types of transactions.

/// An operation a client may ask for, or the type of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum OpCode {
    Create = 1,
    Delete = 2,
    Exists = 3,
    GetData = 4,
    SetData = 5,
    GetAcl = 6,
    SetAcl = 7,
    GetChildren = 8,
    Sync = 9,
    Ping = 11,
    GetChildren2 = 12,
    Check = 13,
    Multi = 14,
    Create2 = 15,
    Reconfig = 16,
    CheckWatches = 17,
    RemoveWatches = 18,
    CreateContainer = 19,
    DeleteContainer = 20,
    CreateTtl = 21,
    MultiRead = 22,
    Auth = 100,
    SetWatches = 101,
    Sasl = 102,
    GetEphemerals = 103,
    GetAllChildrenNumber = 104,
    SetWatches2 = 105,
    AddWatch = 106,
    WhoAmI = 107,
    CreateSession = -10,
    CloseSession = -11,
    /// The type of a failed write's transaction.
    Error = -1,
}

impl OpCode {
    /// The operation with that number.
    pub fn from_int(value: i32) -> Option<Self> {
        use OpCode::*;
        Some(match value {
            1 => Create,
            2 => Delete,
            3 => Exists,
            4 => GetData,
            5 => SetData,
            6 => GetAcl,
            7 => SetAcl,
            8 => GetChildren,
            9 => Sync,
            11 => Ping,
            12 => GetChildren2,
            13 => Check,
            14 => Multi,
            15 => Create2,
            16 => Reconfig,
            17 => CheckWatches,
            18 => RemoveWatches,
            19 => CreateContainer,
            20 => DeleteContainer,
            21 => CreateTtl,
            22 => MultiRead,
            100 => Auth,
            101 => SetWatches,
            102 => Sasl,
            103 => GetEphemerals,
            104 => GetAllChildrenNumber,
            105 => SetWatches2,
            106 => AddWatch,
            107 => WhoAmI,
            -10 => CreateSession,
            -11 => CloseSession,
            -1 => Error,
            _ => return None,
        })
    }

    /// Whether a client asks with it for what is answered where it is connected, without a
    /// transaction.
    pub fn is_read(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            Exists
                | GetData
                | GetAcl
                | GetChildren
                | GetChildren2
                | Ping
                | CheckWatches
                | RemoveWatches
                | MultiRead
                | SetWatches
                | SetWatches2
                | GetEphemerals
                | GetAllChildrenNumber
                | AddWatch
                | WhoAmI
        )
    }

    /// Whether a client asks with it for what becomes a transaction.
    pub fn is_write(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            Create
                | Create2
                | CreateContainer
                | CreateTtl
                | Delete
                | SetData
                | SetAcl
                | Multi
                | Reconfig
                | CloseSession
        )
    }

    /// The operation's number.
    pub fn to_int(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for n in -200..200 {
            if let Some(op) = OpCode::from_int(n) {
                assert_eq!(op.to_int(), n);
            }
        }
        assert_eq!(OpCode::from_int(0), None);
        assert_eq!(OpCode::from_int(10), None);
    }
}
