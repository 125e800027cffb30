//! Every request record: all captured requests decode by the type of their operation, and the
//! decoded fields written out again give the captured frame.

use std::collections::BTreeMap;

use zkserver::jute::{JuteError, Reader, Writer};
use zkserver::proto::requests::{
    AuthPacket, CreateRequest, MultiHeader, MultiPart, NumberedPath, RequestHeader, SetAclRequest,
    SetDataRequest, SetWatches, VersionedPath, WatchedRead, read_path,
};
use zkserver::proto::{OpCode, Zxid};

use crate::common::golden::{self, Line};
use crate::common::{bodies, hex};

const FILES: [&str; 6] = [
    "client/misc-edge-cases.txt",
    "client/session-A-all-ops.txt",
    "client/session-B-close.txt",
    "client/session-W-watches.txt",
    "client-3.9/session-A-all-ops.txt",
    "client-3.9/session-W-watches.txt",
];

fn requests() -> Vec<Line> {
    let all = FILES.iter().flat_map(|name| golden::session(name));
    all.filter(|line| line.to_server && !line.note.starts_with("ConnectRequest")).collect()
}

fn put_acl(raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(raw);
}

fn encode_create(op: OpCode, r: &mut Reader<'_>) -> Result<Vec<u8>, JuteError> {
    let create = CreateRequest::read(op, r)?;
    let mut out = Vec::new();
    out.put_buffer(create.path);
    out.put_buffer(create.data);
    put_acl(create.acl, &mut out);
    out.put_int(create.flags);
    assert_eq!(create.ttl.is_some(), op == OpCode::CreateTtl);
    if let Some(ttl) = create.ttl {
        out.put_long(ttl);
    }
    Ok(out)
}

fn encode_part(part: &MultiPart<'_>) -> (i32, Vec<u8>) {
    let mut out = Vec::new();
    let op = match *part {
        MultiPart::Create(op, create) => {
            out.put_buffer(create.path);
            out.put_buffer(create.data);
            put_acl(create.acl, &mut out);
            out.put_int(create.flags);
            if let Some(ttl) = create.ttl {
                out.put_long(ttl);
            }
            op
        }
        MultiPart::Delete(VersionedPath { path, version })
        | MultiPart::Check(VersionedPath { path, version }) => {
            out.put_buffer(path);
            out.put_int(version);
            if matches!(part, MultiPart::Check(_)) { OpCode::Check } else { OpCode::Delete }
        }
        MultiPart::SetData(SetDataRequest { path, data, version }) => {
            out.put_buffer(path);
            out.put_buffer(data);
            out.put_int(version);
            OpCode::SetData
        }
        MultiPart::GetData(WatchedRead { path, watch })
        | MultiPart::GetChildren(WatchedRead { path, watch }) => {
            assert!(part.is_read());
            out.put_buffer(path);
            out.put_bool(watch);
            if matches!(part, MultiPart::GetData(_)) {
                OpCode::GetData
            } else {
                OpCode::GetChildren
            }
        }
    };
    (op.to_int(), out)
}

/// Decodes a body as `op`'s record and writes it out again from the fields.
fn reencode(op: OpCode, body: &[u8]) -> Result<Vec<u8>, JuteError> {
    let mut r = Reader::unlimited(body);
    let r = &mut r;
    let mut out = Vec::new();
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            out = encode_create(op, r)?;
        }
        OpCode::Delete | OpCode::Check => {
            let VersionedPath { path, version } = VersionedPath::read(r)?;
            out.put_buffer(path);
            out.put_int(version);
        }
        OpCode::SetData => {
            let SetDataRequest { path, data, version } = SetDataRequest::read(r)?;
            out.put_buffer(path);
            out.put_buffer(data);
            out.put_int(version);
        }
        OpCode::SetAcl => {
            let SetAclRequest { path, acl, version } = SetAclRequest::read(r)?;
            out.put_buffer(path);
            put_acl(acl, &mut out);
            out.put_int(version);
        }
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            let WatchedRead { path, watch } = WatchedRead::read(r)?;
            out.put_buffer(path);
            out.put_bool(watch);
        }
        OpCode::GetAcl | OpCode::Sync | OpCode::GetEphemerals | OpCode::GetAllChildrenNumber => {
            out.put_buffer(read_path(r)?);
        }
        OpCode::AddWatch | OpCode::CheckWatches | OpCode::RemoveWatches => {
            let NumberedPath { path, number } = NumberedPath::read(r)?;
            out.put_buffer(path);
            out.put_int(number);
        }
        OpCode::SetWatches | OpCode::SetWatches2 => {
            let watches = SetWatches::read(op, r)?;
            out.put_long(watches.relative_zxid.to_long());
            let mut lists = vec![&watches.data, &watches.exist, &watches.child];
            if op == OpCode::SetWatches2 {
                lists.extend([&watches.persistent, &watches.persistent_recursive]);
            }
            for list in lists {
                out.put_int(list.len() as i32);
                list.iter().for_each(|path| out.put_ustring(path));
            }
        }
        OpCode::Auth => {
            let AuthPacket { scheme, auth } = AuthPacket::read(r)?;
            out.put_int(0);
            out.put_buffer(scheme);
            out.put_buffer(auth);
        }
        OpCode::Multi | OpCode::MultiRead => {
            while let Some(part) = MultiPart::read(r)? {
                let (op, body) = encode_part(&part);
                MultiHeader { op, done: false, err: -1 }.write(&mut out);
                out.extend_from_slice(&body);
            }
            MultiHeader::END.write(&mut out);
        }
        OpCode::Ping | OpCode::WhoAmI | OpCode::CloseSession => {}
        other => panic!("no captured request is a {other:?}"),
    }
    if r.remaining() > 0 {
        // Only one request was sent with bytes behind its record.
        assert_eq!(hex::encode(r.rest()), "010203");
        out.extend_from_slice(r.rest());
    }
    Ok(out)
}

#[test]
fn every_captured_request_decodes_and_encodes_again() {
    let mut seen: BTreeMap<i32, usize> = BTreeMap::new();
    for line in requests() {
        let mut r = Reader::unlimited(line.body());
        let header = RequestHeader::read(&mut r).expect("a header");
        let op = OpCode::from_int(header.op).expect("a known operation");
        assert_eq!(op.to_int(), header.op);
        *seen.entry(header.op).or_default() += 1;
        match reencode(op, r.rest()) {
            Ok(body) => {
                let frame = bodies::frame(header.xid, header.op, &body);
                assert_eq!(frame, line.bytes, "{}", line.note);
            }
            Err(error) => {
                // What Apache ZooKeeper answered with MARSHALLINGERROR does not decode here either.
                let expected = match line.note.as_str() {
                    "multi with reconfig sub-op request" => JuteError::UnknownTag(16),
                    "exists without watch byte request" => JuteError::Truncated,
                    other => panic!("{other}: {error}"),
                };
                assert_eq!(error, expected);
            }
        }
    }
    let operations: Vec<i32> = seen.into_keys().collect();
    assert_eq!(
        operations,
        [
            -11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 17, 18, 19, 21, 22, 100, 101, 103, 104,
            105, 106, 107
        ],
        "all operations of a client are among the captured requests"
    );
}

fn body_of(note: &str) -> Vec<u8> {
    let line = requests().into_iter().find(|line| line.note == format!("{note} request"));
    line.unwrap_or_else(|| panic!("{note}")).body()[8..].to_vec()
}

#[test]
fn create_requests_have_the_values_that_were_sent() {
    let body = body_of("create with null data");
    let create = CreateRequest::read(OpCode::Create, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!((create.path, create.data), (Some(&b"/app/null"[..]), None));
    assert_eq!((create.flags, create.ttl), (0, None));

    let body = body_of("create with empty data");
    let create = CreateRequest::read(OpCode::Create, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!(create.data, Some(&b""[..]), "empty is not null");

    let body = body_of("createTTL sequential");
    let create = CreateRequest::read(OpCode::CreateTtl, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!((create.flags, create.ttl), (6, Some(3_600_000)));

    let body = body_of("create with null acl vector");
    let create = CreateRequest::read(OpCode::Create, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!(create.acl, [0xff; 4], "a null vector stays one");
}

#[test]
fn other_requests_have_the_values_that_were_sent() {
    let body = body_of("setData bad version (error)");
    let set = SetDataRequest::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(set, SetDataRequest { path: Some(b"/app"), data: Some(b"x"), version: 77 });

    let body = body_of("delete");
    let delete = VersionedPath::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(delete, VersionedPath { path: Some(b"/app/seq-0000000003"), version: -1 });

    let body = body_of("addWatch persistentRecursive");
    let watch = NumberedPath::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(watch, NumberedPath { path: Some(b"/wr"), number: 1 });

    let body = body_of("exists watch on missing node (error reply, watch stays)");
    let exists = WatchedRead::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(exists, WatchedRead { path: Some(b"/w1"), watch: true });

    let body = body_of("getData null path");
    let get = WatchedRead::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(get, WatchedRead { path: None, watch: false });

    let body = body_of("auth digest");
    let auth = AuthPacket::read(&mut Reader::unlimited(&body)).unwrap();
    assert_eq!(auth, AuthPacket { scheme: Some(b"digest"), auth: Some(b"alice:secret") });
}

#[test]
fn set_watches_have_the_lists_that_were_sent() {
    let body = body_of("setWatches with relativeZxid 1: stale watches fire at once");
    let read = SetWatches::read(OpCode::SetWatches, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!(read.relative_zxid, Zxid(1));
    assert_eq!(read.data, [&b"/app"[..], b"/gone"]);
    assert_eq!(read.exist, [&b"/app"[..], b"/later"]);
    assert_eq!(read.child, [&b"/app"[..], b"/gone2"]);
    assert!(read.persistent.is_empty() && read.persistent_recursive.is_empty());

    let body = body_of("setWatches2");
    let read = SetWatches::read(OpCode::SetWatches2, &mut Reader::unlimited(&body)).unwrap();
    assert_eq!(read.relative_zxid, Zxid(1 << 40));
    assert_eq!(read.data, [&b"/app"[..]]);
    assert_eq!(read.persistent, [&b"/app"[..]]);
    assert_eq!(read.persistent_recursive, [&b"/m"[..]]);
}

#[test]
fn the_parts_of_a_multi_have_the_values_that_were_sent() {
    let body = body_of("multi failing");
    let mut r = Reader::unlimited(&body);
    let Some(MultiPart::Create(OpCode::Create, create)) = MultiPart::read(&mut r).unwrap() else {
        panic!("first a create");
    };
    assert_eq!((create.path, create.data), (Some(&b"/n1"[..]), Some(&b"x"[..])));
    let delete = VersionedPath { path: Some(b"/does/not/exist"), version: -1 };
    assert_eq!(MultiPart::read(&mut r), Ok(Some(MultiPart::Delete(delete))));
    let check = VersionedPath { path: Some(b"/app"), version: 0 };
    assert_eq!(MultiPart::read(&mut r), Ok(Some(MultiPart::Check(check))));
    assert_eq!(MultiPart::read(&mut r), Ok(None));
    assert_eq!(r.remaining(), 0);
}

#[test]
fn no_request_decodes_when_its_last_byte_is_missing() {
    let mut tried = 0;
    for line in requests() {
        let mut r = Reader::unlimited(line.body());
        let header = RequestHeader::read(&mut r).expect("a header");
        let op = OpCode::from_int(header.op).expect("a known operation");
        let body = r.rest();
        let whole = reencode(op, body);
        if body.is_empty() || whole.is_err() || line.note.contains("trailing bytes") {
            continue;
        }
        for end in 0..body.len() {
            assert!(reencode(op, &body[..end]).is_err(), "{} cut at {end}", line.note);
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}
