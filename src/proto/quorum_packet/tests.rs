use bytes::{Bytes, BytesMut};

use super::*;
use crate::jute::Writer;
use crate::proto::txns::{Txn, TxnHeader};

const MAX: usize = 1000;

fn txn(zxid: Zxid) -> Bytes {
    let client_id = SessionId(7);
    let mut out = Vec::new();
    TxnHeader { client_id, cxid: 1, zxid, time: 5, txn_type: -1 }.write(&mut out);
    Txn::Error { err: -101 }.write(&mut out);
    out.into()
}

fn info(sid: Option<Sid>, protocol_version: i32, config_version: i64) -> LearnerInfo {
    LearnerInfo { accepted_epoch: Epoch(3), sid, protocol_version, config_version }
}

/// One packet of every kind, with the side that sends it.
fn all() -> Vec<(Side, QuorumPacket)> {
    let zxid = Zxid(0x3_0000_0009);
    let request = |auth| {
        QuorumPacket::Request(ForwardedRequest {
            session: SessionId(-2),
            cxid: 4,
            op: 999,
            body: Bytes::from_static(b"body"),
            auth,
        })
    };
    let ip = (&b"ip"[..], &b"::1"[..]);
    let twice = AuthInfo::new([ip, ip].into_iter());
    let touched = |list| QuorumPacket::Ping { zxid, touched: Some(list) };
    let timed = vec![(SessionId(1), 4000), (SessionId(-1), 1)];
    let answer = |valid| QuorumPacket::Revalidated { session: SessionId(7), valid };
    let epoch = |current_epoch| QuorumPacket::AckEpoch { last_zxid: zxid, current_epoch };
    let (designated, txn) = (Sid(2), txn(zxid));
    vec![
        (Side::Learner, request(twice)),
        (Side::Learner, request(AuthInfo::default())),
        (Side::Leader, QuorumPacket::Proposal { zxid, txn: txn.clone() }),
        (Side::Learner, QuorumPacket::Ack { zxid }),
        (Side::Leader, QuorumPacket::Commit { zxid }),
        (Side::Leader, QuorumPacket::Ping { zxid, touched: None }),
        (Side::Learner, touched(Vec::new())),
        (Side::Learner, touched(timed)),
        (Side::Learner, QuorumPacket::Revalidate { session: SessionId(7), timeout_ms: 9 }),
        (Side::Leader, answer(true)),
        (Side::Leader, answer(false)),
        (Side::Leader, QuorumPacket::Sync),
        (Side::Leader, QuorumPacket::Inform { zxid, txn: txn.clone() }),
        (Side::Leader, QuorumPacket::CommitAndActivate { zxid, designated }),
        (Side::Leader, QuorumPacket::NewLeader { zxid, config: None }),
        (Side::Leader, QuorumPacket::NewLeader { zxid, config: Some(Bytes::from_static(b"")) }),
        (Side::Learner, QuorumPacket::FollowerInfo(info(Some(Sid(3)), PROTOCOL_VERSION, 9))),
        (Side::Learner, QuorumPacket::FollowerInfo(info(Some(Sid(3)), 1, 0))),
        (Side::Learner, QuorumPacket::ObserverInfo(info(None, 1, 0))),
        (Side::Leader, QuorumPacket::UpToDate),
        (Side::Leader, QuorumPacket::Diff { zxid }),
        (Side::Leader, QuorumPacket::Trunc { zxid }),
        (Side::Leader, QuorumPacket::Snap { zxid }),
        (Side::Leader, QuorumPacket::LeaderInfo { epoch: Epoch(8), protocol_version: 0x10000 }),
        (Side::Learner, epoch(None)),
        (Side::Learner, epoch(Some(Epoch(u32::MAX - 1)))),
        (Side::Leader, QuorumPacket::InformAndActivate { zxid, designated, txn }),
        (Side::Leader, QuorumPacket::Unknown { packet_type: 20 }),
    ]
}

fn written(packet: &QuorumPacket) -> Vec<u8> {
    let mut out = Vec::new();
    packet.write(&mut out);
    out
}

fn raw(packet_type: i32, zxid: i64, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_int(packet_type);
    out.put_long(zxid);
    out.put_buffer(data);
    out.put_int(-1);
    out
}

fn take(bytes: &[u8], side: Side) -> Result<Option<QuorumPacket>, String> {
    QuorumPacket::take(&mut BytesMut::from(bytes), side, MAX)
}

#[test]
fn every_packet_is_read_back_when_all_of_it_is_there() {
    for (side, packet) in all() {
        let bytes = written(&packet);
        for end in 0..bytes.len() {
            assert_eq!(take(&bytes[..end], side), Ok(None), "{packet:?} cut at {end}");
        }
        let mut input = BytesMut::from(&[&bytes[..], b"next"].concat()[..]);
        assert_eq!(QuorumPacket::take(&mut input, side, MAX), Ok(Some(packet.clone())));
        assert_eq!(&input[..], b"next");
        assert!(QuorumPacket::read(bytes[1..].to_vec().into(), side, MAX).is_err());
    }
}

#[test]
fn a_side_decides_what_a_revalidation_or_a_ping_is() {
    let twelve = raw(6, -1, Some(&[0; 12]));
    assert!(matches!(take(&twelve, Side::Learner), Ok(Some(QuorumPacket::Revalidate { .. }))));
    assert!(matches!(take(&twelve, Side::Leader), Ok(Some(QuorumPacket::Revalidated { .. }))));
    let null = raw(5, 1, None);
    let ping = |touched| Ok(Some(QuorumPacket::Ping { zxid: Zxid(1), touched }));
    assert_eq!(take(&null, Side::Leader), ping(None));
    assert_eq!(take(&null, Side::Learner), ping(Some(Vec::new())));
}

#[test]
fn older_learners_say_less_of_themselves() {
    let whole = written(&QuorumPacket::FollowerInfo(info(Some(Sid(5)), PROTOCOL_VERSION, 9)));
    for (length, expected) in [
        (20, Ok(info(Some(Sid(5)), PROTOCOL_VERSION, 9))),
        (12, Ok(info(Some(Sid(5)), PROTOCOL_VERSION, 0))),
        (8, Ok(info(Some(Sid(5)), 1, 0))),
        (0, Err("got 0 bytes")),
        (7, Err("got 7 bytes")),
        (10, Err("got 10 bytes")),
        (19, Err("got 19 bytes")),
    ] {
        let zxid = Epoch(3).start().to_long();
        match (take(&raw(11, zxid, Some(&whole[16..16 + length])), Side::Learner), expected) {
            (Ok(Some(QuorumPacket::FollowerInfo(read))), Ok(expected)) => {
                assert_eq!(read, expected)
            }
            (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
            (other, _) => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_packet_is_an_error_that_names_what_was_expected_and_what_came() {
    let zxid = 0x3_0000_0009_i64;
    let good = txn(Zxid::from_long(zxid));
    let other = txn(Zxid(5));
    for (packet_type, side, data, words) in [
        (
            1,
            Side::Learner,
            None,
            "a session, a cxid and an operation in REQUEST 0x300000009, got none",
        ),
        (1, Side::Learner, Some(&[0; 15][..]), "got 15 bytes"),
        (2, Side::Leader, None, "a transaction in PROPOSAL 0x300000009, got none"),
        (2, Side::Leader, Some(b""), "PROPOSAL 0x300000009, got the record ends"),
        (2, Side::Leader, Some(&good[..35]), "PROPOSAL 0x300000009, got the record ends"),
        (2, Side::Leader, Some(&other), "got the transaction 0x5"),
        (5, Side::Learner, Some(&[0; 13]), "sessions of 12 bytes each in PING 0x300000009, got 13"),
        (6, Side::Leader, Some(&[0; 8]), "a session and whether it is valid in REVALIDATE"),
        (6, Side::Learner, Some(&[0; 9]), "a session and its timeout in REVALIDATE"),
        (8, Side::Leader, Some(&other), "INFORM 0x300000009, got the transaction 0x5"),
        (9, Side::Leader, Some(&[0; 7]), "the designated leader in COMMITANDACTIVATE"),
        (17, Side::Leader, Some(&[0; 3]), "a protocol version in LEADERINFO"),
        (18, Side::Learner, None, "an epoch in ACKEPOCH 0x300000009, got none"),
        (19, Side::Leader, Some(&[0; 8]), "a transaction in INFORMANDACTIVATE"),
    ] {
        let why = take(&raw(packet_type, zxid, data), side).unwrap_err();
        assert!(why.starts_with("expected ") && why.contains(words), "{why}");
    }
}

#[test]
fn a_field_that_is_too_long_is_refused_before_it_comes() {
    let mut promised = raw(2, 1, None)[..12].to_vec();
    promised.put_int(MAX as i32);
    assert_eq!(take(&promised, Side::Leader), Ok(None));
    for length in [MAX as i32 + 1, i32::MAX, -2] {
        promised.set_int(12, length);
        let why = take(&promised, Side::Leader).unwrap_err();
        let got = format!("got PROPOSAL (type 2) with unreasonable length {length}");
        assert!(why.contains("at most 1000 bytes") && why.contains(&got), "{why}");
    }
}

#[test]
fn ids_are_bounded_as_a_whole_and_cannot_be_null() {
    let mut bytes = raw(1, -1, Some(&[0; 16]));
    let count_at = bytes.len() - 4;
    bytes.set_int(count_at, i32::MAX);
    for _ in 0..200 {
        bytes.put_ustring(b"");
    }
    assert!(take(&bytes[..bytes.len() - 400], Side::Learner).unwrap().is_none());
    for _ in 0..200 {
        bytes.put_ustring(b"");
    }
    assert!(
        take(&bytes, Side::Learner).unwrap_err().contains("REQUEST (type 1) with unreasonable")
    );
    bytes.truncate(count_at + 4);
    bytes.set_int(count_at, 1);
    bytes.put_buffer(None);
    assert!(take(&bytes, Side::Learner).unwrap_err().contains("null where"));
}

/// Only of a REQUEST they are weighed, and asked for. Apache puts them into no other packet.
#[test]
fn ids_behind_anything_but_a_request_are_refused() {
    for (side, packet) in all() {
        let (mut bytes, is_request) = (written(&packet), packet.packet_type() == 1);
        let is_known = packet.name() != "UNKNOWN";
        if is_request {
            continue;
        }
        let count_at = bytes.len() - 4;
        bytes.set_int(count_at, 0);
        assert_eq!(take(&bytes, side), Ok(Some(packet.clone())), "none is no harm");
        bytes.set_int(count_at, 1);
        bytes.put_ustring(b"ip");
        bytes.put_ustring(b"::1");
        match take(&bytes, side) {
            Err(why) => {
                let words = format!("expected no ids in {} ", packet.name());
                assert!(
                    is_known && why.starts_with(&words) && why.ends_with("got 17 bytes"),
                    "{why}"
                );
            }
            taken => assert_eq!((taken, is_known), (Ok(Some(packet)), false), "it is ignored"),
        }
    }
}

#[test]
fn types_have_names() {
    assert_eq!(QuorumPacket::Sync.name(), "SYNC");
    for packet_type in [i32::MIN, -1, 0, 20] {
        assert_eq!(QuorumPacket::Unknown { packet_type }.name(), "UNKNOWN");
    }
}

/// A sender that does not copy a large transaction sends the same bytes.
#[test]
fn head_transaction_and_tail_are_the_packet() {
    for (_, packet) in all() {
        let mut whole = Vec::new();
        packet.write(&mut whole);
        let mut parts = Vec::new();
        match packet.write_head(&mut parts) {
            Some(txn) => {
                let txn = txn.clone();
                parts.extend_from_slice(&txn);
                parts.extend_from_slice(&TAIL);
                assert_eq!(parts, whole, "{packet:?}");
            }
            None => {
                let has_one =
                    matches!(packet, QuorumPacket::Proposal { .. } | QuorumPacket::Inform { .. });
                assert!(parts.is_empty() && !has_one, "{packet:?}");
            }
        }
    }
}
