//! Plays of a server that is alone. Each line is what one step wants done, the disk's lane first.

mod containers;
mod sessions;

use std::sync::Arc;

use super::*;
use crate::auth::Identities;
use crate::processor::proposal::Resumption;
use crate::processor::request::{ConnectAttempt, Origin, Submission};
use crate::processor::sync::SnapshotSchedule;
use crate::processor::testing::{create, in_words, prep_options, request, tree_options, versioned};
use crate::proto::txns::TxnRecord;
use crate::proto::{ConnectionId, OpCode, SessionId, Zxid};

/// The role, the database it works on, and the time, in milliseconds since the start.
struct Play {
    db: Database,
    role: Standalone,
    now_ms: u64,
}

const SWEEPS: ContainerOptions =
    ContainerOptions { check_interval_ms: 60_000, max_per_minute: 10_000, max_never_used_ms: 0 };

impl Play {
    fn new() -> Self {
        Play::over(Database::new(tree_options()), 1_000_000)
    }

    /// A role over a restored database. Its session ids are 1, 2, 3 …
    fn over(db: Database, snap_count: u64) -> Self {
        let schedule = SnapshotSchedule { snap_count, snap_size_limit_bytes: None };
        let sync = SyncRequestProcessor::new(schedule, 7, 0, 0);
        let sessions = SessionTracker::new(1000, 0, 0);
        let now = Instant { mono_ms: 0, wall_ms: 0 };
        let role = Standalone::new(now, prep_options(), sync, sessions, SWEEPS, &db);
        Play { db, role, now_ms: 0 }
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Effects::default();
        let now = Instant { mono_ms: self.now_ms, wall_ms: self.now_ms as i64 };
        self.role.step(now, input, &self.db, &mut effects);
        let mut lines: Vec<_> = effects.disk.iter().map(disk_in_words).collect();
        for effect in effects.client {
            lines.push(client_in_words(&effect));
            if let ClientEffect::Commit(proposal) = effect {
                let record = TxnRecord::read(&proposal.txn, usize::MAX).expect("a transaction");
                self.db.apply(&record, &mut ());
            }
        }
        lines
    }

    /// A connection asks for a session: 0 for a new one.
    fn connect(&mut self, connection: u64, session: i64) -> Vec<String> {
        let attempt = ConnectAttempt {
            connection: ConnectionId(connection),
            session: SessionId(session),
            timeout_ms: 4000,
            had_read_only: false,
            identities: Arc::new(Identities::default()),
            received_ms: self.now_ms,
        };
        self.step(Input::Submitted(vec![Submission::Connect(attempt)]))
    }

    /// A session asks, on the connection of the same number.
    fn ask(&mut self, session: i64, op: OpCode, body: Vec<u8>) -> Vec<String> {
        self.step(Input::Submitted(vec![Submission::Request(request(session, op, body))]))
    }

    fn persisted(&mut self, ticket: u64) -> Vec<String> {
        self.step(Input::Persisted(Ticket(ticket)))
    }

    /// The disk reports everything, and apply does too.
    fn settle(&mut self) {
        self.persisted(self.role.lane.ticket.0);
        self.step(Input::Applied(self.db.last_processed()));
        assert_eq!((self.role.chain.prep.outstanding(), self.role.lane.commit.len()), (0, 0));
    }

    /// Wakes the role whenever it wants to be, until then.
    fn pass_time_until(&mut self, ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(deadline) = self.role.next_deadline().filter(|deadline| *deadline <= ms) {
            self.now_ms = self.now_ms.max(deadline);
            for line in self.step(Input::Tick) {
                lines.push(format!("{} ms: {line}", self.now_ms));
            }
        }
        self.now_ms = ms;
        lines
    }

    /// A server with session 1, durable and applied.
    fn with_a_session() -> Self {
        let mut play = Play::new();
        play.connect(1, 0);
        play.settle();
        play
    }
}

fn disk_in_words(effect: &DiskEffect) -> String {
    match effect {
        DiskEffect::Append { ticket, zxid, txn } => {
            format!("disk: append {} as {zxid}, ticket {}", in_words(txn), ticket.0)
        }
        DiskEffect::RollAndSnapshot => "disk: roll and snapshot".to_owned(),
        other => format!("disk: {other:?}"),
    }
}

fn client_in_words(effect: &ClientEffect) -> String {
    match effect {
        ClientEffect::Commit(proposal) => {
            let new = proposal.new_session.as_ref();
            let new = new.map_or(String::new(), |new| format!(" for {} ms", new.timeout_ms));
            format!("commit {}{new}", proposal.zxid)
        }
        ClientEffect::AnswerSync(origin, _) => format!("answer sync of {}", origin.connection.0),
        ClientEffect::AnswerThrottled(origin) => {
            format!("answer throttled {} of {}", origin.xid, origin.connection.0)
        }
        ClientEffect::Resume(Resumption { connection, timeout_ms, grant, .. }) => {
            format!("resume {} on {} for {timeout_ms} ms", grant.session, connection.0)
        }
        ClientEffect::Refuse { connection, session, .. } => {
            format!("refuse {session} on {}", connection.0)
        }
        ClientEffect::Drop(connection, reason) => format!("drop {}: {reason:?}", connection.0),
        ClientEffect::QuotaExceeded(namespace) => {
            format!("quota exceeded in {}", namespace.escape_ascii())
        }
        ClientEffect::SessionsListed { page, .. } => {
            format!("list {} sessions", page.sessions.len())
        }
        other => format!("{other:?}"),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn nothing_is_committed_before_it_is_durable() {
    let mut play = Play::new();
    assert_eq!(play.connect(1, 0), ["disk: append createSession 4000 as 0x1, ticket 1"]);
    assert_eq!(play.step(Input::Tick), NOTHING);
    assert_eq!(play.persisted(1), ["commit 0x1 for 4000 ms"]);
    let told = play.ask(1, OpCode::Create, create("/a", 0));
    assert_eq!(told, ["disk: append create /a as 0x2, ticket 2"]);
    let told = play.ask(1, OpCode::Create, create("/a", 0));
    assert_eq!(told, ["disk: append error -110 as 0x3, ticket 3"], "a refusal has its place too");
    assert_eq!(play.step(Input::Applied(Zxid(1))), NOTHING);
    assert_eq!(play.persisted(2), ["commit 0x2"]);
    assert_eq!(play.persisted(3), ["commit 0x3"]);
}

#[test]
fn one_report_of_the_disk_lets_everything_before_it_go_in_order() {
    let mut play = Play::with_a_session();
    let asked = ["/a", "/b", "/c"].map(|path| request(1, OpCode::Create, create(path, 0)));
    let told = play.step(Input::Submitted(asked.map(Submission::Request).into()));
    assert_eq!(
        told,
        [
            "disk: append create /a as 0x2, ticket 2",
            "disk: append create /b as 0x3, ticket 3",
            "disk: append create /c as 0x4, ticket 4",
        ]
    );
    assert_eq!(play.persisted(4), ["commit 0x2", "commit 0x3", "commit 0x4"]);
    play.settle();
}

/// What a client reads after a sync is at least as new as what anybody was told before it.
#[test]
fn a_sync_waits_for_what_was_outstanding_when_it_came() {
    let mut play = Play::with_a_session();
    assert_eq!(play.ask(1, OpCode::Sync, vec![]), ["answer sync of 1"]);
    play.ask(1, OpCode::Create, create("/a", 0));
    assert_eq!(play.ask(1, OpCode::Sync, vec![]), NOTHING);
    play.ask(1, OpCode::Create, create("/b", 0));
    assert_eq!(play.persisted(2), ["commit 0x2", "answer sync of 1"]);
    assert_eq!(play.persisted(3), ["commit 0x3"]);
}

#[test]
fn a_snapshot_follows_the_append_that_made_it_due() {
    let mut play = Play::over(Database::new(tree_options()), 4);
    play.connect(1, 0);
    let mut rolls = 0;
    for n in 0..40 {
        let told = play.ask(1, OpCode::Create, create(&format!("/{n}"), 0));
        assert!(told[0].starts_with("disk: append create"), "{told:?}");
        if told.len() == 2 {
            assert_eq!(told[1], "disk: roll and snapshot");
            rolls += 1;
        }
    }
    assert!((9..=14).contains(&rolls), "{rolls} snapshots in 41 transactions");
    play.settle();
}

#[test]
fn zxids_go_on_where_the_restored_history_ended() {
    let mut before = Play::with_a_session();
    before.ask(1, OpCode::Create, create("/a", 0));
    before.settle();
    let mut play = Play::over(before.db, 1_000_000);
    let told = play.ask(1, OpCode::Delete, versioned("/a", 0));
    assert_eq!(told, ["disk: append delete /a as 0x3, ticket 1"]);
    play.settle();
}
