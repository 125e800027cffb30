//! The client port: accepts connections and starts their tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::client_connection::{ClientConnection, Shared};
use super::log_limit::LogLimit;
use super::socket_options::SocketOptions;

/// Connections accepted before those who are here get their turn.
const ACCEPTED_IN_A_ROW: usize = 8;
/// After a failure to accept, how long until the next try: at once it would only fail again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Accepts clients until it is dropped. Call it on the runtime that is to serve them.
pub async fn accept_forever(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a bound, non-blocking listener");
    let troubles = LogLimit::default();
    let mut in_trouble = false;
    let mut in_a_row = InARow::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if std::mem::take(&mut in_trouble) {
                    tracing::info!("connections are accepted again");
                }
                admit(stream, peer, &shared);
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                // Said once: it lasts until somebody else lets go of something. A single
                // descriptor that comes free and is taken ends it for a moment only.
                if !in_trouble && let Some(withheld) = troubles.admit(shared.clock.now().mono_ms) {
                    in_trouble = true;
                    let open = shared.connections.len();
                    tracing::error!(
                        %error,
                        open,
                        withheld,
                        "connections cannot be accepted; those that are open are served, and new \
                         ones wait. If descriptors are short, raise the hard limit of the process \
                         (ulimit -Hn, or LimitNOFILE of its systemd unit) or of the system \
                         (fs.file-max)"
                    );
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        in_a_row.one_more().await;
    }
}

/// Counts what is accepted in a row, so that a crowd that comes holds up nobody who is here, and what
/// it says is read meanwhile.
#[derive(Debug, Default)]
pub(super) struct InARow(usize);

impl InARow {
    /// One more; the others have their turn when these are enough.
    pub(super) async fn one_more(&mut self) {
        self.0 += 1;
        if self.0 >= ACCEPTED_IN_A_ROW {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Whether the failure says nothing about the next connection.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    if let Err(refused) = shared.limits.admit(peer.ip()) {
        shared.metrics.connection_rejected.add(1);
        if let Some(withheld) = shared.refusals.admit(shared.clock.now().mono_ms) {
            tracing::warn!(%peer, withheld, "connection refused: {refused}");
        }
        return;
    }
    // Apache never lets a reply wait for a fuller packet either.
    SocketOptions { nodelay: true, keep_alive: shared.tcp_keep_alive }.set(&stream);
    tokio::spawn(ClientConnection::open(stream, peer, shared.clone()));
}
