//! Accepting learners, as many as there may be.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::link::Link;
use crate::net::quorum_link::{self, LinkSocketOptions};
use crate::net::quorum_listener::{Accepted, QuorumListener};
use crate::proto::{LinkId, Sid};

/// Links over which nothing has come yet, at most.
const MOST_STRANGERS: usize = 64;
/// Links in all, at most: an ensemble has a few members, and some observers beside.
const MOST_LINKS: usize = 1000;

impl Shared {
    /// Listens where the configuration says that this server is.
    pub(super) fn listen(self: &Arc<Self>, me: Sid) -> io::Result<()> {
        let members = self.members.lock().clone();
        let addresses = members.members.get(&me).map(|server| &server.addresses[..]);
        let mut listeners = Vec::new();
        for address in addresses.unwrap_or_default() {
            let host = (!self.options.listen_on_all_ips).then_some(address.host.as_str());
            listeners.push(QuorumListener::bind(host, address.quorum_port)?);
        }
        for listener in listeners {
            self.links.lock().listening.extend(listener.address());
            let shared = self.clone();
            let accepting =
                listener.accept_forever(move |accepted, peer| shared.admit(accepted, peer));
            let task = self.runtime.spawn(accepting);
            self.links.lock().listeners.push(task.abort_handle());
        }
        Ok(())
    }

    fn admit(self: &Arc<Self>, stream: Accepted, peer: SocketAddr) {
        let strangers = self.strangers.load(Ordering::Relaxed);
        let links = self.links.lock().by_id.len();
        if strangers >= MOST_STRANGERS || links >= MOST_LINKS {
            if let Some(withheld) = self.refusals.admit(self.clock.now().mono_ms) {
                tracing::warn!(%peer, strangers, links, withheld, "too many come to the quorum port");
            }
            return;
        }
        let options = LinkSocketOptions {
            nodelay: self.options.leader_nodelay,
            keep_alive: self.options.tcp_keep_alive,
        };
        let Ok((socket, reader)) = quorum_link::link(stream, options) else { return };
        let link = Link::new(LinkId(self.next_accepted.fetch_add(1, Ordering::Relaxed)));
        if self.enter(&link) {
            self.serve(&link, socket, reader, Some(Stranger::new(self.clone())));
        }
    }
}

/// Counts an accepted link until something has come over it, or it is gone.
pub(super) struct Stranger(Arc<Shared>);

impl Stranger {
    fn new(shared: Arc<Shared>) -> Self {
        shared.strangers.fetch_add(1, Ordering::Relaxed);
        Stranger(shared)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.strangers.fetch_sub(1, Ordering::Relaxed);
    }
}
