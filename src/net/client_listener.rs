//! The client port: accepts connections and starts their tasks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::client_connection::{ClientConnection, Shared};

/// The address to bind: that of `host`, or all addresses of the machine, of both families where
/// there are two.
///
/// # Errors
/// The name does not resolve.
pub fn resolve(host: Option<&str>, port: u16) -> io::Result<SocketAddr> {
    match host {
        Some(host) => (host, port).to_socket_addrs()?.next().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))
        }),
        None if Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok() => {
            Ok((Ipv6Addr::UNSPECIFIED, port).into())
        }
        None => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
    }
}

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

/// Accepts clients until it is dropped. Call it on the runtime that is to serve them.
pub async fn accept_forever(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a bound, non-blocking listener");
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
