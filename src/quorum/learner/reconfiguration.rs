//! Reconfiguration, as a learner meets it: a configuration is proposed, comes into force, and may
//! send this server looking for another leader or into another role.
//!
//! A proposed configuration goes to the disk in front of its transaction, or of `currentEpoch`, so
//! the ticket of what is acknowledged covers it. With `reconfigEnabled=false` none of this happens:
//! the file says who the members are.

use std::sync::Arc;

use super::history::History;
use super::received::Received;
use super::{About, Departure};
use crate::proto::membership::LearnerType;
use crate::proto::{QuorumVerifier, Sid, Vote, Zxid};
use crate::quorum::member::Turn;

/// The configuration that NEWLEADER carries: what its leader saw last.
///
/// # Errors
/// A text that is none.
pub(super) fn read(turn: &Turn<'_>, text: &[u8]) -> Result<Option<Arc<QuorumVerifier>>, String> {
    if !turn.member.options.reconfig_enabled {
        return Ok(None);
    }
    let config = QuorumVerifier::parse(text)
        .map_err(|why| format!("expected a configuration, got text: {why}"))?;
    Ok(Some(Arc::new(config)))
}

/// A configuration was proposed: it is not forgotten once what is logged next is durable.
pub(super) fn see(turn: &mut Turn<'_>, config: &Arc<QuorumVerifier>) {
    if config.version > turn.member.configs.last_seen.version {
        // Whatever is acknowledged next has a later ticket.
        turn.see_config(config.clone());
    }
}

/// The leader that NEWLEADER spoke for is established: its configuration is in force.
///
/// One that this server alone saw proposed is none any more: had a quorum of the old members
/// acknowledged it, this leader would have it (C-270).
///
/// # Errors
/// If this server's part in it is another one.
pub(super) fn establish(
    turn: &mut Turn<'_>,
    about: About,
    config: &Arc<QuorumVerifier>,
) -> Result<(), Departure> {
    let configs = &turn.member.configs;
    let old = configs.current.clone();
    if config.version < old.version {
        return Ok(());
    }
    let is_known = config.version == old.version && config.version == configs.last_seen.version;
    if !is_known {
        turn.activate_config(config.clone());
        turn.member.configs.last_seen = config.clone();
    }
    part(turn, about, &old)
}

/// A reconfiguration is committed, and `designated` leads from here on.
///
/// # Errors
/// If this server must leave its leader for it.
pub(super) fn activate(
    turn: &mut Turn<'_>,
    about: About,
    history: &mut History,
    zxid: Zxid,
    config: Option<Arc<QuorumVerifier>>,
    designated: Sid,
) -> Result<(), Departure> {
    if !turn.member.options.reconfig_enabled {
        return Ok(());
    }
    let Some(config) = config else {
        return Err(format!("expected {zxid} to be a reconfiguration, for it activates one").into());
    };
    if !config.is_voter(designated) {
        return Err(format!("expected a voter to lead next, got {designated}").into());
    }
    let old = turn.member.configs.current.clone();
    if config.version > old.version {
        turn.enforce_config(config.clone());
        history.activates(zxid, config);
    }
    if designated != about.leader {
        let peer_epoch = i64::from(zxid.epoch().0);
        let vote = Vote { leader: designated, zxid: zxid.to_long(), peer_epoch };
        return Err(Departure {
            why: format!("{designated} leads from here on"),
            successor: Some(vote),
        });
    }
    part(turn, about, &old)
}

/// The configuration in a transaction, if that is a reconfiguration and such are wanted.
///
/// # Errors
/// A configuration that cannot be read, or that has another version than its transaction.
pub(super) fn of_transaction(
    turn: &Turn<'_>,
    received: &Received,
) -> Result<Option<Arc<QuorumVerifier>>, String> {
    let Some(text) = received.config_text() else { return Ok(None) };
    let config = read(turn, &text)?;
    match &config {
        Some(config) if Zxid::from_long(config.version) != received.zxid => {
            let (zxid, version) = (received.zxid, config.version);
            Err(format!("expected a configuration of version {zxid}, got {version:#x}"))
        }
        _ => Ok(config),
    }
}

/// Whether this server goes on as what it is. An observer that is no longer listed does not: it comes
/// back as a follower without a vote, and can be counted on when it is given one.
fn part(turn: &Turn<'_>, about: About, old: &QuorumVerifier) -> Result<(), Departure> {
    let member = &*turn.member;
    let listed = |config: &QuorumVerifier| config.members.get(&member.me).cloned();
    let (is, was) = (listed(&member.configs.current), listed(old));
    let kind = member.learner_type();
    if kind != about.kind && member.may_vote {
        let role = match kind {
            LearnerType::Participant if is.is_none() => "a follower without a vote",
            LearnerType::Participant => "a participant",
            LearnerType::Observer => "an observer",
        };
        return Err(format!("this server is {role} from here on").into());
    }
    if let (Some(is), Some(was)) = (is, was)
        && was.addresses != is.addresses
    {
        return Err("this server has other addresses from here on".into());
    }
    Ok(())
}
