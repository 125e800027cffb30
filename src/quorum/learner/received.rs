//! A transaction as the leader sent it, found to be one: nothing else reaches the log.

use bytes::Bytes;

use crate::proto::txns::{Txn, TxnRecord};
use crate::proto::{OpCode, SessionId, Zxid};

/// A sound transaction.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) zxid: Zxid,
    /// Header, body and digest.
    pub(super) txn: Bytes,
    /// The session that asked for it.
    pub(super) session: SessionId,
    /// That request's number.
    pub(super) cxid: i32,
    pub(super) what: What,
}

/// What it is, as far as a learner cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    CreateSession,
    CloseSession,
    Reconfig,
    /// What was asked for failed.
    Failed,
    Other,
}

impl Received {
    /// Reads the transaction that came with `zxid`.
    ///
    /// # Errors
    /// Bytes that are no transaction, or another one.
    pub(super) fn read(zxid: Zxid, txn: Bytes) -> Result<Self, String> {
        let record = TxnRecord::read(&txn, usize::MAX)
            .map_err(|why| format!("expected a transaction at {zxid}, got bytes: {why}"))?;
        let header = record.header;
        if header.zxid != zxid {
            return Err(format!("expected the transaction {zxid}, got {}", header.zxid));
        }
        let what = match record.txn {
            Txn::CreateSession { .. } => What::CreateSession,
            Txn::CloseSession { .. } => What::CloseSession,
            Txn::Error { .. } => What::Failed,
            _ if header.txn_type == OpCode::Reconfig.to_int() => What::Reconfig,
            _ => What::Other,
        };
        Ok(Received { zxid, session: header.client_id, cxid: header.cxid, what, txn })
    }

    /// The text of the configuration, if it is a reconfiguration.
    pub(super) fn config_text(&self) -> Option<Bytes> {
        if self.what != What::Reconfig {
            return None;
        }
        let record = TxnRecord::read(&self.txn, usize::MAX).expect("it was read before");
        match record.txn {
            Txn::SetData { data: Some(text), .. } => Some(self.txn.slice_ref(text)),
            _ => Some(Bytes::new()),
        }
    }
}
