//! Votes, and the notifications that carry them between servers during an election.
//!
//! ```text
//! length        int    1..524288, of what follows
//! state         int    0 LOOKING, 1 FOLLOWING, 2 LEADING, 3 OBSERVING
//! leader        long
//! zxid          long
//! electionEpoch long   the round
//! peerEpoch     long   absent when the length is 28
//! version       int    whatever it says, it counts as 0 when the length is 40
//! config        buffer since version 2
//! ```

use bytes::Bytes;

use super::{Sid, Zxid};
use crate::jute::{Frame, FrameError, JuteError, Reader, Writer, next_frame};

/// What a server does, as its notifications tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
    /// It follows one without a vote.
    Observing,
}

/// A candidate with its claim. The fields are signed, as they travel and as they are compared: a
/// server that may not be elected has [`Sid::NOBODY`] and `i64::MIN` in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The server that should lead.
    pub leader: Sid,
    /// The last zxid it has logged; -1 for a server without data.
    pub zxid: i64,
    /// Its `currentEpoch`.
    pub peer_epoch: i64,
}

/// What a server tells the others of its vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What the sender does.
    pub state: ServerState,
    /// Its vote.
    pub vote: Vote,
    /// The round in which it gave that vote (`electionEpoch`, the logical clock).
    pub round: i64,
    /// The form it has on the wire: 0 for those of before 3.5, 2 for ours.
    pub version: i32,
    /// The sender's current configuration as text, if it tells.
    pub config: Option<Bytes>,
}

/// The longest message on an election connection, in bytes.
pub const MAX_ELECTION_MESSAGE: usize = 524_288;

/// The first message of `input`, which came over an election connection behind its greeting; `None`
/// when more bytes are needed.
///
/// # Errors
/// A length that is not within 1 and [`MAX_ELECTION_MESSAGE`] closes the connection.
pub fn next_election_message(input: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let frame = next_frame(input, MAX_ELECTION_MESSAGE)?;
    match frame {
        Some(Frame { body: [], .. }) => Err(FrameError(0)),
        frame => Ok(frame),
    }
}

impl ServerState {
    /// The state of that number.
    pub fn from_int(state: i32) -> Option<Self> {
        use ServerState::*;
        [Looking, Following, Leading, Observing].into_iter().find(|known| known.to_int() == state)
    }

    /// Its number in a notification.
    pub fn to_int(self) -> i32 {
        match self {
            ServerState::Looking => 0,
            ServerState::Following => 1,
            ServerState::Leading => 2,
            ServerState::Observing => 3,
        }
    }
}

impl Notification {
    /// The form that tells of the configuration.
    pub const VERSION: i32 = 2;

    /// Reads a message's body. Bytes behind it are ignored, as Apache does; whether the
    /// configuration can be parsed is another question, the vote counts anyway.
    ///
    /// # Errors
    /// In words: a message that is ignored; the connection goes on.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        Self::read_from(&mut Reader::unlimited(body)).map_err(|why| {
            format!("expected a notification, got {} bytes that are none: {why}", body.len())
        })
    }

    fn read_from(r: &mut Reader<'_>) -> Result<Self, JuteError> {
        let length = r.remaining();
        let state = r.int()?;
        let state = ServerState::from_int(state).ok_or(JuteError::UnknownTag(state))?;
        let leader = Sid(r.long()?);
        let zxid = r.long()?;
        let round = r.long()?;
        let (peer_epoch, version) = match length {
            28 => (i64::from(Zxid::from_long(zxid).epoch().0), 0),
            40 => (r.long()?, 0),
            _ => (r.long()?, r.int()?),
        };
        let config = if version > 1 {
            // A null configuration does not exist: its length would be negative.
            let text = r.buffer()?.ok_or(JuteError::UnreasonableLength(-1))?;
            Some(Bytes::copy_from_slice(text))
        } else {
            None
        };
        let vote = Vote { leader, zxid, peer_epoch };
        Ok(Notification { state, vote, round, version, config })
    }

    /// Appends the whole message, its length first: in the form of version 2, or, for version 0, as
    /// 3.4 sends it.
    ///
    /// # Panics
    /// If the configuration is longer than a message may be.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length_at = out.len();
        out.put_int(0);
        out.put_int(self.state.to_int());
        out.put_long(self.vote.leader.0);
        out.put_long(self.vote.zxid);
        out.put_long(self.round);
        out.put_long(self.vote.peer_epoch);
        if self.version > 1 {
            out.put_int(self.version);
            out.put_ustring(self.config.as_deref().unwrap_or_default());
        } else {
            out.put_int(1);
        }
        let length = out.len() - length_at - 4;
        assert!(length <= MAX_ELECTION_MESSAGE, "a configuration of {length} bytes can be told");
        out.set_int(length_at, length as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        Notification {
            state: ServerState::Leading,
            vote: Vote { leader: Sid(3), zxid: 0x2_0000_0005, peer_epoch: 7 },
            round: 9,
            version: Notification::VERSION,
            config: Some(Bytes::from_static(b"version=0")),
        }
    }

    fn written(notification: &Notification) -> Vec<u8> {
        let mut out = Vec::new();
        notification.write(&mut out);
        out
    }

    #[test]
    fn both_forms_are_read_back() {
        for sent in [notification(), Notification { version: 0, config: None, ..notification() }] {
            let bytes = written(&sent);
            let frame = next_election_message(&bytes).unwrap().unwrap();
            assert_eq!(frame.size, bytes.len());
            assert_eq!(Notification::read(frame.body), Ok(sent));
        }
    }

    #[test]
    fn the_length_decides_what_is_read() {
        let bytes = written(&notification());
        let body = &bytes[4..];
        let oldest = Notification::read(&body[..28]).unwrap();
        assert_eq!((oldest.vote.peer_epoch, oldest.version), (2, 0), "the epoch is the zxid's");
        let old = Notification::read(&body[..40]).unwrap();
        assert_eq!((old.vote.peer_epoch, old.version), (7, 0), "whatever its version says");
        assert_eq!((oldest.config, old.config), (None, None));
        for length in (0..body.len()).filter(|length| ![28, 40].contains(length)) {
            let words = Notification::read(&body[..length]).unwrap_err();
            assert!(words.contains(&format!("got {length} bytes")), "{words}");
        }
        let longer = [body, b"more"].concat();
        assert_eq!(Notification::read(&longer), Ok(notification()));
    }

    #[test]
    fn an_unknown_state_or_an_impossible_configuration_is_ignored_in_words() {
        let mut body = written(&notification()).split_off(4);
        body[3] = 4;
        assert!(Notification::read(&body).unwrap_err().ends_with("unknown tag 4"));
        body[3] = 0;
        for length in [-1_i32, -2, 10, i32::MAX] {
            body[40..44].copy_from_slice(&length.to_be_bytes());
            assert!(Notification::read(&body).is_err(), "{length}");
        }
    }

    #[test]
    fn a_message_has_at_least_one_byte_and_at_most_half_a_mebibyte() {
        for (length, ok) in
            [(0_i32, false), (-1, false), (1, true), (524_288, true), (524_289, false)]
        {
            let mut input = length.to_be_bytes().to_vec();
            input.resize(4 + 524_288, 7);
            assert_eq!(next_election_message(&input).is_ok(), ok, "{length}");
            assert!(next_election_message(&input[..3]).unwrap().is_none());
        }
    }
}
