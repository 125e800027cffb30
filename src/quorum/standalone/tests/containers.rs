//! Containers and TTL nodes go when their time has come, and not before.

use super::*;
use crate::processor::testing::{create_ttl, set_data};

/// A server whose session lives on, with `/c`, a container that has lost its child.
fn with_an_empty_container() -> Play {
    let mut play = Play::new();
    let attempt = ConnectAttempt {
        connection: ConnectionId(1),
        session: SessionId::NONE,
        timeout_ms: 1_000_000,
        had_read_only: false,
        identities: Arc::new(Identities::default()),
        received_ms: 0,
    };
    play.step(Input::Submitted(vec![Submission::Connect(attempt)]));
    play.ask(1, OpCode::CreateContainer, create("/c", 4));
    play.ask(1, OpCode::Create, create("/c/x", 0));
    play.ask(1, OpCode::Delete, versioned("/c/x", -1));
    play.settle();
    play
}

/// C-277
#[test]
fn an_empty_container_is_deleted_at_the_next_sweep() {
    let mut play = with_an_empty_container();
    assert_eq!(play.pass_time_until(59_999), NOTHING);
    let told = play.pass_time_until(60_500);
    assert_eq!(told, ["60000 ms: disk: append delete /c as 0x5, ticket 5"]);
    play.settle();
    assert!(play.db.tree.node(b"/c").is_none());
    assert_eq!(play.pass_time_until(130_000), NOTHING);
}

/// C-277
#[test]
fn a_container_that_never_had_a_child_stays() {
    let mut play = with_an_empty_container();
    play.ask(1, OpCode::CreateContainer, create("/new", 4));
    play.settle();
    play.pass_time_until(300_000);
    play.settle();
    assert!(play.db.tree.node(b"/new").is_some() && play.db.tree.node(b"/c").is_none());
}

/// C-280: a create that is only pending saves the container.
#[test]
fn a_pending_child_saves_its_container() {
    let mut play = with_an_empty_container();
    play.pass_time_until(59_000);
    play.ask(1, OpCode::Create, create("/c/y", 0));
    assert_eq!(play.pass_time_until(60_500), NOTHING, "the tree does not have the child yet");
    play.settle();
    assert!(play.db.tree.node(b"/c/y").is_some());
}

/// C-278, N-19
#[test]
fn a_ttl_node_goes_when_it_was_not_set_for_its_ttl() {
    let mut play = with_an_empty_container();
    play.ask(1, OpCode::Delete, versioned("/c", -1));
    play.ask(1, OpCode::CreateTtl, create_ttl("/t", 5, 50_000));
    play.ask(1, OpCode::CreateTtl, create_ttl("/set", 5, 50_000));
    play.ask(1, OpCode::CreateTtl, create_ttl("/pending", 5, 50_000));
    play.settle();
    play.pass_time_until(30_000);
    play.ask(1, OpCode::SetData, set_data("/set", b"", -1));
    play.settle();
    play.pass_time_until(59_000);
    play.ask(1, OpCode::SetData, set_data("/pending", b"", -1));
    let told = play.pass_time_until(60_500);
    assert_eq!(told, ["60000 ms: disk: append delete /t as 0xb, ticket 11"]);
    play.settle();
    let told = play.pass_time_until(120_500);
    assert_eq!(told.len(), 2, "both others, half a minute and a minute later: {told:?}");
}

/// C-277
#[test]
fn deletions_are_spaced() {
    let mut play = with_an_empty_container();
    play.ask(1, OpCode::Create, create("/c/y", 0));
    for n in 0..5 {
        play.ask(1, OpCode::CreateTtl, create_ttl(&format!("/{n}"), 5, 1));
    }
    play.settle();
    let told = play.pass_time_until(61_000);
    let times: Vec<_> = told.iter().map(|line| &line[..8]).collect();
    assert_eq!(times, ["60000 ms", "60006 ms", "60012 ms", "60018 ms", "60024 ms"]);
}

/// How many deletions a second and a half bring at that rate, of so many nodes that are due.
fn deleted_in_a_second_and_a_half(max_per_minute: u64, nodes: usize) -> usize {
    let mut play = with_an_empty_container();
    let start = Instant { mono_ms: 0, wall_ms: 0 };
    play.role.chain.sweep_by(ContainerOptions { max_per_minute, ..SWEEPS }, start);
    play.ask(1, OpCode::Create, create("/c/y", 0));
    for n in 0..nodes {
        play.ask(1, OpCode::CreateTtl, create_ttl(&format!("/{n}"), 5, 1));
    }
    play.settle();
    play.pass_time_until(59_999);
    play.pass_time_until(61_500).len()
}

/// C-277
#[test]
fn no_rate_is_exceeded_and_none_is_missed() {
    // From the first moment to the end of the last millisecond.
    assert_eq!(deleted_in_a_second_and_a_half(7_000, 3000), 175 + 1);
    assert_eq!(deleted_in_a_second_and_a_half(120_000, 4000), 3000 + 2);
    assert_eq!(deleted_in_a_second_and_a_half(1_000_000, 4000), 4000, "in several pieces");
}
