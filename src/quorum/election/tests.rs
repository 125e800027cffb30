//! Plays of elections: several cores in one thread, and a network of FIFO wires between them.
//!
//! A line is a notification at the moment it is taken (`1 to 2: looking, …`), or what became of a
//! server (`2 ends: follows 3`). Messages take no time; time passes only when everything was
//! delivered and somebody waits for a deadline.

mod configs;
mod counting;
mod joining;
mod noise;
mod order;
mod partitions;
mod peace;
mod settling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::processor::testing::tree_options;
use crate::proto::{Epoch, QuorumVerifier, Zxid};
use crate::quorum::configs::Configs;
use crate::quorum::effect::{Effects, LinkEffect};
use crate::quorum::testing::{
    client_in_words, disk_in_words, ensemble, link_in_words, member, state_in_words, vote_in_words,
};
use crate::time::Instant;
use crate::tree::Database;

/// The servers of a configuration, none of which runs at first.
struct Play {
    db: Database,
    now_ms: u64,
    servers: BTreeMap<i64, Server>,
    wires: VecDeque<(i64, i64, Notification)>,
    /// Pairs that have no connection.
    apart: BTreeSet<(i64, i64)>,
    /// Whether a server that starts has met nobody before. Else all who do not run are known to be gone.
    cold: bool,
    /// Messages from the one to the other are lost, though both believe in their connection.
    lost: BTreeSet<(i64, i64)>,
    lines: Vec<String>,
}

struct Server {
    member: Member,
    role: Role,
}

enum Role {
    Down,
    Looking(FastLeaderElection),
    Settled(ServerState),
}

impl Play {
    fn new(config: &QuorumVerifier) -> Self {
        let server =
            |sid: &Sid| (sid.0, Server { member: member(sid.0, config), role: Role::Down });
        Play {
            db: Database::new(tree_options()),
            now_ms: 0,
            servers: config.members.keys().map(server).collect(),
            wires: VecDeque::new(),
            apart: BTreeSet::new(),
            cold: false,
            lost: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    /// Voters 1 to n, over empty databases.
    fn of(voters: i64) -> Self {
        Play::new(&ensemble(voters, 0))
    }

    fn member(&mut self, sid: i64) -> &mut Member {
        &mut self.servers.get_mut(&sid).expect("a server of the play").member
    }

    /// What a server has, before it starts.
    fn has(&mut self, sid: i64, epoch: u32, zxid: u64) {
        let member = self.member(sid);
        (member.current_epoch, member.last_logged) = (Epoch(epoch), Zxid(zxid));
    }

    /// Starts servers at the same moment, each with a connection to all that run and are not apart.
    fn start(&mut self, sids: &[i64]) {
        for sid in sids {
            let began = self.servers.get(sid).is_some_and(|s| !matches!(s.role, Role::Down));
            assert!(!began, "{sid} runs already");
            if !self.cold {
                let all = self.servers.keys().copied().map(Sid).collect();
                self.member(*sid).met = all;
            }
        }
        let running = self.servers.iter().filter(|(_, s)| !matches!(s.role, Role::Down));
        let running: Vec<i64> = running.map(|(sid, _)| *sid).chain(sids.iter().copied()).collect();
        for &one in sids {
            for &other in running.iter().filter(|other| **other != one) {
                if !self.are_apart(one, other) {
                    self.member(one).reaches(Sid(other));
                    self.member(other).reaches(Sid(one));
                }
            }
        }
        for &sid in sids {
            self.look(sid);
        }
        for &sid in running.iter().filter(|sid| !sids.contains(sid)) {
            self.step(sid, |election, turn| election.mesh_changed(turn));
        }
    }

    /// The server's process is killed. Nobody counts on its connections any more.
    fn kill(&mut self, sid: i64) {
        self.servers.get_mut(&sid).expect("a server of the play").role = Role::Down;
        self.member(sid).round = 0;
        self.member(sid).connected.clear();
        self.member(sid).met.clear();
        self.wires.retain(|(from, to, _)| *from != sid && *to != sid);
        let others: Vec<i64> = self.servers.keys().copied().filter(|other| *other != sid).collect();
        for other in others {
            if self.member(other).connected.remove(&Sid(sid)) {
                self.step(other, |election, turn| election.mesh_changed(turn));
            }
        }
    }

    /// The server looks for a leader: again, or for the first time.
    fn look(&mut self, sid: i64) {
        let Play { db, now_ms, servers, .. } = self;
        let server = servers.get_mut(&sid).expect("a server of the play");
        let mut effects = Effects::default();
        let now = Instant { mono_ms: *now_ms, wall_ms: 0 };
        let mut turn = Turn { now, db, member: &mut server.member, effects: &mut effects };
        server.role = Role::Looking(FastLeaderElection::new(&mut turn));
        self.carry_out(sid, effects);
    }

    /// A step of a server that is looking; others do not care.
    fn step(
        &mut self,
        sid: i64,
        act: impl FnOnce(&mut FastLeaderElection, &mut Turn<'_>) -> Option<Elected>,
    ) {
        let Play { db, now_ms, servers, .. } = self;
        let server = servers.get_mut(&sid).expect("a server of the play");
        let Role::Looking(election) = &mut server.role else { return };
        let mut effects = Effects::default();
        let now = Instant { mono_ms: *now_ms, wall_ms: 0 };
        let mut turn = Turn { now, db, member: &mut server.member, effects: &mut effects };
        let elected = act(election, &mut turn);
        if let Some(Elected { vote, round, .. }) = elected {
            server.member.vote = (vote, round);
            let state = match vote.leader {
                leader if leader == server.member.me => ServerState::Leading,
                _ if server.member.is_voter() => ServerState::Following,
                _ => ServerState::Observing,
            };
            server.role = Role::Settled(state);
        }
        self.carry_out(sid, effects);
        if let Some(Elected { vote, round, .. }) = elected {
            let vote = vote_in_words(&vote);
            self.lines.push(format!("{sid} ends: {vote}, round {round}, {} ms", self.now_ms));
        }
    }

    fn carry_out(&mut self, sid: i64, effects: Effects) {
        for effect in &effects.disk {
            self.lines.push(format!("{sid}: {}", disk_in_words(effect)));
        }
        for effect in effects.links {
            match effect {
                LinkEffect::Notify { to, notification } => {
                    self.wires.push_back((sid, to.0, notification));
                }
                other => self.lines.push(format!("{sid}: {}", link_in_words(&other))),
            }
        }
        for effect in &effects.client {
            self.lines.push(format!("{sid}: {}", client_in_words(effect)));
        }
    }

    fn are_apart(&self, one: i64, other: i64) -> bool {
        self.apart.contains(&(one, other)) || self.apart.contains(&(other, one))
    }

    /// Hands one notification over.
    fn take(&mut self, from: i64, to: i64, n: Notification) {
        let Some(server) = self.servers.get_mut(&to) else { return };
        match &server.role {
            Role::Down => {}
            Role::Looking(_) => {
                self.step(to, |election, turn| election.notified(turn, Sid(from), n))
            }
            Role::Settled(state) => {
                let state = *state;
                let mut effects = Effects::default();
                let now = Instant { mono_ms: self.now_ms, wall_ms: 0 };
                let mut turn =
                    Turn { now, db: &self.db, member: &mut server.member, effects: &mut effects };
                answer(&mut turn, state, Sid(from), &n);
                self.carry_out(to, effects);
            }
        }
    }

    /// Delivers everything that is under way, and what comes of it.
    fn deliver(&mut self) {
        let mut most = 100_000;
        while let Some((from, to, n)) = self.wires.pop_front() {
            most -= 1;
            assert!(most > 0, "servers answer each other for ever");
            let runs = self.servers.get(&to).is_some_and(|s| !matches!(s.role, Role::Down));
            if !runs || self.are_apart(from, to) || self.lost.contains(&(from, to)) {
                continue;
            }
            let (state, vote) = (state_in_words(n.state), vote_in_words(&n.vote));
            self.lines.push(format!("{from} to {to}: {state}, {vote}, round {}", n.round));
            self.take(from, to, n);
        }
    }

    /// Delivers, and lets that much time pass, with everybody woken when it wants to be.
    fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        loop {
            self.deliver();
            let looking = self.servers.iter().filter_map(|(sid, server)| match &server.role {
                Role::Looking(election) => Some((election.next_deadline(), *sid)),
                Role::Down | Role::Settled(_) => None,
            });
            let Some((deadline, sid)) = looking.min().filter(|(at, _)| *at <= until) else { break };
            self.now_ms = self.now_ms.max(deadline);
            self.step(sid, |election, turn| election.tick(turn));
        }
        self.now_ms = until;
    }

    /// The leader has synchronized those that follow it: their votes name the new epoch (C-224).
    fn establish(&mut self, epoch: u32) {
        for server in self.servers.values_mut() {
            if matches!(server.role, Role::Settled(_)) {
                server.member.vote.0.peer_epoch = i64::from(epoch);
                server.member.current_epoch = Epoch(epoch);
            }
        }
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// What each server that runs does.
    fn roles(&self) -> Vec<String> {
        let running = self.servers.iter().filter_map(|(sid, server)| match server.role {
            Role::Down => None,
            Role::Looking(_) => Some(format!("{sid} looking")),
            Role::Settled(ServerState::Leading) => Some(format!("{sid} leading")),
            Role::Settled(state) => {
                let leader = server.member.vote.0.leader;
                Some(format!("{sid} {} {}", state_in_words(state), leader.0))
            }
        });
        running.collect()
    }
}

/// A notification of a server that is not in the play.
fn looking(vote: Vote, round: i64) -> Notification {
    Notification {
        state: ServerState::Looking,
        vote,
        round,
        version: Notification::VERSION,
        config: None,
    }
}

fn vote(leader: i64, peer_epoch: i64, zxid: i64) -> Vote {
    Vote { leader: Sid(leader), zxid, peer_epoch }
}
