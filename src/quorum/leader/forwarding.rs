//! What learners ask their leader for: requests, sessions to go on with, sessions to keep alive.
//!
//! A forwarded request always becomes a transaction, if only one that says why not (N-4): the
//! learner matches transactions to what it has forwarded, and would wait for ever.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::broadcast::{Broadcast, Road};
use super::learner_handler::Peer;
use super::refusals::Refused;
use crate::auth::{Identities, Identity};
use crate::jute::Reader;
use crate::processor::request::Request;
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{AuthInfo, ErrorCode, LinkId, OpCode, QuorumPacket, SessionId};
use crate::quorum::member::Turn;

/// Who has asked of late: most requests come from the same few.
#[derive(Debug)]
pub struct Askers(HashMap<AuthInfo, Arc<Identities>, FixedState>);

impl Askers {
    /// So many are remembered …
    const MOST: usize = 1024;
    /// … if they are no longer than that, in bytes.
    const MOST_BYTES: usize = 256;

    /// Nobody has asked.
    pub fn new(hash_seed: u64) -> Self {
        Askers(HashMap::with_hasher(FixedState::with_seed(hash_seed)))
    }

    fn identities(&mut self, auth: &AuthInfo) -> Arc<Identities> {
        if let Some(known) = self.0.get(auth) {
            return known.clone();
        }
        let list = auth.iter().map(|(scheme, id)| Identity::new(scheme, id));
        let identities = Arc::new(Identities::from_list(list));
        // What has repetitions is not found again, and remembered only once.
        if auth.wire().len() <= Self::MOST_BYTES {
            if self.0.len() >= Self::MOST {
                self.0.clear();
            }
            self.0.insert(identities.info().clone(), identities.clone());
        }
        identities
    }
}

impl Broadcast {
    /// A learner forwards what a client of its own, or the learner itself, asks for.
    ///
    /// # Errors
    /// What no learner would ask for.
    pub fn forwarded(
        &mut self,
        turn: &mut Turn<'_>,
        road: &mut Road<'_>,
        (link, peer): (LinkId, Peer),
        request: ForwardedRequest,
    ) -> Result<(), String> {
        let ForwardedRequest { session, cxid, op, body, auth } = request;
        let op = OpCode::from_int(op).filter(|op| may_be_forwarded(*op));
        let Some(op) = op else {
            self.refuse(turn, road, (session, cxid, None), ErrorCode::Unimplemented);
            return Ok(());
        };
        match op {
            OpCode::Sync => {
                self.syncs.forwarded(link, road.proposals.last());
                return Ok(());
            }
            OpCode::CreateSession => {
                if session == SessionId::NONE {
                    return Err("expected the id of a new session, got none".into());
                }
                if let Ok(timeout_ms) = Reader::unlimited(&body).int() {
                    self.chain.sessions.track(session, timeout_ms, turn.now);
                    self.owners.set(session, peer.sid);
                }
            }
            OpCode::CloseSession => self.owners.remove(session),
            OpCode::Reconfig => {}
            _ if self.has_moved(session, peer.sid) => {
                self.refuse(turn, road, (session, cxid, None), ErrorCode::SessionMoved);
                return Ok(());
            }
            _ => {}
        }
        let identities = self.askers.identities(&auth);
        let origin = None;
        let request =
            Request { session, xid: cxid, op, body, identities, origin, throttled: false };
        if op == OpCode::Reconfig {
            self.reconfig(turn, road, &request, peer.sid);
            return Ok(());
        }
        let proposal = self.chain.prepare(turn.now, &request, turn.db);
        self.propose(turn, road, proposal);
        turn.effects.client.extend(self.chain.quota_refusals());
        Ok(())
    }

    /// A learner asks whether a session may go on with it. That it may not is said when a quorum has
    /// confirmed that this server leads.
    pub fn revalidate(
        &mut self,
        turn: &mut Turn<'_>,
        road: &Road<'_>,
        (link, peer): (LinkId, Peer),
        (session, timeout_ms): (SessionId, i32),
    ) {
        let valid = !self.chain.is_local(session)
            && self.chain.sessions.reopen(session, timeout_ms, turn.now).is_some();
        if !valid {
            let asked = self.syncs.ask(road.proposals.last());
            self.refusals.push(asked, Refused::Learner(link, session));
            return;
        }
        self.owners.set(session, peer.sid);
        turn.send(link, QuorumPacket::Revalidated { session, valid });
    }

    /// A learner has heard of these sessions.
    pub fn touched(&mut self, turn: &Turn<'_>, touched: &[(SessionId, i32)]) {
        for (session, timeout_ms) in touched {
            self.chain.sessions.reopen(*session, *timeout_ms, turn.now);
        }
    }
}

/// What a learner forwards; of a deletion of a container only the leader decides (N-5).
fn may_be_forwarded(op: OpCode) -> bool {
    op.is_write() || matches!(op, OpCode::Sync | OpCode::CreateSession)
}
