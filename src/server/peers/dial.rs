//! Dialling a leader, once: whether and when it is tried again is the core's decision.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::link::Link;
use crate::net::peer_addresses::{self, HostPort};
use crate::net::quorum_link::{self, LinkReader, LinkSocket};
use crate::net::socket_options::SocketOptions;
use crate::proto::{LinkId, Sid};

impl Shared {
    /// Dials the leader; the core hears whether that succeeded.
    pub(super) fn dial(self: &Arc<Self>, id: LinkId, leader: Sid) {
        let link = Link::new(id);
        if !self.enter(&link) {
            return;
        }
        let (shared, dialled) = (self.clone(), link.clone());
        let task = self.runtime.spawn(async move {
            match shared.connect(leader).await {
                Ok((socket, reader)) => shared.serve(&dialled, socket, reader, None),
                Err(why) => shared.is_over(&dialled, why),
            }
        });
        link.dialled_by(task.abort_handle());
    }

    async fn connect(&self, leader: Sid) -> Result<(LinkSocket, LinkReader), String> {
        let addresses: Vec<HostPort> = {
            let members = self.members.lock();
            let server = members.members.get(&leader);
            let addresses = server.into_iter().flat_map(|server| &server.addresses);
            addresses.map(|at| HostPort { host: at.host.clone(), port: at.quorum_port }).collect()
        };
        if addresses.is_empty() {
            return Err(format!("{leader} is not in the configuration"));
        }
        let patience = Duration::from_millis(self.options.connect_timeout_ms);
        let stream = peer_addresses::dial(&addresses, patience).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let options = SocketOptions {
            nodelay: self.options.follower_nodelay,
            keep_alive: self.options.tcp_keep_alive,
        };
        quorum_link::link(stream, options).map_err(|error| error.to_string())
    }
}
