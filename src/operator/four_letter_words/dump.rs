//! `dump`: sessions, ephemerals and connections, with the moments at which they end if they stay
//! silent.

use std::fmt::{Display, Write as _};

use crate::operator::java_text::{Address, Date};
use crate::status::{Dump, TrackedSessions};

/// Paths are any bytes, so the text is too.
pub(super) fn dump(dump: &Dump) -> Vec<u8> {
    let mut text = "SessionTracker dump:\n".to_owned();
    let mut what = "Session";
    if let Some(local) = &dump.local_sessions {
        buckets("Local Session", local.iter().map(|(at, id)| (*at, id)), &mut text);
        what = "Global Session";
    }
    match &dump.sessions {
        TrackedSessions::Expiring(sessions) => {
            buckets(what, sessions.iter().map(|(at, id)| (*at, id)), &mut text);
        }
        TrackedSessions::Led(sessions) => {
            let mut sessions = sessions.clone();
            sessions.sort_unstable();
            let _ = writeln!(text, "Global Sessions({}):", sessions.len());
            for (id, timeout_ms) in sessions {
                let _ = writeln!(text, "{id}\t{timeout_ms}ms");
            }
        }
    }
    let owners = dump.ephemerals.len();
    let _ = writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({owners}):");
    let mut bytes = text.into_bytes();
    for (session, paths) in &dump.ephemerals {
        bytes.extend_from_slice(format!("{session}:\n").as_bytes());
        for path in paths {
            super::line_of(path, &mut bytes);
        }
    }
    let mut text = "Connections dump:\n".to_owned();
    let connections = dump.connections.iter().map(|(at, address, session)| {
        (*at, format!("ip: {} sessionId: {session}", Address(*address)))
    });
    buckets("Connections", connections, &mut text);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// What ends at the same moment stands together, the earliest first.
fn buckets<T: Display>(what: &str, entries: impl Iterator<Item = (i64, T)>, text: &mut String) {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(at, _)| *at);
    let buckets: Vec<_> = entries.chunk_by(|a, b| a.0 == b.0).collect();
    let _ = writeln!(text, "{what} Sets ({})/({}):", buckets.len(), entries.len());
    for bucket in buckets {
        let _ = writeln!(text, "{} expire at {}:", bucket.len(), Date(bucket[0].0));
        for (_, entry) in bucket {
            let _ = writeln!(text, "\t{entry}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::SessionId;

    #[test]
    fn every_part_has_its_heading_and_its_count() {
        let at = 1_795_630_621_000;
        let told = dump(&Dump {
            local_sessions: None,
            sessions: TrackedSessions::Expiring(vec![
                (at + 2000, SessionId(0x1a)),
                (at, SessionId(0x1b)),
                (at + 2000, SessionId(-1)),
            ]),
            ephemerals: vec![(SessionId(0x1a), vec![b"/a".to_vec(), b"/\xff".to_vec()])],
            connections: vec![(at, "127.0.0.1:7".parse().unwrap(), SessionId(0x1b))],
        });
        let expected = b"SessionTracker dump:\nSession Sets (2)/(3):\n\
            1 expire at Wed Nov 25 18:17:01 UTC 2026:\n\t0x1b\n\
            2 expire at Wed Nov 25 18:17:03 UTC 2026:\n\t0x1a\n\t0xffffffffffffffff\n\
            ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x1a:\n\t/a\n\t/\xff\n\
            Connections dump:\nConnections Sets (1)/(1):\n\
            1 expire at Wed Nov 25 18:17:01 UTC 2026:\n\tip: /127.0.0.1:7 sessionId: 0x1b\n";
        assert_eq!(told, expected, "{}", String::from_utf8_lossy(&told));
    }

    /// The lines are Apache's, of a follower.
    #[test]
    fn a_learner_knows_the_timeouts_of_all_and_when_its_local_sessions_expire() {
        let sessions =
            vec![(SessionId(0x3000218a0430000), 10_000), (SessionId(0x1000218a03e0000), 10_000)];
        let mut of = Dump { sessions: TrackedSessions::Led(sessions), ..Dump::default() };
        let told = |of: &Dump| String::from_utf8(dump(of)).unwrap();
        let global = "Global Sessions(2):\n0x1000218a03e0000\t10000ms\n\
                      0x3000218a0430000\t10000ms\nephemeral nodes dump:\n\
                      Sessions with Ephemerals (0):\nConnections dump:\n\
                      Connections Sets (0)/(0):\n";
        assert_eq!(told(&of), format!("SessionTracker dump:\n{global}"));
        of.local_sessions = Some(vec![(1_795_630_621_000, SessionId(0x1a))]);
        let local = "Local Session Sets (1)/(1):\n\
                     1 expire at Wed Nov 25 18:17:01 UTC 2026:\n\t0x1a\n";
        assert_eq!(told(&of), format!("SessionTracker dump:\n{local}{global}"));
    }

    #[test]
    fn a_leader_tells_local_and_global_sessions_apart() {
        let at = 1_795_630_621_000;
        let told = dump(&Dump {
            local_sessions: Some(Vec::new()),
            sessions: TrackedSessions::Expiring(vec![(at, SessionId(2))]),
            ..Dump::default()
        });
        let expected = "SessionTracker dump:\nLocal Session Sets (0)/(0):\n\
                        Global Session Sets (1)/(1):\n\
                        1 expire at Wed Nov 25 18:17:01 UTC 2026:\n\t0x2\n";
        assert!(told.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&told));
    }
}
