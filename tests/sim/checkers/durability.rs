//! What is committed is on the disks of a quorum, and stays.
//!
//! ZooKeeper's promise of durability (C-155, C-156), in the system model "a committed transaction is
//! on the disk of a quorum". Five questions:
//! * When a transaction is first known committed, a quorum of the voters of every configuration in
//!   force has it durable, or had before a disk rotted or was wiped (such a server has no vote then).
//! * When a write is acknowledged to a client, it is committed.
//! * A leader that is established has everything that was committed before.
//! * What a disk has reported is there when the server starts again, unless it admits that it may
//!   have forgotten.
//! * A session that was handed out was made by a committed transaction.

use zkserver::proto::{Epoch, SessionId, Sid, Zxid};

use super::chain::Committed;
use super::server_log::ServerLog;
use super::{At, Map, Run, violation};
use crate::history::{
    ClientEvent, ClientId, Event, How, Micros, OpId, Request, Response, ServerEvent, Violation,
};

pub const NAME: &str = "durability";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut disks: Map<Sid, ServerLog> = Map::default();
    let mut judged = 0;
    let mut writes: Map<(ClientId, OpId), bool> = Map::default();
    let mut acknowledged: Option<(Zxid, Micros)> = None;
    for (at, event) in &run.history.events {
        match event {
            Event::Server(sid, event) => {
                if let ServerEvent::Started { last_zxid, may_vote: true, .. } = event {
                    let disk = disks.entry(*sid).or_default();
                    let durable = disk.durable();
                    let is_lost = durable > *last_zxid && !run.chain.contains(*last_zxid, durable);
                    if is_lost && !disk.may_end_with(*last_zxid) {
                        return Err(violation(
                            NAME,
                            *at,
                            format_args!(
                                "{sid} starts with a history up to {last_zxid}, but its disk had \
                                 reported {durable}, and it votes"
                            ),
                        ));
                    }
                }
                disks.entry(*sid).or_default().take(event);
                let commits = match event {
                    ServerEvent::Committed { zxid, .. }
                    | ServerEvent::Applied { zxid, how: How::Commit, .. } => *zxid,
                    ServerEvent::Established(epoch) => {
                        established(run, (*sid, *epoch), &disks[sid], acknowledged, *at)?;
                        disks[sid].before(*epoch)
                    }
                    _ => continue,
                };
                let Some(commit) = run.chain.commit_of(commits) else { continue };
                let depth = run.chain.entry(commit.place).depth;
                if depth > judged {
                    judged = depth;
                    on_a_quorum(run, &disks, *sid, commits, *at)?;
                }
            }
            Event::Client(client, ClientEvent::Invoked { op, request, .. }) => {
                writes.insert((*client, *op), is_write(request));
            }
            Event::Client(client, ClientEvent::Returned { op, zxid, result }) => {
                if writes.remove(&(*client, *op)) != Some(true)
                    || result.is_err()
                    || zxid.counter() == 0
                {
                    continue;
                }
                if matches!(result, Ok(Response::MultiFailed(_))) {
                    continue;
                }
                let is_committed =
                    run.chain.commit_of(*zxid).is_some_and(|committed| committed.at <= *at);
                if !is_committed {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "client {} was told that its write {zxid} is done (operation {}), and \
                             nobody knows it committed",
                            client.0, op.0
                        ),
                    ));
                }
                if acknowledged.is_none_or(|(last, _)| last < *zxid) {
                    acknowledged = Some((*zxid, *at));
                }
            }
            Event::Client(client, ClientEvent::Connected { session, server, .. })
                if !run.history.local_sessions =>
            {
                known_session(run, client.0, *server, *session, *at)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Judged by epochs, not by the clock: a leader that stood still since a quorum has acknowledged its
/// epoch establishes it when it goes on, though another of a later epoch commits by then.
fn established(
    run: &Run<'_>,
    (sid, epoch): (Sid, Epoch),
    log: &ServerLog,
    acknowledged: Option<(Zxid, Micros)>,
    at: Micros,
) -> Result<(), Violation> {
    if let Some((zxid, since)) = acknowledged
        && zxid.epoch() < epoch
        && !run.chain.contains(log.top(), zxid)
    {
        return Err(violation(
            NAME,
            at,
            format_args!(
                "{sid} is established with a history up to {}, without {zxid}, which a client was \
                 told is done at {}",
                log.top(),
                At(since)
            ),
        ));
    }
    let is_before =
        |held: &&Committed| held.at < at && run.chain.entry(held.place).zxid.epoch() < epoch;
    let before = run.chain.committed().iter().take_while(is_before).last();
    if let Some(last) = before {
        let zxid = run.chain.entry(last.place).zxid;
        if !run.chain.contains(log.top(), zxid) {
            return Err(violation(
                NAME,
                at,
                format_args!(
                    "{sid} is established with a history up to {}, without {zxid}, which {} knew \
                     committed at {}",
                    log.top(),
                    last.by,
                    At(last.at)
                ),
            ));
        }
    }
    Ok(())
}

fn on_a_quorum(
    run: &Run<'_>,
    disks: &Map<Sid, ServerLog>,
    by: Sid,
    zxid: Zxid,
    at: Micros,
) -> Result<(), Violation> {
    let has = |sid: Sid| {
        let contains = |last| run.chain.contains(last, zxid);
        disks.get(&sid).is_some_and(|disk| contains(disk.durable()) || contains(disk.forgotten()))
    };
    if is_quorum(run, zxid, at, has) {
        return Ok(());
    }
    let mut durable: Vec<(Sid, Zxid)> =
        disks.iter().map(|(sid, disk)| (*sid, disk.durable())).collect();
    durable.sort();
    let durable: Vec<String> =
        durable.iter().map(|(sid, zxid)| format!("{sid} to {zxid}")).collect();
    Err(violation(
        NAME,
        at,
        format_args!(
            "{by} knows {zxid} committed, and no quorum has it on its disks: {}",
            durable.join(", ")
        ),
    ))
}

/// Whether those for whom `has` holds are a quorum of every configuration that must accept `zxid`:
/// the last one that is not behind it, and of a reconfiguration also the one before.
fn is_quorum(run: &Run<'_>, zxid: Zxid, at: Micros, has: impl Fn(Sid) -> bool) -> bool {
    let history = run.history;
    let is_enforced = |version| {
        history.enforced.iter().any(|(since, enforced)| *since <= at && *enforced == version)
    };
    let in_force = history.configs.iter().filter(|(version, _)| {
        let is_known = || run.chain.commit_of(*version).is_some() || is_enforced(*version);
        *version <= zxid && (*version == Zxid::ZERO || is_known())
    });
    let mut in_force: Vec<_> = in_force.collect();
    in_force.sort_by_key(|(version, _)| *version);
    in_force.dedup_by_key(|(version, _)| *version);
    match &in_force[..] {
        [] => 2 * history.voters.iter().filter(|sid| has(**sid)).count() > history.voters.len(),
        [.., (_, old), (version, new)] if *version == zxid => {
            old.contains_quorum(&has) && new.contains_quorum(&has)
        }
        [.., (_, config)] => config.contains_quorum(has),
    }
}

fn known_session(
    run: &Run<'_>,
    client: u32,
    server: Sid,
    session: SessionId,
    at: Micros,
) -> Result<(), Violation> {
    let life = run.story.sessions.get(&session);
    let made = life.and_then(|life| run.chain.commit_of(life.created));
    if made.is_some_and(|made| made.at <= at) {
        return Ok(());
    }
    Err(violation(
        NAME,
        at,
        format_args!(
            "client {client} is given session {session} by {server}, and no committed transaction \
             has made it"
        ),
    ))
}

fn is_write(request: &Request) -> bool {
    match request {
        Request::Create { .. }
        | Request::CreateReaped { .. }
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::Multi(_) => true,
        // A session that is closed twice ends once: the second has no transaction.
        Request::Reconfig { .. }
        | Request::CloseSession
        | Request::GetData { .. }
        | Request::Exists { .. }
        | Request::GetChildren { .. }
        | Request::Sync { .. }
        | Request::Check { .. }
        | Request::SetWatches { .. }
        | Request::Ping => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Play, stat};
    use super::*;
    use std::sync::Arc;

    use zkserver::proto::{Epoch, QuorumVerifier};

    fn client(play: &mut Play) {
        let session = play.create_session(7);
        play.commit(1, &[1, 2, 3], &session);
        play.connect(1, 1, 7);
    }

    fn set() -> Request {
        Request::SetData { path: "/a".into(), value: 1, version: -1 }
    }

    #[test]
    fn a_write_on_two_of_three() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        client(&mut play);
        let op = play.invoke(1, set());
        play.write(1, &[1, 2]);
        let zxid = play.zxid(1, 2);
        play.answer(1, op, zxid, Ok(Response::Stat(stat(zxid, zxid, 1))));
        play.restart(1);
        play.lead(2, 2);
        play.passes(check);
    }

    #[test]
    fn a_commit_on_one_disk_of_three() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1]);
        play.fails(check, &["server 1 knows 0x100000001 committed", "server 2 to 0x0", " s"]);
    }

    /// The transaction that proposed it may be lost; whoever leads then has a quorum of both.
    #[test]
    fn a_configuration_that_came_into_force_with_a_leader() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let server = |n: i64| {
            format!(
                "server.{n}=10.0.0.{n}:2888:3888:{};2181",
                ["participant", "observer"][n as usize / 3]
            )
        };
        let lines: Vec<String> = (1..=3).map(server).collect();
        let text = format!("{}\nversion=100000007", lines.join("\n"));
        let config = QuorumVerifier::parse(text.as_bytes()).expect("a configuration");
        play.history.configs.push((play.zxid(1, 7), Arc::new(config)));
        play.lead(1, 2);
        play.write(1, &[1, 3]);
        play.passes(check);
        play.history.enforced.push((0, play.zxid(1, 7)));
        play.fails(check, &["server 1 knows 0x200000001 committed"]);
    }

    #[test]
    fn observers_do_not_count() {
        let mut play = Play::of_three();
        play.history.observers.push(Sid(4));
        play.start(4, Zxid::ZERO, Epoch(0));
        play.lead(1, 1);
        play.propose(1, &[1, 4]);
        let zxid = play.zxid(1, 1);
        let txn = play.propose(1, &[]);
        play.server(1, ServerEvent::Committed { zxid, txn });
        play.fails(check, &["server 1 knows 0x100000001 committed", "server 4 to 0x100000001"]);
    }

    #[test]
    fn a_leader_that_is_seen_late_has_proposed_already() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.restart(1);
        play.lead(1, 2);
        play.propose(1, &[1]);
        // What it has in its epoch is not what a quorum has acknowledged of its history.
        play.server(1, ServerEvent::Established(Epoch(2)));
        play.passes(check);
    }

    #[test]
    fn a_write_is_acknowledged_before_it_is_committed() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        client(&mut play);
        let op = play.invoke(1, set());
        play.propose(1, &[1, 2]);
        let zxid = play.zxid(1, 2);
        play.answer(1, op, zxid, Ok(Response::Stat(stat(zxid, zxid, 1))));
        play.fails(check, &["client 1", "0x100000002", "nobody knows it committed", " s"]);
    }

    #[test]
    fn a_leader_lacks_what_was_committed() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2]);
        play.lead(3, 2);
        play.fails(check, &["server 3 is established", "up to 0x0, without 0x100000001", " s"]);
    }

    #[test]
    fn a_disk_forgets_and_its_server_votes() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.start(3, Zxid::ZERO, Epoch(0));
        play.fails(check, &["server 3 starts with a history up to 0x0", "0x100000001", " s"]);
    }

    #[test]
    fn a_session_that_nobody_made() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.connect(1, 1, 9);
        play.fails(check, &["client 1", "session 0x9", "server 1", " s"]);
    }
}
