//! Facts about commit: in order, only when durable, and a sync behind everything before it.

use super::*;
use crate::proto::{ConnectionId, OpCode, Ticket, Zxid};

fn proposal(zxid: u64) -> Proposal {
    Proposal {
        zxid: Zxid(zxid),
        txn: Bytes::new(),
        session: SessionId(1),
        origin: None,
        new_session: None,
    }
}

fn origin(xid: i32) -> Origin {
    Origin { connection: ConnectionId(1), xid, op: OpCode::Sync, received_ms: 0 }
}

/// What goes now: transactions by their zxid, syncs by their xid.
fn let_go(commit: &mut CommitProcessor<Ticket>) -> Vec<String> {
    let next = std::iter::from_fn(|| commit.pop());
    next.map(|committed| match committed {
        Committed::Txn(proposal) => format!("txn {}", proposal.zxid.0),
        Committed::Sync(origin, _) => format!("sync {}", origin.xid),
        Committed::Throttled(origin) => format!("throttled {}", origin.xid),
        Committed::Resume(resumption) => format!("resume {}", resumption.grant.session),
        Committed::Refuse(refusal) => format!("refuse {}", refusal.session),
        Committed::Error(origin, error) => format!("error {} of {}", error.code(), origin.xid),
        Committed::EndLocalSession(session, _) => format!("end {session}"),
    })
    .collect()
}

#[test]
fn nothing_goes_before_the_disk_has_reported_it() {
    let mut commit = CommitProcessor::new(Ticket::default());
    for n in 1..=3 {
        commit.propose(Ticket(n), proposal(n));
    }
    assert_eq!(let_go(&mut commit), [""; 0]);
    commit.is_safe(Ticket(2));
    assert_eq!(let_go(&mut commit), ["txn 1", "txn 2"]);
    commit.is_safe(Ticket(2));
    assert_eq!(let_go(&mut commit), [""; 0]);
    assert_eq!(commit.len(), 1);
    commit.is_safe(Ticket(3));
    assert_eq!(let_go(&mut commit), ["txn 3"]);
    assert!(commit.is_empty());
}

#[test]
fn a_sync_goes_behind_everything_proposed_before_it_and_waits_for_nothing_else() {
    let mut commit = CommitProcessor::new(Ticket::default());
    commit.sync(Ticket(0), origin(1), Bytes::new());
    assert_eq!(let_go(&mut commit), ["sync 1"], "nothing was outstanding");
    commit.propose(Ticket(1), proposal(1));
    commit.propose(Ticket(2), proposal(2));
    commit.sync(Ticket(2), origin(2), Bytes::new());
    commit.propose(Ticket(3), proposal(3));
    commit.is_safe(Ticket(1));
    assert_eq!(let_go(&mut commit), ["txn 1"]);
    commit.is_safe(Ticket(2));
    assert_eq!(let_go(&mut commit), ["txn 2", "sync 2"]);
}

#[test]
#[should_panic(expected = "what is safe stays so")]
fn a_disk_that_takes_a_report_back_is_not_believed() {
    let mut commit = CommitProcessor::new(Ticket::default());
    commit.is_safe(Ticket(2));
    commit.is_safe(Ticket(1));
}
