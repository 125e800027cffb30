//! The clients' side of a server: their port, and the tasks of their connections.

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
use crate::net::client_listener::{accept_forever, bind, resolve};

/// The port, bound: clients that come early wait in its backlog instead of being turned away.
pub(super) struct ClientPort {
    listener: TcpListener,
    /// What it is bound to.
    pub(super) address: SocketAddr,
}

impl ClientPort {
    /// Binds it; a port in use is said at once. Ends the process if it cannot.
    pub(super) fn bind(config: &Config, port: u16) -> Self {
        let backlog = config.client_port_listen_backlog.map_or(1024, |n| n as i32);
        let bound = resolve(config.client_port_address.as_deref(), port)
            .and_then(|address| bind(address, backlog).map(|listener| (listener, address)));
        let (listener, asked) = bound.unwrap_or_else(|error| {
            let host = config.client_port_address.as_deref().unwrap_or("every address");
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
        });
        let address = listener.local_addr().unwrap_or(asked);
        ClientPort { listener, address }
    }

    /// Lets clients in, for as long as the runtime lives. `is_member`: other servers are served, too.
    pub(super) fn open(self, config: &Config, shared: &Arc<Shared>, is_member: bool) -> Runtime {
        let runtime = runtime(workers(is_member));
        runtime.spawn(accept_forever(self.listener, shared.clone()));
        let patience = Duration::from_millis(config.sessionless_cnxn_timeout_ms);
        runtime.spawn(sweep_forever(shared.clone(), patience));
        runtime
    }
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
