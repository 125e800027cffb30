//! The dynamic configuration as text: what members tell each other, what a reconfiguration writes
//! to `/zookeeper/config`, and what the dynamic files hold.
//!
//! ```text
//! server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2181
//! group.1=1:2:3                  with a hierarchy
//! weight.1=1                     with a hierarchy: of every participant
//! version=100000000              hexadecimal, without a newline behind it
//! ```
//!
//! Lines may come in any order. Apache writes them in the order of a hash map, which for ids below
//! a dozen or so is that of the ids; here it always is.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Hierarchy, QuorumServer, QuorumVerifier};
use crate::proto::Sid;

/// The longest text, in bytes: with it a notification is still within its bounds.
pub const MAX_CONFIG_TEXT: usize = 256 * 1024;

impl QuorumVerifier {
    /// Reads a configuration. Without a version line its version is 0.
    ///
    /// # Errors
    /// What was expected, with the line that is wrong: a line of another kind, a server that occurs
    /// twice or in two groups, a participant outside of all groups, no participant at all.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_CONFIG_TEXT {
            return Err(format!(
                "expected a configuration of at most {MAX_CONFIG_TEXT} bytes, got {}",
                text.len()
            ));
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| "expected a configuration as text, got bytes that are none".to_owned())?;
        let mut lines = Lines::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            lines.take(line).map_err(|what| {
                let shown: String = line.chars().take(200).collect();
                format!("the configuration's line {shown:?} {what}")
            })?;
        }
        lines.finish()
    }

    /// As Apache writes it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (sid, server) in &self.members {
            let _ = writeln!(text, "server.{}={server}", sid.0);
        }
        if let Some(hierarchy) = &self.hierarchy {
            let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
            for (sid, group) in &hierarchy.groups {
                groups.entry(*group).or_default().push(sid.0.to_string());
            }
            for (group, sids) in groups {
                let _ = writeln!(text, "group.{group}={}", sids.join(":"));
            }
            for (sid, weight) in &hierarchy.weights {
                let _ = writeln!(text, "weight.{}={weight}", sid.0);
            }
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Lines {
    members: BTreeMap<Sid, QuorumServer>,
    hierarchy: Option<Hierarchy>,
    version: Option<i64>,
}

impl Lines {
    fn take(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once('=').ok_or("must be key=value")?;
        let (key, value) = (key.trim(), value.trim());
        if let Some(sid) = key.strip_prefix("server.") {
            let (sid, server) = (Sid(long(sid)?), QuorumServer::parse(value)?);
            if sid == Sid::NOBODY {
                return Err("must have another number: in a vote this one means nobody".to_owned());
            }
            once(self.members.insert(sid, server))
        } else if let Some(group) = key.strip_prefix("group.") {
            let group = long(group)?;
            let groups = &mut self.hierarchy.get_or_insert_default().groups;
            value.split(':').try_for_each(|sid| {
                let before = groups.insert(Sid(long(sid)?), group);
                before.map_or(Ok(()), |_| Err(format!("must not group server {sid} again")))
            })
        } else if let Some(sid) = key.strip_prefix("weight.") {
            let weight = long(value)?;
            if weight < 0 {
                return Err("must not be negative".to_owned());
            }
            let weights = &mut self.hierarchy.get_or_insert_default().weights;
            once(weights.insert(Sid(long(sid)?), weight))
        } else if key == "version" {
            // A negative one could not be read back: Java writes the sixteen digits that it refuses.
            let version = i64::from_str_radix(value, 16).ok().filter(|version| *version >= 0);
            once(self.version.replace(version.ok_or("must be hexadecimal, and not negative")?))
        } else {
            Err("must begin with server., group., weight. or version".to_owned())
        }
    }

    fn finish(mut self) -> Result<QuorumVerifier, String> {
        if let Some(hierarchy) = &mut self.hierarchy {
            finish_hierarchy(hierarchy, &self.members)?;
        }
        let verifier = QuorumVerifier {
            members: self.members,
            version: self.version.unwrap_or(0),
            hierarchy: self.hierarchy,
        };
        if verifier.voters().next().is_none() {
            return Err("expected a configuration with a participant, got none".to_owned());
        }
        Ok(verifier)
    }
}

fn finish_hierarchy(
    hierarchy: &mut Hierarchy,
    members: &BTreeMap<Sid, QuorumServer>,
) -> Result<(), String> {
    use super::LearnerType::Participant;
    for (sid, _) in members.iter().filter(|(_, server)| server.learner_type == Participant) {
        if !hierarchy.groups.contains_key(sid) {
            return Err(format!("expected every participant in a group, {sid} is in none"));
        }
        hierarchy.weights.entry(*sid).or_insert(1);
    }
    match hierarchy.groups.keys().find(|sid| !hierarchy.weights.contains_key(sid)) {
        Some(sid) => Err(format!("expected participants in the groups, {sid} is none")),
        None => Ok(()),
    }
}

fn long(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| "must have a number in that place".to_owned())
}

fn once<T>(before: Option<T>) -> Result<(), String> {
    before.map_or(Ok(()), |_| Err("must not stand there twice".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_come_in_any_order_and_are_written_in_that_of_their_ids() {
        let text = "version=a\n weight.2 = 3 \r\ngroup.7=2:1\n\nserver.2=b:1:2\nserver.1=a:1:2;3";
        let verifier = QuorumVerifier::parse(text.as_bytes()).unwrap();
        assert_eq!(
            verifier.to_text(),
            "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant\ngroup.7=1:2\n\
             weight.1=1\nweight.2=3\nversion=a"
        );
        assert_eq!(QuorumVerifier::parse(verifier.to_text().as_bytes()), Ok(verifier));
    }

    #[test]
    fn a_version_is_hexadecimal_and_not_negative() {
        let with = |line: &str| QuorumVerifier::parse(format!("server.1=a:1:2\n{line}").as_bytes());
        assert_eq!(with("").unwrap().version, 0);
        assert_eq!(with("version=100000000").unwrap().version, 1 << 32);
        assert_eq!(
            with("version=100000000").unwrap().to_text().lines().last(),
            Some("version=100000000")
        );
        assert_eq!(with("version=7fffffffffffffff").unwrap().version, i64::MAX);
        for refused in ["8000000000000000", "", "-1", "0x5", "g"] {
            assert!(with(&format!("version={refused}")).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused_in_words() {
        let one = "server.1=a:1:2\n";
        for (text, words) in [
            (String::new(), "with a participant"),
            ("server.1=a:1:2:observer".to_owned(), "with a participant"),
            (format!("{one}server.1=b:1:2"), "twice"),
            (format!("{one}server.01=b:1:2"), "twice"),
            (format!("{one}version=1\nversion=1"), "twice"),
            (format!("{one}server.x=b:1:2"), "number"),
            (format!("{one}server.2=b:1"), "host:quorumPort"),
            (format!("{one}tickTime=2000"), "must begin with"),
            (format!("{one}nothing"), "key=value"),
            (format!("{one}weight.1=1"), "server 1 is in none"),
            (format!("{one}group.1=1:2"), "server 2 is none"),
            (format!("{one}group.1=1:1"), "again"),
            (format!("{one}group.1="), "number"),
            (format!("{one}group.1=1\nweight.1=-1"), "negative"),
            (" ".repeat(MAX_CONFIG_TEXT + 1), "at most 262144 bytes"),
        ] {
            let why = QuorumVerifier::parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        assert!(QuorumVerifier::parse(b"server.1=\xff:1:2").is_err());
    }
}
