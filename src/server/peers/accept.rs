//! Accepting learners, as many as there may be.
//!
//! Who they are they say with their first packet. Those who say nothing keep nobody out: the oldest of
//! them makes room.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::super::fatal::{ExitCode, die};
use super::Shared;
use super::link::{Link, Over};
use crate::net::peer_addresses::Names;
use crate::net::quorum_link;
use crate::net::quorum_listener::{Accepted, QuorumListener, accept_forever};
use crate::net::socket_options::SocketOptions;
use crate::proto::{LinkId, Sid};

/// Links in all, at most: an ensemble has a few members, and some observers beside.
const MOST_LINKS: usize = 1000;

impl Shared {
    /// Listens where the configuration says that this server is.
    pub(super) fn listen(self: &Arc<Self>, me: Sid) -> io::Result<()> {
        let members = self.members.lock().clone();
        let addresses = members.members.get(&me).map(|server| &server.addresses[..]);
        let everywhere = self.options.listen_on_all_ips;
        // Several addresses of a server mostly have the same port.
        let own: BTreeSet<_> = addresses
            .unwrap_or_default()
            .iter()
            .map(|address| ((!everywhere).then_some(address.host.as_str()), address.quorum_port))
            .collect();
        let listeners = own.into_iter().map(|(host, port)| QuorumListener::bind(host, port));
        for listener in listeners.collect::<io::Result<Vec<_>>>()? {
            self.links.lock().listening.extend(listener.addresses());
            let task = self.runtime.spawn(self.clone().accept(listener));
            self.links.lock().listeners.push(task.abort_handle());
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: QuorumListener) {
        let listeners = listener
            .in_time(Names::system())
            .await
            .unwrap_or_else(|error| die(ExitCode::UnableToBindQuorumPort, &error));
        // Dropped with this task, they all end.
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let shared = self.clone();
            accepting.spawn(accept_forever(listener, move |accepted, peer| {
                shared.admit(accepted, peer);
            }));
        }
        while accepting.join_next().await.is_some() {}
    }

    fn admit(self: &Arc<Self>, stream: Accepted, peer: SocketAddr) {
        let links = self.links.lock().by_id.len();
        if links >= MOST_LINKS {
            self.log_refusal(format_args!("{peer}, since there are {links} links already"));
            return;
        }
        let options = SocketOptions {
            nodelay: self.options.leader_nodelay,
            keep_alive: self.options.tcp_keep_alive,
        };
        let Ok((socket, reader)) = quorum_link::link(stream, options) else { return };
        let link = Link::new(LinkId(self.next_accepted.fetch_add(1, Ordering::Relaxed)));
        if !self.enter(&link) {
            return;
        }
        let (stranger, oldest) = Stranger::new(self, &link);
        if let Some(oldest) = oldest {
            oldest.end(Over::Closed);
            self.forget(oldest.id);
            let oldest = oldest.peer();
            self.log_refusal(format_args!(
                "the oldest that says nothing, from {oldest:?}, for one from {peer}"
            ));
        }
        self.serve(&link, socket, reader, Some(stranger));
    }

    fn log_refusal(&self, what: fmt::Arguments<'_>) {
        if let Some(withheld) = self.refusals.admit(self.clock.now().mono_ms) {
            tracing::warn!(withheld, "too many come to the quorum port: turned away is {what}");
        }
    }
}

/// An accepted link's place among the half-open ones, until something has come over it or it is
/// gone.
pub(super) struct Stranger {
    shared: Arc<Shared>,
    number: u64,
}

impl Stranger {
    /// One more, for which the oldest may have to go.
    fn new(shared: &Arc<Shared>, link: &Arc<Link>) -> (Self, Option<Arc<Link>>) {
        let mut number = 0;
        let oldest = shared.half_open.enters(|its| {
            number = its;
            link.clone()
        });
        (Stranger { shared: shared.clone(), number }, oldest)
    }

    /// Something has come over the link.
    ///
    /// # Errors
    /// It has made room for another before.
    pub(super) fn has_spoken(self) -> Result<(), String> {
        match self.shared.half_open.leaves(self.number) {
            true => Ok(()),
            false => Err("it has made room for another".to_owned()),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.shared.half_open.leaves(self.number);
    }
}
