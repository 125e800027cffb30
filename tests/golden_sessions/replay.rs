//! Plays captured lines: sends what the client sent, and compares what comes with what came.

use std::collections::HashMap;

use zkserver::jute::Reader;
use zkserver::proto::requests::ConnectRequest;

use crate::common::golden::Line;
use crate::common::{Hello, Message, RawClient, TestServer, Welcome};
use crate::normal::{Names, normal};

/// What a captured session is called here: its id and password, once the server has said them.
pub type Sessions = HashMap<i64, Welcome>;

/// A running replay.
pub struct Replay<'s> {
    pub server: &'s TestServer,
    pub sessions: Sessions,
    /// Added to the captured zxids in reply headers.
    pub zxid_shift: i64,
    /// Whether captured events have no zxid to compare.
    pub events_without_zxid: bool,
    /// Whether zxids in reply headers are compared.
    pub compare_zxids: bool,
    connections: HashMap<String, RawClient>,
    /// Operation and note of the requests not answered yet, per connection and in order.
    asked: HashMap<String, Vec<(i32, String)>>,
}

impl<'s> Replay<'s> {
    pub fn new(server: &'s TestServer) -> Self {
        Replay {
            server,
            sessions: HashMap::new(),
            zxid_shift: 0,
            events_without_zxid: false,
            compare_zxids: true,
            connections: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// Drops the connections; what is known of the sessions goes on.
    pub fn end(self) -> Sessions {
        self.sessions
    }

    /// The connection that the capture calls `name`.
    pub fn connection(&mut self, name: &str) -> &mut RawClient {
        self.connections.get_mut(name).unwrap_or_else(|| panic!("no connection {name}"))
    }

    /// Plays these lines.
    pub fn play(&mut self, lines: &[Line]) {
        for line in lines {
            if line.to_server {
                self.send(line);
            } else if line.bytes.is_empty() {
                self.connection(&line.connection).expect_close();
            } else if line.note.starts_with("ConnectResponse") {
                self.welcome(line);
            } else {
                self.compare(line);
            }
        }
    }

    fn send(&mut self, line: &Line) {
        let address = self.server.address();
        let open = || RawClient::tcp(address);
        let client = self.connections.entry(line.connection.clone()).or_insert_with(open);
        if line.note.starts_with("ConnectRequest") {
            client.send(&translated(&self.sessions, line));
            return;
        }
        client.send(&line.bytes);
        if let Some(header) = line.bytes.get(4..12) {
            let op = i32::from_be_bytes(header[4..].try_into().expect("four bytes"));
            let asked = self.asked.entry(line.connection.clone()).or_default();
            asked.push((op, line.note.clone()));
        }
    }

    fn welcome(&mut self, line: &Line) {
        let captured = Welcome::read(line.body());
        let client = self.connection(&line.connection);
        client.take_welcome();
        let here = client.welcome.clone();
        assert_eq!(here.version, captured.version, "{}", line.note);
        assert_eq!(here.timeout_ms, captured.timeout_ms, "{}", line.note);
        assert_eq!(here.read_only, captured.read_only, "{}", line.note);
        assert_eq!(here.refused(), captured.refused(), "{}", line.note);
        if let Some(known) = self.sessions.get(&captured.session) {
            assert_eq!((known.session, &known.password), (here.session, &here.password));
        }
        self.sessions.insert(captured.session, here);
    }

    fn compare(&mut self, line: &Line) {
        let mut captured = Message::read(line.body());
        let frame = self.connection(&line.connection).frame().expect("a frame, not the end");
        let here = Message::read(&frame);
        let mut asked = (0, line.note.clone());
        match (&mut captured, &here) {
            (Message::Event(captured), Message::Event(here)) if self.events_without_zxid => {
                assert!(captured.zxid == -1 && (here.zxid > 0 || here.zxid == -1));
                captured.zxid = here.zxid;
            }
            (Message::Reply(captured), Message::Reply(here)) => {
                asked = self.asked.get_mut(&line.connection).expect("a request").remove(0);
                if captured.zxid > 0 {
                    captured.zxid += self.zxid_shift;
                }
                if !self.compare_zxids {
                    captured.zxid = here.zxid;
                }
            }
            _ => {}
        }
        let theirs: HashMap<i64, i64> =
            self.sessions.iter().map(|(captured, here)| (*captured, here.session)).collect();
        let captured = normal(&captured, asked.0, &Names::translating(theirs));
        assert_eq!(normal(&here, asked.0, &Names::as_they_are()), captured, "{}", asked.1);
    }
}

/// A connect request with the ids and passwords that this server gave.
fn translated(sessions: &Sessions, line: &Line) -> Vec<u8> {
    let Ok(request) = ConnectRequest::read(&mut Reader::unlimited(line.body())) else {
        return line.bytes.clone();
    };
    let Some(known) = sessions.get(&request.session_id.0).filter(|known| known.session != 0) else {
        return line.bytes.clone();
    };
    let captured = request.password.expect("a password");
    let right = captured == zkserver::proto::password::generate(request.session_id);
    Hello {
        last_zxid: request.last_zxid_seen.to_long(),
        timeout_ms: request.timeout_ms,
        session: known.session,
        password: Some(if right { known.password.clone() } else { captured.to_vec() }),
        read_only: request.read_only,
    }
    .frame()
}
