//! `Member`: what a server of an ensemble keeps from role to role.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::committed_log::CommittedLog;
use super::configs::Configs;
use super::durable::{Pending, Tickets};
use super::early_links::EarlyLinks;
use super::effect::{ClientEffect, DiskEffect, Effects, LinkEffect, Restored};
use super::lately::Lately;
use crate::processor::container_manager::ContainerOptions;
use crate::processor::prep::PrepOptions;
use crate::processor::sync::SyncRequestProcessor;
use crate::proto::membership::LearnerType;
use crate::proto::{Epoch, LinkId, QuorumPacket, QuorumVerifier, Sid, Vote, Zxid};
use crate::time::Instant;
use crate::tree::Database;

/// How a member behaves. Times are in milliseconds, limits in ticks.
#[derive(Debug, Clone)]
pub struct MemberOptions {
    /// `tickTime`.
    pub tick_ms: u64,
    /// `initLimit`: how long a learner may take to be synchronized.
    pub init_limit: u64,
    /// `syncLimit`: how long the other end of a link may be silent.
    pub sync_limit: u64,
    /// `connectToLearnerMasterLimit`; 0: `initLimit`.
    pub connect_to_learner_master_limit: u64,
    /// `leaderConnectDelayDuringRetryMs`: the pause between tries to reach the leader.
    pub leader_connect_delay_ms: u64,
    /// `fastleader.minNotificationInterval`: the first wait for votes.
    pub min_notification_ms: u64,
    /// `fastleader.maxNotificationInterval`: the longest.
    pub max_notification_ms: u64,
    /// How long an election settles after the last vote that counted, at most (`finalizeWait`).
    pub finalize_wait_ms: u64,
    /// `observer.election.DelayMs`: an observer without a leader waits up to this long.
    pub observer_election_delay_ms: u64,
    /// `observer.reconnectDelayMs`: one that lost its leader waits up to this long besides.
    pub observer_reconnect_delay_ms: u64,
    /// `leader.maxTimeToWaitForEpoch`; `None`: off.
    pub max_time_to_wait_for_epoch_ms: Option<u64>,
    /// `commitLogCount`.
    pub commit_log_count: usize,
    /// `forceSnapshotSync`.
    pub force_snapshot_sync: bool,
    /// `leader.maxConcurrentSnapSyncs`: snapshots under way above which no observer gets one.
    pub max_concurrent_snap_syncs: usize,
    /// `leader.maxConcurrentDiffSyncs`: the same of logs.
    pub max_concurrent_diff_syncs: usize,
    /// `leaderServes`.
    pub leader_serves: bool,
    /// `syncEnabled`: whether an observer logs.
    pub observer_logs: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `standaloneEnabled`: a configuration must then keep two voters.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`: a member may have several addresses.
    pub multi_address: bool,
    /// The highest counter of a zxid that a leader hands out; it leaves before a higher one is
    /// needed. `0xffff_fffe`, but where the end is to be met (C-223).
    pub last_counter: u32,
    /// `localSessionsEnabled`.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`.
    pub local_sessions_upgrade: bool,
    /// How prep judges.
    pub prep: PrepOptions,
    /// How containers are swept.
    pub containers: ContainerOptions,
}

/// A member: what lives as long as its process, or longer.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub me: Sid,
    /// How it behaves.
    pub options: MemberOptions,
    /// Who its fellows are.
    pub configs: Configs,
    /// The last epoch it promised to follow; on the disk, or on its way there.
    pub accepted_epoch: Epoch,
    /// The epoch whose leader it has last been synchronized with; likewise.
    pub current_epoch: Epoch,
    /// What the disk has been asked for, and has reported.
    pub tickets: Tickets,
    /// The last transaction that was given to the disk, or restored from it.
    pub last_logged: Zxid,
    /// The last proposal that this process has acknowledged.
    pub acknowledged: Zxid,
    /// The last transactions that were committed.
    pub committed: CommittedLog,
    /// Whether it has data at all; without, its zxid is -1 and nobody counts its vote (C-226).
    pub has_data: bool,
    /// False for a member that may have forgotten what it acknowledged: it first is synchronized as
    /// an observer.
    pub may_vote: bool,
    /// False between a change of the files below the database and the reload that follows it.
    pub database_is_current: bool,
    /// Whether the tree has what the log lacks: an observer with `syncEnabled=false` follows without
    /// one. What it had to promise as a voter it would forget.
    pub unlogged: bool,
    /// Whether the history may be a leader's tree, and what followed it, whose epoch was not entered
    /// since: nothing was promised on the ground of it, so a truncation that goes behind it may find
    /// the history before it instead, wherever that ends.
    pub tree_on_trial: bool,
    /// A restore of the database was asked for and is not done yet.
    pub reloading: bool,
    /// The round of elections it is in (`logicalclock`).
    pub round: i64,
    /// The vote that ended the last election, with the epoch that came of it, and the round in
    /// which it was given.
    pub vote: (Vote, i64),
    /// The servers to which the election mesh has a live connection.
    pub connected: BTreeSet<Sid>,
    /// The voters to which it ever had one. Of the others nobody knows whether they are about to come.
    pub met: BTreeSet<Sid>,
    /// What they have said while this server had a leader.
    pub lately: Lately,
    /// When snapshots are due.
    pub sync: SyncRequestProcessor,
    /// A seed that moves with every use: for waits that should differ.
    pub random: u64,
    /// The number of the next link that it dials.
    pub next_link: LinkId,
    /// Learners that have come while a leader was looked for.
    pub early: EarlyLinks,
}

/// How a role goes on after an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Stay,
    /// It ends: the server looks for a leader again.
    Leave {
        /// Why, in words.
        why: String,
        /// Who leads next, if that is known without an election (a reconfiguration's designated
        /// leader).
        successor: Option<Vote>,
    },
}

impl Outcome {
    /// The role ends, and an election decides what comes.
    pub fn leave(why: impl Into<String>) -> Self {
        Outcome::Leave { why: why.into(), successor: None }
    }
}

/// What a role has at hand for one input.
pub struct Turn<'a> {
    /// The moment.
    pub now: Instant,
    /// The database, as far as it was applied: effects of this turn are not in it yet.
    pub db: &'a Database,
    /// The member.
    pub member: &'a mut Member,
    /// What is to be done.
    pub effects: &'a mut Effects,
}

impl Turn<'_> {
    /// Gives the next transaction to the log; a snapshot begins when one is due.
    ///
    /// # Panics
    /// If it is not behind the last one.
    pub fn log(&mut self, zxid: Zxid, txn: Bytes) -> Pending<Zxid> {
        let member = &mut *self.member;
        assert!(zxid > member.last_logged, "{zxid} is logged after {}", member.last_logged);
        member.last_logged = zxid;
        let (ticket, pending) = member.tickets.issue(zxid);
        let snapshot = member.sync.process(txn.len());
        self.effects.disk.push(DiskEffect::Append { ticket, zxid, txn });
        if snapshot {
            self.effects.disk.push(DiskEffect::RollAndSnapshot);
        }
        pending
    }

    /// Cuts the log behind `to`. The tree is not current before it was reloaded.
    pub fn truncate(&mut self, to: Zxid) -> Pending<Zxid> {
        self.member.last_logged = to;
        self.member.database_is_current = false;
        let (ticket, pending) = self.member.tickets.issue(to);
        self.effects.disk.push(DiskEffect::Truncate { ticket, to });
        pending
    }

    /// Makes the stream that arrived over `link` the snapshot to start from. The tree is not
    /// current before it was reloaded.
    pub fn install_snapshot(&mut self, link: LinkId, zxid: Zxid) -> Pending<Zxid> {
        self.member.last_logged = zxid;
        self.member.tree_on_trial = true;
        self.member.database_is_current = false;
        let (ticket, pending) = self.member.tickets.issue(zxid);
        self.effects.disk.push(DiskEffect::InstallSnapshot { ticket, link, zxid });
        pending
    }

    /// Has the database restored from the disk. An older restore that is under way finds the same:
    /// the disk is changed by a role that waits for it, or not at all.
    pub fn reload(&mut self) {
        if !self.member.reloading {
            self.member.reloading = true;
            self.effects.client.push(ClientEffect::Reload);
        }
    }

    /// Writes `acceptedEpoch`.
    pub fn accept_epoch(&mut self, epoch: Epoch) -> Pending<Epoch> {
        self.member.accepted_epoch = epoch;
        let (ticket, pending) = self.member.tickets.issue(epoch);
        self.effects.disk.push(DiskEffect::AcceptedEpoch { ticket, epoch });
        pending
    }

    /// Writes `currentEpoch`.
    pub fn set_current_epoch(&mut self, epoch: Epoch) -> Pending<Epoch> {
        self.member.current_epoch = epoch;
        self.member.tree_on_trial = false;
        let (ticket, pending) = self.member.tickets.issue(epoch);
        self.effects.disk.push(DiskEffect::CurrentEpoch { ticket, epoch });
        pending
    }

    /// Enters an epoch without a log: `currentEpoch` would claim for the disk what is not there, so
    /// it stays what it is, and nobody counts the ACK.
    pub fn enter_without_log(&mut self, epoch: Epoch) -> Pending<Epoch> {
        let (ticket, pending) = self.member.tickets.issue(epoch);
        let epoch = self.member.current_epoch;
        self.member.tree_on_trial = false;
        self.effects.disk.push(DiskEffect::CurrentEpoch { ticket, epoch });
        pending
    }

    /// Takes up a configuration that was proposed; it counts from here on, and once this is
    /// durable it is not forgotten.
    pub fn see_config(&mut self, config: Arc<QuorumVerifier>) -> Pending<i64> {
        let (ticket, pending) = self.member.tickets.issue(config.version);
        self.member.configs.last_seen = config.clone();
        self.effects.disk.push(DiskEffect::LastSeenConfig { ticket, config });
        pending
    }

    /// A configuration is in force, and mesh, ports and tree follow it.
    pub fn activate_config(&mut self, config: Arc<QuorumVerifier>) -> Pending<i64> {
        self.effects.client.push(ClientEffect::ActivateConfig(config.clone()));
        self.enforce_config(config)
    }

    /// A configuration is in force. Its [`ClientEffect::ActivateConfig`] follows when the
    /// transaction that brought it goes to apply.
    pub fn enforce_config(&mut self, config: Arc<QuorumVerifier>) -> Pending<i64> {
        let (ticket, pending) = self.member.tickets.issue(config.version);
        let configs = &mut self.member.configs;
        configs.current = config.clone();
        if configs.last_seen.version < config.version {
            configs.last_seen = config.clone();
        }
        self.effects.disk.push(DiskEffect::ActivateConfig { ticket, config });
        pending
    }

    /// Sends a packet that promises nothing.
    pub fn send(&mut self, link: LinkId, packet: QuorumPacket) {
        self.effects.links.push(LinkEffect::Send { link, packet });
    }

    /// Ends a link, and says why.
    pub fn close(&mut self, link: LinkId, why: impl Into<String>) {
        self.effects.links.push(LinkEffect::Close { link, why: why.into() });
    }
}

impl Member {
    /// The election mesh has a connection to that server. Whether it had none.
    pub fn reaches(&mut self, sid: Sid) -> bool {
        // Anybody can claim any id, one after the other.
        if self.configs.is_voter(sid) {
            self.met.insert(sid);
        }
        self.connected.insert(sid)
    }

    /// The database was restored from the disk: from here on it is what was logged.
    pub fn reloaded(&mut self, restored: Restored) {
        assert!(self.tickets.is_drained(), "what is restored does not change any more");
        self.last_logged = restored.last_zxid;
        let (last, most) = (restored.last_zxid, self.options.commit_log_count);
        self.committed = CommittedLog::restored(last, restored.recent, most);
        self.database_is_current = true;
        self.unlogged = false;
        self.reloading = false;
    }

    /// A number for a link to dial.
    pub fn dial(&mut self) -> LinkId {
        let link = self.next_link;
        self.next_link = LinkId(link.0 + 1);
        link
    }

    /// Ticks as milliseconds.
    pub fn ticks(&self, ticks: u64) -> u64 {
        ticks.saturating_mul(self.options.tick_ms)
    }

    /// What it is. The list of members decides, whatever `peerType` says: who is not in it follows
    /// without a vote, so that a reconfiguration which gives it one can count on it at once.
    pub fn learner_type(&self) -> LearnerType {
        let listed = self.configs.current.members.get(&self.me);
        listed.map_or(LearnerType::Participant, |server| server.learner_type)
    }

    /// Whether it may be counted and elected.
    pub fn is_voter(&self) -> bool {
        self.may_vote && self.configs.current.is_voter(self.me)
    }

    /// A number below `bound`, which is not 0.
    pub fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }
}
