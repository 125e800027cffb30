//! What a quota lets through.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

/// A leader with `/q`, which has four bytes, and its quota.
fn limited(enforce_quota: bool, limits: &[u8]) -> Leader {
    let mut leader = Leader::with(PrepOptions { enforce_quota, ..prep_options() });
    for path in ["/q", "/zookeeper/quota/q", LIMITS] {
        leader.given(Create, create(path, 0));
    }
    leader.given(SetData, set_data(LIMITS, limits, -1));
    leader.given(Create, create(STATS, 0));
    leader.apply_all();
    leader
}

/// Deletes and creates as the parts of a multi.
fn parts(deleted: &[&str], created: &[&str]) -> Vec<u8> {
    let deleted = deleted.iter().map(|path| (Delete, versioned(path, -1)));
    let created = created.iter().map(|path| (Create, create(path, 0)));
    multi(&deleted.chain(created).collect::<Vec<_>>())
}

fn refusals(leader: &mut Leader) -> Vec<Box<[u8]>> {
    leader.prep.take_quota_refusals().collect()
}

/// C-281
#[test]
fn a_hard_limit_refuses_and_the_namespace_is_told() {
    let mut leader = limited(true, b"count=1,bytes=1=;byteHardLimit=12;countHardLimit=3");
    leader.given(Create, create("/q/a", 0));
    leader.given(Create, create("/q/b", 0));
    leader.apply_all();
    assert_eq!(leader.prepare(Create, create("/q/c", 0)), "error -125");
    assert_eq!(leader.prepare(Create, create("/q/b/s-", SEQUENTIAL)), "error -125");
    assert_eq!(leader.prepare(Create, create("/q-", 0)), "create /q-", "another namespace");
    assert_eq!(leader.prepare(SetData, set_data("/q/a", b"12345", 77)), "error -125", "F-4");
    assert_eq!(leader.prepare(SetData, set_data("/q/a", b"1234", -1)), "setData /q/a 1");
    assert_eq!(refusals(&mut leader), [Box::from(&b"q"[..]), b"q"[..].into(), b"q"[..].into()]);
    leader.given(Delete, versioned("/q/a", -1));
    assert_eq!(refusals(&mut leader), []);
}

#[test]
fn without_enforcement_and_without_a_hard_limit_nothing_is_refused() {
    for (enforce, limits) in [
        (false, &b"count=0,bytes=0=;byteHardLimit=0;countHardLimit=0"[..]),
        (true, b"count=0,bytes=0"),
    ] {
        let mut leader = limited(enforce, limits);
        leader.given(Create, create("/q/a", 0));
        leader.given(SetData, set_data("/q", b"longer than before", -1));
        assert_eq!(refusals(&mut leader), []);
    }
}

/// As Apache has it: what is left is judged, not what is taken away.
#[test]
fn past_the_limit_a_shorter_text_may_still_be_too_long() {
    let mut leader = limited(true, b"byteHardLimit=2");
    assert_eq!(leader.prepare(SetData, set_data("/q", b"123", -1)), "error -125");
    assert_eq!(leader.prepare(SetData, set_data("/q", b"4321", -1)), "setData /q 1");
    assert_eq!(leader.prepare(SetData, set_data("/q", b"12", -1)), "setData /q 2");
}

/// Requests in flight, and parts of one multi, see each other: a limit is kept exactly.
#[test]
fn what_is_pending_counts() {
    let mut leader = limited(true, b"countHardLimit=3");
    leader.given(Create, create("/q/a", 0));
    let both = parts(&[], &["/q/b", "/q/c"]);
    assert_eq!(leader.prepare(Multi, both), "multi [create /q/b, error -125]");
    leader.given(Create, create("/q/b", 0));
    assert_eq!(leader.prepare(Create, create("/q/c", 0)), "error -125");
    let in_place = parts(&["/q/a"], &["/q/c"]);
    assert_eq!(leader.prepare(Multi, in_place), "multi [delete /q/a, create /q/c]");
    assert_eq!(leader.prepare(Create, create("/q/d", 0)), "error -125");
    // The tree may be ahead of the records' retirement: nothing counts twice.
    while leader.apply_next().is_some() {
        assert_eq!(leader.prep.node(b"/q", &leader.db).map(|n| n.num_children), Some(2));
    }
    leader.given(Delete, versioned("/q/c", -1));
    assert_eq!(leader.prepare(Create, create("/q/d", 0)), "create /q/d");
    assert_eq!(leader.prepare(Create, create("/q/e", 0)), "error -125");
    leader.apply_all();
}

#[test]
fn a_closing_session_makes_room() {
    let mut leader = limited(true, b"countHardLimit=2");
    leader.given(Create, create("/q/e", EPHEMERAL));
    assert_eq!(leader.prepare_for(2, Create, create("/q/f", 0)), "error -125");
    leader.given(CloseSession, Vec::new());
    assert_eq!(leader.prepare_for(2, Create, create("/q/f", 0)), "create /q/f");
    leader.apply_all();
}

/// C-284
#[test]
fn texts_that_say_nothing_limit_nothing() {
    for (limits, stats) in [
        (&b"countHardLimit=x"[..], &b"count=0,bytes=0"[..]),
        (b"", b"count=0,bytes=0"),
        (b"countHardLimit=0", b"nonsense"),
    ] {
        let mut leader = limited(true, limits);
        leader.given(SetData, set_data(STATS, stats, -1));
        leader.apply_all();
        leader.given(Create, create("/q/a", 0));
    }
    let mut leader = limited(true, b"countHardLimit=0");
    leader.given(Delete, versioned(STATS, -1));
    leader.apply_all();
    leader.given(Create, create("/q/a", 0));
}
