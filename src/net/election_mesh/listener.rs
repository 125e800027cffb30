//! The election port: listens on the own addresses, and hears out whoever connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Mesh, MeshStartError, greeting, limit};
use crate::net::client_listener::{self, InARow};
use crate::net::own_port::{OwnPort, bind_each};
use crate::net::peer_addresses::HostPort;
use crate::proto::host_port::is_loopback;

/// Connections that the system accepts for us.
const BACKLOG: i32 = 128;
/// Between two tries to listen, as in Apache ZooKeeper.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A name can lead to where this server was before it was moved, for as long as name servers
/// remember that: so often is tried at least whether it leads here.
const TRIES_WHILE_A_NAME_IS_STALE: u32 = 30;
/// How often it is said that an own name still means nothing.
const NAMES_SAID_EVERY: u32 = 30;

/// Listens on all `own` addresses until it is dropped.
pub async fn listen(mesh: Arc<Mesh>, own: Vec<HostPort>) {
    let own = match mesh.options.listen_on_all_ips {
        true => {
            let mut ports: Vec<u16> = own.iter().map(|own| own.port).collect();
            ports.sort_unstable();
            ports.dedup();
            ports.into_iter().map(|port| (None, port)).collect()
        }
        false => own.into_iter().map(|own| (Some(own.host), own.port)).collect::<Vec<_>>(),
    };
    let mut all = JoinSet::new();
    for (host, port) in own {
        all.spawn(listen_on(mesh.clone(), OwnPort { host, port, backlog: BACKLOG }));
    }
    while let Some(ended) = all.join_next().await {
        let Ok(why) = ended else { continue };
        if all.is_empty() {
            return mesh.events.deaf(why);
        }
        // That is what several addresses are for.
        tracing::error!("elections are held on the other addresses only: {why}");
    }
}

/// Listens on one address, all of the machine's if there is no host, until it cannot.
async fn listen_on(mesh: Arc<Mesh>, own: OwnPort) -> MeshStartError {
    let mut failures = 0;
    let mut unknown = 0;
    let listeners = loop {
        let error = match own.addresses(&mesh.names).await {
            Ok(addresses) => match bind(&addresses) {
                Ok(listeners) => break listeners,
                Err(error) => error,
            },
            Err(error) => {
                // As in Kubernetes, where a pod starts before its name exists (ZOOKEEPER-3320).
                if unknown % NAMES_SAID_EVERY == 0 {
                    tracing::warn!("elections wait for the own name: {error}");
                }
                unknown += 1;
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        failures += 1;
        let address = match &own.host {
            Some(host) => HostPort { host: host.clone(), port: own.port }.to_string(),
            None => format!("*:{}", own.port),
        };
        let most = match mesh.options.bind_retries {
            0 => u32::MAX,
            most if own.is_named() && error.kind() == io::ErrorKind::AddrNotAvailable => {
                most.max(TRIES_WHILE_A_NAME_IS_STALE)
            }
            most => most,
        };
        if failures >= most {
            return MeshStartError::CannotListen { address, error };
        }
        tracing::warn!(%address, failures, "elections wait for the own port: {error}");
        tokio::time::sleep(RETRY_AFTER).await;
    };
    if let Some(name) = &own.host
        && let Some(address) = only_for_this_machine(name, &listeners)
    {
        tracing::warn!(
            "elections are held where only this machine can come: {name} leads to {address} here. \
             If the other servers are elsewhere, set quorumListenOnAllIPs=true, or let the name \
             lead to the address that they have for it (/etc/hosts)"
        );
    }
    mesh.listening.send_replace(true);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept_forever(mesh.clone(), listener));
    }
    while accepting.join_next().await.is_some() {}
    unreachable!("connections are accepted for ever")
}

fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    bind_each(addresses, BACKLOG)?.into_iter().map(TcpListener::from_std).collect()
}

/// Where a name that says nothing of the kind leads, if that is the machine itself alone, as for
/// a machine's own name in many an `/etc/hosts`.
fn only_for_this_machine(name: &str, listeners: &[TcpListener]) -> Option<IpAddr> {
    let mut led_to = None;
    for listener in listeners {
        let address = listener.local_addr().ok()?.ip().to_canonical();
        if !address.is_loopback() {
            return None;
        }
        led_to = Some(address);
    }
    // Also `localhost.localdomain`, `ip6-localhost` and the like.
    let means_it = is_loopback(name) || name.to_ascii_lowercase().contains("localhost");
    led_to.filter(|_| !means_it)
}

async fn accept_forever(mesh: Arc<Mesh>, listener: TcpListener) {
    let mut in_a_row = InARow::default();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                admit(&mesh, stream, from);
                in_a_row.one_more().await;
            }
            Err(error) if client_listener::is_of_one_connection(&error) => {}
            Err(error) => {
                mesh.log_refusal(format_args!("{error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(mesh: &Arc<Mesh>, stream: TcpStream, from: SocketAddr) {
    let from: IpAddr = from.ip().to_canonical();
    let oldest = mesh.half_open.enters(|number| {
        let mesh = mesh.clone();
        let task = async move {
            let patience = limit(mesh.options.greeting_timeout_ms);
            let received = tokio::time::timeout(patience, greeting::receive(&mesh, stream)).await;
            mesh.half_open.leaves(number);
            match received {
                Ok(Ok(())) => {}
                Ok(Err(why)) => mesh.log_refusal(format_args!("from {from}: {why}")),
                Err(_) => mesh.log_refusal(format_args!("from {from}: it does not say who it is")),
            }
        };
        tokio::spawn(task).abort_handle()
    });
    if let Some(oldest) = oldest {
        oldest.abort();
        mesh.log_refusal(format_args!(
            "the oldest that has not said who it is, for one from {from}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listeners(addresses: &[&str]) -> Vec<TcpListener> {
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.push(TcpListener::bind((*address, 0)).await.unwrap());
        }
        listeners
    }

    #[tokio::test]
    async fn a_name_that_leads_to_loopback_alone_is_only_for_this_machine() {
        let here = listeners(&["127.0.1.1"]).await;
        assert_eq!(only_for_this_machine("zk1", &here), Some([127, 0, 1, 1].into()));
        let written = ["127.0.1.1", "localhost", "ip6-localhost"]
            .map(|name| only_for_this_machine(name, &here));
        assert_eq!(written, [None; 3], "who writes that means it");
        let both = listeners(&["127.0.1.1", "0.0.0.0"]).await;
        assert_eq!(only_for_this_machine("zk1", &both), None, "the others come by the second");
    }
}
