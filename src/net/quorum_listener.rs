//! The quorum port: where a leader's learners come.
//!
//! It is bound as long as the server runs. An address that is not there yet, for its name does not
//! resolve or the machine has not got it, is tried again until it is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::client_listener::{InARow, bind, is_of_one_connection, resolve};

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 128;
/// After a failure, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The socket of somebody who has come.
pub type Accepted = TcpStream;

/// One address of the quorum port.
#[derive(Debug)]
pub struct QuorumListener {
    host: Option<String>,
    port: u16,
    bound: Option<std::net::TcpListener>,
}

impl QuorumListener {
    /// Binds the port of `host`, or of every address of the machine. Without an address that can be
    /// bound by now it is there all the same, and [`accept_forever`](Self::accept_forever) goes on
    /// trying.
    ///
    /// # Errors
    /// The port is taken, or may not be bound.
    pub fn bind(host: Option<&str>, port: u16) -> io::Result<Self> {
        let mut listener = QuorumListener { host: host.map(str::to_owned), port, bound: None };
        match listener.try_bind() {
            Ok(()) => Ok(listener),
            Err(error) if is_final(&error) => {
                let name = host.unwrap_or("every address");
                let words = format!("the quorum port {port} of {name} cannot be bound: {error}");
                Err(io::Error::new(error.kind(), words))
            }
            Err(error) => {
                tracing::warn!(
                    host,
                    port,
                    %error,
                    "the quorum port cannot be bound yet, and is tried again: no server can follow \
                     this one until then"
                );
                Ok(listener)
            }
        }
    }

    /// Where it listens, if it does by now.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound.as_ref()?.local_addr().ok()
    }

    fn try_bind(&mut self) -> io::Result<()> {
        let address = resolve(self.host.as_deref(), self.port)?;
        self.bound = Some(bind(address, BACKLOG)?);
        Ok(())
    }

    /// Hands over every connection until it is dropped. Call it on the runtime that is to serve
    /// them.
    pub async fn accept_forever(mut self, mut admit: impl FnMut(Accepted, SocketAddr)) {
        let bound = loop {
            if let Some(bound) = self.bound.take() {
                break bound;
            }
            tokio::time::sleep(RETRY_AFTER).await;
            let (host, port) = (self.host.clone(), self.port);
            // Looking a name up takes as long as it takes.
            let attempt = tokio::task::spawn_blocking(move || {
                let mut listener = QuorumListener { host, port, bound: None };
                listener.try_bind().map(|()| listener.bound)
            });
            if let Ok(Ok(Some(bound))) = attempt.await {
                tracing::info!(host = self.host, port, "the quorum port is bound");
                break bound;
            }
        };
        let listener = match TcpListener::from_std(bound) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "nothing is accepted on the quorum port");
                return;
            }
        };
        let mut in_trouble = false;
        let mut in_a_row = InARow::default();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    in_trouble = false;
                    admit(stream, peer);
                    in_a_row.one_more().await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut in_trouble, true) {
                        tracing::error!(%error, "learners cannot be accepted for the moment");
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

/// Whether trying again is of no use.
fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}
