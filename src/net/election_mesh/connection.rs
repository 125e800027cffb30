//! A connection of the mesh at work: its reader beside its writer, until one of them fails.
//!
//! A message's memory grows as its bytes come, whatever its length promises.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::Mesh;
use super::peer::Peer;
use crate::net::race::{Won, race};
use crate::proto::Notification;
use crate::proto::vote::next_election_message;

/// Bytes taken from the socket at once.
const PIECE: usize = 8 << 10;
/// Buffers up to this size are kept when they are empty.
const KEPT: usize = 64 << 10;

/// Moves the messages of a connection until it ends, and tells that it has.
pub async fn serve(
    mesh: Arc<Mesh>,
    peer: Arc<Peer>,
    id: u64,
    stream: TcpStream,
    input: BytesMut,
    wake: Arc<Notify>,
) {
    let (Won::First(why) | Won::Second(why)) =
        race(read(&mesh, &peer, id, &stream, input), write(&mesh, &peer, id, &stream, &wake)).await;
    if peer.ended(&*mesh.events, id)
        && let Some(withheld) = peer.admits_line(&mesh)
    {
        let peer = peer.sid();
        tracing::info!(%peer, withheld, "election connection is over: {why}");
    }
}

/// Reads until it cannot; why.
async fn read(
    mesh: &Mesh,
    peer: &Peer,
    id: u64,
    stream: &TcpStream,
    mut input: BytesMut,
) -> String {
    loop {
        loop {
            let (size, notification) = match next_election_message(&input) {
                Ok(None) => break,
                Ok(Some(frame)) => (frame.size, Notification::read(frame.body)),
                Err(error) => return format!("a message of an impossible length: {error}"),
            };
            input.advance(size);
            match notification {
                Ok(notification) => peer.hear(&*mesh.events, id, notification),
                Err(what) => {
                    if let Some(withheld) = peer.admits_line(mesh) {
                        let peer = peer.sid();
                        tracing::warn!(%peer, withheld, "an election message is ignored: {what}");
                    }
                }
            }
            peer.keeps_pace(mesh, size).await;
        }
        if input.is_empty() && input.capacity() > KEPT {
            input = BytesMut::new();
        }
        match read_some(stream, &mut input).await {
            Ok(0) => return "the other side has closed it".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Reads what there is; 0 at the end.
///
/// # Errors
/// The socket's.
pub async fn read_some(stream: &TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let mut piece = [0; PIECE];
        match stream.try_read(&mut piece) {
            Ok(size) => {
                input.extend_from_slice(&piece[..size]);
                return Ok(size);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes until it cannot; why.
async fn write(mesh: &Mesh, peer: &Peer, id: u64, stream: &TcpStream, wake: &Notify) -> String {
    loop {
        let Some(mut message) = peer.next_message(mesh, id) else {
            wake.notified().await;
            continue;
        };
        while !message.is_empty() {
            match write_some(stream, &message).await {
                Ok(size) => message.advance(size),
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// Writes what the socket takes.
///
/// # Errors
/// The socket's.
pub async fn write_some(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(size) => return Ok(size),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
