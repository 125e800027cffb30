//! Whatever happened before, in peace there soon is one leader that all follow.

use super::*;
use crate::proto::membership::Hierarchy;

/// Numbers of a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

impl Play {
    fn sids(&self) -> Vec<i64> {
        self.servers.keys().copied().collect()
    }

    fn runs(&self, sid: i64) -> bool {
        self.servers.get(&sid).is_some_and(|server| !matches!(server.role, Role::Down))
    }

    /// A connection between two servers comes up, or goes down with what was under way over it.
    fn connect(&mut self, one: i64, other: i64, up: bool) {
        let pair = [(one, other), (other, one)];
        for (this, that) in pair {
            self.apart.remove(&(this, that));
            self.lost.remove(&(this, that));
        }
        if !up {
            self.apart.insert((one, other));
            self.wires.retain(|(from, to, _)| !pair.contains(&(*from, *to)));
        }
        let both_run = self.runs(one) && self.runs(other);
        for (this, that) in pair {
            let member = self.member(this);
            let changed = if up && both_run {
                member.reaches(Sid(that))
            } else {
                member.connected.remove(&Sid(that))
            };
            if changed {
                self.step(this, |election, turn| election.mesh_changed(turn));
            }
        }
    }

    /// What the roles would find out: nobody follows whom it does not reach or who does not lead,
    /// nobody leads without a quorum that follows it.
    fn give_up(&mut self) {
        let mut again = Vec::new();
        for (&sid, server) in &self.servers {
            let follows = |other: Sid, leader: i64| {
                let reached = other.0 == leader || !self.are_apart(other.0, leader);
                let other = self.servers.get(&other.0);
                reached
                    && other.is_some_and(|other| {
                        let settled = matches!(other.role, Role::Settled(_));
                        settled && other.member.vote.0.leader.0 == leader
                    })
            };
            let holds = match server.role {
                Role::Down | Role::Looking(_) => true,
                Role::Settled(ServerState::Leading) => {
                    server.member.configs.contains_quorum(|other| follows(other, sid))
                }
                Role::Settled(_) => {
                    let leader = server.member.vote.0.leader;
                    follows(Sid(sid), leader.0)
                        && self.servers.get(&leader.0).is_some_and(|leader| {
                            matches!(leader.role, Role::Settled(ServerState::Leading))
                        })
                }
            };
            if !holds {
                again.push(sid);
            }
        }
        for sid in again {
            self.look(sid);
        }
    }

    fn one_accident(&mut self, dice: &mut Dice) {
        let sids = self.sids();
        let mut any = || sids[dice.below(sids.len() as u64) as usize];
        let (one, other) = (any(), any());
        match dice.below(8) {
            0 if self.runs(one) => self.kill(one),
            0 | 1 if !self.runs(one) => self.start(&[one]),
            2 if one != other => self.connect(one, other, false),
            3 if one != other => self.connect(one, other, true),
            4 if one != other => {
                self.lost.insert((one, other));
            }
            5 => {
                // It leads, or was led, and has logged something meanwhile.
                let epoch = self.member(one).current_epoch.0;
                let zxid = (u64::from(epoch) << 32) + dice.below(4);
                let logged = self.member(one).last_logged.max(Zxid(zxid));
                self.member(one).last_logged = logged;
                if matches!(self.servers[&one].role, Role::Settled(_)) {
                    self.look(one);
                }
            }
            6 => self.give_up(),
            _ => {}
        }
        self.pass(dice.below(400));
    }
}

fn configuration(dice: &mut Dice) -> QuorumVerifier {
    let voters = 3 + dice.below(4) as i64;
    let mut config = ensemble(voters, dice.below(3) as i64);
    if voters == 6 && dice.below(2) == 0 {
        config.hierarchy = Some(Hierarchy {
            groups: (1..=6).map(|sid| (Sid(sid), sid % 3)).collect(),
            weights: [(Sid(1 + dice.below(6) as i64), dice.below(3) as i64)].into(),
        });
    }
    config
}

#[test]
fn whatever_happened_before_one_leader_is_found() {
    for seed in 0..400 {
        let mut dice = Dice(seed * 7919 + 1);
        let config = configuration(&mut dice);
        let mut play = Play::new(&config);
        for sid in play.sids() {
            let epoch = dice.below(3);
            play.has(sid, epoch as u32, (epoch << 32) + dice.below(3));
        }
        for _ in 0..60 {
            play.one_accident(&mut dice);
        }
        let sids = play.sids();
        let down: Vec<i64> = sids.iter().copied().filter(|sid| !play.runs(*sid)).collect();
        play.start(&down);
        for &one in &sids {
            for &other in sids.iter().filter(|other| **other > one) {
                play.connect(one, other, false);
                play.connect(one, other, true);
            }
        }
        play.told();
        for _ in 0..4 {
            play.pass(2_500);
            play.give_up();
        }
        play.pass(2_500);
        let leading: Vec<i64> = sids
            .iter()
            .copied()
            .filter(|sid| matches!(play.servers[sid].role, Role::Settled(ServerState::Leading)))
            .collect();
        let story = play.told().join("\n");
        assert_eq!(leading.len(), 1, "seed {seed}: {:?}\n{story}", play.roles());
        for sid in &sids {
            let server = &play.servers[sid];
            let settled = matches!(server.role, Role::Settled(_));
            let vote = server.member.vote.0.leader.0;
            assert!(settled && vote == leading[0], "seed {seed}: {:?}\n{story}", play.roles());
        }
    }
}
