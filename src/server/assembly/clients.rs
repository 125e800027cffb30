//! The clients' side of a server: their port, and the tasks of their connections.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::super::fatal::{ExitCode, die};
use super::super::sweep::sweep_forever;
use crate::config::Config;
use crate::net::client_connection::Shared;
use crate::net::client_listener::accept_forever;
use crate::net::own_port::OwnPort;
use crate::net::peer_addresses::Names;

/// The port, bound: clients that come early wait in its backlog instead of being turned away. A
/// member's may be at a name that nobody has been asked for yet: the other servers do not wait for
/// that.
pub(super) struct ClientPort {
    own: OwnPort,
    bound: Vec<TcpListener>,
}

impl ClientPort {
    /// Binds it; a port in use is said at once. Ends the process if it cannot. `is_member`: a name is
    /// left for [`open`](Self::open), and so is what is wrong with its port.
    pub(super) fn bind(config: &Config, port: u16, is_member: bool) -> Self {
        let backlog = config.client_port_listen_backlog.map_or(1024, |n| n as i32);
        let own = OwnPort { host: config.client_port_address.clone(), port, backlog };
        let bound = match is_member && own.is_named() {
            true => Vec::new(),
            false => own.bind_now().unwrap_or_else(|error| die_unbound(&own, &error)),
        };
        ClientPort { own, bound }
    }

    /// The port's number.
    pub(super) fn number(&self) -> u16 {
        self.address().map_or(self.own.port, |address| address.port())
    }

    fn address(&self) -> Option<SocketAddr> {
        self.bound.first()?.local_addr().ok()
    }

    /// Lets clients in, for as long as the runtime lives. `is_member`: other servers are served, too.
    pub(super) fn open(self, config: &Config, shared: &Arc<Shared>, is_member: bool) -> Runtime {
        let runtime = runtime(workers(is_member));
        runtime.spawn(self.accept_forever(shared.clone()));
        let patience = Duration::from_millis(config.sessionless_cnxn_timeout_ms);
        runtime.spawn(sweep_forever(shared.clone(), patience));
        runtime
    }

    async fn accept_forever(self, shared: Arc<Shared>) {
        let ClientPort { own, mut bound } = self;
        if bound.is_empty() {
            let mut waits = false;
            let not_yet = |error: &io::Error| {
                if !std::mem::replace(&mut waits, true) {
                    tracing::warn!(
                        host = own.host,
                        port = own.port,
                        %error,
                        "the client port cannot be bound yet, and is tried again: no client can \
                         come until then"
                    );
                }
            };
            let in_time = own.bind_in_time(Names::system(), not_yet).await;
            bound = in_time.unwrap_or_else(|error| die_unbound(&own, &error));
            tracing::info!(host = own.host, port = own.port, "the client port is bound");
        }
        for listener in bound {
            tokio::spawn(accept_forever(listener, shared.clone()));
        }
    }
}

impl fmt::Display for ClientPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address(), &self.own.host) {
            (Some(address), _) => address.fmt(f),
            (None, host) => write!(f, "{}:{}", host.as_deref().unwrap_or("*"), self.own.port),
        }
    }
}

fn die_unbound(own: &OwnPort, error: &io::Error) -> ! {
    let OwnPort { host, port, .. } = own;
    let host = host.as_deref().unwrap_or("every address");
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; ss -ltnp 'sport = :{port}' tells which process has it")
        }
        io::ErrorKind::AddrNotAvailable => {
            "; clientPortAddress must be an address of this machine".to_owned()
        }
        _ => String::new(),
    };
    die(ExitCode::UnexpectedError, &format!("port {port} of {host}: {error}{help}"))
}

/// How many threads serve clients.
fn workers(is_member: bool) -> usize {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    match is_member {
        // At least two: one of them may be waiting for the disk.
        false => cores.max(2),
        // None of them waits for the disk. Links, log and driver of a member have threads of their own
        // that are as busy; and each thread that is one too many is woken for what another does.
        true => (cores / 2).max(1),
    }
}

fn runtime(workers: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("client")
        // Sockets are looked at after so many tasks. With tokio's 61, a client with one request
        // waits for 61 others with a thousand each.
        .event_interval(7)
        .enable_all()
        .build()
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error))
}
