//! Strangers knock at the ports of the members.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::cluster::Ensemble;
use crate::crowd::Crowd;

/// What a stranger says: a greeting with the id of nobody, or of a member, and a vote behind it.
fn greeting(id: i64, address: &str) -> Vec<u8> {
    let mut said = Vec::new();
    said.extend_from_slice(&(-65536_i64).to_be_bytes());
    said.extend_from_slice(&id.to_be_bytes());
    said.extend_from_slice(&(address.len() as i32).to_be_bytes());
    said.extend_from_slice(address.as_bytes());
    // A vote for itself in a round far ahead: state, leader, zxid, round, epoch.
    said.extend_from_slice(&40_i32.to_be_bytes());
    said.extend_from_slice(&0_i32.to_be_bytes());
    for part in [id, i64::MAX, 1 << 40, 1 << 40] {
        said.extend_from_slice(&part.to_be_bytes());
    }
    said.extend_from_slice(&2_i32.to_be_bytes());
    said
}

fn say(to: SocketAddr, said: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()?;
    stream.write_all(said).ok()?;
    Some(stream)
}

/// C-298: forged greetings, endless lengths and bytes that are nothing, at every port of the peers:
/// nobody is elected, nobody leaves, and the clients go on.
#[test]
fn strangers_disturb_nobody() {
    let mut ensemble = Ensemble::start(3, 0, &[]);
    let leader = ensemble.leader();
    let mut crowd = Crowd::start(&ensemble, 3, 40);
    crowd.goes_on(10);
    crowd.fault("strangers knock");
    let mut connections = Vec::new();
    for round in 0..20 {
        for member in ensemble.members.values() {
            for address in member.peer_addresses() {
                let nonsense = [0x7f; 64].repeat(1 + round);
                let all = [
                    greeting(77, "127.0.0.1:1"),
                    greeting(-3, "nowhere.invalid:9"),
                    greeting(i64::MAX, ""),
                    nonsense,
                    b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                    [(-65536_i64).to_be_bytes(), 77_i64.to_be_bytes(), [0x7f; 8]].concat(),
                    Vec::new(),
                ];
                connections.extend(all.iter().filter_map(|said| say(address, said)));
            }
        }
        // Half of them stay, and say nothing more.
        let mut index = 0;
        connections.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        crowd.goes_on(2);
    }
    assert_eq!(ensemble.leader(), leader, "nobody else was elected");
    crowd.goes_on(10);
    let figures = crowd.judge(&mut ensemble);
    assert_eq!((figures.lost, figures.expired), (0, 0));
}
