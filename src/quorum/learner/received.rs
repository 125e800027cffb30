//! A transaction as the leader sent it, found to be the one that was announced: nothing else reaches
//! the log. That its body can be read the packet's reader has seen, who is the only one that looks.

use bytes::Bytes;

use crate::jute::Reader;
use crate::proto::txns::{Txn, TxnHeader, TxnRecord};
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
    /// Reads the header of the transaction that came with `zxid`.
    ///
    /// # Errors
    /// Bytes that are no transaction, or another one.
    pub(super) fn read(zxid: Zxid, txn: Bytes) -> Result<Self, String> {
        let header = TxnHeader::read(&mut Reader::unlimited(&txn))
            .map_err(|why| format!("expected a transaction at {zxid}, got bytes: {why}"))?;
        if header.zxid != zxid {
            return Err(format!("expected the transaction {zxid}, got {}", header.zxid));
        }
        let what = match OpCode::from_int(header.txn_type) {
            Some(OpCode::CreateSession) => What::CreateSession,
            Some(OpCode::CloseSession) => What::CloseSession,
            Some(OpCode::Reconfig) => What::Reconfig,
            Some(OpCode::Error) => What::Failed,
            _ => What::Other,
        };
        Ok(Received { zxid, session: header.client_id, cxid: header.cxid, what, txn })
    }

    /// The text of the configuration, if it is a reconfiguration.
    pub(super) fn config_text(&self) -> Option<Bytes> {
        if self.what != What::Reconfig {
            return None;
        }
        match TxnRecord::read(&self.txn, usize::MAX).map(|record| record.txn) {
            Ok(Txn::SetData { data: Some(text), .. }) => Some(self.txn.slice_ref(text)),
            _ => Some(Bytes::new()),
        }
    }
}
