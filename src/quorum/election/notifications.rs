//! The messages of an election: what is said, and to whom a server that is not looking says it.

use bytes::Bytes;

use crate::proto::{Notification, QuorumVerifier, ServerState, Sid, Vote};
use crate::quorum::effect::LinkEffect;
use crate::quorum::member::{Member, Turn};

/// Answers a notification as a server that is not looking: with the vote that ended its election.
///
/// Only who looks for a leader is answered. Observers and servers that want to join are told the
/// round that this server is in, voters the round in which the vote was given.
pub fn answer(turn: &mut Turn<'_>, state: ServerState, from: Sid, n: &Notification) {
    if n.state != ServerState::Looking || from == turn.member.me {
        return;
    }
    let (vote, round) = turn.member.vote;
    let round = if turn.member.configs.is_voter(from) { round } else { turn.member.round };
    notify(turn, from, state, vote, round);
}

/// Tells a server a vote, and the configuration in force.
pub(super) fn notify(turn: &mut Turn<'_>, to: Sid, state: ServerState, vote: Vote, round: i64) {
    let config = Some(Bytes::from(turn.member.configs.current.to_text()));
    let notification = Notification { state, vote, round, version: Notification::VERSION, config };
    turn.effects.links.push(LinkEffect::Notify { to, notification });
}

/// The configuration that the sender goes by, if it is newer than the one in force here. A text
/// that is none does not make the vote worthless.
pub(super) fn newer_config(member: &Member, n: &Notification) -> Option<QuorumVerifier> {
    let text = n.config.as_ref().filter(|_| member.options.reconfig_enabled)?;
    match QuorumVerifier::parse(text) {
        Ok(config) => (config.version > member.configs.current.version).then_some(config),
        Err(why) => {
            tracing::debug!(why, "a notification with a configuration that is none");
            None
        }
    }
}
