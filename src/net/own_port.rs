//! A port of this server's own, at an address that may be a name.
//!
//! What is written as an address is bound at once. A name may mean nothing yet, or still lead to
//! where this server was before it was moved, as in Kubernetes (ZOOKEEPER-3320): it is asked for
//! again and again, and nobody waits for it but those who want to come.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::peer_addresses::{HostPort, Names};

/// After a failure, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Where to listen.
#[derive(Debug, Clone)]
pub struct OwnPort {
    /// A name or an address; every address of the machine without one.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Connections that the system accepts for us, at most.
    pub backlog: i32,
}

impl OwnPort {
    /// Whether somebody must be asked where it is. An IPv6 address may have a scope behind a `%`.
    pub fn is_named(&self) -> bool {
        let is_name = |host: &str| {
            let (address, _scope) = host.split_once('%').unwrap_or((host, ""));
            address.parse::<IpAddr>().is_err()
        };
        self.host.as_deref().is_some_and(is_name)
    }

    /// Where `names` have it at present.
    ///
    /// # Errors
    /// The name means nothing.
    pub async fn addresses(&self, names: &Names) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Some(host) if self.is_named() => {
                names.resolve(&HostPort { host: host.clone(), port: self.port }).await
            }
            _ => self.addresses_now(),
        }
    }

    fn addresses_now(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Some(host) => Ok((host.as_str(), self.port).to_socket_addrs()?.collect()),
            None => Ok(vec![everywhere(self.port)]),
        }
    }

    /// Listens there.
    ///
    /// # Errors
    /// The name means nothing, or none of its addresses can be listened on.
    pub async fn bind(&self, names: &Names) -> io::Result<Vec<TcpListener>> {
        bind_each(&self.addresses(names).await?, self.backlog)
    }

    /// The same with the system's names, on the spot. For what is no name nobody is asked.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_now(&self) -> io::Result<Vec<TcpListener>> {
        bind_each(&self.addresses_now()?, self.backlog)
    }

    /// [`bind`](Self::bind), again and again until it succeeds. `not_yet` hears of each failure that
    /// may pass.
    ///
    /// # Errors
    /// Trying again is of no use: the port is taken, or may not be bound.
    pub async fn bind_in_time(
        &self,
        names: &Names,
        mut not_yet: impl FnMut(&io::Error),
    ) -> io::Result<Vec<TcpListener>> {
        loop {
            match self.bind(names).await {
                Err(error) if !is_final(&error) => not_yet(&error),
                ended => return ended,
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Whether trying again is of no use.
pub fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Every address of the machine, of both families where there are two.
fn everywhere(port: u16) -> SocketAddr {
    match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
        Ok(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
        Err(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
    }
}

/// Listens on each of `addresses` that this machine has: a name may have one of a family that it
/// does not have, which is said. The listeners do not block.
///
/// # Errors
/// One of them is taken or may not be listened on, or the machine has none of them.
pub fn bind_each(addresses: &[SocketAddr], backlog: i32) -> io::Result<Vec<TcpListener>> {
    let mut bound = Vec::new();
    let mut failed = Vec::new();
    // Where both families are named, `::` is not to take the other's port as well.
    let only_v6 = addresses.iter().any(SocketAddr::is_ipv4);
    // A name may have an address twice.
    for address in addresses.iter().collect::<BTreeSet<_>>() {
        match bind(*address, backlog, only_v6) {
            Ok(listener) => bound.push(listener),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => failed.push((address, error)),
        }
    }
    if bound.is_empty() {
        let none = || io::Error::new(io::ErrorKind::NotFound, "there is no address");
        return Err(failed.pop().map_or_else(none, |(_, error)| error));
    }
    for (address, error) in failed {
        tracing::warn!(%address, %error, "not listened on, unlike the name's other addresses");
    }
    Ok(bound)
}

fn bind(address: SocketAddr, backlog: i32, only_v6: bool) -> io::Result<TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restarted server must get its port back while old connections linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(host: &str, port: u16) -> OwnPort {
        OwnPort { host: Some(host.to_owned()), port, backlog: 1 }
    }

    fn book(found: &'static [&'static str]) -> Names {
        Names::new(move |_| Ok(found.iter().map(|found| found.parse().unwrap()).collect()))
    }

    fn hosts(listeners: &[TcpListener]) -> Vec<String> {
        listeners.iter().map(|it| it.local_addr().unwrap().ip().to_string()).collect()
    }

    /// As a name with an address of each family has it.
    #[tokio::test]
    async fn all_addresses_of_a_name_are_listened_on() {
        let both = at("zk1", 0).bind(&book(&["127.0.0.2", "127.0.0.3"])).await.unwrap();
        assert_eq!(hosts(&both), ["127.0.0.2", "127.0.0.3"]);
        // 192.0.2.1 is nobody's (RFC 5737).
        let one = at("zk1", 0).bind(&book(&["192.0.2.1", "127.0.0.3"])).await.unwrap();
        assert_eq!(hosts(&one), ["127.0.0.3"], "one that is not ours keeps none away");
        let error = at("zk1", 0).bind(&book(&["192.0.2.1"])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn a_name_that_means_nothing_yet_or_leads_elsewhere_is_waited_for() {
        let asked = Arc::new(AtomicUsize::new(0));
        let names = Names::new({
            let asked = asked.clone();
            move |_| match asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::Error::new(io::ErrorKind::NotFound, "unknown")),
                1 => Ok(vec!["192.0.2.1".parse().unwrap()]),
                _ => Ok(vec!["127.0.0.2".parse().unwrap()]),
            }
        });
        let mut failures = Vec::new();
        let bound = at("zk1", 0).bind_in_time(&names, |error| failures.push(error.kind())).await;
        assert_eq!(hosts(&bound.unwrap()), ["127.0.0.2"]);
        assert_eq!(failures, [io::ErrorKind::NotFound, io::ErrorKind::AddrNotAvailable]);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_not_waited_for() {
        let first = at("127.0.0.1", 0).bind_now().unwrap();
        let port = first[0].local_addr().unwrap().port();
        let names = book(&["127.0.0.1"]);
        let error = at("zk1", port).bind_in_time(&names, |_| panic!("not to pass")).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    /// Who goes on with the other address would serve some of those who come, and not others.
    #[tokio::test]
    async fn one_address_that_is_taken_is_one_too_many() {
        let first = at("127.0.0.3", 0).bind_now().unwrap();
        let port = first[0].local_addr().unwrap().port();
        let names = book(&["127.0.0.2", "127.0.0.3"]);
        let error = at("zk1", port).bind(&names).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let names = book(&["127.0.0.2", "127.0.0.3", "127.0.0.2"]);
        let both = at("zk1", port).bind(&names).await.unwrap();
        assert_eq!(hosts(&both), ["127.0.0.2", "127.0.0.3"], "one that is there twice is one");
    }

    #[tokio::test]
    async fn everywhere_by_both_families_is_no_conflict() {
        let free = at("127.0.0.1", 0).bind_now().unwrap()[0].local_addr().unwrap().port();
        let both = at("zk1", free).bind(&book(&["::", "0.0.0.0"])).await.unwrap();
        assert!(hosts(&both).contains(&"0.0.0.0".to_owned()), "{:?}", hosts(&both));
    }

    #[test]
    fn what_is_no_name_is_told_from_one() {
        let port =
            |host: Option<&str>| OwnPort { host: host.map(str::to_owned), port: 0, backlog: 1 };
        assert!(port(Some("zk1")).is_named());
        assert!(!port(Some("127.0.0.4")).is_named() && !port(Some("::1")).is_named());
        assert!(!port(Some("fe80::1%eth0")).is_named());
        assert!(!port(None).is_named());
        assert_eq!(hosts(&port(Some("127.0.0.4")).bind_now().unwrap()), ["127.0.0.4"]);
        let everywhere = hosts(&port(None).bind_now().unwrap());
        assert!(["::", "0.0.0.0"].contains(&&*everywhere[0]), "{everywhere:?}");
    }
}
