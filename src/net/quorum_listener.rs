//! The quorum port: where a leader's learners come.
//!
//! It is bound as long as the server runs. An address that is not there yet, for its name does not
//! resolve or the machine has not got it, is tried again until it is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::client_listener::{InARow, is_of_one_connection};
use super::own_port::{OwnPort, is_final};
use super::peer_addresses::Names;

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 128;
/// After a failure to accept, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The socket of somebody who has come.
pub type Accepted = TcpStream;

/// The quorum port at one name or address.
#[derive(Debug)]
pub struct QuorumListener {
    own: OwnPort,
    bound: Vec<std::net::TcpListener>,
}

impl QuorumListener {
    /// Binds the port of `host`, or of every address of the machine. What cannot be bound by now, or
    /// is a name that must be looked up, is there all the same:
    /// [`in_time`](Self::in_time) goes on trying.
    ///
    /// # Errors
    /// The port is taken, or may not be bound.
    pub fn bind(host: Option<&str>, port: u16) -> io::Result<Self> {
        let own = OwnPort { host: host.map(str::to_owned), port, backlog: BACKLOG };
        if own.is_named() {
            return Ok(QuorumListener { own, bound: Vec::new() });
        }
        match own.bind_now() {
            Ok(bound) => Ok(QuorumListener { own, bound }),
            Err(error) if is_final(&error) => Err(cannot_be_bound(&own, &error)),
            Err(error) => {
                tell_of_waiting(&own, &error);
                Ok(QuorumListener { own, bound: Vec::new() })
            }
        }
    }

    /// Where it listens, if it does by now.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().filter_map(|bound| bound.local_addr().ok()).collect()
    }

    /// Its sockets, once there are any. Call it on the runtime that is to serve them.
    ///
    /// # Errors
    /// The port is taken, or may not be bound.
    pub async fn in_time(self, names: &Names) -> io::Result<Vec<TcpListener>> {
        let QuorumListener { own, mut bound } = self;
        if bound.is_empty() {
            let mut waits = false;
            let not_yet = |error: &io::Error| {
                if !std::mem::replace(&mut waits, true) {
                    tell_of_waiting(&own, error);
                }
            };
            let in_time = own.bind_in_time(names, not_yet).await;
            bound = in_time.map_err(|error| cannot_be_bound(&own, &error))?;
            tracing::info!(host = own.host, port = own.port, "the quorum port is bound");
        }
        bound.into_iter().map(TcpListener::from_std).collect()
    }
}

fn tell_of_waiting(own: &OwnPort, error: &io::Error) {
    tracing::warn!(
        host = own.host,
        port = own.port,
        %error,
        "the quorum port cannot be bound yet, and is tried again: no server can follow this one \
         until then"
    );
}

fn cannot_be_bound(own: &OwnPort, error: &io::Error) -> io::Error {
    let name = own.host.as_deref().unwrap_or("every address");
    let words = format!("the quorum port {} of {name} cannot be bound: {error}", own.port);
    io::Error::new(error.kind(), words)
}

/// Hands over every connection until it is dropped.
pub async fn accept_forever(listener: TcpListener, mut admit: impl FnMut(Accepted, SocketAddr)) {
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
