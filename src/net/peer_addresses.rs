//! Where other servers are reached: names become addresses at every dial, and the addresses are
//! tried side by side.
//!
//! What always holds:
//! * No name is remembered. What a name means is asked again for every dial, so a server whose
//!   address changes under its name is found again (ZOOKEEPER-2982).
//! * A name that takes long to look up holds up nobody else, and is not asked a second time
//!   meanwhile: however long a name server is silent, there is one lookup under way for each name.
//! * Names that nobody vouches for, since servers have told them of themselves, are looked up a few at
//!   a time. However many slow ones strangers tell, no member's name waits behind them.
//! * Addresses are begun in the order in which they are known, each a moment behind the one in
//!   front of it, or at once when that has failed. The first that connects wins, the others are
//!   closed. With all at the same instant every dial of a server with several addresses would
//!   disturb it with connections that are closed without a word.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::proto::host_port::Delimited;

/// A host and a port as a configuration has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Delimited(&self.host), self.port)
    }
}

impl From<(String, u16)> for HostPort {
    fn from((host, port): (String, u16)) -> Self {
        HostPort { host, port }
    }
}

/// Several addresses of one server, as a line of the log has them.
pub struct Listed<'a>(pub &'a [HostPort]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "|" };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

/// Connects to the first of a server's `addresses` that answers, within `timeout` in all.
///
/// It must be called on a runtime, whose threads for blocking work look the names up. A lookup
/// that hangs outlives the dial: whoever ends that runtime should not wait for them.
///
/// # Errors
/// Nothing answers: what was wrong with each of the addresses, in words.
pub async fn dial(addresses: &[HostPort], timeout: Duration) -> io::Result<TcpStream> {
    Names::system().dial(addresses, &[], timeout).await
}

type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
type Found = Result<Vec<IpAddr>, Arc<io::Error>>;

/// Who knows what names mean.
#[derive(Clone)]
pub struct Names {
    lookup: Arc<Lookup>,
    under_way: Arc<Mutex<BTreeMap<String, watch::Receiver<Option<Found>>>>>,
    /// Lookups of told names that may still begin.
    told: Arc<Semaphore>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// Lookups of told names at once: the threads that do them also look up the members' names, and read
/// the disk.
const MOST_TOLD: usize = 8;

/// How long an address has to answer before the next is begun as well.
const HEAD_START: Duration = Duration::from_millis(50);

impl Names {
    /// The system's resolver, the same for the whole process.
    pub fn system() -> &'static Names {
        static SYSTEM: LazyLock<Names> = LazyLock::new(|| {
            Names::new(|host| Ok((host, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
        });
        &SYSTEM
    }

    /// Names that `lookup` knows; it may block.
    pub fn new(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let told = Arc::new(Semaphore::new(MOST_TOLD));
        Names { lookup: Arc::new(lookup), under_way: Arc::default(), told }
    }

    /// The addresses that `address` means at present.
    ///
    /// # Errors
    /// The name means nothing, or nobody can be asked.
    pub async fn resolve(&self, address: &HostPort) -> io::Result<Vec<SocketAddr>> {
        self.resolve_in_turn(address, false).await
    }

    /// As [`resolve`](Self::resolve); a name that was `told` waits until it may be looked up.
    async fn resolve_in_turn(&self, address: &HostPort, told: bool) -> io::Result<Vec<SocketAddr>> {
        let HostPort { host, port } = address;
        if let Ok(literal) = host.parse::<IpAddr>() {
            return Ok(vec![(literal, *port).into()]);
        }
        let permit = match told {
            true => {
                let permit = self.told.clone().acquire_owned().await;
                Some(permit.expect("the semaphore is never closed"))
            }
            false => None,
        };
        let found = self.look_up(host, permit).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{host} cannot be resolved: {error}"))
        })?;
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
        }
        Ok(found.into_iter().map(|ip| (ip, *port).into()).collect())
    }

    /// Asks, or waits for the answer to who has asked already. The permit is used as long as the
    /// lookup lasts, which may be longer than anybody waits for it.
    async fn look_up(&self, host: &str, permit: Option<OwnedSemaphorePermit>) -> Found {
        let (sender, own) = watch::channel(None);
        let asked = match self.under_way.lock().entry(host.to_owned()) {
            Entry::Occupied(other) => Some(other.get().clone()),
            Entry::Vacant(nobody) => {
                nobody.insert(own.clone());
                None
            }
        };
        let mut answer = asked.unwrap_or_else(|| {
            let under_way = UnderWay { names: self.clone(), host: host.to_owned() };
            tokio::task::spawn_blocking(move || {
                let found = (under_way.names.lookup)(&under_way.host).map_err(Arc::new);
                // Whoever dials once the answer is known asks again.
                drop(under_way);
                drop(permit);
                sender.send_replace(Some(found));
            });
            own
        });
        match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone().expect("it was waited for"),
            Err(_) => Err(Arc::new(io::Error::other("the lookup was given up"))),
        }
    }

    /// [`dial`], with these names; of the addresses some are `told`, for whose names nobody vouches.
    ///
    /// # Errors
    /// As there.
    pub async fn dial(
        &self,
        addresses: &[HostPort],
        told: &[HostPort],
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        let racing = self.race(addresses, told);
        tokio::time::timeout(timeout, racing).await.unwrap_or_else(|_| {
            let ms = timeout.as_millis();
            let all = [addresses, told].concat();
            let words = format!("{} did not answer within {ms} ms", Listed(&all));
            Err(io::Error::new(io::ErrorKind::TimedOut, words))
        })
    }

    async fn race(&self, addresses: &[HostPort], told: &[HostPort]) -> io::Result<TcpStream> {
        // What is in the sets ends with them.
        let mut lookups = JoinSet::new();
        let mut dials = JoinSet::new();
        let addresses = addresses.iter().map(|address| (address, false));
        for (address, told) in addresses.chain(told.iter().map(|address| (address, true))) {
            let (names, address) = (self.clone(), address.clone());
            lookups.spawn(async move { names.resolve_in_turn(&address, told).await });
        }
        let mut failed = Failures::default();
        let mut waiting = VecDeque::new();
        loop {
            // Whatever has been found by now is known before the next address is chosen.
            while let Some(found) = lookups.try_join_next() {
                failed.or(found.map_err(io::Error::other).flatten(), |found| waiting.extend(found));
            }
            if let Some(next) = waiting.pop_front() {
                dials.spawn(connect(next));
            } else if dials.is_empty() {
                let Some(found) = lookups.join_next().await else { return Err(failed.into()) };
                failed.or(found.map_err(io::Error::other).flatten(), |found| waiting.extend(found));
                continue;
            }
            let first = tokio::time::timeout(HEAD_START, dials.join_next()).await;
            match first {
                Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
                Ok(Some(Ok(Err(error)))) => failed.add(error),
                Ok(Some(Err(error))) => failed.add(io::Error::other(error)),
                // Nothing has come of those that are under way: the next may begin.
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// A lookup, until it ends, however it does.
struct UnderWay {
    names: Names,
    host: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.names.under_way.lock().remove(&self.host);
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{to}: {error}"));
    let stream = TcpStream::connect(to).await.map_err(named)?;
    // On the own machine a port that nobody listens on can be given to the very socket that dials
    // it, which then talks to itself, and keeps the port from its owner.
    if stream.local_addr().map_err(named)? == to {
        let words = format!("{to}: nobody listens there");
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, words));
    }
    Ok(stream)
}

/// What was wrong with each address.
#[derive(Default)]
struct Failures(Vec<io::Error>);

impl Failures {
    fn add(&mut self, error: io::Error) {
        self.0.push(error);
    }

    fn or<T>(&mut self, result: io::Result<T>, then: impl FnOnce(T)) {
        match result {
            Ok(found) => then(found),
            Err(error) => self.add(error),
        }
    }
}

impl From<Failures> for io::Error {
    fn from(Failures(mut errors): Failures) -> Self {
        match errors.len() {
            0 => io::Error::new(io::ErrorKind::NotFound, "there is no address to dial"),
            1 => errors.remove(0),
            _ => {
                let words: Vec<_> = errors.iter().map(ToString::to_string).collect();
                io::Error::new(errors[0].kind(), words.join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A port that nobody listens on.
    async fn dead_port() -> u16 {
        listener().await.1
    }

    #[tokio::test]
    async fn the_first_that_answers_wins() {
        let (_listener, port) = listener().await;
        let dead = dead_port().await;
        for addresses in [
            vec![at("127.0.0.1", port)],
            vec![at("127.0.0.1", dead), at("127.0.0.1", port)],
            vec![at("no name, no pack drill", 1), at("localhost", port)],
        ] {
            let stream = dial(&addresses, PATIENCE).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().port(), port);
        }
    }

    #[tokio::test]
    async fn what_was_wrong_is_said_of_each_address() {
        let dead = dead_port().await;
        let names = Names::new(|_| Err(io::Error::other("unknown")));
        let error =
            names.dial(&[at("127.0.0.1", dead), at("gone", 1)], &[], PATIENCE).await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains(&format!("127.0.0.1:{dead}: ")), "{words}");
        assert!(words.contains("gone cannot be resolved: unknown"), "{words}");
        assert!(
            names.dial(&[], &[], PATIENCE).await.unwrap_err().to_string().contains("no address")
        );
        let nothing = Names::new(|_| Ok(Vec::new()));
        let words = nothing.dial(&[at("void", 1)], &[], PATIENCE).await.unwrap_err().to_string();
        assert_eq!(words, "void has no address");
    }

    #[tokio::test]
    async fn a_name_that_nobody_answers_for_is_asked_once_and_holds_up_nobody() {
        let (_listener, port) = listener().await;
        let (let_go, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let names = Names::new(move |host| {
            if host == "slow" {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = held.lock().recv();
            }
            Ok(vec![[127, 0, 0, 1].into()])
        });
        for _ in 0..3 {
            let error = names.dial(&[at("slow", port)], &[], Duration::from_millis(1)).await;
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        names.dial(&[at("quick", port)], &[], PATIENCE).await.unwrap();
        names.dial(&[at("slow", port), at("quick", port)], &[], PATIENCE).await.unwrap();
        drop(let_go);
        names.dial(&[at("slow", port)], &[], PATIENCE).await.unwrap();
        // Those that came too late joined the one under way, or came behind it.
        assert!(asked.load(Ordering::SeqCst) <= 2);
        assert!(names.under_way.lock().is_empty());
    }

    /// Those that are told wait for each other, however often whoever told them comes back.
    #[tokio::test]
    async fn told_names_are_looked_up_a_few_at_a_time() {
        let (_listener, port) = listener().await;
        let (let_go, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let names = Names::new(move |host| {
            if host.starts_with("slow") {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = held.lock().recv();
            }
            Ok(vec![[127, 0, 0, 1].into()])
        });
        for n in 0..4 * MOST_TOLD {
            let told = [at(&format!("slow {n}"), port)];
            let error = names.dial(&[], &told, Duration::from_millis(1)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(asked.load(Ordering::SeqCst) <= MOST_TOLD);
        // What is known, and what is no name, does not wait; nor does who has told such a name.
        names.dial(&[at("quick", port)], &[at("slow 99", port)], PATIENCE).await.unwrap();
        names.dial(&[], &[at("127.0.0.1", port)], PATIENCE).await.unwrap();
        drop(let_go);
        names.dial(&[], &[at("slow 99", port)], PATIENCE).await.unwrap();
        // All that were used are given back.
        let all = names.told.acquire_many(MOST_TOLD as u32);
        let _ = tokio::time::timeout(PATIENCE, all).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_name_is_looked_up_anew_at_every_dial() {
        let (_listener, port) = listener().await;
        let times = AtomicUsize::new(0);
        let names = Names::new(move |_| match times.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("not yet")),
            _ => Ok(vec![[127, 0, 0, 1].into()]),
        });
        names.dial(&[at("late", port)], &[], PATIENCE).await.unwrap_err();
        names.dial(&[at("late", port)], &[], PATIENCE).await.unwrap();
    }

    #[test]
    fn addresses_are_said_as_they_are_written() {
        let addresses = [at("h", 1), at("0:0:0:0:0:0:0:1", 2)];
        assert_eq!(Listed(&addresses).to_string(), "h:1|[0:0:0:0:0:0:0:1]:2");
    }
}
