//! Every reply record: captured replies, decoded by hand, come out the same from the server's
//! writers.

use zkserver::jute::{Reader, Writer};
use zkserver::proto::requests::MultiHeader;
use zkserver::proto::responses::{ReplyFrame, ReplyHeader, write_error_result, write_header_only};
use zkserver::proto::{ErrorCode, Zxid};

use crate::common::client::{Part, parts};
use crate::common::golden::{self, Line};
use crate::common::{Message, Reply};

const FILES: [&str; 6] = [
    "client/misc-edge-cases.txt",
    "client/session-A-all-ops.txt",
    "client/session-B-close.txt",
    "client/session-W-watches.txt",
    "client-3.9/session-A-all-ops.txt",
    "client-3.9/session-W-watches.txt",
];

fn replies() -> Vec<(Line, Reply)> {
    let all = FILES.iter().flat_map(|name| golden::session(name));
    all.filter(|l| !l.to_server && !l.bytes.is_empty() && !l.note.starts_with("ConnectResponse"))
        .filter_map(|line| match Message::read(line.body()) {
            Message::Reply(reply) => Some((line, reply)),
            Message::Event(_) => None,
        })
        .collect()
}

fn header(reply: &Reply) -> ReplyHeader {
    ReplyHeader { xid: reply.xid, zxid: Zxid::from_long(reply.zxid), err: reply.err }
}

#[test]
fn every_reply_frame_encodes_to_the_captured_bytes() {
    let replies = replies();
    assert!(replies.len() == 150, "{}", replies.len());
    for (line, reply) in replies {
        let mut out = Vec::new();
        if reply.body.is_empty() {
            write_header_only(header(&reply), &mut out);
        } else {
            let frame = ReplyFrame::open(header(&reply), &mut out);
            out.extend_from_slice(&reply.body);
            frame.finish(&mut out);
        }
        assert_eq!(out, line.bytes, "{}", line.note);
    }
}

#[test]
fn an_error_reply_is_a_header_alone() {
    let mut errors = 0;
    for (line, reply) in replies() {
        if reply.err != 0 && !line.note.starts_with("multiRead with create") {
            assert!(reply.body.is_empty(), "{}", line.note);
            errors += 1;
        }
    }
    assert!(errors >= 30, "{errors}");
}

#[test]
fn every_error_code_in_a_reply_has_its_name() {
    let name_of = |code: i32| {
        use ErrorCode::*;
        let all = [
            RuntimeInconsistency,
            MarshallingError,
            Unimplemented,
            BadArguments,
            NoNode,
            NoAuth,
            BadVersion,
            NoChildrenForEphemerals,
            NodeExists,
            NotEmpty,
            SessionExpired,
            InvalidAcl,
            AuthFailed,
            NoWatcher,
        ];
        all.into_iter().find(|error| error.code() == code)
    };
    let expected = [
        ("create existing (error)", ErrorCode::NodeExists),
        ("delete non-empty (error)", ErrorCode::NotEmpty),
        ("setData bad version (error)", ErrorCode::BadVersion),
        ("create no parent (error)", ErrorCode::NoNode),
        ("create under ephemeral (error)", ErrorCode::NoChildrenForEphemerals),
        ("create invalid acl (error)", ErrorCode::InvalidAcl),
        ("auth unknown scheme", ErrorCode::AuthFailed),
        ("removeWatches children (error: none)", ErrorCode::NoWatcher),
        ("delete root", ErrorCode::BadArguments),
        ("getData null path", ErrorCode::MarshallingError),
    ];
    let replies = replies();
    for (note, error) in expected {
        let mut found = replies.iter().filter(|(line, _)| line.note == format!("{note} reply"));
        let (_, reply) = found.next().unwrap_or_else(|| panic!("{note}"));
        assert_eq!(name_of(reply.err), Some(error), "{note}");
    }
}

/// Writes the results again the way the server does, part by part.
fn rewrite(list: &[Part], body: &[u8]) -> Vec<u8> {
    let mut r = Reader::unlimited(body);
    let mut out = Vec::new();
    for part in list {
        let (kind, skip) = (r.int().unwrap(), r.take(5).unwrap());
        assert_eq!(skip[0], 0, "not the end");
        let success = MultiHeader { op: kind, done: false, err: 0 };
        match part {
            Part::Error(code) => {
                r.int().unwrap();
                write_error_result(*code, &mut out);
            }
            Part::Create(path) => {
                r.ustring().unwrap();
                success.write(&mut out);
                out.put_ustring(path.as_bytes());
            }
            Part::Create2(path, stat) => {
                r.ustring().unwrap();
                r.take(68).unwrap();
                success.write(&mut out);
                out.put_ustring(path.as_bytes());
                stat.write(&mut out);
            }
            Part::SetData(stat) => {
                r.take(68).unwrap();
                success.write(&mut out);
                stat.write(&mut out);
            }
            Part::Delete | Part::Check => success.write(&mut out),
            Part::Data(data, stat) => {
                r.buffer().unwrap();
                r.take(68).unwrap();
                success.write(&mut out);
                out.put_buffer(data.as_deref());
                stat.write(&mut out);
            }
            Part::Children(_) => {
                // Their order is the capture's, which the decoded list has lost.
                let start = r.position();
                for _ in 0..r.vector().unwrap().unwrap() {
                    r.ustring().unwrap();
                }
                success.write(&mut out);
                out.extend_from_slice(r.since(start));
            }
        }
    }
    MultiHeader::END.write(&mut out);
    out
}

#[test]
fn every_multi_reply_encodes_to_the_captured_bytes() {
    let mut tried = 0;
    for (line, reply) in replies() {
        let multi = line.note.starts_with("multi") && !reply.body.is_empty();
        if !multi {
            continue;
        }
        let list = parts(&mut Reader::unlimited(&reply.body));
        assert_eq!(rewrite(&list, &reply.body), reply.body, "{}", line.note);
        tried += 1;
    }
    assert_eq!(tried, 11);
}

#[test]
fn a_failed_multi_encodes_to_the_captured_bytes() {
    let replies = replies();
    let found = replies.iter().find(|(line, _)| line.note == "multi failing reply");
    let (_, reply) = found.expect("the failing multi");
    let mut out = Vec::new();
    for code in [0, ErrorCode::NoNode.code(), ErrorCode::RuntimeInconsistency.code()] {
        write_error_result(code, &mut out);
    }
    MultiHeader::END.write(&mut out);
    assert_eq!(out, reply.body);
}
