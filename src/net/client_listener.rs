//! The client port: accepts connections and starts their tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::client_connection::{ClientConnection, Shared};

/// Binds the client port. Connections wait in its backlog until [`accept_forever`] runs.
///
/// # Errors
/// The address is in use or not ours.
pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted server must get its port back while old connections linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Accepts clients until it is dropped.
pub async fn accept_forever(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(stream, peer, &shared),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of descriptors: accepting again at once would only spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    if !shared.limits.admit(peer.ip()) {
        shared.metrics.connection_rejected.add(1);
        tracing::warn!(%peer, "connection refused: too many from this address (maxClientCnxns)");
        return;
    }
    // Apache never lets a reply wait for a fuller packet either.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
    }
    tokio::spawn(ClientConnection::open(stream, peer, shared.clone()));
}
