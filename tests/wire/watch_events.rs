//! WatcherEvent, in its frame.

use zkserver::proto::watch_event::{NO_ZXID, write_event};
use zkserver::proto::{EventType, Zxid};

use crate::common::Message;
use crate::common::golden;

#[test]
fn every_captured_event_encodes_to_the_same_bytes() {
    for (name, expected) in
        [("client/session-W-watches.txt", 18), ("client-3.9/session-W-watches.txt", 18)]
    {
        let mut tried = 0;
        for line in golden::session(name) {
            if line.note != "WatcherEvent" {
                continue;
            }
            let Message::Event(event) = Message::read(line.body()) else {
                panic!("an event has xid -1");
            };
            assert_eq!(event.state, 3, "SyncConnected");
            let kind = match event.kind {
                1 => EventType::NodeCreated,
                2 => EventType::NodeDeleted,
                3 => EventType::NodeDataChanged,
                4 => EventType::NodeChildrenChanged,
                other => panic!("event type {other}"),
            };
            let mut out = Vec::new();
            write_event(kind, event.path.as_bytes(), Zxid::from_long(event.zxid), &mut out);
            assert_eq!(out, line.bytes);
            tried += 1;
        }
        assert_eq!(tried, expected, "{name}");
    }
}

#[test]
fn catch_up_events_have_no_zxid() {
    let session = golden::session("client-3.9/session-W-watches.txt");
    let start = session.iter().position(|line| line.note.starts_with("setWatches with")).unwrap();
    for line in &session[start + 1..start + 6] {
        let Message::Event(event) = Message::read(line.body()) else { panic!("an event") };
        assert_eq!(Zxid::from_long(event.zxid), NO_ZXID);
    }
}
