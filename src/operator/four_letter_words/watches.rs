//! `wchs`, `wchc` and `wchp`: the watches on data, counted, by session and by path.
//!
//! As in Apache ZooKeeper, watches on children are missing, and persistent ones are told.

use std::collections::BTreeMap;

use crate::proto::SessionId;
use crate::status::WatchedPath;
use crate::watch::WatchesSummary;

pub(super) fn wchs(summary: &WatchesSummary) -> String {
    let WatchesSummary { connections, paths, watches } = summary;
    format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
}

pub(super) fn wchp(table: &[WatchedPath]) -> Vec<u8> {
    let mut text = Vec::new();
    for WatchedPath { path, sessions } in table {
        text.extend_from_slice(path);
        text.push(b'\n');
        for session in sessions {
            text.extend_from_slice(format!("\t{session}\n").as_bytes());
        }
    }
    text.push(b'\n');
    text
}

pub(super) fn wchc(table: &[WatchedPath]) -> Vec<u8> {
    let mut by_session = BTreeMap::<SessionId, Vec<&[u8]>>::new();
    for WatchedPath { path, sessions } in table {
        for session in sessions {
            by_session.entry(*session).or_default().push(path);
        }
    }
    let mut text = Vec::new();
    for (session, paths) in by_session {
        text.extend_from_slice(format!("{session}\n").as_bytes());
        for path in paths {
            super::line_of(path, &mut text);
        }
    }
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_watches_by_path_and_by_session() {
        let watched = |path: &[u8], sessions: &[i64]| WatchedPath {
            path: path.into(),
            sessions: sessions.iter().copied().map(SessionId).collect(),
        };
        let table = [watched(b"/a", &[1, 0x2f]), watched(b"/b", &[0x2f])];
        assert_eq!(wchp(&table), b"/a\n\t0x1\n\t0x2f\n/b\n\t0x2f\n\n");
        assert_eq!(wchc(&table), b"0x1\n\t/a\n0x2f\n\t/a\n\t/b\n\n");
        assert_eq!((wchp(&[]), wchc(&[])), (b"\n".to_vec(), b"\n".to_vec()));
    }
}
