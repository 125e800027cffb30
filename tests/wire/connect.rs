//! ConnectRequest and ConnectResponse.

use zkserver::jute::Reader;
use zkserver::proto::password;
use zkserver::proto::requests::ConnectRequest;
use zkserver::proto::responses::ConnectResponse;
use zkserver::proto::{SessionId, Zxid};

use crate::common::golden::{self, Line};
use crate::common::{Hello, Welcome};

const FILES: [&str; 6] = [
    "client/connect-variants-and-malformed.txt",
    "client/misc-edge-cases.txt",
    "client/session-A-all-ops.txt",
    "client/session-B-close.txt",
    "client-3.9/session-A-all-ops.txt",
    "client-3.9/session-W-watches.txt",
];

fn lines(prefix: &str) -> Vec<Line> {
    let all = FILES.iter().flat_map(|name| golden::session(name));
    all.filter(|line| line.note.starts_with(prefix)).collect()
}

fn request(line: &Line) -> ConnectRequest<'_> {
    ConnectRequest::read(&mut Reader::unlimited(line.body())).expect("a connect request")
}

#[test]
fn every_connect_request_decodes_and_encodes_again() {
    let lines = lines("ConnectRequest");
    assert_eq!(lines.len(), 36);
    for line in lines {
        let read = request(&line);
        assert_eq!(read.protocol_version, 0);
        let hello = Hello {
            last_zxid: read.last_zxid_seen.to_long(),
            timeout_ms: read.timeout_ms,
            session: read.session_id.0,
            password: read.password.map(<[u8]>::to_vec),
            read_only: read.read_only,
        };
        assert_eq!(hello.frame(), line.bytes, "{}", line.note);
    }
}

#[test]
fn the_variants_of_a_connect_request_have_the_values_that_were_sent() {
    let session = golden::session(FILES[0]);
    let of = |note: &str| {
        let line = session.iter().find(|l| l.note == format!("ConnectRequest {note}"));
        line.unwrap_or_else(|| panic!("{note}")).clone()
    };
    let reconnect = of("reconnect");
    let read = request(&reconnect);
    assert_eq!(read.session_id, SessionId(0x100_0017_a6e6_0000));
    assert_eq!(read.password, Some(&password::generate(read.session_id)[..]));
    assert_eq!(read.read_only, Some(false));
    assert_eq!(request(&of("old client without readOnly byte")).read_only, None);
    assert_eq!(request(&of("lastZxidSeen ahead of the server")).last_zxid_seen, Zxid(1 << 40));
    assert_eq!(request(&of("timeout below minimum")).timeout_ms, 1);
    assert_eq!(request(&of("timeout above maximum")).timeout_ms, 100_000_000);
    assert_eq!(request(&of("negative timeout")).timeout_ms, -5);
    assert_eq!(request(&of("null password")).password, None);
    assert_eq!(request(&of("empty password")).password, Some(&[][..]));
}

#[test]
fn every_connect_response_encodes_to_the_captured_bytes() {
    let lines = lines("ConnectResponse");
    assert_eq!(lines.len(), 35);
    let mut refused = 0;
    for line in lines {
        let welcome = Welcome::read(line.body());
        let response = if welcome.refused() {
            refused += 1;
            ConnectResponse::refused(welcome.read_only)
        } else {
            ConnectResponse {
                timeout_ms: welcome.timeout_ms,
                session_id: SessionId(welcome.session),
                // Not copied from the capture: the id alone decides it.
                password: password::generate(SessionId(welcome.session)),
                read_only: welcome.read_only,
            }
        };
        let mut out = Vec::new();
        response.write(&mut out);
        assert_eq!(out, line.bytes, "{}", line.note);
    }
    assert_eq!(refused, 3, "wrong password, unknown session, expired session");
}

#[test]
fn the_refused_connect_requests_do_not_decode() {
    let session = golden::session(FILES[0]);
    let short = session.iter().find(|line| line.note == "first-frame-short").expect("the line");
    assert!(ConnectRequest::read(&mut Reader::unlimited(short.body())).is_err());
}
