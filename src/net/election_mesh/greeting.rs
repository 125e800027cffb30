//! Whoever has connected: it says who it is, and gets its place in the mesh.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

use super::Mesh;
use super::connection::read_some;
use crate::net::peer_addresses::HostPort;
use crate::proto::election_greeting::ANONYMOUS_OBSERVER;
use crate::proto::vote::next_election_message;
use crate::proto::{ElectionGreeting, Notification, Sid};

/// Addresses that a server can say it is called back at. Each may be a name to look up.
const MOST_TOLD: usize = 4;

/// Hears who has connected, and acts upon it. Nothing is wrong with one that leaves without a
/// word: it was called meanwhile, or looks whether anybody listens here.
///
/// # Errors
/// In words: why it is not taken.
pub async fn receive(mesh: &Arc<Mesh>, stream: TcpStream) -> Result<(), String> {
    mesh.socket_options().set(&stream);
    let mut input = BytesMut::new();
    let greeting = loop {
        if let Some((greeting, size)) = ElectionGreeting::read(&input)? {
            input.advance(size);
            break greeting;
        }
        match more(&stream, &mut input).await {
            Err(_) if input.is_empty() => return Ok(()),
            read => read?,
        }
    };
    let me = mesh.options.me;
    let sid = greeting.sid;
    if sid == me {
        return Err(format!(
            "it says that it is {me}, which is this server: two servers have the same id (myid)"
        ));
    }
    match mesh.peer(sid) {
        Some(peer) => peer.keeps_pace(mesh, 0).await,
        None => mesh.strangers.pace.keep(&*mesh.options.clock, 0).await,
    }
    if sid < me || sid == ANONYMOUS_OBSERVER {
        let told = greeting.reachable().take(MOST_TOLD).cloned().map(HostPort::from).collect();
        return call_back(mesh, sid, told);
    }
    if mesh.peer(sid).is_none() {
        // Any eight bytes can be an id. One that is not known says something first that only a
        // server would say.
        loop {
            match next_election_message(&input) {
                Ok(None) => more(&stream, &mut input).await?,
                Ok(Some(frame)) => break Notification::read(frame.body).map(drop),
                Err(error) => break Err(error.to_string()),
            }
        }
        .map_err(|why| format!("it says that it is {sid}, which is no member, and: {why}"))?;
        if let Some(withheld) = mesh.strangers.lines.admit(mesh.options.clock.now().mono_ms) {
            tracing::info!(%sid, withheld, "a server that is no member has connected for elections");
        }
    }
    let mut taken = (stream, input);
    while let Some(peer) = mesh.place_of(sid) {
        match peer.begin(mesh, taken.0, taken.1) {
            Ok(()) => break,
            Err(not) => taken = not,
        }
    }
    Ok(())
}

/// A server with a smaller id wants to be dialled. Its own connection is closed.
fn call_back(mesh: &Arc<Mesh>, sid: Sid, told: Vec<HostPort>) -> Result<(), String> {
    let sid = if sid == ANONYMOUS_OBSERVER { mesh.private_sid() } else { sid };
    if told.is_empty() && mesh.peer(sid).is_none() {
        return Err(format!("{sid} is no member, and does not say where it can be called back"));
    }
    while let Some(peer) = mesh.place_of(sid) {
        if peer.summon(told.clone()).is_ok() {
            break;
        }
    }
    Ok(())
}

async fn more(stream: &TcpStream, input: &mut BytesMut) -> Result<(), String> {
    match read_some(stream, input).await {
        Ok(0) => Err(format!("it has left after {} bytes", input.len())),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
