//! `StatsTrack`: the text in a quota's nodes, `count=5,bytes=100=;byteHardLimit=200`.
//!
//! Names and numbers in any order, `,` or `;` between them; the odd `=` before the first `;` keeps
//! parsers from before the hard limits away from them. A number that is not there is -1, as a
//! limit: none. Java throws at any other text; here it is no `StatsTrack`, nor is one of more than
//! 1,024 bytes, and whoever reads it says what that means (C-284).

/// A quota's limits, or its statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsTrack<'t> {
    /// Nodes: the soft limit, or how many there are.
    pub count: i64,
    /// Bytes of data: the soft limit, or how many there are.
    pub bytes: i64,
    /// Everything else, by name.
    others: Vec<(&'t str, i64)>,
}

/// A longer text is none: it is read with every change below its quota, which must stay cheap
/// whatever a client has written there. Those of Apache's shell are not a fifth as long.
const MOST_BYTES: usize = 1024;

impl<'t> StatsTrack<'t> {
    /// What was counted.
    pub fn counted(count: i64, bytes: i64) -> Self {
        StatsTrack { count, bytes, others: Vec::new() }
    }

    /// Reads a node's text: `None` if Java could not, or if it is too long.
    pub fn parse(text: &'t [u8]) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?.trim_end_matches([',', ';']);
        let mut track = StatsTrack::counted(-1, -1);
        if text.starts_with([',', ';']) {
            return None;
        }
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let (name, rest) = pair.trim_end_matches('=').split_once('=')?;
            let value = match rest.split('=').next().unwrap_or_default() {
                "" => -1,
                number => number.parse().ok()?,
            };
            match name {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                other => track.set_other(other, value),
            }
        }
        Some(track)
    }

    fn set_other(&mut self, name: &'t str, value: i64) {
        match self.others.binary_search_by_key(&name, |(name, _)| name) {
            Ok(at) => self.others[at].1 = value,
            Err(at) => self.others.insert(at, (name, value)),
        }
    }

    fn other(&self, name: &str) -> i64 {
        let found = self.others.iter().find(|(other, _)| *other == name);
        found.map_or(-1, |(_, value)| *value)
    }

    /// The hard limit of nodes; negative is none.
    pub fn count_hard_limit(&self) -> i64 {
        self.other("countHardLimit")
    }

    /// The hard limit of bytes; negative is none.
    pub fn byte_hard_limit(&self) -> i64 {
        self.other("byteHardLimit")
    }
}

impl std::fmt::Display for StatsTrack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if !self.others.is_empty() {
            f.write_str("=")?;
        }
        for (name, value) in &self.others {
            write!(f, ";{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        StatsTrack::parse(text.as_bytes()).map(|track| track.to_string())
    }

    #[test]
    fn a_text_reads_as_java_reads_it() {
        for (text, expected) in [
            ("count=5,bytes=10", "count=5,bytes=10"),
            ("", "count=-1,bytes=-1"),
            (",;,", "count=-1,bytes=-1"),
            ("bytes=+3", "count=-1,bytes=3"),
            ("count=1,count=2;;", "count=2,bytes=-1"),
            ("c==,;,count=2", ""),
            ("x==3,bytes=1", "count=-1,bytes=1=;x=-1"),
            ("count=5=6==,z=2;a=1", "count=5,bytes=-1=;a=1;z=2"),
            ("=4", "count=-1,bytes=-1=;=4"),
            (
                "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3",
                "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3",
            ),
        ] {
            assert_eq!(again(text).unwrap_or_default(), expected, "{text}");
        }
    }

    /// C-284
    #[test]
    fn what_java_throws_at_is_no_track() {
        for text in [
            "nonsense",
            "count=",
            "count==",
            "=",
            ",count=1",
            "count= 1",
            "count=1.0",
            "count=-",
            "count=9223372036854775808",
            "count=x,bytes=",
        ] {
            assert_eq!(again(text), None, "{text}");
        }
        let text = |names: usize| "a=1,".repeat(names);
        assert_eq!(again(&text(MOST_BYTES / 4)), Some("count=-1,bytes=-1=;a=1".to_owned()));
        assert_eq!(again(&text(MOST_BYTES / 4 + 1)), None, "it takes too long to read");
        assert_eq!(StatsTrack::parse(b"\xff=1"), None);
    }

    #[test]
    fn hard_limits_stand_behind_the_soft_ones() {
        let track = StatsTrack::parse(b"count=1,bytes=2=;countHardLimit=3;byteHardLimit=4");
        let track = track.expect("a text of the shell's");
        let limits = (track.count, track.bytes, track.count_hard_limit(), track.byte_hard_limit());
        assert_eq!(limits, (1, 2, 3, 4));
        let none = StatsTrack::counted(0, 0);
        assert_eq!((none.count_hard_limit(), none.byte_hard_limit()), (-1, -1));
    }
}
